//! Torture: the real binary is killed, and refused what it asks of the system, at as many points as there are. After
//! each fault the same promises hold; `aftermath.rs` has them.
//!
//! A plain `cargo test` visits some points of each sweep, evenly spread. `OMNE_TORTURE=full` visits all of them, and
//! `OMNE_TORTURE_SEED` chooses other random ones.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]
#![expect(clippy::disallowed_methods, reason = "programs are started as a user would start them")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why, and a sweep what it visited")]

mod aftermath;
mod chance;
mod disk;
mod faults;
mod kills;
mod limits;
mod power;
#[path = "../real/programs.rs"]
mod programs;
mod readonly;
#[path = "../spec/sandbox.rs"]
#[expect(dead_code, reason = "it serves the specification, too")]
mod sandbox;
mod shapes;
mod trace;
mod trees;
