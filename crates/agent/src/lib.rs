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

#[doc(hidden)]
pub mod fuzzing {
    //! The entry that fuzzers share with the tests.

    /// Whatever the bytes are, parsing them ends and does not panic.
    pub fn stream(bytes: &[u8]) {
        for dialect in crate::Dialect::ALL {
            let mut parser = crate::Parser::new(dialect);
            for piece in bytes.chunks(7) {
                parser.push(piece, &mut |_| {});
            }
            parser.end(&mut |_| {});
            let _ = parser.verdict(crate::Exit { code: Some(0), signal: None }, "");
        }
    }
}
