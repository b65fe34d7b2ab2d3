//! The answers of several hooks as one: a pure fold.

use omne_events::{GateWaiting, NodeId};
use serde_json::{Map, Value};

use crate::{Decision, FailMode};

/// A question that people have to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// In words.
    pub prompt: String,
    /// The possible answers.
    pub options: Vec<String>,
    /// The one that counts when nobody answers in time.
    pub default: Option<String>,
}

impl Question {
    /// Whether something may go on: yes or no, and nothing without an answer.
    pub fn approval(prompt: String) -> Self {
        Self { prompt, options: approve_or_reject(), default: None }
    }

    /// The event by which a node asks it at `gate`.
    pub fn asked(self, node_id: NodeId, gate: &str) -> GateWaiting {
        let Self { prompt, options, default } = self;
        GateWaiting { node_id, gate: gate.into(), prompt, options, default, usage: None }
    }
}

/// The answers to a question that names none.
pub(crate) fn approve_or_reject() -> Vec<String> {
    vec!["approve".to_owned(), "reject".to_owned()]
}

/// What all answers together come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may go on.
    Allow,
    /// It may not.
    Deny {
        /// Why, for people.
        reason: String,
        /// As in HTTP.
        code: u32,
    },
    /// People decide; the changes count if they agree.
    Ask(Question),
}

/// A chain that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What it comes to.
    pub verdict: Verdict,
    /// All changes together.
    pub delta: Map<String, Value>,
}

/// A chain under way: the payload as earlier hooks changed it, and what they said.
#[derive(Debug, Clone)]
pub struct Chain {
    payload: Map<String, Value>,
    delta: Map<String, Value>,
    question: Option<Question>,
    denied: Option<(String, u32)>,
}

impl Chain {
    /// Nobody has been asked.
    pub fn new(payload: Map<String, Value>) -> Self {
        Self { payload, delta: Map::new(), question: None, denied: None }
    }

    /// The payload for the next hook.
    pub fn payload(&self) -> &Map<String, Value> {
        &self.payload
    }

    /// Whether nobody else has to be asked.
    pub fn is_over(&self) -> bool {
        self.denied.is_some()
    }

    /// Takes an answer.
    pub fn take(&mut self, decision: Decision) {
        match decision {
            Decision::Allow => {}
            Decision::Modify(delta) => {
                merge(&mut self.payload, &delta);
                merge(&mut self.delta, &delta);
            }
            Decision::Deny { reason, code } => self.denied = Some((reason, code)),
            // The first question stays: a later hook that only looks on can't wave it through.
            Decision::AskUser { prompt, options, default } => {
                self.question.get_or_insert(Question { prompt, options, default });
            }
        }
    }

    /// A hook gave no answer.
    pub fn fail(&mut self, mode: FailMode, why: &str, out_of_time: Timing) {
        if mode == FailMode::Closed {
            let code = if out_of_time == Timing::Late { 504 } else { 503 };
            self.denied = Some((why.to_owned(), code));
        }
    }

    /// What it comes to.
    pub fn end(self) -> Outcome {
        let verdict = match (self.denied, self.question) {
            (Some((reason, code)), _) => Verdict::Deny { reason, code },
            (None, Some(question)) => Verdict::Ask(question),
            (None, None) => Verdict::Allow,
        };
        Outcome { verdict, delta: self.delta }
    }
}

/// Whether an error was one of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// It was something else.
    InTime,
    /// There was no time left.
    Late,
}

/// Puts changes into a payload: objects are merged, everything else is replaced.
fn merge(into: &mut Map<String, Value>, delta: &Map<String, Value>) {
    for (key, value) in delta {
        match (into.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if key == "env" => {
                old.extend(new.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn ask(prompt: &str) -> Decision {
        Decision::AskUser { prompt: prompt.into(), options: vec![], default: None }
    }

    #[test]
    fn each_hook_sees_what_earlier_ones_changed() {
        let mut chain = Chain::new(object(json!({"prompt": "a", "env": {"A": "1"}})));
        chain.take(Decision::Modify(object(json!({"prompt": "b", "env": {"B": "2"}}))));
        assert_eq!(chain.payload()["env"], json!({"A": "1", "B": "2"}));
        chain.take(Decision::Modify(object(json!({"prompt": "c"}))));
        let outcome = chain.end();
        assert_eq!(outcome.verdict, Verdict::Allow);
        assert_eq!(outcome.delta, object(json!({"prompt": "c", "env": {"B": "2"}})));
    }

    #[test]
    fn the_first_deny_ends_it_and_beats_a_question() {
        let mut chain = Chain::new(Map::new());
        chain.take(ask("really?"));
        assert!(!chain.is_over());
        chain.take(Decision::Deny { reason: "no".into(), code: 403 });
        assert!(chain.is_over());
        assert_eq!(chain.end().verdict, Verdict::Deny { reason: "no".into(), code: 403 });
    }

    #[test]
    fn a_question_beats_every_allow() {
        let mut chain = Chain::new(Map::new());
        chain.take(ask("first?"));
        chain.take(Decision::Allow);
        chain.take(ask("second?"));
        let Verdict::Ask(question) = chain.end().verdict else { panic!("no question") };
        assert_eq!(question.prompt, "first?");
    }

    #[test]
    fn an_error_allows_or_denies_by_the_fail_mode() {
        let verdict = |mode, timing| {
            let mut chain = Chain::new(Map::new());
            chain.fail(mode, "it broke", timing);
            chain.end().verdict
        };
        assert_eq!(verdict(FailMode::Open, Timing::InTime), Verdict::Allow);
        let denied = |code| Verdict::Deny { reason: "it broke".into(), code };
        assert_eq!(verdict(FailMode::Closed, Timing::InTime), denied(503));
        assert_eq!(verdict(FailMode::Closed, Timing::Late), denied(504));
    }
}
