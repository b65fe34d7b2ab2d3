//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs pipes of shell steps and coding agents, and can tell afterwards what happened.
#[derive(Debug, Parser)]
#[command(
    name = "omne",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    /// The volume: a directory with a `.omne/` (default: the nearest one above)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) volume: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a volume here, with a pipe that runs at once
    Init(Init),
    /// Check pipe files, all faults at once
    Validate(Validate),
    /// Run a pipe
    Run(Run),
    /// Go on with a run that failed, was interrupted or died
    Resume(Resume),
    /// End a run that is under way
    Cancel(Cancel),
    /// Let a node go on that waits for people
    Approve(Answer),
    /// Do not let a node go on that waits for people
    Reject(Answer),
    /// Show a run, or the list of runs
    Status(Status),
    /// Show what nodes printed
    Logs(Logs),
    /// Show the events of a run
    Events(Events),
    /// Rebuild the state of a run from its log alone
    Replay(Replay),
    /// Check that logs obey every rule
    Verify(Verify),
    /// Draw the graph of a pipe or a run
    Graph(Graph),
    /// Tell why a node is in the state that it is in
    Why(Why),
    /// Show what differs between two runs
    Diff(Diff),
    /// Write a run in a form that other programs read
    Export(Export),
    /// Pack a run into one file, to be read elsewhere
    Bundle(Bundle),
    /// Ask questions about all runs of the volume
    #[command(subcommand)]
    Audit(Audit),
    /// Look at hooks and rules, and try them
    Hooks(Hooks),
    /// Play recorded runs again and compare what comes out
    Test(Test),
    /// Check what runs need: agents, git, a shell, the disk
    Doctor(Doctor),
    /// Remove runs
    Clean(Clean),
    /// Keep a run from being removed
    Pin(Pin),
    /// Say what a diagnostic means
    Explain(Explain),
    /// Print a JSON schema
    Schema(Schema),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page
    Man,
    /// What agents call before and after they use a tool
    #[command(hide = true)]
    ToolHook,
}

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
    #[arg(value_name = "SELECT")]
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
pub(crate) struct Init {
    /// Which example pipe to begin with
    #[arg(long, value_name = "NAME", default_value = "hello")]
    pub(crate) example: String,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Names of pipes, or files (default: all pipes of the volume)
    #[arg(value_name = "PIPE")]
    pub(crate) pipes: Vec<String>,
    /// One JSON object with all diagnostics
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The name of a pipe of the volume, or a file
    #[arg(value_name = "PIPE|FILE")]
    pub(crate) pipe: String,
    /// An input
    #[arg(short, long = "input", value_name = "KEY=VALUE")]
    pub(crate) input: Vec<String>,
    /// A YAML or JSON file of inputs; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) inputs: Option<PathBuf>,
    /// Most nodes at once
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) jobs: Option<u32>,
    /// Where nodes run
    #[arg(long, value_name = "MODE")]
    pub(crate) workspace: Option<Workspace>,
    /// Print what would run, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Go on with what does not depend on a failed node (the default)
    #[arg(long, conflicts_with = "fail_fast")]
    pub(crate) keep_going: bool,
    /// Start nothing new after the first failure
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Play the agents of a run that was recorded instead of asking them
    #[arg(long, value_name = "RUN")]
    pub(crate) agent_replay: Option<String>,
    #[command(flatten)]
    pub(crate) money: Money,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workspace {
    /// A detached git worktree of HEAD
    Worktree,
    /// In place
    Root,
}

/// What a run may cost.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Money {
    /// The most that the run's agents may cost in all, in US dollars
    #[arg(long, value_name = "USD", value_parser = dollars)]
    pub(crate) budget: Option<f64>,
}

fn dollars(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(usd) if usd.is_finite() && usd >= 0.0 => Ok(usd),
        _ => Err("give a number of US dollars, such as 2.50".to_owned()),
    }
}

/// What is shown of a run under way.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Show {
    /// Print the events to standard output as they are written
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Ask nobody: with questions alone left, end with exit code 6 (as without a terminal)
    #[arg(long)]
    pub(crate) no_ask: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// A run: its id, an unambiguous part of it, `@last` or `@failed`
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Run this node again, with all that depends on it
    #[arg(long, value_name = "NODE")]
    pub(crate) from: Vec<String>,
    /// Go on with a changed pipe: a file, or `@current` for the volume's pipe of that name
    #[arg(long, value_name = "FILE")]
    pub(crate) pipe: Option<String>,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Most nodes at once
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) jobs: Option<u32>,
    #[command(flatten)]
    pub(crate) money: Money,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// A run: its id, an unambiguous part of it, or `@last`
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// A run: its id, an unambiguous part of it, or `@last`
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// The node that waits (default: the only one that does)
    #[arg(value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// One of the answers that it offers
    #[arg(long, value_name = "OPTION")]
    pub(crate) option: Option<String>,
    /// What there is to say about it
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
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
pub(crate) struct Hooks {
    #[command(subcommand)]
    pub(crate) command: HooksCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HooksCommand {
    /// List hooks in the order that they are asked in, and rules
    List,
    /// Check `hooks.toml`, and whether its programs are there
    Check,
    /// Ask the hooks of an event, and show what each says and what it comes to
    Fire(Fire),
    /// Ask hooks and rules about the nodes of past runs, and list what they would decide otherwise
    Backtest(Backtest),
    /// Ask each hook a few times, and show how long it took
    Doctor,
}

#[derive(Debug, Args)]
pub(crate) struct Backtest {
    /// The runs (default: all of the volume)
    #[arg(value_name = "RUN")]
    pub(crate) runs: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Fire {
    /// The event, such as `pre_node`
    #[arg(value_name = "EVENT")]
    pub(crate) event: String,
    /// What hooks are told, as a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) payload: String,
    /// The pipe that it is about
    #[arg(long, value_name = "NAME", default_value = "try")]
    pub(crate) pipe: String,
    /// The node that it is about
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The cases to play (default: all of the volume)
    #[arg(value_name = "CASE", conflicts_with = "record")]
    pub(crate) cases: Vec<String>,
    /// Make a case of a run that has ended
    #[arg(long, value_name = "RUN")]
    pub(crate) record: Option<String>,
    /// What to call it (default: as its pipe)
    #[arg(long, value_name = "NAME", requires = "record")]
    pub(crate) name: Option<String>,
    /// Store what comes out as what has to come out
    #[arg(long, conflicts_with = "record")]
    pub(crate) accept: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// One JSON object with all findings
    #[arg(long)]
    pub(crate) json: bool,
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

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A code such as `E0103`; without one, all codes are listed
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Of what
    #[arg(value_name = "WHAT")]
    pub(crate) of: SchemaOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Pipe files
    Pipe,
    /// Lines of a log
    Event,
    /// What hooks are asked and answer
    Hooks,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}
