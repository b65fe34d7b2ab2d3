//! Rules over the processes that a run starts: checked before each spawn, on
//! raw bytes.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use serde::Deserialize;

use crate::{config::pattern, glob};

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The process is not started.
    Deny,
    /// People are asked first.
    Ask,
}

/// A `[[rule]]` block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A glob over the program's path, or its base name.
    #[serde(deserialize_with = "pattern")]
    pub program: String,
    /// Texts that all occur among the arguments.
    #[serde(default)]
    pub args_contain: Vec<String>,
    /// A glob over `<pipe>/<node>`.
    #[serde(default = "everywhere", deserialize_with = "pattern")]
    pub namespace: String,
    /// What it does.
    pub effect: Effect,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

fn everywhere() -> String {
    "*".to_owned()
}

impl Rule {
    /// Whether it is about a process in `namespace`.
    pub fn applies<A: AsRef<OsStr>>(&self, namespace: &str, program: &Path, args: &[A]) -> bool {
        let pattern = self.program.as_bytes();
        let path = program.as_os_str().as_bytes();
        let base = program.file_name().map_or(path, OsStrExt::as_bytes);
        let contained = |needle: &String| {
            let needle = needle.as_bytes();
            needle.is_empty()
                || args
                    .iter()
                    .any(|arg| arg.as_ref().as_bytes().windows(needle.len()).any(|window| window == needle))
        };
        glob::is_within(&self.namespace, namespace)
            && (glob::matches(pattern, path) || glob::matches(pattern, base))
            && self.args_contain.iter().all(contained)
    }

    /// Why a process is not started, or asked about, for people.
    pub fn describe(&self) -> String {
        let what = match self.effect {
            Effect::Deny => "a rule forbids",
            Effect::Ask => "a rule asks about",
        };
        let args = match self.args_contain.as_slice() {
            [] => String::new(),
            args => format!(" with {}", args.join(", ")),
        };
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        format!("{what} `{}`{args}{reason}", self.program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(program: &str, args: &[&str]) -> Rule {
        Rule {
            program: program.to_owned(),
            args_contain: args.iter().map(|&arg| arg.to_owned()).collect(),
            namespace: "*".to_owned(),
            effect: Effect::Deny,
            reason: String::new(),
        }
    }

    #[test]
    fn a_rule_looks_at_path_or_base_name_and_at_all_its_texts() {
        let applies =
            |rule: &Rule, program: &str, args: &[&str]| rule.applies("p/n", Path::new(program), args);
        assert!(applies(&rule("cargo", &["publish"]), "/usr/bin/cargo", &["publish", "--dry-run"]));
        assert!(applies(&rule("/usr/bin/*", &[]), "/usr/bin/cargo", &[]));
        assert!(!applies(&rule("cargo", &["publish", "--force"]), "/usr/bin/cargo", &["publish"]));
        assert!(!applies(&rule("cargo", &[]), "/usr/bin/cargo-nextest", &[]));
        // The body of a bash node is an argument.
        assert!(applies(&rule("sh", &["rm -rf"]), "/bin/sh", &["-c", "cd x; rm -rf ."]));
    }

    #[test]
    fn bytes_that_are_no_text_are_looked_at_as_they_are() {
        let program = Path::new(OsStr::from_bytes(b"/bin/\xffx"));
        let args = [OsStr::from_bytes(b"\xfe--danger")];
        assert!(rule("*x", &["--danger"]).applies("p/n", program, &args));
    }
}
