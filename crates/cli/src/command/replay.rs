//! `replay`: the state of a run rebuilt from its log alone.

use std::{io::Write, process::ExitCode};

use omne_events::Clock;
use omne_replay::Snapshot;

use super::log::LogSource;
use crate::{
    args::{self, ReplayFormat},
    failure::Result,
    render,
    wire::Context,
};

mod step;

pub(super) fn replay(args: &args::Replay, context: &Context) -> Result<ExitCode> {
    let source = LogSource::find(&args.log, context)?;
    if args.step {
        return step::step(&source, args.at, context);
    }
    let mut snapshot = (args.format == ReplayFormat::Snapshot).then(Snapshot::new);
    let folded = source.fold(args.at, |_, line| {
        if let Some(snapshot) = &mut snapshot {
            snapshot.push(&line.to_line());
        }
    })?;
    let state = folded.state;
    let text = match (args.format, snapshot) {
        (ReplayFormat::Json, _) => {
            format!("{}\n", serde_json::to_value(state.view()).unwrap_or_default())
        }
        (_, Some(snapshot)) => render::visible(&snapshot.finish(&state)).into_owned(),
        _ => {
            // As it was then, not as it would look from now.
            let then = state.last_at().unwrap_or_else(|| context.clock.now());
            render::run_status(&state, state.phase().as_str(), then, context.paint())
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
