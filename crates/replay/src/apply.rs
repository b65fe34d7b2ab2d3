//! One event applied to the state, and the rules that it has to obey.

mod attempt;
mod gates;
mod violation;

use std::sync::Arc;

use omne_dag::{Fired, NodeIx, Scheduler, Standing};
use omne_events::{
    Digest, Event, EventRef, IterationOutcome, IterationStarted, Line, LineRef, NodeId, NodeKind,
    PipeResumed, PipeStarted, PlanAction, RecordRef, Recorded, RunId, Timestamp,
};
use omne_pipe::Pipe;
use rustc_hash::FxHashSet;

pub use violation::Violation;

use crate::state::{NodePhase, NodeRecord, RunPhase, RunState};

/// Whether only a runner that is at it makes such an event. People may answer and cancel when there is none.
fn is_done_by_a_runner(event: &str) -> bool {
    matches!(
        event,
        "node.started" | "node.spawned" | "node.completed" | "iteration.started" | "pipe.completed"
    )
}

/// Where in a run an event stands, and what it is called.
#[derive(Clone, Copy)]
enum Position {
    /// It is the run's first one.
    First,
    /// Another go begins with it.
    Resume(&'static str),
    /// Anywhere in between.
    Within(&'static str),
}

impl RunState {
    /// Takes the next line in; one of a later version says nothing.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_line(&mut self, line: &LineRef<'_>) -> Result<(), Violation> {
        match line {
            LineRef::Borrowed(record) => self.apply_ref(record),
            LineRef::Owned(line) => match &**line {
                Line::Known(record) => self.apply(record),
                Line::Unknown { kind, .. } if self.phase == RunPhase::Completed => {
                    Err(Violation::AfterEnd { event: kind.as_str().into(), end: "pipe.completed" })
                }
                Line::Unknown { .. } => Ok(()),
            },
        }
    }

    fn apply_ref(&mut self, record: &RecordRef<'_>) -> Result<(), Violation> {
        let kind = record.event.kind();
        self.pass_to(record.seq, record.at, record.run, Position::Within(kind))?;
        match &record.event {
            EventRef::NodeStarted(started) => self.node_started(&started.into(), record.at),
            EventRef::NodeSpawned(spawned) => {
                self.node_spawned(&spawned.node_id, spawned.attempt, (spawned.pid, record.at))
            }
            EventRef::NodeCompleted(completed) => self.node_completed(&completed.into(), record.at),
            EventRef::AgentTool(tool) => self.running_node(&tool.node_id, tool.attempt, kind).map(|_| ()),
        }
    }

    /// Takes the next record in.
    ///
    /// # Errors
    /// When it breaks a rule; the state has taken what it could from it.
    pub fn apply(&mut self, record: &Recorded) -> Result<(), Violation> {
        let kind = record.event.kind();
        let position = match &record.event {
            Event::PipeStarted(_) => Position::First,
            Event::PipeResumed(_) => Position::Resume(kind),
            _ => Position::Within(kind),
        };
        self.pass_to(record.seq, record.at, record.run.as_str(), position)?;
        match &record.event {
            Event::PipeStarted(started) => self.start(started, record.at),
            Event::PipeResumed(resumed) => self.resume(resumed, record.at),
            Event::PipeCompleted(completed) => {
                self.is_over(RunPhase::Completed, record.at, Some(completed.duration_ms));
                let count =
                    |is: fn(NodePhase) -> bool| self.nodes.iter().filter(|node| is(node.phase)).count();
                let unwell = |phase| matches!(phase, NodePhase::Failed | NodePhase::Blocked);
                match (count(|phase| !phase.is_final()), count(unwell)) {
                    (0, 0) => Ok(()),
                    (0, unwell) => Err(Violation::CompletedUnwell(unwell)),
                    (open, _) => Err(Violation::CompletedEarly(open)),
                }
            }
            Event::PipeAborted(aborted) => {
                self.is_over(RunPhase::Aborted, record.at, Some(aborted.duration_ms));
                self.reason = Some(aborted.reason.clone());
                self.give_up_retries();
                self.nothing_runs(kind)
            }
            Event::PipeInterrupted(interrupted) => {
                self.is_over(RunPhase::Interrupted, record.at, None);
                self.reason = Some(interrupted.signal.to_string());
                self.give_up_retries();
                self.nothing_runs(kind)
            }
            Event::PipeParked(_) => {
                self.is_over(RunPhase::Parked, record.at, None);
                self.give_up_retries();
                self.nothing_runs(kind)
            }
            Event::NodeStarted(started) => self.node_started(&started.into(), record.at),
            Event::NodeSpawned(spawned) => {
                self.node_spawned(&spawned.node_id, spawned.attempt, (spawned.pid, record.at))
            }
            Event::NodeCompleted(completed) => self.node_completed(&completed.into(), record.at),
            Event::NodeFailed(failed) => self.node_failed(failed, record.at),
            Event::NodeSkipped(skipped) => {
                let node = self.place(&skipped.node_id)?;
                if self.nodes[node].phase == NodePhase::Running {
                    return Err(Violation::Start {
                        node: skipped.node_id.clone(),
                        why: "and is skipped while it runs",
                    });
                }
                self.nodes[node].phase = NodePhase::Skipped;
                // What it was when it was decided about is not in the log.
                self.nodes[node].node_sha256 = None;
                self.nodes[node].rare().reason = Some(skipped.reason.clone());
                self.end(node, Standing::Skipped);
                Ok(())
            }
            Event::IterationStarted(started) => self.iteration_started(started),
            Event::IterationCompleted(completed) => {
                let node = self.running_node(&completed.node_id, completed.attempt, kind)?;
                let is_loose = self.pipe.is_none();
                let rare = self.nodes[node].rare();
                let is_open =
                    std::mem::take(&mut rare.round_open) && rare.iteration == Some(completed.iteration);
                if !is_open && !is_loose {
                    return Err(Violation::IterationEnd {
                        node: completed.node_id.clone(),
                        found: completed.iteration,
                    });
                }
                if completed.outcome != IterationOutcome::Failed {
                    rare.rounds_ended = completed.iteration;
                    rare.loop_done = completed.outcome == IterationOutcome::Until;
                }
                if let Some(usage) = completed.usage {
                    *rare.using.get_or_insert_default() += usage;
                }
                Ok(())
            }
            Event::AgentStarted(started) => {
                let node = self.running_node(&started.node_id, started.attempt, kind)?;
                if let Some(session) = &started.session_id {
                    let rare = self.nodes[node].rare();
                    (rare.session_id, rare.session_begun) = (Some(session.clone()), true);
                }
                Ok(())
            }
            Event::AgentTool(tool) => self.running_node(&tool.node_id, tool.attempt, kind).map(|_| ()),
            Event::GatePassed(passed) => self.gate_passed(passed),
            Event::GateWaiting(waiting) => self.gate_waiting(waiting, record.at),
            Event::GateDecided(decided) => self.gate_decided(decided),
            Event::HookDecided(_) => Ok(()),
        }
    }

    /// Goes on to the event of that number and time; whether one may stand there.
    fn pass_to(&mut self, seq: u64, at: Timestamp, run: &str, position: Position) -> Result<(), Violation> {
        let resumes = matches!(position, Position::Resume(_));
        if resumes {
            // The go before lasted until its last event, however long ago its runner died.
            self.active_before_ms = self.active_ms();
        }
        let at_it = matches!(self.phase, RunPhase::Unborn | RunPhase::Running);
        if at_it || resumes {
            // What people say to a parked run is said while nobody is at it.
            self.go_until = Some(at);
        }
        self.seq = seq;
        self.last_at = Some(at);
        if self.run.is_none() {
            self.run = RunId::new(run).ok();
        }
        match (self.phase, position) {
            (RunPhase::Unborn, Position::First) => Ok(()),
            (RunPhase::Unborn, Position::Resume(kind) | Position::Within(kind)) => {
                self.phase = RunPhase::Running;
                Err(Violation::NotStarted(kind))
            }
            (_, Position::First) => Err(Violation::StartedTwice),
            (RunPhase::Completed, Position::Within(kind)) => {
                Err(Violation::AfterEnd { event: kind.into(), end: "pipe.completed" })
            }
            (RunPhase::Aborted | RunPhase::Interrupted | RunPhase::Parked, Position::Within(kind))
                if self.pipe.is_some() && is_done_by_a_runner(kind) =>
            {
                let end = match self.phase {
                    RunPhase::Aborted => "pipe.aborted",
                    RunPhase::Interrupted => "pipe.interrupted",
                    _ => "pipe.parked",
                };
                Err(Violation::AfterEnd { event: kind.into(), end })
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, started: &PipeStarted, at: Timestamp) -> Result<(), Violation> {
        self.phase = RunPhase::Running;
        self.name = started.pipe.clone();
        self.version = started.version;
        (self.started_at, self.go_since) = (Some(at), Some(at));
        self.inputs = started.inputs.iter().map(|input| (input.key.clone(), input.value.clone())).collect();
        self.jobs = started.jobs;
        self.workspace = started.workspace.clone();
        self.host = started.host.clone();
        self.by = started.by.clone();
        match &started.definition {
            Some(definition) => self.define(definition.get(), started.definition_sha256),
            None => Ok(()),
        }
    }

    /// Takes a definition and begins with no node ended.
    fn define(&mut self, definition: &str, sha256: Option<Digest>) -> Result<(), Violation> {
        self.definition_sha256 = sha256;
        if self.light {
            #[derive(serde::Deserialize)]
            struct Named {
                version: Option<u64>,
            }
            if let Ok(Named { version: Some(version) }) = serde_json::from_str(definition) {
                self.version = Some(version);
            }
            return Ok(());
        }
        let pipe = match self.expected.take() {
            Some(pipe) if pipe.definition() == definition => pipe,
            _ => Arc::new(omne_pipe::from_definition(definition).map_err(|faults| {
                let first = faults.first().map_or("it is empty", |fault| fault.message.as_str());
                Violation::Definition(first.to_owned())
            })?),
        };
        self.begin_with(pipe);
        if sha256 == Some(Digest::of(definition)) { Ok(()) } else { Err(Violation::DefinitionDigest) }
    }

    /// Takes a pipe; what is known of nodes with ids that it also has is kept.
    fn begin_with(&mut self, pipe: Arc<Pipe>) {
        let mut records = Vec::with_capacity(pipe.nodes().len());
        let mut departed = std::mem::take(&mut self.departed);
        for node in pipe.nodes() {
            records.push(match self.find(node.id.as_str()) {
                Some(ix) => std::mem::take(&mut self.nodes[ix.place()]),
                None => NodeRecord {
                    attempt: departed.remove(&node.id).unwrap_or_default(),
                    ..NodeRecord::default()
                },
            });
        }
        let gone = self.nodes().filter(|(id, _, _)| pipe.find(id.as_str()).is_none());
        departed.extend(
            gone.filter(|(_, _, node)| node.attempt > 0).map(|(id, _, node)| (id.clone(), node.attempt)),
        );
        self.departed = departed;
        self.nodes = records;
        self.version = Some(pipe.version());
        self.pipe = Some(pipe);
        self.schedule();
    }

    /// Forgets all nodes but these, where the pipe is not known.
    fn keep_only(&mut self, ids: &FxHashSet<&NodeId>) {
        let (nodes, loose) = (std::mem::take(&mut self.nodes), std::mem::take(&mut self.loose));
        self.loose_index.clear();
        for (record, (id, kind)) in nodes.into_iter().zip(loose) {
            if ids.contains(&id) {
                self.loose_index.insert(id.clone(), self.nodes.len());
                self.nodes.push(record);
                self.loose.push((id, kind));
            }
        }
    }

    /// The run ends: what waits for another attempt has failed, since there is none in this go.
    pub fn give_up_retries(&mut self) {
        for place in 0..self.nodes.len() {
            if self.nodes[place].phase == NodePhase::Retrying {
                self.nodes[place].phase = NodePhase::Failed;
                self.end(place, Standing::Failed);
            }
        }
    }

    fn is_over(&mut self, phase: RunPhase, at: Timestamp, took: Option<u64>) {
        (self.phase, self.over_at) = (phase, Some(at));
        // Logs of omne-cli 0.2 do not tell it.
        self.go_took = took.filter(|_| self.definition_sha256.is_some());
    }

    fn nothing_runs(&self, event: &'static str) -> Result<(), Violation> {
        // Where the pipe is not known, neither is what would have to have ended.
        match self.running {
            running @ 1.. if self.pipe.is_some() => Err(Violation::EndedEarly { event, running }),
            _ => Ok(()),
        }
    }

    /// Begins scheduling anew from what has ended.
    fn schedule(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let mut fired = Vec::new();
        let nodes = &self.nodes;
        let ended = |node: NodeIx| match nodes[node.place()].phase {
            NodePhase::Completed => Some(Standing::Completed),
            NodePhase::Failed => Some(Standing::Failed),
            NodePhase::Skipped => Some(Standing::Skipped),
            NodePhase::Pending
            | NodePhase::Running
            | NodePhase::Retrying
            | NodePhase::Blocked
            | NodePhase::Waiting => None,
        };
        self.scheduler = Some(Scheduler::new(pipe.graph(), pipe.rules(), ended, &mut fired));
        self.fired.clear();
        self.note(fired);
    }

    /// Marks what became blocked, and keeps the rest for whoever drives the run.
    fn note(&mut self, fired: Vec<Fired>) {
        for fired in &fired {
            if let Fired::Blocked(node) = fired {
                self.nodes[node.place()].phase = NodePhase::Blocked;
            }
        }
        self.fired.extend(fired);
    }

    fn end(&mut self, place: usize, standing: Standing) {
        if let (Some(scheduler), Some(pipe)) = (&mut self.scheduler, &self.pipe) {
            let mut fired = Vec::new();
            scheduler.end(pipe.graph(), NodeIx::new(place), standing, &mut fired);
            self.note(fired);
        }
    }

    fn resume(&mut self, resumed: &PipeResumed, at: Timestamp) -> Result<(), Violation> {
        let expected = self.resumes + 1;
        self.resumes = resumed.resume;
        self.phase = RunPhase::Running;
        (self.go_since, self.go_took) = (Some(at), None);
        self.reason = None;
        // Whatever was left was ended first.
        self.processes.clear();
        self.host = resumed.host.clone().or(self.host.take());
        self.by = resumed.by.clone().or(self.by.take());
        let mut result = Ok(());
        if let Some(definition) = &resumed.definition {
            result = self.define(definition.get(), resumed.definition_sha256);
            if self.light {
                // A plan has a step for each node of its pipe.
                self.keep_only(&resumed.plan.iter().map(|step| &step.node_id).collect());
            }
        }
        if let Some(inputs) = &resumed.inputs {
            self.inputs = inputs.iter().map(|input| (input.key.clone(), input.value.clone())).collect();
        }
        for step in &resumed.plan {
            if step.why.is_empty() {
                result = result.and(Err(Violation::NoWhy(step.node_id.clone())));
            }
            let Ok(place) = self.place(&step.node_id) else {
                result = result.and(Err(Violation::UnknownNode(step.node_id.clone())));
                continue;
            };
            let record = &mut self.nodes[place];
            match step.action {
                PlanAction::Keep => {}
                PlanAction::Rerun | PlanAction::Run | PlanAction::Continue => {
                    let keeps_approval = step.action == PlanAction::Continue && record.keeps_approval();
                    if record.phase == NodePhase::Failed
                        && !keeps_approval
                        && let Some(rare) = &mut record.rare
                    {
                        // It stands at no gate any more: what it used is told, and what people said was said of that.
                        rare.gate = None;
                    }
                    record.phase = NodePhase::Pending;
                    record.goes_on = step.action == PlanAction::Continue;
                    record.attempts_before = record.attempt;
                    let anew = step.action != PlanAction::Continue;
                    if anew {
                        // What it came to counts no more, even if it does not come to run again.
                        (record.started_at, record.ended_at, record.duration_ms) = (None, None, None);
                        (record.exit_code, record.output_bytes, record.output_sha256) = (None, 0, None);
                    }
                    if let Some(rare) = &mut record.rare {
                        (rare.error, rare.message, rare.reason, rare.signal) = (None, None, None, None);
                        if anew {
                            (rare.iteration, rare.session_id, rare.gate) = (None, None, None);
                            (rare.rounds_ended, rare.loop_done, rare.session_begun) = (0, false, false);
                            (rare.outputs, rare.output_path) = (None, None);
                            rare.denied_tools.clear();
                        }
                    }
                }
            }
        }
        // The plan of a log that somebody else wrote may pass over a node that had begun.
        self.running = self.nodes.iter().filter(|record| record.phase == NodePhase::Running).count();
        self.schedule();
        if resumed.resume != expected {
            result = result.and(Err(Violation::Resume { found: resumed.resume, expected }));
        }
        result
    }

    fn place(&mut self, id: &NodeId) -> Result<usize, Violation> {
        if let Some(pipe) = &self.pipe {
            return pipe
                .find(id.as_str())
                .map(NodeIx::place)
                .ok_or_else(|| Violation::UnknownNode(id.clone()));
        }
        // A log of omne-cli 0.2: nodes are known once they are named.
        if let Some(&place) = self.loose_index.get(id) {
            return Ok(place);
        }
        let place = self.nodes.len();
        self.nodes.push(NodeRecord::default());
        self.loose.push((id.clone(), NodeKind::Bash));
        self.loose_index.insert(id.clone(), place);
        Ok(place)
    }

    fn iteration_started(&mut self, started: &IterationStarted) -> Result<(), Violation> {
        let place = self.running_node(&started.node_id, started.attempt, "iteration.started")?;
        let rare = self.nodes[place].rare();
        let before = rare.iteration.unwrap_or(0);
        rare.iteration = Some(started.iteration);
        rare.round_open = true;
        if started.iteration == 1 {
            rare.rounds_ended = 0;
        }
        rare.loop_done = false;
        if started.session_id.is_some() && started.session_id != rare.session_id {
            rare.session_id.clone_from(&started.session_id);
            rare.session_begun = false;
        }
        // A round that was cut off is begun again under its number, and a new attempt counts from 1.
        let follows =
            started.iteration == 1 || started.iteration == before || started.iteration == before + 1;
        let violation =
            Violation::Iteration { node: started.node_id.clone(), found: started.iteration, before };
        if follows { Ok(()) } else { Err(violation) }
    }
}
