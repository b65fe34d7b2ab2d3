//! Agent programs as data: the built-in ones, and those of the settings.

use std::collections::BTreeMap;

use serde::Deserialize;
use smol_str::SmolStr;

use crate::{PromptError, prompt};

/// How an agent's standard output is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `claude --output-format stream-json`.
    Claude,
    /// `codex exec --json`.
    Codex,
    /// `gemini -o stream-json`.
    Gemini,
    /// Plain text, all of it the agent's own.
    Text,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Dialect; 4] = [Dialect::Claude, Dialect::Codex, Dialect::Gemini, Dialect::Text];
}

/// How an agent is given its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptBy {
    /// On standard input, which is then closed.
    Stdin,
    /// As the last argument, or in the place of `{prompt}`.
    Argument,
}

/// An agent program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its name in pipes and settings.
    pub name: SmolStr,
    /// The program: a path, or a name to be found in `PATH`.
    pub program: String,
    /// How its standard output is read.
    pub dialect: Dialect,
    /// How it gets the prompt.
    pub prompt: PromptBy,
    /// How it is installed, for people who lack it.
    pub install: String,
    /// Variables that its processes get unless the caller has set them.
    pub env: BTreeMap<String, String>,
    args: Vec<String>,
    session_args: Vec<String>,
    resume_args: Vec<String>,
    model_args: Vec<String>,
    tools_args: Vec<String>,
    turns_args: Vec<String>,
    budget_args: Vec<String>,
    last_args: Vec<String>,
}

/// An agent as `[agents.NAME]` in the settings describes it; what it leaves out is as in the built-in one of that name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The program; else the agent's name.
    pub program: Option<String>,
    /// Its arguments.
    pub args: Option<Vec<String>>,
    /// How its standard output is read; plain text by default.
    pub stream: Option<Dialect>,
    /// How it gets the prompt; on standard input by default.
    pub prompt: Option<PromptBy>,
    /// Added to begin the session `{session}`.
    pub session_args: Option<Vec<String>>,
    /// Added to go on with the session `{session}`.
    pub resume_args: Option<Vec<String>>,
    /// Added when there is a model: `{model}`.
    pub model_args: Option<Vec<String>>,
    /// Added when tools are allowed; an argument `{tools}` stands for one argument a tool.
    pub tools_args: Option<Vec<String>>,
    /// Added when turns are limited: `{turns}`.
    pub turns_args: Option<Vec<String>>,
    /// Added when there is a budget in US dollars: `{budget}`.
    pub budget_args: Option<Vec<String>>,
    /// Variables that its processes get unless the caller has set them.
    pub env: Option<BTreeMap<String, String>>,
    /// How it is installed, for people who lack it.
    pub install: Option<String>,
}

/// Why an agent can't be used as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody has described it.
    #[error("there is no agent `{name}`; known are {}", known.join(", "))]
    Unknown {
        /// As it was asked for.
        name: SmolStr,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It has no way to be told something that a node wants.
    #[error(
        "the agent `{agent}` can not be told `{what}`; remove it, or say how in `[agents.{agent}]` (`{key}`)"
    )]
    CanNotBeTold {
        /// The agent.
        agent: SmolStr,
        /// What it was to be told.
        what: &'static str,
        /// The setting that says how.
        key: &'static str,
    },
}

/// Which session a call is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session<'a> {
    /// One that the agent names itself.
    Unnamed,
    /// A new one of that name.
    New(&'a str),
    /// One that was begun before.
    Resumed(&'a str),
}

/// What an agent is asked to do.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The prompt.
    pub prompt: &'a str,
    /// The session.
    pub session: Session<'a>,
    /// The model, when one is asked for.
    pub model: Option<&'a str>,
    /// The tools that it may use without asking.
    pub tools: Option<&'a [SmolStr]>,
    /// The most turns.
    pub turns: Option<u32>,
    /// The most it may still cost, in US dollars.
    pub budget: Option<f64>,
    /// Further arguments, as they are.
    pub args: &'a [String],
}

/// How a call looks to the operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The arguments, without the program.
    pub args: Vec<String>,
    /// Whether the prompt is to be its standard input.
    pub prompt_on_stdin: bool,
}

fn list(args: &[&str]) -> Vec<String> {
    args.iter().map(|&arg| arg.to_owned()).collect()
}

impl Agent {
    /// The names of the built-in agents.
    pub const BUILT_IN: [&'static str; 3] = ["claude", "codex", "gemini"];

    fn plain(name: &str) -> Self {
        Self {
            name: name.into(),
            program: name.to_owned(),
            dialect: Dialect::Text,
            prompt: PromptBy::Stdin,
            install: String::new(),
            env: BTreeMap::new(),
            args: Vec::new(),
            session_args: Vec::new(),
            resume_args: Vec::new(),
            model_args: Vec::new(),
            tools_args: Vec::new(),
            turns_args: Vec::new(),
            budget_args: Vec::new(),
            last_args: Vec::new(),
        }
    }

    /// A built-in agent.
    pub fn built_in(name: &str) -> Option<Self> {
        let plain = Self::plain(name);
        Some(match name {
            "claude" => Self {
                dialect: Dialect::Claude,
                install: "npm install -g @anthropic-ai/claude-code".to_owned(),
                // Without `--verbose` it refuses this format.
                args: list(&[
                    "-p",
                    "--output-format",
                    "stream-json",
                    "--verbose",
                    "--include-partial-messages",
                ]),
                session_args: list(&["--session-id", "{session}"]),
                resume_args: list(&["--resume", "{session}"]),
                model_args: list(&["--model", "{model}"]),
                tools_args: list(&["--allowed-tools", "{tools}"]),
                turns_args: list(&["--max-turns", "{turns}"]),
                budget_args: list(&["--max-budget-usd", "{budget}"]),
                // An update in the middle of a run would change what runs.
                env: BTreeMap::from([("DISABLE_AUTOUPDATER".to_owned(), "1".to_owned())]),
                ..plain
            },
            "codex" => Self {
                dialect: Dialect::Codex,
                install: "npm install -g @openai/codex".to_owned(),
                args: list(&["exec", "--json", "--skip-git-repo-check"]),
                resume_args: list(&["resume", "{session}"]),
                model_args: list(&["-m", "{model}"]),
                // A lone dash: the prompt is on standard input.
                last_args: list(&["-"]),
                ..plain
            },
            "gemini" => Self {
                dialect: Dialect::Gemini,
                install: "npm install -g @google/gemini-cli".to_owned(),
                // A new worktree is never a directory that it was told to trust.
                args: list(&["-o", "stream-json", "--skip-trust"]),
                session_args: list(&["--session-id", "{session}"]),
                resume_args: list(&["-r", "{session}"]),
                model_args: list(&["-m", "{model}"]),
                ..plain
            },
            _ => return None,
        })
    }

    /// The agent called `name`, by the settings or built in.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(name: &str, configured: &BTreeMap<String, AgentConfig>) -> Result<Self, ConfigError> {
        let built_in = Self::built_in(name);
        match (built_in, configured.get(name)) {
            (Some(agent), None) => Ok(agent),
            (base, Some(config)) => Ok(base.unwrap_or_else(|| Self::plain(name)).with(config)),
            (None, None) => {
                let mut known = list(&Self::BUILT_IN);
                known.extend(
                    configured.keys().filter(|name| !Self::BUILT_IN.contains(&name.as_str())).cloned(),
                );
                Err(ConfigError::Unknown { name: name.into(), known })
            }
        }
    }

    fn with(mut self, config: &AgentConfig) -> Self {
        fn set<T: Clone>(place: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                place.clone_from(value);
            }
        }
        set(&mut self.program, &config.program);
        set(&mut self.args, &config.args);
        set(&mut self.dialect, &config.stream);
        set(&mut self.prompt, &config.prompt);
        set(&mut self.session_args, &config.session_args);
        set(&mut self.resume_args, &config.resume_args);
        set(&mut self.model_args, &config.model_args);
        set(&mut self.tools_args, &config.tools_args);
        set(&mut self.turns_args, &config.turns_args);
        set(&mut self.budget_args, &config.budget_args);
        set(&mut self.env, &config.env);
        set(&mut self.install, &config.install);
        if config.args.is_some() {
            // Whoever says how it is called says all of it.
            self.last_args.clear();
        }
        self
    }

    /// Whether its sessions can be named before they begin.
    pub fn names_sessions(&self) -> bool {
        !self.session_args.is_empty()
    }

    /// Whether it can go on with a session.
    pub fn resumes(&self) -> bool {
        !self.resume_args.is_empty()
    }

    /// Whether it can be told all that a call wants of it.
    ///
    /// # Errors
    /// With the first thing that it can't be told.
    pub fn can_be_told(&self, call: &Call<'_>) -> Result<(), ConfigError> {
        let wants = [
            (call.tools.is_some(), &self.tools_args, "allowed_tools", "tools_args"),
            (call.turns.is_some(), &self.turns_args, "max_turns", "turns_args"),
            (call.model.is_some(), &self.model_args, "model", "model_args"),
        ];
        for (wanted, args, what, key) in wants {
            if wanted && args.is_empty() {
                return Err(ConfigError::CanNotBeTold { agent: self.name.clone(), what, key });
            }
        }
        Ok(())
    }

    /// The command line of a call.
    ///
    /// # Errors
    /// When the agent would not take the prompt as one.
    pub fn command_line(&self, call: &Call<'_>) -> Result<CommandLine, PromptError> {
        prompt::check(call.prompt, self.prompt, self.dialect)?;
        let mut args = Vec::new();
        let mut add = |templates: &[String], name: &str, value: &str| {
            args.extend(templates.iter().map(|template| template.replace(name, value)));
        };
        let by_argument = self.prompt == PromptBy::Argument;
        let has_place = by_argument && self.args.iter().any(|arg| arg.contains("{prompt}"));
        add(&self.args, "{prompt}", if has_place { call.prompt } else { "" });
        if let Some(model) = call.model {
            add(&self.model_args, "{model}", model);
        }
        if let Some(turns) = call.turns {
            add(&self.turns_args, "{turns}", &turns.to_string());
        }
        if let Some(budget) = call.budget {
            add(&self.budget_args, "{budget}", &format!("{budget:.6}"));
        }
        // An empty list allows nothing more than usual, and an option without a value would take the next one for it.
        let tools = call.tools.filter(|tools| !tools.is_empty());
        for template in tools.map(|_| &self.tools_args).into_iter().flatten() {
            if template == "{tools}" {
                args.extend(tools.into_iter().flatten().map(ToString::to_string));
            } else {
                args.push(template.clone());
            }
        }
        // After the tools, whose list ends with the next option.
        let (templates, session) = match call.session {
            Session::Unnamed => (&[][..], ""),
            Session::New(session) => (&self.session_args[..], session),
            Session::Resumed(session) => (&self.resume_args[..], session),
        };
        args.extend(templates.iter().map(|template| template.replace("{session}", session)));
        args.extend(call.args.iter().cloned());
        args.extend(self.last_args.iter().cloned());
        if by_argument && !has_place {
            args.push(call.prompt.to_owned());
        }
        Ok(CommandLine { args, prompt_on_stdin: !by_argument })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(session: Session<'_>) -> Call<'_> {
        Call { prompt: "do it", session, model: None, tools: None, turns: None, budget: None, args: &[] }
    }

    fn line(agent: &Agent, call: &Call<'_>) -> String {
        agent.command_line(call).unwrap().args.join(" ")
    }

    #[test]
    fn claude_gets_its_prompt_on_stdin_and_its_session_by_name() {
        let claude = Agent::built_in("claude").unwrap();
        let tools = ["Read".into(), "Bash(git log:*)".into()];
        let args = ["--permission-mode".to_owned(), "acceptEdits".to_owned()];
        let call = Call {
            model: Some("opus"),
            tools: Some(&tools),
            turns: Some(3),
            budget: Some(2.5),
            args: &args,
            ..call(Session::New("u-1"))
        };
        assert!(claude.command_line(&call).unwrap().prompt_on_stdin);
        assert_eq!(
            line(&claude, &call),
            "-p --output-format stream-json --verbose --include-partial-messages --model opus --max-turns 3 \
             --max-budget-usd 2.500000 --allowed-tools Read Bash(git log:*) --session-id u-1 \
             --permission-mode acceptEdits"
        );
        assert!(line(&claude, &super::tests::call(Session::Resumed("u-1"))).ends_with("--resume u-1"));
    }

    #[test]
    fn codex_goes_on_with_a_thread_that_it_named_itself() {
        let codex = Agent::built_in("codex").unwrap();
        assert!(!codex.names_sessions() && codex.resumes());
        assert_eq!(line(&codex, &call(Session::Unnamed)), "exec --json --skip-git-repo-check -");
        assert_eq!(
            line(&codex, &call(Session::Resumed("t1"))),
            "exec --json --skip-git-repo-check resume t1 -"
        );
    }

    #[test]
    fn the_settings_describe_further_agents_and_change_the_built_in_ones() {
        let config = |json: &str| serde_json::from_str::<AgentConfig>(json).unwrap();
        let configured = BTreeMap::from([
            ("mine".to_owned(), config(r#"{"args":["--ask","{prompt}","--now"],"prompt":"argument"}"#)),
            ("claude".to_owned(), config(r#"{"program":"/opt/claude"}"#)),
        ]);
        let mine = Agent::find("mine", &configured).unwrap();
        assert_eq!((mine.program.as_str(), mine.dialect), ("mine", Dialect::Text));
        assert_eq!(line(&mine, &call(Session::Unnamed)), "--ask do it --now");
        let claude = Agent::find("claude", &configured).unwrap();
        assert_eq!((claude.program.as_str(), claude.dialect), ("/opt/claude", Dialect::Claude));
        let unknown = Agent::find("nobody", &configured).unwrap_err();
        assert_eq!(unknown.to_string(), "there is no agent `nobody`; known are claude, codex, gemini, mine");
    }

    #[test]
    fn what_an_agent_can_not_be_told_is_an_error_and_not_forgotten() {
        let codex = Agent::built_in("codex").unwrap();
        let call = call(Session::Unnamed);
        assert!(codex.can_be_told(&Call { model: Some("m"), ..call }).is_ok());
        let error = codex.can_be_told(&Call { tools: Some(&[]), ..call }).unwrap_err();
        assert!(error.to_string().contains("`allowed_tools`"), "{error}");
    }
}
