//! A recorded run as something that can be played.

use std::path::Path;

use omne_events::{Line, LineRef, LogReader};
use omne_exec::{Bash, Recording};
use omne_replay::{FoldError, RunState, fold};

use crate::{RunDir, RunError};

/// The recording that a run left.
pub fn recording(run: &RunDir, bash: Bash) -> Result<Recording, RunError> {
    recording_of(&run.log(), &run.path.join("nodes"), bash)
}

/// The recording of a log, with its files in `nodes`.
pub fn recording_of(log: &Path, nodes: &Path, bash: Bash) -> Result<Recording, RunError> {
    let mut recording = Recording::new(nodes.to_owned(), bash);
    let mut push = |_: &[u8], line: &LineRef<'_>| {
        if let Line::Known(record) = &*line.to_line() {
            recording.push(record);
        }
    };
    let read = LogReader::open(log)
        .map_err(FoldError::Read)
        .and_then(|mut reader| fold(RunState::light(), &mut reader, None, &mut push));
    read.map_err(|source| RunError::Damaged { run: log.display().to_string(), source })?;
    Ok(recording)
}
