//! Attempts at nodes: what their events say, whoever holds the texts.

use omne_dag::{Ends, NodeIx, Standing, Verdict};
use omne_events::{
    Digest, DigestRef, NodeCompleted, NodeCompletedRef, NodeFailed, NodeId, NodeKind, NodeStarted,
    NodeStartedRef, Outputs, Timestamp, Usage,
};
use smol_str::SmolStr;

use super::Violation;
use crate::{
    gate::Gate,
    state::{NodePhase, RunState},
};

/// What a `node.started` says.
pub(super) struct Started<'a> {
    node_id: &'a NodeId,
    kind: NodeKind,
    attempt: u32,
    node_sha256: Option<Digest>,
}

impl<'a> From<&'a NodeStarted> for Started<'a> {
    fn from(NodeStarted { node_id, kind, attempt, node_sha256, .. }: &'a NodeStarted) -> Self {
        Self { node_id, kind: *kind, attempt: *attempt, node_sha256: *node_sha256 }
    }
}

impl<'a> From<&'a NodeStartedRef<'_>> for Started<'a> {
    fn from(NodeStartedRef { node_id, kind, attempt, node_sha256, .. }: &'a NodeStartedRef<'_>) -> Self {
        Self { node_id, kind: *kind, attempt: *attempt, node_sha256: node_sha256.map(DigestRef::get) }
    }
}

/// What a `node.completed` says.
pub(super) struct Completed<'a> {
    node_id: &'a NodeId,
    attempt: u32,
    output_path: Option<&'a str>,
    output_bytes: u64,
    output_sha256: Option<Digest>,
    duration_ms: u64,
    exit_code: Option<i32>,
    outputs: Option<&'a Outputs>,
    usage: Option<Usage>,
    denied_tools: &'a [SmolStr],
}

impl<'a> From<&'a NodeCompleted> for Completed<'a> {
    fn from(completed: &'a NodeCompleted) -> Self {
        Self {
            node_id: &completed.node_id,
            attempt: completed.attempt,
            output_path: completed.output_path.as_deref(),
            output_bytes: completed.output_bytes,
            output_sha256: completed.output_sha256,
            duration_ms: completed.duration_ms,
            exit_code: completed.exit_code,
            outputs: completed.outputs.as_ref(),
            usage: completed.usage,
            denied_tools: completed.denied_tools.as_deref().unwrap_or_default(),
        }
    }
}

impl<'a> From<&'a NodeCompletedRef<'_>> for Completed<'a> {
    fn from(completed: &'a NodeCompletedRef<'_>) -> Self {
        Self {
            node_id: &completed.node_id,
            attempt: completed.attempt,
            output_path: completed.output_path,
            output_bytes: completed.output_bytes,
            output_sha256: Some(completed.output_sha256.get()),
            duration_ms: completed.duration_ms,
            exit_code: completed.exit_code,
            outputs: None,
            usage: None,
            denied_tools: &[],
        }
    }
}

impl RunState {
    pub(super) fn running_node(
        &mut self,
        id: &NodeId,
        attempt: u32,
        event: &'static str,
    ) -> Result<usize, Violation> {
        let place = self.place(id)?;
        let record = &self.nodes[place];
        if !matches!(record.phase, NodePhase::Running | NodePhase::Waiting) {
            return Err(Violation::NotRunning { node: id.clone(), event });
        }
        if record.attempt != attempt {
            return Err(Violation::Attempt { node: id.clone(), found: attempt, expected: record.attempt });
        }
        Ok(place)
    }

    pub(super) fn node_started(&mut self, started: &Started<'_>, at: Timestamp) -> Result<(), Violation> {
        let place = self.place(started.node_id)?;
        if self.pipe.is_none() {
            self.loose[place].1 = started.kind;
        }
        if !self.nodes[place].stands_at_gate() {
            // Of an attempt that was cut off nobody says any more what it used in all.
            self.used(place, None);
        }
        let may_start = self.scheduler.as_ref().is_none_or(|s| s.may_start(NodeIx::new(place)))
            || self.resumes > 0 && self.follows_kept(NodeIx::new(place));
        let record = &mut self.nodes[place];
        let why = match record.phase {
            NodePhase::Running | NodePhase::Waiting => Some("while it runs"),
            NodePhase::Completed => Some("after it had completed"),
            NodePhase::Skipped => Some("after it was skipped"),
            _ if !may_start => Some("before its dependencies allow it"),
            NodePhase::Pending | NodePhase::Retrying | NodePhase::Failed | NodePhase::Blocked => None,
        };
        let expected = record.attempt + 1;
        if record.phase != NodePhase::Running {
            self.running += 1;
        }
        record.phase = NodePhase::Running;
        record.attempt = started.attempt;
        record.started_at = Some(at);
        record.node_sha256 = started.node_sha256;
        (record.ended_at, record.duration_ms, record.exit_code) = (None, None, None);
        (record.output_bytes, record.output_sha256) = (0, None);
        let goes_on = record.goes_on;
        if let Some(rare) = &mut record.rare {
            if !goes_on {
                rare.iteration = None;
            }
            rare.round_open = false;
            rare.unapproved = None;
            (rare.error, rare.message, rare.signal, rare.reason) = (None, None, None, None);
            (rare.outputs, rare.output_path) = (None, None);
            if !goes_on {
                rare.gate = None;
            }
            rare.denied_tools.clear();
        }
        if let Some(why) = why {
            return Err(Violation::Start { node: started.node_id.clone(), why });
        }
        if self.pipe.is_some() && started.attempt != expected {
            return Err(Violation::Attempt {
                node: started.node_id.clone(),
                found: started.attempt,
                expected,
            });
        }
        Ok(())
    }

    pub(super) fn node_spawned(
        &mut self,
        node: &NodeId,
        attempt: u32,
        process: (u32, Timestamp),
    ) -> Result<(), Violation> {
        self.begun = true;
        let place = self.running_node(node, attempt, "node.spawned")?;
        if let Some(rare) = &mut self.nodes[place].rare {
            rare.session_begun = rare.session_id.is_some();
        }
        self.processes.insert(place, process);
        Ok(())
    }

    pub(super) fn node_completed(
        &mut self,
        completed: &Completed<'_>,
        at: Timestamp,
    ) -> Result<(), Violation> {
        self.begun = true;
        let place = self.running_node(completed.node_id, completed.attempt, "node.completed")?;
        self.processes.remove(&place);
        let record = &mut self.nodes[place];
        let why = record
            .rare
            .as_deref()
            .and_then(|rare| rare.gate.as_ref().and_then(Gate::unapproved).or(rare.unapproved));
        // One that waits for people is counted as waiting already.
        self.running -= usize::from(record.phase == NodePhase::Running);
        record.goes_on = false;
        record.phase = NodePhase::Completed;
        record.ended_at = Some(at);
        record.duration_ms = Some(completed.duration_ms);
        record.exit_code = completed.exit_code;
        record.output_bytes = completed.output_bytes;
        record.output_sha256 = completed.output_sha256;
        let Completed { output_path, outputs, denied_tools, .. } = completed;
        if output_path.is_some() || outputs.is_some() || !denied_tools.is_empty() {
            let rare = record.rare();
            rare.denied_tools = denied_tools.to_vec();
            rare.output_path = output_path.map(str::to_owned);
            rare.outputs = outputs.cloned();
        }
        self.used(place, completed.usage);
        self.end(place, Standing::Completed);
        match why.filter(|_| self.pipe.is_some()) {
            Some(why) => Err(Violation::Unapproved { node: completed.node_id.clone(), why: why.as_str() }),
            None => Ok(()),
        }
    }

    /// Whether a node's own dependencies allow it, though something before them that runs again has not ended.
    fn follows_kept(&self, node: NodeIx) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let phases = pipe.graph().dependencies(node).iter().map(|d| self.nodes[d.place()].phase);
        let mut ends = Ends::default();
        for phase in phases {
            match phase {
                NodePhase::Completed => ends.any_completed = true,
                NodePhase::Failed | NodePhase::Blocked => ends.any_failed = true,
                NodePhase::Skipped => ends.any_skipped = true,
                NodePhase::Pending | NodePhase::Running | NodePhase::Retrying | NodePhase::Waiting => {
                    ends.open += 1
                }
            }
        }
        let dependencies = pipe.graph().dependencies(node).len();
        pipe.node(node).trigger_rule.decide(dependencies, ends) == Verdict::Fire
    }

    pub(super) fn node_failed(&mut self, failed: &NodeFailed, at: Timestamp) -> Result<(), Violation> {
        let place = self.running_node(&failed.node_id, failed.attempt, "node.failed")?;
        self.processes.remove(&place);
        let record = &mut self.nodes[place];
        // One that waits for people is counted as waiting already.
        self.running -= usize::from(record.phase == NodePhase::Running);
        record.goes_on = false;
        record.phase = if failed.retry_in_ms.is_some() { NodePhase::Retrying } else { NodePhase::Failed };
        record.ended_at = Some(at);
        record.duration_ms = Some(failed.duration_ms);
        record.exit_code = failed.exit_code;
        let rare = record.rare();
        rare.error = Some(failed.error.clone());
        rare.message.clone_from(&failed.message);
        rare.signal = failed.signal;
        self.used(place, failed.usage);
        if failed.retry_in_ms.is_none() {
            self.end(place, Standing::Failed);
        }
        Ok(())
    }

    /// An attempt used this; without a word of it, what its rounds used that ended.
    pub(super) fn used(&mut self, place: usize, usage: Option<Usage>) {
        let using = self.nodes[place].rare.as_mut().and_then(|rare| rare.using.take());
        if let Some(usage) = usage.or(using) {
            self.usage += usage;
            *self.nodes[place].rare().used.get_or_insert_default() += usage;
        }
    }
}
