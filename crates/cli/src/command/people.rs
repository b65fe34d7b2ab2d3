//! `approve`, `reject`, and questions on the terminal.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    process::ExitCode,
};

use omne_process::Interruptible;
use omne_replay::{Gate, NodePhase, RunState};
use omne_runner::{Answer, Decided, RunDir, decide};

use crate::{args, failure::Result, render::visible, wire::Context};

/// What is said to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Approve,
    Reject,
}

pub(super) fn answer(args: &args::Answer, verdict: Verdict, context: &Context) -> Result<ExitCode> {
    let volume = context.volume()?;
    let run = volume.resolve(&args.run)?;
    let answer = Answer {
        node: args.node.clone(),
        option: args.option.clone(),
        approved: verdict == Verdict::Approve,
        by: context.user(),
        comment: args.comment.clone(),
    };
    let (node, decided) = decide(&run, &answer, &context.clock, context.ids())?;
    let word = if answer.approved { "approved" } else { "rejected" };
    let next = match decided {
        Decided::ByOwner => "its runner goes on".to_owned(),
        Decided::Here => format!("go on with: omne resume {}", run.id),
    };
    writeln!(std::io::stdout().lock(), "{node} is {word}; {next}")?;
    Ok(ExitCode::SUCCESS)
}

/// Whether there is somebody at a terminal.
pub(super) fn can_be_asked() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks what each waiting node wants to know. `false` when nobody answered any of it.
pub(super) fn ask(run: &RunDir, state: &RunState, context: &Context) -> Result<bool> {
    let _interruptible = Interruptible::new()?;
    let mut answered = false;
    for (id, _, record) in state.nodes() {
        let Some(gate) = record.gate().filter(|_| record.phase == NodePhase::Waiting) else { continue };
        let Some((option, approved)) = question(id.as_str(), gate, context)? else { continue };
        let answer = Answer {
            node: Some(id.to_string()),
            option: Some(option),
            approved,
            by: context.user(),
            comment: None,
        };
        decide(run, &answer, &context.clock, context.ids())?;
        answered = true;
    }
    Ok(answered)
}

/// The answer to one question; `None` when it is left open.
fn question(node: &str, gate: &Gate, context: &Context) -> Result<Option<(String, bool)>> {
    let paint = context.paint_errors();
    let mut stderr = std::io::stderr().lock();
    writeln!(
        stderr,
        "\n{} {}",
        paint.bold(&format!("{node} asks:")),
        visible(gate.prompt.as_deref().unwrap_or(""))
    )?;
    loop {
        let default =
            gate.default.as_ref().map(|default| format!(" [{}]", visible(default))).unwrap_or_default();
        write!(stderr, "{}{default} (Ctrl-D leaves it open): ", visible(&gate.options.join(" / ")))?;
        stderr.flush()?;
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            writeln!(stderr)?;
            return Ok(None);
        }
        let said = line.trim();
        let said = if said.is_empty() { gate.default.as_deref().unwrap_or("") } else { said };
        let fits: Vec<&String> = gate
            .options
            .iter()
            .filter(|option| {
                option.eq_ignore_ascii_case(said)
                    || (!said.is_empty() && option.to_lowercase().starts_with(&said.to_lowercase()))
            })
            .collect();
        match fits[..] {
            [option] => return Ok(Some((option.clone(), omne_runner::approves(option)))),
            _ => writeln!(stderr, "give one of: {}", visible(&gate.options.join(", ")))?,
        }
    }
}
