//! The try of an agent's program that is under way.

use omne_agent::{Dialect, Parser, Scanner};

/// The try under way.
pub(super) struct Try {
    pub(super) parser: Parser,
    pub(super) scanner: Scanner,
    /// It has said that it is done, or can not go on, and the block in which it did so has ended.
    pub(super) is_over: bool,
    pub(super) from: u64,
    pub(super) heard_partial: bool,
    /// What it said last, for people who ask why.
    pub(super) last_text: String,
    pub(super) at_block_start: bool,
}

impl Try {
    pub(super) fn new(parser: Parser, scanner: Scanner, from: u64) -> Self {
        let last_text = String::new();
        Self { parser, scanner, is_over: false, from, heard_partial: false, last_text, at_block_start: true }
    }

    /// A block has ended.
    pub(super) fn end_block(&mut self, dialect: Dialect) {
        self.at_block_start = true;
        self.scanner.end_block();
        // Plain text has no blocks but lines, and `BLOCKED` may be one of those that follow.
        self.is_over = dialect != Dialect::Text && self.scanner.seen().is_some();
    }

    /// Keeps the block that is being said.
    pub(super) fn remember(&mut self, text: &str) {
        const MOST: usize = 4096;
        if std::mem::take(&mut self.at_block_start) {
            self.last_text.clear();
        }
        if self.last_text.len() < MOST {
            self.last_text.push_str(text);
        }
    }
}
