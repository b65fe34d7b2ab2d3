//! Hooks and rules: asked before a step, told after it. A step that waits for
//! an answer is kept here; everything else goes on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use omne_events::{ErrorKind, Event, HookDecided, NodeCompleted, NodeId};
use omne_hooks::{Effect, FireId, Fired, HookEvent, Host, Outcome, Subject, Verdict};
use omne_pipe::Node;
use omne_process::Signal;
use serde_json::{Map, Value, json};

use super::{Active, LocalExecutor, Stage, held::Step, tools};
use crate::{
    ChangedPrompt,
    agent::Start,
    node::verdict::{self, Failure},
    port::{Attempt, BeforeRun, Emitted, EndReason, ExecuteError},
};

/// A step that waits for hooks.
pub(super) enum Pending {
    /// One that goes on, waits for people or fails.
    Step(Step),
    /// The run's first node.
    Run,
    /// An agent's tool call, by its id; its program waits here.
    Tool(Option<String>, std::os::unix::net::UnixStream),
    /// Nothing: it is only told.
    Nothing,
}

impl LocalExecutor {
    /// Whether nobody has to be asked: then nothing is made up for them either.
    fn has_no_hooks(&self) -> bool {
        self.hooks.as_ref().is_none_or(Host::is_idle)
    }

    fn subject(&self, node: Option<&NodeId>) -> Subject {
        Subject { run_id: self.run.to_string(), pipe: self.pipe.name().to_string(), node_id: node.cloned() }
    }

    /// Asks hooks about a step, if there are any. The step is given back when nobody is asked.
    pub(super) fn fire(
        &mut self,
        event: HookEvent,
        node: Option<&NodeId>,
        payload: impl FnOnce() -> Value,
        pending: Pending,
    ) -> Option<Pending> {
        let subject = self.subject(node);
        let Some(host) = self.hooks.as_mut().filter(|host| host.wants(event, &subject)) else {
            return Some(pending);
        };
        let mut payload = match payload() {
            Value::Object(payload) => payload,
            _ => Map::new(),
        };
        if let Some(secrets) = &self.secrets {
            payload.values_mut().for_each(|value| secrets.hide_in_json(value));
        }
        let id = host.fire(event, subject, payload, &mut self.supervisor);
        self.pending.insert(id, pending);
        None
    }

    /// The rule about a process, if there is one.
    pub(super) fn rule<A: AsRef<std::ffi::OsStr>>(
        &self,
        node: &Node,
        program: &std::path::Path,
        args: &[A],
    ) -> Option<(Effect, String)> {
        let host = self.hooks.as_ref().filter(|host| !host.is_idle())?;
        let namespace = self.subject(Some(&node.id)).namespace();
        host.rule(&namespace, program, args).map(|rule| (rule.effect, rule.describe()))
    }

    /// Asks about an attempt before it begins. `None` when it waits now.
    pub(super) fn ask_before(&mut self, attempt: Attempt) -> Option<Attempt> {
        if self.has_no_hooks() || attempt.approved.is_some() {
            return Some(attempt);
        }
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(attempt.node);
        let number = attempt.number;
        let definition = || serde_json::from_str(pipe.node_definition(attempt.node)).unwrap_or(Value::Null);
        let env: Map<String, Value> =
            node.env().iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let mut payload = json!({
            "node": definition(),
            "attempt": number,
            "env": env,
            "timeout": node.timeout.as_secs(),
        });
        if let Some(ask) = &attempt.ask {
            let first = ask.first_iteration(node);
            payload["prompt"] = ask.render(first).unwrap_or_default().into();
            if let Some(model) = &ask.model {
                payload["model"] = model.as_str().into();
            }
            if let Some(tools) = &ask.tools {
                payload["allowed_tools"] = tools.iter().map(|tool| Value::from(tool.as_str())).collect();
            }
        }
        let pending = Pending::Step(Step::Node(Box::new(attempt)));
        match self.fire(HookEvent::PreNode, Some(&node.id), || payload, pending) {
            Some(Pending::Step(Step::Node(attempt))) => Some(*attempt),
            _ => None,
        }
    }

    /// Asks about a round before it begins. `None` when it waits now.
    pub(super) fn ask_before_round(
        &mut self,
        mut active: Active,
        mut start: Start,
    ) -> Option<(Active, Start)> {
        let approved = active.approved_round.take_if(|(round, _)| Some(*round) == start.iteration);
        if let Some((_, delta)) = approved {
            // People have looked at this one already.
            let prompt = delta.get("prompt").and_then(Value::as_str);
            if let (Stage::Agent(run), Some(prompt)) = (&active.stage, prompt)
                && let Ok(line) = run.command_line(prompt)
            {
                (start.line, start.prompt) = (line, prompt.to_owned());
            }
            active.round_changes = delta;
            return Some((active, start));
        }
        let Some(iteration) = start.iteration.filter(|_| !self.has_no_hooks()) else {
            return Some((active, start));
        };
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(active.node);
        let payload = json!({ "iteration": iteration, "attempt": active.number, "prompt": start.prompt });
        let pending = Pending::Step(Step::Iteration(Box::new((active, start))));
        match self.fire(HookEvent::PreIteration, Some(&node.id), || payload, pending) {
            Some(Pending::Step(Step::Iteration(round))) => Some(*round),
            _ => None,
        }
    }

    /// Asks about a gate before it is asked. `None` when it waits now.
    pub(super) fn ask_before_gate(
        &mut self,
        active: Active,
        completed: NodeCompleted,
    ) -> Option<(Active, NodeCompleted)> {
        if self.has_no_hooks() {
            return Some((active, completed));
        }
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(active.node);
        let gate = node.gate().map(|gate| gate.as_str());
        let payload = json!({ "gate": gate, "attempt": active.number });
        let pending = Pending::Step(Step::Gate(Box::new((active, completed))));
        match self.fire(HookEvent::PreGate, Some(&node.id), || payload, pending) {
            Some(Pending::Step(Step::Gate(gate))) => Some(*gate),
            _ => None,
        }
    }

    /// Tells hooks what has happened to nodes.
    pub(super) fn tell(&mut self, emitted: &[Emitted]) {
        if self.has_no_hooks() {
            return;
        }
        for emitted in emitted {
            let Emitted::Event(event) = emitted else { continue };
            let (kind, node, payload) = match event {
                Event::NodeCompleted(e) => {
                    let payload = json!({
                        "outcome": "completed", "attempt": e.attempt, "usage": e.usage,
                        "output_path": e.output_path, "duration_ms": e.duration_ms,
                    });
                    (HookEvent::PostNode, &e.node_id, payload)
                }
                Event::NodeFailed(e) => {
                    let payload = json!({
                        "outcome": "failed", "attempt": e.attempt, "usage": e.usage,
                        "error": e.error, "duration_ms": e.duration_ms,
                    });
                    if matches!(e.error.kind, ErrorKind::GateFailed | ErrorKind::GateTimeout) {
                        let outcome = json!({ "outcome": e.error.kind.as_str(), "attempt": e.attempt });
                        self.fire(HookEvent::PostGate, Some(&e.node_id), || outcome, Pending::Nothing);
                    }
                    (HookEvent::PostNode, &e.node_id, payload)
                }
                Event::IterationCompleted(e) => {
                    let payload = json!({
                        "outcome": e.outcome, "attempt": e.attempt, "iteration": e.iteration, "usage": e.usage,
                    });
                    (HookEvent::PostIteration, &e.node_id, payload)
                }
                Event::GatePassed(e) => {
                    (HookEvent::PostGate, &e.node_id, json!({ "outcome": "passed", "gate": e.gate }))
                }
                _ => continue,
            };
            self.fire(kind, Some(node), || payload, Pending::Nothing);
        }
    }

    /// Takes in what hooks answered.
    pub(super) fn take_answers(&mut self, emitted: &mut Vec<Emitted>) -> Result<(), ExecuteError> {
        loop {
            let fired = match &mut self.hooks {
                Some(host) => {
                    host.tick(&mut self.supervisor);
                    host.take()
                }
                None => return Ok(()),
            };
            if fired.is_empty() {
                return Ok(());
            }
            for fired in fired {
                self.answered(fired, emitted)?;
            }
        }
    }

    fn answered(&mut self, fired: Fired, emitted: &mut Vec<Emitted>) -> Result<(), ExecuteError> {
        let Fired { id, event, outcome, decided } = fired;
        let pending = self.pending.remove(&id);
        let call = match &pending {
            Some(Pending::Tool(call, _)) => call.as_ref(),
            _ => None,
        };
        if event != HookEvent::OnEvent {
            let decided =
                decided.into_iter().map(|decided| HookDecided { tool_use_id: call.cloned(), ..decided });
            emitted.extend(decided.map(|decided| Emitted::Event(decided.into())));
        }
        let Some(pending) = pending else { return Ok(()) };
        match (pending, outcome.verdict) {
            (Pending::Nothing, _) => {}
            (Pending::Tool(_, stream), verdict) => {
                tools::reply(stream, event, &Outcome { verdict, delta: outcome.delta });
            }
            (Pending::Run, verdict) => {
                self.before_run = match verdict {
                    Verdict::Allow => BeforeRun::Begin,
                    Verdict::Deny { reason, code } => {
                        BeforeRun::Refused(format!("denied by a hook ({code}): {reason}"))
                    }
                    Verdict::Ask(question) => BeforeRun::Asked(question),
                };
            }
            (Pending::Step(step), verdict) => {
                let (step, failure) = match (self.ending, verdict) {
                    (Some(why), _) => (step, verdict::of_cause(verdict::Cause::Asked(why), "")),
                    (None, Verdict::Allow) => return self.go_on(step, outcome.delta, emitted),
                    (None, Verdict::Deny { reason, code }) => {
                        let message = format!("denied by a hook ({code}): {reason}");
                        (step, Failure::new(ErrorKind::Denied, message))
                    }
                    (None, Verdict::Ask(question)) => {
                        match self.hold(step, outcome.delta, question, emitted) {
                            Ok(()) => return Ok(()),
                            Err(refused) => refused,
                        }
                    }
                };
                self.fail_step(step, failure, emitted);
            }
        }
        Ok(())
    }

    /// Begins an attempt as hooks changed it.
    pub(super) fn begin_changed(
        &mut self,
        mut attempt: Attempt,
        delta: Map<String, Value>,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let node = self.pipe.node(attempt.node);
        change(&mut attempt, node, &delta)?;
        attempt.approved.get_or_insert_default();
        attempt.changes.extend(delta);
        self.begin(attempt, emitted)
    }

    /// A round goes on, with another prompt if a hook gave one.
    pub(super) fn go_round(
        &mut self,
        round: (Active, Start),
        delta: &Map<String, Value>,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        let (mut active, mut start) = round;
        active.round_changes.clone_from(delta);
        if let (Stage::Agent(run), Some(prompt)) =
            (&active.stage, delta.get("prompt").and_then(Value::as_str))
        {
            match run.command_line(prompt) {
                Ok(line) => (start.line, start.prompt) = (line, prompt.to_owned()),
                Err(failure) => {
                    self.fail_round(active, failure, emitted);
                    return Ok(());
                }
            }
        }
        self.start_try(active, start, emitted)
    }

    /// A round that begins no more: it ended before its program was started.
    pub(super) fn fail_round(&mut self, mut active: Active, failure: Failure, emitted: &mut Vec<Emitted>) {
        let usage = match &mut active.stage {
            Stage::Agent(run) => {
                run.refuse_round(emitted);
                run.usage().map(Box::new)
            }
            Stage::Script | Stage::Gate { .. } => None,
        };
        self.fail(&active, Failure { usage: failure.usage.or(usage), ..failure }, emitted);
    }

    /// Fails what waits for hooks; nothing new begins any more.
    pub(super) fn end_pending(&mut self, why: EndReason) {
        self.ending = Some(why);
        if let Some(host) = &mut self.hooks {
            host.give_up_all(&mut self.supervisor);
        }
    }

    /// Asks whether the run may begin, and waits for the answer.
    pub(super) fn ask_before_run(
        &mut self,
        inputs: Option<Value>,
        emitted: &mut Vec<Emitted>,
    ) -> Result<BeforeRun, ExecuteError> {
        if let Some(host) = &mut self.hooks {
            host.start(&mut self.supervisor);
        }
        if let Some(inputs) = inputs {
            self.fire(HookEvent::PreRun, None, || json!({ "inputs": inputs }), Pending::Run);
        }
        let is_asked = |this: &Self| this.pending.values().any(|pending| matches!(pending, Pending::Run));
        while is_asked(self) && self.ending.is_none() {
            self.turn(None, emitted)?;
            if is_asked(self) && emitted.iter().any(ends) {
                self.cut_off(emitted)?;
                // Whoever was cut off has refused nothing.
                self.before_run = BeforeRun::Begin;
            }
        }
        Ok(std::mem::replace(&mut self.before_run, BeforeRun::Begin))
    }

    /// Tells hooks that the run ends, and waits until all of them were told everything.
    pub(super) fn tell_end(
        &mut self,
        outcome: &str,
        duration_ms: u64,
        inputs: Value,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        if !outcome.is_empty() {
            // Who sums the run up has been told of every node before.
            self.wait_for_hooks(HookEvent::PostNode.deadline(), emitted)?;
            let payload = json!({ "outcome": outcome, "duration_ms": duration_ms, "inputs": inputs });
            self.fire(HookEvent::PostRun, None, || payload, Pending::Nothing);
        }
        self.wait_for_hooks(HookEvent::PostRun.deadline(), emitted)?;
        self.cut_off(emitted)
    }

    /// Ends whatever hooks are at.
    fn cut_off(&mut self, emitted: &mut Vec<Emitted>) -> Result<(), ExecuteError> {
        if let Some(host) = &mut self.hooks {
            host.give_up_all(&mut self.supervisor);
        }
        self.take_answers(emitted)
    }

    /// Waits until no hook is being told anything, at most so long, and not when somebody wants an end.
    pub(super) fn wait_for_hooks(
        &mut self,
        most: Duration,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        let until = Instant::now() + most;
        while self.hooks.as_ref().is_some_and(|host| host.pending() > 0) && Instant::now() < until {
            self.turn(Some(until.saturating_duration_since(Instant::now())), emitted)?;
            if emitted.iter().any(ends) {
                break;
            }
        }
        Ok(())
    }

    /// Tells hooks of lines of the log.
    pub(super) fn tell_lines(&mut self, lines: &[u8]) {
        let is_told = |host: &Host| host.config().events().contains(&HookEvent::OnEvent);
        if !self.hooks.as_ref().is_some_and(is_told) {
            return;
        }
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(event) = serde_json::from_slice::<Value>(line) else { continue };
            let node = event.get("node_id").and_then(Value::as_str).and_then(|id| NodeId::new(id).ok());
            let subject = self.subject(node.as_ref());
            let Some(host) = self.hooks.as_mut() else { return };
            if host.pending() > MOST_TOLD {
                host.dropped(HookEvent::OnEvent, &subject);
                continue;
            }
            let payload = Map::from_iter([("event".to_owned(), event)]);
            let id: FireId = host.fire(HookEvent::OnEvent, subject, payload, &mut self.supervisor);
            self.pending.insert(id, Pending::Nothing);
        }
    }
}

/// Whether it is a signal that asks for the end of the run.
fn ends(emitted: &Emitted) -> bool {
    matches!(emitted, Emitted::Signal(Signal::Interrupt | Signal::Terminate))
}

/// How many observations may be under way; further ones are not made, and counted.
const MOST_TOLD: usize = 256;

/// A failure of a node that a rule forbids to start.
pub(super) fn forbidden(why: String) -> Failure {
    Failure::new(ErrorKind::Denied, why)
}

/// Changes an attempt as hooks want it.
pub(super) fn change(attempt: &mut Attempt, node: &Node, delta: &Map<String, Value>) -> Result<(), Failure> {
    for (key, value) in delta {
        match (key.as_str(), &mut attempt.ask) {
            ("env", _) => {
                let env = value.as_object().into_iter().flatten();
                attempt
                    .extra_env
                    .extend(env.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))));
            }
            ("timeout", _) => attempt.timeout = value.as_u64().map(Duration::from_secs),
            ("prompt", Some(ask)) => {
                let shown = ask.render(ask.first_iteration(node)).unwrap_or_default();
                let now = value.as_str().unwrap_or_default().to_owned();
                // Of several hooks each one changes what the one before made of it.
                let shown = ask.changed.take().map_or(shown, |before| before.shown);
                ask.changed = Some(ChangedPrompt { shown, now });
            }
            ("model", Some(ask)) => ask.model = value.as_str().map(Into::into),
            ("allowed_tools", Some(ask)) => {
                let tools = value.as_array().into_iter().flatten();
                ask.tools = Some(tools.filter_map(|tool| tool.as_str().map(Into::into)).collect());
            }
            (key, _) => {
                let message = format!("a hook changed `{key}` of `{}`, which has none", node.id);
                return Err(Failure::new(ErrorKind::Denied, message));
            }
        }
    }
    Ok(())
}
