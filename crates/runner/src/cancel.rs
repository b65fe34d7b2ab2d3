//! Ending a run from outside: its owner is asked, and where there is none any
//! more, what it left is ended here.

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use omne_events::{
    Clock, ErrorKind, IdGen, LockedLog, NodeFailed, OpenError, milliseconds, read_private, write_private,
};
use omne_replay::{NodePhase, RunPhase, RunState};

use crate::{
    RunDir, RunError, decide,
    resume::{OwnedLog, end_left_overs},
};

/// How long an owner may take: its nodes have five seconds to end, and some more to die.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a request to cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// The owner ended the run.
    ByOwner,
    /// There was no owner: the run was ended here.
    Here {
        /// How many processes were left of it.
        left: usize,
        /// Where a torn last line of the log was moved.
        torn: Option<PathBuf>,
    },
    /// The run had ended before.
    AlreadyOver(RunPhase),
}

/// Cancels a run for `by`.
pub fn cancel(run: &RunDir, by: &str, clock: &dyn Clock, ids: Box<dyn IdGen>) -> Result<Cancelled, RunError> {
    match OwnedLog::take(run) {
        Err(RunError::Open(OpenError::Owned { path, pid })) => {
            let Some(pid) = pid.and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) else {
                return Err(OpenError::Owned { path, pid }.into());
            };
            let cancelled = ask(run, by, pid)?;
            match OwnedLog::take(run) {
                // It died before it could.
                Ok((log, state)) if state.phase() == RunPhase::Running => {
                    end_here(run, log, state, by, clock, ids)
                }
                _ => Ok(cancelled),
            }
        }
        Err(error) => Err(error),
        Ok((log, state)) => end_here(run, log, state, by, clock, ids),
    }
}

fn request(run: &RunDir) -> PathBuf {
    run.path.join("cancel")
}

/// Who asked for the run to be cancelled; asking again later is a new request.
pub(crate) fn requested_by(run: &RunDir) -> Option<String> {
    let by = String::from_utf8(read_private(&request(run)).ok()?).ok()?;
    forget_request(run);
    Some(by.trim().to_owned())
}

pub(crate) fn forget_request(run: &RunDir) {
    // Usually there is none.
    let _ = fs::remove_file(request(run));
}

/// Tells a runner that there is a message for it in the run's directory.
pub(crate) fn signal(owner: u32) -> Result<(), RunError> {
    let refused = |error: rustix::io::Errno| {
        RunError::System(format!("cannot signal the owner, process {owner}"), Some(error.into()))
    };
    let pid = rustix::process::Pid::from_raw(owner.cast_signed());
    let pid = pid.ok_or(rustix::io::Errno::SRCH).map_err(refused)?;
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).map_err(refused)
}

fn ask(run: &RunDir, by: &str, pid: rustix::process::Pid) -> Result<Cancelled, RunError> {
    let path = request(run);
    let new = run.path.join("cancel.new");
    write_private(&new, by.as_bytes())
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|source| RunError::Io { verb: "write", path, source })?;
    signal(pid.as_raw_nonzero().get().cast_unsigned())?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match LockedLog::owner(&run.log()) {
            Ok(None) => return Ok(Cancelled::ByOwner),
            Ok(Some(_)) => std::thread::sleep(Duration::from_millis(20)),
            Err(source) => return Err(RunError::Io { verb: "open", path: run.log(), source }),
        }
    }
    let late = io::Error::from(io::ErrorKind::TimedOut);
    Err(RunError::System(
        format!("the owner, process {}, did not end the run", pid.as_raw_nonzero()),
        Some(late),
    ))
}

fn end_here(
    run: &RunDir,
    log: OwnedLog,
    mut state: RunState,
    by: &str,
    clock: &dyn Clock,
    ids: Box<dyn IdGen>,
) -> Result<Cancelled, RunError> {
    let (left, _interruptible) = end_left_overs(run, &state)?;
    if state.phase() != RunPhase::Running && state.phase() != RunPhase::Parked {
        return Ok(Cancelled::AlreadyOver(state.phase()));
    }
    let (mut log, torn) = log.go_on(ids)?;
    let running: Vec<_> = state
        .nodes()
        .filter(|(_, _, record)| matches!(record.phase, NodePhase::Running | NodePhase::Waiting))
        .map(|(id, _, record)| (id.clone(), record.attempt, record.started_at))
        .collect();
    let message = match state.phase() {
        RunPhase::Parked => "the run was cancelled while it was parked",
        _ => "the run was cancelled after its runner had died",
    };
    // Since its runner died, or ended, nobody was at it.
    let (until, took) = (state.go_until(), state.go_ms());
    let mut record = |event| -> Result<(), RunError> {
        let record = log.append(clock.now(), event)?;
        state.apply(&record).map_err(|violation| RunError::System(violation.to_string(), None))
    };
    for (node_id, attempt, started_at) in running {
        let failed = NodeFailed {
            node_id,
            attempt,
            error: ErrorKind::Cancelled.into(),
            message: Some(message.into()),
            exit_code: None,
            signal: None,
            duration_ms: started_at.zip(until).map_or(0, |(at, until)| milliseconds(until.since(at))),
            retry_in_ms: None,
            usage: None,
        };
        record(failed.into())?;
    }
    state.give_up_retries();
    let aborted = decide::aborted(&state, Some(format!("cancelled by {by}")), took);
    let record = log.append(clock.now(), aborted.into())?;
    state.apply(&record).map_err(|violation| RunError::System(violation.to_string(), None))?;
    log.flush_and_sync()?;
    Ok(Cancelled::Here { left, torn })
}
