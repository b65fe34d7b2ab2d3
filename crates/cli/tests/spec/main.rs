//! Sentences over the real binary, in a temporary world with nothing of the machine in it but `PATH`.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]
#![expect(clippy::disallowed_methods, reason = "the binary is started as a user would start it")]

mod abuse;
mod agents;
mod audit;
mod backtest;
mod begin;
mod cases;
mod daemons;
mod ends;
mod hooks;
mod inspect;
mod limits;
mod loops;
mod people;
mod privacy;
mod resume;
mod running;
mod sandbox;
mod secret_sources;
mod secrets;
mod validate;
mod views;
mod workspace;
