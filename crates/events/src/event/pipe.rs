//! Events about the whole run.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use crate::{Digest, NodeId};

/// One input of a run with the value it had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The input's name.
    pub key: SmolStr,
    /// Its value after defaults and type checks.
    pub value: serde_json::Value,
}

/// Where nodes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceMode {
    /// A detached git worktree of the base commit.
    Worktree,
    /// The volume's root, in place.
    Root,
}

impl WorkspaceMode {
    /// The word in pipe files, events and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkspaceMode::Worktree => "worktree",
            WorkspaceMode::Root => "root",
        }
    }
}

/// The directory that nodes run in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// A worktree, or in place.
    pub mode: WorkspaceMode,
    /// Absolute path.
    pub path: String,
    /// The commit that the worktree was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
}

/// The runner that owns the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The machine's name.
    pub name: String,
    /// The runner's process id there.
    pub pid: u32,
    /// The runner's version.
    pub omne_version: String,
}

/// A pipe's definition as one line of JSON, shared with the pipe: that of 100,000 nodes has megabytes.
#[derive(Debug, Clone)]
pub struct DefinitionText(Arc<String>);

impl DefinitionText {
    /// Takes the text of a definition. An event can not be written with one that is no JSON.
    pub fn new(json: String) -> Self {
        Self(Arc::new(json))
    }

    /// The text.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl Serialize for DefinitionText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DefinitionText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::new(Box::<str>::from(raw).into()))
    }
}

/// The run began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipeStarted {
    /// The pipe's name.
    pub pipe: SmolStr,
    /// The pipe's `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The whole pipe, as it was written; absent in logs of omne-cli 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<DefinitionText>,
    /// The digest of the definition's bytes in this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition_sha256: Option<Digest>,
    /// The inputs in the pipe's order.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// Most nodes at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// Where nodes run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// The runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The user who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The version of the distribution that the pipe came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distro_version: Option<String>,
}

/// What a resume does with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanAction {
    /// It completed and stays so.
    Keep,
    /// It ran before and runs again.
    Rerun,
    /// A loop goes on at its next iteration.
    Continue,
    /// It has not run yet.
    Run,
}

impl PlanAction {
    /// The word in events and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            PlanAction::Keep => "keep",
            PlanAction::Rerun => "rerun",
            PlanAction::Continue => "continue",
            PlanAction::Run => "run",
        }
    }
}

/// What a resume does with one node, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// The node.
    pub node_id: NodeId,
    /// What is done with it.
    pub action: PlanAction,
    /// The reason, for people.
    pub why: String,
}

/// A runner took the run up again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipeResumed {
    /// 1 for the first resume, then 2, ….
    pub resume: u32,
    /// The definition from here on, when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<DefinitionText>,
    /// The digest of that definition's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition_sha256: Option<Digest>,
    /// The inputs from here on, when they changed with the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<Input>>,
    /// What happens to each node.
    #[serde(default)]
    pub plan: Vec<PlanStep>,
    /// The runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The user who resumed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Every node ended and none failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipeCompleted {
    /// Since the runner started or resumed, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
}

/// Nothing can go on, and a node failed or the run was cancelled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipeAborted {
    /// For people.
    #[serde(default)]
    pub reason: String,
    /// The nodes that failed; the first ones where the line would grow too long.
    #[serde(default)]
    pub failed: Vec<NodeId>,
    /// The nodes that never ran because of them; the first ones where the line would grow too long.
    #[serde(default)]
    pub blocked: Vec<NodeId>,
    /// How many failed, where the list is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_total: Option<u64>,
    /// How many are blocked, where the list is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_total: Option<u64>,
    /// Since the runner started or resumed, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
}

/// A signal ended the runner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipeInterrupted {
    /// `SIGINT` or `SIGTERM`.
    pub signal: SmolStr,
    /// The nodes that were running.
    #[serde(default)]
    pub running: Vec<NodeId>,
}

/// Nothing can go on before a decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipeParked {
    /// The nodes that wait.
    #[serde(default)]
    pub waiting: Vec<NodeId>,
}
