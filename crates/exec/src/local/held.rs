//! Steps that wait for people, because a hook or rule asked them before.

use std::time::{Duration, Instant};

use omne_dag::NodeIx;
use omne_events::{ErrorKind, GateWaiting, NodeCompleted, NodeId};
use omne_hooks::Question;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Active, LocalExecutor, Stage, hooked::change};
use crate::{
    agent::{Start, write_whole},
    node::verdict::{self, Failure},
    port::{Asker, Attempt, Decision, Emitted, ExecuteError},
};

/// A step that waits for people.
pub(super) struct Held {
    step: Step,
    asker: Asker,
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
    /// What hooks had changed of the attempt before, if it is its round or its gate that was asked about.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    changes: Map<String, Value>,
}

/// The file in which it is kept.
fn asked_file(node: &NodeId) -> String {
    format!("{node}.asked.json")
}

impl Step {
    fn node(&self) -> (NodeIx, u32) {
        match self {
            Step::Node(attempt) => (attempt.node, attempt.number),
            Step::Iteration(round) => (round.0.node, round.0.number),
            Step::Gate(gate) => (gate.0.node, gate.0.number),
        }
    }

    /// The attempt that is under way already, if it is.
    fn active(&self) -> Option<&Active> {
        match self {
            Step::Node(_) => None,
            Step::Iteration(round) => Some(&round.0),
            Step::Gate(gate) => Some(&gate.0),
        }
    }
}

impl LocalExecutor {
    /// Removes what was kept of a question that is for nobody any more. One that was approved is not: a resume goes on
    /// with the approval, and so with the changes, when the runner dies before the node has ended.
    pub(super) fn forget_question(&self, node: &NodeId) {
        // Usually there is none.
        let _ = self.nodes.remove(&asked_file(node));
    }

    /// A step waits for people. It is given back, with the reason, when that can't be written down.
    pub(super) fn hold(
        &mut self,
        step: Step,
        delta: Map<String, Value>,
        question: Question,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), (Step, Failure)> {
        let id = self.pipe.node(step.node().0).id.clone();
        let mut kept = Kept {
            iteration: match &step {
                Step::Iteration(round) => round.1.iteration,
                Step::Node(_) | Step::Gate(_) => None,
            },
            completed: match &step {
                Step::Gate(gate) => Some(gate.1.clone()),
                Step::Node(_) | Step::Iteration(_) => None,
            },
            delta: delta.clone(),
            changes: step.active().and_then(|active| active.changes.as_deref()).cloned().unwrap_or_default(),
        };
        if let Some(secrets) = &self.secrets {
            let kept = kept.delta.values_mut().chain(kept.changes.values_mut());
            kept.for_each(|value| secrets.hide_in_json(value));
        }
        let written = serde_json::to_vec(&kept)
            .map_err(std::io::Error::from)
            .and_then(|bytes| write_whole(&self.nodes, &asked_file(&id), &bytes));
        if let Err(error) = written {
            return Err((step, Failure::capture(&error)));
        }
        self.wait_before(Held { step, asker: Asker::Step, delta, since: Instant::now() }, question, emitted);
        Ok(())
    }

    fn wait_before(&mut self, held: Held, question: Question, emitted: &mut Vec<Emitted>) {
        let index = held.step.node().0;
        let node_id = self.pipe.node(index).id.clone();
        let usage = match &held.step {
            Step::Gate(gate) => gate.1.usage,
            Step::Node(_) | Step::Iteration(_) => None,
        };
        let asked = question.asked(node_id, held.asker.gate().unwrap_or_default());
        emitted.push(Emitted::Event(GateWaiting { usage, ..asked }.into()));
        self.held.insert(index, held);
    }

    /// A rule asks about a step before it begins.
    pub(super) fn hold_for_rule(
        &mut self,
        step: Step,
        delta: Map<String, Value>,
        why: String,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        self.hold(step, delta, Question::approval(why), emitted).map_err(|(_, failure)| failure)
    }

    /// A step goes on that hooks, or people, have nothing against.
    pub(super) fn go_on(
        &mut self,
        step: Step,
        delta: Map<String, Value>,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        match step {
            Step::Node(attempt) => {
                let (node, number) = (attempt.node, attempt.number);
                if let Err(failure) = self.begin_changed(*attempt, delta, emitted) {
                    self.failed(node, number, Duration::ZERO, failure, emitted);
                }
            }
            Step::Iteration(round) => return self.go_round(*round, &delta, emitted),
            Step::Gate(gate) => {
                let (active, completed) = *gate;
                let (node, number, since) = (active.node, active.number, active.since);
                let usage = completed.usage.map(Box::new);
                if let Err(failure) = self.begin_gate_now(active, completed, emitted) {
                    let failure = Failure { usage: failure.usage.or(usage), ..failure };
                    self.failed(node, number, since.elapsed(), failure, emitted);
                }
            }
        }
        Ok(())
    }

    /// A step ends before it began.
    pub(super) fn fail_step(&mut self, step: Step, failure: Failure, emitted: &mut Vec<Emitted>) {
        match step {
            Step::Node(attempt) => {
                self.failed(attempt.node, attempt.number, Duration::ZERO, failure, emitted);
            }
            Step::Iteration(round) => self.fail_round(round.0, failure, emitted),
            Step::Gate(gate) => {
                let usage = failure.usage.or(gate.1.usage.map(Box::new));
                self.fail(&gate.0, Failure { usage, ..failure }, emitted);
            }
        }
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
        let kept: Kept = self
            .nodes
            .read(&asked_file(&node.id))
            .ok()
            .and_then(|file| serde_json::from_reader(std::io::BufReader::new(file)).ok())
            .unwrap_or_default();
        let Kept { iteration, completed, mut delta, mut changes } = kept;
        let step = match completed {
            Some(mut completed) => {
                completed.attempt = attempt.number;
                change(&mut attempt, node, &changes)?;
                Step::Gate(Box::new((Active::new(attempt, node, Stage::Script), completed)))
            }
            None => {
                match iteration {
                    Some(iteration) => {
                        attempt.approved_round = Some((iteration, std::mem::replace(&mut delta, changes)));
                    }
                    None => {
                        changes.append(&mut delta);
                        delta = changes;
                    }
                }
                Step::Node(Box::new(attempt))
            }
        };
        let held = Held { step, asker: at_gate.asker, delta, since: Instant::now() };
        match at_gate.decision {
            Some(decision) => self.resolve(held, &decision, emitted),
            None => {
                // What was kept stays as it is.
                self.wait_before(held, at_gate.question, emitted);
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
            self.failed(index, number, Duration::ZERO, failure, emitted);
        }
        true
    }

    fn resolve(
        &mut self,
        held: Held,
        decision: &Decision,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let Held { step, asker, delta, since } = held;
        let why = decision.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
        let rejected = Failure::new(ErrorKind::Denied, format!("rejected by {}{why}", decision.by));
        if !decision.approved {
            self.forget_question(&self.pipe.node(step.node().0).id.clone());
            match step {
                Step::Node(_) => return Err(rejected),
                Step::Iteration(round) => self.fail_round(round.0, rejected, emitted),
                Step::Gate(gate) => {
                    return Err(Failure { usage: gate.1.usage.map(Box::new), ..rejected });
                }
            }
            return Ok(());
        }
        if let Some(why) = self.ending {
            self.fail_step(step, verdict::of_cause(verdict::Cause::Asked(why), ""), emitted);
            return Ok(());
        }
        let mut step = match step {
            // That the run may begin is no answer to what hooks say to its first node.
            Step::Node(attempt) if asker == Asker::Run => return self.begin(*attempt, emitted),
            step => step,
        };
        // Whoever asked, hook or rule: people have looked at it.
        match &mut step {
            Step::Node(attempt) => {
                attempt.approved = Some(());
                attempt.asked_by_rule = true;
            }
            // People take their own time, not the node's.
            Step::Iteration(round) => {
                round.0.deadline += since.elapsed();
                round.0.process_approved = true;
            }
            Step::Gate(gate) => gate.0.asked_by_rule = true,
        }
        self.go_on(step, delta, emitted).map_err(|error| match error {
            ExecuteError::Capture(error) | ExecuteError::Wait(error) => Failure::capture(&error),
        })
    }
}
