//! `why`: the causes of a node's state.

use std::{
    fmt::Write as _,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    process::ExitCode,
};

use omne_audit::Cause;
use omne_events::NodeId;
use omne_replay::RunPhase;
use serde_json::{Value, json};

use super::{
    captures,
    log::{Life, LogSource},
};
use crate::{
    args,
    failure::{Exit, Failure, Result},
    render::{Paint, sign, visible},
    wire::Context,
};

/// How much of the end of a capture is looked at, in bytes.
const TAIL: u64 = 4096;
/// How many lines of it are shown.
const LINES: usize = 10;

pub(super) fn why(args: &args::Why, context: &Context) -> Result<ExitCode> {
    let source = LogSource::find(&args.run, context)?;
    let story = source.story(|_, _| {})?;
    let Some(mut causes) = omne_audit::why(&story, &args.node) else {
        let name = source.name();
        return Err(match story.state.pipe() {
            None => Failure::message(Exit::Input, format!("the log of `{name}` does not carry its pipe"))
                .help("it is of omne-cli 0.2; `omne events` shows what happened"),
            Some(_) => Failure::message(Exit::NotFound, format!("the run has no node `{}`", args.node))
                .help("`omne graph RUN` shows its nodes"),
        });
    };
    if matches!(story.state.phase(), RunPhase::Unborn | RunPhase::Running) && source.life() == Life::Gone {
        for cause in causes.iter_mut().filter(|cause| cause.state == "running") {
            cause.state = "interrupted";
            cause
                .because
                .push("its runner is gone, without a word; `omne resume` goes on with it".to_owned());
        }
    }
    let nodes = source.nodes();
    let tail = |cause: &Cause| {
        let nodes = nodes.as_deref().filter(|_| cause.state == "failed")?;
        let tail = tail_of(nodes, &cause.node_id)?;
        // The message of a failure is often just that.
        (!cause.because.iter().any(|because| because.trim() == tail.trim())).then_some(tail)
    };
    let mut stdout = std::io::stdout().lock();
    if args.json {
        let cause = |cause: &Cause| {
            let mut value = serde_json::to_value(cause).unwrap_or_default();
            if let (Value::Object(fields), Some(tail)) = (&mut value, tail(cause)) {
                fields.insert("tail".into(), tail.into());
            }
            value
        };
        let causes: Vec<Value> = causes.iter().map(cause).collect();
        writeln!(stdout, "{}", json!({ "run_id": story.state.run(), "causes": causes }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for (place, cause) in causes.iter().enumerate() {
        if place > 0 {
            text.push('\n');
        }
        describe(&mut text, cause, tail(cause).as_deref(), context.paint());
    }
    if let (Some(root), LogSource::Run(_)) = (causes.iter().find(|cause| cause.state == "failed"), &source) {
        let _ = write!(
            text,
            "\n{}",
            context.paint().dim(&format!("more: omne logs {} {}\n", args.run, root.node_id))
        );
    }
    stdout.write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn describe(text: &mut String, cause: &Cause, tail: Option<&str>, paint: Paint) {
    // A write to a text does not fail.
    let name = format!("{} {} is {}", sign(cause.state), cause.node_id, cause.state);
    let _ = write!(text, "{}", paint.state(cause.state, &name));
    let _ = match cause.seq {
        Some(seq) => writeln!(text, " {}", paint.dim(&format!("(event {seq})"))),
        None => writeln!(text),
    };
    for because in &cause.because {
        let _ = writeln!(text, "  {}", visible(because).replace('\n', "\n    "));
    }
    if let Some(tail) = tail {
        let _ = writeln!(text, "  {}", paint.dim("the end of what it printed:"));
        let lines: Vec<&str> = tail.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            let _ = writeln!(text, "    {}", visible(line));
        }
    }
    if !cause.from.is_empty() {
        let names: Vec<&str> = cause.from.iter().map(NodeId::as_str).collect();
        let _ = writeln!(text, "  because of: {}", names.join(", "));
    }
}

/// The end of what a node printed: of its standard error, else of its standard output.
fn tail_of(nodes: &Path, node: &NodeId) -> Option<String> {
    ["err", "out"].into_iter().find_map(|ending| {
        let mut file = captures::open(&nodes.join(format!("{node}.{ending}"))).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (!text.trim().is_empty()).then_some(text)
    })
}
