//! Events about a node and its attempts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{Usage, first_attempt};
use crate::{Digest, NodeId};

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A prompt from `dist/cmds/`.
    Command,
    /// A prompt in the pipe file.
    Prompt,
    /// A shell script.
    Bash,
    /// A prompt, again and again until it says that it is done.
    Loop,
}

impl NodeKind {
    /// The word in pipe files and events.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeKind::Command => "command",
            NodeKind::Prompt => "prompt",
            NodeKind::Bash => "bash",
            NodeKind::Loop => "loop",
        }
    }
}

/// An attempt at a node begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeStarted {
    /// The node.
    pub node_id: NodeId,
    /// What it does.
    pub kind: NodeKind,
    /// From 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// What the node is: definition, inputs and command text it uses, its ancestors' digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_sha256: Option<Digest>,
    /// The digest of the prompt as the agent gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_sha256: Option<Digest>,
    /// The command's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// The model asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<SmolStr>,
    /// The agent program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<SmolStr>,
    /// The digest of the prompt as it is in every run, where the run's id or places stand in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_stable_sha256: Option<Digest>,
}

/// The attempt's process exists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeSpawned {
    /// The node.
    pub node_id: NodeId,
    /// The attempt.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// Its process id, which is also its process group.
    pub pid: u32,
    /// The program that was started.
    pub program: SmolStr,
}

/// The attempt succeeded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeCompleted {
    /// The node.
    pub node_id: NodeId,
    /// The attempt.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// The capture, relative to the volume; absent when the node printed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_path: Option<String>,
    /// The capture's size in bytes.
    #[serde(default)]
    pub output_bytes: u64,
    /// The capture's digest; absent in logs of omne-cli 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_sha256: Option<Digest>,
    /// From start to end, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
    /// Of the node's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What the node gave to later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    /// What the agent used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Tools that the agent was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_tools: Option<Vec<SmolStr>>,
}

/// A node's outputs, by key.
pub type Outputs = BTreeMap<SmolStr, String>;

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The agent program is missing.
    HostMissing,
    /// It ran longer than it may.
    Timeout,
    /// The agent said `BLOCKED`.
    Blocked,
    /// The gate said no.
    GateFailed,
    /// The gate ran longer than it may.
    GateTimeout,
    /// The process ended badly.
    Crash,
    /// The loop's rounds are used up.
    MaxIterationsExceeded,
    /// The agent said that it failed.
    AgentError,
    /// A hook or rule refused it.
    Denied,
    /// The process could not be started.
    SpawnFailed,
    /// It wrote more than it may.
    OutputLimit,
    /// It cost more than it may.
    BudgetExceeded,
    /// `omne cancel`.
    Cancelled,
    /// A signal to the runner.
    Interrupted,
}

impl ErrorKind {
    /// Every kind, in the vocabulary's order.
    pub const ALL: [ErrorKind; 14] = [
        ErrorKind::HostMissing,
        ErrorKind::Timeout,
        ErrorKind::Blocked,
        ErrorKind::GateFailed,
        ErrorKind::GateTimeout,
        ErrorKind::Crash,
        ErrorKind::MaxIterationsExceeded,
        ErrorKind::AgentError,
        ErrorKind::Denied,
        ErrorKind::SpawnFailed,
        ErrorKind::OutputLimit,
        ErrorKind::BudgetExceeded,
        ErrorKind::Cancelled,
        ErrorKind::Interrupted,
    ];

    /// The word in events and pipe files.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::HostMissing => "host_missing",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Blocked => "blocked",
            ErrorKind::GateFailed => "gate_failed",
            ErrorKind::GateTimeout => "gate_timeout",
            ErrorKind::Crash => "crash",
            ErrorKind::MaxIterationsExceeded => "max_iterations_exceeded",
            ErrorKind::AgentError => "agent_error",
            ErrorKind::Denied => "denied",
            ErrorKind::SpawnFailed => "spawn_failed",
            ErrorKind::OutputLimit => "output_limit",
            ErrorKind::BudgetExceeded => "budget_exceeded",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Interrupted => "interrupted",
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The agent's own word for it, such as `rate_limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<SmolStr>,
}

impl From<ErrorKind> for NodeError {
    fn from(kind: ErrorKind) -> Self {
        NodeError { kind, class: None }
    }
}

/// The attempt failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeFailed {
    /// The node.
    pub node_id: NodeId,
    /// The attempt.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// What went wrong.
    pub error: NodeError,
    /// In words: the tail of stderr, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Of the node's process, when it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended the node's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// From start to end, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
    /// When there will be another attempt: after how many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// What the agent used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// The node will not run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeSkipped {
    /// The node.
    pub node_id: NodeId,
    /// Why, for people.
    pub reason: String,
}
