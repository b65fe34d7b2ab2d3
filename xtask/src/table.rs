//! Tables in Markdown, and the two ways out.

use std::io::Write as _;

use anyhow::Result;

/// A table under its heading.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// What has to be known to read it.
    pub(crate) note: String,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// A file beside the document, with what it shows.
    pub(crate) plots: Vec<Plot>,
}

/// A drawing.
#[derive(Debug)]
pub(crate) struct Plot {
    pub(crate) file: &'static str,
    pub(crate) caption: &'static str,
    pub(crate) svg: String,
}

impl Table {
    pub(crate) fn new(title: &str, note: &str, header: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            note: note.to_owned(),
            header: header.iter().map(|cell| (*cell).to_owned()).collect(),
            rows: Vec::new(),
            plots: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("### {}\n\n{}\n\n", self.title, self.note);
        text.push_str(&line(&self.header));
        text.push_str(&line(&vec!["---".to_owned(); self.header.len()]));
        for row in &self.rows {
            text.push_str(&line(row));
        }
        for plot in &self.plots {
            text.push_str(&format!("\n![{}](performance/{})\n", plot.caption, plot.file));
        }
        text
    }
}

/// Seconds in a unit that suits them.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s.is_nan() => "-".to_owned(),
        s if s >= 10.0 => format!("{s:.1} s"),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.1 => format!("{:.0} ms", s * 1e3),
        s if s >= 0.001 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

/// A multiple, with the least and the greatest when there are several.
pub(crate) fn multiple(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(0.0, f64::max);
    match values {
        [] => "-".to_owned(),
        [one] => format!("{one:.2}"),
        _ => format!("{:.2} ({least:.2}–{greatest:.2})", crate::measure::median(values)),
    }
}

/// A line of data.
pub(crate) fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// A line for whoever waits.
pub(crate) fn tell(text: &str) {
    // Nobody has to listen.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("Title", "Note.", &["a", "b"]);
        table.row(["1", "2"]);
        assert_eq!(table.markdown(), "### Title\n\nNote.\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    }

    #[test]
    fn times_and_multiples_are_short() {
        assert_eq!(
            [12.34, 1.234, 0.1234, 0.0012, 0.000_04].map(time),
            ["12.3 s", "1.23 s", "123 ms", "1.2 ms", "40 µs"]
        );
        assert_eq!(multiple(&[1.0]), "1.00");
        assert_eq!(multiple(&[1.0, 1.1, 1.3]), "1.10 (1.00–1.30)");
    }
}
