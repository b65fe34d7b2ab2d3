//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod past;

pub(crate) use past::*;

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

// Of no command but the one that is called are arguments made.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
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
    #[command(subcommand)]
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
    Man(Man),
    /// What agents call before and after they use a tool
    #[command(hide = true)]
    ToolHook,
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

// What a run may cost. (A doc comment would become the description of the command that has it.)
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

// What is shown of a run under way.
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

#[derive(Debug, Subcommand)]
pub(crate) enum Hooks {
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
pub(crate) struct Man {
    /// The command whose page it is (default: that of omne itself)
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}
