//! One command a file.

mod audit;
mod bundle;
pub(crate) mod captures;
mod clean;
mod diff;
mod doctor;
mod events;
mod export;
mod graph;
mod hooks;
mod info;
mod init;
mod log;
mod logs;
mod people;
mod replay;
mod run;
mod status;
mod test;
mod validate;
mod verify;
mod why;

use std::{process::ExitCode, time::Duration};

use omne_pipe::parse_duration;

use crate::{
    args::Command,
    failure::{Exit, Failure, Result},
    wire::Context,
};

pub(crate) fn execute(command: Command, context: &Context) -> Result<ExitCode> {
    match command {
        Command::Init(args) => init::init(&args, context),
        Command::Validate(args) => validate::validate(&args, context),
        Command::Run(args) => run::run(&args, context),
        Command::Resume(args) => run::resume(&args, context),
        Command::Cancel(args) => run::cancel(&args, context),
        Command::Approve(args) => people::answer(&args, people::Verdict::Approve, context),
        Command::Reject(args) => people::answer(&args, people::Verdict::Reject, context),
        Command::Status(args) => status::status(&args, context),
        Command::Logs(args) => logs::logs(&args, context),
        Command::Events(args) => events::events(&args, context),
        Command::Replay(args) => replay::replay(&args, context),
        Command::Verify(args) => verify::verify(&args, context),
        Command::Graph(args) => graph::graph(&args, context),
        Command::Why(args) => why::why(&args, context),
        Command::Diff(args) => diff::diff(&args, context),
        Command::Export(args) => export::export(&args, context),
        Command::Bundle(args) => bundle::bundle(&args, context),
        Command::Audit(args) => audit::audit(&args, context),
        Command::Hooks(args) => hooks::hooks(&args, context),
        Command::Test(args) => test::test(&args, context),
        Command::Doctor(args) => doctor::doctor(&args, context),
        Command::Clean(args) => clean::clean(&args, context),
        Command::Pin(args) => clean::pin(&args, context),
        Command::Explain(args) => info::explain(&args, context),
        Command::Schema(args) => info::schema(&args),
        Command::Completions(args) => info::completions(&args),
        Command::Man(args) => info::man(&args),
        Command::ToolHook => hooks::tool(),
    }
}

/// An age as people write it.
fn age(text: &str) -> Result<Duration> {
    parse_duration(text).map_err(|why| {
        Failure::message(Exit::Input, format!("`{text}` is not an age: {why}"))
            .help("write parts such as `30d` or `12h`")
    })
}
