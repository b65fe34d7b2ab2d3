//! Why a run did not end well, or what it waits for.

use std::io::{self, Write};

use omne_events::NodeId;
use omne_replay::{NodePhase, NodeRecord};

use super::{Page, Stream};
use crate::markup::{Escaped, took};

/// More failures than this are in the table of nodes only.
const MOST: usize = 25;
/// Bytes of the end of what a failed node printed.
const TAIL: usize = 3 << 10;

impl Page<'_> {
    pub(super) fn has_trouble(&self) -> bool {
        self.state.reason().is_some()
            || self.state.nodes().any(|(_, _, record)| is_failed(record) || is_asking(record))
    }

    pub(super) fn failures(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.has_trouble() {
            return Ok(());
        }
        let failed: Vec<_> = self.state.nodes().filter(|(_, _, record)| is_failed(record)).collect();
        let title = if failed.is_empty() { "Why it stopped" } else { "Why it failed" };
        writeln!(out, "<section id=\"failures\"><h2>{title}</h2>")?;
        if let Some(reason) = self.state.reason() {
            writeln!(out, "<p class=\"reason\">{}</p>", Escaped(reason))?;
        }
        for (id, _, record) in failed.iter().take(MOST) {
            self.failure(id, record, out)?;
        }
        if failed.len() > MOST {
            let more = failed.len() - MOST;
            writeln!(out, "<p class=\"cut\">{more} more nodes failed; the table of nodes has them.</p>")?;
        }
        for (id, _, record) in self.state.nodes().filter(|(_, _, record)| is_asking(record)) {
            let Some(gate) = record.gate() else { continue };
            write!(
                out,
                "<article class=\"waiting\"><h3><b>?</b> {} waits for people</h3><p class=\"said\">{}</p>",
                self.link(id.as_str()),
                Escaped(gate.prompt.as_deref().unwrap_or_default()),
            )?;
            if !gate.options.is_empty() {
                write!(out, "<p>Answers: {}</p>", Escaped(gate.options.join(", ")))?;
            }
            out.write_all(b"</article>\n")?;
        }
        out.write_all(b"</section>\n")
    }

    fn failure(&self, id: &NodeId, record: &NodeRecord, out: &mut dyn Write) -> io::Result<()> {
        let rare = record.rare.as_deref();
        let mut how: Vec<String> = Vec::new();
        if let Some(error) = record.error() {
            let class = error.class.as_ref().map_or_else(String::new, |class| format!(" ({class})"));
            how.push(format!("{}{class}", error.kind.as_str()));
        }
        how.extend(record.exit_code.map(|code| format!("exit code {code}")));
        how.extend(rare.and_then(|rare| rare.signal).map(|signal| format!("signal {signal}")));
        how.extend((record.attempt > 1).then(|| format!("attempt {}", record.attempt)));
        how.extend(record.duration_ms.map(|ms| format!("after {}", took(ms))));
        write!(
            out,
            "<article class=\"failed\"><h3><b>✗</b> {} <span class=\"how\">{}</span></h3>",
            self.link(id.as_str()),
            Escaped(how.join(" · ")),
        )?;
        let message = record.message().unwrap_or_default();
        if !message.is_empty() {
            writeln!(out, "<pre class=\"message\" tabindex=\"0\">{}</pre>", Escaped(message))?;
        }
        for stream in [Stream::Stderr, Stream::Stdout] {
            let Some(excerpt) = (self.report.capture)(id, stream) else { continue };
            let end = excerpt.last_lines(TAIL);
            // The message is the end of standard error as a rule, and need not be said twice.
            let told = String::from_utf8_lossy(&end.tail).trim() == message.trim();
            if end.total > 0 && !told {
                write!(out, "<p class=\"label\">End of {}</p>", stream.as_str())?;
                end.write(TAIL, out)?;
            }
        }
        out.write_all(b"</article>\n")
    }
}

fn is_failed(record: &NodeRecord) -> bool {
    record.phase == NodePhase::Failed
}

fn is_asking(record: &NodeRecord) -> bool {
    record.phase == NodePhase::Waiting
}
