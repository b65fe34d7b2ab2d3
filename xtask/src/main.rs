//! What the project does to itself: `cargo xtask bench`, `cargo xtask counts`, `cargo xtask log`.

#![expect(
    clippy::disallowed_methods,
    reason = "it measures processes from outside, and must not do so by the code that it measures"
)]

mod arguments;
mod bench;
mod counts;
mod digesting;
mod files;
mod machine;
mod measure;
mod plot;
mod table;
mod tools;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use arguments::Command;

fn main() -> ExitCode {
    let done = match arguments::read(std::env::args().skip(1)) {
        Ok(Command::Help) => table::say(arguments::HELP),
        Ok(Command::Bench(options)) => bench::run(&options),
        Ok(Command::Counts(options)) => counts::run(&options),
        Ok(Command::Floor(floor)) => floor.run(),
        Ok(Command::Log { volume, events, nodes }) => log(&volume, events, nodes),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::tell(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Makes a volume with one run of that many events.
fn log(volume: &std::path::Path, events: u64, nodes: u64) -> Result<()> {
    let made = files::file_log(volume, 0, events, nodes)?;
    table::say(&format!("{}", made.run))
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map_or(own.clone(), PathBuf::from)
}
