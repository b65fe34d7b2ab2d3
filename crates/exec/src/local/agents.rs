//! AI nodes: each try is a process of the agent's program, or a recorded one.

use std::{
    ffi::OsString,
    io,
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use omne_agent::Dialect;
use omne_dag::NodeIx;
use omne_events::{ErrorKind, NodeCompleted, NodeSpawned, milliseconds};
use omne_hooks::{Effect, Question};
use omne_pipe::Node;
use omne_process::{Ended as ProcessEnded, Sink, Spec, Token};

use super::{Active, Due, LocalExecutor, Stage, held::Step, hooked::forbidden, tools};
use crate::{
    agent::{AgentRun, Done, Ended, Names, Next, Progress, Start, TryEnd, write_whole},
    node::{
        bash::working_directory,
        verdict::{self, Cause, Failure},
    },
    outputs::{outputs_of, read_outputs},
    port::{Attempt, Emitted, ExecuteError},
};

/// How long an agent that has said its sentinel may take to end by itself: one that is interrupted in the middle of
/// its last answer does not know what that cost.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What came of starting an agent.
enum Tried {
    Started(Token, u32),
    /// A rule asks about it.
    Asks(String),
}

impl LocalExecutor {
    pub(super) fn begin_agent(
        &mut self,
        mut attempt: Attempt,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(attempt.node);
        let ask =
            attempt.ask.take().ok_or_else(|| Failure::new(ErrorKind::HostMissing, "it names no agent"))?;
        let is_done = ask.goes_on.as_ref().is_some_and(|goes_on| goes_on.is_done);
        if ask.goes_on.is_some() {
            // What earlier rounds gave, if they gave something.
            let name = |number: u32| Self::output_file(node, number);
            let _ = self.nodes.rename(&name(attempt.number.saturating_sub(1)), &name(attempt.number));
        }
        let mut run = AgentRun::new(ask, node, attempt.number, &self.nodes)
            .map_err(|error| Failure::capture(&error))?;
        if is_done {
            return self.finish_loop(attempt, run, emitted);
        }
        let start = run.begin_try(&self.funds, &mut *self.sessions, emitted)?;
        let active = Active::new(attempt, node, Stage::Agent(Box::new(run)));
        self.due.push((active, Due::Try(start)));
        Ok(())
    }

    /// A loop that had said that it is done, before its runner ended.
    fn finish_loop(
        &mut self,
        attempt: Attempt,
        mut run: AgentRun,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(attempt.node);
        let number = attempt.number;
        let mask = self.mask().map(|mask| &**mask);
        let outputs = read_outputs(&self.nodes, &Self::output_file(node, number), mask)?;
        let outputs = outputs_of(outputs.as_deref().unwrap_or_default())?;
        let active = Active::new(attempt, node, Stage::Script);
        let completed = self.agent_completed(node, &active, run.done(), outputs);
        if node.gate().is_some() {
            return self.begin_gate(active, completed, emitted);
        }
        self.remove_outputs(node, number);
        emitted.push(Emitted::Event(completed.into()));
        Ok(())
    }

    /// Starts the tries that are in the log now, and the gates after those whose end is.
    pub(super) fn start_due(&mut self, emitted: &mut Vec<Emitted>) -> Result<(), ExecuteError> {
        for (active, due) in std::mem::take(&mut self.due) {
            match (due, active.cause) {
                (Due::Try(_), Some(cause)) => self.fail(&active, verdict::of_cause(cause, ""), emitted),
                (Due::Try(start), None) => {
                    if let Some((active, start)) = self.ask_before_round(active, start) {
                        self.start_try(active, start, emitted)?;
                    }
                }
                (Due::Gate(completed), _) => self.start_gate(active, *completed, emitted),
            }
        }
        Ok(())
    }

    /// The gate after an agent, if nobody wants the node to end.
    fn start_gate(&mut self, active: Active, completed: NodeCompleted, emitted: &mut Vec<Emitted>) {
        let (index, number, since) = (active.node, active.number, active.since);
        let usage = completed.usage.map(Box::new);
        let asked = active.cause;
        let begun = match asked {
            Some(cause) => Err(verdict::of_cause(cause, "")),
            None => self.begin_gate(active, completed, emitted),
        };
        if let Err(failure) = begun {
            if asked.is_none() {
                self.remove_outputs(self.pipe.node(index), number);
            }
            let failure = Failure { usage: failure.usage.or(usage), ..failure };
            self.failed(index, number, since.elapsed(), failure, emitted);
        }
    }

    /// Starts a try that hooks have nothing against.
    pub(super) fn start_try(
        &mut self,
        active: Active,
        start: Start,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        if self.recording.is_some() {
            return self.play_try(active, emitted);
        }
        let pipe = Arc::clone(&self.pipe);
        match self.spawn_try(pipe.node(active.node), &active, &start) {
            Ok(Tried::Started(token, pid)) => self.spawned(active, token, pid, emitted),
            Ok(Tried::Asks(why)) => {
                // Of the whole command line more is known now than before the node began.
                let mut active = Active { process_approved: true, ..active };
                let changes = std::mem::take(&mut active.round_changes);
                let step = Step::Iteration(Box::new((active, start)));
                if let Err((step, failure)) = self.hold(step, changes, Question::approval(why), emitted) {
                    self.fail_step(step, failure, emitted);
                }
            }
            Err(failure) => self.fail_round(active, failure, emitted),
        }
        Ok(())
    }

    fn spawn_try(&mut self, node: &Node, active: &Active, start: &Start) -> Result<Tried, Failure> {
        let Stage::Agent(run) = &active.stage else {
            return Err(Failure::new(ErrorKind::SpawnFailed, "it is no agent"));
        };
        let names = Names { node: node.id.as_str(), attempt: active.number };
        let prompt = names.prompt(start.iteration);
        write_whole(&self.nodes, &prompt, start.prompt.as_bytes())
            .map_err(|error| Failure::capture(&error))?;
        let stdin = match start.line.prompt_on_stdin {
            true => Some(self.nodes.read(&prompt).map_err(|error| Failure::capture(&error))?),
            false => None,
        };
        let (mut environment, mark) = self.environment(node, active);
        for (name, value) in &run.ask.agent.env {
            let has_own = node.env().iter().chain(&active.env).any(|(own, _)| own == name);
            if !self.base.contains(name) && !has_own {
                environment.set(name, value);
            }
        }
        if let Some(iteration) = start.iteration {
            environment.set("OMNE_ITERATION", iteration.to_string());
        }
        environment.set("OMNE_OUTPUT", self.nodes.path(&Self::output_file(node, active.number)));
        if let Some(secrets) = &self.secrets {
            secrets.give(node, &mut environment);
        }
        let mut args: Vec<OsString> = start.line.args.iter().map(Into::into).collect();
        if let Some((settings, token, socket)) = self.door_for(node, active)? {
            args.splice(0..0, [OsString::from("--settings"), settings.into()]);
            environment.set("OMNE_TOOL_TOKEN", token);
            environment.set("OMNE_TOOL_SOCKET", socket);
        }
        match self.rule(node, &run.ask.program, &args) {
            Some((Effect::Deny, why)) => return Err(forbidden(why)),
            Some((Effect::Ask, why)) if !active.process_approved => return Ok(Tried::Asks(why)),
            Some((Effect::Ask, _)) | None => {}
        }
        let cwd = working_directory(&self.places.workspace, node)?;
        let spec = Spec {
            program: run.ask.program.clone(),
            args,
            cwd: cwd.clone(),
            environment,
            mark,
            stdin,
            stdout: Sink::Relay,
            stderr: Sink::Append(self.nodes.clone(), format!("{}.err", node.id)),
            mask: self.mask().cloned(),
            output_limit: self.places.output_limit,
        };
        let program = spec.program.clone();
        let spawned = self.supervisor.spawn(spec);
        spawned.map(|(token, pid)| Tried::Started(token, pid)).map_err(|error| {
            let failure = verdict::of_spawn(&error, &cwd, &program);
            match error.kind() {
                // It was there when the run began.
                io::ErrorKind::NotFound if cwd.is_dir() => {
                    Failure { kind: ErrorKind::HostMissing, ..failure }
                }
                _ => failure,
            }
        })
    }

    /// What an agent needs to ask about its tools: its settings, its token, and where to ask. `None` when nobody looks
    /// at them, or the agent can't be told.
    fn door_for(
        &mut self,
        node: &Node,
        active: &Active,
    ) -> Result<Option<(PathBuf, String, PathBuf)>, Failure> {
        let Stage::Agent(run) = &active.stage else { return Ok(None) };
        if run.ask.agent.dialect != Dialect::Claude || !self.looks_at_tools() {
            return Ok(None);
        }
        // What comes later on the command line wins, and those without hooks have no policy.
        let takes_hooks_away = |arg: &&String| {
            ["--settings", "--bare"].iter().any(|flag| {
                arg.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
            })
        };
        if let Some(arg) = node.ai().and_then(|ai| ai.agent_args.iter().find(takes_hooks_away)) {
            let why = format!("`{arg}` in `agent_args` would take the hooks on its tools away; leave it out");
            return Err(Failure::new(ErrorKind::Denied, why));
        }
        let no_door = |error: io::Error| {
            Failure::new(ErrorKind::SpawnFailed, format!("hooks can not look at its tools: {error}"))
        };
        let token = (self.sessions)();
        let directory = self.places.run_dir.clone();
        let door = match &mut self.door {
            Some(door) => door,
            none => {
                let waker = self.supervisor.waker().map_err(no_door)?;
                none.insert(tools::Door::open(&directory, waker).map_err(no_door)?)
            }
        };
        let (token, socket) = door.token(token, active.node, active.number);
        let name = format!("{}.settings.json", node.id);
        let settings = tools::settings(&self.places.omne).to_string();
        write_whole(&self.nodes, &name, settings.as_bytes()).map_err(no_door)?;
        Ok(Some((self.nodes.path(&name), token, socket)))
    }

    fn spawned(&mut self, mut active: Active, token: Token, pid: u32, emitted: &mut Vec<Emitted>) {
        active.heard = Instant::now();
        if let Stage::Agent(run) = &active.stage {
            let spawned = NodeSpawned {
                node_id: self.pipe.node(active.node).id.clone(),
                attempt: active.number,
                pid,
                program: run.ask.program.to_string_lossy().into(),
            };
            emitted.push(Emitted::Event(spawned.into()));
            run.spawned(emitted);
        }
        self.active.insert(token, active);
    }

    /// An agent printed something.
    pub(super) fn hear(
        &mut self,
        token: Token,
        bytes: &[u8],
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        let Some(active) = self.active.get_mut(&token) else { return Ok(()) };
        active.heard = Instant::now();
        let Stage::Agent(run) = &mut active.stage else { return Ok(()) };
        match run.hear(bytes, emitted).map_err(ExecuteError::Capture)? {
            Progress::GoesOn => {}
            // It has said what there was to say; what it used it tells last.
            Progress::HasSaid => active.stop_at = Some(Instant::now() + LAST_WORDS),
            Progress::BeginsAnew => active.stop_at = Some(Instant::now()),
        }
        Ok(())
    }

    pub(super) fn agent_ended(
        &mut self,
        active: Active,
        ended: &ProcessEnded,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        use std::os::unix::process::ExitStatusExt;
        let stderr = ended.stderr.tail_text();
        let output_limit = self.places.output_limit;
        let cause = match active.cause {
            Some(cause) => Some(verdict::of_cause(cause, &stderr)),
            None => ended.over_limit.then(|| verdict::of_output_limit(output_limit)),
        };
        let cause = cause.map(|cause| cause.with_status(ended.status));
        let why = match active.cause {
            Some(Cause::Timeout(_)) => Some(Ended::Timeout),
            Some(Cause::Idle(_)) => Some(Ended::Idle),
            _ => ended.over_limit.then_some(Ended::OutputLimit),
        };
        let end = TryEnd {
            iteration: None,
            from: 0,
            to: 0,
            exit_code: ended.status.code(),
            signal: ended.status.signal(),
            stderr,
            outputs: None,
            outputs_malformed: false,
            ended: why,
        };
        let name = Self::output_file(self.pipe.node(active.node), active.number);
        let outputs = read_outputs(&self.nodes, &name, self.mask().map(|mask| &**mask));
        self.try_ended(active, end, cause, outputs, emitted)
    }

    /// A try has ended, a real one or a played one: the next one, the gate, or the end.
    pub(super) fn try_ended(
        &mut self,
        mut active: Active,
        mut end: TryEnd,
        cause: Option<Failure>,
        outputs: Result<Option<Vec<u8>>, Failure>,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), ExecuteError> {
        // It is over: neither the next try nor the gate is to be stopped for it.
        active.stop_at = None;
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(active.node);
        let written = outputs.as_ref().ok().and_then(Option::as_ref);
        end.outputs = written.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        end.outputs_malformed =
            outputs.is_err() || written.is_some_and(|bytes| str::from_utf8(bytes).is_err());
        // What a resume may find of them is without what is secret.
        let masked = self.secrets.as_ref().and(written.cloned());
        let Stage::Agent(run) = &mut active.stage else { return Ok(()) };
        let asked = active.cause.filter(|cause| matches!(cause, Cause::Asked(_)));
        let next = run.end_try(end, cause, &mut self.funds, emitted).map_err(ExecuteError::Capture)?;
        let usage = run.usage().map(Box::new);
        let failure = match next {
            Next::Failed(failure) => failure,
            Next::Again => match run.begin_try(&self.funds, &mut *self.sessions, emitted) {
                Ok(start) => {
                    self.due.push((active, Due::Try(start)));
                    return Ok(());
                }
                Err(failure) => failure,
            },
            Next::Done(done) => {
                match outputs.and_then(|bytes| outputs_of(bytes.as_deref().unwrap_or_default())) {
                    Ok(outputs) => {
                        let completed = self.agent_completed(node, &active, done, outputs);
                        if node.gate().is_none() {
                            self.remove_outputs(node, active.number);
                            emitted.push(Emitted::Event(completed.into()));
                            return Ok(());
                        }
                        // When nothing new begins any more, no gate does either. Else its cause, that it had had
                        // its time, is none for the gate.
                        active.cause = asked;
                        self.due.push((active, Due::Gate(Box::new(completed))));
                        return Ok(());
                    }
                    Err(failure) => failure,
                }
            }
        };
        if !matches!(failure.kind, ErrorKind::Interrupted | ErrorKind::Cancelled) {
            // Else a resume may go on, and these with it.
            self.remove_outputs(node, active.number);
        } else if let Some(masked) = masked {
            let name = Self::output_file(node, active.number);
            let kept = self.nodes.create(&name).and_then(|mut file| file.write_all(&masked));
            kept.map_err(ExecuteError::Capture)?;
        }
        self.fail(&active, Failure { usage: failure.usage.or(usage), ..failure }, emitted);
        Ok(())
    }

    pub(super) fn remove_outputs(&self, node: &Node, number: u32) {
        let name = Self::output_file(node, number);
        // Usually there is none.
        let _ = self.nodes.remove(&name);
    }

    fn agent_completed(
        &self,
        node: &Node,
        active: &Active,
        done: Done,
        outputs: Option<omne_events::Outputs>,
    ) -> NodeCompleted {
        let path = || format!("{}/nodes/{}.out", self.places.run_dir_name, node.id);
        NodeCompleted {
            node_id: node.id.clone(),
            attempt: active.number,
            output_path: (done.bytes > 0).then(path),
            output_bytes: done.bytes,
            output_sha256: Some(done.sha256),
            duration_ms: milliseconds(active.since.elapsed()),
            exit_code: done.exit_code,
            outputs,
            usage: done.usage,
            denied_tools: (!done.denied.is_empty()).then_some(done.denied),
        }
    }

    pub(super) fn fail(&self, active: &Active, failure: Failure, emitted: &mut Vec<Emitted>) {
        self.failed(active.node, active.number, active.since.elapsed(), failure, emitted);
    }

    /// An attempt has failed, after so long.
    pub(super) fn failed(
        &self,
        node: NodeIx,
        number: u32,
        took: Duration,
        mut failure: Failure,
        emitted: &mut Vec<Emitted>,
    ) {
        if let Some(mask) = self.mask() {
            // Before it is clipped: a half of a secret would not be found.
            failure.message = mask.text(&failure.message).into_owned();
        }
        let event = failure.event(self.pipe.node(node).id.clone(), number, took);
        emitted.push(Emitted::Event(event.into()));
    }
}
