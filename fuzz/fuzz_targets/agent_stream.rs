//! Whatever an agent prints: `cargo fuzz run agent_stream fuzz/corpus/agent_stream fixtures/claude-stream`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| omne_agent::fuzzing::stream(bytes));
