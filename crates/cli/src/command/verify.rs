//! `verify`: whether logs obey every rule.

use std::{io::Write, process::ExitCode};

use serde_json::json;

use super::log::LogSource;
use crate::{
    args,
    failure::{Exit, Failure, Result},
    render,
    wire::Context,
};

/// How many findings are shown as text.
const SHOWN: usize = 10;

pub(super) fn verify(args: &args::Verify, context: &Context) -> Result<ExitCode> {
    let sources: Vec<LogSource> = if args.all {
        let volume = context.volume()?;
        volume.runs()?.into_iter().map(LogSource::Run).collect()
    } else {
        args.logs.iter().map(|name| LogSource::find(name, context)).collect::<Result<_>>()?
    };
    let paint = context.paint();
    let mut stdout = std::io::stdout().lock();
    let mut damaged = false;
    let mut all = Vec::new();
    for source in &sources {
        let mut reader = match source.reader() {
            Err(_) if args.all => {
                // One directory without a log must not keep the others from being checked.
                damaged = true;
                let name = source.name();
                if args.json {
                    let finding = json!({ "line": 1, "message": "there is no log that can be read" });
                    all.push(json!({ "log": name, "valid": false, "events": 0, "findings": [finding] }));
                } else {
                    writeln!(stdout, "{} {name}: there is no log that can be read", paint.red("✗"))?;
                }
                continue;
            }
            reader => reader?,
        };
        let report = omne_replay::verify(&mut reader).map_err(|error| Failure::new(Exit::Damaged, error))?;
        damaged |= !report.findings.is_empty();
        let name = source.name();
        if args.json {
            all.push(json!({
                "log": name,
                "valid": report.findings.is_empty(),
                "events": report.lines,
                "head": report.chain.head(),
                "linked": !report.legacy,
                "findings": report.findings,
            }));
            continue;
        }
        match report.findings.first() {
            None => {
                let note = if report.legacy { ", not linked: a log of omne-cli 0.2" } else { "" };
                writeln!(stdout, "{} {name}: {} events{note}", paint.green("✓"), report.lines)?;
            }
            Some(_) => {
                writeln!(stdout, "{} {name}: damaged", paint.red("✗"))?;
                for finding in report.findings.iter().take(SHOWN) {
                    writeln!(stdout, "  line {}: {}", finding.line, render::visible(&finding.message))?;
                }
                if report.findings.len() > SHOWN {
                    writeln!(stdout, "  and {} more", report.findings.len() - SHOWN)?;
                }
            }
        }
    }
    if args.json {
        writeln!(stdout, "{}", json!({ "valid": !damaged, "logs": all }))?;
    }
    Ok(if damaged { Exit::Damaged.into() } else { ExitCode::SUCCESS })
}
