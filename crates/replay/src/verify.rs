//! Every rule of logs checked, every finding told.

use std::ops::ControlFlow;

use omne_events::{
    Chain, Digest, Event, Line, LineRef, LogReader, ReadError, Redactions, RunId, Tail, read_ahead,
};
use serde::Serialize;

use crate::RunState;

/// More findings than this help nobody.
const MOST: usize = 1000;

/// A rule that a line breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// What a log is checked for besides the rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// An earlier head: if a line has this digest, nothing up to it was cut off or changed since.
    pub head: Option<Digest>,
    /// Whether it is a copy from which something may have been removed.
    pub redactions: Redactions,
}

/// What a check found.
#[derive(Debug)]
pub struct Report {
    /// How many lines there are.
    pub lines: u64,
    /// The chain after the last line; its head is that line's digest.
    pub chain: Chain,
    /// The offset after the last whole line.
    pub length: u64,
    /// How the log ends.
    pub tail: Tail,
    /// Everything that is wrong, in order.
    pub findings: Vec<Finding>,
    /// Whether it is a log of omne-cli 0.2, whose lines are not linked.
    pub legacy: bool,
    /// The first line with the digest that was asked for.
    pub expected_at: Option<u64>,
    /// The state after the last line.
    pub state: RunState,
}

impl Report {
    /// Adds a finding if the log is not that of `run`, in whose directory it lies.
    pub fn has_to_be_of(&mut self, run: &RunId) {
        if let Some(other) = self.state.run().filter(|other| *other != run) {
            let message = format!("the log is of the run `{other}`, and lies in the directory of `{run}`");
            self.findings.insert(0, Finding { line: 1, message });
        }
    }

    /// The first finding that is more than a torn last line.
    pub fn damage(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.line <= self.lines)
    }
}

/// Checks a log: bytes, links, numbers, and what events may follow each other.
///
/// # Errors
/// When it can't be read; damage is no error but a finding.
pub fn verify(reader: &mut LogReader<'_>, terms: Terms) -> Result<Report, ReadError> {
    let mut expected_at = None;
    let (mut chain, mut state) = (Chain::new(), RunState::new());
    if terms.redactions == Redactions::Accepted {
        chain = chain.accepting_redactions();
    }
    let mut findings: Vec<Finding> = Vec::new();
    // After a line that can not be read nobody knows what the later ones follow from.
    let mut readable = true;
    let mut line = 0;
    let digest = |bytes: &[u8]| Digest::of(bytes);
    read_ahead(reader, digest, |bytes, digest, decoded| {
        line += 1;
        let mut find = |message: String| {
            if findings.len() < MOST {
                findings.push(Finding { line, message });
            }
        };
        if bytes.is_empty() {
            find("the line is blank".into());
            return ControlFlow::Continue(());
        }
        if bytes.contains(&b'\r') {
            find("the line has a carriage return".into());
        }
        match decoded {
            Err(error) => {
                find(error.to_string());
                chain.pass_over(digest);
                readable = false;
            }
            Ok(decoded) => {
                for fault in chain.follow(bytes, digest, &decoded) {
                    find(fault.to_string());
                }
                if expected_at.is_none() && terms.head == Some(chain.head()) {
                    expected_at = Some(line);
                }
                if readable && let Err(violation) = state.apply_line(&decoded.line) {
                    find(violation.to_string());
                }
                if !chain.is_legacy()
                    && let Some(field) = missing(&decoded.line)
                {
                    find(format!("`{}` has no `{field}`", decoded.line.kind()));
                }
                let carries_definition = matches!(decoded.line.kind(), "pipe.started" | "pipe.resumed");
                if bytes.len() > omne_events::MAX_LINE && !carries_definition {
                    find(format!("the line is {} bytes long, the most is 64 KiB", bytes.len()));
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Tail::Torn { bytes, .. } = reader.tail() {
        let message = format!(
            "{bytes} bytes follow the last whole line: one was being written when its writer stopped"
        );
        findings.push(Finding { line: line + 1, message });
    }
    if line == 0 && findings.is_empty() {
        findings.push(Finding { line: 1, message: "the log holds no event".into() });
    }
    let (length, tail) = (reader.offset(), reader.tail());
    let legacy = chain.is_legacy();
    Ok(Report { lines: line, chain, length, tail, findings, legacy, expected_at, state })
}

/// A field that a line of this version has, and this one lacks. What one can't do without is missed by who reads it.
fn missing(line: &LineRef<'_>) -> Option<&'static str> {
    let LineRef::Owned(line) = line else { return None };
    let Line::Known(record) = &**line else { return None };
    match &record.event {
        Event::PipeStarted(started) if started.definition.is_none() => Some("definition"),
        Event::NodeStarted(started) if started.node_sha256.is_none() => Some("node_sha256"),
        Event::NodeCompleted(completed) if completed.output_sha256.is_none() => Some("output_sha256"),
        _ => None,
    }
}
