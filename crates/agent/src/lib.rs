//! Agent programs as data: how each is called, what its stream says, and what
//! its end means. Bytes go in and [`Item`]s come out; nothing here reads a
//! file, starts a process or looks at a clock.

mod program;
mod prompt;
mod sentinel;
mod stream;
mod summary;
mod verdict;

pub use program::{Agent, AgentConfig, Call, CommandLine, ConfigError, Dialect, PromptBy, Session};
pub use prompt::{MOST_ARGUMENT, MOST_STDIN, PromptError};
pub use sentinel::{BLOCKED, Scanner, Sentinel};
pub use stream::{Item, Parser, ToolCall};
pub use verdict::{Exit, Failure, Verdict, class};
