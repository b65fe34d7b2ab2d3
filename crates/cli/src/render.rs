//! State to text: strings only.

mod event;
mod graph;
mod plan;
mod status;
mod summary;

use std::borrow::Cow;

pub(crate) use omne_audit::sign;
use omne_events::Usage;
use omne_pipe::Colour;
pub(crate) use omne_pipe::visible;

pub(crate) use event::describe;
pub(crate) use graph::{dot, mermaid, text as graph_text};
pub(crate) use plan::{dry_run, dry_run_json, resume_plan};
pub(crate) use status::{Listed, run_list, run_status};
pub(crate) use summary::summary;

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn new(colour: Colour) -> Self {
        Self(colour == Colour::Yes)
    }

    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    fn with<'t>(self, code: &str, text: &'t str) -> Cow<'t, str> {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m").into() } else { text.into() }
    }

    pub(crate) fn red(self, text: &str) -> Cow<'_, str> {
        self.with("1;31", text)
    }
    pub(crate) fn green(self, text: &str) -> Cow<'_, str> {
        self.with("32", text)
    }
    pub(crate) fn yellow(self, text: &str) -> Cow<'_, str> {
        self.with("33", text)
    }
    pub(crate) fn blue(self, text: &str) -> Cow<'_, str> {
        self.with("36", text)
    }
    pub(crate) fn dim(self, text: &str) -> Cow<'_, str> {
        self.with("2", text)
    }
    pub(crate) fn bold(self, text: &str) -> Cow<'_, str> {
        self.with("1", text)
    }

    /// The colour of a state.
    pub(crate) fn state<'t>(self, state: &str, text: &'t str) -> Cow<'t, str> {
        match state {
            "completed" => self.green(text),
            "failed" | "aborted" => self.red(text),
            "running" => self.blue(text),
            "blocked" | "interrupted" | "parked" | "waiting" => self.yellow(text),
            _ => self.dim(text),
        }
    }
}

/// What agents used, in a few words; `None` when there were none.
pub(crate) fn usage(usage: &Usage) -> Option<String> {
    if *usage == Usage::default() {
        return None;
    }
    let mut parts = Vec::new();
    parts.extend(usage.cost_usd.map(|usd| format!("{usd:.4} USD")));
    parts.extend(usage.turns.map(|turns| format!("{turns} turn{}", if turns == 1 { "" } else { "s" })));
    let cached = usage.cache_read_tokens.filter(|tokens| *tokens > 0);
    let cached = cached.map_or_else(String::new, |tokens| format!(" (and {tokens} cached)"));
    parts.push(format!("{} tokens in{cached}, {} out", usage.input_tokens, usage.output_tokens));
    Some(parts.join(", "))
}

/// Columns padded to the width of their widest cell; the last one is not padded. No cell can command a terminal. Rows may
/// be many: nothing is copied but into the text.
pub(crate) fn table<C: AsRef<str>>(
    rows: &[impl AsRef<[C]>],
    paint: impl Fn(usize, usize, &str) -> Cow<'_, str>,
) -> String {
    let mut widths = Vec::new();
    for row in rows {
        for (column, cell) in row.as_ref().iter().enumerate() {
            let width = visible(cell.as_ref()).chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for (place, row) in rows.iter().enumerate() {
        let (begin, row) = (out.len(), row.as_ref());
        for (column, cell) in row.iter().enumerate() {
            let cell = visible(cell.as_ref());
            out += &paint(place, column, &cell);
            if column + 1 < row.len() {
                let pad = widths[column] + 2 - cell.chars().count();
                out.extend(std::iter::repeat_n(' ', pad));
            }
        }
        out.truncate(begin + out[begin..].trim_end().len());
        out.push('\n');
    }
    out
}

/// A text in one line of at most `most` characters.
pub(crate) fn short(text: &str, most: usize) -> String {
    let line = visible(text).replace(['\n', '\t'], " ");
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut part = bytes * 10;
    while part >= 10 * 1024 && unit + 1 < UNITS.len() {
        (part, unit) = (part / 1024, unit + 1);
    }
    match (unit, part) {
        (0, _) => format!("{bytes} B"),
        (_, 0..100) => format!("{}.{} {}", part / 10, part % 10, UNITS[unit]),
        _ => format!("{} {}", part / 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_can_command_a_terminal() {
        assert_eq!(visible("a\x1b[31mb\r\u{9b}c\u{202e}d\n"), "a␛[31mb␍\u{fffd}c\u{fffd}d\n");
        assert_eq!(visible("a\tb\n"), "a\tb\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "b"], ["ccc", "d"]];
        assert_eq!(table(&rows, |_, _, cell| cell.into()), "a    b\nccc  d\n");
    }
}
