//! The quick way for lines that this project's writer wrote: their key order is
//! fixed, so they are compared and cut, not parsed. Anything unexpected gives
//! `None`, and the general way decides.

use std::borrow::Cow;

use super::{
    AgentToolRef, Decoded, Decoder, DigestRef, EventRef, Line, LineRef, NodeCompletedRef, NodeSpawnedRef,
    NodeStartedRef, RecordRef,
};
use crate::{Digest, Event, EventId, NodeId, NodeKind, Recorded, RunId, Timestamp};

pub(super) fn decode<'a>(decoder: &mut Decoder, line: &'a [u8]) -> Option<Decoded<'a>> {
    // Once for the whole line, and not for each of its texts. A control character would have to be escaped.
    let text = std::str::from_utf8(line).ok()?;
    if line.iter().fold(false, |any, &byte| any | (byte < 0x20)) {
        return None;
    }
    let mut at = Cursor(text);
    at.skip("{\"seq\":")?;
    let seq = at.number()?;
    at.skip(",\"type\":\"")?;
    let kind = at.text()?;
    at.skip(",\"id\":\"")?;
    let id = EventId::parse_bytes(at.take()?)?;
    at.skip("\",\"ts\":\"")?;
    let time = decoder.time(at.take::<{ Timestamp::TEXT_LEN }>()?)?;
    at.skip("\",\"run_id\":\"")?;
    let run = at.run(decoder)?;
    at.skip(",\"prev\":\"")?;
    let digits = at.0;
    at.digest()?;
    let prev = digits.get(..Digest::TEXT_LEN).map(Cow::Borrowed);
    let event = match kind {
        "node.started" => EventRef::NodeStarted(started(&mut at, decoder)?),
        "node.spawned" => EventRef::NodeSpawned(spawned(&mut at, decoder)?),
        "node.completed" => EventRef::NodeCompleted(completed(&mut at, decoder)?),
        "agent.tool" => EventRef::AgentTool(tool(&mut at, decoder)?),
        _ if repeats_envelope(at.0) => return None,
        _ => {
            let event = Event::read(kind, text)?.ok()?;
            let line = Line::Known(Recorded { seq, id, at: time, run: RunId::checked(run), event });
            return Some(Decoded {
                line: LineRef::Owned(Box::new(line)),
                prev,
                odd_time: None,
                legacy: false,
            });
        }
    };
    at.end()?;
    Some(Decoded {
        line: LineRef::Borrowed(RecordRef { seq, id, at: time, run, event }),
        prev,
        odd_time: None,
        legacy: false,
    })
}

/// Whether a field of the envelope may stand in the line again, which only the general way sees. A key may be escaped.
fn repeats_envelope(rest: &str) -> bool {
    const FIELDS: [&str; 6] = ["seq", "type", "id", "ts", "run_id", "prev"];
    let is_field = |(end, _): (usize, &str)| {
        FIELDS.iter().any(|field| rest[..end].strip_suffix(field).is_some_and(|before| before.ends_with('"')))
    };
    rest.contains('\\') || rest.match_indices("\":").any(is_field)
}

fn started<'a>(at: &mut Cursor<'a>, decoder: &mut Decoder) -> Option<NodeStartedRef<'a>> {
    Some(NodeStartedRef {
        node_id: at.node(decoder)?,
        kind: at.node_kind()?,
        attempt: at.attempt()?,
        node_sha256: at.optional(",\"node_sha256\":\"", Cursor::digest)?,
        prompt_sha256: at.optional(",\"prompt_sha256\":\"", Cursor::digest)?,
        name: at.optional(",\"name\":\"", Cursor::text)?,
        model: at.optional(",\"model\":\"", Cursor::text)?,
        agent: at.optional(",\"agent\":\"", Cursor::text)?,
    })
}

fn spawned<'a>(at: &mut Cursor<'a>, decoder: &mut Decoder) -> Option<NodeSpawnedRef<'a>> {
    Some(NodeSpawnedRef {
        node_id: at.node(decoder)?,
        attempt: at.attempt()?,
        pid: at.field(",\"pid\":", Cursor::small)?,
        program: at.field(",\"program\":\"", Cursor::text)?,
    })
}

fn completed<'a>(at: &mut Cursor<'a>, decoder: &mut Decoder) -> Option<NodeCompletedRef<'a>> {
    Some(NodeCompletedRef {
        node_id: at.node(decoder)?,
        attempt: at.attempt()?,
        output_path: at.optional(",\"output_path\":\"", Cursor::text)?,
        output_bytes: at.field(",\"output_bytes\":", Cursor::number)?,
        output_sha256: at.field(",\"output_sha256\":\"", Cursor::digest)?,
        duration_ms: at.field(",\"duration_ms\":", Cursor::number)?,
        exit_code: at.optional(",\"exit_code\":", |at| i32::try_from(at.number()?).ok())?,
    })
}

fn tool<'a>(at: &mut Cursor<'a>, decoder: &mut Decoder) -> Option<AgentToolRef<'a>> {
    Some(AgentToolRef {
        node_id: at.node(decoder)?,
        attempt: at.attempt()?,
        tool: at.field(",\"tool\":\"", Cursor::text)?,
        tool_use_id: at.field(",\"tool_use_id\":\"", Cursor::text)?,
        input_sha256: at.field(",\"input_sha256\":\"", Cursor::digest)?,
        summary: at.optional(",\"summary\":\"", Cursor::unescaped)?,
    })
}

struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip(&mut self, literal: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let bytes = self.0.as_bytes();
        let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        // Up to 18 digits can not overflow; JSON allows no leading zero.
        if digits == 0 || digits > 18 || (digits > 1 && bytes[0] == b'0') {
            return None;
        }
        let number = bytes[..digits].iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
        self.0 = &self.0[digits..];
        Some(number)
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_at_checked(N)?;
        self.0 = rest;
        taken.as_bytes().try_into().ok()
    }

    /// Up to and past the closing quote; only text that needs no unescaping.
    fn text(&mut self) -> Option<&'a str> {
        let end = memchr::memchr2(b'"', b'\\', self.0.as_bytes())?;
        let (text, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.strip_prefix('"')?;
        Some(text)
    }

    /// A text that may have escapes in it, up to and past its closing quote.
    fn unescaped(&mut self) -> Option<Cow<'a, str>> {
        let bytes = self.0.as_bytes();
        let mut end = memchr::memchr2(b'"', b'\\', bytes)?;
        if bytes[end] == b'"' {
            return self.text().map(Cow::Borrowed);
        }
        while bytes.get(end)? != &b'"' {
            // What is escaped may be a quote.
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let literal = [b"\"", &bytes[..=end]].concat();
        self.0 = &self.0[end + 1..];
        serde_json::from_slice(&literal).ok().map(Cow::Owned)
    }

    /// A digest, up to and past its closing quote.
    fn digest(&mut self) -> Option<DigestRef<'a>> {
        let digest = DigestRef::new(self.take()?)?;
        self.skip("\"")?;
        Some(digest)
    }

    /// What `read` finds behind `key`, if that follows; `None` when it finds nothing there.
    #[expect(clippy::option_option, reason = "not there, and not readable")]
    fn optional<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.skip(key) {
            Some(()) => read(self).map(Some),
            None => Some(None),
        }
    }

    /// What `read` finds behind `key`.
    fn field<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.skip(key)?;
        read(self)
    }

    fn attempt(&mut self) -> Option<u32> {
        self.field(",\"attempt\":", Self::small)
    }

    fn node_kind(&mut self) -> Option<NodeKind> {
        match self.field(",\"kind\":\"", Self::text)? {
            "bash" => Some(NodeKind::Bash),
            "prompt" => Some(NodeKind::Prompt),
            "command" => Some(NodeKind::Command),
            "loop" => Some(NodeKind::Loop),
            _ => None,
        }
    }

    /// The id of the run; of a log's lines all have the same.
    fn run(&mut self, decoder: &mut Decoder) -> Option<&'a str> {
        if let Some(run) = &decoder.run
            && let Some((text, rest)) = self.0.split_at_checked(run.as_str().len())
            && text == run.as_str()
            && let Some(rest) = rest.strip_prefix('"')
        {
            self.0 = rest;
            return Some(text);
        }
        let text = self.text()?;
        decoder.run_id(text).ok()?;
        Some(text)
    }

    fn node(&mut self, decoder: &mut Decoder) -> Option<NodeId> {
        decoder.node_id(self.field(",\"node_id\":\"", Self::text)?)
    }

    fn end(&mut self) -> Option<()> {
        (self.0 == "}").then_some(())
    }
}
