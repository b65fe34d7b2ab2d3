//! Declarations of inputs.

use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::{
    codes::Code,
    fields::{Faults, Fields},
    inputs::{check_value, is_key},
    model::{InputDeclaration, InputKind},
    source::Source,
    tree::{Kind, Tree},
};

const INPUT_KEYS: &[&str] = &["type", "required", "default", "description", "pattern", "values"];

pub(super) fn declarations(
    fields: &Fields<'_>,
    source: &Source,
    faults: &mut Faults,
) -> Vec<InputDeclaration> {
    let Some(tree) = fields.get("inputs") else { return Vec::new() };
    let entries = match &tree.kind {
        Kind::Map(entries) => entries,
        Kind::Null => return Vec::new(),
        Kind::Scalar { .. } | Kind::List(_) => {
            faults.add(
                Code::WrongType,
                tree.at,
                format!("`inputs` has to be a map, this is {}", tree.describe()),
            );
            return Vec::new();
        }
    };
    let mut declarations: Vec<InputDeclaration> = Vec::with_capacity(entries.len());
    // By what they have in common with their variables.
    let mut taken: FxHashMap<String, String> = FxHashMap::default();
    for (key, value) in entries {
        let name = key.key_text().to_owned();
        if !is_key(&name) {
            let fault = faults.add(Code::BadInputKey, key.at, format!("`{name}` can not be an input's key"));
            fault.with_help("use letters, digits and `_`, and begin with a letter or `_`");
            continue;
        }
        if let Some(other) = taken.get(&name.to_ascii_lowercase()) {
            let variable = crate::input_variable(&name);
            let message = format!("the inputs `{other}` and `{name}` would both be `{variable}`");
            faults.add(Code::BadInputKey, key.at, message).with_help("rename one of them");
            continue;
        }
        if let Some(declared) = declaration(&name, value, source, faults) {
            taken.insert(name.to_ascii_lowercase(), name);
            declarations.push(declared);
        }
    }
    declarations
}

fn declaration(key: &str, tree: &Tree<'_>, source: &Source, faults: &mut Faults) -> Option<InputDeclaration> {
    if matches!(tree.kind, Kind::Null) {
        let kind = InputKind::String { pattern: None };
        return Some(InputDeclaration {
            key: key.into(),
            kind,
            required: false,
            default: None,
            description: None,
        });
    }
    let fields = Fields::new(tree, "an input", INPUT_KEYS, faults)?;
    let kinds = [("string", 0u8), ("integer", 1), ("number", 2), ("boolean", 3), ("choice", 4)];
    let word = match fields.get("type") {
        Some(_) => fields.choice("type", &kinds, faults)?,
        None => 0,
    };
    let pattern = fields.text("pattern", faults);
    let values = fields.texts("values", faults);
    if let (Some(pattern), 1..) = (pattern, word) {
        faults.add(Code::BadInput, pattern.at, "a `pattern` is for strings alone").with_help("remove it");
    }
    if let Some(pattern) = pattern
        && let Err(error) = regex_lite::Regex::new(pattern.value)
    {
        faults.add(
            Code::BadInput,
            pattern.at,
            format!("the pattern of `{key}` is no regular expression: {error}"),
        );
    }
    let at = fields.get("values").map_or(fields.at, |values| values.at);
    match (&values, word) {
        (None, 4) => {
            faults
                .add(Code::BadInput, at, format!("the choice `{key}` has no `values`"))
                .with_help("list them: `values: [a, b]`");
        }
        (Some(values), 4) if values.is_empty() => {
            faults.add(Code::BadInput, at, format!("the choice `{key}` has no values"));
        }
        (Some(_), 0..=3) => {
            faults
                .add(Code::BadInput, at, "`values` are for a `choice` alone")
                .with_help("write `type: choice`");
        }
        _ => {}
    }
    let kind = match word {
        1 => InputKind::Integer,
        2 => InputKind::Number,
        3 => InputKind::Boolean,
        4 => {
            InputKind::Choice(values.unwrap_or_default().iter().map(|value| value.value.to_owned()).collect())
        }
        _ => InputKind::String { pattern: pattern.map(|pattern| pattern.value.to_owned()) },
    };
    let required = fields.boolean("required", faults).unwrap_or(false);
    let default = fields.get("default").and_then(|tree| default(key, &kind, tree, source, faults));
    let description = fields.text("description", faults).map(|text| text.value.to_owned());
    Some(InputDeclaration { key: key.into(), kind, required, default, description })
}

fn default(
    key: &str,
    kind: &InputKind,
    tree: &Tree<'_>,
    source: &Source,
    faults: &mut Faults,
) -> Option<Value> {
    let value = match (&tree.kind, kind) {
        // What is written without quotes is still a text where a text is wanted.
        (Kind::Scalar { text, .. }, InputKind::String { .. } | InputKind::Choice(_)) => {
            Value::String(text.clone().into_owned())
        }
        _ => tree.to_plain_scalar().unwrap_or_else(|| tree.to_json()),
    };
    if value.is_null() {
        return None;
    }
    if source.is_from_log() && value.is_string() {
        // It fitted when the run began; what was removed from it since says nothing.
        return Some(value);
    }
    match check_value(kind, value) {
        Ok(value) => Some(value),
        Err(why) => {
            faults.add(Code::BadInput, tree.at, format!("the default of `{key}` does not fit: {why}"));
            None
        }
    }
}
