//! A run with its times: every attempt, round, decision and stop, which the
//! state, where only the last of each is known, does not tell.

use std::collections::BTreeSet;

use omne_events::{
    Digest, Event, HookVerdict, Host, IterationOutcome, Line, LogReader, NodeError, NodeId, NodeKind,
    Recorded, Timestamp, Usage,
};
use omne_replay::{FoldError, RunState, fold};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

/// A run from its first event to its last.
#[derive(Debug, Default)]
pub struct Story {
    /// The state after the last event.
    pub state: RunState,
    /// Every attempt, in the order in which they began.
    pub attempts: Vec<Attempt>,
    /// What happened besides, in the log's order.
    pub marks: Vec<Mark>,
    /// The times that a runner was at it.
    pub goes: Vec<Go>,
    /// The most attempts at once.
    pub slots: u32,
    /// How many events there are.
    pub events: u64,
}

/// A time that a runner was at the run.
#[derive(Debug, Clone)]
pub struct Go {
    /// The event that began it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// 0 for the first.
    pub resume: u32,
    /// Who asked for it.
    pub by: Option<String>,
    /// Where it ran.
    pub host: Option<Host>,
    /// How it ended; not, if its runner died or is at it.
    pub end: Option<GoEnd>,
}

/// How a go at a run ended.
#[derive(Debug, Clone)]
pub struct GoEnd {
    /// When.
    pub at: Timestamp,
    /// `completed`, `aborted`, `interrupted` or `parked`.
    pub state: &'static str,
    /// Why, in words.
    pub reason: Option<String>,
}

impl GoEnd {
    fn is_park(&self) -> bool {
        self.state == "parked"
    }
}

/// An attempt at a node.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The node.
    pub node: NodeId,
    /// What it does.
    pub kind: NodeKind,
    /// From 1.
    pub number: u32,
    /// The event that began it.
    pub seq: u64,
    /// The event that ended it.
    pub ended_seq: Option<u64>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; the end of the go for one that was cut off.
    pub ended: Option<Timestamp>,
    /// Which of the places that run side by side it took, from 0.
    pub slot: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// Of its process.
    pub exit_code: Option<i32>,
    /// How long it took by its own count, in milliseconds.
    pub duration_ms: Option<u64>,
    /// The size of its capture, in bytes.
    pub output_bytes: u64,
    /// The digest of its capture.
    pub output_sha256: Option<Digest>,
    /// The agent program.
    pub agent: Option<SmolStr>,
    /// The version of it.
    pub agent_version: Option<SmolStr>,
    /// The model.
    pub model: Option<SmolStr>,
    /// What its agents used.
    pub usage: Option<Usage>,
    /// The rounds of a loop.
    pub rounds: Vec<Round>,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is under way, or its runner died.
    Open,
    /// It succeeded.
    Completed,
    /// It failed.
    Failed {
        /// The kind, and the agent's word for it.
        error: NodeError,
        /// The same in words.
        message: Option<String>,
        /// Another attempt follows after so many milliseconds.
        retry_in_ms: Option<u64>,
    },
}

/// A round of a loop.
#[derive(Debug, Clone)]
pub struct Round {
    /// From 1.
    pub number: u32,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What came of it.
    pub outcome: Option<IterationOutcome>,
    /// What its agent used.
    pub usage: Option<Usage>,
}

/// Something that happened at one moment.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Its event.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The node that it is about.
    pub node: Option<NodeId>,
    /// What it was.
    pub kind: MarkKind,
}

/// What happened at one moment.
#[derive(Debug, Clone)]
pub enum MarkKind {
    /// A hook answered.
    Hook {
        /// The hook event.
        event: SmolStr,
        /// The hook.
        hook: String,
        /// What it decided.
        decision: HookVerdict,
        /// How long it took, in microseconds.
        latency_us: u64,
        /// For people.
        reason: Option<String>,
    },
    /// A gate let its node through.
    Passed {
        /// The gate.
        gate: SmolStr,
        /// Who did, if people did.
        by: Option<String>,
    },
    /// People are asked.
    Asked {
        /// The gate.
        gate: SmolStr,
        /// The question.
        prompt: String,
    },
    /// People answered.
    Decided {
        /// The gate.
        gate: SmolStr,
        /// What they said.
        option: String,
        /// Whether the node goes on.
        approved: bool,
        /// Who.
        by: String,
        /// What they said about it.
        comment: Option<String>,
    },
    /// An agent used a tool.
    Tool {
        /// The tool.
        tool: SmolStr,
        /// The call in one line.
        summary: Option<String>,
    },
    /// A node will not run.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl Story {
    /// Reads a whole log; `each` sees every line of it.
    ///
    /// # Errors
    /// At the first line that is no event or breaks a rule of the state. Links are [`omne_replay::verify`]'s business.
    pub fn read(
        reader: &mut LogReader<'_>,
        mut each: impl FnMut(&[u8], &Line) + Send,
    ) -> Result<Self, FoldError> {
        let mut teller = Teller::default();
        let folded = fold(RunState::new(), reader, None, &mut |bytes, line| {
            let line = line.to_line();
            teller.take(&line);
            each(bytes, &line);
        })?;
        let Teller { mut story, .. } = teller;
        story.state = folded.state;
        story.events = folded.seq;
        Ok(story)
    }

    /// The time that a runner was at it in which an event happened.
    pub fn go_of(&self, seq: u64) -> Option<&Go> {
        self.goes[..self.goes.partition_point(|go| go.seq <= seq)].last()
    }

    /// When the run began.
    pub fn started(&self) -> Option<Timestamp> {
        self.goes.first().map(|go| go.at)
    }

    /// The last moment that is known of.
    pub fn last(&self) -> Option<Timestamp> {
        self.state.last_at()
    }
}

/// Listens to a log and tells its story.
#[derive(Debug, Default)]
struct Teller {
    story: Story,
    /// The open attempt of each node.
    open: FxHashMap<NodeId, usize>,
    /// The attempts that were open when the run was parked: who cancels it then ends them.
    parked: FxHashMap<NodeId, usize>,
    /// Slots that nobody is in, below the most that were ever used.
    free: BTreeSet<u32>,
    /// When the last event was.
    seen: Option<Timestamp>,
}

impl Teller {
    fn attempt(&mut self, node: &NodeId) -> Option<&mut Attempt> {
        self.open.get(node).and_then(|place| self.story.attempts.get_mut(*place))
    }

    fn mark(&mut self, record: &Recorded, kind: MarkKind) {
        let node = record.event.node().cloned();
        self.story.marks.push(Mark { seq: record.seq, at: record.at, node, kind });
    }

    /// Ends a go: what is open still was cut off.
    fn end_go(&mut self, at: Timestamp, end: Option<GoEnd>) {
        self.parked.clear();
        for (node, place) in self.open.drain() {
            let attempt = &mut self.story.attempts[place];
            attempt.ended.get_or_insert(at);
            self.free.insert(attempt.slot);
            if end.as_ref().is_some_and(GoEnd::is_park) {
                self.parked.insert(node, place);
            }
        }
        if let Some(go) = self.story.goes.last_mut()
            && go.end.as_ref().is_none_or(|before| before.is_park() && end.is_some())
        {
            go.end = end;
        }
    }

    fn close(&mut self, node: &NodeId, record: &Recorded) -> Option<&mut Attempt> {
        let open = self.open.remove(node);
        let attempt = self.story.attempts.get_mut(open.or_else(|| self.parked.remove(node))?)?;
        (attempt.ended, attempt.ended_seq) = (Some(record.at), Some(record.seq));
        if open.is_some() {
            self.free.insert(attempt.slot);
        }
        Some(attempt)
    }

    fn take(&mut self, line: &Line) {
        let Line::Known(record) = line else { return };
        let at = record.at;
        let ended = |state, reason| Some(GoEnd { at, state, reason });
        match &record.event {
            Event::PipeStarted(e) => self.story.goes.push(Go {
                seq: record.seq,
                at,
                resume: 0,
                by: e.by.clone(),
                host: e.host.clone(),
                end: None,
            }),
            Event::PipeResumed(e) => {
                let last = self.seen.unwrap_or(at);
                self.end_go(last, None);
                self.story.goes.push(Go {
                    seq: record.seq,
                    at,
                    resume: e.resume,
                    by: e.by.clone(),
                    host: e.host.clone(),
                    end: None,
                });
            }
            Event::PipeCompleted(_) => self.end_go(at, ended("completed", None)),
            Event::PipeAborted(e) => self.end_go(at, ended("aborted", Some(e.reason.clone()))),
            Event::PipeInterrupted(e) => self.end_go(at, ended("interrupted", Some(e.signal.to_string()))),
            Event::PipeParked(_) => self.end_go(at, ended("parked", None)),
            Event::NodeStarted(e) => {
                let slot = self.free.pop_first().unwrap_or_else(|| {
                    self.story.slots += 1;
                    self.story.slots - 1
                });
                self.open.insert(e.node_id.clone(), self.story.attempts.len());
                self.story.attempts.push(Attempt {
                    node: e.node_id.clone(),
                    kind: e.kind,
                    number: e.attempt,
                    seq: record.seq,
                    ended_seq: None,
                    started: at,
                    ended: None,
                    slot,
                    outcome: Outcome::Open,
                    exit_code: None,
                    duration_ms: None,
                    output_bytes: 0,
                    output_sha256: None,
                    agent: e.agent.clone(),
                    agent_version: None,
                    model: e.model.clone(),
                    usage: None,
                    rounds: Vec::new(),
                });
            }
            Event::NodeSpawned(_) => {}
            Event::NodeCompleted(e) => {
                if let Some(attempt) = self.close(&e.node_id, record) {
                    attempt.outcome = Outcome::Completed;
                    (attempt.exit_code, attempt.duration_ms) = (e.exit_code, Some(e.duration_ms));
                    (attempt.output_bytes, attempt.output_sha256) = (e.output_bytes, e.output_sha256);
                    attempt.usage = e.usage;
                }
            }
            Event::NodeFailed(e) => {
                if let Some(attempt) = self.close(&e.node_id, record) {
                    let (error, message) = (e.error.clone(), e.message.clone());
                    attempt.outcome = Outcome::Failed { error, message, retry_in_ms: e.retry_in_ms };
                    (attempt.exit_code, attempt.duration_ms) = (e.exit_code, Some(e.duration_ms));
                    attempt.usage = e.usage;
                }
            }
            Event::NodeSkipped(e) => self.mark(record, MarkKind::Skipped { reason: e.reason.clone() }),
            Event::IterationStarted(e) => {
                let (number, started) = (e.iteration, at);
                if let Some(attempt) = self.attempt(&e.node_id) {
                    attempt.rounds.push(Round { number, started, ended: None, outcome: None, usage: None });
                }
            }
            Event::IterationCompleted(e) => {
                let round = self.attempt(&e.node_id).and_then(|attempt| attempt.rounds.last_mut());
                if let Some(round) = round.filter(|round| round.number == e.iteration) {
                    (round.ended, round.outcome, round.usage) = (Some(at), Some(e.outcome), e.usage);
                }
            }
            Event::AgentStarted(e) => {
                if let Some(attempt) = self.attempt(&e.node_id) {
                    attempt.agent = Some(e.agent.clone());
                    attempt.agent_version = e.agent_version.clone();
                    attempt.model = e.model.clone().or_else(|| attempt.model.take());
                }
            }
            Event::AgentTool(e) => {
                self.mark(record, MarkKind::Tool { tool: e.tool.clone(), summary: e.summary.clone() });
            }
            Event::GatePassed(e) => {
                self.mark(record, MarkKind::Passed { gate: e.gate.clone(), by: e.by.clone() });
            }
            Event::GateWaiting(e) => {
                self.mark(record, MarkKind::Asked { gate: e.gate.clone(), prompt: e.prompt.clone() });
            }
            Event::GateDecided(e) => self.mark(
                record,
                MarkKind::Decided {
                    gate: e.gate.clone(),
                    option: e.option.clone(),
                    approved: e.approved,
                    by: e.by.clone(),
                    comment: e.comment.clone(),
                },
            ),
            Event::HookDecided(e) => self.mark(
                record,
                MarkKind::Hook {
                    event: e.event.clone(),
                    hook: e.hook.clone(),
                    decision: e.decision,
                    latency_us: e.latency_us,
                    reason: e.reason.clone(),
                },
            ),
        }
        self.seen = Some(at);
    }
}
