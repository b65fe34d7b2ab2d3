//! The ends of what a node printed.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::markup::Escaped;

/// One of the two files that a node prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; of agents, what they said.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// What people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// The beginning and the end of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Excerpt {
    /// The beginning.
    pub head: Vec<u8>,
    /// The end; empty when the beginning is all of it.
    pub tail: Vec<u8>,
    /// The length of the whole.
    pub total: u64,
}

impl Excerpt {
    /// Reads at most `most` bytes from each end.
    ///
    /// # Errors
    /// When the source can't be read.
    pub fn read(source: &mut (impl Read + Seek), most: u64) -> io::Result<Self> {
        let total = source.seek(SeekFrom::End(0))?;
        let mut excerpt = Self { total, ..Self::default() };
        source.rewind()?;
        let head = if total <= most.saturating_mul(2) { total } else { most };
        source.by_ref().take(head).read_to_end(&mut excerpt.head)?;
        if head < total {
            source.seek(SeekFrom::Start(total - most))?;
            source.by_ref().take(most).read_to_end(&mut excerpt.tail)?;
        }
        Ok(excerpt)
    }

    /// The last lines of it: `most` bytes at most, and no more lines than fit a screen.
    pub(super) fn last_lines(&self, most: usize) -> Self {
        const LINES: usize = 24;
        let end = self.end(most);
        let text = end.tail.strip_suffix(b"\n").unwrap_or(&end.tail);
        let breaks =
            || text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let whole = (end.tail.len() as u64) == self.total;
        let from = match breaks().nth(LINES - 1) {
            Some(at) => at,
            None if whole => 0,
            None => text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1),
        };
        Self { tail: end.tail[from..].to_vec(), ..end }
    }

    /// The last `most` bytes.
    fn end(&self, most: usize) -> Self {
        let all = if self.tail.is_empty() { &self.head } else { &self.tail };
        Self { head: Vec::new(), tail: all[all.len().saturating_sub(most)..].to_vec(), total: self.total }
    }

    /// The same with `most` bytes at most, most of them from the end, where errors are.
    fn cut(&self, most: usize) -> Self {
        if self.head.len() + self.tail.len() <= most {
            return self.clone();
        }
        let tail = self.end(most - most / 4).tail;
        Self { head: self.head[..self.head.len().min(most / 4)].to_vec(), tail, total: self.total }
    }

    /// Writes it as a block, at most `most` bytes of it.
    pub(super) fn write(&self, most: usize, out: &mut dyn Write) -> io::Result<()> {
        let Self { head, tail, total } = self.cut(most);
        let shown = (head.len() + tail.len()) as u64;
        write!(out, "<pre{}>{}", scrolls(shown), Escaped(printed(&head)))?;
        if shown < total {
            writeln!(out, "<i class=\"cut\">… {} bytes left out …</i>", total - shown)?;
        }
        writeln!(out, "{}</pre>", Escaped(printed(&tail)))
    }
}

/// The attribute of a block that may have to be scrolled: the keyboard has to reach it.
pub(super) fn scrolls(bytes: u64) -> &'static str {
    if bytes > 500 { " tabindex=\"0\"" } else { "" }
}

/// Bytes as text, without the sequences that colour it on a terminal.
fn printed(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find(['\x1b', '\r']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let colour = rest.strip_prefix("\x1b[").and_then(|after| {
            let end = after.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
            after[end..].strip_prefix('m')
        });
        match (colour, rest.strip_prefix("\r\n")) {
            (Some(after), _) => rest = after,
            (None, Some(_)) => rest = &rest[1..],
            (None, None) => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(excerpt: &Excerpt, most: usize) -> String {
        let mut out = Vec::new();
        excerpt.write(most, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_ends_are_read_and_what_is_left_out_is_counted() {
        let text: Vec<u8> = (b'a'..=b'z').collect();
        let excerpt = Excerpt::read(&mut io::Cursor::new(&text), 4).unwrap();
        assert_eq!((&excerpt.head[..], &excerpt.tail[..], excerpt.total), (&b"abcd"[..], &b"wxyz"[..], 26));
        assert_eq!(written(&excerpt, 4), "<pre>a<i class=\"cut\">… 22 bytes left out …</i>\nxyz</pre>\n");
        let whole = Excerpt::read(&mut io::Cursor::new(&text), 13).unwrap();
        assert_eq!(written(&whole, 100), "<pre>abcdefghijklmnopqrstuvwxyz</pre>\n");
    }

    #[test]
    fn the_last_lines_are_whole() {
        let text: String = (0..100).map(|number| format!("line {number}\n")).collect();
        let all = Excerpt { head: text.clone().into_bytes(), tail: vec![], total: text.len() as u64 };
        let last = all.last_lines(1000);
        assert!(last.tail.starts_with(b"line 76\n") && last.tail.ends_with(b"line 99\n"));
        assert_eq!(all.last_lines(20).tail, b"line 98\nline 99\n");
        let short = Excerpt { head: b"a\nb".to_vec(), tail: vec![], total: 3 };
        assert_eq!(short.last_lines(20).tail, b"a\nb");
    }

    #[test]
    fn colours_go_and_other_controls_are_shown() {
        assert_eq!(printed(b"\x1b[1;31mred\x1b[0m\r\n\x1b[2Jx\rc\xff"), "red\n\x1b[2Jx\rc\u{fffd}");
        let hostile = Excerpt { head: b"</pre><script>".to_vec(), tail: vec![], total: 14 };
        assert!(!written(&hostile, 100).contains("<script"));
    }
}
