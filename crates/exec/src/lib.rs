//! Attempts at nodes: started, ended, and told of by events.
//!
//! It never reads a log, knows no run state, and never decides what runs next.
//! [`Execute`] is the port to it; [`LocalExecutor`] runs attempts as processes
//! of this machine.

mod agent;
mod gate;
mod local;
mod node;
mod outputs;
mod port;
mod secrets;

pub use agent::{Ask, Bash, ChangedPrompt, Funds, GoesOn, Recording, RecordingError};
pub use gate::{GATE_TIMEOUT, gate_command, gate_path};
pub use local::{LocalExecutor, Places, tools::ask_back};
pub use outputs::{OutputsError, parse_outputs};
pub use port::{Asker, AtGate, Attempt, BeforeRun, Decision, Emitted, EndReason, Execute, ExecuteError};
pub use secrets::Secrets;

use omne_process::Mark;

/// How the processes of a run are recognised wherever they went.
pub fn run_mark(run: &omne_events::RunId) -> Mark {
    Mark::new([("OMNE_RUN_ID", std::ffi::OsStr::new(run.as_str()))])
}
