//! Reads a log as it grows and holds it to the laws, by its own means: neither
//! the state nor the scheduler of the runner is asked.

use std::{sync::Arc, time::Duration};

use omne_dag::{NodeIx, TriggerRule};
use omne_events::{Decoder, Event, GateDecided, Line, NodeId, PlanAction};
use omne_pipe::Pipe;

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Open,
    Runs,
    Asks,
    /// People have said something; no runner has gone on with it yet.
    Answered,
    /// With the `seq` that told it, and how long it took.
    Completed(u64, Duration),
    /// The same; whether it will be tried again.
    Failed(u64, Duration, bool),
    Skipped,
}

/// How a node ended, or that it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Completed,
    Failed,
    Skipped,
    Blocked,
}

#[derive(Debug)]
struct Record {
    stand: Stand,
    attempt: u32,
    /// Attempts before the present go.
    before: u32,
    gate: String,
    /// The gate at which people answered, and whether with yes, until the node ended or is made anew.
    answer: Option<(String, bool)>,
}

/// What the log has told.
pub(super) struct Judge {
    pipe: Arc<Pipe>,
    jobs: usize,
    decoder: Decoder,
    nodes: Vec<Record>,
    pub(super) has_begun: bool,
    pub(super) has_ended: bool,
}

impl Judge {
    pub(super) fn new(pipe: &Arc<Pipe>, jobs: usize) -> Self {
        let record =
            |_| Record { stand: Stand::Open, attempt: 0, before: 0, gate: String::new(), answer: None };
        let nodes = pipe.nodes().iter().map(record).collect();
        let (pipe, decoder) = (Arc::clone(pipe), Decoder::new());
        Self { pipe, jobs, decoder, nodes, has_begun: false, has_ended: false }
    }

    /// Takes in whole lines.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let decoded =
                self.decoder.decode(line).map_err(|error| format!("every line is an event: {error}"))?;
            let Line::Known(record) = decoded.line.into_line() else {
                return Err("every event is known".into());
            };
            self.happened(record.seq, &record.event)
                .map_err(|law| format!("{law}: {}", String::from_utf8_lossy(line)))?;
        }
        Ok(())
    }

    fn happened(&mut self, seq: u64, event: &Event) -> Result<(), &'static str> {
        if let Event::PipeStarted(_) | Event::PipeResumed(_) = event {
            self.has_ended = false;
        } else if self.has_ended && !matches!(event, Event::GateDecided(_)) {
            return Err("nothing follows the end of a run but a resume");
        }
        match event {
            Event::PipeStarted(_) if self.has_begun => return Err("a run begins once"),
            Event::PipeStarted(_) => self.has_begun = true,
            Event::PipeResumed(resumed) => {
                for step in &resumed.plan {
                    let place = self.place(&step.node_id)?;
                    let record = &mut self.nodes[place];
                    if step.action == PlanAction::Keep {
                        if !matches!(record.stand, Stand::Completed(..) | Stand::Skipped) {
                            return Err("what is kept has completed, or was skipped");
                        }
                        continue;
                    }
                    if matches!(record.stand, Stand::Completed(..)) {
                        return Err("a completed node runs again only when somebody asks for it");
                    }
                    record.stand = Stand::Open;
                    record.before = record.attempt;
                    if step.action != PlanAction::Continue {
                        if record.answer.is_some() {
                            return Err("what people answered about is not made anew");
                        }
                        record.gate.clear();
                    }
                }
            }
            Event::PipeCompleted(_) => {
                self.has_ended = true;
                let is_well = |end: End| matches!(end, End::Completed | End::Skipped);
                if !self.ends().into_iter().all(is_well) {
                    return Err("a run completes when all its nodes completed or were skipped");
                }
            }
            Event::PipeAborted(_) | Event::PipeInterrupted(_) => {
                self.has_ended = true;
                if self.nodes.iter().any(|node| node.stand == Stand::Runs) {
                    return Err("nothing runs when the run has ended");
                }
            }
            Event::PipeParked(_) => {
                self.has_ended = true;
                if !self.nodes.iter().any(|node| node.stand == Stand::Asks) {
                    return Err("a run waits for people only when a node asks them");
                }
            }
            Event::NodeStarted(started) => return self.started(&started.node_id, started.attempt),
            Event::NodeCompleted(completed) => {
                let took = Duration::from_millis(completed.duration_ms);
                self.ended(&completed.node_id, completed.attempt, Stand::Completed(seq, took))?;
            }
            Event::NodeFailed(failed) => {
                let took = Duration::from_millis(failed.duration_ms);
                let stand = Stand::Failed(seq, took, failed.retry_in_ms.is_some());
                let place = self.place(&failed.node_id)?;
                let record = &self.nodes[place];
                let retry = self.pipe.nodes()[place].retry();
                let tries = failed.attempt - record.before;
                if failed.retry_in_ms.is_some() && retry.is_none_or(|retry| tries > retry.max) {
                    return Err("a node is tried again as often as its `retry` says, and no more");
                }
                self.ended(&failed.node_id, failed.attempt, stand)?;
            }
            Event::NodeSkipped(skipped) => {
                let place = self.place(&skipped.node_id)?;
                if self.nodes[place].stand != Stand::Open {
                    return Err("only a node that has not run is skipped");
                }
                self.nodes[place].stand = Stand::Skipped;
            }
            Event::GateWaiting(waiting) => {
                let record = self.running(&waiting.node_id)?;
                if record.answer.as_ref().is_some_and(|(gate, _)| *gate == *waiting.gate) {
                    return Err("people are asked once");
                }
                record.stand = Stand::Asks;
                record.gate = waiting.gate.to_string();
            }
            Event::GateDecided(decided) => {
                let place = self.place(&decided.node_id)?;
                let record = &mut self.nodes[place];
                if record.stand == Stand::Open && decided.by == "ask_timeout" && record.gate == *decided.gate
                {
                    // It had asked before the resume, too long ago.
                    record.answer = Some((decided.gate.to_string(), decided.approved));
                    return Ok(());
                }
                if record.stand != Stand::Asks {
                    return Err("people answer what was asked");
                }
                record.answer = Some((decided.gate.to_string(), decided.approved));
                record.stand = if self.has_ended { Stand::Answered } else { Stand::Runs };
            }
            Event::NodeSpawned(event) => drop(self.running(&event.node_id)?),
            Event::IterationStarted(event) => drop(self.running(&event.node_id)?),
            Event::IterationCompleted(event) => drop(self.running(&event.node_id)?),
            Event::AgentStarted(event) => drop(self.running(&event.node_id)?),
            Event::AgentTool(event) => drop(self.running(&event.node_id)?),
            Event::GatePassed(event) => drop(self.running(&event.node_id)?),
            Event::HookDecided(_) => {}
        }
        Ok(())
    }

    fn started(&mut self, id: &NodeId, attempt: u32) -> Result<(), &'static str> {
        let place = self.place(id)?;
        let rule = self.pipe.nodes()[place].trigger_rule;
        let fires = verdict(rule, &self.dependencies(place, &self.ends())) == Some(End::Completed);
        let running = self.nodes.iter().filter(|node| node.stand == Stand::Runs).count();
        match self.nodes[place].stand {
            Stand::Open | Stand::Failed(_, _, true) => {}
            Stand::Runs | Stand::Asks | Stand::Answered => return Err("a node does not start while it runs"),
            Stand::Completed(..) => return Err("a completed node never runs again unless asked"),
            Stand::Failed(..) | Stand::Skipped => return Err("what has ended does not start again"),
        }
        if !fires {
            return Err("nothing starts before its dependencies allow it");
        }
        if !self.nothing_open_before(place, &self.ends()) {
            return Err("nothing starts before all that comes before it has ended");
        }
        let record = &mut self.nodes[place];
        if running >= self.jobs {
            return Err("no more nodes run at once than may");
        }
        if attempt != record.attempt + 1 {
            return Err("attempts are counted");
        }
        record.attempt = attempt;
        record.stand = Stand::Runs;
        Ok(())
    }

    fn ended(&mut self, id: &NodeId, attempt: u32, stand: Stand) -> Result<(), &'static str> {
        let place = self.place(id)?;
        let record = &mut self.nodes[place];
        // One that asks people ends so when the run is cancelled.
        if !matches!(record.stand, Stand::Runs | Stand::Asks) || record.attempt != attempt {
            return Err("what ends was running");
        }
        if matches!(record.answer.take(), Some((_, false))) && matches!(stand, Stand::Completed(..)) {
            return Err("a no is a no");
        }
        record.stand = stand;
        Ok(())
    }

    fn running(&mut self, id: &NodeId) -> Result<&mut Record, &'static str> {
        let place = self.place(id)?;
        match &mut self.nodes[place] {
            record if record.stand == Stand::Runs => Ok(record),
            _ => Err("what tells something runs"),
        }
    }

    fn place(&self, id: &NodeId) -> Result<usize, &'static str> {
        self.pipe.find(id.as_str()).map(NodeIx::place).ok_or("every node is one of the pipe")
    }

    fn dependencies(&self, place: usize, ends: &[End]) -> Vec<End> {
        let dependencies = self.pipe.graph().dependencies(NodeIx::new(place));
        dependencies.iter().map(|ix| ends[ix.place()]).collect()
    }

    /// Whether all that a node depends on, directly or not, has ended; but for nodes that start at the first success.
    fn nothing_open_before(&self, place: usize, ends: &[End]) -> bool {
        let mut seen = vec![false; ends.len()];
        let mut next = vec![place];
        while let Some(place) = next.pop() {
            if self.pipe.nodes()[place].trigger_rule == TriggerRule::OneSuccess {
                continue;
            }
            for dependency in self.pipe.graph().dependencies(NodeIx::new(place)) {
                let place = dependency.place();
                if ends[place] == End::Open {
                    return false;
                }
                if !std::mem::replace(&mut seen[place], true) {
                    next.push(place);
                }
            }
        }
        true
    }

    /// How each node ended, in the pipe's order.
    pub(super) fn ends(&self) -> Vec<End> {
        let mut ends: Vec<End> = self
            .nodes
            .iter()
            .map(|node| match node.stand {
                Stand::Completed(..) => End::Completed,
                Stand::Failed(_, _, false) => End::Failed,
                Stand::Skipped => End::Skipped,
                Stand::Open | Stand::Runs | Stand::Asks | Stand::Answered | Stand::Failed(..) => End::Open,
            })
            .collect();
        // That a node is blocked no event tells. A node's dependencies may stand anywhere, so again until it is told of all.
        loop {
            let blocked = (0..ends.len()).find(|&place| {
                let open = ends[place] == End::Open && self.nodes[place].stand == Stand::Open;
                let rule = self.pipe.nodes()[place].trigger_rule;
                open && verdict(rule, &self.dependencies(place, &ends)) == Some(End::Blocked)
            });
            let Some(place) = blocked else { return ends };
            ends[place] = End::Blocked;
        }
    }

    /// Whether an attempt may be begun by now: its start is in the log, and what it depends on is on disk where that is
    /// promised. `worth` is how long a node has to have run for that.
    pub(super) fn may_begin(
        &self,
        node: NodeIx,
        attempt: u32,
        worth: Option<Duration>,
        synced: u64,
    ) -> Result<(), &'static str> {
        let record = &self.nodes[node.place()];
        if !matches!(record.stand, Stand::Runs) || record.attempt != attempt {
            return Err("what begins is in the log before");
        }
        let Some(worth) = worth else { return Ok(()) };
        let lost = |stand: Stand| match stand {
            Stand::Completed(seq, took) | Stand::Failed(seq, took, false) => took >= worth && seq > synced,
            Stand::Open
            | Stand::Runs
            | Stand::Asks
            | Stand::Answered
            | Stand::Failed(..)
            | Stand::Skipped => false,
        };
        let dependencies = self.pipe.graph().dependencies(node);
        let mut stands = dependencies.iter().map(|ix| self.nodes[ix.place()].stand);
        let durable = match self.pipe.node(node).trigger_rule {
            // One that completed is enough, so that one has to be there.
            TriggerRule::OneSuccess => {
                dependencies.is_empty()
                    || stands.any(|stand| matches!(stand, Stand::Completed(..)) && !lost(stand))
            }
            TriggerRule::AllSuccess | TriggerRule::AllDone | TriggerRule::NoneFailed => !stands.any(lost),
        };
        match durable {
            true => Ok(()),
            false => Err("what a node depends on is on disk before it begins"),
        }
    }

    /// Which nodes ask people, at which gate.
    pub(super) fn questions(&self) -> Vec<(NodeId, String)> {
        let asks = |(record, node): (&Record, &omne_pipe::Node)| {
            (record.stand == Stand::Asks).then(|| (node.id.clone(), record.gate.clone()))
        };
        self.nodes.iter().zip(self.pipe.nodes()).filter_map(asks).collect()
    }

    /// An answer to each of them.
    pub(super) fn answers(&self, approved: impl Fn(&NodeId) -> bool) -> Vec<GateDecided> {
        let answer = |(node_id, gate): (NodeId, String)| {
            let approved = approved(&node_id);
            let option = if approved { "approve" } else { "reject" }.to_owned();
            GateDecided { node_id, gate: gate.into(), option, approved, by: "sim".into(), comment: None }
        };
        self.questions().into_iter().map(answer).collect()
    }
}

/// What a rule says: that the node may run (`Completed`), is skipped, is blocked; `None` when it can't be said yet.
fn verdict(rule: TriggerRule, dependencies: &[End]) -> Option<End> {
    let any = |end| dependencies.contains(&end);
    let all_ended = !any(End::Open);
    let unwell = any(End::Failed) || any(End::Blocked);
    match rule {
        _ if dependencies.is_empty() => Some(End::Completed),
        TriggerRule::OneSuccess if any(End::Completed) => Some(End::Completed),
        _ if !all_ended => None,
        TriggerRule::AllDone => Some(End::Completed),
        TriggerRule::OneSuccess => Some(End::Blocked),
        TriggerRule::AllSuccess | TriggerRule::NoneFailed if unwell => Some(End::Blocked),
        TriggerRule::AllSuccess if any(End::Skipped) => Some(End::Skipped),
        TriggerRule::AllSuccess | TriggerRule::NoneFailed => Some(End::Completed),
    }
}
