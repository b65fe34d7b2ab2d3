//! Which agent each AI node asks, with which prompt: found and checked before
//! anything is written.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use omne_agent::{Agent, Call, Session};
use omne_dag::NodeIx;
use omne_exec::{Ask, GoesOn};
use omne_pipe::{Bindings, Command, Commands, Node, Pipe, Template};
use omne_replay::NodeRecord;
use smol_str::SmolStr;

use crate::{Options, RunError, Volume};

/// The agent of AI nodes where nothing names one.
const DEFAULT_AGENT: &str = "claude";

/// The agents and commands of a run.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    agents: BTreeMap<SmolStr, (Arc<Agent>, PathBuf)>,
    default: SmolStr,
    pub(crate) commands: Commands,
}

/// Whether agents' programs are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Programs {
    /// They are looked for.
    Needed,
    /// A recording is played.
    Played,
}

/// The commands that a pipe names, as far as they are there and usable.
pub(crate) fn commands(pipe: &Pipe, volume: &Volume) -> Commands {
    let mut commands = Commands::new();
    for name in pipe.nodes().iter().filter_map(Node::command) {
        if !commands.contains_key(name.as_str())
            && let Ok(command) = volume.command(name.as_str())
        {
            commands.insert(name.as_str().into(), Arc::new(command));
        }
    }
    commands
}

impl Roster {
    /// Finds the agents of the nodes for which `runs` holds.
    ///
    /// # Errors
    /// When one is not known, can't be told what its node wants, or is not installed; or a command can't be used.
    pub(crate) fn new(
        pipe: &Pipe,
        volume: &Volume,
        options: &Options,
        programs: Programs,
        runs: &dyn Fn(&Node) -> bool,
    ) -> Result<Self, RunError> {
        let settings = &options.settings;
        let default = pipe.agent().cloned().or_else(|| settings.agent.as_deref().map(Into::into));
        let default = default.unwrap_or_else(|| DEFAULT_AGENT.into());
        let mut roster = Self { agents: BTreeMap::new(), default, commands: commands(pipe, volume) };
        let path =
            options.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        let path = path.unwrap_or("/usr/local/bin:/usr/bin:/bin".as_ref());
        for node in pipe.nodes().iter().filter(|node| node.ai().is_some() && runs(node)) {
            if let Some(command) = node.command()
                && !roster.commands.contains_key(command.as_str())
                && let Err(help) = volume.command(command.as_str())
            {
                return Err(RunError::Command { name: command.to_string(), help });
            }
            let name = roster.agent_of(node).clone();
            if !roster.agents.contains_key(&name) {
                let agent = Agent::find(&name, &settings.agents)?;
                let program = match (programs, find(&agent, path, volume.root())) {
                    (Programs::Needed, None) => {
                        let install = agent.install.clone();
                        return Err(RunError::AgentMissing { agent: name, program: agent.program, install });
                    }
                    (_, program) => program.unwrap_or_else(|| PathBuf::from(&agent.program)),
                };
                roster.agents.insert(name.clone(), (Arc::new(agent), program));
            }
            if let Some((agent, _)) = roster.agents.get(&name) {
                let (tools, model) = (roster.tools(node), roster.model(pipe, node));
                let call = Call {
                    prompt: "",
                    session: Session::Unnamed,
                    model: model.as_deref(),
                    tools: tools.as_deref(),
                    turns: node.ai().and_then(|ai| ai.max_turns).map(std::num::NonZeroU32::get),
                    budget: None,
                    args: &[],
                };
                agent.can_be_told(&call)?;
            }
        }
        Ok(roster)
    }

    fn agent_of<'a>(&'a self, node: &'a Node) -> &'a SmolStr {
        node.ai().and_then(|ai| ai.agent.as_ref()).unwrap_or(&self.default)
    }

    fn command(&self, node: &Node) -> Option<&Command> {
        node.command().and_then(|name| self.commands.get(name.as_str())).map(|command| &**command)
    }

    fn tools(&self, node: &Node) -> Option<Vec<SmolStr>> {
        let own = node.ai().and_then(|ai| ai.allowed_tools.clone());
        own.or_else(|| self.command(node)?.allowed_tools().map(<[SmolStr]>::to_vec))
    }

    fn model(&self, pipe: &Pipe, node: &Node) -> Option<SmolStr> {
        let own = node.ai().and_then(|ai| ai.model.clone());
        own.or_else(|| self.command(node)?.model().cloned()).or_else(|| pipe.default_model().cloned())
    }

    /// The template of a node's prompt.
    pub(crate) fn prompt<'a>(&'a self, node: &'a Node) -> Option<&'a Template> {
        node.prompt().or_else(|| Some(self.command(node)?.template()))
    }

    /// What a node asks; `None` for bash nodes.
    pub(crate) fn ask(
        &self,
        pipe: &Pipe,
        node: NodeIx,
        record: &NodeRecord,
        bindings: Bindings,
    ) -> Option<Box<Ask>> {
        let node = pipe.node(node);
        let (agent, program) = self.agents.get(self.agent_of(node)).filter(|_| node.ai().is_some())?;
        let rare = record.rare.as_deref();
        // Only a resume that goes on leaves a round and its session behind before an attempt.
        let rounds = node.rounds().zip(rare).filter(|(_, rare)| rare.iteration.is_some());
        let goes_on = rounds.filter(|_| record.goes_on).map(|(rounds, rare)| GoesOn {
            iteration: rare.rounds_ended + 1,
            is_done: rare.loop_done,
            session: rare.known_session().filter(|_| !rounds.fresh_context).map(str::to_owned),
        });
        Some(Box::new(Ask {
            prompt: self.prompt(node)?.clone(),
            bindings,
            agent: Arc::clone(agent),
            program: program.clone(),
            model: self.model(pipe, node),
            tools: self.tools(node),
            spent_usd: record.usage().and_then(|usage| usage.cost_usd).unwrap_or(0.0),
            goes_on,
            changed: None,
            mask: None,
        }))
    }

    /// Nodes whose agents ask nobody about their tools, though there are hooks that look at tools: for people to know.
    pub(crate) fn without_tool_hooks(&self, pipe: &Pipe) -> Vec<String> {
        let asks_nobody = |node: &&Node| {
            let agent = self.agents.get(self.agent_of(node)).filter(|_| node.ai().is_some());
            agent.is_some_and(|(agent, _)| agent.dialect != omne_agent::Dialect::Claude)
        };
        let warning = |node: &Node| {
            let agent = self.agent_of(node);
            format!("the hooks on tools do not see those of `{}`: its agent `{agent}` asks nobody", node.id)
        };
        pipe.nodes().iter().filter(asks_nobody).map(warning).collect()
    }

    /// Loops that are to keep a session whose agent can't: for people to know.
    pub(crate) fn warnings(&self, pipe: &Pipe) -> Vec<String> {
        let forgetful = |node: &&Node| {
            let keeps = node.rounds().is_some_and(|rounds| !rounds.fresh_context);
            keeps && self.agents.get(self.agent_of(node)).is_some_and(|(agent, _)| !agent.resumes())
        };
        let warning = |node: &Node| {
            let agent = self.agent_of(node);
            format!(
                "the agent `{agent}` can not go on with a session (it has no `resume_args`): \
                 each iteration of `{}` begins afresh",
                node.id
            )
        };
        pipe.nodes().iter().filter(forgetful).map(warning).collect()
    }
}

/// The program of an agent, absolute, by the value of `PATH`; `None` when it is not installed. A relative path is one
/// from the volume's root.
pub fn find(agent: &Agent, path: &OsStr, root: &Path) -> Option<PathBuf> {
    if agent.program.contains('/') {
        let absolute = root.join(&agent.program);
        return omne_process::is_program(&absolute).then_some(absolute);
    }
    omne_process::find_program(&agent.program, path)
}
