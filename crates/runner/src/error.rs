//! Why a run could not be begun or brought to its end, and what class of trouble that is.

use std::io;

use omne_events::{OpenError, WriteError};
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
    /// There is no plan for a resume.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The pipe needs what this executor has not.
    #[error("node `{node}` is a {kind} node; this version runs bash nodes only")]
    Unsupported {
        /// The node.
        node: String,
        /// Its kind.
        kind: &'static str,
    },
    /// A directory can't be made.
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
    /// The class, which gives the exit code.
    pub fn class(&self) -> Class {
        match self {
            RunError::Workspace(_)
            | RunError::Settings(_)
            | RunError::Plan(_)
            | RunError::Unsupported { .. } => Class::Input,
            RunError::Volume(error) => error.class(),
            RunError::Open(OpenError::Owned { .. }) => Class::Owned,
            RunError::Open(OpenError::Io { .. })
            | RunError::Write(_)
            | RunError::Capture(_)
            | RunError::Io { .. } => Class::Write,
            RunError::Damaged { .. } => Class::Damaged,
            RunError::System(..) => Class::System,
        }
    }
}
