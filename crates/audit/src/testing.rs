//! Logs for tests.

use std::path::Path;

use omne_events::LogReader;

use crate::Story;

/// The bytes of a log of `fixtures/logs`.
pub(crate) fn log(name: &str) -> Vec<u8> {
    let path = format!("{}/../../fixtures/logs/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// The story of a log of `fixtures/logs`.
pub(crate) fn told(name: &str) -> Story {
    let bytes = log(name);
    Story::read(&mut LogReader::new(&bytes[..], Path::new(name)), |_, _| {}).unwrap()
}
