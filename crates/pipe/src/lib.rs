//! The pipe language: a YAML or Markdown file becomes a [`Pipe`] that can not
//! be wrong, or every fault of it at once, each at its place.
//!
//! Pure: the bytes of a file come in, and what has to be looked up on the disk
//! is asked through [`Lookup`].

mod check;
mod codes;
mod command;
mod diagnostic;
mod duration;
mod fields;
mod identity;
mod index;
mod inputs;
mod model;
mod source;
mod template;
mod tree;
mod yaml;

pub use check::{Checked, Lookup, NoLookup, check, from_definition};
pub use codes::{Code, Explanation, explain};
pub use command::{Command, Commands};
pub use diagnostic::{Colour, Diagnostic, Severity, render, visible};
pub use duration::{format_duration, parse_duration};
pub use identity::{Identities, difference};
pub use inputs::{InputError, Values, resolve, values_from_file};
pub use model::*;
pub use source::Source;
pub use template::{Bindings, Template, TemplateError, Uses};
pub use tree::Span;

/// The JSON schema of pipe files.
pub const SCHEMA: &str = include_str!("pipe.schema.json");

/// The name of the environment variable that carries the input `key`.
pub fn input_variable(key: &str) -> String {
    format!("OMNE_INPUT_{}", variable_part(key))
}

/// The name of the environment variable that carries the output `key` of `node`.
pub fn output_variable(node: &str, key: &str) -> String {
    format!("OMNE_OUTPUTS_{}_{}", variable_part(node), variable_part(key))
}

/// Whether an environment variable can have this name in every shell.
pub fn is_variable(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

fn variable_part(name: &str) -> String {
    name.chars().map(|c| if matches!(c, '-' | '.') { '_' } else { c.to_ascii_uppercase() }).collect()
}

/// The values in a YAML text.
///
/// # Errors
/// What is wrong with it.
pub fn from_yaml(text: &str) -> Result<serde_json::Value, String> {
    yaml::values(text)
}

/// A value as a YAML text.
///
/// # Errors
/// When YAML has no form for it.
pub fn to_yaml(value: &impl serde::Serialize) -> Result<String, String> {
    yaml::write(value)
}
