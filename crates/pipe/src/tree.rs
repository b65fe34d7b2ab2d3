//! A YAML document as it was written, each value with its place.

use std::borrow::Cow;

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
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

/// The key of a pipe's nodes.
pub(crate) const NODES: &str = "nodes";

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

    /// The scalar where a number or truth value is wanted. A definition writes some of those as texts, so there, where
    /// no quotes can tell them apart, the text decides.
    pub(crate) fn to_plain_scalar(&self) -> Option<Value> {
        match &self.kind {
            Kind::Scalar { text, .. } if self.at.line == 0 => Some(resolve(text)),
            _ => self.to_scalar(),
        }
    }

    /// The whole value as JSON, in the order it was written.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::List(items) => Value::Array(items.iter().map(Tree::to_json).collect()),
            Kind::Map(entries) => {
                let entry =
                    |(key, value): &(Tree<'_>, Tree<'_>)| (key.key_text().to_owned(), value.to_json());
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
                    write_text(key.key_text(), out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
            Kind::Null => out.push_str("null"),
            Kind::Scalar { text, plain } => {
                if *plain && is_literal(text) {
                    out.push_str(text);
                } else {
                    write_text(text, out);
                }
            }
        }
    }

    /// Whether this is the key `name`.
    pub(crate) fn is_key(&self, name: &str) -> bool {
        matches!(&self.kind, Kind::Scalar { text, .. } if text == name)
    }

    /// The text of a key, whatever it is.
    pub(crate) fn key_text(&self) -> &str {
        match &self.kind {
            Kind::Scalar { text, .. } => text,
            Kind::Null => "null",
            Kind::List(_) | Kind::Map(_) => "?",
        }
    }
}

/// A JSON document as a tree without places, whose nodes are given to `node` as [`crate::yaml::parse`] does.
///
/// # Errors
/// When it is not JSON.
pub(crate) fn parse_json<'s>(
    json: &'s str,
    node: &mut dyn FnMut(Tree<'s>),
) -> Result<Tree<'s>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let tree = Json::Root(node).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(tree)
}

/// What part of a document comes next.
enum Json<'n, 's> {
    /// All of it.
    Root(&'n mut dyn FnMut(Tree<'s>)),
    /// The value that should be the list of nodes.
    Nodes(&'n mut dyn FnMut(Tree<'s>)),
    /// Any other value.
    Other,
}

impl<'s> DeserializeSeed<'s> for Json<'_, 's> {
    type Value = Tree<'s>;

    fn deserialize<D: Deserializer<'s>>(self, deserializer: D) -> Result<Tree<'s>, D::Error> {
        deserializer.deserialize_any(self).map(|kind| Tree { at: Span::default(), kind })
    }
}

impl<'s> Visitor<'s> for Json<'_, 's> {
    type Value = Kind<'s>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Kind<'s>, E> {
        Ok(Kind::Null)
    }
    fn visit_bool<E>(self, truth: bool) -> Result<Kind<'s>, E> {
        Ok(Kind::Scalar { text: Cow::Borrowed(if truth { "true" } else { "false" }), plain: true })
    }
    fn visit_i64<E>(self, number: i64) -> Result<Kind<'s>, E> {
        Ok(Kind::Scalar { text: number.to_string().into(), plain: true })
    }
    fn visit_u64<E>(self, number: u64) -> Result<Kind<'s>, E> {
        Ok(Kind::Scalar { text: number.to_string().into(), plain: true })
    }
    fn visit_f64<E>(self, number: f64) -> Result<Kind<'s>, E> {
        let text = Number::from_f64(number).map_or_else(String::new, |number| number.to_string());
        Ok(Kind::Scalar { text: text.into(), plain: true })
    }
    fn visit_borrowed_str<E>(self, text: &'s str) -> Result<Kind<'s>, E> {
        Ok(Kind::Scalar { text: Cow::Borrowed(text), plain: false })
    }
    fn visit_str<E>(self, text: &str) -> Result<Kind<'s>, E> {
        Ok(Kind::Scalar { text: Cow::Owned(text.to_owned()), plain: false })
    }
    fn visit_seq<A: SeqAccess<'s>>(self, mut access: A) -> Result<Kind<'s>, A::Error> {
        let mut items = Vec::new();
        if let Json::Nodes(node) = self {
            while let Some(item) = access.next_element_seed(Json::Other)? {
                node(item);
            }
        } else {
            while let Some(item) = access.next_element_seed(Json::Other)? {
                items.push(item);
            }
        }
        Ok(Kind::List(items))
    }
    fn visit_map<A: MapAccess<'s>>(mut self, mut access: A) -> Result<Kind<'s>, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(Json::Other)? {
            let part = match &mut self {
                Json::Root(node) if key.is_key(NODES) => Json::Nodes(&mut **node),
                _ => Json::Other,
            };
            entries.push((key, access.next_value_seed(part)?));
        }
        Ok(Kind::Map(entries))
    }
}

pub(crate) fn write_text(text: &str, out: &mut String) {
    let is_as_it_is = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    if text.as_bytes().iter().all(is_as_it_is) {
        out.extend(["\"", text, "\""]);
    } else {
        // Texts always have a JSON form.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// Whether a plain scalar is a number or truth value that reads back letter by letter: `007` is a number in one place and a
/// name in another.
fn is_literal(text: &str) -> bool {
    // Most are names, which begin otherwise.
    matches!(text.as_bytes().first(), Some(b'0'..=b'9' | b'-' | b't' | b'f'))
        && match resolve(text) {
            Value::Number(number) => number.to_string() == text,
            Value::Bool(truth) => text == if truth { "true" } else { "false" },
            _ => false,
        }
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
