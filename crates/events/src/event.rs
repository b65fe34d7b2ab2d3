//! The event vocabulary: what a log can say. The envelope (`seq`, `id`, `ts`,
//! `run_id`, `prev`) is [`Recorded`]'s; an event holds only what happened.

mod agent;
mod decision;
mod node;
mod pipe;
mod texts;

pub use agent::*;
pub use decision::*;
pub use node::*;
pub use pipe::*;
pub use texts::{Rewrite, rewrite_json};

use crate::{EventId, NodeId, RunId, Timestamp};

/// An event as it stands in a log.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// 1, 2, 3, … without gaps.
    pub seq: u64,
    /// Strictly increasing within a log.
    pub id: EventId,
    /// Never decreasing within a log.
    pub at: Timestamp,
    /// The run that the log is of.
    pub run: RunId,
    /// What happened.
    pub event: Event,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// Everything that can happen.
        #[derive(Debug, Clone)]
        pub enum Event {
            $($(#[$doc])* $variant($variant)),*
        }

        impl Event {
            /// Every type name of the vocabulary.
            pub const TYPES: &'static [&'static str] = &[$($name),*];

            /// The `type` of the event's line.
            pub fn kind(&self) -> &'static str {
                match self { $(Event::$variant(_) => $name),* }
            }

            /// Appends the event's own fields as a JSON object.
            pub(crate) fn write_fields(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                match self { $(Event::$variant(fields) => serde_json::to_writer(out, fields)),* }
            }

            /// Reads the event of type `kind` out of its whole line; `None` when the type is not known.
            pub(crate) fn read(kind: &str, line: &str) -> Option<serde_json::Result<Event>> {
                match kind {
                    $($name => Some(serde_json::from_str(line).map(Event::$variant)),)*
                    _ => None,
                }
            }
        }

        $(impl From<$variant> for Event {
            fn from(fields: $variant) -> Event {
                Event::$variant(fields)
            }
        })*
    };
}

events! {
    /// The run began.
    PipeStarted = "pipe.started",
    /// A runner took the run up again.
    PipeResumed = "pipe.resumed",
    /// Every node ended and none failed.
    PipeCompleted = "pipe.completed",
    /// Nothing can go on, and a node failed.
    PipeAborted = "pipe.aborted",
    /// A signal ended the runner.
    PipeInterrupted = "pipe.interrupted",
    /// Nothing can go on before a decision.
    PipeParked = "pipe.parked",
    /// An attempt at a node begins; written before its process is.
    NodeStarted = "node.started",
    /// The attempt's process exists.
    NodeSpawned = "node.spawned",
    /// The attempt succeeded.
    NodeCompleted = "node.completed",
    /// The attempt failed.
    NodeFailed = "node.failed",
    /// The node will not run.
    NodeSkipped = "node.skipped",
    /// A round of a loop begins.
    IterationStarted = "iteration.started",
    /// A round of a loop ended.
    IterationCompleted = "iteration.completed",
    /// An agent program said who it is.
    AgentStarted = "agent.started",
    /// An agent used a tool.
    AgentTool = "agent.tool",
    /// The gate after a node let it through.
    GatePassed = "gate.passed",
    /// The gate waits for a decision.
    GateWaiting = "gate.waiting",
    /// Somebody decided.
    GateDecided = "gate.decided",
    /// A hook answered.
    HookDecided = "hook.decided",
}

impl Event {
    /// The node that the event is about, if it is about one.
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Event::PipeStarted(_)
            | Event::PipeResumed(_)
            | Event::PipeCompleted(_)
            | Event::PipeAborted(_)
            | Event::PipeInterrupted(_)
            | Event::PipeParked(_) => None,
            Event::NodeStarted(e) => Some(&e.node_id),
            Event::NodeSpawned(e) => Some(&e.node_id),
            Event::NodeCompleted(e) => Some(&e.node_id),
            Event::NodeFailed(e) => Some(&e.node_id),
            Event::NodeSkipped(e) => Some(&e.node_id),
            Event::IterationStarted(e) => Some(&e.node_id),
            Event::IterationCompleted(e) => Some(&e.node_id),
            Event::AgentStarted(e) => Some(&e.node_id),
            Event::AgentTool(e) => Some(&e.node_id),
            Event::GatePassed(e) => Some(&e.node_id),
            Event::GateWaiting(e) => Some(&e.node_id),
            Event::GateDecided(e) => Some(&e.node_id),
            Event::HookDecided(e) => e.node_id.as_ref(),
        }
    }
}

/// What `attempt` is in logs that do not tell it.
fn first_attempt() -> u32 {
    1
}
