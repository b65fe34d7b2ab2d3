//! An attempt under way, and when it has had its time.

use std::time::{Duration, Instant};

use omne_dag::NodeIx;
use omne_events::NodeCompleted;
use omne_pipe::{Node, Pipe};

use crate::{agent::AgentRun, node::verdict::Cause, port::Attempt};

/// An attempt under way.
pub(super) struct Active {
    pub(super) node: NodeIx,
    pub(super) number: u32,
    pub(super) env: Vec<(String, String)>,
    /// What hooks added; wins over the node's own.
    pub(super) extra_env: Vec<(String, String)>,
    pub(super) since: Instant,
    /// A rule had asked about it, or about its gate.
    pub(super) asked_by_rule: bool,
    /// People have answered what a rule asks about the node's own process.
    pub(super) process_approved: bool,
    /// The round that people have said may begin.
    pub(super) approved_round: Option<(u32, serde_json::Map<String, serde_json::Value>)>,
    /// What hooks changed of the round that is about to begin.
    pub(super) round_changes: serde_json::Map<String, serde_json::Value>,
    /// What hooks changed of it before it began.
    pub(super) changes: Option<Box<serde_json::Map<String, serde_json::Value>>>,
    /// How long it may take.
    pub(super) limit: Duration,
    pub(super) deadline: Instant,
    /// When its agent last printed something.
    pub(super) heard: Instant,
    /// When its agent, which has said its sentinel, is stopped.
    pub(super) stop_at: Option<Instant>,
    pub(super) cause: Option<Cause>,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    /// The script of a bash node.
    Script,
    /// The agent of an AI node.
    Agent(Box<AgentRun>),
    /// Its gate; what the node came to stays until then.
    Gate { completed: Box<NodeCompleted> },
}

impl Active {
    /// An attempt whose time begins now.
    pub(super) fn new(attempt: Attempt, node: &Node, stage: Stage) -> Self {
        let Attempt { mut env, extra_env, timeout, approved_round, changes, .. } = attempt;
        let (asked_by_rule, process_approved) = (false, attempt.asked_by_rule);
        env.retain(|(name, _)| !extra_env.iter().any(|(other, _)| other == name));
        let since = Instant::now();
        let limit = timeout.unwrap_or(node.timeout);
        Self {
            node: attempt.node,
            number: attempt.number,
            env,
            extra_env,
            since,
            asked_by_rule,
            process_approved,
            approved_round,
            round_changes: serde_json::Map::new(),
            changes: (!changes.is_empty()).then(|| Box::new(changes)),
            limit,
            deadline: since + limit,
            heard: since,
            stop_at: None,
            cause: None,
            stage,
        }
    }

    /// When it has had its time.
    pub(super) fn due(&self, pipe: &Pipe) -> Instant {
        match &self.stage {
            Stage::Agent(_) => self.deadline.min(self.heard + idle_timeout(pipe.node(self.node))),
            Stage::Script | Stage::Gate { .. } => self.deadline,
        }
    }

    /// Of which of its two limits an agent has had its time.
    pub(super) fn agent_cause(&self, pipe: &Pipe, now: Instant) -> Cause {
        match now >= self.deadline {
            true => Cause::Timeout(self.limit),
            false => Cause::Idle(idle_timeout(pipe.node(self.node))),
        }
    }
}

fn idle_timeout(node: &Node) -> Duration {
    node.ai().map_or(omne_pipe::DEFAULT_IDLE_TIMEOUT, |ai| ai.idle_timeout)
}
