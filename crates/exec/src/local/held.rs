//! Steps that wait for people, because a hook or rule asked them before.

use std::{
    fs,
    time::{Duration, Instant},
};

use omne_dag::NodeIx;
use omne_events::{ErrorKind, GateWaiting, NodeCompleted, NodeId};
use omne_hooks::Question as Asked;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Active, LocalExecutor, Stage};
use crate::{
    agent::{Start, write_whole},
    node::verdict::Failure,
    port::{Attempt, BEFORE, Decision, Emitted, ExecuteError, Question},
};

/// A step that waits for people.
pub(super) struct Held {
    step: Step,
    /// What hooks changed of it.
    delta: Map<String, Value>,
    since: Instant,
}

pub(super) enum Step {
    Node(Box<Attempt>),
    Iteration(Box<(Active, Start)>),
    Gate(Box<(Active, NodeCompleted)>),
}

/// The same beside the log, for whoever goes on.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The round that was asked about, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iteration: Option<u32>,
    /// What the node came to, if its gate was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed: Option<NodeCompleted>,
    #[serde(default)]
    delta: Map<String, Value>,
}

impl Step {
    fn node(&self) -> (NodeIx, u32) {
        match self {
            Step::Node(attempt) => (attempt.node, attempt.number),
            Step::Iteration(round) => (round.0.node, round.0.number),
            Step::Gate(gate) => (gate.0.node, gate.0.number),
        }
    }
}

impl LocalExecutor {
    fn asked_path(&self, node: &NodeId) -> std::path::PathBuf {
        self.places.run_dir.join(format!("nodes/{node}.asked.json"))
    }

    /// What was kept of an earlier attempt's question is for nobody.
    pub(super) fn forget_question(&self, node: &NodeId) {
        // Usually there is none.
        let _ = fs::remove_file(self.asked_path(node));
    }

    /// A step waits for people. It is given back, with the reason, when that can't be written down.
    pub(super) fn hold(
        &mut self,
        step: Step,
        delta: Map<String, Value>,
        question: Asked,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), (Step, Failure)> {
        let id = self.pipe.node(step.node().0).id.clone();
        let kept = Kept {
            iteration: match &step {
                Step::Iteration(round) => round.1.iteration,
                Step::Node(_) | Step::Gate(_) => None,
            },
            completed: match &step {
                Step::Gate(gate) => Some(gate.1.clone()),
                Step::Node(_) | Step::Iteration(_) => None,
            },
            delta: delta.clone(),
        };
        let written = serde_json::to_vec(&kept)
            .map_err(std::io::Error::from)
            .and_then(|bytes| write_whole(&self.asked_path(&id), &bytes));
        if let Err(error) = written {
            return Err((step, Failure::capture(&error)));
        }
        self.wait_before(step, delta, question, emitted);
        Ok(())
    }

    fn wait_before(
        &mut self,
        step: Step,
        delta: Map<String, Value>,
        question: Asked,
        emitted: &mut Vec<Emitted>,
    ) {
        let index = step.node().0;
        let node_id = self.pipe.node(index).id.clone();
        let Asked { prompt, options, default } = question;
        let waiting = GateWaiting { node_id, gate: BEFORE.into(), prompt, options, default };
        emitted.push(Emitted::Event(waiting.into()));
        self.held.insert(index, Held { step, delta, since: Instant::now() });
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
        let changes = attempt.changes.clone();
        let held = self.hold(Step::Node(Box::new(attempt)), changes, question, emitted);
        held.map_err(|(_, failure)| failure)
    }

    /// A node goes on that waited for people before it, its round or its gate began.
    pub(super) fn begin_after_question(
        &mut self,
        mut attempt: Attempt,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let Some(at_gate) = attempt.at_gate.take() else { return self.begin(attempt, emitted) };
        let pipe = std::sync::Arc::clone(&self.pipe);
        let node = pipe.node(attempt.node);
        let kept: Kept = fs::read(self.asked_path(&node.id))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let Kept { iteration, completed, mut delta } = kept;
        let step = match completed {
            Some(mut completed) => {
                completed.attempt = attempt.number;
                Step::Gate(Box::new((Active::new(attempt, node, Stage::Script), completed)))
            }
            None => {
                if let Some(iteration) = iteration {
                    attempt.approved_round = Some((iteration, std::mem::take(&mut delta)));
                }
                Step::Node(Box::new(attempt))
            }
        };
        match at_gate.decision {
            Some(decision) => {
                let held = Held { step, delta, since: Instant::now() };
                self.resolve(held, &decision, emitted)
            }
            None => {
                // What was kept stays as it is.
                let Question { prompt, options, default } = at_gate.question;
                self.wait_before(step, delta, Asked { prompt, options, default }, emitted);
                Ok(())
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
        let number = held.step.node().1;
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
        let Held { step, delta, since } = held;
        self.forget_question(&self.pipe.node(step.node().0).id.clone());
        let why = decision.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
        let rejected = Failure::new(ErrorKind::Denied, format!("rejected by {}{why}", decision.by));
        match (step, decision.approved) {
            (Step::Node(_), false) => Err(rejected),
            (Step::Node(mut attempt), true) => {
                // Whoever asked, hook or rule: people have looked at it.
                attempt.approved = Some(());
                attempt.asked_by_rule = true;
                self.begin_changed(*attempt, delta, emitted)
            }
            (Step::Iteration(round), false) => {
                self.fail_round(round.0, rejected, emitted);
                Ok(())
            }
            (Step::Iteration(mut round), true) => {
                // People take their own time, not the node's.
                round.0.deadline += since.elapsed();
                match self.go_round(*round, &delta, emitted) {
                    Ok(()) => Ok(()),
                    Err(ExecuteError::Capture(error) | ExecuteError::Wait(error)) => {
                        Err(Failure::capture(&error))
                    }
                }
            }
            (Step::Gate(gate), false) => Err(Failure { usage: gate.1.usage.map(Box::new), ..rejected }),
            (Step::Gate(gate), true) => {
                let (mut active, completed) = *gate;
                active.asked_by_rule = true;
                self.begin_gate_now(active, completed, emitted)
            }
        }
    }
}
