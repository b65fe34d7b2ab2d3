//! The graph of a pipe's nodes and what may start when, on dense indices.
//!
//! Pure: no I/O, no clock, no randomness. A whole run costs O(V+E).

mod graph;
mod scheduler;
mod trigger;

pub use graph::{Cycle, Dependencies, Graph, NodeIx};
pub use scheduler::{Fired, Scheduler, Standing};
pub use trigger::{Ends, TriggerRule, Verdict};
