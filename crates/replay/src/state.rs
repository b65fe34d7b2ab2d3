//! What is known of a run after some event.

use std::sync::Arc;

use omne_dag::{Fired, NodeIx, Scheduler};
use omne_events::{
    Digest, ErrorKind, Host, NodeError, NodeId, NodeKind, Outputs, RunId, Timestamp, Usage, Workspace,
    milliseconds,
};
use omne_pipe::{Pipe, Values};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

use crate::gate::{Gate, Unapproved};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunPhase {
    /// Before the first event.
    #[default]
    Unborn,
    /// A runner is at it, or died without a word.
    Running,
    /// All nodes ended, none failed.
    Completed,
    /// A node failed, or the run was cancelled.
    Aborted,
    /// A signal ended it.
    Interrupted,
    /// It waits for a decision.
    Parked,
}

impl RunPhase {
    /// The word in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            RunPhase::Unborn | RunPhase::Running => "running",
            RunPhase::Completed => "completed",
            RunPhase::Aborted => "aborted",
            RunPhase::Interrupted => "interrupted",
            RunPhase::Parked => "parked",
        }
    }
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodePhase {
    /// It has not run, or will be tried again.
    #[default]
    Pending,
    /// An attempt is under way.
    Running,
    /// An attempt failed and another one follows.
    Retrying,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// What it needs failed.
    Blocked,
    /// It did not have to run.
    Skipped,
    /// Its gate waits for a decision.
    Waiting,
}

impl NodePhase {
    /// The word in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            NodePhase::Pending | NodePhase::Retrying => "pending",
            NodePhase::Running => "running",
            NodePhase::Completed => "completed",
            NodePhase::Failed => "failed",
            NodePhase::Blocked => "blocked",
            NodePhase::Skipped => "skipped",
            NodePhase::Waiting => "waiting",
        }
    }

    /// Whether nothing more happens to it unless the run is resumed.
    pub fn is_final(self) -> bool {
        matches!(self, NodePhase::Completed | NodePhase::Failed | NodePhase::Blocked | NodePhase::Skipped)
    }
}

/// What is known of a node. Small, for there may be 100,000; what few have is in [`NodeRecordRare`].
#[derive(Debug, Clone, Default)]
pub struct NodeRecord {
    /// Where it stands.
    pub phase: NodePhase,
    /// The last attempt; 0 before the first.
    pub attempt: u32,
    /// The attempts that earlier goes at the run made; retries count from here.
    pub attempts_before: u32,
    /// The next attempt goes on where the last one was cut off.
    pub goes_on: bool,
    /// When the last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Of its process.
    pub exit_code: Option<i32>,
    /// The size of its capture.
    pub output_bytes: u64,
    /// The digest of its capture.
    pub output_sha256: Option<Digest>,
    /// What the node was when it last began.
    pub node_sha256: Option<Digest>,
    /// The rest.
    pub rare: Option<Box<NodeRecordRare>>,
}

/// What few nodes have.
#[derive(Debug, Clone, Default)]
pub struct NodeRecordRare {
    /// Why it failed.
    pub error: Option<NodeError>,
    /// The same in words.
    pub message: Option<String>,
    /// Why it was skipped.
    pub reason: Option<String>,
    /// The signal that ended its process.
    pub signal: Option<i32>,
    /// What it gave to later nodes.
    pub outputs: Option<Outputs>,
    /// Its capture, relative to the volume.
    pub output_path: Option<String>,
    /// What its agents used in attempts that ended.
    pub(crate) used: Option<Usage>,
    /// What they used in the rounds that ended of an attempt that has not.
    pub(crate) using: Option<Usage>,
    /// Tools that its agent was refused.
    pub denied_tools: Vec<SmolStr>,
    /// The round that a loop is in.
    pub iteration: Option<u32>,
    /// Whether that round has begun in this attempt and not ended.
    pub(crate) round_open: bool,
    /// The last round that ended, of an attempt that a later one goes on with, too.
    pub rounds_ended: u32,
    /// Whether the last round that ended said that the loop is done.
    pub loop_done: bool,
    /// The agent's session.
    pub session_id: Option<String>,
    /// Whether a program was ever started in it.
    pub session_begun: bool,
    /// Its gate.
    pub gate: Option<Gate>,
    /// What became of the question that it goes on with, unless that is yes.
    pub(crate) unapproved: Option<Unapproved>,
}

impl NodeRecordRare {
    /// The agent's session, if the agent can know it: a program was started in it, or a round of it ended.
    pub fn known_session(&self) -> Option<&str> {
        self.session_id.as_deref().filter(|_| self.session_begun || self.rounds_ended > 0)
    }
}

impl NodeRecord {
    pub(crate) fn rare(&mut self) -> &mut NodeRecordRare {
        self.rare.get_or_insert_default()
    }

    /// Whether the attempt that comes goes on at the node's gate, with what the one before had come to and used.
    pub(crate) fn stands_at_gate(&self) -> bool {
        let at_gate =
            |rare: &NodeRecordRare| rare.gate.is_some() && (rare.iteration.is_none() || rare.loop_done);
        self.goes_on && self.rare.as_deref().is_some_and(at_gate)
    }

    /// Whether it waits for people, or goes on with what they said.
    pub(crate) fn stands_before_people(&self) -> bool {
        let is_asked = |gate: &Gate| gate.is_waiting() || gate.decision().is_some();
        let is_open = matches!(
            self.phase,
            NodePhase::Pending | NodePhase::Running | NodePhase::Waiting | NodePhase::Blocked
        );
        is_open && self.gate().is_some_and(is_asked)
    }

    /// Whether people had approved that it runs, and a signal ended it: whoever says yes to something says so once.
    pub(crate) fn keeps_approval(&self) -> bool {
        let is_interrupted = self.error().is_some_and(|error| error.kind == ErrorKind::Interrupted);
        // What stands behind a gate has been done, and is told with its cost.
        let is_before = |gate: &Gate| gate.gate.starts_with('@') && gate.decision() == Some(true);
        self.phase == NodePhase::Failed && is_interrupted && self.gate().is_some_and(is_before)
    }

    /// Why it failed.
    pub fn error(&self) -> Option<&NodeError> {
        self.rare.as_ref()?.error.as_ref()
    }

    /// Why it failed, in words.
    pub fn message(&self) -> Option<&str> {
        self.rare.as_ref()?.message.as_deref()
    }

    /// What its agents used, all attempts and rounds together.
    pub fn usage(&self) -> Option<Usage> {
        let rare = self.rare.as_ref()?;
        match (rare.used, rare.using) {
            (Some(mut used), Some(using)) => {
                used += using;
                Some(used)
            }
            (used, using) => used.or(using),
        }
    }

    /// Its gate, as far as it is known.
    pub fn gate(&self) -> Option<&Gate> {
        self.rare.as_ref()?.gate.as_ref()
    }

    /// What it gave to later nodes.
    pub fn outputs(&self) -> Option<&Outputs> {
        self.rare.as_ref()?.outputs.as_ref()
    }
}

/// The state of a run: a pure fold of its log.
#[derive(Debug, Clone, Default)]
pub struct RunState {
    pub(crate) run: Option<RunId>,
    pub(crate) name: SmolStr,
    pub(crate) version: Option<u64>,
    pub(crate) phase: RunPhase,
    pub(crate) seq: u64,
    pub(crate) started_at: Option<Timestamp>,
    /// When the present go at it began.
    pub(crate) go_since: Option<Timestamp>,
    /// When its last event was so far.
    pub(crate) go_until: Option<Timestamp>,
    pub(crate) last_at: Option<Timestamp>,
    /// When it last completed, was aborted, interrupted or parked.
    pub(crate) over_at: Option<Timestamp>,
    /// How long the present go took, by the word of the event that ended it.
    pub(crate) go_took: Option<u64>,
    /// How long all goes before took.
    pub(crate) active_before_ms: u64,
    pub(crate) resumes: u32,
    pub(crate) inputs: Values,
    pub(crate) reason: Option<String>,
    pub(crate) by: Option<String>,
    pub(crate) jobs: Option<u32>,
    pub(crate) workspace: Option<Workspace>,
    pub(crate) host: Option<Host>,
    pub(crate) definition_sha256: Option<Digest>,
    /// Of attempts that ended.
    pub(crate) usage: Usage,
    /// `None` for logs of omne-cli 0.2, which do not tell it.
    pub(crate) pipe: Option<Arc<Pipe>>,
    pub(crate) scheduler: Option<Scheduler>,
    /// What the scheduler set off and nobody has asked for yet.
    pub(crate) fired: Vec<Fired>,
    pub(crate) nodes: Vec<NodeRecord>,
    /// Ids and kinds in order, and places by id, where there is no pipe.
    pub(crate) loose: Vec<(NodeId, NodeKind)>,
    pub(crate) loose_index: FxHashMap<NodeId, usize>,
    /// Whether a process of a node was ever started.
    pub(crate) begun: bool,
    /// How many nodes are running.
    pub(crate) running: usize,
    /// How many attempts there were at nodes that a changed pipe does not have any more: another one may have them again.
    pub(crate) departed: FxHashMap<NodeId, u32>,
    /// The last process of each node that has not ended, by its place, and when it was started.
    pub(crate) processes: FxHashMap<usize, (u32, Timestamp)>,
    /// Whether definitions are passed over.
    pub(crate) light: bool,
    /// A pipe that is probably the next definition, read already.
    pub(crate) expected: Option<Arc<Pipe>>,
}

impl RunState {
    /// Before the first event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says which pipe the next definition will be, so that it need not be read a second time.
    pub fn expect(&mut self, pipe: Arc<Pipe>) {
        self.expected = Some(pipe);
    }

    /// The same, but for lists: the definition is not read, so nothing is known of nodes before they are named.
    pub fn light() -> Self {
        Self { light: true, ..Self::default() }
    }

    /// The run.
    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }
    /// The pipe's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The pipe's version.
    pub fn version(&self) -> Option<u64> {
        self.version
    }
    /// Where it stands.
    pub fn phase(&self) -> RunPhase {
        self.phase
    }
    /// The last event's number.
    pub fn seq(&self) -> u64 {
        self.seq
    }
    /// When the run began.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }
    /// When the last event was written.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }
    /// When it ended; `None` while it runs.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.over_at.filter(|_| !matches!(self.phase, RunPhase::Unborn | RunPhase::Running))
    }
    /// When the last event of its last runner was.
    pub fn go_until(&self) -> Option<Timestamp> {
        self.go_until
    }
    /// How long its last runner was at it, in milliseconds; up to the last event while it runs.
    pub fn go_ms(&self) -> u64 {
        let by_events = || match (self.go_since, self.go_until) {
            (Some(since), Some(until)) => milliseconds(until.since(since)),
            _ => 0,
        };
        self.go_took.unwrap_or_else(by_events)
    }
    /// How long runners were at it, in milliseconds; up to the last event while it runs.
    pub fn active_ms(&self) -> u64 {
        self.active_before_ms.saturating_add(self.go_ms())
    }
    /// How often it was resumed.
    pub fn resumes(&self) -> u32 {
        self.resumes
    }
    /// Whether a process of a node was ever started, or a node completed without one.
    pub fn has_begun(&self) -> bool {
        self.begun
    }
    /// Its inputs.
    pub fn inputs(&self) -> &Values {
        &self.inputs
    }
    /// Why it was aborted or interrupted.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
    /// Who started or last resumed it.
    pub fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }
    /// Most nodes at once.
    pub fn jobs(&self) -> Option<u32> {
        self.jobs
    }
    /// Where its nodes run.
    pub fn workspace(&self) -> Option<&Workspace> {
        self.workspace.as_ref()
    }
    /// The last runner.
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }
    /// What its agents used in all.
    pub fn usage(&self) -> Usage {
        let mut usage = self.usage;
        for node in &self.nodes {
            if let Some(using) = node.rare.as_ref().and_then(|rare| rare.using) {
                usage += using;
            }
        }
        usage
    }
    /// The digest of its definition.
    pub fn definition_sha256(&self) -> Option<Digest> {
        self.definition_sha256
    }
    /// Its pipe; `None` for logs of omne-cli 0.2.
    pub fn pipe(&self) -> Option<&Arc<Pipe>> {
        self.pipe.as_ref()
    }
    /// Whether a node ended before the runner that is at work took the run up.
    pub fn ended_before(&self, record: &NodeRecord) -> bool {
        self.resumes > 0 && record.ended_at <= self.go_since
    }
    /// Where a node stands as people see it: one that was answered after its run had ended waits for a resume.
    pub fn standing(&self, record: &NodeRecord) -> NodePhase {
        let is_over = !matches!(self.phase, RunPhase::Unborn | RunPhase::Running);
        match record.phase {
            NodePhase::Running if is_over => NodePhase::Waiting,
            phase => phase,
        }
    }
    /// The processes of nodes that have not ended, and when each was started.
    pub fn processes(&self) -> impl Iterator<Item = (u32, Timestamp)> {
        self.processes.values().copied()
    }
    /// How many nodes are running.
    pub fn running(&self) -> usize {
        self.running
    }
    /// How many nodes have not ended.
    pub fn open(&self) -> usize {
        match &self.scheduler {
            Some(scheduler) => scheduler.open(),
            None => self.nodes.iter().filter(|node| !node.phase.is_final()).count(),
        }
    }

    /// What became possible since this was last asked.
    pub fn take_fired(&mut self) -> Vec<Fired> {
        std::mem::take(&mut self.fired)
    }

    /// What is known of a node.
    pub fn node(&self, node: NodeIx) -> &NodeRecord {
        &self.nodes[node.place()]
    }

    /// The node called `id`.
    pub fn find(&self, id: &str) -> Option<NodeIx> {
        match &self.pipe {
            Some(pipe) => pipe.find(id),
            None => self.loose_index.get(id).copied().map(NodeIx::new),
        }
    }

    /// All nodes with their ids and kinds, in the pipe's order.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, NodeKind, &NodeRecord)> {
        self.nodes.iter().enumerate().map(|(place, record)| match &self.pipe {
            Some(pipe) => {
                let node = &pipe.nodes()[place];
                (&node.id, node.kind(), record)
            }
            None => (&self.loose[place].0, self.loose[place].1, record),
        })
    }
}
