//! What hooks are asked and told of the whole run.

use omne_exec::{ExecuteError, Refusal};
use serde_json::Value;

use super::{Outcome, Queues, Run, Stop};
use crate::RunError;

impl Run<'_> {
    fn inputs(&self) -> Value {
        let inputs = self.state.inputs().iter();
        inputs.map(|(key, value)| (key.to_string(), value.clone())).collect::<serde_json::Map<_, _>>().into()
    }

    /// Asks hooks whether the run may begin. One that is resumed had begun before.
    pub(super) fn ask_to_begin(&mut self, queues: &mut Queues) -> Result<(), RunError> {
        let inputs = (self.state.resumes() == 0).then(|| self.inputs());
        let refusal = self.execute.before_run(inputs, &mut queues.emitted).map_err(trouble)?;
        self.take_emitted(queues)?;
        if let Some(Refusal(why)) = refusal
            && queues.stop.is_none()
        {
            queues.stop = Some(Stop::Refused(why));
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
