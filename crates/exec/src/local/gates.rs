//! What comes after a node: its gate, and people if the gate asks them.

use std::{io::Read as _, sync::Arc, time::Instant};

use omne_dag::NodeIx;
use omne_events::{ErrorKind, GateMethod, GatePassed, GateWaiting, NodeCompleted, NodeId};
use omne_hooks::{Effect, Question};
use omne_pipe::Node;
use omne_process::{Ended, Sink, Spec};

use super::{Active, LocalExecutor, Stage, held::Step, hooked::forbidden};
use crate::{
    agent::write_whole,
    gate::{GATE_TIMEOUT, gate_command, not_started},
    node::verdict::Failure,
    port::{AtGate, Attempt, Decision, Emitted},
};

impl LocalExecutor {
    pub(super) fn begin_gate(
        &mut self,
        active: Active,
        completed: NodeCompleted,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(active.node);
        if self.recording.as_ref().is_some_and(|recording| recording.plays_bash(&node.id)) {
            return self.play_gate(&active, completed, emitted);
        }
        match self.ask_before_gate(active, completed) {
            Some((active, completed)) => self.begin_gate_now(active, completed, emitted),
            None => Ok(()),
        }
    }

    /// Starts a gate that hooks have nothing against.
    pub(super) fn begin_gate_now(
        &mut self,
        active: Active,
        completed: NodeCompleted,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(active.node);
        let gate = gate_name(node);
        // Looked at now, not when the run began: it may have been moved or replaced since.
        let (program, args) = gate_command(&self.places.volume, gate, &self.places.shell)
            .map_err(|why| Failure::new(ErrorKind::GateFailed, why))?;
        let (mut environment, mark) = self.environment(node, &active);
        environment.set("OMNE_GATE_NAME", gate);
        if let Some((effect, why)) = self.rule(node, &program, &args) {
            match effect {
                Effect::Deny => return Err(forbidden(why)),
                Effect::Ask if active.asked_by_rule => {}
                Effect::Ask => {
                    let active = Active { asked_by_rule: true, ..active };
                    let step = Step::Gate(Box::new((active, completed)));
                    return self.hold_for_rule(step, serde_json::Map::new(), why, emitted);
                }
            }
        }
        let spec = Spec {
            program,
            args,
            cwd: self.places.volume.clone(),
            environment,
            mark,
            stdin: None,
            stdout: Sink::Tail,
            stderr: Sink::Tail,
            mask: self.mask().cloned(),
            output_limit: u64::MAX,
        };
        let spawned = self.supervisor.spawn_unawaited(spec);
        let (token, _) =
            spawned.map_err(|error| not_started(&self.places.volume, gate, &self.places.shell, &error))?;
        let stage = Stage::Gate { completed: Box::new(completed) };
        self.active.insert(
            token,
            Active { stage, deadline: Instant::now() + GATE_TIMEOUT, cause: None, stop_at: None, ..active },
        );
        Ok(())
    }

    /// A gate asks people. What the node came to is kept beside the log, for whoever goes on.
    pub(super) fn ask(
        &mut self,
        node: &Node,
        index: NodeIx,
        completed: NodeCompleted,
        ended: &Ended,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let said = ended.stdout.tail_text();
        let gate = gate_name(node);
        let prompt = match said.trim() {
            "" => format!("may `{}` pass the gate `{gate}`?", node.id),
            said => said.to_owned(),
        };
        let bytes = serde_json::to_vec(&completed).map_err(|error| Failure::capture(&error.into()))?;
        write_whole(&self.nodes, &kept(&node.id), &bytes).map_err(|error| Failure::capture(&error))?;
        let waiting =
            GateWaiting { usage: completed.usage, ..Question::approval(prompt).asked(node.id.clone(), gate) };
        emitted.push(Emitted::Event(waiting.into()));
        self.waiting.insert(index, completed);
        Ok(())
    }

    /// A node goes on that had come to its gate before the runner ended.
    pub(super) fn begin_at_gate(
        &mut self,
        attempt: &Attempt,
        at_gate: &AtGate,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(attempt.node);
        let path = self.nodes.path(&kept(&node.id));
        let gone = |why: String| {
            let help = "run the node again with `--from`";
            let message = format!("what it had come to, `{}`, is gone ({why}); {help}", path.display());
            Failure::new(ErrorKind::GateFailed, message)
        };
        let mut bytes = Vec::new();
        let read = self.nodes.read(&kept(&node.id)).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|error| gone(error.to_string()))?;
        let mut completed: NodeCompleted =
            serde_json::from_slice(&bytes).map_err(|error| gone(error.to_string()))?;
        completed.attempt = attempt.number;
        let usage = completed.usage;
        self.waiting.insert(attempt.node, completed);
        match &at_gate.decision {
            Some(decision) => self.decided(attempt.node, decision, emitted),
            None => {
                let asked = at_gate.question.clone().asked(node.id.clone(), gate_name(node));
                let waiting = GateWaiting { usage, ..asked };
                emitted.push(Emitted::Event(waiting.into()));
            }
        }
        Ok(())
    }

    /// People have answered.
    pub(super) fn decided(&mut self, index: NodeIx, decision: &Decision, emitted: &mut Vec<Emitted>) {
        let Some(completed) = self.waiting.remove(&index) else { return };
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(index);
        // It is needed no more, and does no harm.
        let _ = self.nodes.remove(&kept(&node.id));
        let Decision { approved, by, comment } = decision;
        if *approved {
            let passed = GatePassed {
                node_id: node.id.clone(),
                gate: gate_name(node).into(),
                method: GateMethod::HumanCli,
                stdout: None,
                by: Some(by.clone()),
                comment: comment.clone(),
            };
            emitted.push(Emitted::Event(passed.into()));
            emitted.push(Emitted::Event(completed.into()));
            return;
        }
        let why = comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
        let mut failure = Failure::new(ErrorKind::GateFailed, format!("rejected by {by}{why}"));
        failure.usage = completed.usage.map(Box::new);
        let took = std::time::Duration::from_millis(completed.duration_ms);
        self.failed(index, completed.attempt, took, failure, emitted);
    }
}

/// The file in which is kept what a node came to whose gate asks people.
fn kept(node: &NodeId) -> String {
    format!("{node}.waiting.json")
}

/// What the gate of a node is called that has one.
pub(super) fn gate_name(node: &Node) -> &str {
    node.gate().map_or("", |gate| gate.as_str())
}
