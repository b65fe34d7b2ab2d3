//! Nodes out of a recording: what their programs printed comes from its files.

use std::{sync::Arc, time::Duration};

use omne_agent::Dialect;
use omne_events::{ErrorKind, Event, NodeCompleted};

use super::{Active, LocalExecutor, Stage};
use crate::{
    agent::Ended,
    node::verdict::{self, Cause, Failure},
    port::{Attempt, Emitted, ExecuteError},
};

impl LocalExecutor {
    /// A bash node happens as it did, with its gate.
    pub(super) fn play_bash(&self, attempt: &Attempt, emitted: &mut Vec<Emitted>) -> Result<(), Failure> {
        let pipe = Arc::clone(&self.pipe);
        let id = &pipe.node(attempt.node).id;
        let Some(recording) = &self.recording else { return Ok(()) };
        let events = recording.events(id, attempt.number);
        let events = events.ok_or_else(|| not_recorded(attempt.number))?;
        let gate = pipe.node(attempt.node).gate().map(|gate| gate.as_str());
        gate_is_recorded(gate, events, EndedAt::Recorded)?;
        let copy = |ending: &str| {
            let name = format!("{id}.{ending}");
            recording.copy(&name, &self.nodes).map_err(|error| Failure::capture(&error))
        };
        let printed = copy("out")?;
        copy("err")?;
        for event in events {
            let mut event = event.clone();
            if matches!(event, Event::GatePassed(_)) && gate.is_none() {
                continue;
            }
            if let Event::NodeCompleted(completed) = &mut event {
                completed.attempt = attempt.number;
                // What is played is what is in the file, whoever wrote that.
                (completed.output_bytes, completed.output_sha256) = (printed.0, Some(printed.1));
                completed.output_path =
                    (printed.0 > 0).then(|| format!("{}/nodes/{id}.out", self.places.run_dir_name));
            }
            if let Event::NodeFailed(failed) = &mut event {
                failed.attempt = attempt.number;
                // Whether there is another attempt is decided anew.
                failed.retry_in_ms = None;
            }
            emitted.push(Emitted::Event(event));
        }
        Ok(())
    }

    /// The gate after an AI node decides as it did.
    pub(super) fn play_gate(
        &self,
        active: &Active,
        completed: NodeCompleted,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let id = &self.pipe.node(active.node).id;
        let events = self.recording.as_ref().and_then(|recording| recording.events(id, active.number));
        let events = events.ok_or_else(|| not_recorded(active.number))?;
        gate_is_recorded(
            self.pipe.node(active.node).gate().map(|gate| gate.as_str()),
            events,
            EndedAt::Gate,
        )?;
        for event in events {
            match event {
                Event::GatePassed(_) => emitted.push(Emitted::Event(event.clone())),
                Event::NodeFailed(failed)
                    if matches!(failed.error.kind, ErrorKind::GateFailed | ErrorKind::GateTimeout) =>
                {
                    let failure = Failure::new(failed.error.kind, failed.message.clone().unwrap_or_default());
                    return Err(Failure { code: failed.exit_code, signal: failed.signal, ..failure });
                }
                _ => {}
            }
        }
        emitted.push(Emitted::Event(completed.into()));
        Ok(())
    }

    /// The next recorded try of an AI node.
    pub(super) fn play_try(
        &mut self,
        mut active: Active,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(active.node);
        let Some(recording) = &self.recording else { return Ok(()) };
        let Stage::Agent(run) = &mut active.stage else { return Ok(()) };
        let take = recording
            .tries(&node.id, active.number)
            .and_then(|tries| tries.get(run.tries_begun().checked_sub(1)?).cloned());
        let end = match take.as_ref().map(|take| recording.end_of(&node.id, take)) {
            None | Some(Ok(None)) => {
                self.fail(&active, not_recorded(active.number), emitted);
                return Ok(());
            }
            Some(Ok(Some(end))) => end,
            Some(Err(error)) => {
                let failure = Failure::new(ErrorKind::HostMissing, format!("{error}: {}", error.source));
                self.fail(&active, failure, emitted);
                return Ok(());
            }
        };
        if run.ask.agent.dialect == Dialect::Text {
            run.spawned(emitted);
        }
        let Some(take) = take else { return Ok(()) };
        let played =
            recording.stream(&node.id, &take, &end, &mut |bytes| run.hear(bytes, emitted).map(|_| ()));
        match played {
            Ok(heard) => heard.map_err(ExecuteError::Capture)?,
            Err(error) => {
                let failure = Failure::new(ErrorKind::HostMissing, format!("{error}: {}", error.source));
                self.fail(&active, failure, emitted);
                return Ok(());
            }
        }
        let limit = |cause: Cause| verdict::of_cause(cause, &end.stderr);
        let idle = node.ai().map_or(Duration::ZERO, |ai| ai.idle_timeout);
        let cause = end.ended.map(|ended| match ended {
            Ended::Timeout => limit(Cause::Timeout(node.timeout)),
            Ended::Idle => limit(Cause::Idle(idle)),
            Ended::OutputLimit => verdict::of_output_limit(self.places.output_limit),
        });
        let cause = cause.map(|cause| Failure { code: end.exit_code, signal: end.signal, ..cause });
        // Any bytes that are no text are refused in the same way.
        let outputs = match end.outputs_malformed {
            true => Some(vec![0xff]),
            false => end.outputs.clone().map(String::into_bytes),
        };
        self.try_ended(active, end, cause, Ok(outputs), emitted)
    }
}

/// How far a played node comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EndedAt {
    /// As far as it came when it was recorded.
    Recorded,
    /// To its gate: what an agent said is judged anew.
    Gate,
}

/// Whether what was recorded tells of the node's gate as it is now.
fn gate_is_recorded(gate: Option<&str>, events: &[Event], ended_at: EndedAt) -> Result<(), Failure> {
    let passed = events.iter().find_map(|event| match event {
        Event::GatePassed(passed) => Some(passed.gate.as_str()),
        _ => None,
    });
    let failed_at_it = events.iter().any(|event| {
        matches!(event, Event::NodeFailed(failed)
            if matches!(failed.error.kind, ErrorKind::GateFailed | ErrorKind::GateTimeout))
    });
    let completed = events.iter().any(|event| matches!(event, Event::NodeCompleted(_)));
    let comes_to_it = completed || ended_at == EndedAt::Gate && !failed_at_it;
    match (gate, passed) {
        (Some(gate), passed) if comes_to_it && passed != Some(gate) => Err(Failure::new(
            ErrorKind::HostMissing,
            format!("the recording does not tell what the gate `{gate}` says; record the run again"),
        )),
        (None, _) if failed_at_it => Err(Failure::new(
            ErrorKind::HostMissing,
            "the recording ends at a gate that the node does not have any more; record the run again",
        )),
        _ => Ok(()),
    }
}

fn not_recorded(attempt: u32) -> Failure {
    let message = format!("the recording has no attempt {attempt} of this node, or not all of it");
    Failure::new(ErrorKind::HostMissing, message)
}
