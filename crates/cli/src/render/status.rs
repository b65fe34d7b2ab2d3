//! Runs and their nodes as tables.

use std::{fmt::Write as _, time::Duration};

use omne_events::{Timestamp, milliseconds};
use omne_pipe::format_duration;
use omne_replay::{NodePhase, RunState};
use smol_str::{SmolStr, ToSmolStr as _, format_smolstr};

use super::{Paint, sign, table, visible};

fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(at).as_secs();
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86_400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

fn took(ms: u64) -> String {
    format_duration(Duration::from_millis(ms))
}

/// How long a run took; one that is under way goes on since its last event.
fn active(state: &RunState, shown: &str, now: Timestamp) -> u64 {
    let since_last = match (shown, state.last_at()) {
        ("running", Some(last)) => milliseconds(now.since(last)),
        _ => 0,
    };
    state.active_ms() + since_last
}

/// A run of a list.
pub(crate) struct Listed {
    pub(crate) state: RunState,
    /// The state to show, which is not the log's when its owner died.
    pub(crate) shown: &'static str,
    /// In bytes, if it is asked for.
    pub(crate) size: Option<u64>,
    /// Whether it is kept from being removed.
    pub(crate) pinned: bool,
}

/// A list of runs.
pub(crate) fn run_list(runs: &[Listed], now: Timestamp, paint: Paint) -> String {
    let mut head = vec!["RUN", "STATE", "STARTED", "TOOK"];
    if runs.iter().any(|run| run.size.is_some()) {
        head.push("SIZE");
    }
    head.push("REASON");
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for Listed { state, shown, size, pinned } in runs {
        let reason = visible(state.reason().unwrap_or_default()).replace('\n', " ");
        let note = [pinned.then(|| "pinned".to_owned()), (!reason.is_empty()).then_some(reason)];
        let mut row = vec![
            state.run().map_or_else(String::new, ToString::to_string),
            format!("{} {shown}", sign(shown)),
            state.started_at().map_or_else(String::new, |at| ago(at, now)),
            took(active(state, shown, now)),
        ];
        row.extend(size.map(super::size));
        row.push(note.into_iter().flatten().collect::<Vec<_>>().join(" · "));
        rows.push(row);
    }
    table(&rows, |row, column, cell| match (row, column) {
        (0, _) => paint.dim(cell),
        (_, 1) => paint.state(runs[row - 1].shown, cell),
        (_, 2..) => paint.dim(cell),
        _ => cell.into(),
    })
}

/// One run with its nodes.
pub(crate) fn run_status(state: &RunState, shown: &str, now: Timestamp, paint: Paint) -> String {
    let mut out = String::new();
    // Writing to a string can not fail.
    let _ = write_status(&mut out, state, shown, now, paint);
    out
}

fn write_status(
    out: &mut String,
    state: &RunState,
    shown: &str,
    now: Timestamp,
    paint: Paint,
) -> std::fmt::Result {
    let run = state.run().map_or("", |run| run.as_str());
    let word = format!("{} {shown}", sign(shown));
    let word = paint.state(shown, &word);
    writeln!(out, "{} {word}", paint.bold(run))?;
    let started = state.started_at().map_or_else(String::new, |at| format!("{at} ({})", ago(at, now)));
    let by = state.by().map_or_else(String::new, |by| format!(" by {}", visible(by)));
    writeln!(out, "started {started}{by}, took {}", took(active(state, shown, now)))?;
    if state.resumes() > 0 {
        writeln!(out, "resumed {} time(s)", state.resumes())?;
    }
    if let Some(workspace) = state.workspace() {
        writeln!(out, "workspace {} ({})", visible(&workspace.path), workspace.mode.as_str())?;
    }
    for (key, value) in state.inputs() {
        writeln!(out, "input {} = {}", visible(key), visible(&value.to_string()))?;
    }
    if let Some(reason) = state.reason() {
        writeln!(out, "reason {}", visible(reason))?;
    }
    if let Some(used) = super::usage(&state.usage()) {
        writeln!(out, "agents {used}")?;
    }
    out.push('\n');
    let mut rows = vec![["NODE", "STATE", "TOOK", "TRY", ""].map(SmolStr::new_static)];
    let mut states = Vec::new();
    for (id, _, record) in state.nodes() {
        let mut word = state.standing(record).as_str();
        if shown == "interrupted" && record.phase == NodePhase::Running {
            word = "interrupted";
        }
        states.push(word);
        let running_for = || Some(milliseconds(now.since(record.started_at?)));
        let span = record.duration_ms.or_else(|| if word == "running" { running_for() } else { None });
        let rare = record.rare.as_deref();
        let error = record.error().map(|error| {
            let code = record.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
            format!("{}{code}", error.kind.as_str())
        });
        let round = rare.and_then(|rare| rare.iteration).map(|round| format!("iteration {round}"));
        let denied = rare.map(|rare| rare.denied_tools.join(", ")).filter(|denied| !denied.is_empty());
        let denied = denied.map(|denied| format!("refused: {denied}"));
        let cost = record.usage().and_then(|usage| usage.cost_usd).map(|usd| format!("{usd:.4} USD"));
        let asks = record.gate().filter(|_| record.phase == NodePhase::Waiting);
        let asks = asks.map(|gate| {
            let options = gate.options.join(", ");
            format!("asks: {} ({options})", gate.prompt.as_deref().unwrap_or_default())
        });
        let answered = record.gate().filter(|_| word == "waiting").and_then(|gate| {
            let by = gate.by.as_deref().unwrap_or("somebody");
            gate.decision().map(|_| format!("{} by {by}; `omne resume` goes on", gate.state))
        });
        let error = error.or(answered);
        let reason = error.or_else(|| rare.and_then(|rare| rare.reason.clone()));
        let note = [reason, asks, round, denied, cost].into_iter().flatten().collect::<Vec<_>>().join(" · ");
        let attempt = Some(record.attempt).filter(|attempt| *attempt > 0);
        rows.push([
            id.as_str().into(),
            format_smolstr!("{} {word}", sign(word)),
            span.map_or_else(SmolStr::default, |ms| took(ms).into()),
            attempt.map_or_else(SmolStr::default, |attempt| attempt.to_smolstr()),
            note.replace('\n', " ").into(),
        ]);
    }
    *out += &table(&rows, |row, column, cell| match (row, column) {
        (0, _) => paint.dim(cell),
        (_, 1) => paint.state(states[row - 1], cell),
        (_, 2..) => paint.dim(cell),
        _ => cell.into(),
    });
    Ok(())
}
