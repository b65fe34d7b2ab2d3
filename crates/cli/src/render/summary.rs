//! What is said when a run has ended.

use std::{fmt::Write as _, time::Duration};

use omne_pipe::format_duration;
use omne_replay::{NodePhase, RunPhase, RunState};

use super::{Paint, sign, visible};

/// How many failed nodes are shown with what they said.
const SHOWN: usize = 5;

/// The outcome, what the failed nodes said, and what to do next.
pub(crate) fn summary(state: &RunState, paint: Paint) -> String {
    let mut out = String::new();
    // Writing to a string can not fail.
    let _ = write_summary(&mut out, state, paint);
    out
}

fn write_summary(out: &mut String, state: &RunState, paint: Paint) -> std::fmt::Result {
    let run = state.run().map_or("", |run| run.as_str());
    let phase = state.phase().as_str();
    let count = |phase: NodePhase| state.nodes().filter(|(_, _, record)| record.phase == phase).count();
    let counts: Vec<String> = [
        NodePhase::Completed,
        NodePhase::Failed,
        NodePhase::Blocked,
        NodePhase::Skipped,
        NodePhase::Waiting,
        NodePhase::Pending,
    ]
    .into_iter()
    .map(|phase| (count(phase), phase.as_str()))
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}"))
    .collect();
    let took = format_duration(Duration::from_millis(state.active_ms()));
    let word = format!("{} {phase}", sign(phase));
    let word = paint.state(phase, &word);
    writeln!(out, "{word} {} in {took}: {}", paint.bold(run), counts.join(", "))?;
    if let Some(used) = super::usage(&state.usage()) {
        writeln!(out, "agents used {used}")?;
    }
    for (id, _, record) in state.nodes() {
        let denied = record.rare.as_ref().map(|rare| rare.denied_tools.join(", ")).unwrap_or_default();
        if !denied.is_empty() {
            let warning = paint.yellow("warning");
            let denied = visible(&denied);
            writeln!(
                out,
                "{warning}: the agent of `{id}` was refused tools: {denied} (see `allowed_tools`)"
            )?;
        }
    }
    let failed: Vec<_> = state.nodes().filter(|(_, _, record)| record.phase == NodePhase::Failed).collect();
    for (id, _, record) in failed.iter().take(SHOWN) {
        let kind = record.error().map_or_else(String::new, |error| {
            let class = error.class.as_ref().map(|class| format!(": {class}")).unwrap_or_default();
            format!("{}{}", error.kind.as_str(), visible(&class))
        });
        let code = record.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
        writeln!(out, "\n{} ({kind}{code})", paint.red(&format!("{id} failed")))?;
        for line in visible(record.message().unwrap_or_default()).lines() {
            writeln!(out, "  {} {line}", paint.dim("│"))?;
        }
    }
    if failed.len() > SHOWN {
        writeln!(out, "\nand {} more", failed.len() - SHOWN)?;
    }
    match state.phase() {
        RunPhase::Completed => {
            writeln!(
                out,
                "{}",
                paint.dim(&format!("look at it: omne status {run} · omne logs {run} · omne graph {run}"))
            )
        }
        RunPhase::Parked => {
            let waiting = state.nodes().filter(|(_, _, record)| record.phase == NodePhase::Waiting);
            for (id, _, record) in waiting {
                let gate = record.gate();
                let prompt = gate.and_then(|gate| gate.prompt.as_deref()).unwrap_or_default();
                writeln!(out, "\n{} {}", paint.yellow(&format!("{id} asks:")), visible(prompt))?;
                let options = gate.map(|gate| gate.options.join(", ")).unwrap_or_default();
                writeln!(out, "  answers: {}", visible(&options))?;
                writeln!(out, "  omne approve {run} {id}   or   omne reject {run} {id}")?;
            }
            writeln!(out, "\nthen go on with: omne resume {run}")
        }
        _ => {
            let from = failed.first().map_or_else(String::new, |(id, _, _)| format!(" {id}"));
            writeln!(out, "\nlook at it: omne logs {run}{from}\ngo on with: omne resume {run}")
        }
    }
}
