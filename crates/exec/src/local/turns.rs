//! The port: attempts in, events out, one turn of waiting after the other.

use std::time::{Duration, Instant};

use omne_dag::NodeIx;
use omne_events::{Digest, Hasher};
use omne_hooks::Host;
use omne_process::{End, Happening, Token};

use super::{Active, LocalExecutor};
use crate::port::{Attempt, BeforeRun, Decision, Emitted, EndReason, Execute, ExecuteError};

/// How long the end of a run waits for hooks that are being ended.
const FAREWELL: Duration = Duration::from_secs(1);

impl Execute for LocalExecutor {
    fn start(&mut self, attempt: Attempt, emitted: &mut Vec<Emitted>) {
        let (node, number) = (attempt.node, attempt.number);
        let before = emitted.len();
        if let Err(failure) = self.begin(attempt, emitted) {
            self.failed(node, number, Duration::ZERO, failure, emitted);
        }
        self.tell(&emitted[before..]);
    }

    fn before_run(
        &mut self,
        inputs: Option<serde_json::Value>,
        emitted: &mut Vec<Emitted>,
    ) -> Result<BeforeRun, ExecuteError> {
        self.ask_before_run(inputs, emitted)
    }

    fn after_run(
        &mut self,
        outcome: &str,
        duration_ms: u64,
        inputs: serde_json::Value,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        self.tell_end(outcome, duration_ms, inputs, emitted)
    }

    fn reload(&mut self, hooks: omne_hooks::Config) {
        if let Some(host) = &mut self.hooks {
            host.reload(hooks, &mut self.supervisor);
        }
    }

    fn appended(&mut self, lines: &[u8]) {
        self.tell_lines(lines);
    }

    fn drain(&mut self, most: Duration) {
        // The run is over: there is nothing to be done about trouble with hooks.
        let _ = self.wait_for_hooks(most, &mut Vec::new());
        if let Some(host) = &mut self.hooks {
            host.end_daemons(&mut self.supervisor);
        }
        // What they printed as errors is told when they are gone.
        let until = Instant::now() + FAREWELL;
        let is_ending = |this: &Self| this.hooks.as_ref().is_some_and(Host::is_ending);
        while is_ending(self) && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            if self.turn(Some(left), &mut Vec::new()).is_err() {
                break;
            }
        }
    }

    fn end_all(&mut self, why: EndReason) {
        self.end_each(why, End::Gently);
    }

    fn kill_all(&mut self, why: EndReason) {
        self.end_each(why, End::AtOnce);
    }

    fn decide(&mut self, node: NodeIx, decision: &Decision, emitted: &mut Vec<Emitted>) {
        let before = emitted.len();
        if !self.answered_by_people(node, decision, emitted) {
            self.decided(node, decision, emitted);
        }
        self.tell(&emitted[before..]);
    }

    fn wait(&mut self, timeout: Option<Duration>, emitted: &mut Vec<Emitted>) -> Result<(), ExecuteError> {
        let before = emitted.len();
        let turned = self.turn(timeout, emitted);
        self.tell(&emitted[before..]);
        turned
    }

    fn capture(&self, node: NodeIx, most: usize) -> Vec<u8> {
        use std::io::Read;
        let mut bytes = Vec::new();
        // A node that printed nothing has no file.
        if let Ok(file) = self.nodes.read(&format!("{}.out", self.pipe.node(node).id)) {
            let _ = file.take(most as u64).read_to_end(&mut bytes);
        }
        bytes
    }

    fn capture_digest(&self, node: NodeIx) -> Digest {
        use std::io::Read;
        let mut hasher = Hasher::default();
        // What can not be read has another digest than what was written.
        if let Ok(mut file) = self.nodes.read(&format!("{}.out", self.pipe.node(node).id)) {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = file.read(&mut buffer) {
                hasher.update(&buffer[..read]);
            }
        }
        hasher.finish()
    }
}

impl LocalExecutor {
    /// One turn of waiting.
    pub(super) fn turn(
        &mut self,
        timeout: Option<Duration>,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        if !self.due.is_empty() {
            self.start_due(emitted)?;
            return self.take_answers(emitted);
        }
        let is_open = |(token, active): &(&Token, &Active)| {
            active.cause.is_none() && !self.supervisor.has_exited(**token)
        };
        let open = self.active.iter().filter(is_open);
        let due = open
            .map(|(_, active)| active.due(&self.pipe))
            .chain(self.active.values().filter_map(|a| a.stop_at));
        let of_hooks = self.hooks.as_ref().and_then(Host::due);
        let due = due.chain(of_hooks).map(|due| due.saturating_duration_since(Instant::now())).min();
        let timeout = match (timeout, due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.supervisor.wait(timeout, &mut self.happenings).map_err(ExecuteError::Wait)?;
        for happening in std::mem::take(&mut self.happenings) {
            match happening {
                Happening::Output(token, bytes) => {
                    let is_hook = match &mut self.hooks {
                        Some(host) => host.output(token, &bytes, &mut self.supervisor),
                        None => false,
                    };
                    if !is_hook {
                        self.hear(token, &bytes, emitted)?;
                    }
                }
                Happening::Signal(signal) => emitted.push(Emitted::Signal(signal)),
                Happening::Ended(ended) => {
                    let is_hook = match &mut self.hooks {
                        Some(host) => host.ended(&ended, &mut self.supervisor),
                        None => false,
                    };
                    if !is_hook {
                        self.ended(*ended, emitted)?;
                    }
                }
            }
        }
        self.enforce_deadlines();
        self.open_the_door();
        self.take_answers(emitted)
    }
}
