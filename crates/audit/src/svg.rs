//! The graph of a pipe as a drawing, with the states of a run if there is one.

use std::fmt::Write as _;

use omne_pipe::Pipe;
use omne_replay::RunState;

use crate::{
    layout::{HEIGHT, Layout, WIDTH, layout},
    markup::{Escaped, shortened, sign, state_of, took},
};

/// Colours of states in light and dark, and how boxes and edges look.
pub(crate) const STYLE: &str = include_str!("svg.css");

/// The longest id that fits a box.
const MOST: usize = 24;

/// What the boxes of a drawing lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Nothing.
    None,
    /// `#n0`, `#n1`, … by the nodes' places.
    Details,
}

/// The graph as an SVG file that needs no other one.
pub fn svg(pipe: &Pipe, state: Option<&RunState>) -> String {
    let drawn = layout(pipe.graph());
    let mut out = String::new();
    open(&mut out, &drawn, pipe, " xmlns=\"http://www.w3.org/2000/svg\"");
    let _ = write!(out, "<style>{STYLE}</style><rect class=\"page\" width=\"100%\" height=\"100%\"/>");
    body(&mut out, &drawn, pipe, state, Links::None);
    out.push_str("</svg>\n");
    out
}

/// The same for a page that has [`STYLE`] already.
pub(crate) fn fragment(pipe: &Pipe, state: Option<&RunState>) -> String {
    let drawn = layout(pipe.graph());
    let mut out = String::new();
    open(&mut out, &drawn, pipe, "");
    body(&mut out, &drawn, pipe, state, Links::Details);
    out.push_str("</svg>\n");
    out
}

// Writing to a string can not fail, so the results below are of no use.

fn open(out: &mut String, drawn: &Layout, pipe: &Pipe, namespace: &str) {
    let Layout { width, height, .. } = drawn;
    let _ = write!(
        out,
        "<svg{namespace} class=\"dag\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"group\" aria-label=\"Graph of {}\">",
        Escaped(pipe.name().as_str())
    );
}

fn body(out: &mut String, drawn: &Layout, pipe: &Pipe, state: Option<&RunState>, links: Links) {
    out.push_str(
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path class=\"tip\" d=\"M0 0L8 4L0 8z\"/></marker></defs><g class=\"edges\" marker-end=\"url(#tip)\">\n",
    );
    for edge in &drawn.edges {
        let (x, y) = drawn.boxes[edge.from];
        let (mut x, mut y) = (x + WIDTH / 2, y + HEIGHT);
        let _ = write!(out, "<path d=\"M{x} {y}");
        for &(to, top) in &edge.via {
            curve(out, (x, y), (to, top));
            (x, y) = (to, top + HEIGHT);
            let _ = write!(out, "V{y}");
        }
        let (to, top) = drawn.boxes[edge.to];
        curve(out, (x, y), (to + WIDTH / 2, top));
        out.push_str("\"/>\n");
    }
    out.push_str("</g>\n");
    let run = state;
    for (node, (x, y)) in pipe.graph().nodes().zip(&drawn.boxes) {
        let (id, kind) = (pipe.node(node).id.as_str(), pipe.node(node).kind().as_str());
        let record = run.map(|run| run.node(node));
        let word = run.zip(record).map(|(run, record)| state_of(run, record));
        let mut note = kind.to_owned();
        if let Some(word) = word {
            let _ = write!(note, " · {word}");
        }
        if let Some(ms) = record.and_then(|record| record.duration_ms) {
            let _ = write!(note, " · {}", took(ms));
        }
        let tag = if links == Links::Details { "a" } else { "g" };
        let _ = write!(out, "<{tag} class=\"{}\" transform=\"translate({x} {y})\"", word.unwrap_or("plain"));
        if links == Links::Details {
            let _ = write!(out, " href=\"#n{}\"", node.place());
        }
        let mark = word.map_or("○", sign);
        let label = shortened(id, MOST);
        out.push('>');
        if label != id {
            let _ = write!(out, "<title>{}</title>", Escaped(id));
        }
        let _ = writeln!(
            out,
            "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"7\"/><text class=\"sign\" x=\"11\" y=\"20\">{mark}</text>\
             <text x=\"29\" y=\"20\">{}</text><text class=\"note\" x=\"29\" y=\"36\">{note}</text></{tag}>",
            Escaped(label),
        );
    }
}

/// Down, over, and down again.
fn curve(out: &mut String, from: (i32, i32), to: (i32, i32)) {
    if from.0 == to.0 {
        let _ = write!(out, "V{}", to.1);
    } else {
        let middle = i32::midpoint(from.1, to.1);
        let _ = write!(out, "C{} {middle} {} {middle} {} {}", from.0, to.0, to.0, to.1);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::told;

    use super::*;

    #[test]
    fn a_drawing_stands_alone_and_tells_states_in_words_and_signs() {
        let story = told("aborted");
        let pipe = story.state.pipe().unwrap();
        let drawing = svg(pipe, Some(&story.state));
        assert_eq!(drawing, svg(pipe, Some(&story.state)));
        for part in ["prefers-color-scheme", "✗", "bash · failed · ", "↷", "bash · skipped", "url(#tip)"]
        {
            assert!(drawing.contains(part), "{part} is missing");
        }
        // The one address is the namespace's name.
        assert_eq!(drawing.matches("http").count(), 1);
        assert!(!drawing.contains("<a "));
        let plain = svg(pipe, None);
        assert!(plain.contains("○") && !plain.contains("✗"));
    }

    #[test]
    fn a_drawing_in_a_page_leads_to_its_nodes() {
        let story = told("aborted");
        let drawing = fragment(story.state.pipe().unwrap(), Some(&story.state));
        assert!(drawing.contains("href=\"#n0\"") && !drawing.contains("<style"));
    }
}
