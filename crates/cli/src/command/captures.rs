//! What nodes printed, as it is on disk.

use std::{fs::File, io, path::Path};

use omne_audit::RedactedFile;
use omne_events::{Digest, NodeId};
use omne_process::Directory;
use omne_replay::{NodePhase, RunState};
use serde::Serialize;

/// What became of the captures of a run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Captures {
    /// How many are what the log says.
    right: usize,
    /// How many are that but for what was removed from them.
    redacted: usize,
    /// There is no directory of captures: they were not kept.
    gone: bool,
    /// Those that are not.
    pub(super) differences: Vec<Difference>,
}

/// A capture that is not what the log says.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) node_id: NodeId,
    pub(super) message: &'static str,
}

impl Captures {
    pub(super) fn differ(&self) -> bool {
        !self.differences.is_empty()
    }

    pub(super) fn describe(&self) -> String {
        match (self.gone, self.right) {
            (true, _) => "; its captures were not kept".to_owned(),
            (false, right) => match (right + self.redacted, self.redacted) {
                (0, _) => String::new(),
                (1, 0) => ", 1 capture".to_owned(),
                (all, 0) => format!(", {all} captures"),
                (all, redacted) => format!(", {all} capture(s) ({redacted} redacted)"),
            },
        }
    }
}

/// Compares the captures in `nodes` with what the log says of completed nodes. From those in `redacted` something was
/// removed.
pub(super) fn check(nodes: &Path, state: &RunState, redacted: &[RedactedFile]) -> Captures {
    let mut captures = Captures { gone: !nodes.is_dir(), ..Captures::default() };
    let completed = state.nodes().filter(|(_, _, record)| record.phase == NodePhase::Completed);
    for (id, _, record) in completed.filter(|(_, _, record)| record.output_bytes > 0) {
        let Some(digest) = record.output_sha256.filter(|_| !captures.gone) else { continue };
        let name = format!("{id}.out");
        let found = open(&nodes.join(&name)).and_then(|mut file| Digest::of_reader(&mut file));
        let cleaned = redacted.iter().find(|file| file.name == name && file.was_sha256 == digest);
        let message = match found {
            Ok(found) if found == digest => {
                captures.right += 1;
                continue;
            }
            Ok(found) if cleaned.is_some_and(|file| file.sha256 == found) => {
                captures.redacted += 1;
                continue;
            }
            Ok(_) => "its capture was changed",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "its capture is missing",
            Err(_) => "its capture can not be read",
        };
        captures.differences.push(Difference { node_id: id.clone(), message });
    }
    captures
}

/// Opens a capture; a link that somebody put in its place, or in that of its directory, is not followed.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let file = Directory::open(directory)?.read(name)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a plain file")) }
}
