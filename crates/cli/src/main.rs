//! `omne`: arguments, progress, rendering, exit codes.

mod args;
mod command;
mod failure;
mod progress;
mod render;
mod stream;
mod wire;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    omne_process::give_back_large_memory();
    omne_process::keep_own_rights();
    // Without it, that limit is told by the signal that it ends this process with.
    let _ = omne_process::outlive_file_size_limit();
    let arguments = args::Arguments::parse();
    let context = wire::Context::new(&arguments);
    match command::execute(arguments.command, &context) {
        Ok(code) => code,
        Err(failure) => failure.report(&context),
    }
}
