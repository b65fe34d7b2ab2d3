//! What past runs were: their story with times, a SQLite projection of all
//! logs, causes, differences, and exports for other programs.
//!
//! Everything here reads logs alone; nothing writes one.

mod diff;
mod export;
mod index;
mod query;
mod report;
mod story;
mod why;

pub use diff::{Difference, Weight, diff};
pub use export::{chrome_trace, junit, otlp_json};
pub use index::{Index, IndexError, Log, Notice, Synced};
pub use query::{Answer, Cell, QueryError};
pub use report::{Flaky, PipeReport, Slow};
pub use story::{Attempt, Go, GoEnd, Mark, MarkKind, Outcome, Round, Story};
pub use why::{Cause, why};
