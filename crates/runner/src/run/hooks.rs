//! What hooks are asked and told of the whole run.

use omne_exec::{BeforeRun, ExecuteError};
use serde_json::Value;

use super::{First, Outcome, Queues, Run, Stop};
use crate::RunError;

impl Run<'_> {
    fn inputs(&self) -> Value {
        let inputs = self.state.inputs().iter();
        inputs.map(|(key, value)| (key.to_string(), value.clone())).collect::<serde_json::Map<_, _>>().into()
    }

    /// Asks hooks whether the run may begin, if it has not yet.
    pub(super) fn ask_to_begin(&mut self, queues: &mut Queues) -> Result<(), RunError> {
        let asked = self.asked_to_begin();
        queues.first = asked.filter(|(_, approved)| !approved).map(|(node, _)| First::Waits(node));
        let inputs = (asked.is_none() && !self.state.has_begun()).then(|| self.inputs());
        let said = self.execute.before_run(inputs, &mut queues.emitted).map_err(trouble)?;
        self.take_emitted(queues)?;
        match said {
            BeforeRun::Begin => {}
            BeforeRun::Refused(why) => drop(queues.stop.get_or_insert(Stop::Refused(why))),
            BeforeRun::Asked(question) => queues.first = Some(First::Asks(question)),
        }
        Ok(())
    }

    /// Tells hooks that the run ends. One that parks does not.
    pub(super) fn tell_end(
        &mut self,
        queues: &mut Queues,
        outcome: Outcome,
        duration_ms: u64,
    ) -> Result<(), RunError> {
        let word = match outcome {
            Outcome::Completed => "completed",
            Outcome::Aborted => "aborted",
            Outcome::Interrupted(_) => "interrupted",
            // It goes on later; only what is being told has to be told to its end.
            Outcome::Parked => "",
        };
        let inputs = self.inputs();
        self.execute.after_run(word, duration_ms, inputs, &mut queues.emitted).map_err(trouble)?;
        self.take_emitted(queues)
    }
}

pub(super) fn trouble(error: ExecuteError) -> RunError {
    match error {
        ExecuteError::Wait(error) => RunError::System("cannot wait for processes".into(), Some(error)),
        ExecuteError::Capture(error) => RunError::Capture(error),
    }
}
