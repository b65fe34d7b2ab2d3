//! What differs between two runs.

use std::time::Duration;

use omne_pipe::format_duration;
use omne_replay::NodeRecord;
use serde::Serialize;

use crate::Story;

/// A duration has to differ by so much, and by a half, to be worth a line.
const NOTABLE_MS: u64 = 100;

/// How much a difference says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// The runs did not do the same, or it did not come to the same.
    Real,
    /// Times and costs, which are never quite the same.
    Measured,
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The node; none for what is of the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// What: `definition`, `inputs.KEY`, `state`, `attempts`, `error`, `exit_code`, `outputs.KEY`, `output`, `duration`, `cost`.
    pub what: String,
    /// In the first run.
    pub a: Option<String>,
    /// In the second one.
    pub b: Option<String>,
    /// How much it says.
    pub weight: Weight,
}

/// Everything that differs, in this order: the pipe, inputs, the outcome, then node by node in the order of the first
/// run's pipe.
pub fn diff(a: &Story, b: &Story) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    let (left, right) = (&a.state, &b.state);
    found.whole("pipe", Some(left.name().to_owned()), Some(right.name().to_owned()));
    found.whole("version", left.version().map(|v| v.to_string()), right.version().map(|v| v.to_string()));
    let digest = |story: &Story| story.state.pipe().map(|pipe| pipe.definition_sha256().to_string());
    found.whole("definition", digest(a), digest(b));
    let input = |story: &Story, key: &str| {
        story.state.inputs().iter().find(|(name, _)| name == key).map(|(_, value)| value.to_string())
    };
    for (key, value) in left.inputs() {
        found.whole(&format!("inputs.{key}"), Some(value.to_string()), input(b, key));
    }
    for (key, value) in right.inputs().iter().filter(|(key, _)| input(a, key).is_none()) {
        found.whole(&format!("inputs.{key}"), None, Some(value.to_string()));
    }
    found.whole("state", Some(left.phase().as_str().to_owned()), Some(right.phase().as_str().to_owned()));
    found.took(None, left.ended_at().map(|_| left.active_ms()), right.ended_at().map(|_| right.active_ms()));
    found.cost(None, left.usage().cost_usd, right.usage().cost_usd);
    for (id, _, record) in left.nodes() {
        match right.find(id.as_str()) {
            Some(other) => node(&mut found, a, b, id.as_str(), record, right.node(other)),
            None => found.add(Some(id.as_str()), "node", Some("present".into()), None, Weight::Real),
        }
    }
    for (id, ..) in right.nodes().filter(|(id, ..)| left.find(id.as_str()).is_none()) {
        found.add(Some(id.as_str()), "node", None, Some("present".into()), Weight::Real);
    }
    found.0
}

struct Found(Vec<Difference>);

impl Found {
    fn add(&mut self, node: Option<&str>, what: &str, a: Option<String>, b: Option<String>, weight: Weight) {
        if a != b {
            self.0.push(Difference { node_id: node.map(str::to_owned), what: what.to_owned(), a, b, weight });
        }
    }

    fn whole(&mut self, what: &str, a: Option<String>, b: Option<String>) {
        self.add(None, what, a, b, Weight::Real);
    }

    fn took(&mut self, node: Option<&str>, a: Option<u64>, b: Option<u64>) {
        let (Some(left), Some(right)) = (a, b) else { return };
        let (less, more) = (left.min(right), left.max(right));
        if more - less >= NOTABLE_MS && more >= less + less / 2 {
            let text = |ms| Some(format_duration(Duration::from_millis(ms)).to_string());
            self.add(node, "duration", text(left), text(right), Weight::Measured);
        }
    }

    fn cost(&mut self, node: Option<&str>, a: Option<f64>, b: Option<f64>) {
        let text = |cost: Option<f64>| cost.map(|cost| format!("${cost:.4}"));
        self.add(node, "cost", text(a), text(b), Weight::Measured);
    }
}

fn node(found: &mut Found, a: &Story, b: &Story, id: &str, left: &NodeRecord, right: &NodeRecord) {
    let definition = |story: &Story| {
        let pipe = story.state.pipe()?;
        pipe.find(id).map(|node| pipe.node_definition(node).to_owned())
    };
    let id = Some(id);
    let mut add = |what: &str, a: Option<String>, b: Option<String>| found.add(id, what, a, b, Weight::Real);
    add("definition", definition(a), definition(b));
    let text = |record: &NodeRecord| Some(record.phase.as_str().to_owned());
    add("state", text(left), text(right));
    add("attempts", Some(left.attempt.to_string()), Some(right.attempt.to_string()));
    let error = |record: &NodeRecord| record.error().map(|error| error.kind.as_str().to_owned());
    add("error", error(left), error(right));
    let code = |record: &NodeRecord| record.exit_code.map(|code| code.to_string());
    add("exit_code", code(left), code(right));
    let empty = omne_events::Outputs::new();
    let (ours, theirs) = (left.outputs().unwrap_or(&empty), right.outputs().unwrap_or(&empty));
    for (key, value) in ours {
        add(&format!("outputs.{key}"), Some(value.clone()), theirs.get(key).cloned());
    }
    for (key, value) in theirs.iter().filter(|(key, _)| !ours.contains_key(*key)) {
        add(&format!("outputs.{key}"), None, Some(value.clone()));
    }
    let output = |record: &NodeRecord| {
        let digest = record.output_sha256?.to_string();
        if record.output_bytes == 0 {
            return Some("nothing".to_owned());
        }
        Some(format!("{} bytes, {}…", record.output_bytes, &digest[..12]))
    };
    add("output", output(left), output(right));
    found.took(id, left.duration_ms, right.duration_ms);
    let cost = |record: &NodeRecord| record.usage().and_then(|usage| usage.cost_usd);
    found.cost(id, cost(left), cost(right));
}
