//! What people are asked at a node, and what they said.

use omne_events::Timestamp;
use smol_str::SmolStr;

/// Where a node's gate stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Gate {
    /// The gate's name.
    pub gate: SmolStr,
    /// `passed`, `waiting`, `approved` or `rejected`.
    pub state: &'static str,
    /// The question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The possible answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The answer that is taken when nobody gives one in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What they said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Since when it waits.
    #[serde(skip)]
    pub since: Option<Timestamp>,
    /// Whether it was people who let the node pass.
    #[serde(skip)]
    pub by_people: bool,
}

impl Gate {
    /// Whether it has been decided by people: for or against it.
    pub fn decision(&self) -> Option<bool> {
        match self.state {
            "approved" => Some(true),
            "passed" if self.by_people => Some(true),
            "rejected" => Some(false),
            _ => None,
        }
    }

    /// Whether it waits for people.
    pub fn is_waiting(&self) -> bool {
        self.state == "waiting"
    }

    /// What became of its question, unless that is yes.
    pub(crate) fn unapproved(&self) -> Option<Unapproved> {
        match self.state {
            "waiting" => Some(Unapproved::Unanswered),
            "rejected" => Some(Unapproved::Rejected),
            _ => None,
        }
    }
}

/// What became of a question that nobody said yes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unapproved {
    /// Nobody answered.
    Unanswered,
    /// The answer was no.
    Rejected,
}

impl Unapproved {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Unapproved::Unanswered => "was not answered",
            Unapproved::Rejected => "was answered with no",
        }
    }
}
