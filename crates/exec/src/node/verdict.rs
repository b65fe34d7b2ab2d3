//! What the end of a process means for its node.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use omne_events::{ErrorKind, NodeError, NodeFailed, NodeId, Usage, beginning, milliseconds};
use omne_pipe::format_duration;
use omne_process::Ended;
use rustix::io::Errno;
use smol_str::SmolStr;

use crate::port::EndReason;

/// The longest message, in bytes.
const MOST_MESSAGE: usize = 1024;

/// Why an attempt was ended from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its agent was silent for longer than it may.
    Idle(Duration),
    /// It ran longer than it may.
    Timeout(Duration),
    /// Its gate did.
    GateTimeout(Duration),
    /// Somebody wanted it.
    Asked(EndReason),
}

/// A failure before it has its place in the log.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) class: Option<SmolStr>,
    pub(crate) message: String,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// Few have it, and all are moved about.
    pub(crate) usage: Option<Box<Usage>>,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, class: None, message: message.into(), code: None, signal: None, usage: None }
    }

    pub(crate) fn with_status(self, status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal(), ..self }
    }

    /// Whether people or a signal wanted the end.
    pub(crate) fn was_asked_for(&self) -> bool {
        matches!(self.kind, ErrorKind::Cancelled | ErrorKind::Interrupted)
    }

    /// The text of an agent can not be kept.
    pub(crate) fn capture(error: &io::Error) -> Self {
        Self::new(ErrorKind::SpawnFailed, format!("the output can not be kept: {error}"))
    }

    /// The event; the runner decides about another attempt.
    pub(crate) fn event(self, node_id: NodeId, attempt: u32, duration: Duration) -> NodeFailed {
        let message = clip(self.message.trim_end());
        NodeFailed {
            node_id,
            attempt,
            error: NodeError { kind: self.kind, class: self.class },
            message: (!message.is_empty()).then_some(message),
            exit_code: self.code,
            signal: self.signal,
            duration_ms: milliseconds(duration),
            retry_in_ms: None,
            usage: self.usage.map(|usage| *usage),
        }
    }
}

/// What it means that an attempt was ended from here; `tail` is the end of what it printed as errors.
pub(crate) fn of_cause(cause: Cause, tail: &str) -> Failure {
    let with_tail = |text: String| if tail.trim().is_empty() { text } else { format!("{text}\n{tail}") };
    let (kind, message) = match cause {
        Cause::Timeout(limit) => {
            (ErrorKind::Timeout, with_tail(format!("it ran longer than {}", format_duration(limit))))
        }
        Cause::Idle(limit) => {
            (ErrorKind::Timeout, with_tail(format!("the agent was silent for {}", format_duration(limit))))
        }
        Cause::GateTimeout(limit) => (
            ErrorKind::GateTimeout,
            with_tail(format!("the gate ran longer than {}", format_duration(limit))),
        ),
        Cause::Asked(EndReason::RunTimeout) => {
            (ErrorKind::Timeout, with_tail("the whole run took longer than it may".into()))
        }
        Cause::Asked(EndReason::Cancelled) => (ErrorKind::Cancelled, "the run was cancelled".into()),
        Cause::Asked(EndReason::Interrupted) => (ErrorKind::Interrupted, "the runner was interrupted".into()),
    };
    Failure::new(kind, message)
}

/// It printed more than it may.
pub(crate) fn of_output_limit(output_limit: u64) -> Failure {
    let message = format!(
        "it printed more than {output_limit} bytes; `limits.output_bytes` in `.omne/omne.toml` sets the limit"
    );
    Failure::new(ErrorKind::OutputLimit, message)
}

/// What the end of a node's own process means; `None` when it went well. What it means that there was none,
/// `not_started` tells.
pub(crate) fn of_process(
    ended: &Ended,
    cause: Option<Cause>,
    output_limit: u64,
    not_started: impl FnOnce(&io::Error) -> Failure,
) -> Option<Failure> {
    if let (Some(error), None) = (&ended.start_error, cause) {
        return Some(not_started(error));
    }
    let tail = ended.stderr.tail_text();
    let failure = match cause {
        Some(cause) => of_cause(cause, &tail),
        None if ended.over_limit => of_output_limit(output_limit),
        None if ended.status.success() => return None,
        None => Failure::new(ErrorKind::Crash, tail),
    };
    Some(failure.with_status(ended.status))
}

/// Why a process could not be started.
pub(crate) fn of_spawn(error: &io::Error, cwd: &std::path::Path, program: &std::path::Path) -> Failure {
    let message = if !cwd.is_dir() {
        format!("the working directory `{}` does not exist", cwd.display())
    } else if error.kind() == io::ErrorKind::ArgumentListTooLong {
        "the script and the environment together are more than the kernel takes; give large values by file"
            .to_owned()
    } else if is(error, Errno::MFILE) {
        let limit = omne_process::open_files_limit().unwrap_or_default();
        format!(
            "{limit} files are open, and no more may be: raise the limit (`ulimit -Hn`), or lower `--jobs`"
        )
    } else if is(error, Errno::NFILE) {
        "too many files are open on this machine: raise the limit (`fs.file-max`), or lower `--jobs`"
            .to_owned()
    } else if is(error, Errno::AGAIN) {
        let limit = omne_process::processes_limit();
        let limit = limit.map_or_else(String::new, |limit| format!(" ({limit} for this user)"));
        format!(
            "no more processes may be started{limit}: raise the limit (`ulimit -u`, or that of the container), or \
             lower `--jobs`"
        )
    } else {
        format!("cannot start `{}`: {error}", program.display())
    };
    Failure::new(ErrorKind::SpawnFailed, message)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// The last part of a text that fits, cut at a character. The beginning says what happened, so its first line stays.
fn clip(text: &str) -> String {
    if text.len() <= MOST_MESSAGE {
        return text.to_owned();
    }
    let first = beginning(text.lines().next().unwrap_or_default(), MOST_MESSAGE / 4);
    let mut from = text.len() - (MOST_MESSAGE - first.len() - "\n".len());
    while !text.is_char_boundary(from) {
        from += 1;
    }
    format!("{first}\n{}", &text[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_keeps_its_first_line_and_its_end() {
        let text = format!("it ran longer than 5s\n{}the end", "ä".repeat(2000));
        let clipped = clip(&text);
        assert!(clipped.len() <= MOST_MESSAGE);
        assert!(clipped.starts_with("it ran longer than 5s\n") && clipped.ends_with("the end"));
    }
}
