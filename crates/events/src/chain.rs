//! The rules that hold from line to line whatever the events mean: `seq`, `id`,
//! `ts`, `run_id` and `prev`.

use crate::{Decoded, Digest, Event, EventId, Line, LineRef, RunId, Timestamp};

/// The state of the chain after some line.
#[derive(Debug, Clone)]
pub struct Chain {
    seq: u64,
    id: EventId,
    at: Timestamp,
    run: Option<RunId>,
    head: Digest,
    redactions: Redactions,
    redacted: u64,
    /// The first line says that it is a log of omne-cli 0.2.
    legacy: bool,
}

/// The rule that a line breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// `seq` has a gap or goes back.
    #[error("`seq` is {found}, it has to be {expected}")]
    Seq {
        /// What stands in the line.
        found: u64,
        /// What has to.
        expected: u64,
    },
    /// `id` does not rise.
    #[error("`id` {found} is not above the one before, {before}")]
    Id {
        /// What stands in the line.
        found: EventId,
        /// The id before.
        before: EventId,
    },
    /// `ts` falls.
    #[error("`ts` {found} is before the one of the line before, {before}")]
    Time {
        /// What stands in the line.
        found: Timestamp,
        /// The time before.
        before: Timestamp,
    },
    /// `ts` is not in UTC with milliseconds.
    #[error("`ts` is `{found}`, it has to be in UTC with milliseconds, such as `2026-11-20T10:00:00.000Z`")]
    TimeForm {
        /// What stands in the line.
        found: String,
    },
    /// `run_id` changes.
    #[error("`run_id` is {found}, the log is of {expected}")]
    Run {
        /// What stands in the line.
        found: RunId,
        /// The log's run.
        expected: RunId,
    },
    /// Lines of this version have these.
    #[error("`{0}` is missing: only logs of omne-cli 0.2 have none, in any of their lines")]
    Missing(&'static str),
    /// `prev` is not the digest of the line before.
    #[error("`prev` is not the SHA-256 of the line before: that line or this one was changed")]
    Prev,
    /// Something was removed from the line.
    #[error("something was removed from the line, which only a copy of a log may say of itself")]
    Redacted,
}

impl Default for Chain {
    fn default() -> Self {
        Chain {
            seq: 0,
            id: EventId::default(),
            at: Timestamp::default(),
            run: None,
            head: Digest::ZERO,
            redactions: Redactions::Refused,
            redacted: 0,
            legacy: false,
        }
    }
}

impl Chain {
    /// The chain before the first line.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last line's `seq`.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The last line's `id`.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// The last line's `ts`.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The log's run.
    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }

    /// Takes lines from which something was removed for what they were, by the digest that they carry.
    pub fn accepting_redactions(self) -> Self {
        Self { redactions: Redactions::Accepted, ..self }
    }

    /// How many lines were taken so.
    pub fn redacted(&self) -> u64 {
        self.redacted
    }

    /// Whether it is a log of omne-cli 0.2, whose lines are neither numbered nor linked.
    pub fn is_legacy(&self) -> bool {
        self.legacy
    }

    /// The digest of the last line: what the next one's `prev` has to be.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Takes the next line in, which has this digest; every rule that it breaks. The chain goes on from the line all the
    /// same.
    pub fn follow(&mut self, bytes: &[u8], digest: Digest, decoded: &Decoded<'_>) -> Vec<ChainFault> {
        let line = &decoded.line;
        let mut faults = Vec::new();
        let is_first = self.seq == 0;
        if line.seq() != self.seq + 1 {
            faults.push(ChainFault::Seq { found: line.seq(), expected: self.seq + 1 });
        }
        if line.id() <= self.id {
            faults.push(ChainFault::Id { found: line.id(), before: self.id });
        }
        if let Some(odd) = decoded.odd_time.as_ref().filter(|_| !decoded.legacy) {
            faults.push(ChainFault::TimeForm { found: odd.chars().take(40).collect() });
        }
        if line.at() < self.at {
            faults.push(ChainFault::Time { found: line.at(), before: self.at });
        }
        match &self.run {
            Some(run) if run.as_str() != line.run() => {
                faults.push(ChainFault::Run { found: RunId::checked(line.run()), expected: run.clone() });
            }
            Some(_) => {}
            None => self.run = Some(RunId::checked(line.run())),
        }
        if is_first {
            self.legacy = decoded.legacy && decoded.prev.is_none() && !carries_definition(line);
        }
        if decoded.legacy && !self.legacy {
            faults.push(ChainFault::Missing("seq"));
        }
        match &decoded.prev {
            Some(prev) if prev.as_bytes() == self.head.text() => {}
            Some(_) => faults.push(ChainFault::Prev),
            None if self.legacy => {}
            None => faults.push(ChainFault::Missing("prev")),
        }
        let head = match (redaction(bytes), self.redactions) {
            (Some(was), Redactions::Accepted) => {
                self.redacted += 1;
                was
            }
            (Some(_), Redactions::Refused) => {
                faults.push(ChainFault::Redacted);
                digest
            }
            (None, _) => digest,
        };
        self.advance(line.seq(), line.id().max(self.id), line.at().max(self.at), head);
        faults
    }

    /// Counts a line that can not be read, which has this digest: the next one is still numbered after it and linked to its
    /// bytes.
    pub fn pass_over(&mut self, digest: Digest) {
        self.advance(self.seq + 1, self.id, self.at, digest);
    }

    pub(crate) fn advance(&mut self, seq: u64, id: EventId, at: Timestamp, head: Digest) {
        (self.seq, self.id, self.at, self.head) = (seq, id, at, head);
    }

    /// The chain before the first event of `run`.
    pub fn of(run: RunId) -> Self {
        Self { run: Some(run), ..Self::new() }
    }
}
/// Whether lines are taken from which something was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redactions {
    /// A log that is being written has none.
    #[default]
    Refused,
    /// The copy of one may have.
    Accepted,
}

/// Whether it is the first event of a log of this version, whatever else was taken from it.
fn carries_definition(line: &LineRef<'_>) -> bool {
    let LineRef::Owned(line) = line else { return false };
    match &**line {
        Line::Known(record) => {
            matches!(&record.event, Event::PipeStarted(started) if started.definition.is_some() || started.host.is_some())
        }
        Line::Unknown { .. } => false,
    }
}

/// What stands before the digest of a line that was changed, and behind everything else.
const REDACTED: &[u8] = b",\"redacted\":\"";

/// The digest of what a line was before something was removed from it, if that is so.
fn redaction(bytes: &[u8]) -> Option<Digest> {
    let text = bytes.strip_suffix(b"\"}")?;
    let (before, digest) = text.split_at_checked(text.len().checked_sub(64)?)?;
    before.strip_suffix(REDACTED)?;
    Digest::parse(digest)
}

/// Marks a line from which something was removed with the digest of what it was.
pub fn mark_redacted(line: &mut Vec<u8>, was: Digest) {
    if line.pop() == Some(b'}') {
        line.extend_from_slice(REDACTED);
        line.extend_from_slice(&was.text());
        line.extend_from_slice(b"\"}");
    }
}
