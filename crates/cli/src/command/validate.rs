//! `validate`: all faults of pipe files at once.

use std::{io::Write, path::PathBuf, process::ExitCode};

use omne_pipe::{Colour, Severity, render};
use omne_runner::Volume;

use super::run::find_pipe;
use crate::{
    args,
    failure::{Exit, Failure, Result},
    wire::Context,
};

pub(super) fn validate(args: &args::Validate, context: &Context) -> Result<ExitCode> {
    let files: Vec<(Volume, PathBuf)> = if args.pipes.is_empty() {
        let volume = context.volume()?;
        let found = volume.pipes()?;
        if found.is_empty() {
            let message = format!("there are no pipes in `{}`", volume.place("dist/pipes").display());
            return Err(Failure::message(Exit::NotFound, message).help("give the path of a file"));
        }
        found.into_iter().map(|found| (volume.clone(), found.path)).collect()
    } else {
        let find = |name: &String| find_pipe(name, context).map(|(volume, _, path)| (volume, path));
        args.pipes.iter().map(find).collect::<Result<_>>()?
    };
    let paint = context.paint();
    let colour = if paint.is_on() { Colour::Yes } else { Colour::No };
    let mut stdout = std::io::stdout().lock();
    let (mut errors, mut warnings) = (0, 0);
    let mut all = Vec::new();
    for (volume, path) in &files {
        let (source, checked) = context.check_pipe(path, volume)?;
        let name = context.shown(path);
        for diagnostic in &checked.diagnostics {
            match diagnostic.severity() {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
            if args.json {
                all.push(diagnostic.to_json(&name));
            } else {
                writeln!(stdout, "{}\n", render(diagnostic, &source, colour))?;
            }
        }
        if let (Some(pipe), false) = (&checked.pipe, args.json) {
            writeln!(stdout, "{} {name}: {} nodes", paint.green("✓"), pipe.nodes().len())?;
        } else if !args.json {
            writeln!(stdout, "{} {name}: {} error(s)", paint.red("✗"), checked.errors())?;
        }
    }
    if args.json {
        let report = serde_json::json!({
            "valid": errors == 0,
            "files": files.len(),
            "errors": errors,
            "warnings": warnings,
            "diagnostics": all,
        });
        writeln!(stdout, "{report}")?;
    }
    Ok(if errors > 0 { Exit::Input.into() } else { ExitCode::SUCCESS })
}
