//! From the log of a run that ended early to the same run under way again.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use omne_events::{
    Chain, IdGen, LockedLog, LogReader, LogWriter, NodeId, OpenError, PipeResumed, PlanAction, PlanStep,
    ReadError, Tail, Timestamp,
};
use omne_exec::run_mark;
use omne_hooks::Config;
use omne_pipe::{Node, Pipe, Values};
use omne_process::{Interruptible, Started, end_marked};
use omne_replay::{
    FoldError, NodePhase, PlanError, Report, Request, RunPhase, RunState, Terms, plan, verify,
};

use crate::{
    Beginning, Options, RunDir, RunError, Volume,
    agents::{Programs, Roster, commands},
    begin::{host, host_name, interruptible, jobs, make_directories, recorded},
    cancel::forget_request,
    decision::take_answers,
    files, secrets, workspace,
};

/// How long what a dead runner left has to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// How a run would go on: what its log says, and what would be done.
pub struct Resumption {
    volume: Volume,
    run: RunDir,
    state: RunState,
    pipe: Arc<Pipe>,
    /// As the pipe declares them.
    inputs: Values,
    changed: bool,
    /// What happens to each node.
    pub plan: Vec<PlanStep>,
}

/// The same with the log in hand: nobody else can go on meanwhile.
pub struct OwnedResumption {
    /// What would be done.
    pub resumption: Resumption,
    log: OwnedLog,
}

/// A log that this process owns and has checked by every rule, with the place where it goes on.
pub(crate) struct OwnedLog {
    log: LockedLog,
    chain: Chain,
    length: u64,
    tail: Tail,
}

impl OwnedLog {
    /// Owns the log of a run. Nobody goes on with a log that was changed.
    pub(crate) fn take(run: &RunDir) -> Result<(Self, RunState), RunError> {
        run.has_begun()?;
        let log = LockedLog::open(&run.log())?;
        let report = check(run, log.reader())?;
        let owned = Self { log, chain: report.chain, length: report.length, tail: report.tail };
        Ok((owned, report.state))
    }

    /// A writer that goes on after the last whole line, and where a torn one after it was moved.
    pub(crate) fn go_on(self, ids: Box<dyn IdGen>) -> Result<(LogWriter, Option<PathBuf>), OpenError> {
        LogWriter::go_on(self.log, self.chain, self.length, self.tail, ids)
    }
}

/// Plans how to go on, without owning the log.
pub fn look_at(
    volume: &Volume,
    run: RunDir,
    from: Vec<String>,
    pipe: Option<Arc<Pipe>>,
) -> Result<Resumption, RunError> {
    run.has_begun()?;
    Config::load(&volume.place("hooks.toml"))?;
    match LockedLog::owner(&run.log()) {
        Ok(Some(owner)) => return Err(OpenError::Owned { path: run.log(), pid: owner.pid }.into()),
        Ok(None) => {}
        Err(source) => return Err(OpenError::Io { verb: "open", path: run.log(), source }.into()),
    }
    let report = check(&run, LogReader::open(&run.log()))?;
    Resumption::new(volume, run, report.state, from, pipe)
}

/// The log by every rule. Nobody goes on with one that was changed.
fn check(run: &RunDir, reader: Result<LogReader<'_>, ReadError>) -> Result<Report, RunError> {
    let damaged = |source| RunError::of_log(&run.id, source);
    let read = || Ok(verify(&mut reader?, Terms::default())?);
    let mut report = read().map_err(damaged)?;
    report.has_to_be_of(&run.id);
    if let Some(finding) = report.damage() {
        let (line, message) = (finding.line, finding.message.clone());
        return Err(damaged(FoldError::Finding { line, message }));
    }
    if report.lines == 0 {
        return Err(damaged(FoldError::Empty));
    }
    Ok(report)
}

/// Owns the log of a run and plans how to go on. Nothing is changed yet.
pub fn take_up(
    volume: &Volume,
    run: RunDir,
    from: Vec<String>,
    pipe: Option<Arc<Pipe>>,
) -> Result<OwnedResumption, RunError> {
    let (log, state) = OwnedLog::take(&run)?;
    // What was left for a runner that died is for nobody; from here on messages are for this one.
    forget_request(&run);
    take_answers(&run);
    Ok(OwnedResumption { resumption: Resumption::new(volume, run, state, from, pipe)?, log })
}

/// Ends what the dead runner of a run left; how many there were. A signal ends this process meanwhile and as long as what is
/// returned lives, and whoever comes next ends the rest.
pub(crate) fn end_left_overs(run: &RunDir, state: &RunState) -> Result<(usize, Interruptible), RunError> {
    let interruptible = interruptible()?;
    Ok((end_marked(&run_mark(&run.id), &processes(state), GRACE), interruptible))
}

/// The processes that a log tells of and whose end it does not tell; on another machine their numbers are others'.
fn processes(state: &RunState) -> Vec<Started> {
    if state.host().is_none_or(|host| host.name != host_name()) {
        return Vec::new();
    }
    let started = |(pid, at): (u32, Timestamp)| {
        let at = u64::try_from(at.as_millisecond()).unwrap_or_default();
        Started::new(pid, Duration::from_millis(at))
    };
    state.processes().filter_map(started).collect()
}

/// What the workspace holds for what is not run again.
fn held(state: &RunState, plan: &[PlanStep]) -> workspace::Held {
    let keeps = |step: &PlanStep| {
        let node = state.find(step.node_id.as_str());
        let completed = node.is_some_and(|node| state.node(node).phase == NodePhase::Completed);
        // A loop that goes on has worked there, too.
        (step.action == PlanAction::Keep && completed) || step.action == PlanAction::Continue
    };
    if plan.iter().any(keeps) { workspace::Held::Work } else { workspace::Held::Nothing }
}

/// The inputs of a run as a changed pipe declares them: those that it still has, and defaults.
fn inputs_for(pipe: &Pipe, state: &RunState) -> Result<Values, RunError> {
    let is_declared = |key: &str| pipe.inputs().iter().any(|input| input.key == key);
    let given = state.inputs().iter().filter(|(key, _)| is_declared(key));
    let given: Vec<_> = given.map(|(key, value)| (key.to_string(), value.clone())).collect();
    omne_pipe::resolve(pipe.inputs(), &given).map_err(RunError::Inputs)
}

impl Resumption {
    fn new(
        volume: &Volume,
        run: RunDir,
        state: RunState,
        from: Vec<String>,
        pipe: Option<Arc<Pipe>>,
    ) -> Result<Self, RunError> {
        let commands = match pipe.as_ref().or(state.pipe()) {
            Some(pipe) => commands(pipe, volume),
            None => return Err(PlanError::NoDefinition.into()),
        };
        let inputs = match &pipe {
            Some(pipe) => inputs_for(pipe, &state)?,
            None => state.inputs().clone(),
        };
        let request = Request { from, pipe: pipe.as_deref(), inputs: Some(&inputs), commands };
        let plan = plan(&state, &request)?;
        let differs = |pipe: &Arc<Pipe>| state.definition_sha256() != Some(pipe.definition_sha256());
        let changed = pipe.as_ref().is_some_and(differs);
        let pipe = pipe.or_else(|| state.pipe().cloned()).ok_or(PlanError::NoDefinition)?;
        Ok(Self { volume: volume.clone(), run, state, pipe, inputs, changed, plan })
    }

    /// Whether the workspace is there, or nothing in it would be missed.
    ///
    /// # Errors
    /// When it is gone, and what nodes that are kept made in it with it.
    pub fn check_workspace(&self) -> Result<(), RunError> {
        let Some(recorded) = self.state.workspace() else { return Ok(()) };
        let held = held(&self.state, &self.plan);
        workspace::has_what_it_held(&self.volume, &self.run.id, recorded, held)?;
        Ok(())
    }

    /// Whether the run completed and nothing is to be run again.
    pub fn is_idle(&self) -> bool {
        self.state.phase() == RunPhase::Completed && !self.has_cause()
    }

    /// Whether a node gives a completed run a reason to be resumed. One that says `always` does not, nor does one that was
    /// skipped and would be decided anew after it; they go along with others.
    fn has_cause(&self) -> bool {
        let (pipe, plan) = (&self.pipe, &self.plan);
        let was_skipped = |id: &str| {
            self.state.find(id).is_some_and(|node| self.state.node(node).phase == NodePhase::Skipped)
        };
        let mut goes_along = vec![false; plan.len()];
        for &node in pipe.graph().order() {
            let step = &plan[node.place()];
            if step.action == PlanAction::Keep {
                continue;
            }
            let mut before = pipe.graph().dependencies(node).iter().filter(|dependency| {
                let step = &plan[dependency.place()];
                step.action != PlanAction::Keep
            });
            let is_first = pipe.node(node).always && step.why.contains("always");
            let follows = !self.changed
                && was_skipped(step.node_id.as_str())
                && step.why.contains("runs again")
                && before.all(|dependency| goes_along[dependency.place()]);
            goes_along[node.place()] = is_first || follows;
            if !goes_along[node.place()] {
                return true;
            }
        }
        false
    }

    /// The run's state as its log tells it.
    pub fn state(&self) -> &RunState {
        &self.state
    }
}

impl OwnedResumption {
    /// Ends what the dead runner left, and opens the log for going on.
    ///
    /// # Errors
    /// When the workspace or the log can't be had.
    pub fn begin(self, options: &Options, ids: Box<dyn IdGen>) -> Result<Beginning, RunError> {
        let OwnedResumption { resumption, log } = self;
        let Resumption { volume, run, state, pipe, inputs, changed, plan } = resumption;
        let kept: HashSet<&NodeId> =
            plan.iter().filter(|step| step.action == PlanAction::Keep).map(|step| &step.node_id).collect();
        let runs = |node: &Node| !kept.contains(&node.id);
        let (jobs, few_files) = files::room(jobs(options, &pipe), pipe.nodes().len())?;
        let roster = Roster::new(&pipe, &volume, options, Programs::Needed, &runs)?;
        let hooks = Config::load(&volume.place("hooks.toml"))?;
        let secrets = secrets::read(&pipe, &volume, options, &|_| true)?;
        let none = omne_pipe::Values::default();
        secrets::check_sight(secrets.as_deref(), changed.then_some(&*pipe), &none, &volume)?;
        let mut warnings = roster.warnings(&pipe);
        warnings.extend(few_files);
        let (left, interruptible) = end_left_overs(&run, &state)?;
        if left > 0 {
            warnings.push(format!("ended {left} process(es) that an earlier runner had left"));
        }
        let held = held(&state, &plan);
        let workspace = match state.workspace() {
            Some(recorded) => {
                workspace::reopen(&volume, &run.id, recorded, held, &options.settings.withheld())?
            }
            None => volume.root().to_owned(),
        };
        make_directories(&run)?;
        let (log, torn) = log.go_on(ids)?;
        if let Some(torn) = torn {
            warnings.push(format!("the log ended in a torn line, now in `{}`", torn.display()));
        }
        let resumed = PipeResumed {
            resume: state.resumes() + 1,
            definition: changed.then(|| pipe.definition_text()),
            definition_sha256: changed.then(|| pipe.definition_sha256()),
            inputs: (inputs != *state.inputs()).then(|| recorded(&inputs)),
            plan,
            host: Some(host(options)),
            by: Some(options.by.clone()),
        };
        let first = resumed.into();
        Ok(Beginning {
            volume,
            run,
            pipe,
            inputs,
            workspace,
            log,
            state,
            first,
            jobs,
            roster,
            hooks,
            secrets,
            recording: None,
            interruptible: Some(interruptible),
            warnings,
        })
    }
}
