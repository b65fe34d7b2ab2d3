//! What the end of an agent means: exit code, result and turns together, for
//! no one of them is enough.

use omne_events::ErrorKind;
use smol_str::SmolStr;

/// Words for failures, beside those that agents have themselves.
pub mod class {
    /// The model was never asked: a slash command, or nothing to do.
    pub const NOT_ASKED: &str = "not_asked";
    /// The agent said nothing and did nothing.
    pub const EMPTY: &str = "empty";
    /// It ended without saying how it went.
    pub const NO_RESULT: &str = "no_result";
    /// It does not know the session that it was to go on with.
    pub const SESSION_NOT_FOUND: &str = "session_not_found";
    /// It took as many turns as it may.
    pub const MAX_TURNS: &str = "max_turns";
    /// It was stopped in the middle.
    pub const ABORTED: &str = "aborted";
    /// Too many requests.
    pub const RATE_LIMIT: &str = "rate_limit";
    /// The service failed.
    pub const SERVER_ERROR: &str = "server_error";
    /// The key is missing or wrong.
    pub const AUTHENTICATION_FAILED: &str = "authentication_failed";
    /// There is no such model.
    pub const MODEL_NOT_FOUND: &str = "model_not_found";
    /// The request can not be served as it is.
    pub const INVALID_REQUEST: &str = "invalid_request";
}

/// How the agent's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exit {
    /// Its exit code, when it exited.
    pub code: Option<i32>,
    /// The signal that ended it, when one did.
    pub signal: Option<i32>,
}

impl Exit {
    pub(crate) fn is_success(self) -> bool {
        self.code == Some(0)
    }

    pub(crate) fn describe(self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no exit code".to_owned(),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did what it was asked for, by its own word and its exit code.
    Success,
    /// It did not.
    Failure(Failure),
}

/// Why an agent failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `crash`, `agent_error` or `budget_exceeded`.
    pub kind: ErrorKind,
    /// In a word, by which retries can be chosen: the agent's own, or one of [`class`].
    pub class: Option<SmolStr>,
    /// For people.
    pub message: String,
}

impl Failure {
    pub(crate) fn agent(class: impl Into<SmolStr>, message: impl Into<String>) -> Verdict {
        let message = message.into();
        Verdict::Failure(Failure { kind: ErrorKind::AgentError, class: Some(class.into()), message })
    }

    /// A process that said nothing of how it went: its exit code is all there is, and what it printed as an error.
    pub(crate) fn without_result(exit: Exit, stderr: &str) -> Verdict {
        let stderr = stderr.trim();
        if exit.is_success() {
            let message = "it ended well but never said how it went: it has no result";
            let message = if stderr.is_empty() { message.to_owned() } else { format!("{message}\n{stderr}") };
            return Failure::agent(class::NO_RESULT, message);
        }
        let class = looks_like_unknown_session(stderr).then(|| class::SESSION_NOT_FOUND.into());
        let message = if stderr.is_empty() {
            format!("it ended before it said how it went ({})", exit.describe())
        } else {
            stderr.to_owned()
        };
        Verdict::Failure(Failure { kind: ErrorKind::Crash, class, message })
    }
}

/// Whether a message says that a session to go on with is unknown.
pub(crate) fn looks_like_unknown_session(message: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "No conversation found",
        "--resume requires a valid session",
        "no rollout found",
        "No saved session",
        "Error resuming session",
        "Invalid session identifier",
        "session not found",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

/// A word for a message that has no other, by the HTTP status in it.
pub(crate) fn class_by_status(message: &str) -> Option<&'static str> {
    let has = |status: &str| {
        message.match_indices(status).any(|(at, _)| {
            let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
            !is_digit(message[..at].chars().next_back())
                && !is_digit(message[at + status.len()..].chars().next())
        })
    };
    let table = [
        ("401", class::AUTHENTICATION_FAILED),
        ("403", class::AUTHENTICATION_FAILED),
        ("404", class::MODEL_NOT_FOUND),
        ("429", class::RATE_LIMIT),
        ("400", class::INVALID_REQUEST),
        ("500", class::SERVER_ERROR),
        ("502", class::SERVER_ERROR),
        ("503", class::SERVER_ERROR),
        ("529", class::SERVER_ERROR),
    ];
    table.into_iter().find(|(status, _)| has(status)).map(|(_, class)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_in_a_message_gives_its_class_and_other_numbers_do_not() {
        assert_eq!(class_by_status("unexpected status 429 Too Many Requests"), Some(class::RATE_LIMIT));
        assert_eq!(class_by_status("stream error at byte 42900"), None);
    }
}
