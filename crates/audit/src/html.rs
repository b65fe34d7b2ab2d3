//! A run as one HTML file: what people attach to a pull request.
//!
//! It asks no network for anything, can be read without its script, and takes
//! every text of a log or a capture for hostile.

mod decisions;
mod events;
mod excerpt;
mod failures;
mod head;
mod node;
mod timeline;

use std::io::{self, Write};

use omne_events::{Digest, NodeId};
use omne_replay::RunState;
use rustc_hash::FxHashMap;

use crate::{
    Attempt, Mark, Story,
    markup::{Escaped, sign, state_of},
    svg,
};

pub use events::Events;
pub use excerpt::{Excerpt, Stream};

const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");
/// With more nodes than this, what is large is closed at first.
const MANY: usize = 400;

/// What a report is made of.
pub struct Report<'a> {
    /// The run.
    pub story: &'a Story,
    /// The head of the chain, none for logs that are not linked; or the first finding of [`omne_replay::verify`].
    pub chain: Result<Option<Digest>, String>,
    /// The ends of what a node printed; `None` when there is no file, or no more.
    pub capture: &'a dyn Fn(&NodeId, Stream) -> Option<Excerpt>,
    /// The events that are shown.
    pub events: &'a Events,
}

/// Writes the report.
///
/// # Errors
/// When `out` can't be written.
pub fn html(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let page = Page::new(report);
    let run = page.state.run().map_or("", |run| run.as_str());
    let word = page.state.phase().as_str();
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{} {word} · {}</title>\n<style>{}{STYLE}</style>\n</head>\n<body{}>\n",
        script_source(),
        sign(word),
        Escaped(run),
        svg::STYLE,
        if page.nodes.len() > MANY { " class=\"many\"" } else { "" },
    )?;
    page.head(out)?;
    out.write_all(b"<main>\n")?;
    page.failures(out)?;
    page.graph(out)?;
    page.timeline(out)?;
    page.table(out)?;
    page.details(out)?;
    page.decisions(out)?;
    report.events.write(&page, out)?;
    writeln!(
        out,
        "</main>\n<footer>Made by omne {} from {} events. Times are UTC.</footer>\n<script>{SCRIPT}</script>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION"),
        page.story.events,
    )
}

/// A report with what its parts look up.
struct Page<'a> {
    report: &'a Report<'a>,
    story: &'a Story,
    state: &'a RunState,
    /// The attempts and marks of each node, by its place.
    nodes: Vec<Told<'a>>,
    /// Bytes that are shown of what a node printed to one stream.
    share: usize,
}

/// What is told of a node besides its state.
#[derive(Default)]
struct Told<'a> {
    attempts: Vec<&'a Attempt>,
    marks: Vec<&'a Mark>,
}

impl<'a> Page<'a> {
    fn new(report: &'a Report<'a>) -> Self {
        let (story, state) = (report.story, &report.story.state);
        let places: FxHashMap<&str, usize> =
            state.nodes().enumerate().map(|(place, (id, ..))| (id.as_str(), place)).collect();
        let mut nodes: Vec<Told<'_>> = Vec::new();
        nodes.resize_with(places.len(), Told::default);
        for attempt in &story.attempts {
            if let Some(place) = places.get(attempt.node.as_str()) {
                nodes[*place].attempts.push(attempt);
            }
        }
        for mark in &story.marks {
            if let Some(place) = mark.node.as_ref().and_then(|node| places.get(node.as_str())) {
                nodes[*place].marks.push(mark);
            }
        }
        // All captures together stay below two megabytes.
        let share = (1 << 20) / nodes.len().max(1);
        Self { report, story, state, nodes, share: share.clamp(200, 8 << 10) }
    }

    /// A link to a node's details; its bare id if there are none.
    fn link(&self, id: &str) -> String {
        match self.state.find(id) {
            Some(node) => format!("<a href=\"#n{}\">{}</a>", node.place(), Escaped(id)),
            None => format!("<span class=\"mono\">{}</span>", Escaped(id)),
        }
    }

    fn graph(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(pipe) = self.state.pipe() else { return Ok(()) };
        writeln!(
            out,
            "<section id=\"graph\"><h2>Graph</h2>\n<details{}><summary>{} nodes, {} edges</summary>\n\
             <div class=\"scroll drawing\" tabindex=\"0\" role=\"region\" aria-label=\"Graph\">{}</div></details></section>",
            open(self.nodes.len()),
            pipe.nodes().len(),
            pipe.graph().nodes().map(|node| pipe.graph().dependencies(node).len()).sum::<usize>(),
            svg::fragment(pipe, Some(self.state)),
        )
    }

    /// A table with a row for each node.
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(
            b"<section id=\"nodes\"><h2>Nodes</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" \
              aria-label=\"Nodes\"><table class=\"sortable\"><thead><tr><th scope=\"col\">Node</th>\
              <th scope=\"col\">State</th><th scope=\"col\">Kind</th><th scope=\"col\" class=\"num\">Took</th>\
              <th scope=\"col\" class=\"num\">Attempts</th><th scope=\"col\">Exit</th>\
              <th scope=\"col\" class=\"num\">USD</th><th scope=\"col\">Note</th></tr></thead><tbody>\n",
        )?;
        for (place, (id, kind, record)) in self.state.nodes().enumerate() {
            let word = state_of(self.state, record);
            write!(
                out,
                "<tr class=\"{word}\"><th scope=\"row\"><a href=\"#n{place}\">{}</a><td><b>{} {word}</b>\
                 <td>{}<td",
                Escaped(id.as_str()),
                sign(word),
                kind.as_str(),
            )?;
            match record.duration_ms {
                Some(ms) => write!(out, " data-v=\"{ms}\">{}", crate::markup::took(ms))?,
                None => out.write_all(b">")?,
            }
            write!(out, "<td>{}<td>", self.nodes[place].attempts.len())?;
            if let Some(code) = record.exit_code {
                write!(out, "{code}")?;
            }
            out.write_all(b"<td>")?;
            if let Some(usd) = record.usage().and_then(|usage| usage.cost_usd) {
                write!(out, "{usd:.4}")?;
            }
            writeln!(out, "<td class=\"note\">{}</tr>", Escaped(node::note(record)))?;
        }
        out.write_all(b"</tbody></table></div></section>\n")
    }
}

/// The attribute of a `<details>` with `count` things in it: it is open at first, unless they are many.
fn open(count: usize) -> &'static str {
    if count <= MANY { " open" } else { "" }
}

/// The policy's word for the one script that may run: even markup that got through could run no other.
fn script_source() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let hex = Digest::of(SCRIPT).to_string();
    let bits: String = hex.chars().filter_map(|c| Some(format!("{:04b}", c.to_digit(16)?))).collect();
    let digit = |bits: &[u8]| {
        let value = bits.iter().fold(0, |value, bit| value * 2 + usize::from(bit - b'0'));
        char::from(DIGITS[value << (6 - bits.len())])
    };
    format!("sha256-{}=", bits.as_bytes().chunks(6).map(digit).collect::<String>())
}

#[cfg(test)]
mod tests;
