//! From a pipe, or a log, to a run under way.

use std::{
    cell::RefCell,
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use omne_events::{
    Clock, Event, Host, IdGen, Input, LockedLog, LogWriter, PipeStarted, RandomIds, WorkspaceMode,
    WriteError, read_plain,
};
use omne_exec::{Funds, LocalExecutor, Places, Recording, Secrets};
use omne_hooks::{Config, Host as Hooks, Place};
use omne_pipe::{Body, Node, Pipe, Values, input_variable};
use omne_process::{BaseEnvironment, Directory, Interruptible, find_program, without_signals};
use omne_replay::RunState;

use crate::{
    Anchor, Observer, Outcome, RunDir, RunError, Settings, Volume, WorkspaceError,
    agents::{Programs, Roster},
    anchor,
    cancel::requested_by,
    decision::take_answers,
    files, remove_run,
    run::Run,
    secrets, workspace,
};

/// What a run needs to know besides its pipe.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most nodes at once; else the pipe's, the settings', or one a processor.
    pub jobs: Option<usize>,
    /// Whether the first failure stops everything.
    pub fail_fast: bool,
    /// The most that the run's agents may cost, in US dollars.
    pub budget_usd: Option<f64>,
    /// The settings of the volume.
    pub settings: Settings,
    /// The environment of the process that asked.
    pub environment: Vec<(OsString, OsString)>,
    /// Who asked.
    pub by: String,
    /// This program's own file.
    pub omne: PathBuf,
    /// The version of this program.
    pub omne_version: &'static str,
}

/// A run to be.
pub struct NewRun {
    /// Where.
    pub volume: Volume,
    /// Which pipe.
    pub pipe: Arc<Pipe>,
    /// Its inputs.
    pub inputs: Values,
    /// The workspace asked for.
    pub workspace: Option<WorkspaceMode>,
    /// What is played instead of agents, and perhaps of bash nodes.
    pub recording: Option<Recording>,
    /// Where the run's directory is made, if not where the volume has its runs.
    pub runs: Option<PathBuf>,
}

/// A run whose log is open and whose first events are about to be written.
pub struct Beginning {
    pub(crate) volume: Volume,
    pub(crate) run: RunDir,
    pub(crate) pipe: Arc<Pipe>,
    pub(crate) inputs: Values,
    pub(crate) workspace: PathBuf,
    pub(crate) log: LogWriter,
    pub(crate) state: RunState,
    pub(crate) first: Event,
    pub(crate) jobs: usize,
    pub(crate) roster: Roster,
    pub(crate) hooks: Config,
    pub(crate) secrets: Option<Arc<Secrets>>,
    pub(crate) recording: Option<Recording>,
    /// Lets signals end this process until somebody takes care of them.
    pub(crate) interruptible: Option<Interruptible>,
    /// What people should know.
    pub warnings: Vec<String>,
}

impl Beginning {
    /// The run's id and directory.
    pub fn run(&self) -> &RunDir {
        &self.run
    }
}

/// Lets signals end this process until somebody takes care of them.
pub(crate) fn interruptible() -> Result<Interruptible, RunError> {
    Interruptible::new().map_err(|error| RunError::System("cannot take care of signals".into(), Some(error)))
}

/// Makes the directory, the workspace and the log of a new run.
pub fn begin(
    new: NewRun,
    options: &Options,
    clock: &dyn Clock,
    mut ids: Box<dyn IdGen>,
) -> Result<Beginning, RunError> {
    let NewRun { volume, pipe, inputs, workspace, recording, runs } = new;
    let interruptible = interruptible()?;
    let (jobs, few_files) = files::room(jobs(options, &pipe), pipe.nodes().len())?;
    let programs = if recording.is_some() { Programs::Played } else { Programs::Needed };
    let roster = Roster::new(&pipe, &volume, options, programs, &|_| true)?;
    // A test case is what was recorded, whatever hooks would say of it now.
    let hooks = if runs.is_some() { Config::default() } else { Config::load(&volume.place("hooks.toml"))? };
    if volume.root().to_str().is_none() {
        // The log is text, and it tells where nodes ran.
        return Err(WorkspaceError::NotText(volume.root().to_owned()).into());
    }
    let choice = workspace::choose(&volume, workspace.or(pipe.workspace()))?;
    // What is played needs none: it shows nothing that was not shown before.
    let runs_for_real = |node: &Node| match (&recording, &node.body) {
        (None, _) => true,
        (Some(recording), Body::Bash(_)) => !recording.plays_bash(&node.id),
        (Some(_), Body::Prompt(_) | Body::Command(_) | Body::Loop(_)) => false,
    };
    let secrets = secrets::read(&pipe, &volume, options, &runs_for_real)?;
    secrets::check_sight(secrets.as_deref(), Some(&pipe), &inputs, &volume)?;
    let id = ids.run_id(pipe.name(), clock.now());
    let run = match runs {
        Some(runs) => RunDir { path: runs.join(id.as_str()), id: id.clone() },
        None => volume.run_dir(&id),
    };
    // In a volume's first run all directories from its root on may be new.
    let new_entries = if volume.place("var/runs").exists() { 2 } else { 5 };
    let made =
        make_directories(&run).and_then(|()| Ok(choice.make(&volume, &id, &options.settings.withheld())?));
    let opened = made.and_then(|place| Ok((place, LockedLog::create(&run.log())?)));
    let (place, log) = opened.inspect_err(|_| {
        // Nothing was recorded, so nothing should be left; the reason is the error that is told.
        let _ = remove_run(&volume, &run);
    })?;
    let log = LogWriter::begin(log, id, ids).below_new(new_entries);
    let started = PipeStarted {
        pipe: pipe.name().as_str().into(),
        version: Some(pipe.version()),
        definition: Some(pipe.definition_text()),
        definition_sha256: Some(pipe.definition_sha256()),
        inputs: recorded(&inputs),
        jobs: Some(u32::try_from(jobs).unwrap_or(u32::MAX)),
        workspace: Some(place.clone()),
        host: Some(host(options)),
        by: Some(options.by.clone()),
        distro_version: None,
    };
    let mut warnings: Vec<String> = choice.warning.into_iter().chain(few_files).collect();
    warnings.extend(roster.warnings(&pipe));
    Ok(Beginning {
        volume,
        run,
        pipe,
        inputs,
        workspace: place.path.into(),
        roster,
        hooks,
        secrets,
        recording,
        interruptible: Some(interruptible),
        log,
        state: RunState::new(),
        first: started.into(),
        jobs,
        warnings,
    })
}

/// Runs what was begun to its end. Of a new run whose first event can't be recorded nothing is left.
pub fn execute(
    beginning: Beginning,
    options: &Options,
    clock: &dyn Clock,
    observer: &mut dyn Observer,
) -> Result<(Outcome, RunState), RunError> {
    let is_new = matches!(beginning.first, Event::PipeStarted(_));
    let (volume, run) = (beginning.volume.clone(), beginning.run.clone());
    execute_recorded(beginning, options, clock, observer).inspect_err(|error| {
        // What somebody else removed or emptied had events, and what its nodes made is left.
        let is_ours = !matches!(error, RunError::Write(WriteError::Changed { .. }));
        let has_no_event = || read_plain(&run.log()).is_ok_and(|log| !log.contains(&b'\n'));
        if is_new && is_ours && has_no_event() {
            // An empty log could not be resumed; the reason is the error that is told.
            let _ = remove_run(&volume, &run);
        }
    })
}

fn execute_recorded(
    beginning: Beginning,
    options: &Options,
    clock: &dyn Clock,
    observer: &mut dyn Observer,
) -> Result<(Outcome, RunState), RunError> {
    let Beginning { volume, run, pipe, inputs, workspace, mut log, mut state, first, jobs, .. } = beginning;
    let hooks = beginning.hooks;
    let secrets = beginning.secrets;
    let (roster, recording, warnings) = (beginning.roster, beginning.recording, beginning.warnings);
    let recorded =
        recording.as_ref().map(|recording| recording.placeholders_of_prompts().clone()).unwrap_or_default();
    let unseen = if hooks.looks_at_tools() { roster.without_tool_hooks(&pipe) } else { Vec::new() };
    for warning in warnings.into_iter().chain(unseen) {
        observer.warn(&warning);
    }
    let path = options.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let shell = find_program("sh", path.as_deref().unwrap_or("/bin:/usr/bin".as_ref()));
    let shell = shell.unwrap_or_else(|| PathBuf::from("/bin/sh"));
    let places = Places {
        run_dir_name: format!(".omne/var/runs/{}", run.id),
        volume: volume.root().to_owned(),
        workspace,
        run_dir: run.path.clone(),
        shell,
        output_limit: options.settings.limits.output_bytes,
        omne: options.omne.clone(),
    };
    let environment = environment(options, &pipe, &inputs, &run, &places);
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| RunError::System(what, Some(error))
    };
    let funds = Funds { budget_usd: options.budget_usd, spent_usd: state.usage().cost_usd.unwrap_or(0.0) };
    let mut ids = RandomIds;
    let sessions = Box::new(move || ids.session_id());
    let directory = Directory::open(&run.path).map_err(failed("cannot open the run's directory"))?;
    let host = {
        let place = Place {
            volume: volume.root().to_owned(),
            path: path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()),
            environment: Arc::new(BaseEnvironment::new(environment.clone())),
            run_id: run.id.to_string(),
            log: Some((directory, "hooks.log")),
            mask: secrets.as_ref().map(|secrets| Arc::clone(secrets.mask())),
        };
        Some(Hooks::new(hooks, place))
    };
    let executor =
        LocalExecutor::new(Arc::clone(&pipe), run.id.clone(), places.clone(), environment, sessions);
    let executor = executor.map_err(failed("cannot take care of child processes"))?;
    drop(beginning.interruptible);
    let mut executor = executor.with_funds(funds).playing(recording).keeping(secrets.clone()).asking(host);
    let waker = executor.waker().map_err(failed("cannot make a wake-up"))?;
    let durability = options.settings.durability;
    without_signals(|| {
        log.sync_in_background(durability, &places.workspace, Box::new(move || waker.wake()))
    })?;

    state.expect(pipe);
    let cancelled_by = || requested_by(&run);
    let answers = || take_answers(&run);
    let hooks = || {
        Config::load(&volume.place("hooks.toml")).map_err(|error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{}", cause.trim_end())
        })
    };
    let going = Run {
        log,
        state,
        execute: &mut executor,
        observer: &mut *observer,
        clock,
        jobs,
        fail_fast: options.fail_fast,
        durability,
        cancelled_by: &cancelled_by,
        answers: &answers,
        hooks: &hooks,
        ask_timeout: options.settings.ask_timeout,
        checked: RefCell::default(),
        roster,
        recorded,
        secrets,
    };
    let ended = going.drive(first)?;
    // A run that waits has not finished.
    if options.settings.anchor == Some(Anchor::Git)
        && ended.0 != Outcome::Parked
        && let Err(why) = anchor::write(&volume, &run, &options.settings.withheld())
    {
        observer.warn(&format!("the head of the log is not anchored: {why}"));
    }
    Ok(ended)
}

pub(crate) fn make_directories(run: &RunDir) -> Result<(), RunError> {
    let nodes = run.path.join("nodes");
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&nodes);
    made.map_err(|source| RunError::Io { verb: "make", path: nodes, source })
}

pub(crate) fn jobs(options: &Options, pipe: &Pipe) -> usize {
    let from_files = pipe.jobs().or(options.settings.jobs).map(|jobs| jobs.get() as usize);
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    options.jobs.or(from_files).unwrap_or_else(processors).max(1)
}

/// Whether a run could begin, as far as that can be told without its agents' programs and secrets.
///
/// # Errors
/// What [`begin`] would tell.
pub fn rehearse(
    volume: &Volume,
    pipe: &Pipe,
    workspace: Option<WorkspaceMode>,
    options: &Options,
) -> Result<(), RunError> {
    Roster::new(pipe, volume, options, Programs::Played, &|_| true)?;
    Config::load(&volume.place("hooks.toml"))?;
    workspace::choose(volume, workspace.or(pipe.workspace()))?;
    Ok(())
}

/// Inputs as an event has them.
pub(crate) fn recorded(inputs: &Values) -> Vec<Input> {
    inputs.iter().map(|(key, value)| Input { key: key.clone(), value: value.clone() }).collect()
}

/// What this machine is called.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub(crate) fn host(options: &Options) -> Host {
    Host { name: host_name(), pid: std::process::id(), omne_version: options.omne_version.to_owned() }
}

/// What every process of the run finds in its environment.
fn environment(
    options: &Options,
    pipe: &Pipe,
    inputs: &Values,
    run: &RunDir,
    places: &Places,
) -> Vec<(OsString, OsString)> {
    // What an outer run told its node is not for the nodes of this one.
    let outer = |name: &OsString| {
        let name = name.as_encoded_bytes();
        let ours: [&[u8]; 7] = [
            b"OMNE_INPUT_",
            b"OMNE_OUTPUT",
            b"OMNE_NODE_ID",
            b"OMNE_ATTEMPT",
            b"OMNE_GATE_NAME",
            b"OMNE_TOOL_",
            b"OMNE_HOOK",
        ];
        ours.iter().any(|prefix| name.starts_with(prefix)) || name == b"OMNE_ITERATION"
    };
    // Nor would git's variables lead a node in a worktree to that worktree's repository and index.
    let in_worktree = places.workspace != places.volume;
    let elsewhere =
        |name: &OsString| in_worktree && workspace::LOCAL_TO_A_REPOSITORY.iter().any(|local| name == local);
    let mut environment: Vec<(OsString, OsString)> = options
        .environment_without_secrets()
        .filter(|(name, _)| !outer(name) && !elsewhere(name))
        .cloned()
        .collect();
    environment.extend(pipe.env().iter().map(|(name, value)| (name.into(), value.into())));
    for (key, value) in inputs {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        environment.push((input_variable(key).into(), text.into()));
    }
    let path = |path: &Path| path.as_os_str().to_owned();
    environment.extend([
        ("OMNE_RUN_ID".into(), run.id.as_str().into()),
        ("OMNE_VOLUME_ROOT".into(), path(&places.volume)),
        ("OMNE_WORKTREE".into(), path(&places.workspace)),
        ("OMNE_RUN_DIR".into(), path(&places.run_dir)),
    ]);
    environment
}
