//! Gates, and people who decide.

use omne_events::{GateDecided, GateMethod, GatePassed, GateWaiting, Timestamp};

use super::Violation;
use crate::{
    gate::{Gate, Unapproved},
    state::{NodePhase, RunState},
};

impl RunState {
    pub(super) fn gate_passed(&mut self, passed: &GatePassed) -> Result<(), Violation> {
        let place = self.place(&passed.node_id)?;
        let by_people = passed.method == GateMethod::HumanCli;
        let before = self.nodes[place].gate();
        let by = passed.by.clone().or_else(|| before.filter(|_| by_people).and_then(|gate| gate.by.clone()));
        let gate = Gate {
            gate: passed.gate.clone(),
            state: "passed",
            prompt: None,
            options: Vec::new(),
            default: None,
            by,
            comment: passed.comment.clone(),
            since: None,
            by_people,
        };
        let rare = self.nodes[place].rare();
        let unapproved = rare.gate.as_ref().and_then(Gate::unapproved).or(rare.unapproved);
        // Who passes it by hand has answered, but nobody passes it against an answer.
        rare.unapproved = unapproved.filter(|it| !by_people || *it == Unapproved::Rejected);
        rare.gate = Some(gate);
        Ok(())
    }

    pub(super) fn gate_waiting(&mut self, waiting: &GateWaiting, at: Timestamp) -> Result<(), Violation> {
        let place = self.place(&waiting.node_id)?;
        if self.nodes[place].phase == NodePhase::Running {
            self.running -= 1;
        }
        self.nodes[place].phase = NodePhase::Waiting;
        if waiting.usage.is_some() {
            self.nodes[place].rare().using = waiting.usage;
        }
        self.nodes[place].rare().gate = Some(Gate {
            gate: waiting.gate.clone(),
            state: "waiting",
            prompt: Some(waiting.prompt.clone()),
            options: waiting.options.clone(),
            default: waiting.default.clone(),
            by: None,
            comment: None,
            since: Some(at),
            by_people: false,
        });
        Ok(())
    }

    pub(super) fn gate_decided(&mut self, decided: &GateDecided) -> Result<(), Violation> {
        let place = self.place(&decided.node_id)?;
        let record = &mut self.nodes[place];
        // A node that a resume goes on with asks again, unless it had asked too long ago.
        let stands_there = record.phase == NodePhase::Pending
            && record.goes_on
            && record.gate().is_some_and(Gate::is_waiting);
        match record.phase {
            NodePhase::Waiting => {
                record.phase = NodePhase::Running;
                self.running += 1;
            }
            _ if stands_there => {}
            _ => return Err(Violation::NotRunning { node: decided.node_id.clone(), event: "gate.decided" }),
        }
        self.nodes[place].rare().unapproved = None;
        self.nodes[place].rare().gate = Some(Gate {
            gate: decided.gate.clone(),
            state: if decided.approved { "approved" } else { "rejected" },
            prompt: None,
            options: Vec::new(),
            default: None,
            by: Some(decided.by.clone()),
            comment: decided.comment.clone(),
            since: None,
            by_people: true,
        });
        Ok(())
    }
}
