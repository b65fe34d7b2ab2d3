//! Why a run could not be begun or brought to its end, and what class of trouble that is.

use std::io;

use omne_events::{OpenError, ReadError, RunId, WriteError};
use omne_replay::{FoldError, PlanError};

use crate::{settings::SettingsError, volume::VolumeError, workspace::WorkspaceError};

/// Classes of trouble: each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What was asked for is wrong; nothing was written.
    Input,
    /// There is no such run, pipe or volume.
    NotFound,
    /// Another process owns the run.
    Owned,
    /// The log is damaged.
    Damaged,
    /// The program of an agent is missing.
    Missing,
    /// A signal ended it.
    Interrupted(omne_process::Signal),
    /// A write failed; what is on disk is valid.
    Write,
    /// The operating system refused something else.
    System,
}

/// Why a run could not be begun, or not brought to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The workspace can't be had.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The volume or the run can't be found.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log can't be owned.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log can't be written.
    #[error("the run stops here, because its log can not be written")]
    Write(#[from] WriteError),
    /// A capture can't be written.
    #[error("the run stops here, because the output of a node can not be written")]
    Capture(#[source] io::Error),
    /// The log is damaged.
    #[error("the log of `{run}` is damaged")]
    Damaged {
        /// The run.
        run: String,
        /// Where and how.
        source: FoldError,
    },
    /// Somebody has removed the log.
    #[error("the log of `{run}` is gone: there is no `{}`", path.display())]
    LogGone {
        /// The run.
        run: String,
        /// Where the log was.
        path: std::path::PathBuf,
    },
    /// Its runner came to its end before the first event.
    #[error("the run `{0}` never began: its runner ended before it could record anything")]
    NeverBegan(String),
    /// There is no plan for a resume.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An agent is not known, or can't be told what a node wants.
    #[error(transparent)]
    Agent(#[from] omne_agent::ConfigError),
    /// An agent's program is not installed.
    #[error("the agent `{agent}` is not installed: there is no program `{program}`")]
    AgentMissing {
        /// The agent.
        agent: smol_str::SmolStr,
        /// Its program.
        program: String,
        /// How it is installed, if that is known.
        install: String,
    },
    /// A command is not there or can't be used.
    #[error("the command `{name}` can not be used")]
    Command {
        /// The command.
        name: String,
        /// What to do.
        help: String,
    },
    /// Secrets can't be had.
    #[error("{}", crate::secrets::lines(.0))]
    Secrets(Vec<crate::SecretFault>),
    /// The inputs of the run are not those that a changed pipe needs.
    #[error("the inputs of the run do not fit the changed pipe: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Inputs(Vec<omne_pipe::InputError>),
    /// The log would have to carry a secret.
    #[error("the value of a secret stands in {}", places.join(" and in "))]
    SecretInSight {
        /// Where it stands.
        places: Vec<String>,
    },
    /// A signal ended it before anything was written.
    #[error("interrupted")]
    Interrupted(omne_process::Signal),
    /// The hooks are wrong.
    #[error(transparent)]
    Hooks(#[from] omne_hooks::ConfigError),
    /// An answer to a node is none.
    #[error(transparent)]
    Decision(#[from] crate::decision::DecisionError),
    /// A recording can't be read.
    #[error(transparent)]
    Recording(#[from] omne_exec::RecordingError),
    /// A directory can't be made, or a log not be read.
    #[error("cannot {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: std::path::PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Something that every system has is missing.
    #[error("{0}")]
    System(String, #[source] Option<io::Error>),
}

impl RunError {
    /// Why a log can't be folded: only what could be read can be damaged.
    pub(crate) fn of_log(run: &RunId, source: FoldError) -> Self {
        match source {
            FoldError::Read(ReadError::Open { path, source }) => Self::Io { verb: "open", path, source },
            FoldError::Read(ReadError::Read { path, source }) => Self::Io { verb: "read", path, source },
            source => Self::Damaged { run: run.to_string(), source },
        }
    }

    /// The class, which gives the exit code.
    pub fn class(&self) -> Class {
        match self {
            RunError::Workspace(_)
            | RunError::Settings(_)
            | RunError::Plan(_)
            | RunError::Agent(_)
            | RunError::Hooks(_)
            | RunError::Secrets(_)
            | RunError::SecretInSight { .. }
            | RunError::Inputs(_)
            | RunError::Command { .. } => Class::Input,
            RunError::Decision(crate::decision::DecisionError::NoNode(_)) => Class::NotFound,
            RunError::Decision(_) => Class::Input,
            RunError::AgentMissing { .. } => Class::Missing,
            RunError::Recording(_) | RunError::NeverBegan(_) | RunError::LogGone { .. } => Class::NotFound,
            RunError::Volume(error) => error.class(),
            RunError::Open(OpenError::Owned { .. }) => Class::Owned,
            RunError::Open(OpenError::Io { .. })
            | RunError::Write(_)
            | RunError::Capture(_)
            | RunError::Io { .. } => Class::Write,
            RunError::Damaged { .. } => Class::Damaged,
            RunError::Interrupted(signal) => Class::Interrupted(*signal),
            RunError::System(..) => Class::System,
        }
    }
}
