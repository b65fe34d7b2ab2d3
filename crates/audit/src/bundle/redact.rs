//! What is removed from a bundle: whatever patterns match, in texts of events
//! and in lines of captures.

use std::{
    fs::File,
    io::{self, BufRead, BufWriter, Read as _, Write},
    path::Path,
};

use omne_events::{Decoder, Digest, LogReader, Tail, mark_redacted};
use omne_replay::FoldError;
use regex_lite::Regex;
use serde_json::Value;

use super::{BundleError, RedactedEvent, Redactions, Scratch, check};

/// What stands for something that was removed.
const MARK: &str = "***";
/// Fields that the log is made of: they hold names, numbers and words with a meaning, not texts of people.
const STRUCTURE: [&str; 26] = [
    "seq",
    "type",
    "id",
    "ts",
    "run_id",
    "prev",
    "node_id",
    "pipe",
    "kind",
    "attempt",
    "node_sha256",
    "prompt_sha256",
    "prompt_stable_sha256",
    "output_sha256",
    "input_sha256",
    "output_path",
    "depends_on",
    "trigger_rule",
    "outcome",
    "decision",
    "method",
    "tool_use_id",
    "definition_sha256",
    "agent",
    "gate",
    "mode",
];
/// The same in a definition: names of files, words and numbers.
const IN_DEFINITION: [&str; 12] = [
    "name",
    "workspace",
    "timeout",
    "idle_timeout",
    "delay",
    "max_delay",
    "on",
    "until",
    "command",
    "pattern",
    "values",
    "secrets",
];

/// Patterns of what is to be removed.
#[derive(Debug, Default)]
pub struct Redactor(Vec<Regex>);

impl Redactor {
    /// Removes what any of these regular expressions matches.
    ///
    /// # Errors
    /// The pattern that is none, and why.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, (String, String)> {
        let compile =
            |pattern: &str| Regex::new(pattern).map_err(|error| (pattern.to_owned(), error.to_string()));
        patterns.into_iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text without what is to be removed, and how often that was found; `None` when it was not.
    fn clean(&self, text: &str) -> Option<(String, u64)> {
        let mut clean: Option<(String, u64)> = None;
        for pattern in &self.0 {
            let text = clean.as_ref().map_or(text, |(text, _)| text.as_str());
            // A pattern that matches nothing at all is found everywhere, and removes nothing.
            let found = pattern.find_iter(text).filter(|found| !found.is_empty()).count() as u64;
            if found > 0 {
                let replaced = pattern.replace_all(
                    text,
                    |found: &regex_lite::Captures<'_>| {
                        if found[0].is_empty() { "" } else { MARK }
                    },
                );
                let before = clean.as_ref().map_or(0, |(_, count)| *count);
                clean = Some((replaced.into_owned(), before + found));
            }
        }
        clean
    }

    /// Cleans all texts in `value` but for those under structural keys; how often something was found.
    fn clean_value(&self, value: &mut Value, place: Place) -> u64 {
        match value {
            Value::String(text) => match self.clean(text) {
                Some((clean, count)) => {
                    *text = clean;
                    count
                }
                None => 0,
            },
            Value::Array(items) => items.iter_mut().map(|item| self.clean_value(item, place)).sum(),
            Value::Object(fields) => fields
                .iter_mut()
                .filter(|(key, _)| !place.is_structure(key))
                .map(|(key, value)| self.clean_value(value, place.below(key)))
                .sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }
}

/// Where in an event a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Event,
    Definition,
    /// Under a key that the author of the pipe chose: nothing there has a fixed meaning.
    Chosen,
}

impl Place {
    fn is_structure(self, key: &str) -> bool {
        match self {
            Place::Event => STRUCTURE.contains(&key),
            Place::Definition => STRUCTURE.contains(&key) || IN_DEFINITION.contains(&key),
            Place::Chosen => false,
        }
    }

    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Place::Event, "definition") => Place::Definition,
            (Place::Definition, "env") | (Place::Event, "outputs") => Place::Chosen,
            (place, _) => place,
        }
    }
}

/// Copies a log, line by line; how many events there are, and how it ends. A line from which something is removed carries
/// the digest of what it was.
pub(super) fn log(
    path: &Path,
    redactor: &Redactor,
    out: &mut File,
    redactions: &mut Redactions,
) -> Result<(u64, Tail), BundleError> {
    let mut reader = LogReader::open(path).map_err(FoldError::Read)?;
    let mut decoder = Decoder::new();
    let mut writer = BufWriter::new(&mut *out);
    let mut number = 0;
    while let Some(line) = reader.next_line().map_err(FoldError::Read)? {
        number += 1;
        let decoded = decoder.decode(line).map_err(|source| FoldError::Decode { line: number, source })?;
        let seq = decoded.line.seq();
        let cleaned = if redactor.is_empty() { None } else { event(line, redactor) };
        match cleaned {
            None => writer.write_all(line),
            Some((mut cleaned, count)) => {
                let sha256 = Digest::of(line);
                mark_redacted(&mut cleaned, sha256);
                redactions.events.push(RedactedEvent { seq, count, sha256 });
                writer.write_all(&cleaned)
            }
        }
        .and_then(|()| writer.write_all(b"\n"))
        .map_err(Scratch::failed)?;
    }
    writer.flush().map_err(Scratch::failed)?;
    drop(writer);
    check(out).map_err(|error| match error {
        FoldError::Decode { line, .. } | FoldError::Violation { line, .. }
            if !redactions.events.is_empty() =>
        {
            BundleError::Essential { line }
        }
        error => BundleError::Log(error),
    })?;
    Ok((number, reader.tail()))
}

/// An event without what is to be removed; `None` when there is nothing in it.
fn event(line: &[u8], redactor: &Redactor) -> Option<(Vec<u8>, u64)> {
    let mut value: Value = serde_json::from_slice(line).ok()?;
    let count = redactor.clean_value(&mut value, Place::Event);
    if count == 0 {
        return None;
    }
    // A definition that was cleaned is another one.
    let digest = value.get("definition").map(|definition| Digest::of(definition.to_string()).to_string());
    if let (Some(digest), Some(told)) = (digest, value.get_mut("definition_sha256")) {
        *told = digest.into();
    }
    Some((value.to_string().into_bytes(), count))
}

/// The longest piece of a file that is looked at, in bytes: whole lines, unless they are longer.
const PIECE: u64 = 1 << 20;

/// Copies a text line by line; how often something was found. Bytes that are no UTF-8 stay as they are, unless
/// something is found in their line.
pub(super) fn lines(mut from: impl BufRead, redactor: &Redactor, out: &mut File) -> io::Result<u64> {
    let mut writer = BufWriter::new(out);
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        line.clear();
        if (&mut from).take(PIECE).read_until(b'\n', &mut line)? == 0 {
            writer.flush()?;
            return Ok(count);
        }
        match redactor.clean(&String::from_utf8_lossy(&line)) {
            None => writer.write_all(&line)?,
            Some((clean, found)) => {
                count += found;
                writer.write_all(clean.as_bytes())?;
            }
        }
    }
}
