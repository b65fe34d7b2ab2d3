//! What can be typed to look at past runs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// A run: its id, an unambiguous part of it, `@last` or `@failed`; or a log file
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// The node
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// A run or a log file
    #[arg(value_name = "RUN_A")]
    pub(crate) a: String,
    /// Another one
    #[arg(value_name = "RUN_B")]
    pub(crate) b: String,
    /// JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A run: its id, an unambiguous part of it, `@last` or `@failed`; or a log file
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// The form
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: ExportFormat,
    /// Where to write it (default: standard output)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Bundle {
    /// A run: its id, an unambiguous part of it, `@last` or `@failed`
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Remove what this regular expression matches, from events and captures
    #[arg(long, value_name = "PATTERN")]
    pub(crate) redact: Vec<String>,
    /// JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// For Perfetto and `chrome://tracing`
    ChromeTrace,
    /// An OpenTelemetry trace
    OtlpJson,
    /// For CI servers: a test case a node
    Junit,
    /// One page for people, with everything in it
    Html,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Bring the index up to date with the logs
    Sync(AuditSync),
    /// Ask a question in SQL
    Sql(AuditSql),
    /// Show what the runs of each pipe come to
    Report(AuditReport),
}

#[derive(Debug, Args)]
pub(crate) struct AuditSync {
    /// JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditSql {
    /// One SELECT; the tables are runs, inputs, nodes, events and hooks
    #[arg(value_name = "SELECT", allow_hyphen_values = true)]
    pub(crate) sql: String,
    /// How rows are printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: RowFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    Table,
    /// A JSON object a line
    Json,
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct AuditReport {
    /// Runs that began so long ago at most, such as `7d`
    #[arg(long, value_name = "AGE")]
    pub(crate) since: Option<String>,
    /// JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// A run: its id, an unambiguous part of it, `@last` or `@failed` (default: the list of runs)
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// At most so many runs
    #[arg(short, value_name = "N", default_value_t = 20)]
    pub(crate) number: usize,
    /// Only runs that were aborted or interrupted
    #[arg(long, conflicts_with = "run")]
    pub(crate) failed: bool,
    /// Only runs in this state
    #[arg(long, value_name = "STATE", conflicts_with_all = ["failed", "run"])]
    pub(crate) state: Option<RunState>,
    /// Only runs of this pipe
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    pub(crate) pipe: Option<String>,
    /// Only runs that began so long ago at most, such as `2d`
    #[arg(long, value_name = "AGE", conflicts_with = "run")]
    pub(crate) since: Option<String>,
    /// Show how much disk space each run takes
    #[arg(long, conflicts_with = "run")]
    pub(crate) sizes: bool,
    /// Show it again whenever something changes; a single run until it ends
    #[arg(long)]
    pub(crate) watch: bool,
    /// The state after this event
    #[arg(long, value_name = "SEQ", requires = "run", conflicts_with = "watch")]
    pub(crate) at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunState {
    Running,
    Completed,
    Aborted,
    Interrupted,
    Parked,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A run: its id, an unambiguous part of it, `@last` or `@failed`
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Only this node
    #[arg(value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Go on as more is printed, until the run ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only this round of a loop
    #[arg(long, value_name = "N", requires = "node")]
    pub(crate) iteration: Option<u32>,
    /// What was printed to standard error
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Only the last lines
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// A run: its id, an unambiguous part of it, `@last` or `@failed`
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Go on as more is written, until the run ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only types that match, such as `node.*`
    #[arg(long = "type", value_name = "GLOB")]
    pub(crate) types: Vec<String>,
    /// Only events of this node
    #[arg(long = "node", value_name = "ID")]
    pub(crate) nodes: Vec<String>,
    /// The lines as they are in the log
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A run, a log file, or `-` for standard input
    #[arg(value_name = "RUN|FILE")]
    pub(crate) log: String,
    /// The state after this event
    #[arg(long, value_name = "SEQ")]
    pub(crate) at: Option<u64>,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ReplayFormat,
    /// Walk through it event by event, on a terminal
    #[arg(long, conflicts_with = "format")]
    pub(crate) step: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReplayFormat {
    Text,
    Json,
    /// The same on every machine and at every time
    Snapshot,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Runs or log files
    #[arg(value_name = "RUN|FILE", required_unless_present = "all")]
    pub(crate) logs: Vec<String>,
    /// Every run of the volume
    #[arg(long, conflicts_with = "logs")]
    pub(crate) all: bool,
    /// One JSON object with all findings
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the digest of the last line alone: it stands for the whole log
    #[arg(long, conflicts_with_all = ["all", "json", "expect"])]
    pub(crate) head: bool,
    /// A head that was printed before: nothing up to it may have been cut off or changed since
    #[arg(long, value_name = "HASH", conflicts_with = "all")]
    pub(crate) expect: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// The name of a pipe, a file, or a run
    #[arg(value_name = "PIPE|RUN")]
    pub(crate) of: String,
    /// How to draw it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: GraphFormat,
    /// The states after this event of the run
    #[arg(long, value_name = "SEQ")]
    pub(crate) at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    Text,
    Mermaid,
    Dot,
    Svg,
}

#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Runs that began longer ago, such as `30d` or `12h` (default: 30d, if no other limit is given)
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<String>,
    /// All but the newest N runs
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<usize>,
    /// The oldest runs, until all together take at most so much, such as `500M` or `2G`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_size: Option<u64>,
    /// Keep runs that did not complete
    #[arg(long)]
    pub(crate) keep_failed: bool,
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A size as people write it, in bytes.
fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1_u64 << 40,
        _ => return Err("write a number with K, M, G or T, such as `500M`".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "it does not begin with a whole number".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "that is more than there can be".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// A run: its id, an unambiguous part of it, `@last` or `@failed`
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Let it be removed again
    #[arg(long)]
    pub(crate) off: bool,
}
