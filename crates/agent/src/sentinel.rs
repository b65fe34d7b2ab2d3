//! The lines by which an agent says that it is done, or can not go on.

/// The line that says that it can not go on.
pub const BLOCKED: &str = "BLOCKED";
/// The longest line that is looked at, in bytes; a longer one is no sentinel.
const MOST_LINE: usize = 4096;

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentinel {
    /// It can not go on; wins over the other one.
    Blocked,
    /// The loop is done.
    Until,
}

/// Looks for whole trimmed lines in a text that comes in pieces.
#[derive(Debug, Clone, Default)]
pub struct Scanner {
    until: Option<String>,
    line: String,
    is_long: bool,
    blocked: bool,
    done: bool,
}

impl Scanner {
    /// Looks for `BLOCKED`, and for `until` when there is one.
    pub fn new(until: Option<&str>) -> Self {
        Self { until: until.map(|until| until.trim().to_owned()), ..Self::default() }
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            if self.line.len() + piece.len() > MOST_LINE {
                // What is left of white space at its beginning may be all there is so far.
                let start = self.line.trim_start().len() + piece.trim().len();
                self.is_long |= start > MOST_LINE;
                let kept = format!("{}{}", self.line.trim_start(), piece.trim_matches([' ', '\t']));
                self.line = if self.is_long { String::new() } else { kept };
            } else {
                self.line.push_str(piece);
            }
            if piece.ends_with('\n') {
                self.end_line();
            }
        }
    }

    /// The text ends here: what follows begins a new line.
    pub fn end_block(&mut self) {
        self.end_line();
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.trim();
        if !std::mem::take(&mut self.is_long) && !line.is_empty() {
            self.blocked |= line == BLOCKED;
            self.done |= self.until.as_deref() == Some(line);
        }
    }

    /// What was said so far.
    pub fn seen(&self) -> Option<Sentinel> {
        match (self.blocked, self.done) {
            (true, _) => Some(Sentinel::Blocked),
            (false, true) => Some(Sentinel::Until),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Option<Sentinel> {
        let mut whole = Scanner::new(Some("ALL_DONE"));
        whole.push(text);
        whole.end_block();
        let mut pieces = Scanner::new(Some("ALL_DONE"));
        for c in text.chars() {
            pieces.push(&c.to_string());
        }
        pieces.end_block();
        assert_eq!(whole.seen(), pieces.seen(), "{text:?}");
        whole.seen()
    }

    #[test]
    fn only_a_whole_trimmed_line_counts() {
        assert_eq!(scan("work\n  ALL_DONE \r\nmore"), Some(Sentinel::Until));
        assert_eq!(scan("ALL_DONE"), Some(Sentinel::Until));
        assert_eq!(scan("I will say ALL_DONE soon"), None);
        assert_eq!(scan("`ALL_DONE`\nALL_DONE."), None);
        assert_eq!(scan("The build was BLOCKED for a moment"), None);
        assert_eq!(scan(""), None);
    }

    #[test]
    fn blocked_wins_wherever_it_stands() {
        assert_eq!(scan("BLOCKED\nALL_DONE"), Some(Sentinel::Blocked));
        assert_eq!(scan("ALL_DONE\nBLOCKED"), Some(Sentinel::Blocked));
    }

    #[test]
    fn a_very_long_line_is_no_sentinel_and_takes_no_memory() {
        let mut scanner = Scanner::new(Some("ALL_DONE"));
        for _ in 0..10_000 {
            scanner.push("ALL_DONE ");
        }
        assert!(scanner.line.len() <= MOST_LINE);
        scanner.push("\nALL_DONE\n");
        assert_eq!(scanner.seen(), Some(Sentinel::Until));
    }

    #[test]
    fn two_blocks_are_two_lines() {
        let mut scanner = Scanner::new(Some("ALL_DONE"));
        scanner.push("ALL_");
        scanner.end_block();
        scanner.push("DONE");
        scanner.end_block();
        assert_eq!(scanner.seen(), None);
    }
}
