//! The real programs of others: agents, on a scripted API on loopback, and a
//! browser. One that is not installed skips its tests and says so.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]
#![expect(clippy::disallowed_methods, reason = "programs are started as a user would start them")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

mod browser;
mod chromium;
mod claude;
mod others;
mod programs;
mod world;
