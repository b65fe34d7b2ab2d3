//! All about each node, folded up.

use std::io::{self, Write};

use omne_dag::NodeIx;
use omne_events::{IterationOutcome, NodeId, NodeKind, Timestamp, beginning};
use omne_pipe::to_yaml;
use omne_replay::NodeRecord;

use super::{Page, Stream, Told, decisions::row, excerpt::scrolls, head::clock};
use crate::{
    Attempt, MarkKind, Outcome, Round,
    markup::{Escaped, shortened, sign, state_of, took},
};

/// More decisions and tool calls of one node than this are in the log only.
const MOST_MARKS: usize = 200;
/// More attempts or rounds of one node than this are in the log only.
const MOST_ATTEMPTS: usize = 100;
/// Bytes that are shown of a definition or an output.
const LONGEST: usize = 8 << 10;

impl Page<'_> {
    pub(super) fn details(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(
            out,
            "<section id=\"details\"><h2>Details</h2>\n<p class=\"tools\" hidden><button type=\"button\" data-all=\"open\">\
             Expand all</button> <button type=\"button\" data-all=\"\">Collapse all</button></p>\n"
        )?;
        for (place, ((id, kind, record), told)) in self.state.nodes().zip(&self.nodes).enumerate() {
            let word = state_of(self.state, record);
            write!(
                out,
                "<details class=\"node {word}\"><summary><b>{}</b> <span>{}</span> \
                 <span class=\"how\">{} · {word}",
                sign(word),
                Escaped(id.as_str()),
                kind.as_str(),
            )?;
            if let Some(ms) = record.duration_ms {
                write!(out, " · {}", took(ms))?;
            }
            // The id is inside, for a browser unfolds what an address points into.
            write!(out, "</span></summary><div id=\"n{place}\">")?;
            self.detail(NodeIx::new(place), (id, kind, record), told, out)?;
            out.write_all(b"</div></details>\n")?;
        }
        out.write_all(b"</section>\n")
    }

    fn detail(
        &self,
        node: NodeIx,
        (id, _, record): (&NodeId, NodeKind, &NodeRecord),
        told: &Told<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let rare = record.rare.as_deref();
        if let Some(message) = record.message() {
            write!(
                out,
                "<p class=\"label\">Message</p><pre class=\"message\" tabindex=\"0\">{}</pre>",
                Escaped(message)
            )?;
        }
        if let Some(reason) = rare.and_then(|rare| rare.reason.as_deref()) {
            write!(out, "<p class=\"reason\">{}</p>", Escaped(reason))?;
        }
        if let Some(pipe) = self.state.pipe() {
            for (label, others) in [
                ("Depends on", pipe.graph().dependencies(node)),
                ("Needed by", pipe.graph().dependents(node)),
            ] {
                if !others.is_empty() {
                    write!(out, "<p class=\"label\">{label}</p><p class=\"links\">")?;
                    for other in others.iter().take(MOST_ATTEMPTS) {
                        write!(out, "{} ", self.link(pipe.node(*other).id.as_str()))?;
                    }
                    if others.len() > MOST_ATTEMPTS {
                        write!(out, "and {} more", others.len() - MOST_ATTEMPTS)?;
                    }
                    out.write_all(b"</p>")?;
                }
            }
        }
        attempts(&told.attempts, out)?;
        if let Some(outputs) = record.outputs().filter(|outputs| !outputs.is_empty()) {
            out.write_all(b"<p class=\"label\">Outputs</p><dl class=\"values\">")?;
            for (key, value) in outputs {
                let value = cut(value);
                write!(
                    out,
                    "<dt class=\"mono\">{}</dt><dd><pre>{}</pre></dd>",
                    Escaped(key),
                    Escaped(value)
                )?;
            }
            out.write_all(b"</dl>")?;
        }
        if let Some(gate) = record.gate() {
            write!(out, "<p class=\"label\">Gate</p><p><b>{}</b> {}", Escaped(&gate.gate), gate.state)?;
            for (before, text) in [(" by ", &gate.by), (": ", &gate.prompt), (" — ", &gate.comment)] {
                if let Some(text) = text {
                    write!(out, "{before}{}", Escaped(text))?;
                }
            }
            out.write_all(b"</p>")?;
        }
        let denied = rare.map(|rare| rare.denied_tools.join(", ")).unwrap_or_default();
        if !denied.is_empty() {
            write!(out, "<p class=\"label\">Refused tools</p><p>{}</p>", Escaped(denied))?;
        }
        marks(told, out)?;
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(excerpt) = (self.report.capture)(id, stream).filter(|excerpt| excerpt.total > 0) {
                write!(out, "<p class=\"label\">{}, {} bytes</p>", stream.as_str(), excerpt.total)?;
                excerpt.write(self.share, out)?;
            }
        }
        if let Some(pipe) = self.state.pipe() {
            let json = pipe.node_definition(node);
            let yaml = serde_json::from_str::<serde_json::Value>(json).ok().and_then(|v| to_yaml(&v).ok());
            let text = yaml.as_deref().unwrap_or(json).trim_end();
            write!(
                out,
                "<p class=\"label\">Definition</p><pre{}>{}</pre>",
                scrolls(text.len() as u64),
                Escaped(cut(text))
            )?;
        }
        Ok(())
    }
}

fn attempts(attempts: &[&Attempt], out: &mut dyn Write) -> io::Result<()> {
    let agents = attempts.iter().any(|attempt| attempt.agent.is_some() || attempt.usage.is_some());
    match attempts {
        [] => return Ok(()),
        // Nearly every node has one plain attempt, and there are many nodes.
        [one] if !agents && one.rounds.is_empty() => {
            let (word, text) = outcome(one);
            let took = attempt_ms(one).map_or_else(String::new, |ms| format!(" in {}", took(ms)));
            let code = one.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
            let started = clock(&one.started.to_string());
            return write!(
                out,
                "<p>Attempt {} at {started}: <b>{} {}</b>{took}{code}</p>",
                one.number,
                sign(word),
                Escaped(text),
            );
        }
        _ => {}
    }
    out.write_all(
        b"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Attempts\"><table><thead><tr>\
          <th scope=\"col\" class=\"num\">Attempt</th><th scope=\"col\">Outcome</th>\
          <th scope=\"col\">Started</th><th scope=\"col\" class=\"num\">Took</th><th scope=\"col\">Exit</th>",
    )?;
    if agents {
        out.write_all(b"<th scope=\"col\">Agent</th><th scope=\"col\">Usage</th>")?;
    }
    out.write_all(b"</tr></thead>")?;
    let left_out = attempts.len().saturating_sub(MOST_ATTEMPTS);
    if left_out > 0 {
        write!(out, "<tr class=\"cut\"><td colspan=\"7\">… {left_out} earlier attempts left out</tr>")?;
    }
    for attempt in &attempts[left_out..] {
        let (word, text) = outcome(attempt);
        write!(
            out,
            "<tr class=\"{word}\"><td class=\"num\">{}<td><b>{} {}</b><td class=\"time\">{}<td class=\"num\">{}<td>",
            attempt.number,
            sign(word),
            Escaped(text),
            clock(&attempt.started.to_string()),
            attempt_ms(attempt).map_or_else(String::new, took),
        )?;
        if let Some(code) = attempt.exit_code {
            write!(out, "{code}")?;
        }
        if agents {
            let agent = [&attempt.agent, &attempt.agent_version, &attempt.model];
            let agent: Vec<&str> = agent.into_iter().flatten().map(|text| text.as_str()).collect();
            let usage = attempt.usage.as_ref().map(used).unwrap_or_default();
            write!(out, "<td>{}<td>{}", Escaped(agent.join(" · ")), Escaped(usage))?;
        }
        out.write_all(b"</tr>")?;
        let rounds = &attempt.rounds[attempt.rounds.len().saturating_sub(MOST_ATTEMPTS)..];
        for round in rounds {
            let (word, text) = round_outcome(round);
            write!(
                out,
                "<tr class=\"round {word}\"><td class=\"num\">round {}<td><b>{} {text}</b>\
                 <td class=\"time\">{}<td class=\"num\">{}<td>",
                round.number,
                sign(word),
                clock(&round.started.to_string()),
                round.ended.map_or_else(String::new, |ended| between(round.started, ended)),
            )?;
            if agents {
                write!(out, "<td><td>{}", round.usage.as_ref().map(used).unwrap_or_default())?;
            }
            out.write_all(b"</tr>")?;
        }
    }
    out.write_all(b"</table></div>")
}

fn marks(told_of: &Told<'_>, out: &mut dyn Write) -> io::Result<()> {
    let marks: Vec<_> =
        told_of.marks.iter().filter(|mark| !matches!(mark.kind, MarkKind::Skipped { .. })).collect();
    if marks.is_empty() {
        return Ok(());
    }
    out.write_all(
        b"<p class=\"label\">Tools and decisions</p>\
          <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Tools and decisions\"><table>",
    )?;
    for mark in marks.iter().take(MOST_MARKS) {
        row(out, mark, "")?;
    }
    if marks.len() > MOST_MARKS {
        write!(out, "<tr class=\"cut\"><td colspan=\"4\">… {} more</tr>", marks.len() - MOST_MARKS)?;
    }
    out.write_all(b"</table></div>")
}

/// A node's trouble in one line, for the table.
pub(super) fn note(record: &NodeRecord) -> String {
    const MOST: usize = 160;
    let rare = record.rare.as_deref();
    let error = record.error().map(|error| error.kind.as_str().to_owned());
    let message = record.message().map(str::to_owned);
    let reason = rare.and_then(|rare| rare.reason.clone());
    let gate = record.gate().map(|gate| format!("gate {} {}", gate.gate, gate.state));
    let text = [error, message, reason, gate].into_iter().flatten().collect::<Vec<_>>().join(" · ");
    shortened(&text.replace('\n', " "), MOST)
}

/// A word for the sign and the colour of an attempt, and what came of it.
pub(super) fn outcome(attempt: &Attempt) -> (&'static str, String) {
    match &attempt.outcome {
        Outcome::Completed => ("completed", "completed".to_owned()),
        Outcome::Open if attempt.ended.is_some() => ("interrupted", "cut off".to_owned()),
        Outcome::Open => ("running", "running".to_owned()),
        Outcome::Failed { error, retry_in_ms, .. } => {
            let class = error.class.as_ref().map_or_else(String::new, |class| format!(" ({class})"));
            let text = format!("{}{class}", error.kind.as_str());
            match retry_in_ms {
                Some(ms) => ("retried", format!("{text}, again in {}", took(*ms))),
                None => ("failed", text),
            }
        }
    }
}

pub(super) fn round_outcome(round: &Round) -> (&'static str, &'static str) {
    match round.outcome {
        Some(IterationOutcome::Until) => ("completed", "done"),
        Some(IterationOutcome::Continue) => ("pending", "to be continued"),
        Some(IterationOutcome::Blocked) => ("blocked", "blocked"),
        Some(IterationOutcome::Failed) => ("failed", "failed"),
        None => ("interrupted", "no end"),
    }
}

/// How long an attempt took: by its own count, or by the log's times.
pub(super) fn attempt_ms(attempt: &Attempt) -> Option<u64> {
    attempt.duration_ms.or_else(|| Some(omne_events::milliseconds(attempt.ended?.since(attempt.started))))
}

fn between(from: Timestamp, to: Timestamp) -> String {
    took(omne_events::milliseconds(to.since(from)))
}

fn used(usage: &omne_events::Usage) -> String {
    let cost = usage.cost_usd.map_or_else(String::new, |usd| format!("{usd:.4} USD, "));
    format!("{cost}{}", super::head::tokens(usage))
}

fn cut(text: &str) -> String {
    match beginning(text, LONGEST) {
        all if all.len() == text.len() => all.to_owned(),
        some => format!("{some}\n… {} more bytes", text.len() - some.len()),
    }
}
