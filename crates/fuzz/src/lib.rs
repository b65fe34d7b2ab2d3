//! What has to hold whatever the input is: one function for each surface that
//! reads what others wrote. A function panics when its promise is broken, so
//! that coverage-guided fuzzers and the bounded run of the test suite share it.
//!
//! Nothing depends on this crate, so no release build has anything of it.

mod agent;
mod bundle;
pub mod corpus;
mod hook;
mod log;
mod mutate;
mod pipe;
mod relink;
mod surface;
mod values;

pub use agent::agent_stream;
pub use bundle::bundle;
pub use hook::{hook_reply, hooks_toml};
pub use log::{event_line, index, log};
pub use mutate::{Mutator, Random};
pub use pipe::{pipe, pipe_markdown};
pub use surface::{Surface, all};
pub use values::{command, duration, inputs, omne_toml, outputs, prompt, when};
