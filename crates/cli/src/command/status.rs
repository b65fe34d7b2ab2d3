//! `status`: one run, or the list of runs; once, or whenever it changes.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

use clap::ValueEnum as _;
use omne_events::{Clock, LogReader, Tail};
use omne_replay::{RunState, fold};
use omne_runner::RunDir;
use serde_json::{Value, json};

use super::{
    age,
    log::{Life, LogSource, shown_state, torn},
};
use crate::{
    args,
    failure::Result,
    render::{self, Listed},
    wire::Context,
};

/// How often a watched run is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// To the upper left, and nothing below.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) fn status(args: &args::Status, context: &Context) -> Result<ExitCode> {
    let look = || match &args.run {
        Some(run) => one(run, args, context),
        None => list(args, context),
    };
    let mut stdout = std::io::stdout();
    if !args.watch {
        stdout.write_all(look()?.text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let clear = if stdout.is_terminal() && !args.json { CLEAR } else { "" };
    let mut before = None;
    loop {
        let seen = look()?;
        if before.as_ref() != Some(&seen.mark) {
            write!(stdout, "{clear}{}", seen.text)?;
            stdout.flush()?;
            before = Some(seen.mark);
        }
        if seen.is_over {
            return Ok(ExitCode::SUCCESS);
        }
        sleep(LOOK);
    }
}

/// What there is to see.
struct Seen {
    text: String,
    /// Changes with whatever is worth a second look.
    mark: String,
    /// Nothing more will change.
    is_over: bool,
}

fn one(name: &str, args: &args::Status, context: &Context) -> Result<Seen> {
    let source = LogSource::find(name, context)?;
    let life = source.life();
    let folded = source.fold(args.at, |_, _| {})?;
    let state = folded.state;
    // As it was then, not as it would look from now.
    let (shown, now) = match args.at {
        Some(_) => (state.phase().as_str(), state.last_at().unwrap_or_else(|| context.clock.now())),
        None => (shown_state(&state, life), context.clock.now()),
    };
    let text = if args.json {
        let view = serde_json::to_value(state.view()).unwrap_or_default();
        format!("{}\n", with_life(view, shown, life))
    } else {
        render::run_status(&state, shown, now, context.paint())
    };
    Ok(Seen { text, mark: format!("{} {shown}", state.seq()), is_over: shown != "running" })
}

/// Adds what a log can not tell: whether its runner lives.
fn with_life(mut view: Value, shown: &str, life: Life) -> Value {
    if let Value::Object(fields) = &mut view {
        fields.insert("state".into(), json!(shown));
        fields.insert("alive".into(), json!(life == Life::Alive));
    }
    view
}

/// A run of the list.
struct Found {
    run: RunDir,
    state: RunState,
    shown: &'static str,
    life: Life,
}

fn list(args: &args::Status, context: &Context) -> Result<Seen> {
    let volume = context.volume()?;
    let since = args.since.as_deref().map(age).transpose()?;
    let now = context.clock.now();
    let is_wanted = args.state.as_ref().and_then(args::RunState::to_possible_value);
    let mut found: Vec<Found> = Vec::new();
    let mut stderr = std::io::stderr().lock();
    for run in volume.runs()? {
        if found.len() >= args.number {
            break;
        }
        if args.pipe.as_ref().is_some_and(|pipe| run.id.pipe() != pipe) {
            continue;
        }
        let began = run.id.time();
        if since.is_some_and(|age| began.is_none_or(|began| now.since(began) > age)) {
            continue;
        }
        let folded = LogReader::open(&run.log())
            .map_err(omne_replay::FoldError::Read)
            .and_then(|mut reader| fold(RunState::light(), &mut reader, None, &mut |_, _| {}));
        let state = match folded {
            Ok(folded) => {
                if let Tail::Torn { bytes, .. } = folded.tail
                    && Life::of(&run) == Life::Gone
                {
                    let warning = context.paint_errors().yellow("warning");
                    writeln!(stderr, "{warning}: {}: {}", run.id, torn(bytes))?;
                }
                folded.state
            }
            // It may be just about to; `verify` tells of it, and `clean` removes it.
            Err(_) if run.never_began() => continue,
            Err(error) => {
                // One bad log must not hide the others.
                let warning = context.paint_errors().yellow("warning");
                let mut told = error.to_string();
                for cause in anyhow::Error::from(error).chain().skip(1).map(ToString::to_string) {
                    // Some tell their cause themselves.
                    if !told.ends_with(&cause) {
                        let _ = write!(told, ": {cause}");
                    }
                }
                let error = format!("the log is damaged: {told}");
                writeln!(stderr, "{warning}: {}: {}", run.id, render::visible(&error))?;
                continue;
            }
        };
        let life = if state.ended_at().is_none() { Life::of(&run) } else { Life::Gone };
        let shown = shown_state(&state, life);
        if args.failed && !matches!(shown, "aborted" | "interrupted") {
            continue;
        }
        if is_wanted.as_ref().is_some_and(|wanted| wanted.get_name() != shown) {
            continue;
        }
        found.push(Found { run, state, shown, life });
    }
    let mark = found.iter().map(|found| format!("{} {} {}\n", found.run.id, found.state.seq(), found.shown));
    let mark = mark.collect();
    let text = if args.json {
        let list: Vec<Value> = found.iter().map(|found| found.json(args)).collect();
        format!("{}\n", Value::Array(list))
    } else if found.is_empty() {
        "no runs\n".to_owned()
    } else {
        let rows: Vec<Listed> = found.into_iter().map(|found| found.listed(args)).collect();
        render::run_list(&rows, now, context.paint())
    };
    Ok(Seen { text, mark, is_over: false })
}

impl Found {
    fn size(&self, args: &args::Status) -> Option<u64> {
        args.sizes.then(|| self.run.size())
    }

    fn json(&self, args: &args::Status) -> Value {
        let view = serde_json::to_value(self.state.summary()).unwrap_or_default();
        let mut view = with_life(view, self.shown, self.life);
        if let Value::Object(fields) = &mut view {
            fields.insert("pinned".into(), self.run.is_pinned().into());
            if let Some(size) = self.size(args) {
                fields.insert("size_bytes".into(), size.into());
            }
        }
        view
    }

    fn listed(self, args: &args::Status) -> Listed {
        let (size, pinned) = (self.size(args), self.run.is_pinned());
        Listed { state: self.state, shown: self.shown, size, pinned }
    }
}
