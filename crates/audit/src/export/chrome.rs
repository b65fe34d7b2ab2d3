//! A run in the Trace Event Format, which Perfetto and `chrome://tracing` open.
//!
//! Viewers show slices of one track that overlap as nested or drop them, and
//! they show nothing of slices without a duration. The log's milliseconds leave
//! room for both: a slice lasts a microsecond at least and begins when the one
//! before it on its track has ended and what its node depends on has, too.

use std::io::{self, Write};

use omne_events::{IterationOutcome, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::{Elements, End, Object, go_ends, place, round_times};
use crate::{Attempt, Mark, MarkKind, Story};

/// The one process: the run.
const PID: u32 = 1;
/// The track of the runners; those of the slots follow it.
const RUNNER: u32 = 1;

/// Writes `story` in the Trace Event Format.
///
/// # Errors
/// When `out` cannot be written.
pub fn chrome_trace(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let state = &story.state;
    let other = Object::default()
        .with("run_id", state.run())
        .with("pipe", state.name())
        .with("state", state.phase().as_str())
        .with("started_at", story.started())
        .with("reason", state.reason())
        .with("omne_version", state.host().map(|host| &host.omne_version))
        .with("events", story.events);
    let head = format!(
        "{{\"displayTimeUnit\":\"ms\",\"otherData\":{},\"traceEvents\":[",
        serde_json::to_string(&other)?
    );
    let mut trace = Trace {
        events: Elements::new(out, &head)?,
        story,
        origin: story.started().unwrap_or_default(),
        free: vec![0; story.slots as usize],
        nodes: vec![Seen::default(); state.nodes().count()],
        flows: 0,
    };
    trace.tracks()?;
    trace.goes()?;
    let mut marks = story.marks.iter().peekable();
    for attempt in &story.attempts {
        while let Some(mark) = marks.next_if(|mark| mark.seq < attempt.seq) {
            trace.mark(mark)?;
        }
        trace.attempt(attempt)?;
    }
    for mark in marks {
        trace.mark(mark)?;
    }
    trace.events.finish("\n]}\n")
}

/// An element of `traceEvents`.
#[derive(Debug, Default, Serialize)]
struct Event<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cat: &'a str,
    ph: &'a str,
    pid: u32,
    tid: u32,
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Object>,
}

/// A slice where it was drawn, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    track: u32,
    from: u64,
    to: u64,
}

/// What was drawn of a node.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Its last attempt, and when that ended.
    last: Option<(Drawn, Option<Timestamp>)>,
    /// Its last attempt that completed.
    completed: Option<Drawn>,
}

struct Trace<'a> {
    events: Elements<'a>,
    story: &'a Story,
    origin: Timestamp,
    /// For each slot, when its last slice ends.
    free: Vec<u64>,
    nodes: Vec<Seen>,
    flows: u64,
}

impl Trace<'_> {
    fn micros(&self, at: Timestamp) -> u64 {
        u64::try_from(at.since(self.origin).as_micros()).unwrap_or(u64::MAX)
    }

    fn metadata(&mut self, tid: u32, name: &str, args: serde_json::Value) -> io::Result<()> {
        let args = args.as_object().cloned().map(Object);
        self.events.push(&Event { name, ph: "M", pid: PID, tid, args, ..Event::default() })
    }

    fn tracks(&mut self) -> io::Result<()> {
        let run = self.story.state.run().map_or("run", |run| run.as_str());
        self.metadata(RUNNER, "process_name", json!({ "name": run }))?;
        self.metadata(RUNNER, "thread_name", json!({ "name": "runner" }))?;
        self.metadata(RUNNER, "thread_sort_index", json!({ "sort_index": 0 }))?;
        for slot in 1..=self.story.slots {
            self.metadata(RUNNER + slot, "thread_name", json!({ "name": format!("slot {slot}") }))?;
            self.metadata(RUNNER + slot, "thread_sort_index", json!({ "sort_index": slot }))?;
        }
        Ok(())
    }

    /// The times that a runner was there, and those between.
    fn goes(&mut self) -> io::Result<()> {
        let story = self.story;
        let mut free = 0;
        for (go, ended) in story.goes.iter().zip(go_ends(story)) {
            let from = self.micros(go.at);
            if go.resume > 0 && from > free {
                self.slice(RUNNER, free, from, "no runner", "gap", "grey", Object::default())?;
            }
            let (from, name) = match go.resume {
                0 => (from.max(free), "run".to_owned()),
                resume => (from.max(free), format!("resume {resume}")),
            };
            let to = self.micros(ended).max(from + 1);
            let end = go.end.as_ref();
            let (state, color) = match end.map(|end| end.state) {
                Some("completed") => ("completed", "good"),
                Some("aborted") => ("aborted", "terrible"),
                Some(state) => (state, "bad"),
                None => ("unfinished", "grey"),
            };
            let args = Object::default()
                .with("state", state)
                .with("reason", end.and_then(|end| end.reason.as_ref()))
                .with("by", &go.by)
                .with("host", &go.host);
            self.slice(RUNNER, from, to, &name, "runner", color, args)?;
            free = to;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "a slice has these fields")]
    fn slice(
        &mut self,
        tid: u32,
        ts: u64,
        to: u64,
        name: &str,
        cat: &str,
        color: &str,
        args: Object,
    ) -> io::Result<()> {
        let (dur, cname, args) = (Some(to - ts), Some(color), Some(args));
        self.events.push(&Event {
            name,
            cat,
            ph: "X",
            pid: PID,
            tid,
            ts,
            dur,
            cname,
            args,
            ..Event::default()
        })
    }

    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        let slot = attempt.slot as usize;
        let node = place(self.story, &attempt.node);
        let end = End::of(self.story, attempt);

        let mut from = self.micros(attempt.started).max(self.free[slot]);
        let dependencies = self.dependencies(node);
        for dependency in &dependencies {
            from = from.max(dependency.to);
        }
        let rounds = self.rounds(attempt, from, end.at);
        let to = self.micros(end.at).max(rounds.last().map_or(from + 1, |(_, to)| *to)).max(from + 1);
        let drawn = Drawn { track: RUNNER + 1 + attempt.slot, from, to };

        let color = match end.outcome {
            "completed" => "good",
            "failed" if end.retry_in_ms.is_some() => "bad",
            "failed" => "terrible",
            "waiting" => "yellow",
            _ => "grey",
        };
        let args = Object::default()
            .with("node", &attempt.node)
            .with("kind", attempt.kind)
            .with("attempt", attempt.number)
            .with("outcome", end.outcome)
            .with("error", end.error)
            .with("message", end.message)
            .with("retry_in_ms", end.retry_in_ms)
            .with("exit_code", attempt.exit_code)
            .with("duration_ms", attempt.duration_ms)
            .with("output_bytes", Some(attempt.output_bytes).filter(|bytes| *bytes > 0))
            .with("agent", &attempt.agent)
            .with("agent_version", &attempt.agent_version)
            .with("model", &attempt.model)
            .with("usage", end.usage);
        self.slice(drawn.track, from, to, attempt.node.as_str(), "attempt", color, args)?;
        self.flows(node, &dependencies, drawn)?;
        for (round, (from, to)) in attempt.rounds.iter().zip(rounds) {
            let args = Object::default()
                .with("iteration", round.number)
                .with("outcome", round.outcome)
                .with("usage", round.usage);
            let name = format!("iteration {}", round.number);
            let color = match round.outcome {
                Some(IterationOutcome::Until | IterationOutcome::Continue) => "good",
                Some(IterationOutcome::Blocked | IterationOutcome::Failed) => "terrible",
                None => "grey",
            };
            self.slice(drawn.track, from, to, &name, "iteration", color, args)?;
        }

        self.free[slot] = to;
        if let Some(seen) = node.and_then(|node| self.nodes.get_mut(node)) {
            seen.last = Some((drawn, attempt.ended));
            if end.outcome == "completed" {
                seen.completed = Some(drawn);
            }
        }
        Ok(())
    }

    /// Where the rounds of an attempt are drawn that begins at `from`: one after the other.
    fn rounds(&self, attempt: &Attempt, from: u64, ended: Timestamp) -> Vec<(u64, u64)> {
        let mut free = from;
        let mut next = |(from, to): (Timestamp, Timestamp)| {
            let from = self.micros(from).max(free);
            free = self.micros(to).max(from + 1);
            (from, free)
        };
        round_times(attempt, ended).map(&mut next).collect()
    }

    /// Where those that `node` depends on completed last.
    fn dependencies(&self, node: Option<usize>) -> Vec<Drawn> {
        let Some((node, pipe)) = node.zip(self.story.state.pipe()) else { return Vec::new() };
        let dependencies = pipe.graph().dependencies(omne_dag::NodeIx::new(node));
        dependencies.iter().filter_map(|dependency| self.nodes.get(dependency.place())?.completed).collect()
    }

    /// Draws an arrow from each dependency that completed since the node's attempt before this one.
    fn flows(&mut self, node: Option<usize>, dependencies: &[Drawn], drawn: Drawn) -> io::Result<()> {
        let before = node.and_then(|node| self.nodes[node].last).map(|(drawn, _)| drawn.from);
        for dependency in dependencies {
            if before.is_some_and(|before| before >= dependency.to) {
                continue;
            }
            self.flows += 1;
            let (name, cat, id) = ("depends on", "dependency", Some(self.flows));
            // Within the slice that it comes from: at its very end, the next one of the track may have begun.
            let (tid, ts) = (dependency.track, dependency.to - 1);
            self.events.push(&Event { name, cat, ph: "s", pid: PID, tid, ts, id, ..Event::default() })?;
            let (tid, ts, bp) = (drawn.track, drawn.from, Some("e"));
            self.events.push(&Event { name, cat, ph: "f", pid: PID, tid, ts, id, bp, ..Event::default() })?;
        }
        Ok(())
    }

    fn mark(&mut self, mark: &Mark) -> io::Result<()> {
        let (name, cat, args) = told(&mark.kind);
        let args = args.with("node", &mark.node);
        let node = mark.node.as_ref().and_then(|node| place(self.story, node));
        let last = node.and_then(|node| self.nodes.get(node)?.last);
        let under = last.filter(|(_, ended)| ended.is_none_or(|ended| mark.at <= ended));
        let at = self.micros(mark.at);
        let (tid, ts, scope) = match under {
            Some((drawn, _)) => (drawn.track, at.clamp(drawn.from, drawn.to - 1), "t"),
            None => (RUNNER, at, "p"),
        };
        let (s, args) = (Some(scope), Some(args));
        self.events.push(&Event { name: &name, cat, ph: "i", pid: PID, tid, ts, s, args, ..Event::default() })
    }
}

/// The name, the category and the arguments of a mark.
fn told(kind: &MarkKind) -> (String, &'static str, Object) {
    let args = Object::default();
    match kind {
        MarkKind::Hook { event, hook, decision, latency_us, reason } => {
            let args = args
                .with("event", event)
                .with("hook", hook)
                .with("decision", decision)
                .with("latency_us", latency_us)
                .with("reason", reason);
            (format!("hook {hook}"), "hook", args)
        }
        MarkKind::Passed { gate, by } => {
            (format!("gate {gate} passed"), "gate", args.with("gate", gate).with("by", by))
        }
        MarkKind::Asked { gate, prompt } => {
            (format!("gate {gate} asks"), "gate", args.with("gate", gate).with("prompt", prompt))
        }
        MarkKind::Decided { gate, option, approved, by, comment } => {
            let args = args
                .with("gate", gate)
                .with("option", option)
                .with("approved", approved)
                .with("by", by)
                .with("comment", comment);
            (format!("gate {gate} decided"), "gate", args)
        }
        MarkKind::Tool { tool, summary } => {
            (tool.to_string(), "tool", args.with("tool", tool).with("summary", summary))
        }
        MarkKind::Skipped { reason } => ("skipped".to_owned(), "skip", args.with("reason", reason)),
    }
}
