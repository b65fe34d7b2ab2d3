//! The quick way for lines that this project's writer wrote: their key order is
//! fixed, so they are compared and cut, not parsed. Anything unexpected gives
//! `None`, and the general way decides.

use std::borrow::Cow;

use super::{Decoded, Decoder, Line};
use crate::{
    AgentTool, Digest, Event, EventId, NodeCompleted, NodeId, NodeKind, NodeSpawned, NodeStarted, Recorded,
    RunId, Timestamp,
};

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
    let prev = at.digest()?;
    let event = match kind {
        "node.started" => started(&mut at, decoder)?,
        "node.spawned" => spawned(&mut at, decoder)?,
        "node.completed" => completed(&mut at, decoder)?,
        "agent.tool" => tool(&mut at, decoder)?,
        _ if repeats_envelope(at.0) => return None,
        _ => Event::read(kind, text)?.ok()?,
    };
    let line = Line::Known(Recorded { seq, id, at: time, run, event });
    Some(Decoded { line, prev: Some(Cow::Borrowed(prev)), legacy: false })
}

/// Whether a field of the envelope may stand in the line again, which only the general way sees. A key may be escaped.
fn repeats_envelope(rest: &str) -> bool {
    const FIELDS: [&str; 6] = ["seq", "type", "id", "ts", "run_id", "prev"];
    let is_field = |(end, _): (usize, &str)| {
        FIELDS.iter().any(|field| rest[..end].strip_suffix(field).is_some_and(|before| before.ends_with('"')))
    };
    rest.contains('\\') || rest.match_indices("\":").any(is_field)
}

fn started(at: &mut Cursor<'_>, decoder: &mut Decoder) -> Option<Event> {
    let node_id = at.node(decoder)?;
    at.skip(",\"kind\":\"")?;
    let kind = match at.text()? {
        "bash" => NodeKind::Bash,
        "prompt" => NodeKind::Prompt,
        "command" => NodeKind::Command,
        "loop" => NodeKind::Loop,
        _ => return None,
    };
    at.skip(",\"attempt\":")?;
    let attempt = at.small()?;
    let node_sha256 = match at.skip(",\"node_sha256\":\"") {
        Some(()) => Some(at.sha256()?),
        None => None,
    };
    at.end()?;
    let fields = NodeStarted {
        node_id,
        kind,
        attempt,
        node_sha256,
        prompt_sha256: None,
        name: None,
        model: None,
        agent: None,
    };
    Some(Event::NodeStarted(fields))
}

fn spawned(at: &mut Cursor<'_>, decoder: &mut Decoder) -> Option<Event> {
    let node_id = at.node(decoder)?;
    at.skip(",\"attempt\":")?;
    let attempt = at.small()?;
    at.skip(",\"pid\":")?;
    let pid = at.small()?;
    at.skip(",\"program\":\"")?;
    let program = at.text()?.into();
    at.end()?;
    Some(Event::NodeSpawned(NodeSpawned { node_id, attempt, pid, program }))
}

fn completed(at: &mut Cursor<'_>, decoder: &mut Decoder) -> Option<Event> {
    let node_id = at.node(decoder)?;
    at.skip(",\"attempt\":")?;
    let attempt = at.small()?;
    let output_path = match at.skip(",\"output_path\":\"") {
        Some(()) => Some(at.text()?.to_owned()),
        None => None,
    };
    at.skip(",\"output_bytes\":")?;
    let output_bytes = at.number()?;
    at.skip(",\"output_sha256\":\"")?;
    let output_sha256 = Some(at.sha256()?);
    at.skip(",\"duration_ms\":")?;
    let duration_ms = at.number()?;
    let exit_code = match at.skip(",\"exit_code\":") {
        Some(()) => Some(i32::try_from(at.number()?).ok()?),
        None => None,
    };
    at.end()?;
    let fields = NodeCompleted {
        node_id,
        attempt,
        output_path,
        output_bytes,
        output_sha256,
        duration_ms,
        exit_code,
        outputs: None,
        usage: None,
        denied_tools: None,
    };
    Some(Event::NodeCompleted(fields))
}

fn tool(at: &mut Cursor<'_>, decoder: &mut Decoder) -> Option<Event> {
    let node_id = at.node(decoder)?;
    at.skip(",\"attempt\":")?;
    let attempt = at.small()?;
    at.skip(",\"tool\":\"")?;
    let tool = at.text()?.into();
    at.skip(",\"tool_use_id\":\"")?;
    let tool_use_id = at.text()?.to_owned();
    at.skip(",\"input_sha256\":\"")?;
    let input_sha256 = at.sha256()?;
    let summary = match at.skip(",\"summary\":\"") {
        Some(()) => Some(at.text()?.to_owned()),
        None => None,
    };
    at.end()?;
    Some(Event::AgentTool(AgentTool { node_id, attempt, tool, tool_use_id, input_sha256, summary }))
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

    /// A digest as text, up to and past its closing quote.
    fn digest(&mut self) -> Option<&'a str> {
        let (text, rest) = self.0.split_at_checked(Digest::TEXT_LEN)?;
        let is_wrong = |byte: &u8| !byte.is_ascii_digit() & !(b'a'..=b'f').contains(byte);
        if text.as_bytes().iter().fold(false, |any, byte| any | is_wrong(byte)) {
            return None;
        }
        self.0 = rest.strip_prefix('"')?;
        Some(text)
    }

    /// A digest, up to and past its closing quote.
    fn sha256(&mut self) -> Option<Digest> {
        let digest = Digest::parse(self.take::<{ Digest::TEXT_LEN }>()?)?;
        self.skip("\"")?;
        Some(digest)
    }

    /// The id of the run; of a log's lines all have the same.
    fn run(&mut self, decoder: &mut Decoder) -> Option<RunId> {
        if let Some(run) = &decoder.run
            && let Some(rest) = self.0.strip_prefix(run.as_str())
            && let Some(rest) = rest.strip_prefix('"')
        {
            self.0 = rest;
            return Some(run.clone());
        }
        decoder.run_id(self.text()?).ok()
    }

    fn node(&mut self, decoder: &mut Decoder) -> Option<NodeId> {
        self.skip(",\"node_id\":\"")?;
        decoder.node_id(self.text()?)
    }

    fn end(&mut self) -> Option<()> {
        (self.0 == "}").then_some(())
    }
}
