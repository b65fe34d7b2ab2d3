//! Drives runs: decides from the state what starts, hands it to the executor,
//! and writes what comes back into the log. Also where runs live on disk.

mod agents;
mod anchor;
mod begin;
mod cancel;
mod case;
mod decide;
mod decision;
mod error;
mod files;
mod outputs;
mod recorded;
mod resume;
mod run;
mod secrets;
mod settings;
#[cfg(test)]
mod sim;
mod volume;
mod workspace;

pub use agents::find as agent_program;
pub use anchor::anchored_head;
pub use begin::{Beginning, NewRun, Options, begin, execute, rehearse};
pub use cancel::{Cancelled, cancel};
pub use case::{Case, CaseError, Played};
pub use decision::{Answer, Decided, DecisionError, approves, decide};
pub use error::{Class, RunError};
pub use recorded::{recording, recording_of};
pub use resume::{OwnedResumption, Resumption, look_at, take_up};
pub use run::{Observer, Outcome};
pub use secrets::{SecretFault, SecretName, SecretSource};
pub use settings::{Anchor, Settings, SettingsError};
pub use volume::{COMMAND_PLACES, Found, Pin, RunDir, Volume, VolumeError};
pub use workspace::WorkspaceError;

/// Removes a run with all that it left, its worktree through git.
///
/// # Errors
/// When the worktree or the directory can't be removed.
pub fn remove_run(volume: &Volume, run: &RunDir) -> Result<(), RunError> {
    workspace::remove(volume, &run.id)?;
    std::fs::remove_dir_all(&run.path).map_err(|source| RunError::Io {
        verb: "remove",
        path: run.path.clone(),
        source,
    })
}

/// Where a pipe file outside any volume gets its volume: the top of its git repository, else `directory`.
pub fn home_for(directory: &std::path::Path) -> std::path::PathBuf {
    workspace::repository_top(directory).unwrap_or_else(|| directory.to_owned())
}
