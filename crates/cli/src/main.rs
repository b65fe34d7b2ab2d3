//! `omne`: arguments, progress, rendering, exit codes.

mod args;
mod command;
mod failure;
mod progress;
mod render;
mod stream;
mod wire;

use std::{io::Write as _, process::ExitCode};

use clap::Parser;

fn main() -> ExitCode {
    omne_process::give_back_large_memory();
    omne_process::keep_own_rights();
    // Without it, that limit is told by the signal that it ends this process with.
    let _ = omne_process::outlive_file_size_limit();
    let arguments = match args::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => return tell(&told),
    };
    let context = wire::Context::new(&arguments);
    match command::execute(arguments.command, &context) {
        Ok(code) => code,
        Err(failure) => failure.report(&context),
    }
}

/// Prints what was asked for instead of a command, or what is wrong with the arguments, in the form of all errors.
fn tell(told: &clap::Error) -> ExitCode {
    let text = told.render().ansi().to_string();
    if !told.use_stderr() {
        let written = anstream::stdout().lock().write_all(text.as_bytes());
        return written.map_or_else(|_| failure::Exit::Write.into(), |()| ExitCode::SUCCESS);
    }
    let mut text = text.replace("  tip:", "help:").replace("  \u{1b}[32mtip:", "\u{1b}[32mhelp:");
    if !text.contains("help:") {
        text = text.replace("For more information, try", "help: for more information, try");
    }
    // Nobody is left to tell if this fails.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
    failure::Exit::Input.into()
}
