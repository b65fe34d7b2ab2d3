//! A YAML document as it was written, each value with its place.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// Where something stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// From 1; 0 when the place is not known.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// In characters; at least 1 when shown.
    pub length: u32,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Tree<'s> {
    pub(crate) at: Span,
    pub(crate) kind: Kind<'s>,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Kind<'s> {
    Null,
    /// Text; `plain` when it is without quotes, so that it may mean a number or a truth value.
    Scalar {
        text: Cow<'s, str>,
        plain: bool,
    },
    List(Vec<Tree<'s>>),
    Map(Vec<(Tree<'s>, Tree<'s>)>),
}

impl Tree<'_> {
    /// A few words for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self.to_scalar() {
            Some(Value::Null) => "nothing",
            Some(Value::Bool(_)) => "a truth value",
            Some(Value::Number(_)) => "a number",
            Some(Value::String(_)) => "a text",
            _ => match self.kind {
                Kind::List(_) => "a list",
                _ => "a map",
            },
        }
    }

    /// The scalar by YAML 1.2's core schema; `None` for lists and maps.
    pub(crate) fn to_scalar(&self) -> Option<Value> {
        match &self.kind {
            Kind::Null => Some(Value::Null),
            Kind::Scalar { text, plain: false } => Some(Value::String(text.clone().into_owned())),
            Kind::Scalar { text, plain: true } => Some(resolve(text)),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The whole value as JSON, in the order it was written.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::List(items) => Value::Array(items.iter().map(Tree::to_json).collect()),
            Kind::Map(entries) => {
                let entry = |(key, value): &(Tree<'_>, Tree<'_>)| (key.key_text(), value.to_json());
                Value::Object(entries.iter().map(entry).collect())
            }
            Kind::Null | Kind::Scalar { .. } => self.to_scalar().unwrap_or_default(),
        }
    }

    /// Appends the value as compact JSON, in the order it was written.
    pub(crate) fn write_json(&self, out: &mut String) {
        match &self.kind {
            Kind::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Kind::Map(entries) => {
                out.push('{');
                for (place, (key, value)) in entries.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    write_text(&key.key_text(), out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
            Kind::Scalar { text, plain: false } => write_text(text, out),
            Kind::Null | Kind::Scalar { .. } => match self.to_scalar().unwrap_or_default() {
                Value::String(text) => write_text(&text, out),
                other => out.push_str(&other.to_string()),
            },
        }
    }

    /// The text of a key, whatever it is.
    pub(crate) fn key_text(&self) -> String {
        match &self.kind {
            Kind::Scalar { text, .. } => text.clone().into_owned(),
            Kind::Null => "null".into(),
            Kind::List(_) | Kind::Map(_) => "?".into(),
        }
    }

    /// A tree without places, of JSON.
    pub(crate) fn from_json(value: &Value) -> Tree<'_> {
        let scalar = |text: Cow<'_, str>, plain| Kind::Scalar { text: Cow::Owned(text.into_owned()), plain };
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(truth) => scalar(truth.to_string().into(), true),
            Value::Number(number) => scalar(number.to_string().into(), true),
            Value::String(text) => Kind::Scalar { text: Cow::Borrowed(text), plain: false },
            Value::Array(items) => Kind::List(items.iter().map(Tree::from_json).collect()),
            Value::Object(entries) => {
                let key = |key| Tree {
                    at: Span::default(),
                    kind: Kind::Scalar { text: Cow::Borrowed(key), plain: false },
                };
                Kind::Map(entries.iter().map(|(k, v)| (key(k.as_str()), Tree::from_json(v))).collect())
            }
        };
        Tree { at: Span::default(), kind }
    }
}

pub(crate) fn write_text(text: &str, out: &mut String) {
    // Texts always have a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// A plain scalar's meaning by YAML 1.2's core schema.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let first = digits.bytes().next();
    if !first.is_some_and(|b| b.is_ascii_digit() || b == b'.') {
        return Value::String(text.to_owned());
    }
    let number = match (digits.strip_prefix("0x"), digits.strip_prefix("0o")) {
        (Some(hex), _) => i64::from_str_radix(hex, 16).ok().map(Number::from),
        (_, Some(octal)) => i64::from_str_radix(octal, 8).ok().map(Number::from),
        _ if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let plain = text.strip_prefix('+').unwrap_or(text);
            plain
                .parse::<i64>()
                .ok()
                .map(Number::from)
                .or_else(|| plain.parse::<u64>().ok().map(Number::from))
        }
        _ if digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) => {
            text.parse::<f64>().ok().and_then(Number::from_f64)
        }
        _ => None,
    };
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_yaml_1_2_says() {
        for (text, meaning) in [
            ("true", json!(true)),
            ("yes", json!("yes")),
            ("no", json!("no")),
            ("12", json!(12)),
            ("-3", json!(-3)),
            ("0x1f", json!(31)),
            ("0o17", json!(15)),
            ("1e3", json!(1000.0)),
            ("2.50", json!(2.5)),
            ("1.2.3", json!("1.2.3")),
            ("10m", json!("10m")),
            ("2026-11-20", json!("2026-11-20")),
            ("~", json!(null)),
            ("99999999999999999999", json!("99999999999999999999")),
        ] {
            assert_eq!(resolve(text), meaning, "{text}");
        }
    }
}
