//! One line of the log ↔ one event.
//!
//! A line has a fixed key order: the envelope, then the event's own fields. The
//! reader takes lines of any order and with any further keys, and those of
//! omne-cli 0.2, which have no `seq` and no `prev`; lines that this writer
//! wrote take a quicker way.

mod borrowed;
mod fast;

use std::borrow::Cow;

use serde::Deserialize;

pub use self::borrowed::{
    AgentToolRef, DigestRef, EventRef, LineRef, NodeCompletedRef, NodeSpawnedRef, NodeStartedRef, RecordRef,
};
use crate::{Digest, Event, EventId, NodeId, Recorded, RunId, Timestamp};

/// The longest line in bytes, but for those that carry a definition or a resume plan.
pub const MAX_LINE: usize = 64 * 1024;

/// Appends the line of `record` to `out`, without a newline. `prev` is the digest of the line before.
///
/// # Errors
/// When a field has no JSON form (a float that is not a number).
pub fn encode(record: &Recorded, prev: Digest, out: &mut Vec<u8>) -> serde_json::Result<()> {
    out.extend_from_slice(b"{\"seq\":");
    out.extend_from_slice(itoa::Buffer::new().format(record.seq).as_bytes());
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(record.event.kind().as_bytes());
    out.extend_from_slice(b"\",\"id\":\"");
    record.id.write(out);
    out.extend_from_slice(b"\",\"ts\":\"");
    out.extend_from_slice(&record.at.text());
    out.extend_from_slice(b"\",\"run_id\":\"");
    out.extend_from_slice(record.run.as_str().as_bytes());
    out.extend_from_slice(b"\",\"prev\":\"");
    out.extend_from_slice(&prev.text());
    out.push(b'"');
    // The event's own object follows as further keys of the same one.
    let brace = out.len();
    record.event.write_fields(out)?;
    out[brace] = b',';
    Ok(())
}

/// A line that was understood.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly every line is the large one")]
pub enum Line {
    /// An event of the vocabulary.
    Known(Recorded),
    /// An event of a later version: kept, counted, not interpreted.
    Unknown {
        /// As in [`Recorded`].
        seq: u64,
        /// As in [`Recorded`].
        id: EventId,
        /// As in [`Recorded`].
        at: Timestamp,
        /// As in [`Recorded`].
        run: RunId,
        /// The type that is not known.
        kind: String,
    },
}

impl Line {
    /// The line's number in the chain.
    pub fn seq(&self) -> u64 {
        match self {
            Line::Known(record) => record.seq,
            Line::Unknown { seq, .. } => *seq,
        }
    }

    /// The event's id.
    pub fn id(&self) -> EventId {
        match self {
            Line::Known(record) => record.id,
            Line::Unknown { id, .. } => *id,
        }
    }

    /// When it was written.
    pub fn at(&self) -> Timestamp {
        match self {
            Line::Known(record) => record.at,
            Line::Unknown { at, .. } => *at,
        }
    }

    /// The run that it belongs to.
    pub fn run(&self) -> &RunId {
        match self {
            Line::Known(record) => &record.run,
            Line::Unknown { run, .. } => run,
        }
    }

    /// Its `type`.
    pub fn kind(&self) -> &str {
        match self {
            Line::Known(record) => record.event.kind(),
            Line::Unknown { kind, .. } => kind,
        }
    }
}

/// A line with what only the chain needs.
#[derive(Debug, Clone)]
pub struct Decoded<'a> {
    /// The event.
    pub line: LineRef<'a>,
    /// The line's `prev` as it is written; absent in logs of omne-cli 0.2.
    pub prev: Option<Cow<'a, str>>,
    /// The line's `ts` as it is written, where it is not in UTC with milliseconds.
    pub odd_time: Option<Cow<'a, str>>,
    /// Whether the line is of omne-cli 0.2: it had no `seq`, which was counted instead.
    pub legacy: bool,
}

/// Why a line could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Its bytes are no text.
    #[error("the line is not UTF-8 (byte {})", .0.valid_up_to() + 1)]
    Utf8(#[from] std::str::Utf8Error),
    /// Its text is no event.
    #[error("the line is not an event: {0}")]
    Json(#[from] serde_json::Error),
    /// One of the envelope's fields is misspelt.
    #[error("the line's `{field}` is malformed: {text:?}")]
    Field {
        /// The field.
        field: &'static str,
        /// What stands there.
        text: String,
    },
}

/// Decodes the lines of one log, in order.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The lines so far; what `seq` is where a line has none.
    lines: u64,
    /// The log's run, so that its id is made only once.
    run: Option<RunId>,
    /// The node of the last event that was about one: often the next one is about it, too.
    node: Option<NodeId>,
    /// The second that the last time was in, as text and as milliseconds.
    second: Option<([u8; 19], i64)>,
}

#[derive(Deserialize)]
struct Head<'a> {
    seq: Option<u64>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    ts: Cow<'a, str>,
    #[serde(borrow)]
    run_id: Cow<'a, str>,
    #[serde(borrow)]
    prev: Option<Cow<'a, str>>,
}

impl Decoder {
    /// For a log that is read from its first line.
    pub fn new() -> Self {
        Self::default()
    }

    /// For a log of which `lines` lines were read already.
    pub(crate) fn after(lines: u64) -> Self {
        Self { lines, ..Self::default() }
    }

    /// How many lines it was given.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Understands the next line, given without its newline.
    pub fn decode<'a>(&mut self, line: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
        self.lines += 1;
        if let Some(decoded) = fast::decode(self, line) {
            return Ok(decoded);
        }
        let text = std::str::from_utf8(line)?;
        let head: Head<'a> = serde_json::from_str(text)?;
        let id = EventId::parse(&head.id).ok_or_else(|| malformed("id", &head.id))?;
        let at = Timestamp::parse(&head.ts).ok_or_else(|| malformed("ts", &head.ts))?;
        let run = self.run_id(&head.run_id)?;
        let seq = head.seq.unwrap_or(self.lines);
        let line = match Event::read(&head.kind, text) {
            Some(event) => Line::Known(Recorded { seq, id, at, run, event: event? }),
            None => Line::Unknown { seq, id, at, run, kind: head.kind.into_owned() },
        };
        let line = LineRef::Owned(Box::new(line));
        let odd_time = Some(head.ts).filter(|ts| ts.as_bytes() != at.text());
        Ok(Decoded { line, prev: head.prev, odd_time, legacy: head.seq.is_none() })
    }

    fn run_id(&mut self, text: &str) -> Result<RunId, DecodeError> {
        if let Some(run) = &self.run
            && run.as_str() == text
        {
            return Ok(run.clone());
        }
        let run = RunId::new(text).map_err(|_| malformed("run_id", text))?;
        self.run = Some(run.clone());
        Ok(run)
    }

    fn node_id(&mut self, text: &str) -> Option<NodeId> {
        match &self.node {
            Some(node) if node.as_str() == text => Some(node.clone()),
            _ => {
                let node = NodeId::new(text).ok()?;
                self.node = Some(node.clone());
                Some(node)
            }
        }
    }

    /// Reads a time in the writer's own form.
    fn time(&mut self, text: &[u8; Timestamp::TEXT_LEN]) -> Option<Timestamp> {
        let (second, rest) = text.split_first_chunk::<19>()?;
        let &[b'.', a, b, c, b'Z'] = rest else { return None };
        let base = match self.second {
            Some((known, ms)) if known == *second => ms,
            _ => {
                let at = Timestamp::parse(std::str::from_utf8(text).ok()?)?;
                let ms = at.as_millisecond() / 1000 * 1000;
                // Times are held to those that have a text, which is for the general way.
                if ms == 0 || Timestamp::from_millisecond(ms + 999).as_millisecond() != ms + 999 {
                    return None;
                }
                self.second = Some((*second, ms));
                ms
            }
        };
        if ![a, b, c].iter().all(u8::is_ascii_digit) {
            return None;
        }
        let ms = i64::from(a - b'0') * 100 + i64::from(b - b'0') * 10 + i64::from(c - b'0');
        Some(Timestamp::from_millisecond(base + ms))
    }
}

fn malformed(field: &'static str, text: &str) -> DecodeError {
    DecodeError::Field { field, text: text.chars().take(80).collect() }
}

#[cfg(test)]
mod tests;
