//! `hooks.toml`.

use std::{collections::BTreeSet, path::Path, time::Duration};

use omne_events::read_optional;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{Rule, glob};

/// What hooks can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// Before a run's first node.
    PreRun,
    /// After its last one.
    PostRun,
    /// Before an attempt at a node.
    PreNode,
    /// After it.
    PostNode,
    /// Before a round of a loop.
    PreIteration,
    /// After it.
    PostIteration,
    /// Before a node's gate.
    PreGate,
    /// After it.
    PostGate,
    /// Before an agent's own tool call.
    PreTool,
    /// After it.
    PostTool,
    /// Any event, as it was appended.
    OnEvent,
}

impl HookEvent {
    /// Every event.
    pub const ALL: [HookEvent; 11] = [
        HookEvent::PreRun,
        HookEvent::PostRun,
        HookEvent::PreNode,
        HookEvent::PostNode,
        HookEvent::PreIteration,
        HookEvent::PostIteration,
        HookEvent::PreGate,
        HookEvent::PostGate,
        HookEvent::PreTool,
        HookEvent::PostTool,
        HookEvent::OnEvent,
    ];

    /// The word in files and requests.
    pub fn as_str(self) -> &'static str {
        match self {
            HookEvent::PreRun => "pre_run",
            HookEvent::PostRun => "post_run",
            HookEvent::PreNode => "pre_node",
            HookEvent::PostNode => "post_node",
            HookEvent::PreIteration => "pre_iteration",
            HookEvent::PostIteration => "post_iteration",
            HookEvent::PreGate => "pre_gate",
            HookEvent::PostGate => "post_gate",
            HookEvent::PreTool => "pre_tool",
            HookEvent::PostTool => "post_tool",
            HookEvent::OnEvent => "on_event",
        }
    }

    /// How long the whole chain may take.
    pub fn deadline(self) -> Duration {
        match self {
            HookEvent::PreTool | HookEvent::PostTool => Duration::from_secs(2),
            HookEvent::OnEvent => Duration::from_millis(50),
            _ => Duration::from_secs(5),
        }
    }

    /// Whether its answers count.
    pub fn decides(self) -> bool {
        matches!(
            self,
            HookEvent::PreRun
                | HookEvent::PreNode
                | HookEvent::PreIteration
                | HookEvent::PreGate
                | HookEvent::PreTool
        )
    }

    /// What a `modify` may change.
    pub fn delta_keys(self) -> &'static [&'static str] {
        match self {
            HookEvent::PreNode => &["prompt", "env", "model", "timeout", "allowed_tools"],
            HookEvent::PreIteration => &["prompt"],
            HookEvent::PreTool => &["input"],
            _ => &[],
        }
    }
}

/// How a hook's program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A process a fire.
    #[default]
    Exec,
    /// One long-lived process.
    Daemon,
}

/// What an error of a hook means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailMode {
    /// It allows.
    #[default]
    Open,
    /// It denies.
    Closed,
}

/// A `[[hook]]` block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// When it is asked.
    pub event: HookEvent,
    /// The program; a relative path is one from the volume's root, a plain name is looked for in `PATH`.
    #[serde(deserialize_with = "command")]
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// How it is run.
    #[serde(default)]
    pub mode: Mode,
    /// Higher ones are asked first.
    #[serde(default)]
    pub priority: i64,
    /// How long it may take.
    #[serde(default = "usual_timeout", rename = "timeout_ms", deserialize_with = "timeout")]
    pub timeout: Duration,
    /// What its errors mean.
    #[serde(default)]
    pub fail_mode: FailMode,
    /// A glob over `<pipe>/<node>`.
    #[serde(default = "everywhere", deserialize_with = "pattern")]
    pub namespace: String,
    /// Whether it is asked at all.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn usual_timeout() -> Duration {
    Duration::from_secs(5)
}

fn everywhere() -> String {
    "*".to_owned()
}

fn yes() -> bool {
    true
}

fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let command = String::deserialize(deserializer)?;
    if command.trim().is_empty() || command.contains('\0') {
        return Err(D::Error::custom("`command` has to name a program"));
    }
    Ok(command)
}

/// A glob that can match something.
pub(crate) fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let pattern = String::deserialize(deserializer)?;
    if pattern.is_empty() {
        return Err(D::Error::custom("an empty pattern matches nothing: leave it out, or write `*`"));
    }
    let is_class = |(open, close)| pattern.split_once(open).is_some_and(|(_, rest)| rest.contains(close));
    if [('[', ']'), ('{', '}')].into_iter().any(is_class) {
        return Err(D::Error::custom(format!(
            "`{pattern}`: only `*` and `?` stand for other characters; write a block for each of several"
        )));
    }
    Ok(pattern)
}

fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let ms = i64::deserialize(deserializer)?;
    match u64::try_from(ms) {
        Ok(ms @ 1..=30_000) => Ok(Duration::from_millis(ms)),
        _ => Err(D::Error::custom(format!("`timeout_ms` has to be from 1 to 30000, this is {ms}"))),
    }
}

/// `hooks.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The hooks, in the file's order.
    #[serde(default, rename = "hook")]
    pub hooks: Vec<HookConfig>,
    /// The rules, in the file's order.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It is not what it has to be.
    #[error("the hooks in `{}` are wrong", path.display())]
    Parse {
        /// The file.
        path: std::path::PathBuf,
        /// Where and how.
        source: Box<toml::de::Error>,
    },
}

impl Config {
    /// The hooks at `path`; none when there is no such file.
    ///
    /// # Errors
    /// When it can't be read or is wrong; with line and column.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match read_optional(path) {
            Ok(Some(text)) => toml::from_str(&text)
                .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) }),
            Ok(None) => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty() && self.rules.is_empty()
    }

    /// Whether hooks look at what agents do with tools.
    pub fn looks_at_tools(&self) -> bool {
        let events = self.events();
        events.contains(&HookEvent::PreTool) || events.contains(&HookEvent::PostTool)
    }

    /// The places of the hooks that are asked about `event` in `namespace`, in the order that they are asked in.
    pub fn chain(&self, event: HookEvent, namespace: &str) -> Vec<usize> {
        let asked = |hook: &HookConfig| {
            hook.enabled && hook.event == event && glob::is_within(&hook.namespace, namespace)
        };
        let mut chain: Vec<usize> =
            self.hooks.iter().enumerate().filter(|(_, hook)| asked(hook)).map(|(place, _)| place).collect();
        chain.sort_by_key(|place| std::cmp::Reverse(self.hooks[*place].priority));
        chain
    }

    /// The events that any hook is asked about.
    pub fn events(&self) -> BTreeSet<HookEvent> {
        self.hooks.iter().filter(|hook| hook.enabled).map(|hook| hook.event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_a_careful_start() {
        let config = parse("[[hook]]\nevent = 'pre_node'\ncommand = './policy.py'").unwrap();
        let hook = &config.hooks[0];
        assert_eq!((hook.mode, hook.fail_mode, hook.priority), (Mode::Exec, FailMode::Open, 0));
        assert_eq!(
            (hook.timeout, hook.namespace.as_str(), hook.enabled),
            (Duration::from_secs(5), "*", true)
        );
    }

    #[test]
    fn higher_priority_comes_first_and_ties_are_in_file_order() {
        let block = |name: &str, priority: i64, rest: &str| {
            format!("[[hook]]\nevent = 'pre_node'\ncommand = '{name}'\npriority = {priority}\n{rest}\n")
        };
        let text = block("a", 1, "")
            + &block("b", 5, "")
            + &block("c", 1, "")
            + &block("d", 9, "enabled = false")
            + &block("e", 9, "namespace = 'other/*'");
        let config = parse(&text).unwrap();
        let names = |namespace| -> Vec<String> {
            config
                .chain(HookEvent::PreNode, namespace)
                .iter()
                .map(|p| config.hooks[*p].command.clone())
                .collect()
        };
        assert_eq!(names("p/n"), ["b", "a", "c"]);
        assert_eq!(names("other/n"), ["e", "b", "a", "c"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, sign) in [
            ("[[hook]]\nevent = 'pre_nod'\ncommand = 'x'", "unknown variant `pre_nod`"),
            ("[[hook]]\nevent = 'pre_node'\ncommand = 'x'\ntimeout_ms = 0", "from 1 to 30000"),
            ("[[hook]]\nevent = 'pre_node'\ncommand = 'x'\ntimout_ms = 5", "unknown field `timout_ms`"),
            ("[[hook]]\nevent = 'pre_node'\ncommand = ' '", "has to name a program"),
            (
                "[[rule]]\nprogram = '{sh,bash}'\neffect = 'deny'",
                "only `*` and `?` stand for other characters",
            ),
            ("[[rule]]\nprogram = 'x'\neffect = 'maybe'", "unknown variant `maybe`"),
            ("[[hooks]]", "unknown field `hooks`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(sign) && error.contains("at line"), "{error}");
        }
    }
}
