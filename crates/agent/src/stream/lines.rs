//! Lines out of pieces of bytes.

use super::Read;

/// The longest line that is read, in bytes.
const MOST_LINE: usize = 16 * 1024 * 1024;
/// How much of a line has to be there to tell its kind.
const HEAD: usize = 96;

/// The line that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    skipping: bool,
}

impl Lines {
    /// Hands out each line that is whole now. Gives the number of lines that were too long.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        reader: &mut dyn Read,
        take: &mut dyn FnMut(&mut dyn Read, &[u8]),
    ) -> u64 {
        let mut dropped = 0;
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, after) = (&bytes[..end], &bytes[end + 1..]);
            bytes = after;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.rest.is_empty() {
                take(reader, line);
            } else if self.rest.len() + line.len() > MOST_LINE {
                dropped += 1;
                self.rest = Vec::new();
            } else {
                self.rest.extend_from_slice(line);
                take(reader, &self.rest);
                self.rest.clear();
            }
        }
        if self.skipping || bytes.is_empty() {
            return dropped;
        }
        let had_head = self.rest.len() >= HEAD;
        if self.rest.len() + bytes.len() > MOST_LINE {
            (self.skipping, self.rest) = (true, Vec::new());
            return dropped + 1;
        }
        self.rest.extend_from_slice(bytes);
        if !had_head && self.rest.len() >= HEAD && reader.is_idle(&self.rest) {
            // Nobody needs it, so nobody keeps it.
            self.skipping = true;
            self.rest.clear();
        }
        dropped
    }

    /// The last line, if it has no newline.
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        (!self.rest.is_empty()).then(|| std::mem::take(&mut self.rest))
    }
}
