//! Plain text: all that the program prints is what it says.

use super::{Item, Sink, Told};
use crate::{
    Exit, Verdict,
    verdict::{Failure, class},
};

/// A line that is longer than this is given out in pieces of it, in bytes.
const PIECE: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Text {
    line: Vec<u8>,
}

impl Text {
    pub(super) fn push(&mut self, bytes: &[u8], told: &mut Told, sink: &mut Sink<'_>) {
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            self.line.extend_from_slice(text);
            while self.line.len() > PIECE {
                let end = boundary(&self.line, PIECE);
                let rest = self.line.split_off(end);
                say(&std::mem::replace(&mut self.line, rest), told, sink);
            }
            if ends {
                say(&std::mem::take(&mut self.line), told, sink);
                sink(Item::TextEnd);
            }
        }
    }

    pub(super) fn end(&mut self, told: &mut Told, sink: &mut Sink<'_>) {
        if !self.line.is_empty() {
            say(&std::mem::take(&mut self.line), told, sink);
            sink(Item::TextEnd);
        }
    }

    pub(super) fn verdict(told: &Told, exit: Exit, stderr: &str) -> Verdict {
        if !exit.is_success() {
            return Failure::without_result(exit, stderr);
        }
        if !told.spoke {
            return Failure::agent(class::EMPTY, "it said nothing");
        }
        Verdict::Success
    }
}

fn say(bytes: &[u8], told: &mut Told, sink: &mut Sink<'_>) {
    let text = String::from_utf8_lossy(bytes);
    told.spoke |= !text.trim().is_empty();
    sink(Item::Text(&text));
}

/// Where a character ends, at or up to three bytes before `at`.
fn boundary(bytes: &[u8], at: usize) -> usize {
    (0..3).map(|back| at - back).find(|&at| bytes[at] & 0b1100_0000 != 0b1000_0000).unwrap_or(at)
}
