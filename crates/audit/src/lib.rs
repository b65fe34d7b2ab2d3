//! What past runs were: their story with times, a SQLite projection of all
//! logs, causes, differences, and exports for other programs.
//!
//! Everything here reads logs alone; nothing writes one.

mod bundle;
mod diff;
mod export;
mod html;
mod index;
mod layout;
mod markup;
mod query;
mod report;
mod story;
mod svg;
#[cfg(test)]
mod testing;
mod why;

pub use bundle::{
    BundleError, Bundled, RedactedEvent, RedactedFile, Redactions, Redactor, Unpacked, bundle, is_bundle,
    unpack,
};
pub use diff::{Difference, Weight, diff};
pub use export::{chrome_trace, junit, otlp_json};
pub use html::{Events, Excerpt, Report, Stream, html};
pub use index::{Index, IndexError, Log, Notice, Synced};
pub use markup::sign;
pub use query::{Answer, Cell, QueryError};
pub use report::{Flaky, PipeReport, Slow};
pub use story::{Attempt, Go, GoEnd, Mark, MarkKind, Outcome, Round, Story};
pub use svg::svg;
pub use why::{Cause, why};
