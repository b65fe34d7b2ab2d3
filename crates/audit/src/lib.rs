//! What past runs were: their story with times, a SQLite projection of all
//! logs, causes, differences, and exports for other programs.
//!
//! Everything here reads logs alone; nothing writes one.

mod html;
mod layout;
mod markup;
mod story;
mod svg;
#[cfg(test)]
mod testing;

pub use html::{Events, Excerpt, Report, Stream, html};
pub use story::{Attempt, Go, GoEnd, Mark, MarkKind, Outcome, Round, Story};
pub use svg::svg;
