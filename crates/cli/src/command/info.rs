//! `explain`, `schema`, `completions`, `man`.

use std::{io::Write, process::ExitCode};

use clap::CommandFactory;
use omne_pipe::Code;

use crate::{
    args::{self, Arguments, SchemaOf},
    failure::{Exit, Failure, Result},
    wire::Context,
};

pub(super) fn explain(args: &args::Explain, context: &Context) -> Result<ExitCode> {
    let mut stdout = std::io::stdout().lock();
    let paint = context.paint();
    let Some(code) = &args.code else {
        for code in Code::ALL {
            let explanation = code.explanation();
            writeln!(stdout, "{}  {}", paint.bold(explanation.code), explanation.title)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(explanation) = omne_pipe::explain(code) else {
        return Err(Failure::message(Exit::Input, format!("there is no code `{code}`"))
            .help("`omne explain` lists all codes"));
    };
    let indent = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    writeln!(stdout, "{}: {}\n", paint.bold(explanation.code), explanation.title)?;
    writeln!(stdout, "{}\n", explanation.text)?;
    writeln!(stdout, "{}\n{}", paint.red("wrong:"), indent(explanation.bad))?;
    write!(stdout, "{}\n{}", paint.green("right:"), indent(explanation.good))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn schema(args: &args::Schema) -> Result<ExitCode> {
    let text = match args.of {
        SchemaOf::Pipe => omne_pipe::SCHEMA,
        SchemaOf::Event => omne_events::SCHEMA,
        SchemaOf::Hooks => omne_hooks::SCHEMA,
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn completions(args: &args::Completions) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "omne", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(args: &args::Man) -> Result<ExitCode> {
    let mut page = Vec::new();
    let mut whole = Arguments::command();
    whole.build();
    let of = match args.command.as_deref() {
        None => whole,
        Some(name) => {
            let found = whole.find_subcommand(name).filter(|found| !found.is_hide_set()).cloned();
            found.ok_or_else(|| {
                Failure::message(Exit::Input, format!("there is no command `{name}`"))
                    .help("`omne --help` lists the commands")
            })?
        }
    };
    clap_mangen::Man::new(of).render(&mut page)?;
    std::io::stdout().lock().write_all(&page)?;
    Ok(ExitCode::SUCCESS)
}
