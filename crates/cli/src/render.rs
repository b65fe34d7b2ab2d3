//! State to text: strings only.

mod event;
mod graph;
mod plan;
mod status;
mod summary;

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

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }
    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }
    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }
    pub(crate) fn blue(self, text: &str) -> String {
        self.with("36", text)
    }
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// The colour of a state.
    pub(crate) fn state(self, state: &str, text: &str) -> String {
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

/// Columns padded to the width of their widest cell; the last one is not padded. No cell can command a terminal.
pub(crate) fn table(rows: &[Vec<String>], paint: impl Fn(usize, usize, &str) -> String) -> String {
    let safe = |row: &Vec<String>| row.iter().map(|cell| visible(cell)).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = rows.iter().map(safe).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for (place, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = if column + 1 < row.len() { widths[column] + 2 - cell.chars().count() } else { 0 };
            line += &paint(place, column, cell);
            line += &" ".repeat(pad);
        }
        out += line.trim_end();
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
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&rows, |_, _, cell| cell.to_owned()), "a    b\nccc  d\n");
    }
}
