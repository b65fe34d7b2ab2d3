//! `clean`: removes runs that are old enough.

use std::{io::Write, process::ExitCode};

use omne_events::{Clock, LogReader};
use omne_replay::{RunPhase, RunState, fold};

use super::log::Life;
use crate::{args, failure::Result, wire::Context};

pub(super) fn clean(args: &args::Clean, context: &Context) -> Result<ExitCode> {
    let age = super::age(&args.older_than)?;
    let volume = context.volume()?;
    let now = context.clock.now();
    let mut stdout = std::io::stdout().lock();
    let mut removed = 0;
    for run in volume.runs()? {
        // The id tells when the run began, also where the log can not be read.
        let Some(began) = run.id.time() else { continue };
        if now.since(began) < age || Life::of(&run) == Life::Alive {
            continue;
        }
        if args.keep_failed && !completed(&run) {
            continue;
        }
        removed += 1;
        if args.dry_run {
            writeln!(stdout, "would remove {}", run.id)?;
        } else {
            omne_runner::remove_run(&volume, &run)?;
            writeln!(stdout, "removed {}", run.id)?;
        }
    }
    if removed == 0 {
        writeln!(stdout, "nothing to remove")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn completed(run: &omne_runner::RunDir) -> bool {
    let Ok(mut reader) = LogReader::open(&run.log()) else { return false };
    fold(RunState::light(), &mut reader, None, |_, _| {})
        .is_ok_and(|folded| folded.state.phase() == RunPhase::Completed)
}
