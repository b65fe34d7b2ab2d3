//! Programs that see every step and may allow, change, deny or ask; and rules
//! over the processes that a run starts.
//!
//! A payload is JSON to it: what a node is, it does not know. [`Chain`] is a
//! pure fold over the answers; [`Host`] runs the programs on a supervisor that
//! somebody else waits on, so that a slow hook holds up its own node alone.

mod chain;
mod config;
mod decision;
mod glob;
mod host;
mod redact;
mod rule;

pub use chain::{Chain, Outcome, Question, Timing, Verdict};
pub use config::{Config, ConfigError, FailMode, HookConfig, HookEvent, Mode};
pub use decision::{Decision, DecodeError, parse};
pub use glob::matches;
pub use host::{Counters, FireId, Fired, Host, Place, Subject};
pub use rule::{Effect, Rule};

/// The JSON schema of requests and replies.
pub const SCHEMA: &str = include_str!("hooks.schema.json");
