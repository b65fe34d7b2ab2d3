//! Steps that wait for people, because a hook or rule asked them before.

use std::{fs, time::Duration};

use omne_dag::NodeIx;
use omne_events::{ErrorKind, GateWaiting, NodeId};
use omne_hooks::Question as Asked;
use serde_json::{Map, Value};

use super::{Active, LocalExecutor};
use crate::{
    agent::{Start, write_whole},
    node::verdict::Failure,
    port::{Attempt, Decision, Emitted, ExecuteError, Question},
};

/// The gate of a question that a hook or rule asks before a step.
const BEFORE: &str = "hook";

/// A step that waits for people, because a hook or rule asked them.
pub(super) enum Held {
    Node(Box<Attempt>, Map<String, Value>),
    Iteration(Box<(Active, Start)>, Map<String, Value>),
}

impl LocalExecutor {
    fn asked_path(&self, node: &NodeId) -> std::path::PathBuf {
        self.places.run_dir.join(format!("nodes/{node}.asked.json"))
    }

    /// A step waits for people. What hooks changed is kept beside the log, for whoever goes on.
    pub(super) fn hold(
        &mut self,
        held: Held,
        question: Asked,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let (index, delta) = match &held {
            Held::Node(attempt, delta) => (attempt.node, delta),
            Held::Iteration(round, delta) => (round.0.node, delta),
        };
        let id = self.pipe.node(index).id.clone();
        let written = write_whole(&self.asked_path(&id), Value::Object(delta.clone()).to_string().as_bytes());
        if let Err(error) = written {
            if let Held::Iteration(round, _) = held {
                self.lost_round = Some(round.0);
            }
            return Err(Failure::capture(&error));
        }
        let Asked { prompt, options, default } = question;
        let waiting = GateWaiting { node_id: id, gate: BEFORE.into(), prompt, options, default };
        emitted.push(Emitted::Event(waiting.into()));
        self.held.insert(index, held);
        Ok(())
    }

    /// A rule asks about an attempt before it begins.
    pub(super) fn hold_for_rule(
        &mut self,
        attempt: Attempt,
        why: String,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let options = vec!["approve".to_owned(), "reject".to_owned()];
        let question = Asked { prompt: why, options, default: None };
        self.hold(Held::Node(Box::new(attempt), Map::new()), question, emitted)
    }

    /// Whether a node had been asked about before it began.
    pub(super) fn was_asked_before(&self, node: &NodeId) -> bool {
        self.asked_path(node).exists()
    }

    /// A node goes on that waited for people before it began.
    pub(super) fn begin_after_question(
        &mut self,
        mut attempt: Attempt,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let Some(at_gate) = attempt.at_gate.take() else { return self.begin(attempt, emitted) };
        let path = self.asked_path(&self.pipe.node(attempt.node).id);
        let delta = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let held = Held::Node(Box::new(attempt), delta.unwrap_or_default());
        match at_gate.decision {
            Some(decision) => self.resolve(held, &decision, emitted),
            None => {
                let Question { prompt, options, default } = at_gate.question;
                self.hold(held, Asked { prompt, options, default }, emitted)
            }
        }
    }

    /// People have answered a step that was held. `false` when none was.
    pub(super) fn answered_by_people(
        &mut self,
        index: NodeIx,
        decision: &Decision,
        emitted: &mut Vec<Emitted>,
    ) -> bool {
        let Some(held) = self.held.remove(&index) else { return false };
        let number = match &held {
            Held::Node(attempt, _) => attempt.number,
            Held::Iteration(round, _) => round.0.number,
        };
        if let Err(failure) = self.resolve(held, decision, emitted) {
            let id = self.pipe.node(index).id.clone();
            emitted.push(Emitted::Event(failure.event(id, number, Duration::ZERO).into()));
        }
        true
    }

    fn resolve(
        &mut self,
        held: Held,
        decision: &Decision,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let index = match &held {
            Held::Node(attempt, _) => attempt.node,
            Held::Iteration(round, _) => round.0.node,
        };
        // It is needed no more, and does no harm.
        let _ = fs::remove_file(self.asked_path(&self.pipe.node(index).id));
        let why = decision.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
        let rejected = Failure::new(ErrorKind::Denied, format!("rejected by {}{why}", decision.by));
        match (held, decision.approved) {
            (Held::Node(..), false) => Err(rejected),
            (Held::Node(mut attempt, delta), true) => {
                // Whoever asked, hook or rule: people have looked at it.
                attempt.approved = Some(());
                attempt.asked_by_rule = true;
                self.begin_changed(*attempt, delta, emitted)
            }
            (Held::Iteration(round, _), false) => {
                self.fail_round(round.0, rejected, emitted);
                Ok(())
            }
            (Held::Iteration(round, delta), true) => match self.go_round(*round, &delta, emitted) {
                Ok(()) => Ok(()),
                Err(ExecuteError::Capture(error) | ExecuteError::Wait(error)) => {
                    Err(Failure::capture(&error))
                }
            },
        }
    }
}
