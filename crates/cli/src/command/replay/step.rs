//! `replay --step`: through a log event by event.

use std::{io::Write as _, process::ExitCode};

use console::{Key, Term};
use omne_events::Line;
use omne_replay::RunState;

use crate::{
    command::log::LogSource,
    failure::{Exit, Failure, Result},
    render::{self, visible},
    wire::Context,
};

const HELP: &str = "→ next   ← back   g jump to a number   G end   q quit";

/// What a key means.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Next,
    Back,
    First,
    Last,
    Jump,
    Quit,
    Nothing,
}

impl From<Key> for Step {
    fn from(key: Key) -> Self {
        match key {
            Key::ArrowRight | Key::ArrowDown | Key::Enter | Key::Char(' ' | 'n' | 'l' | 'j') => Step::Next,
            Key::ArrowLeft | Key::ArrowUp | Key::Backspace | Key::Char('p' | 'b' | 'h' | 'k') => Step::Back,
            Key::Home | Key::Char('0') => Step::First,
            Key::End | Key::Char('G') => Step::Last,
            Key::Char('g' | ':') => Step::Jump,
            Key::Char('q') | Key::Escape | Key::CtrlC => Step::Quit,
            _ => Step::Nothing,
        }
    }
}

/// A log at one of its events.
struct Moment {
    state: RunState,
    /// The event in words.
    event: String,
}

pub(super) fn step(source: &LogSource, from: Option<u64>, context: &Context) -> Result<ExitCode> {
    let terminal = Term::stdout();
    if !terminal.is_term() || !console::user_attended() || matches!(source, LogSource::Stdin) {
        return Err(Failure::message(Exit::Input, "`--step` needs a terminal, and a log that is a file")
            .help("`--at SEQ` prints one moment"));
    }
    let last = source.fold(None, |_, _| {})?.seq;
    let mut at = from.unwrap_or(1);
    loop {
        let moment = moment(source, at)?;
        show(&terminal, &moment, at, last, context)?;
        loop {
            let to = match Step::from(terminal.read_key()?) {
                Step::Next => at + 1,
                Step::Back => at.saturating_sub(1),
                Step::First => 1,
                Step::Last => last,
                Step::Jump => ask(&terminal)?.unwrap_or(at),
                Step::Quit => return Ok(ExitCode::SUCCESS),
                Step::Nothing => continue,
            };
            at = to.clamp(1, last);
            break;
        }
    }
}

fn moment(source: &LogSource, at: u64) -> Result<Moment> {
    let mut event = String::new();
    let folded = source.fold(Some(at), |_, line| {
        if line.seq() == at {
            event = match &*line.to_line() {
                Line::Known(record) => format!("{} {}", record.at, render::describe(&record.event)),
                Line::Unknown { at, kind, .. } => format!("{at} {kind}"),
            };
        }
    })?;
    Ok(Moment { state: folded.state, event })
}

fn show(terminal: &Term, moment: &Moment, at: u64, last: u64, context: &Context) -> Result<()> {
    let paint = context.paint();
    let (height, width) = terminal.size();
    let graph = match moment.state.pipe() {
        Some(pipe) => render::graph_text(pipe, Some(&moment.state), paint),
        None => String::new(),
    };
    let state = moment.state.phase().as_str();
    let head = format!("{} {}", paint.bold(&format!("event {at} of {last}")), paint.state(state, state));
    let event = visible(&moment.event).replace('\n', " ");
    let event: String = event.chars().take(usize::from(width)).collect();
    let mut text = format!("{head}\n{event}\n\n");
    // The head, the event, two blank lines and the help.
    let room = usize::from(height).saturating_sub(6);
    let lines: Vec<&str> = graph.lines().collect();
    for line in lines.iter().take(room) {
        text += line;
        text.push('\n');
    }
    if lines.len() > room {
        text += &paint.dim(&format!("and {} more nodes\n", lines.len() - room));
    }
    text += &format!("\n{}", paint.dim(HELP));
    terminal.clear_screen()?;
    (&*terminal).write_all(text.as_bytes())?;
    Ok(())
}

/// The number that is typed.
fn ask(terminal: &Term) -> Result<Option<u64>> {
    (&*terminal).write_all(b"\rto event: \x1b[K")?;
    Ok(terminal.read_line()?.trim().parse().ok())
}
