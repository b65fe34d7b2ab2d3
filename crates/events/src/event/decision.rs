//! Events about gates, hooks and the people who answer.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::Usage;
use crate::NodeId;

/// How a gate was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateMethod {
    /// The gate's script said yes.
    Hook,
    /// A person did, on the command line.
    HumanCli,
    /// Reserved by omne-cli 0.2.
    McpTool,
}

/// The gate after a node let it through.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GatePassed {
    /// The node.
    pub node_id: NodeId,
    /// The gate's name.
    pub gate: SmolStr,
    /// How.
    pub method: GateMethod,
    /// The tail of the script's stdout, at most 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The gate waits for a decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GateWaiting {
    /// The node.
    pub node_id: NodeId,
    /// The gate's name.
    pub gate: SmolStr,
    /// The question.
    pub prompt: String,
    /// The possible answers.
    #[serde(default)]
    pub options: Vec<String>,
    /// The answer when nobody gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What the attempt used until here. It ends only when somebody has answered, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Somebody decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GateDecided {
    /// The node.
    pub node_id: NodeId,
    /// The gate's name.
    pub gate: SmolStr,
    /// The answer.
    pub option: String,
    /// Whether the answer lets the node through.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a hook decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookVerdict {
    /// Go on.
    Allow,
    /// Go on, changed.
    Modify,
    /// Stop.
    Deny,
    /// Ask a person.
    AskUser,
    /// The hook failed.
    Error,
}

impl HookVerdict {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            HookVerdict::Allow => "allow",
            HookVerdict::Modify => "modify",
            HookVerdict::Deny => "deny",
            HookVerdict::AskUser => "ask_user",
            HookVerdict::Error => "error",
        }
    }
}

/// A hook answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HookDecided {
    /// The hook event, such as `pre_node`.
    pub event: SmolStr,
    /// The hook.
    pub hook: String,
    /// The node, if it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// The agent's id of the tool call, if it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_use_id: Option<String>,
    /// What it decided.
    pub decision: HookVerdict,
    /// How long it took, in microseconds.
    #[serde(default)]
    pub latency_us: u64,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A code in the manner of HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// What it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<serde_json::Value>,
}
