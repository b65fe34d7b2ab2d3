//! Pipes of any shape, with what their nodes do, from a seed.

use std::{fmt::Write, rc::Rc, sync::Arc, time::Duration};

use omne_events::Durability;
use omne_pipe::{NoLookup, Pipe, Source, check};

use super::executor::{Ending, Gate, Part};

/// A run to be.
pub(super) struct Scenario {
    pub(super) pipe: Arc<Pipe>,
    pub(super) parts: Rc<Vec<Part>>,
    pub(super) jobs: usize,
    pub(super) fail_fast: bool,
    pub(super) durability: Durability,
    pub(super) ask_timeout: Option<Duration>,
    /// What comes of each node does not depend on when it runs or how often: however such a run is disturbed, in the end
    /// it comes to the same.
    pub(super) is_steady: bool,
}

impl Scenario {
    pub(super) fn new(random: &mut fastrand::Rng) -> Self {
        let is_steady = random.u8(0..3) > 0;
        let nodes = random.usize(1..=12);
        let mut text = String::from("name: sim\nversion: 1\n");
        if !is_steady && random.u8(0..4) == 0 {
            let _ = writeln!(text, "timeout: {}ms", random.u64(1..5000));
        }
        text.push_str("nodes:\n");
        let mut parts = Vec::new();
        for node in 0..nodes {
            node_text(&mut text, node, random);
            let part = part(random);
            parts.push(if is_steady { part.steady() } else { part });
        }
        let pipe = checked(text);
        let durability = match random.u8(0..4) {
            0 => Durability::None,
            1 => Durability::Strict,
            _ => Durability::Auto,
        };
        Self {
            pipe,
            parts: Rc::new(parts),
            jobs: random.usize(1..=4),
            fail_fast: !is_steady && random.u8(0..3) == 0,
            durability,
            ask_timeout: (!is_steady && random.bool()).then(|| ask_timeout(random)),
            is_steady,
        }
    }

    /// Nodes of a millisecond each, with these further fields, whose ends are all waited for.
    pub(super) fn strict(jobs: usize, nodes: &[String]) -> Self {
        let mut text = String::from("name: sim\nversion: 1\nnodes:\n");
        for (node, fields) in nodes.iter().enumerate() {
            let _ = writeln!(text, "- {{id: n{node}, bash: work, {fields}}}");
        }
        let part = Part {
            end: Ending::Completes,
            takes: Duration::from_millis(1),
            gate: Gate::Passes,
            rounds: 1,
            approved: true,
        };
        Self {
            pipe: checked(text),
            parts: Rc::new(vec![part; nodes.len()]),
            jobs,
            fail_fast: false,
            durability: Durability::Strict,
            ask_timeout: None,
            is_steady: true,
        }
    }
}

fn checked(text: String) -> Arc<Pipe> {
    let source = Source::new("sim.yaml", text.clone().into_bytes()).unwrap();
    let checked = check(&source, &NoLookup);
    Arc::new(checked.pipe.unwrap_or_else(|| panic!("{text}\n{:?}", checked.diagnostics)))
}

/// Some questions expire while other nodes still run, some only once the run has parked.
fn ask_timeout(random: &mut fastrand::Rng) -> Duration {
    let most = [100, 2000, 20_000][random.usize(0..3)];
    Duration::from_millis(random.u64(1..most))
}

fn node_text(text: &mut String, node: usize, random: &mut fastrand::Rng) {
    let _ = write!(text, "- {{id: n{node}");
    let mut before: Vec<usize> = (0..node).filter(|_| random.u8(0..3) == 0).collect();
    random.shuffle(&mut before);
    before.truncate(4);
    if !before.is_empty() {
        let names: Vec<String> = before.iter().map(|other| format!("n{other}")).collect();
        let rule = random.choice(["all_success", "one_success", "all_done", "none_failed"]);
        let _ = write!(text, ", depends_on: [{}]", names.join(", "));
        let _ = write!(text, ", trigger_rule: {}", rule.unwrap_or("all_success"));
    }
    match random.u8(0..4) {
        0 => {
            let most = random.u32(1..=4);
            let _ = write!(text, ", loop: {{prompt: go on, until: DONE, max_iterations: {most}}}");
        }
        _ => text.push_str(", bash: work"),
    }
    if random.u8(0..3) == 0 {
        let (max, delay) = (random.u32(0..=3), random.u64(0..3000));
        let _ = write!(text, ", retry: {{max: {max}, delay: {delay}ms}}");
    }
    if random.u8(0..3) == 0 {
        let _ = write!(text, ", timeout: {}ms", random.u64(1..400));
    }
    if random.u8(0..4) == 0 {
        text.push_str(", gate: look");
    }
    match random.u8(0..10) {
        0 => text.push_str(", when: '1 > 2'"),
        1 => text.push_str(", when: '2 > 1'"),
        _ => {}
    }
    text.push_str("}\n");
}

fn part(random: &mut fastrand::Rng) -> Part {
    let end = match random.u8(0..8) {
        0 => Ending::Crashes,
        1 if random.bool() => Ending::CanNotStart,
        1 => Ending::IsRefused,
        2 | 3 => Ending::CrashesUntil(random.u32(1..4)),
        _ => Ending::Completes,
    };
    // Many are quick, some are worth waiting for, a few take long.
    let most = [5, 5, 90, 300, 5000][random.usize(0..5)];
    Part {
        end,
        takes: Duration::from_micros(random.u64(0..most * 1000)),
        gate: [Gate::Passes, Gate::Passes, Gate::Fails, Gate::Asks][random.usize(0..4)],
        rounds: random.u32(1..=4),
        approved: random.u8(0..4) > 0,
    }
}
