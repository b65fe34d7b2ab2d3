//! Nodes that ask people, and what these say.

use std::{cmp::Reverse, time::Duration};

use omne_dag::NodeIx;
use omne_events::{ErrorKind, GateDecided, NodeFailed};
use omne_exec::{Asker, AtGate, Attempt, Decision, Emitted};
use omne_hooks::Question;
use omne_replay::NodePhase;

use super::{First, Queues, Run, Stop};
use crate::{RunError, decision};

impl Run<'_> {
    /// Where a node that goes on stands, if its gate had asked people.
    pub(super) fn at_gate(&self, node: NodeIx) -> Option<AtGate> {
        let record = self.state.node(node);
        let gate = record.gate().filter(|_| record.goes_on)?;
        let question = Question {
            prompt: gate.prompt.clone().unwrap_or_default(),
            options: gate.options.clone(),
            default: gate.default.clone(),
        };
        let decision = gate.decision().map(|approved| Decision {
            approved,
            by: gate.by.clone().unwrap_or_default(),
            comment: gate.comment.clone(),
        });
        let late = || self.late_answer(node).map(|answer| decision::of(&answer));
        let decision = decision.or_else(late);
        let asker = Asker::of(&gate.gate);
        (gate.is_waiting() || decision.is_some()).then_some(AtGate { asker, question, decision })
    }

    /// What counts as the answer for a node that a resume goes on with, if it had asked too long ago.
    pub(super) fn late_answer(&self, node: NodeIx) -> Option<GateDecided> {
        let record = self.state.node(node);
        let gate = record.gate().filter(|gate| record.goes_on && gate.is_waiting())?;
        let waited = self.clock.now().since(gate.since?);
        let is_late = self.ask_timeout.is_some_and(|limit| waited >= limit);
        is_late.then(|| Some(decision::expired(&self.state.pipe()?.node(node).id, gate)))?
    }

    /// People have answered a node. An answer that comes too late is none.
    pub(super) fn decided(&mut self, queues: &mut Queues, answer: GateDecided) -> Result<(), RunError> {
        let node = self.state.find(answer.node_id.as_str());
        let Some(node) = node.filter(|node| self.state.node(*node).phase == NodePhase::Waiting) else {
            return Ok(());
        };
        let decision = decision::of(&answer);
        let asker = Asker::of(&answer.gate);
        self.record(queues, answer.into())?;
        if decision.approved && queues.first == Some(First::Waits(node)) {
            queues.first = None;
        }
        if decision.approved && asker != Asker::Gate && self.at_work(queues) > self.jobs {
            queues.approved.push_back((node, decision));
            return Ok(());
        }
        self.tell_decision(queues, node, &decision)
    }

    /// How many nodes run, those that were approved and wait for room not counted.
    fn at_work(&self, queues: &Queues) -> usize {
        self.state.running() - queues.approved.len()
    }

    /// Lets approved nodes go on, as many as there is room for; all of them when everything is to end, so that each one
    /// comes to its end, too.
    pub(super) fn go_on_with_approved(&mut self, queues: &mut Queues) -> Result<(), RunError> {
        let ends = !matches!(queues.stop, None | Some(Stop::FailFast));
        while ends || self.at_work(queues) < self.jobs {
            let Some((node, decision)) = queues.approved.pop_front() else { break };
            self.tell_decision(queues, node, &decision)?;
        }
        Ok(())
    }

    fn tell_decision(
        &mut self,
        queues: &mut Queues,
        node: NodeIx,
        decision: &Decision,
    ) -> Result<(), RunError> {
        let mut emitted = Vec::new();
        self.execute.decide(node, decision, &mut emitted);
        for emitted in emitted {
            if let Emitted::Event(event) = emitted {
                self.happened(queues, event)?;
            }
        }
        Ok(())
    }

    /// The node of a resumed run that was asked whether the run may begin, and whether people have said yes.
    pub(super) fn asked_to_begin(&self) -> Option<(NodeIx, bool)> {
        let nodes = self.state.pipe()?.graph().nodes();
        nodes.into_iter().find_map(|node| {
            let at_gate = self.at_gate(node).filter(|at_gate| at_gate.asker == Asker::Run)?;
            Some((node, at_gate.decision.is_some_and(|decision| decision.approved)))
        })
    }

    /// Puts the question whether the run may begin to its first node. Whether there is such a question: nothing else
    /// starts before it is answered.
    pub(super) fn ask_first(&mut self, queues: &mut Queues) -> Result<bool, RunError> {
        let attempt = match queues.first.take() {
            None => return Ok(false),
            Some(First::Asks(question)) => {
                let Some(attempt) = self.first_attempt(queues)? else {
                    queues.first = Some(First::Asks(question));
                    return Ok(true);
                };
                queues.first = Some(First::Waits(attempt.node));
                Some(Attempt {
                    at_gate: Some(AtGate { asker: Asker::Run, question, decision: None }),
                    ..attempt
                })
            }
            Some(First::Waits(node)) => {
                let before = queues.ready.len();
                queues.ready.retain(|Reverse(other)| *other != node);
                queues.first = Some(First::Waits(node));
                if queues.ready.len() == before { None } else { self.attempt(queues, node)? }
            }
        };
        self.flush(queues)?;
        if let Some(attempt) = attempt {
            self.execute.start(attempt, &mut queues.emitted);
            self.take_emitted(queues)?;
        }
        Ok(true)
    }

    /// The first node that may start, after all that fail before they do, and what follows from that.
    fn first_attempt(&mut self, queues: &mut Queues) -> Result<Option<Attempt>, RunError> {
        while let Some(Reverse(node)) = queues.ready.pop() {
            if let Some(attempt) = self.attempt(queues, node)? {
                return Ok(Some(attempt));
            }
            self.flush(queues)?;
            self.release(queues)?;
        }
        Ok(None)
    }

    /// The nodes that wait for people, and until when.
    pub(super) fn waiting(&self) -> Vec<(NodeIx, Option<Duration>)> {
        let Some(pipe) = self.state.pipe() else { return Vec::new() };
        let waiting = pipe.graph().nodes().filter(|node| self.state.node(*node).phase == NodePhase::Waiting);
        let left = |node: NodeIx| {
            let since = self.state.node(node).gate()?.since?;
            Some(self.ask_timeout?.saturating_sub(self.clock.now().since(since)))
        };
        waiting.map(|node| (node, left(node))).collect()
    }

    /// Takes the default of questions that waited too long.
    pub(super) fn expire(&mut self, queues: &mut Queues) -> Result<(), RunError> {
        if self.ask_timeout.is_none() || queues.stop.is_some() {
            return Ok(());
        }
        for (node, left) in self.waiting() {
            let expired = left.is_some_and(|left| left.is_zero());
            let gate = self.state.node(node).gate().filter(|_| expired);
            if let (Some(gate), Some(pipe)) = (gate, self.state.pipe()) {
                let answer = decision::expired(&pipe.node(node).id, gate);
                self.decided(queues, answer)?;
            }
        }
        Ok(())
    }

    /// Nobody is asked any more.
    pub(super) fn end_waiting(&mut self, queues: &mut Queues) -> Result<(), RunError> {
        let Some(pipe) = self.state.pipe().cloned() else { return Ok(()) };
        let (error, message) = match &queues.stop {
            Some(Stop::RunTimeout(_)) => (ErrorKind::Timeout, "the whole run took longer than it may"),
            _ => (ErrorKind::Cancelled, "the run was cancelled"),
        };
        for (node, _) in self.waiting() {
            let failed = NodeFailed {
                node_id: pipe.node(node).id.clone(),
                attempt: self.state.node(node).attempt,
                error: error.into(),
                message: Some(message.to_owned()),
                exit_code: None,
                signal: None,
                duration_ms: 0,
                retry_in_ms: None,
                usage: None,
            };
            self.record(queues, failed.into())?;
        }
        Ok(())
    }
}
