//! Laws of the fold, on stories told to a real log writer.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod fixtures;
mod invariants;
mod laws;
mod plans;
mod story;
