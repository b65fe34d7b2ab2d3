//! `status`: one run, or the list of runs.

use std::{io::Write, process::ExitCode};

use omne_events::{Clock, LogReader};
use omne_replay::{RunState, fold};
use serde_json::{Value, json};

use super::log::{Life, LogSource, shown_state};
use crate::{args, failure::Result, render, wire::Context};

pub(super) fn status(args: &args::Status, context: &Context) -> Result<ExitCode> {
    match &args.run {
        Some(run) => one(run, args, context),
        None => list(args, context),
    }
}

fn one(name: &str, args: &args::Status, context: &Context) -> Result<ExitCode> {
    let source = LogSource::find(name, context)?;
    let life = match &source {
        LogSource::Run(run) => Life::of(run),
        LogSource::File(path) => Life::of_log(path),
        LogSource::Stdin => Life::Gone,
    };
    let state = source.fold(None, |_, _| {})?.state;
    let shown = shown_state(&state, life);
    let text = if args.json {
        let view = serde_json::to_value(state.view()).unwrap_or_default();
        format!("{}\n", with_life(view, shown, life))
    } else {
        render::run_status(&state, shown, context.clock.now(), context.paint())
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Adds what a log can not tell: whether its runner lives.
fn with_life(mut view: Value, shown: &str, life: Life) -> Value {
    if let Value::Object(fields) = &mut view {
        fields.insert("state".into(), json!(shown));
        fields.insert("alive".into(), json!(life == Life::Alive));
    }
    view
}

fn list(args: &args::Status, context: &Context) -> Result<ExitCode> {
    let volume = context.volume()?;
    let mut found: Vec<(RunState, &'static str, Life)> = Vec::new();
    let mut stderr = std::io::stderr().lock();
    for run in volume.runs()? {
        if found.len() >= args.number {
            break;
        }
        if args.pipe.as_ref().is_some_and(|pipe| run.id.pipe() != pipe) {
            continue;
        }
        let folded = LogReader::open(&run.log())
            .map_err(omne_replay::FoldError::Read)
            .and_then(|mut reader| fold(RunState::light(), &mut reader, None, |_, _| {}));
        let state = match folded {
            Ok(folded) => folded.state,
            Err(error) => {
                // One bad log must not hide the others.
                writeln!(stderr, "{}: {}: {error}", context.paint_errors().yellow("warning"), run.id)?;
                continue;
            }
        };
        let life = if state.ended_at().is_none() { Life::of(&run) } else { Life::Gone };
        let shown = shown_state(&state, life);
        if args.failed && !matches!(shown, "aborted" | "interrupted") {
            continue;
        }
        found.push((state, shown, life));
    }
    let mut stdout = std::io::stdout().lock();
    if args.json {
        let list: Vec<Value> = found
            .iter()
            .map(|(state, shown, life)| {
                with_life(serde_json::to_value(state.summary()).unwrap_or_default(), shown, *life)
            })
            .collect();
        writeln!(stdout, "{}", Value::Array(list))?;
    } else if found.is_empty() {
        writeln!(stdout, "no runs")?;
    } else {
        let rows: Vec<(RunState, &str)> = found.into_iter().map(|(state, shown, _)| (state, shown)).collect();
        stdout.write_all(render::run_list(&rows, context.clock.now(), context.paint()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
