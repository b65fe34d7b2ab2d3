//! What a report says first: which run, how it ended, whether its log can be
//! trusted.

use std::io::{self, Write};

use omne_events::Usage;

use super::Page;
use crate::markup::{Escaped, sign, state_of, took};

/// The states that nodes can be in, what asks for attention first.
const STATES: [&str; 8] =
    ["failed", "interrupted", "waiting", "blocked", "running", "completed", "skipped", "pending"];

impl Page<'_> {
    pub(super) fn head(&self, out: &mut dyn Write) -> io::Result<()> {
        let word = self.state.phase().as_str();
        let run = self.state.run().map_or("", |run| run.as_str());
        write!(
            out,
            "<header>\n<p class=\"id mono\">{}</p>\n<h1 class=\"{word}\">{} <b class=\"badge\">{} {word}</b></h1>\n",
            Escaped(run),
            Escaped(self.state.name()),
            sign(word),
        )?;
        if let Some(text) = self.state.pipe().and_then(|pipe| pipe.description()) {
            writeln!(out, "<p class=\"description\">{}</p>", Escaped(text))?;
        }
        self.counts(out)?;
        self.facts(out)?;
        self.chain(out)?;
        self.inputs(out)?;
        self.goes(out)?;
        out.write_all(b"</header>\n<nav aria-label=\"Sections\">")?;
        for (id, name) in [
            ("failures", "Failures"),
            ("graph", "Graph"),
            ("timeline", "Timeline"),
            ("nodes", "Nodes"),
            ("details", "Details"),
            ("decisions", "Decisions"),
            ("events", "Events"),
        ] {
            let is_there = match id {
                "failures" => self.has_trouble(),
                "graph" => self.state.pipe().is_some(),
                "timeline" => !self.story.attempts.is_empty(),
                "decisions" => self.has_decisions(),
                _ => true,
            };
            if is_there {
                write!(out, "<a href=\"#{id}\">{name}</a>")?;
            }
        }
        out.write_all(b"</nav>\n")
    }

    /// How many nodes are in which state, as a bar and in words.
    fn counts(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut counts = [0u32; STATES.len()];
        for (_, _, record) in self.state.nodes() {
            let word = state_of(self.state, record);
            if let Some(place) = STATES.iter().position(|state| *state == word) {
                counts[place] += 1;
            }
        }
        let some = || STATES.iter().zip(counts).filter(|(_, count)| *count > 0);
        out.write_all(b"<div class=\"share\" aria-hidden=\"true\">")?;
        for (word, count) in some() {
            write!(out, "<i class=\"{word}\" style=\"flex-grow:{count}\"></i>")?;
        }
        out.write_all(b"</div>\n<ul class=\"counts\">")?;
        for (word, count) in some() {
            write!(out, "<li class=\"{word}\"><b>{} {count}</b> {word}</li>", sign(word))?;
        }
        out.write_all(b"</ul>\n")
    }

    fn facts(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = self.state;
        let mut facts: Vec<(&str, String)> = Vec::new();
        facts.extend(state.started_at().map(|at| ("Started", clock(&at.to_string()))));
        facts.extend(state.ended_at().map(|at| ("Ended", clock(&at.to_string()))));
        facts.push(("Took", took(state.active_ms())));
        facts.extend(state.by().map(|by| ("By", by.to_owned())));
        facts
            .extend(state.host().map(|host| ("Host", format!("{} · omne {}", host.name, host.omne_version))));
        if state.resumes() > 0 {
            facts.push(("Resumes", state.resumes().to_string()));
        }
        if let Some(workspace) = state.workspace() {
            let base =
                workspace.base_commit.as_deref().map_or_else(String::new, |base| format!(" at {base}"));
            facts.push(("Workspace", format!("{} ({}{base})", workspace.path, workspace.mode.as_str())));
        }
        facts.extend(state.jobs().map(|jobs| ("Jobs", jobs.to_string())));
        facts.extend(state.version().map(|version| ("Version", version.to_string())));
        let usage = state.usage();
        facts.extend(usage.cost_usd.map(|usd| ("Cost", format!("{usd:.4} USD"))));
        if usage != Usage::default() {
            facts.push(("Tokens", tokens(&usage)));
        }
        facts.extend(state.definition_sha256().map(|digest| ("Definition", digest.to_string())));
        out.write_all(b"<dl class=\"facts\">")?;
        for (name, value) in facts {
            let class = if name == "Definition" { " class=\"wide mono\"" } else { "" };
            write!(out, "<div{class}><dt>{name}</dt><dd>{}</dd></div>", Escaped(value))?;
        }
        out.write_all(b"</dl>\n")
    }

    fn chain(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.report.chain {
            Ok(Some(head)) => writeln!(
                out,
                "<p class=\"chain completed\"><b>✓ The log verifies.</b> {} events, each linked to the \
                 one before; the head is <code>{head}</code></p>",
                self.story.events
            ),
            Ok(None) => writeln!(
                out,
                "<p class=\"chain skipped\"><b>· The log is not linked.</b> Changes of its {} events \
                 can not be found.</p>",
                self.story.events
            ),
            Err(finding) => writeln!(
                out,
                "<p class=\"chain failed\"><b>✗ The log does not verify.</b> {}</p>",
                Escaped(finding)
            ),
        }
    }

    fn inputs(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.state.inputs().is_empty() {
            return Ok(());
        }
        out.write_all(b"<h2>Inputs</h2>\n<dl class=\"values\">")?;
        for (key, value) in self.state.inputs() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            write!(out, "<dt class=\"mono\">{}</dt><dd><pre>{}</pre></dd>", Escaped(key), Escaped(text))?;
        }
        out.write_all(b"</dl>\n")
    }

    /// When runners were at it, if that was more than once.
    fn goes(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.story.goes.len() < 2 {
            return Ok(());
        }
        out.write_all(
            b"<h2>Runners</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Runners\"><table>\
              <thead><tr><th scope=\"col\">From</th><th scope=\"col\">To</th><th scope=\"col\">Why</th>\
              <th scope=\"col\">By</th><th scope=\"col\">Host</th><th scope=\"col\">End</th></tr></thead><tbody>\n",
        )?;
        for go in &self.story.goes {
            let why = if go.resume == 0 { "start".to_owned() } else { format!("resume {}", go.resume) };
            let host =
                go.host.as_ref().map_or_else(String::new, |host| format!("{} ({})", host.name, host.pid));
            let (to, word, reason) = match &go.end {
                Some(end) => (clock(&end.at.to_string()), end.state, end.reason.clone().unwrap_or_default()),
                None => (String::new(), "interrupted", "no word of its end".to_owned()),
            };
            writeln!(
                out,
                "<tr class=\"{word}\"><td>{}<td>{to}<td>{why}<td>{}<td>{}<td><b>{} {}</b> {}</tr>",
                clock(&go.at.to_string()),
                Escaped(go.by.as_deref().unwrap_or_default()),
                Escaped(host),
                sign(word),
                if go.end.is_some() { word } else { "" },
                Escaped(reason),
            )?;
        }
        out.write_all(b"</tbody></table></div>\n")
    }
}

/// `2026-11-20T10:00:00.123Z` as people read it.
pub(super) fn clock(text: &str) -> String {
    text.replace('T', " ").replace('Z', "")
}

/// Tokens in words.
pub(super) fn tokens(usage: &Usage) -> String {
    let cached = usage.cache_read_tokens.filter(|tokens| *tokens > 0);
    let cached = cached.map_or_else(String::new, |tokens| format!(" (and {tokens} cached)"));
    let turns = usage.turns.map_or_else(String::new, |turns| format!(", {turns} turns"));
    format!("{} in{cached}, {} out{turns}", usage.input_tokens, usage.output_tokens)
}
