//! What past runs were: their story with times, a SQLite projection of all
//! logs, causes, differences, and exports for other programs.
//!
//! Everything here reads logs alone; nothing writes one.

mod index;
mod query;
mod report;
mod story;

pub use index::{Index, IndexError, Log, Notice, Synced};
pub use query::{Answer, Cell, QueryError};
pub use report::{Flaky, PipeReport, Slow};
mod export;
mod story;

pub use export::{chrome_trace, junit, otlp_json};
pub use story::{Attempt, Go, GoEnd, Mark, MarkKind, Outcome, Round, Story};
