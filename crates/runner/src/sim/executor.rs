//! Plays attempts: each does what its node's part says, when it says so.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use omne_dag::NodeIx;
use omne_events::{
    Digest, Durability, ErrorKind, Event, GateMethod, GatePassed, IterationCompleted, IterationOutcome,
    IterationStarted, NodeCompleted, NodeFailed, NodeSpawned, milliseconds,
};
use omne_exec::{Attempt, BeforeRun, Decision, Emitted, EndReason, Execute, ExecuteError};
use omne_hooks::Question;
use omne_pipe::Pipe;
use omne_process::Signal;

use super::world::World;

/// What a node does each time it is started.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) end: Ending,
    pub(super) takes: Duration,
    pub(super) gate: Gate,
    /// After so many rounds a loop is done.
    pub(super) rounds: u32,
    /// What people say to it.
    pub(super) approved: bool,
}

impl Part {
    /// The same, if what comes of it may not depend on how often it was tried.
    pub(super) fn steady(self) -> Self {
        let end = if matches!(self.end, Ending::CrashesUntil(_)) { Ending::Completes } else { self.end };
        Self { end, approved: true, ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Completes,
    Crashes,
    /// Until this attempt.
    CrashesUntil(u32),
    /// An agent is awaited until it is its program; of a script this is known only at its end.
    CanNotStart,
    /// Before anything is started, as by a rule.
    IsRefused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Passes,
    Fails,
    Asks,
}

/// What comes from outside while a run is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disturbance {
    Signal(Signal),
    Cancel,
    /// People answer all questions.
    Answer,
    /// The wall clock is set, by so many milliseconds.
    Clock(i64),
}

struct Going {
    node: NodeIx,
    number: u32,
    since: Duration,
    until: Duration,
    /// It has had its time, or is ended; else it comes to the end of its part, or of this round.
    cause: Option<ErrorKind>,
    round: Option<u32>,
}

pub(super) struct SimExecutor {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) pipe: Arc<Pipe>,
    pub(super) parts: Rc<Vec<Part>>,
    pub(super) durability: Durability,
    /// What is to come, by time, the last one first.
    pub(super) disturbances: Vec<(Duration, Disturbance)>,
    going: Vec<Going>,
    waiting: BTreeMap<NodeIx, NodeCompleted>,
    waits: u32,
    /// How many nodes were spawned of which the log does not tell.
    untold: usize,
}

/// A run of a dozen nodes that waits more often than that does not come to an end.
const MOST_WAITS: u32 = 20_000;

impl SimExecutor {
    pub(super) fn new(
        world: &Rc<RefCell<World>>,
        pipe: &Arc<Pipe>,
        parts: &Rc<Vec<Part>>,
        durability: Durability,
        disturbances: Vec<(Duration, Disturbance)>,
    ) -> Self {
        Self {
            world: Rc::clone(world),
            pipe: Arc::clone(pipe),
            parts: Rc::clone(parts),
            durability,
            disturbances,
            going: Vec::new(),
            waiting: BTreeMap::new(),
            waits: 0,
            untold: 0,
        }
    }

    fn now(&self) -> Duration {
        self.world.borrow().now
    }

    fn failed(&self, node: NodeIx, number: u32, kind: ErrorKind, took: Duration) -> Event {
        NodeFailed {
            node_id: self.pipe.node(node).id.clone(),
            attempt: number,
            error: kind.into(),
            message: None,
            exit_code: (kind == ErrorKind::Crash).then_some(1),
            signal: None,
            duration_ms: milliseconds(took),
            retry_in_ms: None,
            usage: None,
        }
        .into()
    }

    fn completed(&self, node: NodeIx, number: u32, took: Duration) -> NodeCompleted {
        let node_id = self.pipe.node(node).id.clone();
        NodeCompleted {
            outputs: Some([("of".into(), node_id.to_string())].into()),
            node_id,
            attempt: number,
            output_path: None,
            output_bytes: 0,
            output_sha256: Some(Digest::of(b"")),
            duration_ms: milliseconds(took),
            exit_code: Some(0),
            usage: None,
            denied_tools: None,
        }
    }

    fn round(&self, node: NodeIx, number: u32, iteration: u32) -> Emitted {
        let node_id = self.pipe.node(node).id.clone();
        let started =
            IterationStarted { node_id, attempt: number, iteration, byte_offset: 0, session_id: None };
        Emitted::Event(started.into())
    }

    fn ask(&mut self, completed: NodeCompleted, node: NodeIx, emitted: &mut Vec<Emitted>) {
        let asked = Question::approval("go on?".into()).asked(completed.node_id.clone(), self.gate(node));
        self.waiting.insert(node, completed);
        emitted.push(Emitted::Event(asked.into()));
    }

    fn gate(&self, node: NodeIx) -> &str {
        self.pipe.node(node).gate().map_or("", |gate| gate.as_str())
    }

    /// What comes after its work: its gate, if it has one, and its end.
    fn follow(&mut self, node: NodeIx, number: u32, took: Duration, emitted: &mut Vec<Emitted>) {
        let completed = self.completed(node, number, took);
        let has_gate = self.pipe.node(node).gate().is_some();
        match self.parts[node.place()].gate {
            Gate::Fails if has_gate => {
                emitted.push(Emitted::Event(self.failed(node, number, ErrorKind::GateFailed, took)));
            }
            Gate::Asks if has_gate => self.ask(completed, node, emitted),
            Gate::Passes | Gate::Fails | Gate::Asks => {
                if has_gate {
                    emitted.push(Emitted::Event(self.passed(node, GateMethod::Hook).into()));
                }
                emitted.push(Emitted::Event(completed.into()));
            }
        }
    }

    fn passed(&self, node: NodeIx, method: GateMethod) -> GatePassed {
        let (node_id, gate) = (self.pipe.node(node).id.clone(), self.gate(node).into());
        GatePassed { node_id, gate, method, stdout: None, by: None, comment: None }
    }

    /// An attempt, or a round of it, comes to its end.
    fn ends(&mut self, mut going: Going, emitted: &mut Vec<Emitted>) {
        let (node, number) = (going.node, going.number);
        let took = self.now() - going.since;
        let part = self.parts[node.place()].clone();
        let own = match part.end {
            Ending::CrashesUntil(attempt) => (number < attempt).then_some(ErrorKind::Crash),
            Ending::Crashes => Some(ErrorKind::Crash),
            Ending::CanNotStart => Some(ErrorKind::SpawnFailed),
            Ending::Completes | Ending::IsRefused => None,
        };
        let cause = going.cause.or(own);
        if let Some(iteration) = going.round {
            let most = self.pipe.node(node).rounds().map_or(1, |rounds| rounds.max_iterations);
            let outcome = match cause {
                Some(_) => IterationOutcome::Failed,
                None if iteration >= part.rounds => IterationOutcome::Until,
                None => IterationOutcome::Continue,
            };
            let node_id = self.pipe.node(node).id.clone();
            let ended = IterationCompleted { node_id, attempt: number, iteration, outcome, usage: None };
            emitted.push(Emitted::Event(ended.into()));
            if outcome == IterationOutcome::Continue {
                if iteration >= most {
                    let kind = ErrorKind::MaxIterationsExceeded;
                    emitted.push(Emitted::Event(self.failed(node, number, kind, took)));
                    return;
                }
                emitted.push(self.round(node, number, iteration + 1));
                going.round = Some(iteration + 1);
                self.goes_until(&mut going, part.takes);
                self.going.push(going);
                return;
            }
        }
        match cause {
            Some(kind) => emitted.push(Emitted::Event(self.failed(node, number, kind, took))),
            None => self.follow(node, number, took, emitted),
        }
    }

    fn goes_until(&self, going: &mut Going, takes: Duration) {
        let (end, limit) = (self.now() + takes, going.since + self.pipe.node(going.node).timeout);
        going.until = end.min(limit);
        going.cause = (limit <= end).then_some(ErrorKind::Timeout);
    }

    fn end(&mut self, why: EndReason, within: Duration) {
        let kind = match why {
            EndReason::RunTimeout => ErrorKind::Timeout,
            EndReason::Cancelled => ErrorKind::Cancelled,
            EndReason::Interrupted => ErrorKind::Interrupted,
        };
        let latest = self.now() + within;
        for going in &mut self.going {
            if going.until > latest {
                going.until = latest;
                going.cause = Some(kind);
            }
        }
    }

    fn disturb(&mut self, disturbance: Disturbance, emitted: &mut Vec<Emitted>) {
        match disturbance {
            Disturbance::Signal(signal) => emitted.push(Emitted::Signal(signal)),
            Disturbance::Cancel => {
                self.world.borrow_mut().cancelled = true;
                emitted.push(Emitted::Signal(Signal::Message));
            }
            Disturbance::Answer => emitted.push(Emitted::Signal(Signal::Message)),
            Disturbance::Clock(shift) => self.world.borrow_mut().shift += shift,
        }
    }
}

impl Execute for SimExecutor {
    fn start(&mut self, attempt: Attempt, emitted: &mut Vec<Emitted>) {
        let (node, number) = (attempt.node, attempt.number);
        {
            let mut world = self.world.borrow_mut();
            world.may_die();
            world.law(!world.disk.has_failed, "nothing starts after a write or a sync has failed");
            let worth = match self.durability {
                Durability::None => None,
                Durability::Auto => Some(Duration::from_millis(100)),
                Durability::Strict => Some(Duration::ZERO),
            };
            let held = world.judge.may_begin(node, number, worth, world.sync.synced);
            world.law(held.is_ok(), held.err().unwrap_or_default());
        }
        if let Some(at_gate) = attempt.at_gate {
            let completed = self.completed(node, number, Duration::ZERO);
            match at_gate.decision {
                Some(decision) => {
                    self.waiting.insert(node, completed);
                    self.decide(node, &decision, emitted);
                }
                None => self.ask(completed, node, emitted),
            }
            return;
        }
        let part = self.parts[node.place()].clone();
        let rounds = self.pipe.node(node).rounds();
        let refused = match part.end {
            Ending::IsRefused => Some(ErrorKind::Denied),
            Ending::CanNotStart => rounds.map(|_| ErrorKind::SpawnFailed),
            Ending::Completes | Ending::Crashes | Ending::CrashesUntil(_) => None,
        };
        if let Some(kind) = refused {
            emitted.push(Emitted::Event(self.failed(node, number, kind, Duration::ZERO)));
            return;
        }
        let goes_on = attempt.ask.as_ref().and_then(|ask| ask.goes_on.as_ref());
        if goes_on.is_some_and(|goes_on| goes_on.is_done) {
            self.follow(node, number, Duration::ZERO, emitted);
            return;
        }
        let spawned = NodeSpawned {
            node_id: self.pipe.node(node).id.clone(),
            attempt: number,
            pid: 1000 + number,
            program: "sim".into(),
        };
        self.untold += 1;
        emitted.push(Emitted::Event(spawned.into()));
        let round = rounds.map(|_| goes_on.map_or(1, |goes_on| goes_on.iteration));
        emitted.extend(round.map(|round| self.round(node, number, round)));
        let now = self.now();
        let mut going = Going { node, number, since: now, until: now, cause: None, round };
        let takes = if part.end == Ending::CanNotStart { Duration::ZERO } else { part.takes };
        self.goes_until(&mut going, takes);
        self.going.push(going);
    }

    fn end_all(&mut self, why: EndReason) {
        let within = Duration::from_millis(self.world.borrow_mut().random.u64(0..6000));
        self.end(why, within);
    }

    fn kill_all(&mut self, why: EndReason) {
        self.end(why, Duration::ZERO);
    }

    fn decide(&mut self, node: NodeIx, decision: &Decision, emitted: &mut Vec<Emitted>) {
        let Some(completed) = self.waiting.remove(&node) else { return };
        let number = completed.attempt;
        emitted.extend(match decision.approved {
            true => vec![
                Emitted::Event(self.passed(node, GateMethod::HumanCli).into()),
                Emitted::Event(completed.into()),
            ],
            false => {
                vec![Emitted::Event(self.failed(node, number, ErrorKind::GateFailed, Duration::ZERO))]
            }
        });
    }

    fn before_run(
        &mut self,
        _: Option<serde_json::Value>,
        _: &mut Vec<Emitted>,
    ) -> Result<BeforeRun, ExecuteError> {
        Ok(BeforeRun::Begin)
    }

    fn after_run(
        &mut self,
        _: &str,
        _: u64,
        _: serde_json::Value,
        _: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        Ok(())
    }

    fn reload(&mut self, _: omne_hooks::Config) {}

    fn appended(&mut self, lines: &[u8]) {
        let world = self.world.borrow();
        world.law(world.disk.bytes.ends_with(lines), "what is shown is in the log");
        self.untold -= String::from_utf8_lossy(lines).matches(r#""type":"node.spawned""#).count();
    }

    fn drain(&mut self, _: Duration) {}

    fn wait(&mut self, timeout: Option<Duration>, emitted: &mut Vec<Emitted>) -> Result<(), ExecuteError> {
        self.waits += 1;
        self.world.borrow().law(self.waits < MOST_WAITS, "every run comes to its end");
        self.world
            .borrow()
            .law(self.untold == 0, "that a node was spawned is told before anything is waited for");
        self.world.borrow_mut().may_die();
        let now = self.now();
        let of_sync = self.world.borrow().sync.due(now);
        let next = [
            self.going.iter().map(|going| going.until).min(),
            self.disturbances.last().map(|(at, _)| *at),
            of_sync,
            timeout.map(|timeout| now + timeout),
        ];
        let next = next.into_iter().flatten().min();
        self.world.borrow().law(next.is_some(), "nobody waits for nothing");
        let now = now.max(next.unwrap_or(now));
        self.world.borrow_mut().now = now;
        self.world.borrow_mut().step_sync();
        while let Some((_, disturbance)) = self.disturbances.pop_if(|(at, _)| *at <= now) {
            self.disturb(disturbance, emitted);
        }
        let (over, going) = std::mem::take(&mut self.going).into_iter().partition(|going| going.until <= now);
        self.going = going;
        let over: Vec<Going> = over;
        for going in over {
            self.ends(going, emitted);
        }
        Ok(())
    }

    fn capture(&self, _: NodeIx, _: usize) -> Vec<u8> {
        Vec::new()
    }

    fn capture_digest(&self, _: NodeIx) -> Digest {
        Digest::of([])
    }
}
