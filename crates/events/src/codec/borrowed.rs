//! A line whose texts stay where they are: most readers of a log want little of it, and it has millions.

use std::borrow::Cow;

use super::Line;
use crate::{
    AgentTool, Digest, Event, EventId, NodeCompleted, NodeId, NodeKind, NodeSpawned, NodeStarted, Recorded,
    RunId, Timestamp,
};

/// A line that was understood.
#[derive(Debug, Clone)]
pub enum LineRef<'a> {
    /// One of the frequent kinds, in the writer's own form.
    Borrowed(RecordRef<'a>),
    /// Any other.
    Owned(Box<Line>),
}

/// A [`Recorded`] event, borrowed from its line.
#[derive(Debug, Clone)]
pub struct RecordRef<'a> {
    /// As in [`Recorded`].
    pub seq: u64,
    /// As in [`Recorded`].
    pub id: EventId,
    /// As in [`Recorded`].
    pub at: Timestamp,
    /// As in [`Recorded`].
    pub run: &'a str,
    /// As in [`Recorded`].
    pub event: EventRef<'a>,
}

/// An [`Event`] of one of the frequent kinds, with what such an event nearly always has.
#[derive(Debug, Clone)]
pub enum EventRef<'a> {
    /// An attempt at a node begins.
    NodeStarted(NodeStartedRef<'a>),
    /// The attempt's process exists.
    NodeSpawned(NodeSpawnedRef<'a>),
    /// The attempt succeeded; outputs, usage and refused tools there are none.
    NodeCompleted(NodeCompletedRef<'a>),
    /// An agent used a tool.
    AgentTool(AgentToolRef<'a>),
}

/// A [`NodeStarted`]; its fields are the same.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as there")]
pub struct NodeStartedRef<'a> {
    pub node_id: NodeId,
    pub kind: NodeKind,
    pub attempt: u32,
    pub node_sha256: Option<DigestRef<'a>>,
    pub prompt_sha256: Option<DigestRef<'a>>,
    pub name: Option<&'a str>,
    pub model: Option<&'a str>,
    pub agent: Option<&'a str>,
}

/// A [`NodeSpawned`]; its fields are the same.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as there")]
pub struct NodeSpawnedRef<'a> {
    pub node_id: NodeId,
    pub attempt: u32,
    pub pid: u32,
    pub program: &'a str,
}

/// A [`NodeCompleted`]; its fields are the same.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as there")]
pub struct NodeCompletedRef<'a> {
    pub node_id: NodeId,
    pub attempt: u32,
    pub output_path: Option<&'a str>,
    pub output_bytes: u64,
    pub output_sha256: DigestRef<'a>,
    pub duration_ms: u64,
    pub exit_code: Option<i32>,
}

/// An [`AgentTool`]; its fields are the same.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as there")]
pub struct AgentToolRef<'a> {
    pub node_id: NodeId,
    pub attempt: u32,
    pub tool: &'a str,
    pub tool_use_id: &'a str,
    pub input_sha256: DigestRef<'a>,
    pub summary: Option<Cow<'a, str>>,
}

/// The text of a [`Digest`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestRef<'a>(&'a [u8; Digest::TEXT_LEN]);

impl<'a> DigestRef<'a> {
    pub(super) fn new(text: &'a [u8; Digest::TEXT_LEN]) -> Option<Self> {
        // All of them looked at, without a branch a digit.
        let is_wrong = |byte: &u8| !byte.is_ascii_digit() & !(b'a'..=b'f').contains(byte);
        (!text.iter().fold(false, |any, byte| any | is_wrong(byte))).then_some(Self(text))
    }

    /// The digest.
    pub fn get(self) -> Digest {
        // It has been looked at, so it is one.
        Digest::parse(self.0).unwrap_or(Digest::ZERO)
    }
}

impl std::fmt::Debug for DigestRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.get(), f)
    }
}

impl LineRef<'_> {
    /// The line's number in the chain.
    pub fn seq(&self) -> u64 {
        match self {
            LineRef::Borrowed(record) => record.seq,
            LineRef::Owned(line) => line.seq(),
        }
    }

    /// The event's id.
    pub fn id(&self) -> EventId {
        match self {
            LineRef::Borrowed(record) => record.id,
            LineRef::Owned(line) => line.id(),
        }
    }

    /// When it was written.
    pub fn at(&self) -> Timestamp {
        match self {
            LineRef::Borrowed(record) => record.at,
            LineRef::Owned(line) => line.at(),
        }
    }

    /// The run that it belongs to.
    pub fn run(&self) -> &str {
        match self {
            LineRef::Borrowed(record) => record.run,
            LineRef::Owned(line) => line.run().as_str(),
        }
    }

    /// Its `type`.
    pub fn kind(&self) -> &str {
        match self {
            LineRef::Borrowed(record) => record.event.kind(),
            LineRef::Owned(line) => line.kind(),
        }
    }

    /// The node that the event is about, if it is known to be about one.
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            LineRef::Borrowed(record) => Some(record.event.node()),
            LineRef::Owned(_) => self.owned_event().and_then(Event::node),
        }
    }

    /// The event, if it is known and has texts of its own.
    pub fn owned_event(&self) -> Option<&Event> {
        match self {
            LineRef::Borrowed(_) => None,
            LineRef::Owned(line) => match &**line {
                Line::Known(record) => Some(&record.event),
                Line::Unknown { .. } => None,
            },
        }
    }

    /// The same with texts of its own.
    pub fn to_line(&self) -> Cow<'_, Line> {
        match self {
            LineRef::Borrowed(record) => Cow::Owned(Line::Known(record.to_record())),
            LineRef::Owned(line) => Cow::Borrowed(line),
        }
    }

    /// The same with texts of its own.
    pub fn into_line(self) -> Line {
        match self {
            LineRef::Borrowed(record) => Line::Known(record.to_record()),
            LineRef::Owned(line) => *line,
        }
    }
}

impl RecordRef<'_> {
    fn to_record(&self) -> Recorded {
        let RecordRef { seq, id, at, run, event } = self;
        Recorded { seq: *seq, id: *id, at: *at, run: RunId::checked(run), event: event.to_event() }
    }
}

impl EventRef<'_> {
    /// The `type` of the event's line.
    pub fn kind(&self) -> &'static str {
        match self {
            EventRef::NodeStarted(_) => "node.started",
            EventRef::NodeSpawned(_) => "node.spawned",
            EventRef::NodeCompleted(_) => "node.completed",
            EventRef::AgentTool(_) => "agent.tool",
        }
    }

    /// The node that the event is about.
    pub fn node(&self) -> &NodeId {
        match self {
            EventRef::NodeStarted(event) => &event.node_id,
            EventRef::NodeSpawned(event) => &event.node_id,
            EventRef::NodeCompleted(event) => &event.node_id,
            EventRef::AgentTool(event) => &event.node_id,
        }
    }

    fn to_event(&self) -> Event {
        match self {
            EventRef::NodeStarted(event) => Event::NodeStarted(NodeStarted {
                node_id: event.node_id.clone(),
                kind: event.kind,
                attempt: event.attempt,
                node_sha256: event.node_sha256.map(DigestRef::get),
                prompt_sha256: event.prompt_sha256.map(DigestRef::get),
                name: event.name.map(Into::into),
                model: event.model.map(Into::into),
                agent: event.agent.map(Into::into),
                prompt_stable_sha256: None,
            }),
            EventRef::NodeSpawned(event) => Event::NodeSpawned(NodeSpawned {
                node_id: event.node_id.clone(),
                attempt: event.attempt,
                pid: event.pid,
                program: event.program.into(),
            }),
            EventRef::NodeCompleted(event) => Event::NodeCompleted(NodeCompleted {
                node_id: event.node_id.clone(),
                attempt: event.attempt,
                output_path: event.output_path.map(str::to_owned),
                output_bytes: event.output_bytes,
                output_sha256: Some(event.output_sha256.get()),
                duration_ms: event.duration_ms,
                exit_code: event.exit_code,
                outputs: None,
                usage: None,
                denied_tools: None,
            }),
            EventRef::AgentTool(event) => Event::AgentTool(AgentTool {
                node_id: event.node_id.clone(),
                attempt: event.attempt,
                tool: event.tool.into(),
                tool_use_id: event.tool_use_id.to_owned(),
                input_sha256: event.input_sha256.get(),
                summary: event.summary.as_deref().map(str::to_owned),
            }),
        }
    }
}
