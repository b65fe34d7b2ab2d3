//! What past runs were: their story with times, a SQLite projection of all
//! logs, causes, differences, and exports for other programs.
//!
//! Everything here reads logs alone; nothing writes one.

mod export;
mod story;

pub use export::{chrome_trace, junit, otlp_json};
pub use story::{Attempt, Go, GoEnd, Mark, MarkKind, Outcome, Round, Story};
