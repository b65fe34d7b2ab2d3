//! The loop: everything that can happen comes in by one door, is recorded,
//! believed, and only then acted upon.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

use omne_dag::{Fired, NodeIx};
use omne_events::{
    Clock, Durability, ErrorKind, Event, GateDecided, LogWriter, NodeId, PipeCompleted, PipeInterrupted,
    PipeParked, Placeholders, Recorded, milliseconds,
};
use omne_exec::{Decision, Emitted, EndReason, Execute, Secrets};
use omne_hooks::Question;
use omne_pipe::{Identities, format_duration};
use omne_process::Signal;
use omne_replay::{NodePhase, RunState};
use rustc_hash::FxHashSet;

use crate::{RunError, agents::Roster, decide, outputs::Visible};

mod follow;
mod hooks;
mod people;
mod start;

/// A node that ran this long is waited for on disk before anything that depends on it starts.
const WORTH_WAITING: u64 = 100;
/// How long hooks that look at each event may take for the last ones.
const LAST_LINES: Duration = Duration::from_millis(50);
/// How much of a node's capture a condition can see.
const MOST_CAPTURE: usize = 64 * 1024;

/// Watches a run.
pub trait Observer {
    /// These events are in the log now; `lines` are their bytes.
    fn wrote(&mut self, records: &[Recorded], lines: &[u8], state: &RunState);

    /// Called before each wait: when it wants to be called again even if nothing happens.
    fn tick(&mut self, state: &RunState) -> Option<Duration>;

    /// An agent says something; it is in a capture, or will be.
    fn live(&mut self, node: &NodeId, text: &str);

    /// Something that people should know and that is no event.
    fn warn(&mut self, message: &str);
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All nodes completed or were skipped.
    Completed,
    /// A node failed or is blocked, or the run was cancelled.
    Aborted,
    /// Nothing can go on before people decide.
    Parked,
    /// A signal ended it.
    Interrupted(Signal),
}

/// Why nothing new starts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stop {
    FailFast,
    RunTimeout(Duration),
    Cancelled(String),
    Interrupted(Signal),
    Refused(String),
}

pub(crate) struct Run<'a> {
    pub(crate) log: LogWriter,
    pub(crate) state: RunState,
    pub(crate) execute: &'a mut dyn Execute,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) clock: &'a dyn Clock,
    /// Most nodes at once.
    pub(crate) jobs: usize,
    pub(crate) fail_fast: bool,
    pub(crate) durability: Durability,
    /// Who asked for the run to be cancelled, if somebody has.
    pub(crate) cancelled_by: &'a dyn Fn() -> Option<String>,
    /// What people answered to nodes that ask, through other processes.
    pub(crate) answers: &'a dyn Fn() -> Vec<GateDecided>,
    /// How long a question waits for people.
    pub(crate) ask_timeout: Option<Duration>,
    /// The nodes that a resume keeps and whose captures were found to be what the log says.
    pub(crate) checked: RefCell<FxHashSet<NodeIx>>,
    /// The hooks as they are configured now; else what is wrong, and where.
    pub(crate) hooks: &'a dyn Fn() -> Result<omne_hooks::Config, String>,
    pub(crate) roster: Roster,
    /// What of the run that is played stands in texts of this one.
    pub(crate) recorded: Placeholders,
    /// What no event may show.
    pub(crate) secrets: Option<Arc<Secrets>>,
}

/// Whether the run may begin is up to people.
#[derive(Debug, PartialEq, Eq)]
enum First {
    /// They have to be asked: the first node that may start waits for their answer.
    Asks(Question),
    /// This one waits for it, and all others with it.
    Waits(NodeIx),
}

struct Queues {
    /// What comes before everything else.
    first: Option<First>,
    /// Approved by people, and waiting for room.
    approved: VecDeque<(NodeIx, Decision)>,
    /// May start now, in the pipe's order.
    ready: BinaryHeap<Reverse<NodeIx>>,
    /// May start once the log is on disk up to that event.
    held: Vec<(u64, Fired)>,
    /// Nodes whose end is worth to be waited for and is not on disk, with the event that tells of it, the last one last.
    unsynced: Vec<(u64, NodeIx)>,
    /// Will be tried again at that time.
    retries: BinaryHeap<Reverse<(Duration, NodeIx)>>,
    identities: Identities,
    visible: Visible,
    /// Recorded, not written yet.
    batch: Vec<Recorded>,
    emitted: Vec<Emitted>,
    stop: Option<Stop>,
    /// How it ends is decided.
    closed: bool,
    since: Duration,
}

impl Run<'_> {
    /// Drives the run to its end, beginning with the event that says how it begins. The state has taken in what is in the
    /// log.
    pub(crate) fn drive(mut self, first: Event) -> Result<(Outcome, RunState), RunError> {
        let first = self.put(first)?;
        match first.event {
            // What an earlier runner wrote may not be on disk yet, and what follows from it is about to begin.
            Event::PipeResumed(_) => self.log.flush_and_sync()?,
            _ => self.log.flush()?,
        }
        self.observer.wrote(&[first], self.log.last_batch(), &self.state);
        self.execute.appended(self.log.last_batch());
        let Some(pipe) = self.state.pipe().cloned() else {
            return Err(RunError::Plan(omne_replay::PlanError::NoDefinition));
        };
        let mut queues = Queues {
            first: None,
            approved: VecDeque::new(),
            ready: BinaryHeap::new(),
            held: Vec::new(),
            unsynced: Vec::new(),
            retries: BinaryHeap::new(),
            identities: Identities::new(&pipe, self.roster.commands.clone()),
            visible: Visible::new(pipe.nodes().len()),
            batch: Vec::new(),
            emitted: Vec::new(),
            stop: None,
            closed: false,
            since: self.clock.monotonic(),
        };
        match self.turn_until_done(&mut queues) {
            Ok(outcome) => Ok((outcome, self.state)),
            Err(error) => {
                // A run never outlives its log: nothing may go on that could not be recorded.
                self.execute.kill_all(EndReason::Interrupted);
                Err(error)
            }
        }
    }

    fn turn_until_done(&mut self, queues: &mut Queues) -> Result<Outcome, RunError> {
        let deadline =
            self.state.pipe().and_then(|pipe| pipe.timeout()).map(|limit| (queues.since + limit, limit));
        self.ask_to_begin(queues)?;
        loop {
            self.release(queues)?;
            self.start_ready(queues)?;
            self.flush(queues)?;
            if self.is_done(queues) {
                return self.finish(queues);
            }
            self.hurry(queues);
            self.wait(queues, deadline)?;
        }
    }

    /// Starts as many nodes as may run: first all their starts are written, then they are spawned.
    fn start_ready(&mut self, queues: &mut Queues) -> Result<(), RunError> {
        loop {
            let now = self.clock.monotonic();
            while let Some(Reverse((due, node))) = queues.retries.peek().copied()
                && due <= now
            {
                queues.retries.pop();
                queues.ready.push(Reverse(node));
            }
            self.go_on_with_approved(queues)?;
            if queues.stop.is_some() || self.ask_first(queues)? {
                return Ok(());
            }
            let mut attempts = Vec::new();
            while self.state.running() < self.jobs
                && let Some(Reverse(node)) = queues.ready.pop()
            {
                attempts.extend(self.attempt(queues, node)?);
            }
            self.flush(queues)?;
            if attempts.is_empty() {
                // What failed before it began makes room, too.
                self.release(queues)?;
                if queues.ready.is_empty() || self.state.running() >= self.jobs {
                    return Ok(());
                }
                continue;
            }
            // The disk works while they are spawned.
            self.hurry(queues);
            for attempt in attempts {
                self.execute.start(attempt, &mut queues.emitted);
            }
            // Usually only that they were spawned; one that could not be makes room for others.
            self.take_emitted(queues)?;
            self.release(queues)?;
        }
    }

    fn is_done(&self, queues: &Queues) -> bool {
        if self.state.running() > 0 {
            return false;
        }
        let nothing_starts = queues.ready.is_empty() || matches!(queues.first, Some(First::Waits(_)));
        queues.stop.is_some() || (nothing_starts && queues.held.is_empty() && queues.retries.is_empty())
    }

    fn wait(&mut self, queues: &mut Queues, deadline: Option<(Duration, Duration)>) -> Result<(), RunError> {
        let now = self.clock.monotonic();
        let retry = queues.retries.peek().map(|Reverse((due, _))| due.saturating_sub(now));
        let over = deadline.filter(|_| queues.stop.is_none()).map(|(due, _)| due.saturating_sub(now));
        let tick = self.observer.tick(&self.state);
        // Who stops takes no answers any more, nor defaults.
        let asked = match self.ask_timeout.filter(|_| queues.stop.is_none()) {
            Some(_) => self.waiting().into_iter().filter_map(|(_, left)| left).min(),
            None => None,
        };
        let timeout =
            [retry.filter(|_| queues.stop.is_none()), over, tick, asked].into_iter().flatten().min();
        self.execute.wait(timeout, &mut queues.emitted).map_err(hooks::trouble)?;
        self.take_emitted(queues)?;
        self.expire(queues)?;
        if let Some((due, limit)) = deadline
            && queues.stop.is_none()
            && self.clock.monotonic() >= due
        {
            self.stop(queues, Stop::RunTimeout(limit));
        }
        Ok(())
    }

    fn take_emitted(&mut self, queues: &mut Queues) -> Result<(), RunError> {
        for emitted in std::mem::take(&mut queues.emitted) {
            match emitted {
                Emitted::Event(event) => self.happened(queues, event)?,
                Emitted::Signal(Signal::Message) => {
                    if let Some(by) = (self.cancelled_by)() {
                        self.stop(queues, Stop::Cancelled(by));
                    }
                    // Who stops begins nothing new: an answer stays where it is, and its giver is told.
                    let is_going = queues.stop.is_none() && !queues.closed;
                    for answer in if is_going { (self.answers)() } else { Vec::new() } {
                        self.decided(queues, answer)?;
                    }
                }
                Emitted::Signal(Signal::Reload) => match (self.hooks)() {
                    Ok(hooks) => self.execute.reload(hooks),
                    Err(error) => self.observer.warn(&format!("{error}; the hooks stay as they were")),
                },
                Emitted::Signal(signal) => self.stop(queues, Stop::Interrupted(signal)),
                Emitted::Live { node, text } => self.observer.live(&node, &text),
                Emitted::Notice(notice) => self.observer.warn(&notice),
            }
        }
        Ok(())
    }

    /// Ends what runs; a second signal ends it at once.
    fn stop(&mut self, queues: &mut Queues, stop: Stop) {
        let (why, again) = match (&stop, &queues.stop) {
            (Stop::FailFast | Stop::Refused(_), _) => return,
            (Stop::RunTimeout(_), _) => (EndReason::RunTimeout, false),
            (Stop::Cancelled(_), before) => {
                (EndReason::Cancelled, matches!(before, Some(Stop::Cancelled(_))))
            }
            (Stop::Interrupted(_), before) => {
                (EndReason::Interrupted, !matches!(before, None | Some(Stop::FailFast)))
            }
        };
        if again {
            self.execute.kill_all(why);
        } else {
            self.execute.end_all(why);
            queues.stop = Some(stop);
        }
    }

    /// An event of an attempt: a failure may get another try, an end may have to be on disk before what follows.
    fn happened(&mut self, queues: &mut Queues, mut event: Event) -> Result<(), RunError> {
        let mut retry = None;
        let mut took = None;
        match &mut event {
            Event::NodeFailed(failed) => {
                took = Some(failed.duration_ms);
                let node = self.state.find(failed.node_id.as_str());
                if node.is_some_and(|node| queues.first == Some(First::Waits(node))) && queues.stop.is_none()
                {
                    queues.stop = Some(Stop::Refused(failed.message.clone().unwrap_or_default()));
                }
                if let Some(pipe) = self.state.pipe()
                    && let Some(node) = pipe.find(failed.node_id.as_str())
                    && let Some(delay) = decide::retry_delay(pipe.node(node), self.state.node(node), failed)
                    && queues.stop.is_none()
                {
                    failed.retry_in_ms = Some(milliseconds(delay));
                    retry = Some((self.clock.monotonic() + delay, node));
                }
            }
            Event::NodeCompleted(completed) => took = Some(completed.duration_ms),
            _ => {}
        }
        let failed_for_good = matches!(event, Event::NodeFailed(_)) && retry.is_none();
        let is_worth_waiting = match self.durability {
            Durability::None => false,
            Durability::Strict => took.is_some(),
            Durability::Auto => took.is_some_and(|ms| ms >= WORTH_WAITING),
        };
        let ended = event.node().filter(|_| is_worth_waiting && retry.is_none());
        let ended = ended.and_then(|id| self.state.find(id.as_str()));
        self.record(queues, event)?;
        queues.unsynced.extend(ended.map(|node| (self.state.seq(), node)));
        queues.retries.extend(retry.map(Reverse));
        if failed_for_good && self.fail_fast && queues.stop.is_none() {
            queues.stop = Some(Stop::FailFast);
        }
        Ok(())
    }

    /// Asks for a sync at once where what waits for one would start next, or soon nothing else may start. Before that,
    /// one that comes in any case serves more ends at a time.
    fn hurry(&self, queues: &Queues) {
        let next = queues.ready.peek().filter(|_| queues.ready.len() >= self.jobs);
        let is_next = |fired: &Fired| next.is_none_or(|Reverse(next)| fired.node() < *next);
        if queues.stop.is_none()
            && queues.held.iter().any(|(_, fired)| is_next(fired))
            && let Some(seq) = queues.held.iter().map(|(seq, _)| *seq).max()
        {
            self.log.want_durable(seq);
        }
    }

    /// Adds an event to the batch and to the state.
    fn record(&mut self, queues: &mut Queues, event: Event) -> Result<(), RunError> {
        let record = self.put(event)?;
        queues.batch.push(record);
        Ok(())
    }

    fn put(&mut self, mut event: Event) -> Result<Recorded, RunError> {
        if let Some(secrets) = &self.secrets {
            // Before it is hashed and believed: what is folded from the log is what was believed here.
            secrets.hide_in_event(&mut event);
        }
        let record = self.log.append(self.clock.now(), event)?;
        if let Err(violation) = self.state.apply(&record) {
            // The runner obeys the rules of its own log, or it is broken and has to stop.
            return Err(RunError::System(
                format!("an event that breaks the rules of logs: {violation}"),
                None,
            ));
        }
        Ok(record)
    }

    fn flush(&mut self, queues: &mut Queues) -> Result<(), RunError> {
        if queues.batch.is_empty() {
            return Ok(());
        }
        self.log.flush()?;
        self.observer.wrote(&queues.batch, self.log.last_batch(), &self.state);
        self.execute.appended(self.log.last_batch());
        queues.batch.clear();
        Ok(())
    }

    fn finish(&mut self, queues: &mut Queues) -> Result<Outcome, RunError> {
        let took = self.clock.monotonic().saturating_sub(queues.since);
        let duration_ms = milliseconds(took);
        queues.closed = true;
        if let Some(Stop::Cancelled(_) | Stop::RunTimeout(_)) = &queues.stop {
            self.end_waiting(queues)?;
        }
        self.state.give_up_retries();
        let waiting: Vec<NodeIx> = self.waiting().into_iter().map(|(node, _)| node).collect();
        let (event, outcome) = match queues.stop.take() {
            Some(Stop::Interrupted(signal)) => {
                let interrupted = |record: &omne_replay::NodeRecord| {
                    record.phase == NodePhase::Failed
                        && record.error().is_some_and(|error| error.kind == ErrorKind::Interrupted)
                };
                let running =
                    self.state.nodes().filter(|(_, _, record)| interrupted(record)).map(|(id, _, _)| id);
                let running = decide::clip(running);
                let name = if signal == Signal::Interrupt { "SIGINT" } else { "SIGTERM" };
                let event: Event = PipeInterrupted { signal: name.into(), running }.into();
                (event, Outcome::Interrupted(signal))
            }
            Some(Stop::Cancelled(by)) => {
                let aborted = decide::aborted(&self.state, Some(format!("cancelled by {by}")), duration_ms);
                (aborted.into(), Outcome::Aborted)
            }
            Some(Stop::RunTimeout(limit)) => {
                let cause = format!(
                    "the run took longer than {}; the pipe's `timeout` sets the limit",
                    format_duration(limit)
                );
                (decide::aborted(&self.state, Some(cause), duration_ms).into(), Outcome::Aborted)
            }
            Some(Stop::Refused(why)) => {
                (decide::aborted(&self.state, Some(why), duration_ms).into(), Outcome::Aborted)
            }
            Some(Stop::FailFast) | None if !waiting.is_empty() => {
                let ids = self.state.pipe().map(|pipe| {
                    waiting.iter().map(|node| pipe.node(*node).id.clone()).collect::<Vec<NodeId>>()
                });
                (PipeParked { waiting: decide::clip(&ids.unwrap_or_default()) }.into(), Outcome::Parked)
            }
            Some(Stop::FailFast) => {
                let cause = "stopped at the first failure".to_owned();
                (decide::aborted(&self.state, Some(cause), duration_ms).into(), Outcome::Aborted)
            }
            None if decide::any_unwell(&self.state) || self.state.open() > 0 => {
                (decide::aborted(&self.state, None, duration_ms).into(), Outcome::Aborted)
            }
            None => (PipeCompleted { duration_ms }.into(), Outcome::Completed),
        };
        self.tell_end(queues, outcome, duration_ms)?;
        self.record(queues, event)?;
        self.log.flush_and_sync()?;
        self.observer.wrote(&queues.batch, self.log.last_batch(), &self.state);
        self.execute.appended(self.log.last_batch());
        self.execute.drain(LAST_LINES);
        queues.batch.clear();
        Ok(outcome)
    }
}
