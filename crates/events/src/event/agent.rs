//! Events about agents: usage, rounds, tools.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::first_attempt;
use crate::{Digest, NodeId};

/// What an agent used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens written.
    #[serde(default)]
    pub output_tokens: u64,
    /// Tokens read from the prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u64>,
    /// Tokens written to the prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// US dollars by the agent's own price table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Turns of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u64>,
    /// The agent's own time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_ms: Option<u64>,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Usage) {
        fn sum<T>(a: Option<T>, b: Option<T>, add: impl FnOnce(T, T) -> T) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(add(a, b)),
                (a, b) => a.or(b),
            }
        }
        // What agents tell of themselves may be anything.
        let count = |a, b| sum(a, b, u64::saturating_add);
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.cache_read_tokens = count(self.cache_read_tokens, more.cache_read_tokens);
        self.cache_write_tokens = count(self.cache_write_tokens, more.cache_write_tokens);
        self.cost_usd = sum(self.cost_usd, more.cost_usd, |a, b| (a + b).min(f64::MAX));
        self.turns = count(self.turns, more.turns);
        self.agent_ms = count(self.agent_ms, more.agent_ms);
    }
}

/// A round of a loop begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IterationStarted {
    /// The node.
    pub node_id: NodeId,
    /// The attempt.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// From 1.
    pub iteration: u32,
    /// Where its text begins in the capture.
    pub byte_offset: u64,
    /// The agent's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IterationOutcome {
    /// The loop's `until` was said.
    Until,
    /// `BLOCKED` was said.
    Blocked,
    /// Neither.
    Continue,
    /// The agent failed.
    Failed,
}

/// A round of a loop ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IterationCompleted {
    /// The node.
    pub node_id: NodeId,
    /// The attempt.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// From 1.
    pub iteration: u32,
    /// How it ended.
    pub outcome: IterationOutcome,
    /// What the agent used in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// An agent program said who it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentStarted {
    /// The node.
    pub node_id: NodeId,
    /// The attempt.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// The agent's name in the settings.
    pub agent: SmolStr,
    /// The program's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<SmolStr>,
    /// The model it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<SmolStr>,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}

/// An agent used a tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentTool {
    /// The node.
    pub node_id: NodeId,
    /// The attempt.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// The tool's name.
    pub tool: SmolStr,
    /// The agent's id of the call.
    pub tool_use_id: String,
    /// The digest of the tool's input as compact JSON.
    pub input_sha256: Digest,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}
