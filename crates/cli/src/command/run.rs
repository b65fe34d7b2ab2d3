//! `run`, `resume`, `cancel`.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use omne_events::WorkspaceMode;
use omne_pipe::{Pipe, Values};
use omne_runner::{
    Beginning, Cancelled, NewRun, Options, Outcome, Volume, begin, look_at, rehearse, take_up,
};
use serde_json::Value;

use super::people;
use crate::{
    args,
    failure::{Exit, Failure, Result, stopped_by},
    progress::Progress,
    render,
    wire::{Context, Exists, FailFast},
};

pub(super) fn run(args: &args::Run, context: &Context) -> Result<ExitCode> {
    let (volume, exists, path) = find_pipe(&args.pipe, context)?;
    let pipe = context.load_pipe(&path, &volume)?;
    let inputs = inputs(args, &pipe)?;
    let fail_fast = if args.fail_fast { FailFast::Yes } else { FailFast::No };
    let options = context.options(&volume, args.jobs, fail_fast, args.money.budget)?;
    let workspace = args.workspace.map(|workspace| match workspace {
        args::Workspace::Worktree => WorkspaceMode::Worktree,
        args::Workspace::Root => WorkspaceMode::Root,
    });
    if args.dry_run {
        rehearse(&volume, &pipe, workspace, &options)?;
        let plan = if args.show.json {
            format!("{}\n", render::dry_run_json(&pipe))
        } else {
            render::dry_run(&pipe, context.paint())
        };
        std::io::stdout().lock().write_all(plan.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    if exists == Exists::No {
        make_volume(volume.root())?;
    }
    let recording = match &args.agent_replay {
        Some(run) => Some(omne_runner::recording(&volume.resolve(run)?, omne_exec::Bash::Real)?),
        None => None,
    };
    let new = NewRun { volume, pipe, inputs, workspace, recording, runs: None };
    let home = new.volume.clone();
    let beginning = begin(new, &options, &context.clock, context.ids())?;
    drive(&home, beginning, &options, args.show, context)
}

pub(super) fn resume(args: &args::Resume, context: &Context) -> Result<ExitCode> {
    let volume = context.volume()?;
    let run = volume.resolve(&args.run)?;
    let pipe = match args.pipe.as_deref() {
        None => None,
        Some("@current") => Some(context.load_pipe(&volume.pipe(run.id.pipe())?.path, &volume)?),
        Some(file) => Some(context.load_pipe(&context.absolute(Path::new(file))?, &volume)?),
    };
    if let Some(pipe) = &pipe
        && pipe.name().as_str() != run.id.pipe()
    {
        let message = format!("the pipe is called `{}`, the run is one of `{}`", pipe.name(), run.id.pipe());
        return Err(Failure::message(Exit::Input, message).help("resume with a version of the same pipe"));
    }
    if args.dry_run {
        // Bad settings are told now as well.
        context.options(&volume, args.jobs, FailFast::No, args.money.budget)?;
        let resumption = look_at(&volume, run, args.from.clone(), pipe)?;
        let run = resumption.state().run().map_or("", |run| run.as_str());
        let is_idle = resumption.is_idle();
        if !is_idle {
            resumption.check_workspace()?;
        }
        let plan = match args.show.json {
            true => {
                let steps = if is_idle { &[] } else { resumption.plan.as_slice() };
                format!("{}\n", serde_json::json!({ "run_id": run, "plan": steps }))
            }
            false if is_idle => nothing_to_resume(run),
            false => render::resume_plan(&resumption.plan, context.paint()),
        };
        std::io::stdout().lock().write_all(plan.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let owned = take_up(&volume, run, args.from.clone(), pipe)?;
    if owned.resumption.is_idle() {
        if !args.show.quiet && !args.show.json {
            let run = owned.resumption.state().run().map_or("", |run| run.as_str());
            std::io::stdout().lock().write_all(nothing_to_resume(run).as_bytes())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let options = context.options(&volume, args.jobs, FailFast::No, args.money.budget)?;
    if !args.show.quiet {
        let plan = render::resume_plan(&owned.resumption.plan, context.paint_errors());
        // Like progress, it is no part of the work: who can't be told of it, still gets it done.
        let _ = std::io::stderr().lock().write_all(plan.as_bytes());
    }
    let beginning = owned.begin(&options, context.ids())?;
    drive(&volume, beginning, &options, args.show, context)
}

fn nothing_to_resume(run: &str) -> String {
    format!("{run} has completed: there is nothing to resume\n")
}

/// Runs to the end; on a terminal, people are asked when nothing else is left, and the run goes on.
fn drive(
    volume: &Volume,
    mut beginning: Beginning,
    options: &Options,
    show: args::Show,
    context: &Context,
) -> Result<ExitCode> {
    let mut is_first = true;
    loop {
        let run = beginning.run().clone();
        let mut progress = Progress::new(show, run.clone(), context.paint_errors());
        if !is_first {
            progress = progress.continued();
        }
        let (outcome, state) = match omne_runner::execute(beginning, options, &context.clock, &mut progress) {
            Ok(ended) => ended,
            Err(error) => {
                progress.clear();
                return Err(error.into());
            }
        };
        let asks = outcome == Outcome::Parked && !show.no_ask && !show.json && people::can_be_asked();
        if asks {
            progress.clear();
            let answered = people::ask(&run, &state, context)?;
            if !answered {
                return Ok(Exit::Parked.into());
            }
            let owned = take_up(volume, run, Vec::new(), None)?;
            beginning = owned.begin(options, context.ids())?;
            is_first = false;
            continue;
        }
        progress.finish(&state);
        return Ok(match outcome {
            Outcome::Completed => ExitCode::SUCCESS,
            Outcome::Aborted => Exit::Aborted.into(),
            Outcome::Parked => Exit::Parked.into(),
            Outcome::Interrupted(signal) => stopped_by(signal),
        });
    }
}

pub(super) fn cancel(args: &args::Cancel, context: &Context) -> Result<ExitCode> {
    let volume = context.volume()?;
    let run = volume.resolve(&args.run)?;
    let cancelled = omne_runner::cancel(&run, &context.user(), &context.clock, context.ids())?;
    let text = match cancelled {
        Cancelled::ByOwner => format!("{} was cancelled", run.id),
        Cancelled::Here { left, torn } => {
            if let Some(torn) = torn {
                let warning = context.paint_errors().yellow("warning");
                let torn = torn.display();
                writeln!(
                    std::io::stderr().lock(),
                    "{warning}: the log ended in a torn line, now in `{torn}`"
                )?;
            }
            format!(
                "{} had no runner any more; it is cancelled, {left} process(es) that it had left were ended",
                run.id
            )
        }
        Cancelled::AlreadyOver(phase) => format!("{} was over already: {}", run.id, phase.as_str()),
    };
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a name is meant as the path of a pipe file.
pub(super) fn is_pipe_file(name: &str) -> bool {
    name.contains('/') || [".yaml", ".yml", ".md"].iter().any(|ending| name.ends_with(ending))
}

/// The file of a pipe, and the volume that it runs in.
pub(super) fn find_pipe(name: &str, context: &Context) -> Result<(Volume, Exists, PathBuf)> {
    if is_pipe_file(name) {
        let (volume, exists) = context.volume_for_file()?;
        return Ok((volume, exists, context.absolute(Path::new(name))?));
    }
    let volume = context.volume()?;
    let found = volume.pipe(name)?;
    Ok((volume, Exists::Yes, found.path))
}

fn make_volume(root: &Path) -> Result<Volume> {
    Volume::make(root).map_err(|(path, error)| {
        let error = anyhow::Error::new(error).context(format!("cannot make `{}`", path.display()));
        Failure::new(Exit::Write, error)
            .help("mend the permissions, or choose another directory with `--volume`")
    })
}

fn inputs(args: &args::Run, pipe: &Pipe) -> Result<Values> {
    let mut given = Vec::new();
    if let Some(path) = &args.inputs {
        given = from_file(path)?;
    }
    for pair in &args.input {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::message(Exit::Input, format!("`{pair}` is not KEY=VALUE"))
                .help("write `-i name=value`"));
        };
        given.push((key.to_owned(), Value::String(value.to_owned())));
    }
    omne_pipe::resolve(pipe.inputs(), &given).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let declared: Vec<String> =
            pipe.inputs().iter().map(|input| format!("{} ({})", input.key, input.kind.as_str())).collect();
        let help = match declared[..] {
            [] => "the pipe has no inputs".to_owned(),
            _ => format!("the pipe has these inputs: {}", declared.join(", ")),
        };
        Failure::message(Exit::Input, errors.join("\n       ")).help(help)
    })
}

fn from_file(path: &Path) -> Result<Vec<(String, Value)>> {
    const MOST: u64 = 16 * 1024 * 1024;
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MOST + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes))
    };
    let name = path.display();
    read.map_err(|error| {
        Failure::new(
            Exit::Input,
            anyhow::Error::new(error).context(format!("cannot read the inputs from `{name}`")),
        )
    })?;
    let unfit =
        |why: &str| Failure::message(Exit::Input, format!("the inputs in `{name}` can not be used: {why}"));
    if bytes.len() as u64 > MOST {
        let help = "give large values by file: an input with its path";
        return Err(unfit("they are more than 16 MiB").help(help));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| unfit("they are not UTF-8").help("save the file as UTF-8"))?;
    omne_pipe::values_from_file(&text)
        .map_err(|why| unfit(&why).help("write a YAML or JSON map, such as `{\"name\": \"value\"}`"))
}

/// The pipe of a name, a file, or a run's log; for drawing.
pub(super) fn load_named(name: &str, context: &Context) -> Result<Arc<Pipe>> {
    let (volume, _, path) = find_pipe(name, context)?;
    context.load_pipe(&path, &volume)
}
