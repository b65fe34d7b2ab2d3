//! `verify`: whether logs obey every rule, and captures are what logs say.

use std::{io::Write, process::ExitCode};

use omne_events::Digest;
use omne_runner::{Anchor, anchored_head};
use serde_json::{Value, json};

use super::{
    captures::{self, Captures},
    log::LogSource,
};
use crate::{
    args,
    failure::{Exit, Failure, Result},
    render,
    wire::Context,
};

/// How many findings are shown as text.
const SHOWN: usize = 10;

pub(super) fn verify(args: &args::Verify, context: &Context) -> Result<ExitCode> {
    let expected = args.expect.as_deref().map(digest).transpose()?;
    let sources: Vec<LogSource> = if args.all {
        let volume = context.volume()?;
        volume.runs()?.into_iter().map(LogSource::Run).collect()
    } else {
        args.logs.iter().map(|name| LogSource::find(name, context)).collect::<Result<_>>()?
    };
    let mut stdout = std::io::stdout().lock();
    let mut worst = Verdict::Valid;
    let mut all = Vec::new();
    for source in &sources {
        let checked = match Checked::of(source, expected, context) {
            // One directory without a log must not keep the others from being checked.
            Err(_) if args.all => {
                let findings = vec![(1, "there is no log that can be read".to_owned())];
                Checked::without_events(source, findings)
            }
            checked => checked?,
        };
        worst = worst.max(checked.verdict());
        if args.json {
            all.push(checked.json());
        } else if args.head {
            writeln!(stdout, "{}", checked.head.map(|head| head.to_string()).unwrap_or_default())?;
        } else {
            stdout.write_all(checked.text(context).as_bytes())?;
        }
    }
    if args.json {
        writeln!(stdout, "{}", json!({ "valid": worst == Verdict::Valid, "logs": all }))?;
    }
    Ok(match worst {
        Verdict::Valid => ExitCode::SUCCESS,
        Verdict::Differs => Exit::Aborted.into(),
        Verdict::Damaged => Exit::Damaged.into(),
    })
}

fn digest(text: &str) -> Result<Digest> {
    Digest::parse(text.trim().as_bytes()).ok_or_else(|| {
        Failure::message(Exit::Input, format!("`{text}` is no head of a log"))
            .help("`omne verify RUN --head` prints one: 64 characters")
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Valid,
    /// The log is right, and files beside it are not what it says.
    Differs,
    Damaged,
}

/// A log that was looked at.
struct Checked {
    name: String,
    events: u64,
    /// How many events something was removed from: they are known by their digests alone.
    redacted: u64,
    head: Option<Digest>,
    legacy: bool,
    findings: Vec<(u64, String)>,
    captures: Captures,
}

impl Checked {
    fn of(source: &LogSource, expected: Option<Digest>, context: &Context) -> Result<Self> {
        let anchored = match source {
            LogSource::Run(run) => {
                let volume = context.volume()?;
                let is_kept = context.settings(&volume)?.anchor == Some(Anchor::Git);
                if is_kept { anchored_head(&volume, &run.id) } else { None }
            }
            LogSource::File(_) | LogSource::Bundle(..) | LogSource::Stdin => None,
        };
        if let LogSource::Run(run) = source
            && expected.or(anchored).is_none()
            && run.never_began()
        {
            // Its runner died, or starts just now: nothing was recorded, so nothing is lost.
            return Ok(Self::without_events(source, Vec::new()));
        }
        let report = source.verify(expected.or(anchored))?;
        let mut findings: Vec<(u64, String)> =
            report.findings.iter().map(|finding| (finding.line, finding.message.clone())).collect();
        let mut lost = Vec::new();
        if let Some(head) = expected.or(anchored).filter(|_| report.expected_at.is_none()) {
            lost.push((if expected.is_some() { "the head that was given" } else { "the head in git" }, head));
        }
        if let (Some(_), Some(head)) = (expected, anchored)
            && source.verify(Some(head))?.expected_at.is_none()
        {
            lost.push(("the head in git", head));
        }
        findings.extend(lost.into_iter().map(|(what, head)| {
            let message =
                format!("no line has the digest {head}, {what}: what led to it was cut off or changed");
            (report.lines, message)
        }));
        let captures = match source.nodes() {
            Some(nodes) => captures::check(&nodes, &report.state, source.redacted_files()),
            None => Captures::default(),
        };
        let head = (!report.legacy && report.lines > 0).then(|| report.chain.head());
        let (name, events, legacy) = (source.name(), report.lines, report.legacy);
        let redacted = report.chain.redacted();
        Ok(Self { name, events, redacted, head, legacy, findings, captures })
    }

    fn without_events(source: &LogSource, findings: Vec<(u64, String)>) -> Self {
        let captures = Captures::default();
        Self { name: source.name(), events: 0, redacted: 0, head: None, legacy: false, findings, captures }
    }

    fn verdict(&self) -> Verdict {
        if !self.findings.is_empty() {
            Verdict::Damaged
        } else if self.captures.differ() {
            Verdict::Differs
        } else {
            Verdict::Valid
        }
    }

    fn json(&self) -> Value {
        let finding = |(line, message): &(u64, String)| json!({ "line": line, "message": message });
        json!({
            "log": self.name,
            "valid": self.verdict() == Verdict::Valid,
            "events": self.events,
            "head": self.head,
            "linked": !self.legacy,
            "redacted": self.redacted,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "captures": self.captures,
        })
    }

    fn text(&self, context: &Context) -> String {
        use std::fmt::Write as _;
        let paint = context.paint();
        let (name, events) = (render::visible(&self.name), self.events);
        // A write to a text does not fail.
        let mut text = String::new();
        let _ = match self.verdict() {
            Verdict::Valid if events == 0 => {
                writeln!(text, "{} {name}: the run never began, nothing was recorded", paint.green("✓"))
            }
            Verdict::Valid => {
                let linked = if self.legacy { ", not linked: a log of omne-cli 0.2" } else { "" };
                let captures = self.captures.describe();
                let redacted = match self.redacted {
                    0 => String::new(),
                    redacted => format!(" ({redacted} redacted, known by their digests alone)"),
                };
                writeln!(text, "{} {name}: {events} events{redacted}{linked}{captures}", paint.green("✓"))
            }
            Verdict::Differs => {
                writeln!(
                    text,
                    "{} {name}: {events} events, and captures that are not what it says",
                    paint.red("✗")
                )
            }
            Verdict::Damaged => writeln!(text, "{} {name}: damaged", paint.red("✗")),
        };
        for (line, message) in self.findings.iter().take(SHOWN) {
            let _ = writeln!(text, "  line {line}: {}", render::visible(message));
        }
        let more = self.findings.len().saturating_sub(SHOWN);
        if more > 0 {
            let _ = writeln!(text, "  and {more} more");
        }
        for difference in self.captures.differences.iter().take(SHOWN) {
            let _ = writeln!(text, "  {}: {}", difference.node_id, difference.message);
        }
        let more = self.captures.differences.len().saturating_sub(SHOWN);
        if more > 0 {
            let _ = writeln!(text, "  and {more} more");
        }
        text
    }
}
