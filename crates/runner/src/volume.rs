//! A volume on disk: where pipes, settings and runs are.

use std::{
    fs::DirEntry,
    io,
    path::{Path, PathBuf},
};

use omne_events::{RunId, read_plain, write_private};
use omne_pipe::Command;
use omne_replay::{RunPhase, RunState};

use crate::{Class, RunError};

/// A directory tree with a `.omne/` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    root: PathBuf,
}

/// The directory of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    /// The run.
    pub id: RunId,
    /// Absolute.
    pub path: PathBuf,
}

impl RunDir {
    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    fn pin_path(&self) -> PathBuf {
        self.path.join("pinned")
    }

    /// Whether its runner came to its end before the run began, or has not come so far yet: there is no event, and
    /// nothing that a node made.
    pub fn never_began(&self) -> bool {
        let names = |directory: &Path| -> Vec<_> {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).collect()
        };
        let is_ours =
            |name: &std::ffi::OsString| ["events.jsonl", "owner", "nodes"].iter().any(|ours| name == ours);
        let has_no_line = match omne_events::LogReader::open(&self.log()) {
            Ok(mut reader) => matches!(reader.next_line(), Ok(None)),
            Err(_) => !self.log().exists(),
        };
        has_no_line && names(&self.path).iter().all(is_ours) && names(&self.path.join("nodes")).is_empty()
    }

    /// Whether there is a log to be read.
    ///
    /// # Errors
    /// [`RunError::NeverBegan`] and [`RunError::LogGone`].
    pub fn has_begun(&self) -> Result<(), RunError> {
        if self.never_began() {
            return Err(RunError::NeverBegan(self.id.to_string()));
        }
        match self.log().try_exists() {
            Ok(false) => Err(RunError::LogGone { run: self.id.to_string(), path: self.log() }),
            _ => Ok(()),
        }
    }

    /// Whether it is to be kept from being removed.
    pub fn is_pinned(&self) -> bool {
        self.pin_path().exists()
    }

    /// Says that it is to be kept from being removed, or no longer.
    ///
    /// # Errors
    /// When its directory can't be written to.
    pub fn set_pin(&self, pin: Pin) -> io::Result<()> {
        match pin {
            Pin::On => write_private(&self.pin_path(), b""),
            Pin::Off => match std::fs::remove_file(self.pin_path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }

    /// What its files and its worktree take, in bytes. What can't be read counts nothing.
    pub fn size(&self) -> u64 {
        // Runs are in `.omne/var/runs`, worktrees in `.omne/wt`.
        let worktree = self.path.ancestors().nth(3).map(|omne| omne.join("wt").join(self.id.as_str()));
        let mut directories: Vec<PathBuf> = worktree.into_iter().chain([self.path.clone()]).collect();
        let mut size = 0;
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(found) if found.is_dir() => directories.push(entry.path()),
                    Ok(found) => size += found.len(),
                    Err(_) => {}
                }
            }
        }
        size
    }
}

/// Whether a run is kept from being removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// A pipe file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The pipe's name by its file.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// Why something of a volume can't be found.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// No directory above has a `.omne/`.
    #[error("there is no volume: neither `{}` nor a directory above it has a `.omne/`", from.display())]
    NoVolume {
        /// Where the search began.
        from: PathBuf,
    },
    /// The directory given is none.
    #[error("`{}` is not a volume: it has no `.omne/`", path.display())]
    NotAVolume {
        /// The directory.
        path: PathBuf,
    },
    /// No run has that id.
    #[error("there is no run `{0}`")]
    NoRun(String),
    /// No run is of the kind asked for.
    #[error("there is no run yet that `{0}` could mean")]
    NoSuch(&'static str),
    /// Several runs have that part in their id.
    #[error("`{part}` is part of several runs: {}", runs.join(", "))]
    Ambiguous {
        /// As it was given.
        part: String,
        /// Some of them.
        runs: Vec<String>,
    },
    /// There is no such pipe.
    #[error("there is no pipe `{name}` in `{}`", directory.display())]
    NoPipe {
        /// As it was given.
        name: String,
        /// Where pipes are.
        directory: PathBuf,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A directory can't be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl VolumeError {
    pub(crate) fn class(&self) -> Class {
        match self {
            VolumeError::Ambiguous { .. } => Class::Input,
            VolumeError::Read { .. } => Class::System,
            VolumeError::NoVolume { .. }
            | VolumeError::NotAVolume { .. }
            | VolumeError::NoRun(_)
            | VolumeError::NoSuch(_)
            | VolumeError::NoPipe { .. } => Class::NotFound,
        }
    }
}

/// Where commands are, in the order they are looked for.
pub const COMMAND_PLACES: [&str; 4] = ["dist/cmds", "dist/skills", "core/cmds", "core/skills"];

/// The endings of pipe files, in the order they are looked for.
const PIPE_ENDINGS: [&str; 3] = ["md", "yaml", "yml"];

impl Volume {
    /// The volume at `root`, whether it is there yet or not.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The volume that `directory` is in.
    pub fn find(directory: &Path) -> Result<Self, VolumeError> {
        let found = directory.ancestors().find(|above| above.join(".omne").is_dir());
        match found {
            Some(root) => Ok(Self { root: root.to_owned() }),
            None => Err(VolumeError::NoVolume { from: directory.to_owned() }),
        }
    }

    /// The volume whose root is `root`.
    pub fn open(root: &Path) -> Result<Self, VolumeError> {
        if root.join(".omne").is_dir() {
            Ok(Self { root: root.to_owned() })
        } else {
            Err(VolumeError::NotAVolume { path: root.to_owned() })
        }
    }

    /// Makes `.omne/` with a `.gitignore` for what runs leave.
    ///
    /// # Errors
    /// With the path that could not be made.
    pub fn make(root: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let omne = root.join(".omne");
        std::fs::create_dir_all(&omne).map_err(|error| (omne.clone(), error))?;
        let ignore = omne.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(&ignore, "/var/\n/wt/\n").map_err(|error| (ignore, error))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The directory with the `.omne/` in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A place below `.omne/`.
    pub fn place(&self, below: &str) -> PathBuf {
        self.root.join(".omne").join(below)
    }

    /// The command called `name`.
    ///
    /// # Errors
    /// That it is not there or can't be used, and what to do, for people.
    pub fn command(&self, name: &str) -> Result<Command, String> {
        for place in COMMAND_PLACES {
            let shown = format!(".omne/{place}/{name}.md");
            let path = self.place(place).join(format!("{name}.md"));
            match read_plain(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("`{shown}` can not be read: {error}")),
                Ok(bytes) => {
                    let path = path.to_string_lossy();
                    return Command::parse(&path, &bytes).map_err(|why| format!("mend `{shown}`: {why}"));
                }
            }
        }
        let others = COMMAND_PLACES[1..].join(", ");
        Err(format!("make `.omne/dist/cmds/{name}.md`; it is looked for in {others}, too"))
    }

    /// The directory of a run, whether it is there or not.
    pub fn run_dir(&self, id: &RunId) -> RunDir {
        RunDir { id: id.clone(), path: self.place("var/runs").join(id.as_str()) }
    }

    /// All runs, newest first.
    pub fn runs(&self) -> Result<Vec<RunDir>, VolumeError> {
        let directory = self.place("var/runs");
        // A link leads somewhere else: it is no run of this volume.
        let is_own = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        let mut runs: Vec<RunDir> = entries(&directory)?
            .filter(is_own)
            .filter_map(|entry| RunId::new(entry.file_name().to_str()?).ok())
            .map(|id| RunDir { path: directory.join(id.as_str()), id })
            .collect();
        // The ulid at the end of the id is its time; those of one millisecond are in the order of their names.
        let ulid = |run: &RunDir| run.id.as_str()[run.id.as_str().len() - 26..].to_owned();
        runs.sort_by_cached_key(|run| std::cmp::Reverse(ulid(run)));
        Ok(runs)
    }

    /// The run that `name` means: an id, an unambiguous part of one, `@last` or `@failed`.
    pub fn resolve(&self, name: &str) -> Result<RunDir, VolumeError> {
        let runs = self.runs()?;
        match name {
            "@last" => return runs.into_iter().next().ok_or(VolumeError::NoSuch("@last")),
            "@failed" => {
                let failed =
                    |run: &RunDir| matches!(phase_of(run), Some(RunPhase::Aborted | RunPhase::Interrupted));
                return runs.into_iter().find(failed).ok_or(VolumeError::NoSuch("@failed"));
            }
            _ => {}
        }
        if name.is_empty() {
            return Err(VolumeError::NoRun(name.to_owned()));
        }
        if let Some(exact) = runs.iter().find(|run| run.id.as_str() == name) {
            return Ok(exact.clone());
        }
        let mut matches = runs.into_iter().filter(|run| run.id.as_str().contains(name));
        let first = matches.next().ok_or_else(|| VolumeError::NoRun(name.to_owned()))?;
        match matches.next() {
            None => Ok(first),
            Some(second) => {
                const SHOWN: usize = 5;
                let all = [first, second].into_iter().chain(matches).take(SHOWN);
                Err(VolumeError::Ambiguous {
                    part: name.to_owned(),
                    runs: all.map(|run| run.id.to_string()).collect(),
                })
            }
        }
    }

    /// All pipes, by name.
    pub fn pipes(&self) -> Result<Vec<Found>, VolumeError> {
        let directory = self.place("dist/pipes");
        let mut found: Vec<Found> = entries(&directory)?
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| PIPE_ENDINGS.iter().any(|e| ending == *e)))
            .filter_map(|path| Some(Found { name: path.file_stem()?.to_str()?.to_owned(), path }))
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name).then(a.path.cmp(&b.path)));
        Ok(found)
    }

    /// The file of the pipe called `name`.
    pub fn pipe(&self, name: &str) -> Result<Found, VolumeError> {
        let pipes = self.pipes()?;
        match pipes.iter().find(|found| found.name == name) {
            Some(found) => Ok(found.clone()),
            None => Err(VolumeError::NoPipe {
                name: name.to_owned(),
                directory: self.place("dist/pipes"),
                known: pipes.into_iter().map(|found| found.name).collect(),
            }),
        }
    }
}

/// What is in a directory; nothing, when there is no such directory.
fn entries(directory: &Path) -> Result<impl Iterator<Item = DirEntry>, VolumeError> {
    match std::fs::read_dir(directory) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten().flatten()),
        Err(source) => Err(VolumeError::Read { path: directory.to_owned(), source }),
    }
}

/// Where a run stands by its log alone.
fn phase_of(run: &RunDir) -> Option<RunPhase> {
    let mut reader = omne_events::LogReader::open(&run.log()).ok()?;
    let folded = omne_replay::fold(RunState::light(), &mut reader, None, &mut |_, _| {}).ok()?;
    Some(match folded.state.phase() {
        // A run whose runner is gone was interrupted, only without a word.
        RunPhase::Running if matches!(omne_events::LockedLog::owner(&run.log()), Ok(None)) => {
            RunPhase::Interrupted
        }
        phase => phase,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(runs: &[&str]) -> (tempfile::TempDir, Volume) {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::make(dir.path()).unwrap();
        for run in runs {
            std::fs::create_dir_all(volume.place("var/runs").join(run)).unwrap();
        }
        (dir, volume)
    }

    #[test]
    fn runs_are_found_by_any_unambiguous_part() {
        let (_dir, volume) = volume(&[
            "a-01kahj5zz0000000000000000a",
            "a-01kahj5zz0000000000000000b",
            "b-01kahj5zz0000000000000000c",
            "junk",
        ]);
        let resolve = |name: &str| volume.resolve(name).map(|run| run.id.to_string());
        assert_eq!(resolve("b-01").unwrap(), "b-01kahj5zz0000000000000000c");
        assert_eq!(resolve("0b").unwrap(), "a-01kahj5zz0000000000000000b");
        assert_eq!(resolve("@last").unwrap(), "b-01kahj5zz0000000000000000c");
        assert!(matches!(resolve("a-01"), Err(VolumeError::Ambiguous { .. })));
        assert!(matches!(resolve("zz9"), Err(VolumeError::NoRun(_))));
        assert!(matches!(resolve("../junk"), Err(VolumeError::NoRun(_))));
    }

    #[test]
    fn a_volume_is_found_from_below() {
        let (dir, volume) = volume(&[]);
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(Volume::find(&below).unwrap(), volume);
        assert!(matches!(Volume::open(&below), Err(VolumeError::NotAVolume { .. })));
    }
}
