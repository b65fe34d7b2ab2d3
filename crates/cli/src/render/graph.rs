//! The graph of a pipe as text, Mermaid and DOT; with the states of a run, if there is one.

use std::{fmt::Write as _, time::Duration};

use omne_dag::NodeIx;
use omne_pipe::{Pipe, format_duration};
use omne_replay::RunState;

use super::{Paint, sign, table};

fn state_of(state: Option<&RunState>, node: NodeIx) -> Option<&'static str> {
    state.map(|state| state.node(node).phase.as_str())
}

/// Layer by layer, each node with what it depends on.
pub(crate) fn text(pipe: &Pipe, state: Option<&RunState>, paint: Paint) -> String {
    let graph = pipe.graph();
    let layers = graph.layers();
    let mut order: Vec<NodeIx> = graph.nodes().collect();
    order.sort_by_key(|node| (layers[node.place()], *node));
    let mut rows = Vec::new();
    let mut states = Vec::new();
    let mut before = None;
    for node in order {
        let layer = layers[node.place()];
        let number = if before == Some(layer) { String::new() } else { (layer + 1).to_string() };
        before = Some(layer);
        let word = state_of(state, node);
        let took = state.and_then(|state| state.node(node).duration_ms);
        let needs: Vec<&str> = graph.dependencies(node).iter().map(|d| pipe.node(*d).id.as_str()).collect();
        let rule = match pipe.node(node).trigger_rule {
            omne_dag::TriggerRule::AllSuccess => String::new(),
            other => format!(" ({})", other.as_str()),
        };
        let from = if needs.is_empty() { String::new() } else { format!("← {}{rule}", needs.join(", ")) };
        states.push(word);
        rows.push(vec![
            number,
            format!("{} {}", word.map_or("○", sign), pipe.node(node).id),
            took.map_or_else(String::new, |ms| format_duration(Duration::from_millis(ms))),
            from,
        ]);
    }
    table(&rows, |row, column, cell| match column {
        1 => states[row].map_or_else(|| cell.to_owned(), |state| paint.state(state, cell)),
        _ => paint.dim(cell),
    })
}

/// For Markdown.
pub(crate) fn mermaid(pipe: &Pipe, state: Option<&RunState>) -> String {
    let mut out = String::from("flowchart TD\n");
    for node in pipe.graph().nodes() {
        // Ids are letters, digits, `_`, `.` and `-`: nothing in them has a meaning within quotes.
        let class = state_of(state, node).map_or_else(String::new, |state| format!(":::{state}"));
        let _ = writeln!(out, "  n{}[\"{}\"]{class}", node.place(), pipe.node(node).id);
    }
    for node in pipe.graph().nodes() {
        for dependency in pipe.graph().dependencies(node) {
            let _ = writeln!(out, "  n{} --> n{}", dependency.place(), node.place());
        }
    }
    if state.is_some() {
        for (class, colour) in COLOURS {
            let _ = writeln!(out, "  classDef {class} stroke:{colour},stroke-width:2px");
        }
    }
    out
}

const COLOURS: [(&str, &str); 7] = [
    ("completed", "#2e7d32"),
    ("failed", "#c62828"),
    ("running", "#1565c0"),
    ("blocked", "#ef6c00"),
    ("skipped", "#9e9e9e"),
    ("waiting", "#6a1b9a"),
    ("pending", "#607d8b"),
];

/// For Graphviz.
pub(crate) fn dot(pipe: &Pipe, state: Option<&RunState>) -> String {
    let mut out = format!("digraph \"{}\" {{\n  node [shape=box, style=rounded];\n", pipe.name());
    for node in pipe.graph().nodes() {
        let colour = state_of(state, node).and_then(|state| COLOURS.iter().find(|(name, _)| *name == state));
        let colour = colour.map_or_else(String::new, |(_, colour)| format!(" [color=\"{colour}\"]"));
        let _ = writeln!(out, "  \"{}\"{colour};", pipe.node(node).id);
    }
    for node in pipe.graph().nodes() {
        for dependency in pipe.graph().dependencies(node) {
            let _ = writeln!(out, "  \"{}\" -> \"{}\";", pipe.node(*dependency).id, pipe.node(node).id);
        }
    }
    out.push_str("}\n");
    out
}
