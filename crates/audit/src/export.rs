//! Runs in the forms that other programs read: trace viewers, OpenTelemetry
//! backends, readers of test reports.
//!
//! Each exporter writes as it walks along the [`Story`]; what it remembers
//! grows with the nodes of the run, never with the text it writes.

mod chrome;
mod junit;
mod otlp;
#[cfg(test)]
mod tests;

use std::io::{self, BufWriter, Write};

use omne_events::{NodeError, NodeId, Timestamp, Usage};
use omne_replay::{NodePhase, NodeRecord};
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::{chrome::chrome_trace, junit::junit, otlp::otlp_json};
use crate::{Attempt, Outcome, Story};

/// The elements of a JSON array, each on a line of its own.
struct Elements<'a> {
    out: BufWriter<&'a mut dyn Write>,
    any: bool,
}

impl<'a> Elements<'a> {
    /// Begins with `head`, which ends where the array's first element may stand.
    fn new(out: &'a mut dyn Write, head: &str) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        out.write_all(head.as_bytes())?;
        Ok(Self { out, any: false })
    }

    fn push(&mut self, element: &impl Serialize) -> io::Result<()> {
        self.out.write_all(if self.any { b",\n" } else { b"\n" })?;
        self.any = true;
        Ok(serde_json::to_writer(&mut self.out, element)?)
    }

    /// Ends with `tail`, which begins where the array ends.
    fn finish(mut self, tail: &str) -> io::Result<()> {
        self.out.write_all(tail.as_bytes())?;
        self.out.flush()
    }
}

/// A JSON object without the keys that have no value.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
struct Object(Map<String, Value>);

impl Object {
    fn with(mut self, key: &str, value: impl Serialize) -> Self {
        // What cannot be said in JSON is left out like what is not known.
        if let Ok(value) = serde_json::to_value(value)
            && !value.is_null()
        {
            self.0.insert(key.to_owned(), value);
        }
        self
    }
}

/// How an attempt ended.
struct End<'a> {
    /// `completed`, `failed`, `waiting`, `running` or `interrupted`.
    outcome: &'static str,
    /// When; the last moment that is known of while it is open.
    at: Timestamp,
    error: Option<&'a NodeError>,
    message: Option<&'a str>,
    retry_in_ms: Option<u64>,
    usage: Option<Usage>,
}

impl<'a> End<'a> {
    fn of(story: &'a Story, attempt: &'a Attempt) -> Self {
        let last = story.last().unwrap_or(attempt.started);
        let mut end = Self {
            outcome: "completed",
            at: attempt.ended.unwrap_or(last).max(attempt.started),
            error: None,
            message: None,
            retry_in_ms: None,
            usage: attempt.usage.or_else(|| of_rounds(attempt)),
        };
        match &attempt.outcome {
            Outcome::Completed => {}
            Outcome::Failed { error, message, retry_in_ms } => {
                end.outcome = "failed";
                (end.error, end.message) = (Some(error), message.as_deref());
                end.retry_in_ms = *retry_in_ms;
            }
            Outcome::Open => end.outcome = open(story, attempt),
        }
        end
    }

    fn failed(&self) -> bool {
        self.outcome == "failed"
    }
}

/// Where an attempt stands whose end is not told.
fn open(story: &Story, attempt: &Attempt) -> &'static str {
    let go_end = story.go_of(attempt.seq).and_then(|go| go.end.as_ref());
    let phase = || place(story, &attempt.node).map(|place| record(story, place).phase);
    match go_end.map(|end| end.state) {
        // A run parks when nothing is left but questions.
        Some("parked") => "waiting",
        None if attempt.ended.is_none() && phase() == Some(NodePhase::Waiting) => "waiting",
        None if attempt.ended.is_none() => "running",
        Some(_) | None => "interrupted",
    }
}

/// What the rounds that ended used together.
fn of_rounds(attempt: &Attempt) -> Option<Usage> {
    attempt.rounds.iter().filter_map(|round| round.usage).reduce(|mut sum, usage| {
        sum += usage;
        sum
    })
}

/// The place of a node in the run's order.
fn place(story: &Story, node: &NodeId) -> Option<usize> {
    story.state.find(node.as_str()).map(|node| node.place())
}

fn record(story: &Story, place: usize) -> &NodeRecord {
    story.state.node(omne_dag::NodeIx::new(place))
}

/// When each round of `attempt` began and ended, the end of the attempt being `last`.
fn round_times(attempt: &Attempt, last: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    attempt.rounds.iter().enumerate().map(move |(place, round)| {
        let next = attempt.rounds.get(place + 1).map(|next| next.started);
        let ended = round.ended.or(next).unwrap_or(last);
        let from = round.started.clamp(attempt.started, last.max(attempt.started));
        (from, ended.min(last).max(from))
    })
}

/// When each go ended: by its own word, else with the last that was seen of it.
fn go_ends(story: &Story) -> Vec<Timestamp> {
    let mut ends: Vec<Timestamp> = story.goes.iter().map(|go| go.at).collect();
    let mut see = |seq: u64, at: Timestamp| {
        let go = story.goes.partition_point(|go| go.seq <= seq);
        if let Some(end) = ends.get_mut(go.wrapping_sub(1)) {
            *end = at.max(*end);
        }
    };
    for attempt in &story.attempts {
        see(attempt.seq, attempt.ended.unwrap_or(attempt.started));
    }
    for mark in &story.marks {
        see(mark.seq, mark.at);
    }
    for (go, end) in story.goes.iter().zip(&mut ends) {
        match &go.end {
            Some(told) => *end = told.at.max(go.at),
            None => *end = (*end).max(go.at),
        }
    }
    if let (Some(go), Some(end), Some(last)) = (story.goes.last(), ends.last_mut(), story.last())
        && go.end.is_none()
    {
        *end = last.max(*end);
    }
    ends
}
