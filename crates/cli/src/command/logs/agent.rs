//! An agent's text as it comes: out of its stream, which has the words before
//! the capture has the sentence.

use std::io::{Read as _, Seek as _, SeekFrom};

use omne_agent::{Dialect, Item, Parser};
use omne_events::{Event, Line};
use omne_runner::RunDir;

use super::{LOOK, Output};
use crate::{
    command::{
        captures,
        log::{Life, LogSource},
    },
    failure::Result,
};

/// How much of a stream is read in one go, in bytes.
const MOST_AT_ONCE: u64 = 1 << 20;

/// What the log tells of the attempts at an AI node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    /// The last one; 0 before the first.
    last: u32,
    /// The agent that it asks.
    pub(super) agent: Option<String>,
    /// Its rounds, with the places in the capture where they begin.
    rounds: Vec<(u32, u64)>,
}

impl Attempts {
    pub(super) fn of(run: &RunDir, node: &str) -> Result<Self> {
        let mut attempts = Self::default();
        LogSource::Run(run.clone()).fold(None, |_, line| {
            if line.node().is_none_or(|of| of.as_str() != node) {
                return;
            }
            let line = line.to_line();
            let Line::Known(record) = &*line else { return };
            match &record.event {
                Event::NodeStarted(started) => {
                    let agent = started.agent.as_deref().map(str::to_owned);
                    attempts = Self { last: started.attempt, agent, rounds: Vec::new() };
                }
                Event::IterationStarted(started) => {
                    attempts.rounds.push((started.iteration, started.byte_offset));
                }
                _ => {}
            }
        })?;
        Ok(attempts)
    }
}

/// Shows an AI node from its beginning until the run ends.
pub(super) fn follow(run: &RunDir, node: &str, dialect: Dialect, out: &mut Output) -> Result<()> {
    let mut attempts = Attempts::of(run, node)?;
    if let Some((round, at)) = attempts.rounds.first() {
        // What an earlier attempt said that this one goes on with.
        let before = at.saturating_sub(mark(*round).len() as u64);
        out.copy(&run.path.join(format!("nodes/{node}.out")), 0, Some(before))?;
    }
    let mut heard = Heard::new(dialect);
    loop {
        // Asked before the last look, so that nothing said in between is missed.
        let alive = Life::of(run) == Life::Alive;
        let path = run.path.join(format!("nodes/{node}.{}.stream.jsonl", attempts.last));
        let bytes = captures::open(&path).and_then(|mut file| {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(heard.read))?;
            file.take(MOST_AT_ONCE).read_to_end(&mut bytes).map(|_| bytes)
        });
        // Before its first word there is no such file.
        let bytes = bytes.unwrap_or_default();
        let tries = heard.tries;
        let (text, begun) = heard.take(&bytes);
        if begun > 0 && attempts.rounds.len() < tries + begun {
            attempts.rounds = Attempts::of(run, node)?.rounds;
        }
        let mut parts = text.into_iter();
        out.write(parts.next().unwrap_or_default().as_bytes())?;
        for (place, part) in (tries..).zip(parts) {
            if let Some((round, _)) = attempts.rounds.get(place) {
                out.write(mark(*round).as_bytes())?;
            }
            out.write(part.as_bytes())?;
        }
        if !alive && bytes.is_empty() {
            return Ok(());
        }
        if bytes.is_empty() {
            let now = Attempts::of(run, node)?;
            if now.last != attempts.last {
                (attempts, heard) = (now, Heard::new(dialect));
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn mark(round: u32) -> String {
    format!("=== omne:iteration:{round} ===\n")
}

/// A stream as far as it was read.
struct Heard {
    parser: Parser,
    read: u64,
    /// How many tries have said who they are.
    tries: usize,
    /// Whether the block has come in pieces so far.
    in_pieces: bool,
    at_line_start: bool,
}

impl Heard {
    fn new(dialect: Dialect) -> Self {
        Self { parser: Parser::new(dialect), read: 0, tries: 0, in_pieces: false, at_line_start: true }
    }

    /// The text in the bytes, one part a try, the first for the try before; and how many tries begin in it.
    fn take(&mut self, bytes: &[u8]) -> (Vec<String>, usize) {
        self.read += bytes.len() as u64;
        let Self { parser, in_pieces, at_line_start, .. } = self;
        let mut parts = vec![String::new()];
        let mut say = |parts: &mut Vec<String>, text: &str| {
            if let Some(part) = parts.last_mut() {
                part.push_str(text);
            }
            *at_line_start = if text.is_empty() { *at_line_start } else { text.ends_with('\n') };
            *at_line_start
        };
        parser.push(bytes, &mut |item| match item {
            Item::Session { .. } => parts.push(String::new()),
            Item::Partial(text) => {
                *in_pieces = true;
                say(&mut parts, text);
            }
            Item::Text(text) if !*in_pieces => {
                say(&mut parts, text);
            }
            Item::TextEnd => {
                *in_pieces = false;
                if !say(&mut parts, "") {
                    say(&mut parts, "\n");
                }
            }
            Item::Text(_) | Item::Tool(_) => {}
        });
        let begun = parts.len() - 1;
        self.tries += begun;
        (parts, begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_before_their_block_and_only_once() {
        let mut heard = Heard::new(Dialect::Claude);
        let delta = |text: &str| {
            format!(
                "{{\"type\":\"stream_event\",\"event\":{{\"type\":\"content_block_delta\",\
                 \"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}}}\n"
            )
        };
        let init = "{\"type\":\"system\",\"subtype\":\"init\"}\n";
        let block =
            "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"Hi you\"}]}}\n";
        let first = heard.take(format!("{init}{}", delta("Hi")).as_bytes());
        assert_eq!(first, (vec![String::new(), "Hi".to_owned()], 1));
        let rest = heard.take(format!("{}{block}{block}", delta(" you")).as_bytes());
        assert_eq!(rest, (vec![" you\nHi you\n".to_owned()], 0));
    }
}
