//! `graph`: what depends on what.

use std::{io::Write, process::ExitCode};

use super::{
    log::LogSource,
    run::{is_pipe_file, load_named},
};
use crate::{
    args::{self, GraphFormat},
    failure::{Exit, Failure, Result},
    render,
    wire::Context,
};

pub(super) fn graph(args: &args::Graph, context: &Context) -> Result<ExitCode> {
    // A pipe is looked for first; a run's id is longer than its pipe's name.
    let is_log = args.of.starts_with('@')
        || args.of.ends_with(".jsonl")
        || omne_audit::is_bundle(&context.absolute(args.of.as_ref())?);
    let pipe = if is_log { None } else { as_pipe(&args.of, context)? };
    let (pipe, state) = match pipe {
        Some(_) if args.at.is_some() => {
            let message = format!("`{}` is a pipe and has no events", args.of);
            return Err(Failure::message(Exit::Input, message).help("name a run to see it as it was"));
        }
        Some(pipe) => (pipe, None),
        None => {
            let folded = LogSource::find(&args.of, context)?.fold(args.at, |_, _| {})?;
            let state = folded.state;
            let Some(pipe) = state.pipe().cloned() else {
                let message = "the log is of omne-cli 0.2 and does not carry its pipe";
                return Err(Failure::message(Exit::Input, message).help("draw the pipe file instead"));
            };
            (pipe, Some(state))
        }
    };
    let text = match args.format {
        GraphFormat::Text => render::graph_text(&pipe, state.as_ref(), context.paint()),
        GraphFormat::Mermaid => render::mermaid(&pipe, state.as_ref()),
        GraphFormat::Svg => omne_audit::svg(&pipe, state.as_ref()),
        GraphFormat::Dot => render::dot(&pipe, state.as_ref()),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The pipe of that name or file; `None` when there is none and it may be a run.
fn as_pipe(name: &str, context: &Context) -> Result<Option<std::sync::Arc<omne_pipe::Pipe>>> {
    let is_pipe = is_pipe_file(name) || context.volume().is_ok_and(|volume| volume.pipe(name).is_ok());
    if is_pipe { load_named(name, context).map(Some) } else { Ok(None) }
}
