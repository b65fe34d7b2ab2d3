//! The events of a run, the first and the last of many.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{self, Write},
};

use omne_events::{Line, NodeId, Timestamp, beginning};
use smol_str::SmolStr;

use super::{Page, head::clock};
use crate::markup::{Escaped, EscapedBetweenTags};

/// As many are shown from the beginning, and as many from the end.
const MOST: usize = 2000;
/// As many bytes are shown of a line.
const LONGEST: usize = 1200;

/// Events as they are gathered while a log is read; of any number of them only so many are kept as are shown.
#[derive(Debug, Default)]
pub struct Events {
    first: Vec<Row>,
    last: VecDeque<Row>,
    total: u64,
}

#[derive(Debug)]
struct Row {
    seq: u64,
    at: Timestamp,
    kind: SmolStr,
    node: Option<NodeId>,
    text: String,
    bytes: usize,
}

impl Events {
    /// Takes the next line of the log in.
    pub fn take(&mut self, bytes: &[u8], line: &Line) {
        self.total += 1;
        let node = match line {
            Line::Known(record) => record.event.node().cloned(),
            Line::Unknown { .. } => None,
        };
        let fields = own_fields(bytes);
        let text = String::from_utf8_lossy(&fields[..fields.len().min(LONGEST + 4)]);
        let row = Row {
            seq: line.seq(),
            at: line.at(),
            kind: line.kind().into(),
            node,
            text: beginning(&text, LONGEST).to_owned(),
            bytes: fields.len(),
        };
        if self.first.len() < MOST {
            self.first.push(row);
            return;
        }
        if self.last.len() == MOST {
            self.last.pop_front();
        }
        self.last.push_back(row);
    }

    pub(super) fn write(&self, page: &Page<'_>, out: &mut dyn Write) -> io::Result<()> {
        let shown = (self.first.len() + self.last.len()) as u64;
        let kinds: BTreeSet<&str> =
            self.first.iter().chain(&self.last).map(|row| row.kind.as_str()).collect();
        write!(
            out,
            "<section id=\"events\"><h2>Events</h2>\n<details><summary>{} events</summary>\n\
             <form class=\"tools\" hidden role=\"search\" aria-label=\"Filter of events\"><label>Text \
             <input type=\"search\" name=\"text\" autocomplete=\"off\"></label><label>Node <input type=\"search\" \
             name=\"node\" autocomplete=\"off\"></label><label>Type <select name=\"type\"><option value=\"\">all</option>",
            self.total
        )?;
        for kind in kinds {
            write!(out, "<option>{}</option>", Escaped(kind))?;
        }
        out.write_all(
            b"</select></label><output aria-live=\"polite\"></output></form>\n<div class=\"scroll log\" tabindex=\"0\" \
              role=\"region\" aria-label=\"Events\"><table><thead><tr><th scope=\"col\" class=\"num\">Seq</th>\
              <th scope=\"col\">Time</th><th scope=\"col\">Type</th><th scope=\"col\">Node</th>\
              <th scope=\"col\">Fields</th></tr></thead><tbody>\n",
        )?;
        for row in &self.first {
            row.write(page, out)?;
        }
        let left_out = self.total - shown;
        if left_out > 0 {
            let run = page.state.run().map_or("", |run| run.as_str());
            writeln!(
                out,
                "<tr class=\"cut\"><td colspan=\"5\">… {left_out} events left out; all of them: \
                 <code>omne events {}</code></td></tr>",
                Escaped(run)
            )?;
        }
        for row in &self.last {
            row.write(page, out)?;
        }
        out.write_all(b"</tbody></table></div></details></section>\n")
    }
}

impl Row {
    fn write(&self, page: &Page<'_>, out: &mut dyn Write) -> io::Result<()> {
        write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>",
            self.seq,
            clock(&self.at.to_string()),
            Escaped(&self.kind)
        )?;
        if let Some(node) = &self.node {
            out.write_all(page.link(node.as_str()).as_bytes())?;
        }
        write!(out, "<td><code>{}</code>", EscapedBetweenTags(&self.text))?;
        if self.bytes > self.text.len() {
            write!(out, "<i class=\"cut\">… {} more bytes</i>", self.bytes - self.text.len())?;
        }
        out.write_all(b"</tr>\n")
    }
}

/// A line without the envelope, which is in other columns or the same in every line.
fn own_fields(bytes: &[u8]) -> &[u8] {
    const PREV: &[u8] = b"\"prev\":\"";
    let head = &bytes[..bytes.len().min(600)];
    let at =
        head.windows(PREV.len()).position(|window| window == PREV).filter(|_| head.starts_with(b"{\"seq\":"));
    let rest = at.and_then(|at| bytes.get(at + PREV.len() + 64..)).and_then(|rest| rest.strip_prefix(b"\""));
    match rest {
        Some(rest) => rest.strip_prefix(b",").unwrap_or(rest).strip_suffix(b"}").unwrap_or(rest),
        None => bytes,
    }
}
