//! `omne.toml`: settings of a volume, all optional.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use omne_agent::AgentConfig;
use omne_events::{Durability, read_optional};
use omne_process::BaseEnvironment;
use serde::Deserialize;

use crate::secrets::{self, SecretName, SecretSource};

/// The settings of a volume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Most nodes at once.
    #[serde(default, deserialize_with = "jobs")]
    pub jobs: Option<NonZeroU32>,
    /// How soon events survive a power cut.
    #[serde(default, deserialize_with = "durability")]
    pub durability: Durability,
    /// The agent of AI nodes where neither node nor pipe names one.
    pub agent: Option<String>,
    /// Further agents, and what is different of the built-in ones.
    #[serde(default)]
    pub agents: BTreeMap<String, AgentConfig>,
    /// How long a question waits for people before its default counts; for ever when it does not say.
    #[serde(default, deserialize_with = "duration")]
    pub ask_timeout: Option<Duration>,
    /// Where the heads of finished runs are kept besides.
    pub anchor: Option<Anchor>,
    /// What some nodes get as variables and nothing else shows.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, SecretSource>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
}

/// Where heads are kept besides their logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anchor {
    /// In a ref of the volume's git repository, `refs/omne/RUN`.
    Git,
}

/// Limits of a volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most bytes that one attempt may print.
    pub output_bytes: u64,
    /// The most nodes that a pipe may have.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { output_bytes: 1 << 30, nodes: 1_000_000 }
    }
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It is not what it has to be.
    #[error("the settings in `{}` are wrong", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and how.
        source: Box<toml::de::Error>,
    },
}

fn jobs<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
    /// As many as `--jobs` and pipes may ask for.
    const MOST: u32 = 100_000;
    let jobs = i64::deserialize(deserializer)?;
    let fits = u32::try_from(jobs).ok().and_then(NonZeroU32::new).filter(|jobs| jobs.get() <= MOST);
    let wrong = || serde::de::Error::custom(format!("{jobs} is not between 1 and {MOST}"));
    fits.map(Some).ok_or_else(wrong)
}

impl Settings {
    /// The settings at `path`; the defaults when there is no such file.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        match read_optional(path) {
            Ok(Some(text)) => toml::from_str(&text)
                .map_err(|source| SettingsError::Parse { path: path.to_owned(), source: Box::new(source) }),
            Ok(None) => Ok(Self::default()),
            Err(source) => Err(SettingsError::Read { path: path.to_owned(), source }),
        }
    }

    /// The names of the variables of the environment that hold secrets: no process gets them that does not name the
    /// secret.
    pub fn withheld(&self) -> Vec<&str> {
        secrets::withheld(&self.secrets)
    }

    /// The environment of a process that gets no secret.
    pub fn environment(&self, all: impl Iterator<Item = (OsString, OsString)>) -> BaseEnvironment {
        let withheld = self.withheld();
        BaseEnvironment::new(all.filter(|(name, _)| !withheld.iter().any(|other| name == other)))
    }

    /// Whether there is a secret of that name; else what to do.
    ///
    /// # Errors
    /// What to do, for people.
    pub fn secret(&self, name: &str) -> Result<(), String> {
        let is_known = self.secrets.keys().any(|known| known.as_str() == name);
        if is_known { Ok(()) } else { Err(secrets::undefined(&self.secrets, name)) }
    }
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Seconds(u32),
        Text(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Seconds(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
        Form::Text(text) => omne_pipe::parse_duration(&text).map(Some).map_err(serde::de::Error::custom),
    }
}

fn durability<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Durability, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Auto,
        Strict,
        None,
    }
    Ok(match Word::deserialize(deserializer)? {
        Word::Auto => Durability::Auto,
        Word::Strict => Durability::Strict,
        Word::None => Durability::None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_settings_are_optional_and_unknown_ones_are_errors() {
        let load = |text: &str| toml::from_str::<Settings>(text);
        assert_eq!(load("").unwrap().limits.output_bytes, 1 << 30);
        assert_eq!(load("[limits]\nnodes = 7").unwrap().limits.nodes, 7);
        let settings = load("jobs = 3\ndurability = \"strict\"\n[limits]\noutput_bytes = 10").unwrap();
        assert_eq!((settings.jobs.unwrap().get(), settings.limits.output_bytes), (3, 10));
        assert_eq!(settings.durability, Durability::Strict);
        for bad in [
            "job = 3",
            "jobs = 0",
            "durability = \"yes\"",
            "[limits]\nbytes = 1",
            "[agents.x]\nprogramm = 'y'",
        ] {
            assert!(load(bad).is_err(), "{bad}");
        }
    }
}
