//! The inputs of a run: given, defaulted, typed.

use serde_json::Value;
use smol_str::SmolStr;

use crate::{
    fields::suggest,
    model::{InputDeclaration, InputKind},
    yaml,
};

/// The inputs of a run in the pipe's order.
pub type Values = Vec<(SmolStr, Value)>;

/// What is wrong with a given input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The pipe does not have it.
    #[error("the pipe has no input `{key}`{}", match near { Some(near) => format!("; did you mean `{near}`?"), None => String::new() })]
    Unknown {
        /// As it was given.
        key: String,
        /// A similar one.
        near: Option<String>,
    },
    /// It has to be given and was not.
    #[error("the input `{key}` is required{}", match description { Some(text) => format!(": {text}"), None => String::new() })]
    Missing {
        /// The input.
        key: String,
        /// What it is for.
        description: Option<String>,
    },
    /// Its value does not fit.
    #[error("the input `{key}` does not fit: {why}")]
    Unfit {
        /// The input.
        key: String,
        /// Why.
        why: String,
    },
}

/// The values of all inputs of a pipe, from those given on the command line as text, and those from a file.
///
/// # Errors
/// Everything that is wrong.
pub fn resolve(
    declarations: &[InputDeclaration],
    given: &[(String, Value)],
) -> Result<Values, Vec<InputError>> {
    let mut errors = Vec::new();
    for (key, _) in given {
        if !declarations.iter().any(|input| input.key == *key) {
            let near = suggest(key, declarations.iter().map(|input| input.key.as_str())).map(str::to_owned);
            errors.push(InputError::Unknown { key: key.clone(), near });
        }
    }
    let mut values = Vec::with_capacity(declarations.len());
    for input in declarations {
        let key = input.key.to_string();
        match given.iter().rev().find(|(given, _)| *given == key) {
            Some((_, value)) => match check_value(&input.kind, value.clone()) {
                Ok(value) => values.push((input.key.clone(), value)),
                Err(why) => errors.push(InputError::Unfit { key, why }),
            },
            None => match &input.default {
                Some(default) => values.push((input.key.clone(), default.clone())),
                None if input.required => {
                    errors.push(InputError::Missing { key, description: input.description.clone() });
                }
                None => {}
            },
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// The entries of a YAML or JSON file of inputs.
///
/// # Errors
/// Why the text is no map, for people.
pub fn values_from_file(text: &str) -> Result<Vec<(String, Value)>, String> {
    match yaml::values(text)? {
        Value::Object(map) => Ok(map.into_iter().collect()),
        Value::Null => Ok(Vec::new()),
        _ => Err("it has to be a map from input keys to values".into()),
    }
}

/// Whether `text` can be an input's key: part of the name of an environment variable.
pub(crate) fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 100
        && !text.as_bytes()[0].is_ascii_digit()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `value` as `kind` wants it; texts are read where a number or truth value is wanted.
pub(crate) fn check_value(kind: &InputKind, value: Value) -> Result<Value, String> {
    let shown = |value: &Value| match value {
        Value::String(text) => format!("`{}`", text.escape_debug()),
        other => format!("`{other}`"),
    };
    let not = |what: &str, value: &Value| Err(format!("{} is not {what}", shown(value)));
    let read = |text: &str| serde_json::from_str::<Value>(text.trim()).ok();
    match kind {
        InputKind::String { pattern } => {
            let Value::String(text) = &value else { return not("a text", &value) };
            if text.contains('\0') {
                return Err("a NUL character can not be passed on".into());
            }
            if let Some(pattern) = pattern
                && !regex_lite::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
            {
                return Err(format!("{} does not match the pattern `{pattern}`", shown(&value)));
            }
            Ok(value)
        }
        InputKind::Integer => {
            let number = if let Value::String(text) = &value { read(text) } else { Some(value.clone()) };
            match number {
                Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                    Ok(Value::Number(number))
                }
                _ => not("a whole number", &value),
            }
        }
        InputKind::Number => {
            let number = if let Value::String(text) = &value { read(text) } else { Some(value.clone()) };
            match number {
                Some(number @ Value::Number(_)) => Ok(number),
                _ => not("a number", &value),
            }
        }
        InputKind::Boolean => match &value {
            Value::Bool(_) => Ok(value),
            Value::String(text) if text == "true" => Ok(Value::Bool(true)),
            Value::String(text) if text == "false" => Ok(Value::Bool(false)),
            _ => not("`true` or `false`", &value),
        },
        InputKind::Choice(choices) => match &value {
            Value::String(text) if choices.contains(text) => Ok(value),
            // The values of a choice are texts, also those that look like something else.
            Value::Number(_) | Value::Bool(_) if choices.contains(&value.to_string()) => {
                Ok(Value::String(value.to_string()))
            }
            _ => not(&format!("one of {}", choices.join(", ")), &value),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(kind: &InputKind, value: &str) -> Option<Value> {
        check_value(kind, json!(value)).ok()
    }

    #[test]
    fn texts_are_read_as_the_declared_type() {
        assert_eq!(fits(&InputKind::Integer, "3"), Some(json!(3)));
        assert_eq!(fits(&InputKind::Integer, "3.5"), None);
        assert_eq!(fits(&InputKind::Number, "3.5"), Some(json!(3.5)));
        assert_eq!(fits(&InputKind::Boolean, "true"), Some(json!(true)));
        assert_eq!(fits(&InputKind::Boolean, "yes"), None);
        assert_eq!(fits(&InputKind::Choice(vec!["a".into()]), "b"), None);
        let ports = InputKind::Choice(vec!["80".into(), "true".into()]);
        assert_eq!(check_value(&ports, Value::from(80)), Ok(Value::from("80")));
        assert_eq!(check_value(&ports, Value::from(true)), Ok(Value::from("true")));
        assert!(check_value(&ports, Value::from(81)).is_err());
        let pattern = InputKind::String { pattern: Some("^[a-z-]+$".into()) };
        assert_eq!(fits(&pattern, "dark-mode"), Some(json!("dark-mode")));
        assert_eq!(fits(&pattern, "Dark; rm -rf /"), None);
        assert_eq!(fits(&InputKind::String { pattern: None }, "a\0b"), None);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let declare = |key: &str, kind, required| InputDeclaration {
            key: key.into(),
            kind,
            required,
            default: None,
            description: None,
        };
        let declared = [
            declare("level", InputKind::Integer, false),
            declare("name", InputKind::String { pattern: None }, true),
        ];
        let given = [("levl".to_owned(), json!("1")), ("level".to_owned(), json!("high"))];
        let errors = resolve(&declared, &given).unwrap_err();
        assert_eq!(errors.len(), 3);
        assert!(errors[0].to_string().contains("did you mean `level`"));
    }

    #[test]
    fn files_are_yaml_or_json_in_which_no_key_stands_twice() {
        let pairs = |text| values_from_file(text).map(|pairs| pairs.into_iter().map(|(_, v)| v).collect());
        assert_eq!(pairs("\u{feff}a: 1\nb: x\n"), Ok(vec![Value::from(1), Value::from("x")]));
        assert_eq!(pairs(r#"{"a": "\ud83d\ude00"}"#), Ok(vec![Value::from("\u{1f600}")]));
        assert_eq!(pairs("nodes: [{id: a}]"), Ok(vec![serde_json::json!([{ "id": "a" }])]));
        assert_eq!(pairs("a: 1\na: 2\n"), Err("line 2: the key `a` stands twice".to_owned()));
        let deep = format!("{{\"a\": {}", "[".repeat(1_000_000));
        assert!(pairs(&deep).unwrap_err().contains("nested more than"));
    }

    #[test]
    fn defaults_fill_in_and_the_last_one_given_counts() {
        let declared = [InputDeclaration {
            key: "level".into(),
            kind: InputKind::Integer,
            required: false,
            default: Some(json!(3)),
            description: None,
        }];
        assert_eq!(resolve(&declared, &[]).unwrap(), [("level".into(), json!(3))]);
        let given = [("level".to_owned(), json!("4")), ("level".to_owned(), json!("5"))];
        assert_eq!(resolve(&declared, &given).unwrap(), [("level".into(), json!(5))]);
    }
}
