//! The port between what decides and what runs: attempts go in, events come
//! out. Nothing above it knows where an attempt runs.

use std::{io, time::Duration};

use omne_dag::NodeIx;
use omne_events::{Digest, Event, NodeId};
use omne_hooks::Question;
use omne_process::Signal;

use crate::Ask;

/// An attempt at a node.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The node.
    pub node: NodeIx,
    /// From 1.
    pub number: u32,
    /// Environment variables of this attempt: the outputs of its ancestors.
    pub env: Vec<(String, String)>,
    /// What an AI node asks.
    pub ask: Option<Box<Ask>>,
    /// It had come to a question to people already.
    pub at_gate: Option<AtGate>,
    /// People, or hooks, have said that it may begin: nobody is asked again.
    pub approved: Option<()>,
    /// The round that people have said may begin, with what hooks changed of it.
    pub approved_round: Option<(u32, serde_json::Map<String, serde_json::Value>)>,
    /// What hooks changed of it so far.
    pub changes: serde_json::Map<String, serde_json::Value>,
    /// A rule had asked about it.
    pub asked_by_rule: bool,
    /// Variables that win over the node's own.
    pub extra_env: Vec<(String, String)>,
    /// How long it may take, instead of what its node says.
    pub timeout: Option<Duration>,
}

/// What hooks say to a run before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeforeRun {
    /// It may begin.
    Begin,
    /// It may not, for this reason.
    Refused(String),
    /// People decide.
    Asked(Question),
}

/// Who asked people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A gate, after its node.
    Gate,
    /// A hook or rule, before a step.
    Step,
    /// A hook, before the run; the node is the first that would start.
    Run,
}

impl Asker {
    /// By the gate that is in the log.
    pub fn of(gate: &str) -> Self {
        [Self::Step, Self::Run].into_iter().find(|asker| asker.gate() == Some(gate)).unwrap_or(Self::Gate)
    }

    /// What stands in the log where gates have their names; no gate can be called so.
    pub fn gate(self) -> Option<&'static str> {
        match self {
            Self::Gate => None,
            Self::Step => Some("@hook"),
            Self::Run => Some("@run"),
        }
    }
}

/// Where a node stands that asked people.
#[derive(Debug, Clone)]
pub struct AtGate {
    /// Who asked.
    pub asker: Asker,
    /// What was asked.
    pub question: Question,
    /// What they said, if they have.
    pub decision: Option<Decision>,
}

/// What people said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the node may go on.
    pub approved: bool,
    /// Who said so.
    pub by: String,
    /// What they said about it.
    pub comment: Option<String>,
}

/// Why a running attempt is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The whole run took longer than it may.
    RunTimeout,
    /// `omne cancel`.
    Cancelled,
    /// A signal to the runner.
    Interrupted,
}

/// What comes out.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events, and there are only a few at a time")]
pub enum Emitted {
    /// Something happened to an attempt.
    Event(Event),
    /// The runner got a signal.
    Signal(Signal),
    /// An agent says something; for display alone, it is in a capture or will be.
    Live {
        /// The node.
        node: NodeId,
        /// A piece of text.
        text: String,
    },
    /// Something that people should know.
    Notice(String),
}

/// Why nothing can be run any more.
#[derive(Debug)]
pub enum ExecuteError {
    /// The operating system does not let it wait.
    Wait(io::Error),
    /// A capture can not be written: the disk is full or fails.
    Capture(io::Error),
}

/// Runs attempts.
pub trait Execute {
    /// Begins an attempt. Its first events, and its last one if it can not begin, are in `emitted`.
    fn start(&mut self, attempt: Attempt, emitted: &mut Vec<Emitted>);

    /// Ends all running attempts; their last events come later, by [`Self::wait`].
    fn end_all(&mut self, why: EndReason);

    /// Ends all running attempts without giving them time.
    fn kill_all(&mut self, why: EndReason);

    /// Tells a node that waits for people what they said.
    fn decide(&mut self, node: NodeIx, decision: &Decision, emitted: &mut Vec<Emitted>);

    /// Starts hooks, asks them whether a run with these inputs may begin, and waits for their answer. Without inputs
    /// nobody is asked: it had begun before, or had asked people.
    ///
    /// # Errors
    /// When nothing can be waited for.
    fn before_run(
        &mut self,
        inputs: Option<serde_json::Value>,
        emitted: &mut Vec<Emitted>,
    ) -> Result<BeforeRun, ExecuteError>;

    /// Tells hooks that the run ends, and waits until they were told.
    ///
    /// # Errors
    /// When nothing can be waited for.
    fn after_run(
        &mut self,
        outcome: &str,
        duration_ms: u64,
        inputs: serde_json::Value,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError>;

    /// Goes on with other hooks.
    fn reload(&mut self, hooks: omne_hooks::Config);

    /// Tells hooks of lines that are in the log now.
    fn appended(&mut self, lines: &[u8]);

    /// Waits until hooks were told everything, at most so long, and ends those that stay.
    fn drain(&mut self, most: Duration);

    /// Waits until something happens or `timeout` is over.
    ///
    /// # Errors
    /// When no attempt can be brought to an end any more.
    fn wait(&mut self, timeout: Option<Duration>, emitted: &mut Vec<Emitted>) -> Result<(), ExecuteError>;

    /// The first `most` bytes of what a node printed.
    fn capture(&self, node: NodeIx, most: usize) -> Vec<u8>;

    /// The digest of all that a node printed, as it can be read now.
    fn capture_digest(&self, node: NodeIx) -> Digest;
}
