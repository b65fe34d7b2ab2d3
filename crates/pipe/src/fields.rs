//! Maps of the file read key by key: unknown and duplicate ones are faults,
//! values have types, and every fault is kept.

use std::time::Duration;

use serde_json::Value;

use crate::{
    codes::Code,
    diagnostic::{Diagnostic, Severity},
    duration::parse_duration,
    tree::{Kind, Span, Tree},
};

/// Where faults are gathered.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) list: Vec<Diagnostic>,
    /// How many errors there are besides.
    pub(crate) left_out: usize,
    /// What is left out, for whoever adds to it.
    last: Option<Diagnostic>,
}

/// More faults than this help nobody, and a large file of nonsense has millions.
const MOST_FAULTS: usize = 10_000;

impl Faults {
    pub(crate) fn add(&mut self, code: Code, at: Span, message: impl Into<String>) -> &mut Diagnostic {
        let fault = Diagnostic::error(code, at, message.into());
        if self.list.len() >= MOST_FAULTS {
            self.left_out += usize::from(fault.severity() == Severity::Error);
            return self.last.insert(fault);
        }
        self.list.push(fault);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// All of them, and how many were left out.
    pub(crate) fn all(mut self) -> Vec<Diagnostic> {
        if self.left_out > 0 {
            let message = format!("and {} errors more", self.left_out);
            let help = "mend the first ones, and look again";
            self.list.push(Diagnostic::error(Code::TooManyFaults, Span::default(), message).help(help));
        }
        self.list
    }
}

impl Diagnostic {
    pub(crate) fn with_help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }
}

/// A text with its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spanned<T> {
    pub(crate) at: Span,
    pub(crate) value: T,
}

/// The entries of a map, each with a key that is allowed there.
#[derive(Debug)]
pub(crate) struct Fields<'t> {
    pub(crate) at: Span,
    entries: Vec<(&'static str, Span, &'t Tree<'t>)>,
}

impl<'t> Fields<'t> {
    /// The map `tree`, which is called `what` in messages.
    pub(crate) fn new(
        tree: &'t Tree<'t>,
        what: &str,
        allowed: &'static [&'static str],
        faults: &mut Faults,
    ) -> Option<Self> {
        let Kind::Map(map) = &tree.kind else {
            faults.add(
                Code::WrongType,
                tree.at,
                format!("{what} has to be a map, this is {}", tree.describe()),
            );
            return None;
        };
        let mut entries: Vec<(&'static str, Span, &Tree<'_>)> = Vec::with_capacity(map.len());
        for (key, value) in map {
            let text = key.key_text();
            let Some(&known) = allowed.iter().find(|known| **known == text) else {
                let fault = faults.add(Code::UnknownKey, key.at, format!("{what} has no key `{text}`"));
                fault.with_help(match suggest(text, allowed.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known keys: {}", allowed.join(", ")),
                });
                continue;
            };
            if entries.iter().any(|(name, ..)| *name == known) {
                let fault = faults.add(
                    Code::DuplicateKey,
                    key.at,
                    format!("the key `{known}` stands twice in {what}"),
                );
                fault.with_help("keep one of the two");
                continue;
            }
            entries.push((known, key.at, value));
        }
        Some(Self { at: tree.at, entries })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'t Tree<'t>> {
        self.entries.iter().find(|(name, ..)| *name == key).map(|(.., value)| *value)
    }

    pub(crate) fn key_at(&self, key: &str) -> Option<Span> {
        self.entries.iter().find(|(name, ..)| *name == key).map(|(_, at, _)| *at)
    }

    fn wrong(&self, key: &str, tree: &Tree<'_>, wanted: &str, faults: &mut Faults) {
        faults.add(
            Code::WrongType,
            tree.at,
            format!("`{key}` has to be {wanted}, this is {}", tree.describe()),
        );
    }

    /// A text; a number or truth value is taken as it was written.
    pub(crate) fn text(&self, key: &'static str, faults: &mut Faults) -> Option<Spanned<&'t str>> {
        let tree = self.get(key)?;
        match &tree.kind {
            Kind::Scalar { text, .. } => Some(Spanned { at: tree.at, value: text }),
            Kind::Null | Kind::List(_) | Kind::Map(_) => {
                self.wrong(key, tree, "a text", faults);
                None
            }
        }
    }

    pub(crate) fn boolean(&self, key: &'static str, faults: &mut Faults) -> Option<bool> {
        let tree = self.get(key)?;
        match tree.to_plain_scalar() {
            Some(Value::Bool(truth)) => Some(truth),
            _ => {
                self.wrong(key, tree, "`true` or `false`", faults);
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(crate) fn integer(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        code: Code,
        faults: &mut Faults,
    ) -> Option<u64> {
        let tree = self.get(key)?;
        let Some(Value::Number(number)) = tree.to_plain_scalar() else {
            self.wrong(key, tree, "a whole number", faults);
            return None;
        };
        match number.as_u64() {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let message = match *range.end() {
                    u64::MAX => {
                        format!("`{key}` has to be a whole number from {}, this is {number}", range.start())
                    }
                    end => format!(
                        "`{key}` has to be a whole number from {} to {end}, this is {number}",
                        range.start()
                    ),
                };
                faults.add(code, tree.at, message);
                None
            }
        }
    }

    /// A number of at least `least`.
    pub(crate) fn number(&self, key: &'static str, least: f64, faults: &mut Faults) -> Option<f64> {
        let tree = self.get(key)?;
        let Some(Value::Number(number)) = tree.to_plain_scalar() else {
            self.wrong(key, tree, "a number", faults);
            return None;
        };
        match number.as_f64() {
            Some(value) if value >= least => Some(value),
            _ => {
                faults.add(
                    Code::OutOfRange,
                    tree.at,
                    format!("`{key}` has to be at least {least}, this is {number}"),
                );
                None
            }
        }
    }

    pub(crate) fn duration(&self, key: &'static str, faults: &mut Faults) -> Option<Duration> {
        let text = self.text(key, faults)?;
        match parse_duration(text.value) {
            Ok(duration) => Some(duration),
            Err(why) => {
                let fault =
                    faults.add(Code::BadDuration, text.at, format!("`{key}` is not a duration: {why}"));
                fault.with_help("write seconds, or parts such as `90s`, `10m`, `1h30m`");
                None
            }
        }
    }

    /// A list of texts, each with its place.
    pub(crate) fn texts(&self, key: &'static str, faults: &mut Faults) -> Option<Vec<Spanned<&'t str>>> {
        let tree = self.get(key)?;
        let Kind::List(items) = &tree.kind else {
            self.wrong(key, tree, "a list", faults);
            if let (Kind::Scalar { text, .. }, Some(fault)) = (&tree.kind, faults.list.last_mut()) {
                fault.with_help(format!("write `{key}: [{text}]`"));
            }
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match &item.kind {
                Kind::Scalar { text, .. } => texts.push(Spanned { at: item.at, value: text.as_ref() }),
                Kind::Null | Kind::List(_) | Kind::Map(_) => {
                    self.wrong(key, item, "a list of texts", faults);
                }
            }
        }
        Some(texts)
    }

    /// One of the words of `choices`.
    pub(crate) fn choice<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&'static str, T)],
        faults: &mut Faults,
    ) -> Option<T> {
        let text = self.text(key, faults)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let fault =
            faults.add(Code::BadValue, text.at, format!("`{}` is not a value of `{key}`", text.value));
        fault.with_help(match suggest(text.value, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("possible are: {}", words.join(", ")),
        });
        None
    }
}

/// The candidate that `text` is probably a misspelling of.
pub(crate) fn suggest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (text.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::osa_distance(text, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let words = ["depends_on", "timeout", "retry"];
        assert_eq!(suggest("depend_on", words.into_iter()), Some("depends_on"));
        assert_eq!(suggest("tiemout", words.into_iter()), Some("timeout"));
        assert_eq!(suggest("x", words.into_iter()), None);
    }
}
