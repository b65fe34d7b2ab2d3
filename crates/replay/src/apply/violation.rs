//! The rules of logs.

use omne_events::NodeId;
use smol_str::SmolStr;

/// A rule of logs that an event breaks. The state takes what it can from the event all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The log begins with something else.
    #[error("the first event is `{0}`, it has to be `pipe.started`")]
    NotStarted(&'static str),
    /// The run begins a second time.
    #[error("`pipe.started` comes a second time")]
    StartedTwice,
    /// Something comes after an end that only a resume may follow.
    #[error("`{event}` comes after `{end}`")]
    AfterEnd {
        /// What comes.
        event: SmolStr,
        /// The end.
        end: &'static str,
    },
    /// A node completes though its question was not answered, or not with yes.
    #[error("node `{node}` completes though its question {why}")]
    Unapproved {
        /// The node.
        node: NodeId,
        /// What became of the question.
        why: &'static str,
    },
    /// The definition can not be read.
    #[error("the definition is not a valid pipe: {0}")]
    Definition(String),
    /// The definition is not the one that was digested.
    #[error("`definition_sha256` is not the digest of the definition")]
    DefinitionDigest,
    /// The node is not in the pipe.
    #[error("the pipe has no node `{0}`")]
    UnknownNode(NodeId),
    /// A node begins where it may not.
    #[error("node `{node}` starts {why}")]
    Start {
        /// The node.
        node: NodeId,
        /// Why it may not.
        why: &'static str,
    },
    /// Something happens to a node that is not running.
    #[error("`{event}` of node `{node}`, which is not running")]
    NotRunning {
        /// The node.
        node: NodeId,
        /// What happens.
        event: &'static str,
    },
    /// An attempt has the wrong number.
    #[error("attempt {found} of node `{node}`, it has to be {expected}")]
    Attempt {
        /// The node.
        node: NodeId,
        /// What stands in the event.
        found: u32,
        /// What has to.
        expected: u32,
    },
    /// A round has the wrong number.
    #[error("iteration {found} of node `{node}` follows iteration {before}")]
    Iteration {
        /// The node.
        node: NodeId,
        /// What stands in the event.
        found: u32,
        /// The round before.
        before: u32,
    },
    /// A round ends that is not under way.
    #[error("iteration {found} of node `{node}` ends, which is not under way")]
    IterationEnd {
        /// The node.
        node: NodeId,
        /// What stands in the event.
        found: u32,
    },
    /// The run completes while nodes are open.
    #[error("`pipe.completed` while {0} nodes have not ended")]
    CompletedEarly(usize),
    /// The run completes though nodes are not well.
    #[error("`pipe.completed` though {0} nodes failed or are blocked")]
    CompletedUnwell(usize),
    /// The run ends while attempts are under way.
    #[error("`{event}` while {running} nodes run")]
    EndedEarly {
        /// What ends it.
        event: &'static str,
        /// How many run.
        running: usize,
    },
    /// A resume has the wrong number.
    #[error("`resume` is {found}, it has to be {expected}")]
    Resume {
        /// What stands in the event.
        found: u32,
        /// What has to.
        expected: u32,
    },
    /// A step of a plan gives no reason.
    #[error("the plan gives no `why` for node `{0}`")]
    NoWhy(NodeId),
}
