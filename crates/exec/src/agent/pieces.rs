//! What an agent says piece by piece, before it says the whole: a secret that
//! is cut over two pieces could be found in neither. Where there are secrets
//! such lines are shown, masked as one text, but not kept; the whole is.

use std::sync::Arc;

use omne_process::{Mask, Masker};
use serde::Deserialize;

/// The longest line that is looked at; a piece is short.
const MOST_LINE: usize = 1 << 20;

/// Hides secrets in what an agent says: its lines are masked, but what they say together is not.
pub(super) struct Hiding {
    pub(super) lines: WholeLines,
    pub(super) text: Masker,
    pub(super) live: Masker,
}

impl Hiding {
    pub(super) fn new(mask: &Arc<Mask>) -> Box<Self> {
        let masker = || Masker::new(Arc::clone(mask));
        Box::new(Self { lines: WholeLines::default(), text: masker(), live: masker() })
    }
}

/// The lines of a stream that are kept.
#[derive(Debug, Default)]
pub(super) struct WholeLines {
    /// The beginning of a line of which it is not known yet.
    pending: Vec<u8>,
    /// The line is too long to be a piece.
    is_long: bool,
}

impl WholeLines {
    /// Takes the next bytes of the stream; those that are kept are given back.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.pending.extend_from_slice(part);
            if part.ends_with(b"\n") {
                kept.extend(self.end());
            } else if self.is_long || self.pending.len() > MOST_LINE {
                self.is_long = true;
                kept.append(&mut self.pending);
            }
        }
        kept
    }

    /// The rest of a line that does not end.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.pending);
        let is_long = std::mem::take(&mut self.is_long);
        if !is_long && is_piece(&line) { Vec::new() } else { line }
    }
}

fn is_piece(line: &[u8]) -> bool {
    const WORD: &[u8] = b"\"stream_event\"";
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    line.windows(WORD.len()).any(|window| window == WORD)
        && serde_json::from_slice::<Kind>(line).is_ok_and(|kind| kind.r#type == "stream_event")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_left_out_wherever_the_stream_is_cut() {
        let text = "{\"type\":\"system\"}\n{\"type\":\"stream_event\",\"event\":{}}\nno json \"stream_event\"\n\
                    {\"type\":\"user\",\"text\":\"stream_event\"}\n{\"type\":\"stream_event\"}\nrest";
        let expected = "{\"type\":\"system\"}\nno json \"stream_event\"\n{\"type\":\"user\",\"text\":\"stream_event\"}\nrest";
        for size in 1..text.len() {
            let mut lines = WholeLines::default();
            let mut kept: Vec<u8> = text.as_bytes().chunks(size).flat_map(|part| lines.push(part)).collect();
            kept.extend(lines.end());
            assert_eq!(String::from_utf8(kept).unwrap(), expected);
        }
    }
}
