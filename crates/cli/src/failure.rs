//! What went wrong, as people see it and as an exit code.

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use omne_process::Signal;
use omne_runner::{Class, RunError, VolumeError};

use crate::{render, wire::Context};

/// The exit codes of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The run was aborted, or a check found differences.
    Aborted = 1,
    /// What was asked for is wrong; nothing was written.
    Input = 2,
    /// There is no such run, pipe or volume.
    NotFound = 3,
    /// Another process owns the run.
    Owned = 4,
    /// The log is damaged.
    Damaged = 5,
    /// The run waits for a decision.
    Parked = 6,
    /// The program of an agent is missing.
    Missing = 7,
    /// A write failed; what is on disk is valid.
    Write = 8,
    /// SIGINT ended it before a run began.
    Interrupted = 130,
    /// So did SIGTERM.
    Terminated = 143,
}

/// The exit code of a program that a signal ended, as shells have it.
pub(crate) fn stopped_by(signal: Signal) -> ExitCode {
    match signal {
        Signal::Terminate => ExitCode::from(143),
        Signal::Interrupt | Signal::Message | Signal::Reload => ExitCode::from(130),
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
    help: Option<String>,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into(), help: None }
    }

    pub(crate) fn message(exit: Exit, message: impl Into<String>) -> Self {
        Self::new(exit, anyhow::Error::msg(message.into()))
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The error and its causes, indented.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for cause in self.error.chain() {
            let _ = writeln!(text, "  {}", render::visible(&cause.to_string()).replace('\n', "\n  "));
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "  help: {}", render::visible(help));
        }
        text
    }

    /// What to do where nobody has said anything better.
    fn usual_help(&self) -> &'static str {
        use std::io::ErrorKind;
        let kind = |error: &std::io::Error| match error.kind() {
            ErrorKind::NotFound => Some("is the path right? relative ones begin at the current directory"),
            ErrorKind::PermissionDenied => Some("look at its permissions and its owner"),
            ErrorKind::IsADirectory => Some("name a file in it"),
            ErrorKind::NotADirectory => Some("a part of the path is a file"),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some("free some disk space, then try again"),
            _ => None,
        };
        let mut causes = self.error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
        causes.find_map(kind).unwrap_or("`omne --help` and `omne COMMAND --help` tell what can be asked for")
    }

    /// Prints the error, its causes and what to do.
    pub(crate) fn report(self, context: &Context) -> ExitCode {
        let is_closed_pipe = self.error.chain().any(|cause| {
            cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
        });
        if is_closed_pipe {
            // Whoever read the output has seen enough.
            return ExitCode::SUCCESS;
        }
        let paint = context.paint_errors();
        let mut text = format!("{}: {}", paint.red("error"), render::visible(&self.error.to_string()));
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            let cause = render::visible(cause.trim_end()).replace('\n', "\n    ");
            let _ = write!(text, "\n  caused by: {cause}");
        }
        let help = self.help.as_deref().unwrap_or_else(|| self.usual_help());
        let _ = write!(text, "\n{}: {}", paint.green("help"), render::visible(help));
        // Nobody is left to tell if this fails.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
        self.exit.into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Write, anyhow::Error::new(error).context("cannot write the output"))
    }
}

impl From<VolumeError> for Failure {
    fn from(error: VolumeError) -> Self {
        RunError::from(error).into()
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let exit = match error.class() {
            Class::Input => Exit::Input,
            Class::NotFound => Exit::NotFound,
            Class::Owned => Exit::Owned,
            Class::Damaged => Exit::Damaged,
            Class::Missing => Exit::Missing,
            Class::Write => Exit::Write,
            Class::Interrupted(signal) => match signal {
                Signal::Terminate => Exit::Terminated,
                Signal::Interrupt | Signal::Message | Signal::Reload => Exit::Interrupted,
            },
            Class::System => Exit::Aborted,
        };
        let help = advice(&error);
        Self { exit, help, error: error.into() }
    }
}

fn advice(error: &RunError) -> Option<String> {
    use omne_runner::WorkspaceError;
    Some(match error {
        RunError::Volume(VolumeError::NoVolume { .. }) => {
            "`omne init` makes one here; `omne run FILE` makes one by itself".to_owned()
        }
        RunError::Volume(VolumeError::NotAVolume { .. }) => "`omne init` makes one".to_owned(),
        RunError::Volume(VolumeError::NoRun(_) | VolumeError::NoSuch(_)) => {
            "`omne status` lists the runs of this volume".to_owned()
        }
        RunError::Volume(VolumeError::Ambiguous { .. }) => "give more of the id".to_owned(),
        RunError::Volume(VolumeError::NoPipe { known, .. }) if known.is_empty() => {
            "the volume has no pipes; give the path of a file, or make one with `omne init`".to_owned()
        }
        RunError::Volume(VolumeError::NoPipe { known, .. }) => format!("there are: {}", known.join(", ")),
        RunError::Workspace(WorkspaceError::Impossible(_)) => {
            "use `--workspace root` to run in place".to_owned()
        }
        RunError::Workspace(WorkspaceError::Git(_) | WorkspaceError::Run(_)) => {
            "mend the repository, or use `--workspace root` to run in place".to_owned()
        }
        RunError::Workspace(WorkspaceError::NotText(_)) => "rename the directory".to_owned(),
        RunError::Workspace(WorkspaceError::Gone(_)) => {
            "start anew with `omne run`, or name the first nodes with `--from` so that nothing of it is kept"
                .to_owned()
        }
        RunError::Open(omne_events::OpenError::Owned { .. }) => {
            "wait for it, or end it with `omne cancel`".to_owned()
        }
        RunError::Write(omne_events::WriteError::Changed { .. }) => {
            "something that runs here reaches into `.omne/var`: keep it out (`git clean -e .omne`), and look at what is \
             left with `omne verify`"
                .to_owned()
        }
        RunError::Open(_) | RunError::Write(_) | RunError::Capture(_) | RunError::Io { .. } => {
            "free some disk space or mend the permissions, then go on with `omne resume`, or begin anew where nothing was \
             recorded"
                .to_owned()
        }
        RunError::Damaged { .. } => "`omne verify` tells everything that is wrong with it".to_owned(),
        RunError::Plan(omne_replay::PlanError::UnknownNode(_)) => "`omne graph` shows the nodes".to_owned(),
        RunError::Plan(omne_replay::PlanError::NoDefinition)
        | RunError::NeverBegan(_)
        | RunError::LogGone { .. } => {
            "start anew with `omne run`".to_owned()
        }
        RunError::Settings(_) => {
            "`omne.toml` may set jobs, durability, ask_timeout, anchor, agent, agents, secrets and limits".to_owned()
        }
        RunError::AgentMissing { agent, install, .. } if install.is_empty() => {
            format!(
                "install it, or say where it is: `[agents.{agent}]` with `program = \"…\"` in `omne.toml`"
            )
        }
        RunError::AgentMissing { agent, install, .. } => {
            format!("install it with `{install}`, or say where it is: `[agents.{agent}]` in `omne.toml`")
        }
        RunError::Agent(omne_agent::ConfigError::Unknown { name, .. }) => {
            format!("describe it in `omne.toml`: `[agents.{name}]` with `program`, `args` and `stream`")
        }
        RunError::Inputs(_) => {
            "give new inputs a default in the pipe, or start anew with `omne run`; nothing was written".to_owned()
        }
        RunError::Secrets(_) => {
            "`[secrets]` in `.omne/omne.toml` says where each value comes from; nothing was written".to_owned()
        }
        RunError::SecretInSight { .. } => {
            "the log carries it as it is: take the value out, and let the node that needs it name the secret in \
             `secrets`; nothing was written"
                .to_owned()
        }
        RunError::Command { help, .. } => help.clone(),
        RunError::Decision(_) => "`omne status RUN` shows which nodes wait, and for what".to_owned(),
        RunError::Hooks(_) => {
            "`omne hooks check` tells what is wrong; `omne schema hooks` what hooks are asked".to_owned()
        }
        RunError::Agent(_)
        | RunError::Recording(_)
        | RunError::Interrupted(_)
        | RunError::Volume(VolumeError::Read { .. }) => return None,
        RunError::System(..) => "`omne doctor` looks for what keeps runs from running".to_owned(),
    })
}
