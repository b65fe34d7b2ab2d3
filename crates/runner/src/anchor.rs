//! The head of a finished run's log in a git ref: then the log can't be
//! rewritten alone.

use std::{
    ffi::OsStr,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use omne_events::{Digest, RunId, open_plain, write_private};

use crate::{RunDir, Volume, workspace::git_without};

/// The file beside the log whose content git keeps.
const FILE: &str = "head";
/// How much of a log's end is read at once; its last event is small.
const END: u64 = 128 * 1024;

fn reference(run: &RunId) -> String {
    format!("refs/omne/{run}")
}

/// Writes the digest of the log's last line to the run's ref; hooks of the repository, which git may run, find none of
/// the variables in `withheld`.
///
/// # Errors
/// Why not, for people.
pub(crate) fn write(volume: &Volume, run: &RunDir, withheld: &[&str]) -> Result<(), String> {
    let head = head(&run.log()).map_err(|error| format!("cannot read `{}`: {error}", run.log().display()))?;
    let path = run.path.join(FILE);
    write_private(&path, format!("{head}\n").as_bytes())
        .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    let args = [OsStr::new("hash-object"), "-w".as_ref(), "--no-filters".as_ref(), path.as_os_str()];
    let object = asked(volume.root(), &args, withheld)?;
    let name = reference(&run.id);
    asked(volume.root(), &["update-ref".as_ref(), name.as_ref(), object.as_ref()], withheld)?;
    Ok(())
}

/// The head that the run's ref holds; `None` when there is no such ref.
pub fn anchored_head(volume: &Volume, run: &RunId) -> Option<Digest> {
    let name = reference(run);
    let text = asked(volume.root(), &["cat-file".as_ref(), "blob".as_ref(), name.as_ref()], &[]).ok()?;
    Digest::parse(text.as_bytes())
}

/// What git printed.
fn asked(directory: &Path, args: &[&OsStr], withheld: &[&str]) -> Result<String, String> {
    let output =
        git_without(directory, args, withheld).map_err(|error| format!("cannot run git: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("git says: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// The digest of a log's last whole line.
fn head(log: &Path) -> io::Result<Digest> {
    let mut file = open_plain(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let last = end.iter().rposition(|&byte| byte == b'\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    let begin = end[..last].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    Ok(Digest::of(&end[begin..last]))
}
