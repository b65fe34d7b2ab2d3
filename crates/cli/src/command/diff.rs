//! `diff`: what differs between two runs.

use std::{io::Write as _, process::ExitCode};

use omne_audit::{Difference, Weight};
use serde_json::json;

use super::log::LogSource;
use crate::{
    args,
    failure::{Exit, Result},
    render::{short, table},
    wire::Context,
};

/// The longest value that is shown, in characters.
const MOST: usize = 60;

pub(super) fn diff(args: &args::Diff, context: &Context) -> Result<ExitCode> {
    let [a, b] = [&args.a, &args.b].map(|name| LogSource::find(name, context));
    let (a, b) = (a?, b?);
    let (left, right) = (a.story(|_, _| {})?, b.story(|_, _| {})?);
    let differences = omne_audit::diff(&left, &right);
    let differ = differences.iter().any(|difference| difference.weight == Weight::Real);
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(
            stdout,
            "{}",
            json!({ "a": a.name(), "b": b.name(), "differ": differ, "differences": differences })
        )?;
    } else {
        let paint = context.paint();
        let shown = |value: &Option<String>| {
            value.as_ref().map_or_else(|| "-".to_owned(), |value| short(value, MOST))
        };
        let row = |difference: &Difference| {
            let node = difference.node_id.as_deref().unwrap_or("the run").to_owned();
            vec![node, difference.what.clone(), shown(&difference.a), "→".to_owned(), shown(&difference.b)]
        };
        let rows: Vec<Vec<String>> = differences.iter().map(row).collect();
        let text = table(&rows, |row, column, cell| match (differences[row].weight, column) {
            (Weight::Measured, _) | (_, 3) => paint.dim(cell),
            (Weight::Real, 0) => paint.bold(cell),
            (Weight::Real, _) => cell.into(),
        });
        stdout.write_all(text.as_bytes())?;
        if !differ {
            let times = if differences.is_empty() { "" } else { " but times and costs" };
            writeln!(stdout, "nothing{times} differs")?;
        }
    }
    Ok(if differ { Exit::Aborted.into() } else { ExitCode::SUCCESS })
}
