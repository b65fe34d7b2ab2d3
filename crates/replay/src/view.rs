//! The state as JSON: what `status --json` and `replay --format json` print.

use omne_events::{NodeError, NodeKind, Outputs, Timestamp, Usage};
use serde::Serialize;
use serde_json::{Map, Value};
use smol_str::SmolStr;

use crate::{
    gate::Gate,
    state::{NodePhase, NodeRecord, RunState},
};

/// A run.
#[derive(Debug, Serialize)]
pub struct RunView<'a> {
    /// Its id.
    pub run_id: &'a str,
    /// The pipe's name.
    pub pipe: &'a str,
    /// The pipe's version.
    pub version: Option<u64>,
    /// Where it stands.
    pub state: &'a str,
    /// The last event's number.
    pub seq: u64,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How long runners were at it, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How often it was resumed.
    pub resumes: u32,
    /// Its inputs.
    pub inputs: Map<String, Value>,
    /// Why it was aborted or interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// What its agents used.
    pub usage: Usage,
    /// Its nodes in the pipe's order; absent in lists of runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeView<'a>>>,
}

/// A node.
#[derive(Debug, Serialize)]
pub struct NodeView<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it does.
    pub kind: NodeKind,
    /// Where it stands.
    pub state: &'a str,
    /// The last attempt; 0 before the first.
    pub attempt: u32,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView<'a>>,
    /// Of its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When the last attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The round that a loop is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iteration: Option<u32>,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// What it gave to later nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<&'a Outputs>,
    /// Its capture, relative to the volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_path: Option<&'a str>,
    /// What its agents used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Tools that its agent was refused.
    #[serde(skip_serializing_if = "<[SmolStr]>::is_empty")]
    pub denied_tools: &'a [SmolStr],
    /// Its gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<&'a Gate>,
}

/// Why a node failed.
#[derive(Debug, Serialize)]
pub struct ErrorView<'a> {
    /// The kind and the agent's word for it.
    #[serde(flatten)]
    pub error: &'a NodeError,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
}

impl RunState {
    /// The run with its nodes.
    pub fn view(&self) -> RunView<'_> {
        let nodes = self.nodes();
        let nodes =
            nodes.map(|(id, kind, record)| NodeView::new(id.as_str(), kind, record, self.standing(record)));
        let nodes = nodes.collect();
        RunView { nodes: Some(nodes), ..self.summary() }
    }

    /// The run without its nodes.
    pub fn summary(&self) -> RunView<'_> {
        RunView {
            run_id: self.run().map_or("", |run| run.as_str()),
            pipe: self.name(),
            version: self.version(),
            state: self.phase().as_str(),
            seq: self.seq(),
            started_at: self.started_at(),
            ended_at: self.ended_at(),
            duration_ms: self.ended_at().map(|_| self.active_ms()),
            resumes: self.resumes(),
            inputs: self.inputs().iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
            reason: self.reason(),
            usage: self.usage(),
            nodes: None,
        }
    }
}

impl<'a> NodeView<'a> {
    fn new(id: &'a str, kind: NodeKind, record: &'a NodeRecord, standing: NodePhase) -> Self {
        let rare = record.rare.as_deref();
        let error = record.error().map(|error| ErrorView { error, message: record.message() });
        Self {
            id,
            kind,
            state: standing.as_str(),
            attempt: record.attempt,
            error,
            exit_code: record.exit_code,
            started_at: record.started_at,
            ended_at: record.ended_at,
            duration_ms: record.duration_ms,
            iteration: rare.and_then(|rare| rare.iteration),
            reason: rare.and_then(|rare| rare.reason.as_deref()),
            outputs: record.outputs(),
            output_path: rare.and_then(|rare| rare.output_path.as_deref()),
            usage: record.usage(),
            denied_tools: rare.map(|rare| rare.denied_tools.as_slice()).unwrap_or_default(),
            // Nobody waits for an answer to a node that has failed.
            gate: record.gate().filter(|gate| !(gate.is_waiting() && record.phase == NodePhase::Failed)),
        }
    }
}
