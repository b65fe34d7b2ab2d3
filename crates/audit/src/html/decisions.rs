//! What hooks and people decided.

use std::io::{self, Write};

use omne_events::HookVerdict;

use super::{Page, head::clock};
use crate::{
    Mark, MarkKind,
    markup::{Escaped, sign},
};

/// More decisions than this are in the log only.
const MOST: usize = 1000;

impl Page<'_> {
    pub(super) fn has_decisions(&self) -> bool {
        self.story.marks.iter().any(is_decision)
    }

    pub(super) fn decisions(&self, out: &mut dyn Write) -> io::Result<()> {
        let all: Vec<&Mark> = self.story.marks.iter().filter(|mark| is_decision(mark)).collect();
        if all.is_empty() {
            return Ok(());
        }
        out.write_all(
            b"<section id=\"decisions\"><h2>Decisions of hooks and people</h2>\n<div class=\"scroll\" tabindex=\"0\" \
              role=\"region\" aria-label=\"Decisions\"><table><thead><tr><th scope=\"col\">Time</th>\
              <th scope=\"col\">Node</th><th scope=\"col\">Who</th><th scope=\"col\">Decision</th>\
              <th scope=\"col\">Said</th></tr></thead><tbody>\n",
        )?;
        for mark in all.iter().take(MOST) {
            let link = mark.node.as_ref().map_or_else(String::new, |node| self.link(node.as_str()));
            row(out, mark, &format!("<td>{link}"))?;
            out.write_all(b"\n")?;
        }
        out.write_all(b"</tbody></table></div>\n")?;
        if all.len() > MOST {
            let run = self.state.run().map_or("", |run| run.as_str());
            let more = all.len() - MOST;
            writeln!(
                out,
                "<p class=\"cut\">{more} more decisions: <code>omne events {}</code></p>",
                Escaped(run)
            )?;
        }
        out.write_all(b"</section>\n")
    }
}

/// A mark as a row of a table; `node` is the cell with its node, where nodes have a column.
pub(super) fn row(out: &mut dyn Write, mark: &Mark, node: &str) -> io::Result<()> {
    let (who, word, text, said) = told(&mark.kind);
    write!(
        out,
        "<tr class=\"{word}\"><td class=\"time\">{}{node}<td>{}<td><b>{} {}</b><td class=\"note\">{}</tr>",
        clock(&mark.at.to_string()),
        Escaped(who),
        sign(word),
        Escaped(text),
        Escaped(said),
    )
}

fn is_decision(mark: &Mark) -> bool {
    match mark.kind {
        MarkKind::Hook { .. }
        | MarkKind::Passed { .. }
        | MarkKind::Asked { .. }
        | MarkKind::Decided { .. } => true,
        MarkKind::Tool { .. } | MarkKind::Skipped { .. } => false,
    }
}

/// Who, a word for the sign and the colour, what, and what was said of it.
fn told(kind: &MarkKind) -> (String, &'static str, String, String) {
    match kind {
        MarkKind::Hook { event, hook, decision, latency_us, reason } => {
            let word = verdict(*decision);
            let said = reason.clone().unwrap_or_default();
            let ms = latency_us / 1000;
            (format!("hook {hook} ({event})"), word, format!("{} in {ms} ms", word.replace('_', " ")), said)
        }
        MarkKind::Passed { gate, by } => {
            let who = by.clone().map_or_else(|| format!("gate {gate}"), |by| format!("{by} (gate {gate})"));
            (who, "completed", "passed".to_owned(), String::new())
        }
        MarkKind::Asked { gate, prompt } => {
            (format!("gate {gate}"), "waiting", "asked".to_owned(), prompt.clone())
        }
        MarkKind::Decided { gate, option, approved, by, comment } => {
            let word = if *approved { "completed" } else { "failed" };
            (format!("{by} (gate {gate})"), word, option.clone(), comment.clone().unwrap_or_default())
        }
        MarkKind::Tool { tool, summary } => {
            (format!("tool {tool}"), "pending", String::new(), summary.clone().unwrap_or_default())
        }
        MarkKind::Skipped { reason } => (String::new(), "skipped", "skipped".to_owned(), reason.clone()),
    }
}

fn verdict(verdict: HookVerdict) -> &'static str {
    match verdict {
        HookVerdict::Allow => "allow",
        HookVerdict::Modify => "modify",
        HookVerdict::Deny => "deny",
        HookVerdict::AskUser => "ask_user",
        HookVerdict::Error => "error",
    }
}
