//! `audit`: the index of all runs, questions to it, and what they come to.

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
    time::Duration,
};

use omne_audit::{Answer, Cell, Index, IndexError, Log, PipeReport, QueryError, Synced};
use omne_events::{Clock, Timestamp};
use omne_pipe::format_duration;
use omne_runner::Volume;
use serde_json::{Map, Value, json};

use super::{age, log::Life};
use crate::{
    args::{self, RowFormat},
    failure::{Exit, Failure, Result},
    render::{Paint, short, table, visible},
    wire::Context,
};

/// How many rows are looked at before a table's columns have their widths.
const MOST_ROWS: usize = 1000;
/// The widest cell of a table, in characters; the other formats have all of it.
const MOST_CELL: usize = 80;

pub(super) fn audit(args: &args::Audit, context: &Context) -> Result<ExitCode> {
    let volume = context.volume()?;
    match args {
        args::Audit::Sync(args) => sync_only(args, &volume, context),
        args::Audit::Sql(args) => sql(args, &volume, context),
        args::Audit::Report(args) => report(args, &volume, context),
    }
}

/// The index, up to date.
fn sync(volume: &Volume) -> Result<(Index, Synced)> {
    let logs: Vec<Log> = volume.runs()?.into_iter().map(|run| Log { path: run.log(), run: run.id }).collect();
    let is_alive = |log: &Log| Life::of_log(&log.path) == Life::Alive;
    Ok(Index::sync(&volume.place("var/index.db"), &logs, &is_alive)?)
}

/// The same, with what was noticed told.
fn synced(volume: &Volume, context: &Context) -> Result<Index> {
    let (index, synced) = sync(volume)?;
    warn(&synced, context)?;
    Ok(index)
}

fn warn(synced: &Synced, context: &Context) -> Result<()> {
    let warning = context.paint_errors().yellow("warning");
    let mut stderr = std::io::stderr().lock();
    for notice in &synced.notices {
        let run = notice.run_id.as_ref().map(|run| format!("{run}: ")).unwrap_or_default();
        writeln!(stderr, "{warning}: {run}{}", visible(&notice.message))?;
    }
    Ok(())
}

fn sync_only(args: &args::AuditSync, volume: &Volume, context: &Context) -> Result<ExitCode> {
    let (_, synced) = sync(volume)?;
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", serde_json::to_value(&synced).unwrap_or_default())?;
    } else {
        warn(&synced, context)?;
        let Synced { runs, read, events, .. } = synced;
        writeln!(stdout, "{runs} run(s), {read} of them read, {events} new event(s)")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn sql(args: &args::AuditSql, volume: &Volume, context: &Context) -> Result<ExitCode> {
    let index = synced(volume, context)?;
    let mut rows = Rows {
        out: BufWriter::new(std::io::stdout().lock()),
        format: args.format,
        paint: context.paint(),
        names: Vec::new(),
        table: Vec::new(),
    };
    index.query(&args.sql, &mut rows)?;
    rows.flush_table()?;
    rows.out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Prints rows as they come.
struct Rows<W: Write> {
    out: W,
    format: RowFormat,
    paint: Paint,
    names: Vec<String>,
    /// Rows whose columns have no widths yet; the first holds the names.
    table: Vec<Vec<String>>,
}

impl<W: Write> Rows<W> {
    fn flush_table(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.table);
        let paint = self.paint;
        let text = table(&rows, |row, _, cell| if row == 0 { paint.dim(cell) } else { cell.into() });
        self.out.write_all(text.as_bytes())
    }
}

impl<W: Write> Answer for Rows<W> {
    fn columns(&mut self, names: &[&str]) -> io::Result<()> {
        self.names = names.iter().map(|&name| name.to_owned()).collect();
        match self.format {
            RowFormat::Table => self.table.push(names.iter().map(|name| short(name, MOST_CELL)).collect()),
            RowFormat::Json => {
                // An object has each name once.
                for place in 1..self.names.len() {
                    let (before, rest) = self.names.split_at_mut(place);
                    let same = names[..place].iter().filter(|name| **name == rest[0]).count();
                    if same > 0 {
                        let numbered = (same + 1..).map(|n| format!("{}_{n}", rest[0]));
                        rest[0] =
                            numbered.into_iter().find(|name| !before.contains(name)).unwrap_or_default();
                    }
                }
            }
            RowFormat::Csv => write_csv(&mut self.out, names.iter().copied())?,
        }
        Ok(())
    }

    fn row(&mut self, cells: &[Cell]) -> io::Result<()> {
        match self.format {
            RowFormat::Table => {
                self.table.push(cells.iter().map(|cell| short(&text(cell), MOST_CELL)).collect());
                if self.table.len() > MOST_ROWS {
                    self.flush_table()?;
                    self.table.push(self.names.iter().map(|name| short(name, MOST_CELL)).collect());
                }
            }
            RowFormat::Json => {
                let entry = |(name, cell): (&String, &Cell)| (name.clone(), value(cell));
                let row: Map<String, Value> = self.names.iter().zip(cells).map(entry).collect();
                writeln!(self.out, "{}", Value::Object(row))?;
            }
            RowFormat::Csv => {
                let texts: Vec<String> = cells.iter().map(text).collect();
                write_csv(&mut self.out, texts.iter().map(String::as_str))?;
            }
        }
        Ok(())
    }
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
    }
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => (*number).into(),
        Cell::Real(number) => (*number).into(),
        Cell::Text(text) => text.as_str().into(),
    }
}

/// A line as RFC 4180 has it, but for its end: `\n` alone.
fn write_csv<'a>(out: &mut impl Write, fields: impl Iterator<Item = &'a str>) -> io::Result<()> {
    for (place, field) in fields.enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        if field.contains([',', '"', '\n', '\r']) {
            write!(out, "\"{}\"", field.replace('"', "\"\""))?;
        } else {
            out.write_all(field.as_bytes())?;
        }
    }
    out.write_all(b"\n")
}

fn report(args: &args::AuditReport, volume: &Volume, context: &Context) -> Result<ExitCode> {
    let since = args.since.as_deref().map(age).transpose()?;
    let since = since.map(|age| {
        let ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(context.clock.now().as_millisecond().saturating_sub(ms))
    });
    let pipes = synced(volume, context)?.report(since)?;
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", json!({ "since": since, "pipes": pipes }))?;
    } else if pipes.is_empty() {
        writeln!(stdout, "no runs")?;
    } else {
        stdout.write_all(describe(&pipes, context.paint()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(pipes: &[PipeReport], paint: Paint) -> String {
    let time = |ms: u64| format_duration(Duration::from_millis(ms));
    let or_dash = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), time);
    let head = ["PIPE", "RUNS", "SUCCESS", "P50", "P95", "COST"].map(str::to_owned).to_vec();
    let row = |pipe: &PipeReport| {
        let rate = pipe.success_rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.0} %", rate * 100.0));
        let cost = if pipe.cost_usd > 0.0 { format!("${:.2}", pipe.cost_usd) } else { "-".to_owned() };
        vec![pipe.pipe.clone(), pipe.runs.to_string(), rate, or_dash(pipe.p50_ms), or_dash(pipe.p95_ms), cost]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(pipes.iter().map(row)).collect();
    let mut out = table(&rows, |row, _, cell| if row == 0 { paint.dim(cell) } else { cell.into() });
    let flaky = pipes.iter().flat_map(|pipe| {
        pipe.flakiest.iter().map(|node| {
            let failed = format!("failed in {} of {} runs", node.failed, node.runs);
            vec![
                format!("{}/{}", pipe.pipe, node.node_id),
                failed,
                format!("{} needed retries", node.retried),
            ]
        })
    });
    let slow = pipes.iter().flat_map(|pipe| {
        pipe.slowest.iter().map(|node| {
            let times = [node.p50_ms, node.p95_ms].map(time);
            let [p50, p95] = times.map(|time| time.to_string());
            vec![format!("{}/{}", pipe.pipe, node.node_id), format!("p50 {p50}"), format!("p95 {p95}")]
        })
    });
    for (title, rows) in [("flakiest nodes", flaky.collect::<Vec<_>>()), ("slowest nodes", slow.collect())] {
        if !rows.is_empty() {
            let body = table(&rows, |_, _, cell| cell.into()).replace('\n', "\n  ");
            out += &format!("\n{}\n  {}\n", paint.bold(title), body.trim_end());
        }
    }
    out
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        let help = "is there room on the disk, and may it be written to? the index is made from the logs alone: it can be removed \
                    at any time, and is made again";
        Failure::new(Exit::Write, error).help(help)
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Output(_) | QueryError::Index(_) => Failure::new(Exit::Write, error),
            QueryError::Writes | QueryError::Several => Failure::new(Exit::Input, error),
            QueryError::Sql { .. } => Failure::new(Exit::Input, error).help(
                "the tables are runs, inputs, nodes, events and hooks; docs/audit.md lists their columns",
            ),
        }
    }
}
