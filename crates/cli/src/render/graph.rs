//! The graph of a pipe as text, Mermaid and DOT; with the states of a run, if there is one.

use std::{fmt::Write as _, time::Duration};

use omne_dag::NodeIx;
use omne_pipe::{Pipe, format_duration};
use omne_replay::RunState;
use renderdag::{Ancestor, GraphRowRenderer, Renderer as _};

use super::{Paint, sign, table};

fn state_of(state: Option<&RunState>, node: NodeIx) -> Option<&'static str> {
    state.map(|state| state.node(node).phase.as_str())
}

/// A pipe of more nodes is listed, not drawn.
const MOST_DRAWN: usize = 60;
/// The widest drawing, in characters.
const MOST_WIDTH: usize = 80;

/// Drawn with lines where it fits, else listed.
pub(crate) fn text(pipe: &Pipe, state: Option<&RunState>, paint: Paint) -> String {
    drawn(pipe, state, paint).unwrap_or_else(|| listed(pipe, state, paint))
}

/// From the top down, each node above those that depend on it; `None` when it is too large for that.
fn drawn(pipe: &Pipe, state: Option<&RunState>, paint: Paint) -> Option<String> {
    let graph = pipe.graph();
    if graph.len() > MOST_DRAWN {
        return None;
    }
    let mut renderer = GraphRowRenderer::new().output().with_min_row_height(1).build_box_drawing();
    let mut out = String::new();
    for node in depth_first(pipe) {
        let dependents =
            graph.dependents(node).iter().map(|dependent| Ancestor::Parent(*dependent)).collect();
        let word = state_of(state, node);
        let id = pipe.node(node).id.as_str();
        let id = word.map_or(id.into(), |word| paint.state(word, id));
        let took = state.and_then(|state| state.node(node).duration_ms);
        let took =
            took.map(|ms| format!("  {}", format_duration(Duration::from_millis(ms)))).unwrap_or_default();
        let message = format!("{id}{}{}", paint.dim(&took), paint.dim(&rule(pipe, node)));
        out += &renderer.next_row(node, dependents, word.map_or("○", sign).to_owned(), message);
    }
    let fits = |line: &str| anstream::adapter::strip_str(line).to_string().chars().count() <= MOST_WIDTH;
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.iter().all(|line| fits(line)).then(|| lines.join("\n") + "\n")
}

/// An order in which each node comes after its dependencies, and what belongs together stands together: then few lines
/// run side by side.
fn depth_first(pipe: &Pipe) -> Vec<NodeIx> {
    let graph = pipe.graph();
    let mut left: Vec<usize> = graph.nodes().map(|node| graph.dependencies(node).len()).collect();
    let mut stack: Vec<NodeIx> = graph.nodes().filter(|node| left[node.place()] == 0).collect();
    stack.reverse();
    let mut order = Vec::new();
    while let Some(node) = stack.pop() {
        order.push(node);
        for &dependent in graph.dependents(node).iter().rev() {
            left[dependent.place()] -= 1;
            if left[dependent.place()] == 0 {
                stack.push(dependent);
            }
        }
    }
    order
}

fn rule(pipe: &Pipe, node: NodeIx) -> String {
    match pipe.node(node).trigger_rule {
        omne_dag::TriggerRule::AllSuccess => String::new(),
        other => format!(" ({})", other.as_str()),
    }
}

/// Layer by layer, each node with what it depends on.
fn listed(pipe: &Pipe, state: Option<&RunState>, paint: Paint) -> String {
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
        let rule = rule(pipe, node);
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
        1 => states[row].map_or(cell.into(), |state| paint.state(state, cell)),
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
