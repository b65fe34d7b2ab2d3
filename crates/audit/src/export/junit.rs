//! A run as a JUnit report, as Jenkins, GitLab and GitHub's actions read it: a
//! testcase a node, earlier attempts as Surefire writes its reruns.
//!
//! The elements and attributes are those of Jenkins' `junit-10.xsd`.

mod xml;

use std::io::{self, BufWriter, Write};

use omne_dag::NodeIx;
use omne_events::{ErrorKind, NodeError, NodeId, Usage};
use omne_replay::{NodePhase, NodeRecord};

use self::xml::{Attribute, Seconds, Text};
use super::{End, place, record};
use crate::Story;

/// Writes `story` as a JUnit report, with what `capture` gives for a node as its output.
///
/// # Errors
/// When `out` cannot be written.
pub fn junit(
    story: &Story,
    capture: &dyn Fn(&NodeId) -> Option<String>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let state = &story.state;
    let count = Counts::of(story);
    let time = Seconds(state.active_ms());
    let (name, run) = (Attribute(state.name()), Attribute(state.run().map_or("", |run| run.as_str())));
    let totals =
        format!("tests=\"{}\" failures=\"{}\" errors=\"{}\"", count.tests, count.failures, count.errors);

    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"{name}\" {totals} time=\"{time}\">")?;
    write!(
        out,
        "<testsuite name=\"{name}\" id=\"{run}\" {totals} skipped=\"{}\" time=\"{time}\"",
        count.skipped
    )?;
    if let Some(started) = story.started() {
        // The readers' schemas know no zone and no fraction; the time is UTC.
        write!(out, " timestamp=\"{started:.19}\"")?;
    }
    if let Some(host) = state.host() {
        write!(out, " hostname=\"{}\"", Attribute(&host.name))?;
    }
    writeln!(out, ">")?;
    properties(story, &mut out)?;
    let failed = failed_attempts(story);
    for (place, (id, _, record)) in state.nodes().enumerate() {
        let seconds = Seconds(record.duration_ms.unwrap_or(0));
        write!(
            out,
            "<testcase classname=\"{name}\" name=\"{}\" time=\"{seconds}\">",
            Attribute(id.as_str())
        )?;
        result(story, place, record, &mut out)?;
        earlier(story, place, record, &failed, &mut out)?;
        if let Some(text) = capture(id) {
            write!(out, "<system-out>{}</system-out>", Text(&text))?;
        }
        writeln!(out, "</testcase>")?;
    }
    writeln!(out, "</testsuite>\n</testsuites>")?;
    out.flush()
}

#[derive(Debug, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn of(story: &Story) -> Self {
        let mut count = Self::default();
        for (_, _, record) in story.state.nodes() {
            count.tests += 1;
            match record.phase {
                NodePhase::Completed => {}
                NodePhase::Failed if is_error(record.error()) => count.errors += 1,
                NodePhase::Failed => count.failures += 1,
                NodePhase::Pending
                | NodePhase::Running
                | NodePhase::Retrying
                | NodePhase::Blocked
                | NodePhase::Skipped
                | NodePhase::Waiting => count.skipped += 1,
            }
        }
        count
    }
}

/// Whether the node failed for reasons outside of itself, which JUnit calls an error.
fn is_error(error: Option<&NodeError>) -> bool {
    match error.map(|error| error.kind) {
        Some(
            ErrorKind::HostMissing
            | ErrorKind::SpawnFailed
            | ErrorKind::Denied
            | ErrorKind::Cancelled
            | ErrorKind::Interrupted,
        ) => true,
        Some(
            ErrorKind::Timeout
            | ErrorKind::Blocked
            | ErrorKind::GateFailed
            | ErrorKind::GateTimeout
            | ErrorKind::Crash
            | ErrorKind::MaxIterationsExceeded
            | ErrorKind::AgentError
            | ErrorKind::OutputLimit
            | ErrorKind::BudgetExceeded,
        )
        | None => false,
    }
}

fn properties(story: &Story, out: &mut impl Write) -> io::Result<()> {
    let state = &story.state;
    let usage = Some(state.usage()).filter(|usage| *usage != Usage::default());
    let known = [
        ("omne.run_id", state.run().map(ToString::to_string)),
        ("omne.state", Some(state.phase().as_str().to_owned())),
        ("omne.pipe_version", state.version().map(|version| version.to_string())),
        ("omne.resumes", Some(state.resumes().to_string())),
        ("omne.by", state.by().map(str::to_owned)),
        ("omne.reason", state.reason().map(str::to_owned)),
        ("omne.version", state.host().map(|host| host.omne_version.clone())),
        ("omne.input_tokens", usage.map(|usage| usage.input_tokens.to_string())),
        ("omne.output_tokens", usage.map(|usage| usage.output_tokens.to_string())),
        ("omne.cost_usd", usage.and_then(|usage| usage.cost_usd).map(|cost| cost.to_string())),
    ];
    writeln!(out, "<properties>")?;
    for (name, value) in known {
        if let Some(value) = value {
            writeln!(out, "<property name=\"{name}\" value=\"{}\"/>", Attribute(&value))?;
        }
    }
    for (key, value) in state.inputs() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        writeln!(out, "<property name=\"omne.input.{}\" value=\"{}\"/>", Attribute(key), Attribute(&value))?;
    }
    writeln!(out, "</properties>")
}

/// The element that says how a node stands; none for one that completed.
fn result(story: &Story, place: usize, record: &NodeRecord, out: &mut impl Write) -> io::Result<()> {
    let why = match record.phase {
        NodePhase::Completed => return Ok(()),
        NodePhase::Failed => {
            let tag = if is_error(record.error()) { "error" } else { "failure" };
            let signal = record.rare.as_ref().and_then(|rare| rare.signal);
            let told = Told { error: record.error(), message: record.message(), attempt: record.attempt };
            let (kind, message) = (told.kind(), told.summary());
            write!(out, "<{tag} type=\"{}\" message=\"{}\">", Attribute(&kind), Attribute(message))?;
            told.details(record.exit_code, signal, out)?;
            return write!(out, "</{tag}>");
        }
        NodePhase::Skipped => {
            let reason = record.rare.as_ref().and_then(|rare| rare.reason.as_deref());
            format!("skipped: {}", reason.unwrap_or("no reason is told"))
        }
        NodePhase::Blocked => format!("blocked by {}", blockers(story, place)),
        NodePhase::Waiting => match record.gate().and_then(|gate| gate.prompt.as_deref()) {
            Some(prompt) => format!("waiting for a decision: {prompt}"),
            None => "waiting for a decision".to_owned(),
        },
        NodePhase::Running => "running, or cut off".to_owned(),
        NodePhase::Pending | NodePhase::Retrying => "pending".to_owned(),
    };
    write!(out, "<skipped message=\"{}\"/>", Attribute(&why))
}

/// The dependencies that did not complete; the first of many.
fn blockers(story: &Story, node: usize) -> String {
    const MOST: usize = 5;
    let Some(pipe) = story.state.pipe() else { return "an earlier node".to_owned() };
    let dependencies = pipe.graph().dependencies(NodeIx::new(node)).iter();
    let ended_badly =
        |node: &&NodeIx| matches!(record(story, node.place()).phase, NodePhase::Failed | NodePhase::Blocked);
    let mut names = dependencies.filter(ended_badly).map(|node| pipe.node(*node).id.as_str());
    let mut text = names.by_ref().take(MOST).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 if text.is_empty() => text.push_str("an earlier node"),
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

/// Nodes by their places with the attempts at them that failed, in that order.
fn failed_attempts(story: &Story) -> Vec<(usize, usize)> {
    let attempts = story.attempts.iter().enumerate();
    let failed = attempts.filter(|(_, attempt)| End::of(story, attempt).failed());
    let mut failed: Vec<_> =
        failed.filter_map(|(number, attempt)| Some((place(story, &attempt.node)?, number))).collect();
    failed.sort_unstable();
    failed
}

/// Attempts that failed before the last one: flaky where that one completed, reruns where it failed.
fn earlier(
    story: &Story,
    node: usize,
    record: &NodeRecord,
    failed: &[(usize, usize)],
    out: &mut impl Write,
) -> io::Result<()> {
    let (failure, error) = match record.phase {
        NodePhase::Completed => ("flakyFailure", "flakyError"),
        NodePhase::Failed => ("rerunFailure", "rerunError"),
        NodePhase::Pending
        | NodePhase::Running
        | NodePhase::Retrying
        | NodePhase::Blocked
        | NodePhase::Skipped
        | NodePhase::Waiting => return Ok(()),
    };
    let from = failed.partition_point(|(other, _)| *other < node);
    let to = failed.partition_point(|(other, _)| *other <= node);
    for (_, number) in &failed[from..to] {
        let attempt = &story.attempts[*number];
        if attempt.number == record.attempt {
            continue;
        }
        let end = End::of(story, attempt);
        let told = Told { error: end.error, message: end.message, attempt: attempt.number };
        let tag = if is_error(end.error) { error } else { failure };
        let (kind, message) = (told.kind(), told.summary());
        write!(out, "<{tag} type=\"{}\" message=\"{}\"><stackTrace>", Attribute(&kind), Attribute(message))?;
        told.details(attempt.exit_code, None, out)?;
        write!(out, "</stackTrace></{tag}>")?;
    }
    Ok(())
}

/// What an attempt that failed says.
struct Told<'a> {
    error: Option<&'a NodeError>,
    message: Option<&'a str>,
    attempt: u32,
}

impl<'a> Told<'a> {
    fn kind(&self) -> String {
        match self.error {
            Some(NodeError { kind, class: Some(class) }) => format!("{}:{class}", kind.as_str()),
            Some(NodeError { kind, class: None }) => kind.as_str().to_owned(),
            None => "failed".to_owned(),
        }
    }

    fn summary(&self) -> &'a str {
        let kind = self.error.map_or("failed", |error| error.kind.as_str());
        self.message.map(str::trim).filter(|message| !message.is_empty()).unwrap_or(kind)
    }

    fn details(&self, exit_code: Option<i32>, signal: Option<i32>, out: &mut impl Write) -> io::Result<()> {
        write!(out, "attempt {}: {}", self.attempt, Text(&self.kind()))?;
        if let Some(code) = exit_code {
            write!(out, ", exit code {code}")?;
        }
        if let Some(signal) = signal {
            write!(out, ", signal {signal}")?;
        }
        match self.message {
            Some(message) => write!(out, "\n{}", Text(message)),
            None => Ok(()),
        }
    }
}
