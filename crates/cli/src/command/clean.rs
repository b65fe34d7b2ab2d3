//! `clean` removes runs by age, number and size; `pin` keeps one.

use std::{collections::BTreeSet, io::Write, process::ExitCode};

use omne_events::{Clock, LogReader};
use omne_replay::{RunPhase, RunState, fold};
use omne_runner::{Pin, RunDir};

use super::{age, log::Life};
use crate::{
    args,
    failure::{Exit, Failure, Result},
    render::size,
    wire::Context,
};

/// The age of what is removed when nothing else is said.
const OLD: &str = "30d";

pub(super) fn clean(args: &args::Clean, context: &Context) -> Result<ExitCode> {
    let no_limit = args.keep.is_none() && args.max_size.is_none();
    let older_than = args.older_than.as_deref().or(no_limit.then_some(OLD)).map(age).transpose()?;
    let volume = context.volume()?;
    let now = context.clock.now();
    let runs = volume.runs()?;
    // Newest first, so what is beyond a limit is at the end.
    let mut chosen = BTreeSet::new();
    if let Some(age) = older_than {
        // The id tells when the run began, also where the log can not be read.
        let is_old = |run: &RunDir| run.id.time().is_some_and(|began| now.since(began) >= age);
        chosen.extend(runs.iter().enumerate().filter(|(_, run)| is_old(run)).map(|(place, _)| place));
    }
    if let Some(keep) = args.keep {
        chosen.extend(keep..runs.len());
    }
    if let Some(most) = args.max_size {
        let mut sum = 0;
        for (place, run) in runs.iter().enumerate() {
            sum += run.size();
            if sum > most {
                chosen.insert(place);
            }
        }
    }
    let stays = |run: &RunDir| {
        run.is_pinned() || Life::of(run) == Life::Alive || (args.keep_failed && !completed(run))
    };
    let mut stdout = std::io::stdout().lock();
    let (mut removed, mut freed) = (0, 0);
    for run in chosen.into_iter().map(|place| &runs[place]).filter(|run| !stays(run)) {
        removed += 1;
        freed += run.size();
        if args.dry_run {
            writeln!(stdout, "would remove {}", run.id)?;
        } else {
            omne_runner::remove_run(&volume, run)?;
            writeln!(stdout, "removed {}", run.id)?;
        }
    }
    match (removed, args.dry_run) {
        (0, _) => writeln!(stdout, "nothing to remove")?,
        (_, true) => writeln!(stdout, "{removed} run(s), {}", size(freed))?,
        (_, false) => writeln!(stdout, "{removed} run(s), {} freed", size(freed))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn completed(run: &RunDir) -> bool {
    let Ok(mut reader) = LogReader::open(&run.log()) else { return false };
    fold(RunState::light(), &mut reader, None, &mut |_, _| {})
        .is_ok_and(|folded| folded.state.phase() == RunPhase::Completed)
}

pub(super) fn pin(args: &args::Pin, context: &Context) -> Result<ExitCode> {
    let run = context.volume()?.resolve(&args.run)?;
    let (pin, word) = if args.off { (Pin::Off, "no longer pinned") } else { (Pin::On, "pinned") };
    run.set_pin(pin).map_err(|error| {
        let what = format!("cannot write to `{}`", run.path.display());
        Failure::new(Exit::Write, anyhow::Error::new(error).context(what))
    })?;
    writeln!(std::io::stdout().lock(), "{} is {word}", run.id)?;
    Ok(ExitCode::SUCCESS)
}
