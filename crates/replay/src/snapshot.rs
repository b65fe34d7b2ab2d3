//! A run as text that is the same on every machine and at every time, so that
//! it can be kept in a repository and compared: node by node in the pipe's
//! order, since parallel nodes interleave differently from run to run.

use std::fmt::Write as _;

use omne_events::{Event, HookVerdict, IterationOutcome, Line, Placeholders, Recorded};
use rustc_hash::FxHashMap;

use crate::RunState;

/// Collects the lines of a log into a snapshot.
#[derive(Debug, Default)]
pub struct Snapshot {
    run: Vec<String>,
    nodes: FxHashMap<String, Vec<String>>,
    /// What hooks said that only look on, by node; of the run, by nothing. The run goes on while they do, so that where
    /// they stand in the log is chance.
    observed: FxHashMap<String, Vec<String>>,
    placeholders: Placeholders,
}

impl Snapshot {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for a run in whose texts more than its own places stand.
    pub fn with_placeholders(placeholders: Placeholders) -> Self {
        Self { placeholders, ..Self::default() }
    }

    /// Takes the next line.
    pub fn push(&mut self, line: &Line) {
        match line {
            Line::Known(record) => self.push_record(record),
            Line::Unknown { kind, .. } => self.run.push(kind.clone()),
        }
    }

    fn push_record(&mut self, record: &Recorded) {
        if let Event::PipeStarted(started) = &record.event {
            let (run, workspace, host) = (record.run.as_str(), &started.workspace, &started.host);
            self.placeholders.extend(&Placeholders::new(run, workspace.as_ref(), host.as_ref()));
        }
        if matches!(record.event, Event::NodeSpawned(_)) {
            // All that it tells is a process and its program's place; a played node has none.
            return;
        }
        let text = format!("{}{}", record.event.kind(), self.details(&record.event));
        if matches!(&record.event, Event::HookDecided(decided) if decided.event.starts_with("post_")) {
            let node = record.event.node().map(ToString::to_string).unwrap_or_default();
            self.observed.entry(node).or_default().push(text);
            return;
        }
        match record.event.node() {
            Some(node) => self.nodes.entry(node.to_string()).or_default().push(text),
            None => self.run.push(text),
        }
    }

    fn quoted(&self, text: &str) -> String {
        format!("{:?}", self.placeholders.stable(text))
    }

    fn details(&self, event: &Event) -> String {
        let mut out = String::new();
        // Writing to a string can not fail.
        let _ = self.write_details(&mut out, event);
        out
    }

    fn write_details(&self, out: &mut String, event: &Event) -> std::fmt::Result {
        match event {
            Event::PipeStarted(e) => {
                if let Some(digest) = e.definition_sha256 {
                    write!(out, " definition={digest}")?;
                }
            }
            Event::PipeResumed(e) => {
                write!(out, " #{}", e.resume)?;
                for step in &e.plan {
                    // Who it was, is another one elsewhere.
                    let by_whom =
                        ["it was approved", "it was rejected"].iter().find(|why| step.why.starts_with(**why));
                    let why = by_whom.map_or_else(
                        || self.placeholders.stable(&step.why).into_owned(),
                        |why| (*why).to_owned(),
                    );
                    write!(out, "\n    {} {}: {why}", step.action.as_str(), step.node_id)?;
                }
            }
            Event::PipeCompleted(_) => {}
            Event::PipeAborted(e) => write!(out, " {}", self.quoted(&e.reason))?,
            Event::PipeInterrupted(e) => write!(out, " {}", e.signal)?,
            Event::PipeParked(e) => {
                for node in &e.waiting {
                    write!(out, " {node}")?;
                }
            }
            Event::NodeStarted(e) => {
                write!(out, " #{}", e.attempt)?;
                if let Some(digest) = e.prompt_stable_sha256.or(e.prompt_sha256) {
                    write!(out, " prompt={digest}")?;
                }
                for (name, value) in [("name", &e.name), ("model", &e.model), ("agent", &e.agent)] {
                    if let Some(value) = value {
                        write!(out, " {name}={value}")?;
                    }
                }
            }
            Event::NodeSpawned(_) => {}
            Event::NodeCompleted(e) => {
                write!(out, " #{}", e.attempt)?;
                if let Some(code) = e.exit_code {
                    write!(out, " exit={code}")?;
                }
                if let Some(digest) = e.output_sha256.filter(|_| e.output_bytes > 0) {
                    write!(out, " output={}B {digest}", e.output_bytes)?;
                }
                for (key, value) in e.outputs.iter().flatten() {
                    write!(out, "\n    {key} = {}", self.quoted(value))?;
                }
                for tool in e.denied_tools.iter().flatten() {
                    write!(out, "\n    denied {tool}")?;
                }
            }
            Event::NodeFailed(e) => {
                write!(out, " #{} {}", e.attempt, e.error.kind.as_str())?;
                if let Some(class) = &e.error.class {
                    write!(out, " class={class}")?;
                }
                if let Some(code) = e.exit_code {
                    write!(out, " exit={code}")?;
                }
                if let Some(signal) = e.signal {
                    write!(out, " signal={signal}")?;
                }
                if e.retry_in_ms.is_some() {
                    write!(out, " retried")?;
                }
                if let Some(message) = &e.message {
                    write!(out, "\n    {}", self.quoted(message))?;
                }
            }
            Event::NodeSkipped(e) => write!(out, " {}", self.quoted(&e.reason))?,
            Event::IterationStarted(e) => {
                write!(out, " #{} {} at={}", e.attempt, e.iteration, e.byte_offset)?
            }
            Event::IterationCompleted(e) => {
                let outcome = match e.outcome {
                    IterationOutcome::Until => "until",
                    IterationOutcome::Blocked => "blocked",
                    IterationOutcome::Continue => "continue",
                    IterationOutcome::Failed => "failed",
                };
                write!(out, " #{} {} {outcome}", e.attempt, e.iteration)?;
            }
            Event::AgentStarted(e) => write!(out, " #{} {}", e.attempt, e.agent)?,
            Event::AgentTool(e) => write!(out, " #{} {} {}", e.attempt, e.tool, e.input_sha256)?,
            Event::GatePassed(e) => {
                write!(out, " {}", e.gate)?;
                if let Some(stdout) = &e.stdout {
                    write!(out, " {}", self.quoted(stdout))?;
                }
            }
            Event::GateWaiting(e) => {
                write!(out, " {} {} [{}]", e.gate, self.quoted(&e.prompt), e.options.join(", "))?
            }
            Event::GateDecided(e) => write!(out, " {} {} approved={}", e.gate, e.option, e.approved)?,
            Event::HookDecided(e) => {
                let decision = match e.decision {
                    HookVerdict::Allow => "allow",
                    HookVerdict::Modify => "modify",
                    HookVerdict::Deny => "deny",
                    HookVerdict::AskUser => "ask_user",
                    HookVerdict::Error => "error",
                };
                write!(out, " {} {} {decision}", e.event, self.placeholders.stable(&e.hook))?;
            }
        }
        Ok(())
    }

    /// The snapshot of the run whose lines were pushed and whose state is `state`.
    pub fn finish(mut self, state: &RunState) -> String {
        self.observed.values_mut().for_each(|lines| lines.sort());
        let observed = |node: &str| self.observed.get(node).into_iter().flatten();
        let mut out = format!("pipe {}", state.name());
        if let Some(version) = state.version() {
            let _ = write!(out, " version {version}");
        }
        let _ = writeln!(out, ": {}", state.phase().as_str());
        for (key, value) in state.inputs() {
            let _ = writeln!(out, "  input {key} = {value}");
        }
        for line in self.run.iter().chain(observed("")) {
            let _ = writeln!(out, "  {line}");
        }
        for (id, kind, record) in state.nodes() {
            let _ = writeln!(out, "\n{} {id}: {}", kind.as_str(), record.phase.as_str());
            for line in self.nodes.get(id.as_str()).into_iter().flatten().chain(observed(id.as_str())) {
                let _ = writeln!(out, "  {line}");
            }
        }
        out
    }
}
