//! Attempts as processes of this machine.

use std::{collections::HashMap, ffi::OsString, io, path::PathBuf, sync::Arc, time::Instant};

use omne_dag::NodeIx;
use omne_events::{
    Digest, ErrorKind, GateMethod, GatePassed, NodeCompleted, NodeSpawned, Outputs, RunId, milliseconds,
};
use omne_hooks::{Effect, FireId, Host};
use omne_pipe::{Body, Node, Pipe};
use omne_process::{
    Arrivals, BaseEnvironment, Captured, Directory, End, Ended, Environment, Happening, Mark, Mask,
    Supervisor, Token, Waker,
};

use crate::{
    Funds, Recording,
    agent::Start,
    gate::{ASKS, GATE_TIMEOUT, not_started},
    node::{
        bash::{self, working_directory},
        verdict::{self, Cause, Failure},
    },
    outputs::take_outputs,
    port::{Asker, Attempt, BeforeRun, Emitted, EndReason, ExecuteError},
    secrets::Secrets,
};

mod active;
mod agents;
mod gates;
mod held;
mod hooked;
mod played;
pub(crate) mod tools;
mod turns;

use active::{Active, Stage};

/// What the names of `OMNE_OUTPUT` files end with.
const OUTPUT: &str = ".output";

/// How many of them are looked for before it is worth to have them watched for.
const UNWATCHED: usize = 2000;

/// Where things are, all absolute.
#[derive(Debug, Clone)]
pub struct Places {
    /// The volume's root.
    pub volume: PathBuf,
    /// Where nodes run.
    pub workspace: PathBuf,
    /// The run's directory.
    pub run_dir: PathBuf,
    /// The run's directory as captures name it: relative to the volume, with `/`.
    pub run_dir_name: String,
    /// `sh`.
    pub shell: PathBuf,
    /// The most bytes that an attempt may print.
    pub output_limit: u64,
    /// This program: agents call it to ask about their tools.
    pub omne: PathBuf,
}

/// What of an agent's node is to be started.
enum Due {
    Try(Start),
    /// The gate of a node that came to this.
    Gate(Box<NodeCompleted>),
}

/// Runs attempts as children of this process.
pub struct LocalExecutor {
    supervisor: Supervisor,
    pipe: Arc<Pipe>,
    run: RunId,
    places: Places,
    base: Arc<BaseEnvironment>,
    active: HashMap<Token, Active>,
    /// What is to be started next, once what came before it is in the log.
    due: Vec<(Active, Due)>,
    /// What nodes came to whose gates ask people.
    waiting: HashMap<NodeIx, NodeCompleted>,
    happenings: Vec<Happening>,
    funds: Funds,
    sessions: Box<dyn FnMut() -> String>,
    recording: Option<Recording>,
    hooks: Option<Host>,
    /// Where agents ask about their tools, if hooks look at them.
    door: Option<tools::Door>,
    /// Steps that wait for hooks.
    pending: HashMap<FireId, hooked::Pending>,
    /// Steps that wait for people, because hooks or rules asked them.
    held: HashMap<NodeIx, held::Held>,
    /// What hooks said to the run.
    before_run: BeforeRun,
    /// Why nothing new begins.
    ending: Option<EndReason>,
    /// The directory of captures and outputs, open: whatever nodes do to its path, it stays the same.
    nodes: Directory,
    /// The outputs that are there.
    given: Arrivals,
    /// What some nodes get and nothing shows.
    secrets: Option<Arc<Secrets>>,
}

impl LocalExecutor {
    /// An executor for the nodes of `pipe`, whose processes all get `environment`; `sessions` gives the ids of
    /// agents' sessions.
    ///
    /// # Errors
    /// When this process can't take care of children.
    pub fn new(
        pipe: Arc<Pipe>,
        run: RunId,
        places: Places,
        environment: Vec<(OsString, OsString)>,
        sessions: Box<dyn FnMut() -> String>,
    ) -> io::Result<Self> {
        let nodes = Directory::open(&places.run_dir.join("nodes"))?;
        Ok(Self {
            given: Arrivals::new(&nodes, OUTPUT, UNWATCHED),
            nodes,
            secrets: None,
            supervisor: Supervisor::new()?,
            pipe,
            run,
            places,
            base: Arc::new(BaseEnvironment::new(environment)),
            active: HashMap::new(),
            due: Vec::new(),
            waiting: HashMap::new(),
            happenings: Vec::new(),
            funds: Funds::default(),
            sessions,
            recording: None,
            hooks: None,
            door: None,
            pending: HashMap::new(),
            held: HashMap::new(),
            before_run: BeforeRun::Begin,
            ending: None,
        })
    }

    /// Asks hooks about every step. Their daemons are started before the run's first node.
    #[must_use]
    pub fn asking(self, hooks: Option<Host>) -> Self {
        Self { hooks, ..self }
    }

    /// Limits what agents may cost.
    #[must_use]
    pub fn with_funds(self, funds: Funds) -> Self {
        Self { funds, ..self }
    }

    /// Gives nodes the secrets that they name, and hides them in everything that is kept or shown.
    #[must_use]
    pub fn keeping(self, secrets: Option<Arc<Secrets>>) -> Self {
        Self { secrets, ..self }
    }

    /// What hides the run's secrets, if it has any.
    fn mask(&self) -> Option<&Arc<Mask>> {
        self.secrets.as_ref().map(|secrets| secrets.mask())
    }

    /// Plays a recording instead of agents, and of bash nodes if it says so.
    #[must_use]
    pub fn playing(self, recording: Option<Recording>) -> Self {
        Self { recording, ..self }
    }

    /// Something that ends a wait from another thread.
    ///
    /// # Errors
    /// When there are no file descriptors left.
    pub fn waker(&self) -> io::Result<Waker> {
        self.supervisor.waker()
    }

    /// What a process of an attempt finds: the outputs of ancestors, its node's variables, and those that hooks added,
    /// each winning over the ones before.
    fn environment(&self, node: &Node, active: &Active) -> (Environment, Mark) {
        let Active { env, extra_env, number, .. } = active;
        let mut environment =
            Environment { base: Arc::clone(&self.base), own: Vec::with_capacity(env.len() + 4) };
        let number = number.to_string();
        for (name, value) in env.iter().chain(node.env()).chain(extra_env) {
            environment.set(name, value);
        }
        environment.set("OMNE_NODE_ID", node.id.as_str());
        environment.set("OMNE_ATTEMPT", number.as_str());
        let entries = [
            ("OMNE_RUN_ID", self.run.as_str()),
            ("OMNE_NODE_ID", node.id.as_str()),
            ("OMNE_ATTEMPT", number.as_str()),
        ];
        let mark = Mark::new(entries.map(|(name, value)| (name, std::ffi::OsStr::new(value))));
        (environment, mark)
    }

    /// The rule about what an attempt would start, if there is one.
    fn rule_before(&self, node: &Node, attempt: &Attempt) -> Option<(Effect, String)> {
        match (&node.body, &attempt.ask) {
            (Body::Bash(script), _) => self.rule(node, &self.places.shell, &["-c", script]),
            (_, Some(ask)) => {
                let ai = node.ai();
                let own = ai.map(|ai| ai.agent_args.as_slice()).unwrap_or_default();
                // The whole command line, but for its prompt and session.
                let call = omne_agent::Call {
                    prompt: "-",
                    session: omne_agent::Session::Unnamed,
                    model: ask.model.as_deref(),
                    tools: ask.tools.as_deref(),
                    turns: ai.and_then(|ai| ai.max_turns).map(std::num::NonZeroU32::get),
                    budget: None,
                    args: own,
                };
                let args = ask.agent.command_line(&call).map(|line| line.args);
                self.rule(node, &ask.program, &args.unwrap_or_else(|_| own.to_vec()))
            }
            (_, None) => None,
        }
    }

    fn output_file(node: &Node, number: u32) -> String {
        format!("{}.{number}{OUTPUT}", node.id)
    }

    fn begin(&mut self, attempt: Attempt, emitted: &mut Vec<Emitted>) -> Result<(), Failure> {
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(attempt.node);
        if attempt.at_gate.as_ref().is_some_and(|at_gate| at_gate.asker != Asker::Gate) {
            return self.begin_after_question(attempt, emitted);
        }
        if let Some(at_gate) = &attempt.at_gate {
            return self.begin_at_gate(&attempt, at_gate, emitted);
        }
        if attempt.number > 1 && attempt.approved.is_none() {
            // What was kept of an earlier attempt's question is for nobody.
            self.forget_question(&node.id);
        }
        let Some(attempt) = self.ask_before(attempt) else { return Ok(()) };
        let goes_on = attempt.ask.as_ref().is_some_and(|ask| ask.goes_on.is_some());
        if attempt.number > 1 && !goes_on {
            // An attempt that prints nothing makes no capture, so the one before must not stay in its place.
            for ending in ["out", "err"] {
                let name = format!("{}.{ending}", node.id);
                self.nodes.remove(&name).map_err(|error| not_removed(&self.nodes.path(&name), &error))?;
            }
            // A runner that died did not take it.
            let _ = self.nodes.remove(&Self::output_file(node, attempt.number - 1));
        }
        if let Some((effect, why)) = self.rule_before(node, &attempt) {
            match effect {
                Effect::Deny => return Err(hooked::forbidden(why)),
                Effect::Ask if !attempt.asked_by_rule => {
                    let attempt = Attempt { asked_by_rule: true, ..attempt };
                    let changes = attempt.changes.clone();
                    return self.hold_for_rule(held::Step::Node(Box::new(attempt)), changes, why, emitted);
                }
                Effect::Ask => {}
            }
        }
        let Body::Bash(script) = &node.body else { return self.begin_agent(attempt, emitted) };
        if self.recording.as_ref().is_some_and(|recording| recording.plays_bash(&node.id)) {
            return self.play_bash(&attempt, emitted);
        }
        let active = Active::new(attempt, node, Stage::Script);
        let number = active.number;
        let (mut environment, mark) = self.environment(node, &active);
        environment.set("OMNE_OUTPUT", self.nodes.path(&Self::output_file(node, number)));
        let mut spec = bash::spec(&self.places, &self.nodes, node, script, environment, mark)?;
        if let Some(secrets) = &self.secrets {
            secrets.give(node, &mut spec.environment);
            spec.mask = Some(Arc::clone(secrets.mask()));
        }
        let cwd = spec.cwd.clone();
        let (token, pid) = self
            .supervisor
            .spawn_unawaited(spec)
            .map_err(|error| verdict::of_spawn(&error, &cwd, &self.places.shell))?;
        self.active.insert(token, active);
        let spawned = NodeSpawned {
            node_id: node.id.clone(),
            attempt: number,
            pid,
            program: self.places.shell.to_string_lossy().into(),
        };
        emitted.push(Emitted::Event(spawned.into()));
        Ok(())
    }

    fn ended(&mut self, ended: Ended, emitted: &mut Vec<Emitted>) -> Result<(), ExecuteError> {
        let Some(active) = self.active.remove(&ended.token) else { return Ok(()) };
        if let Some(error) = ended.capture_error {
            return Err(ExecuteError::Capture(error));
        }
        if matches!(active.stage, Stage::Agent(_)) {
            return self.agent_ended(active, &ended, emitted);
        }
        let (node, number, since) = (active.node, active.number, active.since);
        match self.follow(active, ended, emitted) {
            Ok(Some(completed)) => emitted.push(Emitted::Event(completed.into())),
            Ok(None) => {}
            Err(failure) => self.failed(node, number, since.elapsed(), failure, emitted),
        }
        Ok(())
    }

    /// What comes after a stage: the gate (`None`), or the end.
    fn follow(
        &mut self,
        active: Active,
        ended: Ended,
        emitted: &mut Vec<Emitted>,
    ) -> Result<Option<NodeCompleted>, Failure> {
        let pipe = Arc::clone(&self.pipe);
        let node = pipe.node(active.node);
        let is_decided =
            matches!(active.stage, Stage::Gate { .. }) && !matches!(active.cause, Some(Cause::Asked(_)));
        if is_decided && node.ai().is_some() {
            // Those of an agent are kept until then: a resume may look at the gate again.
            self.remove_outputs(node, active.number);
        }
        match active.stage {
            // Agents have their own way.
            Stage::Agent(_) => Ok(None),
            Stage::Script => {
                let outputs = self.take_outputs(&Self::output_file(node, active.number));
                let not_started = |error: &io::Error| match working_directory(&self.places.workspace, node) {
                    Ok(cwd) => verdict::of_spawn(error, &cwd, &self.places.shell),
                    Err(failure) => failure,
                };
                let limit = self.places.output_limit;
                if let Some(failure) = verdict::of_process(&ended, active.cause, limit, not_started) {
                    return Err(failure);
                }
                let completed = self.completed(node, active.number, active.since, &ended, outputs?);
                match node.gate() {
                    Some(_) => self.begin_gate(active, completed, emitted).map(|()| None),
                    None => Ok(Some(completed)),
                }
            }
            Stage::Gate { completed } if active.cause.is_none() && ended.status.code() == Some(ASKS) => {
                self.ask(node, active.node, *completed, &ended, emitted)?;
                Ok(None)
            }
            Stage::Gate { mut completed } => {
                let not_started = |error: &io::Error| {
                    not_started(&self.places.volume, gates::gate_name(node), &self.places.shell, error)
                };
                if let Some(mut failure) = verdict::of_process(&ended, active.cause, u64::MAX, not_started) {
                    if failure.kind == ErrorKind::Crash {
                        failure.kind = ErrorKind::GateFailed;
                        if failure.message.trim().is_empty() {
                            failure.message = ended.stdout.tail_text();
                        }
                    }
                    failure.usage = completed.usage.map(Box::new);
                    return Err(failure);
                }
                let stdout = ended.stdout.tail_text();
                let passed = GatePassed {
                    node_id: node.id.clone(),
                    gate: gates::gate_name(node).into(),
                    method: GateMethod::Hook,
                    stdout: (!stdout.is_empty()).then_some(stdout),
                    by: None,
                    comment: None,
                };
                emitted.push(Emitted::Event(passed.into()));
                completed.duration_ms = milliseconds(active.since.elapsed());
                Ok(Some(*completed))
            }
        }
    }

    /// What a script gave; nearly all give nothing.
    fn take_outputs(&mut self, name: &str) -> Result<Option<Outputs>, Failure> {
        if !self.given.may_have(name) {
            return Ok(None);
        }
        let outputs = take_outputs(&self.nodes, name, self.mask().map(|mask| &**mask));
        self.given.forget(name);
        outputs
    }

    fn completed(
        &self,
        node: &Node,
        attempt: u32,
        since: Instant,
        ended: &Ended,
        outputs: Option<Outputs>,
    ) -> NodeCompleted {
        let Captured { bytes, sha256, .. } = ended.stdout;
        NodeCompleted {
            node_id: node.id.clone(),
            attempt,
            output_path: (bytes > 0).then(|| format!("{}/nodes/{}.out", self.places.run_dir_name, node.id)),
            output_bytes: bytes,
            output_sha256: Some(Digest::from_bytes(sha256)),
            duration_ms: milliseconds(since.elapsed()),
            exit_code: ended.status.code(),
            outputs,
            usage: None,
            denied_tools: None,
        }
    }

    /// Ends what has had its time.
    fn enforce_deadlines(&mut self) {
        let now = Instant::now();
        for (token, active) in &mut self.active {
            if active.stop_at.is_some_and(|at| now >= at) {
                active.stop_at = None;
                self.supervisor.end(*token, End::Interrupt);
            }
            // What it left behind is ended in any case, and not in its time.
            let is_over = self.supervisor.has_exited(*token);
            if active.cause.is_none() && !is_over && now >= active.due(&self.pipe) {
                let (cause, how) = match active.stage {
                    Stage::Script => (Cause::Timeout(active.limit), End::Gently),
                    Stage::Agent(_) => (active.agent_cause(&self.pipe, now), End::Interrupt),
                    Stage::Gate { .. } => (Cause::GateTimeout(GATE_TIMEOUT), End::Gently),
                };
                active.cause = Some(cause);
                self.supervisor.end(*token, how);
            }
        }
    }

    fn end_each(&mut self, why: EndReason, how: End) {
        for (token, active) in &mut self.active {
            active.cause.get_or_insert(Cause::Asked(why));
            let how = match active.stage {
                // An agent that is interrupted tells what it used.
                Stage::Agent(_) if how == End::Gently => End::Interrupt,
                _ => how,
            };
            self.supervisor.end(*token, how);
        }
        for (active, _) in &mut self.due {
            active.cause.get_or_insert(Cause::Asked(why));
        }
        self.end_pending(why);
    }
}

fn not_removed(path: &std::path::Path, error: &io::Error) -> Failure {
    let message = format!("cannot remove the capture `{}` of the attempt before: {error}", path.display());
    Failure::new(ErrorKind::SpawnFailed, message)
}
