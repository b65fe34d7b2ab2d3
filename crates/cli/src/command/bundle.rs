//! `bundle`: a run as one file.

use std::{io::Write as _, process::ExitCode};

use omne_audit::{Bundled, Redactor};

use super::{
    export::{is_stdout, to_file},
    log::{begun, torn},
};
use crate::{
    args,
    failure::{Exit, Failure, Result},
    render::size,
    wire::Context,
};

pub(super) fn bundle(args: &args::Bundle, context: &Context) -> Result<ExitCode> {
    let redactor = Redactor::new(args.redact.iter().map(String::as_str)).map_err(|(pattern, why)| {
        Failure::message(Exit::Input, format!("`{pattern}` is not a regular expression: {why}"))
            .help("put a backslash before characters that mean themselves, such as `\\.`")
    })?;
    let run = context.volume()?.resolve(&args.run)?;
    begun(&run)?;
    let bundled = to_file(&args.output, |out| Ok(omne_audit::bundle(&run.id, &run.path, &redactor, out)?))?;
    if bundled.torn_bytes > 0 {
        anstream::eprintln!("warning: {}", torn(bundled.torn_bytes));
    }
    if is_stdout(&args.output) {
        return Ok(ExitCode::SUCCESS);
    }
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", serde_json::to_value(&bundled).unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    let Bundled { events, files, bytes, redactions, .. } = &bundled;
    let packed = std::fs::metadata(&args.output).map_or(0, |found| found.len());
    let name = context.shown(&args.output);
    writeln!(stdout, "{name}: {events} events and {files} file(s), {} in {}", size(*bytes), size(packed))?;
    for event in &redactions.events {
        writeln!(stdout, "  event {}: {} removed", event.seq, event.count)?;
    }
    for file in &redactions.files {
        writeln!(stdout, "  nodes/{}: {} removed", crate::render::visible(&file.name), file.count)?;
    }
    if !args.redact.is_empty() && redactions.events.is_empty() && redactions.files.is_empty() {
        writeln!(stdout, "  nothing that the patterns match")?;
    }
    Ok(ExitCode::SUCCESS)
}
