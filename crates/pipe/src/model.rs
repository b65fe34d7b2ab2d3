//! A pipe that was checked: valid by construction.

use std::{num::NonZeroU32, ops::Range, time::Duration};

use omne_dag::{Graph, NodeIx, TriggerRule};
use omne_events::{DefinitionText, Digest, ErrorKind, NodeId, NodeKind, PipeName, WorkspaceMode};
use serde_json::Value;
use smol_str::SmolStr;

use crate::{index::Index, template::Template};

/// How long a node may run when it does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);
/// How long an agent may be silent when its node does not say.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// The line of an agent's text that means failure.
pub const BLOCKED: &str = "BLOCKED";

/// A workflow. There is no way to make one but through [`crate::check`].
#[derive(Debug, Clone)]
pub struct Pipe {
    pub(crate) name: PipeName,
    pub(crate) version: u64,
    pub(crate) description: Option<String>,
    pub(crate) default_model: Option<SmolStr>,
    pub(crate) agent: Option<SmolStr>,
    pub(crate) workspace: Option<WorkspaceMode>,
    pub(crate) jobs: Option<NonZeroU32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) inputs: Vec<InputDeclaration>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) graph: Graph,
    pub(crate) index: Index,
    pub(crate) definition: Definition,
}

/// The pipe as it was written, as one line of JSON.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) json: DefinitionText,
    /// Where each node stands in it.
    pub(crate) nodes: Vec<Range<u32>>,
}

impl Pipe {
    /// The pipe's name.
    pub fn name(&self) -> &PipeName {
        &self.name
    }
    /// The pipe's `version`.
    pub fn version(&self) -> u64 {
        self.version
    }
    /// What it says of itself.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
    /// The model of AI nodes that name none.
    pub fn default_model(&self) -> Option<&SmolStr> {
        self.default_model.as_ref()
    }
    /// The agent of AI nodes that name none.
    pub fn agent(&self) -> Option<&SmolStr> {
        self.agent.as_ref()
    }
    /// Where it wants to run.
    pub fn workspace(&self) -> Option<WorkspaceMode> {
        self.workspace
    }
    /// Most nodes at once.
    pub fn jobs(&self) -> Option<NonZeroU32> {
        self.jobs
    }
    /// How long the whole run may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
    /// Environment variables of all nodes.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }
    /// The declared inputs, in their order.
    pub fn inputs(&self) -> &[InputDeclaration] {
        &self.inputs
    }
    /// The nodes, in their order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
    /// One node.
    pub fn node(&self, node: NodeIx) -> &Node {
        &self.nodes[node.place()]
    }
    /// What depends on what.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
    /// The node called `id`.
    pub fn find(&self, id: &str) -> Option<NodeIx> {
        self.index.find(id, |node| self.node(node).id.as_str())
    }
    /// The nodes' trigger rules, in their order.
    pub fn rules(&self) -> Vec<TriggerRule> {
        self.nodes.iter().map(|node| node.trigger_rule).collect()
    }
    /// The whole definition as compact JSON: what `pipe.started` carries.
    pub fn definition(&self) -> &str {
        self.definition.json.get()
    }
    /// The same, to be kept.
    pub fn definition_text(&self) -> DefinitionText {
        self.definition.json.clone()
    }
    /// The digest of [`Self::definition`].
    pub fn definition_sha256(&self) -> Digest {
        Digest::of(self.definition())
    }
    /// One node's definition as compact JSON.
    pub fn node_definition(&self, node: NodeIx) -> &str {
        let Range { start, end } = self.definition.nodes[node.place()];
        &self.definition()[start as usize..end as usize]
    }
}

/// A step. Small, for there may be 100,000; what few have is in [`Extras`].
#[derive(Debug, Clone)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// What it does.
    pub body: Body,
    /// When it may run.
    pub trigger_rule: TriggerRule,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// Whether a resume runs it even if it had completed.
    pub always: bool,
    /// The rest.
    pub(crate) extras: Option<Box<Extras>>,
}

/// What few nodes have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extras {
    pub(crate) when: Option<Template>,
    pub(crate) retry: Option<Retry>,
    pub(crate) gate: Option<GateName>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) secrets: Vec<SmolStr>,
    pub(crate) cwd: Option<String>,
    /// What is not [`DEFAULT_AI`].
    pub(crate) ai: Option<Ai>,
}

impl Extras {
    /// Nothing, if there is nothing.
    pub(crate) fn boxed(self) -> Option<Box<Self>> {
        let Self { when, retry, gate, env, secrets, cwd, ai } = &self;
        let is_empty = when.is_none()
            && retry.is_none()
            && gate.is_none()
            && env.is_empty()
            && secrets.is_empty()
            && cwd.is_none()
            && ai.is_none();
        (!is_empty).then(|| Box::new(self))
    }
}

impl Node {
    /// Whether it runs, looked at once the rule has fired.
    pub fn when(&self) -> Option<&Template> {
        self.extras.as_ref()?.when.as_ref()
    }
    /// Further attempts.
    pub fn retry(&self) -> Option<&Retry> {
        self.extras.as_ref()?.retry.as_ref()
    }
    /// The gate after it.
    pub fn gate(&self) -> Option<&GateName> {
        self.extras.as_ref()?.gate.as_ref()
    }
    /// Its own environment variables.
    pub fn env(&self) -> &[(String, String)] {
        self.extras.as_ref().map_or(&[], |extras| &extras.env)
    }
    /// The names of the secrets that it gets as variables.
    pub fn secrets(&self) -> &[SmolStr] {
        self.extras.as_ref().map_or(&[], |extras| &extras.secrets)
    }
    /// Where in the workspace it runs; relative, without `..`.
    pub fn cwd(&self) -> Option<&str> {
        self.extras.as_ref()?.cwd.as_deref()
    }
    /// What only agents have.
    pub fn ai(&self) -> Option<&Ai> {
        let own = self.extras.as_ref().and_then(|extras| extras.ai.as_ref());
        (self.kind() != NodeKind::Bash).then(|| own.unwrap_or(&DEFAULT_AI))
    }

    /// What it does, as a word.
    pub fn kind(&self) -> NodeKind {
        match &self.body {
            Body::Bash(_) => NodeKind::Bash,
            Body::Prompt(_) => NodeKind::Prompt,
            Body::Command(_) => NodeKind::Command,
            Body::Loop(_) => NodeKind::Loop,
        }
    }

    /// The command that it sends, if it sends one.
    pub fn command(&self) -> Option<&CommandName> {
        match &self.body {
            Body::Command(name) => Some(name),
            Body::Loop(rounds) => match &rounds.body {
                RoundBody::Command(name) => Some(name),
                RoundBody::Prompt(_) => None,
            },
            Body::Bash(_) | Body::Prompt(_) => None,
        }
    }

    /// The prompt that it sends, if it stands in the pipe itself.
    pub fn prompt(&self) -> Option<&Template> {
        match &self.body {
            Body::Prompt(prompt) => Some(prompt),
            Body::Loop(rounds) => match &rounds.body {
                RoundBody::Prompt(prompt) => Some(prompt),
                RoundBody::Command(_) => None,
            },
            Body::Bash(_) | Body::Command(_) => None,
        }
    }

    /// Its loop, if it is one.
    pub fn rounds(&self) -> Option<&Rounds> {
        match &self.body {
            Body::Loop(rounds) => Some(rounds),
            Body::Bash(_) | Body::Prompt(_) | Body::Command(_) => None,
        }
    }
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum Body {
    /// A script for `sh -c`, as it is; most are short.
    Bash(SmolStr),
    /// A prompt.
    Prompt(Box<Template>),
    /// A prompt by name.
    Command(Box<CommandName>),
    /// A prompt, again and again.
    Loop(Box<Rounds>),
}

/// A loop.
#[derive(Debug, Clone)]
pub struct Rounds {
    /// What each round does.
    pub body: RoundBody,
    /// The line that ends the loop.
    pub until: SmolStr,
    /// From 1 to 1000.
    pub max_iterations: u32,
    /// Whether each round is a new session.
    pub fresh_context: bool,
}

/// What a round does.
#[derive(Debug, Clone)]
pub enum RoundBody {
    /// A prompt.
    Prompt(Template),
    /// A prompt by name.
    Command(CommandName),
}

/// What only agent nodes have.
#[derive(Debug, Clone, PartialEq)]
pub struct Ai {
    /// The model; else the pipe's.
    pub model: Option<SmolStr>,
    /// The agent; else the pipe's.
    pub agent: Option<SmolStr>,
    /// The tools that it may use without asking.
    pub allowed_tools: Option<Vec<SmolStr>>,
    /// Most turns of the conversation.
    pub max_turns: Option<NonZeroU32>,
    /// How long it may be silent.
    pub idle_timeout: Duration,
    /// Further arguments for the program.
    pub agent_args: Vec<String>,
    /// The most it may cost, in US dollars.
    pub budget_usd: Option<f64>,
}

/// What an agent node has that says nothing of it: one for all of them.
pub(crate) static DEFAULT_AI: Ai = Ai {
    model: None,
    agent: None,
    allowed_tools: None,
    max_turns: None,
    idle_timeout: DEFAULT_IDLE_TIMEOUT,
    agent_args: Vec::new(),
    budget_usd: None,
};

/// Further attempts after a failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// How many.
    pub max: u32,
    /// Before the first one.
    pub delay: Duration,
    /// What the delay is multiplied with for each later one.
    pub backoff: f64,
    /// The longest delay.
    pub max_delay: Option<Duration>,
    /// After which failures; empty for any that can be retried.
    pub on: Vec<RetryOn>,
}

impl Retry {
    /// How long to wait before the attempt after attempt `attempt`.
    pub fn delay_after(&self, attempt: u32) -> Duration {
        let factor = self.backoff.powi(attempt.saturating_sub(1).try_into().unwrap_or(i32::MAX));
        let most = self.max_delay.unwrap_or(Duration::from_secs(24 * 3600));
        let delay = self.delay.as_secs_f64() * factor;
        if delay < most.as_secs_f64() { Duration::from_secs_f64(delay.max(0.0)) } else { most }
    }
}

/// A failure that is retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryOn {
    /// By its kind.
    Kind(ErrorKind),
    /// By the agent's word for it, such as `rate_limit`.
    Class(SmolStr),
}

/// An input's declaration.
#[derive(Debug, Clone, PartialEq)]
pub struct InputDeclaration {
    /// Its name.
    pub key: SmolStr,
    /// What values it takes.
    pub kind: InputKind,
    /// Whether it has to be given.
    pub required: bool,
    /// What it is when it is not given.
    pub default: Option<Value>,
    /// For people.
    pub description: Option<String>,
}

/// What values an input takes.
#[derive(Debug, Clone, PartialEq)]
pub enum InputKind {
    /// Text, perhaps one that matches a regular expression.
    String {
        /// The regular expression.
        pattern: Option<String>,
    },
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
}

impl InputKind {
    /// The word in pipe files.
    pub fn as_str(&self) -> &'static str {
        match self {
            InputKind::String { .. } => "string",
            InputKind::Integer => "integer",
            InputKind::Number => "number",
            InputKind::Boolean => "boolean",
            InputKind::Choice(_) => "choice",
        }
    }
}

/// The name of a file below `dist/`, without its ending: never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName(SmolStr);

/// The name of a gate.
pub type GateName = FileName;
/// The name of a command.
pub type CommandName = FileName;

impl FileName {
    /// Checks that `text` can be no path.
    pub(crate) fn new(text: &str) -> Result<Self, omne_events::NameError> {
        NodeId::new(text).map(|id| Self(id.as_str().into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_takes_little_room() {
        assert!(size_of::<Node>() <= 80, "{} bytes", size_of::<Node>());
    }

    #[test]
    fn the_delay_grows_by_the_backoff_up_to_its_limit() {
        let seconds = Duration::from_secs;
        let retry =
            Retry { max: 9, delay: seconds(5), backoff: 2.0, max_delay: Some(seconds(60)), on: vec![] };
        let delays: Vec<u64> = (1..=6).map(|attempt| retry.delay_after(attempt).as_secs()).collect();
        assert_eq!(delays, [5, 10, 20, 40, 60, 60]);
        assert_eq!(Retry { backoff: f64::MAX, ..retry }.delay_after(u32::MAX), seconds(60));
    }
}
