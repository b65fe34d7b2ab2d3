//! Where processes begin: directory, environment and group are set here, once.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, OsString},
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::Pid;

use crate::{Mask, Sink, files::as_before, signals::with_child_signal};

/// Variables that all processes of a run have, brought into the kernel's form once.
#[derive(Debug, Clone, Default)]
pub struct BaseEnvironment {
    /// `NAME=value`, each name once, ordered by name.
    pub(crate) entries: Vec<CString>,
}

impl BaseEnvironment {
    /// Of several values for a name the last one counts. A variable with a NUL in it has no such form and is left out.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let by_name: BTreeMap<OsString, OsString> = variables.into_iter().collect();
        let entry = |(name, value): (OsString, OsString)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        };
        Self { entries: by_name.into_iter().filter_map(entry).collect() }
    }

    /// Whether there is a variable of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name.as_bytes()).is_some()
    }

    /// Where a variable is.
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        let name_of = |entry: &CString| {
            let bytes = entry.as_bytes();
            let end = bytes.iter().position(|&b| b == b'=').unwrap_or(bytes.len());
            bytes[..end].cmp(name)
        };
        self.entries.binary_search_by(name_of).ok()
    }
}

/// What a process finds in its environment: what all have in common, and what is its own.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Shared by all processes of a run.
    pub base: Arc<BaseEnvironment>,
    /// Of this one; wins over the base, and later entries over earlier ones.
    pub own: Vec<(OsString, OsString)>,
}

impl Environment {
    /// Adds a variable of this process's own.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.own.push((name.into(), value.into()));
    }
}

/// A process that was started once, as a log tells.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(all(target_os = "linux", not(omne_portable))),
    expect(dead_code, reason = "not every system tells when a process began, and numbers come again")
)]
pub struct Started {
    pub(crate) pid: Pid,
    /// When, since 1970.
    pub(crate) at: Duration,
}

impl Started {
    /// The one with that number, at that time since 1970; `None` where no process can have that number.
    pub fn new(pid: u32, at: Duration) -> Option<Self> {
        Some(Self { pid: Pid::from_raw(pid.try_into().ok()?)?, at })
    }
}

/// Environment entries that together tell whose process it is, also after it left its parent and its group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark(Vec<Vec<u8>>);

impl Mark {
    /// A mark of the given variables; they have to be in the process's [`Environment`], too.
    pub fn new<'a>(entries: impl IntoIterator<Item = (&'a str, &'a OsStr)>) -> Self {
        let entry = |(name, value): (&str, &OsStr)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        Self(entries.into_iter().map(entry).collect())
    }

    /// Whether all entries occur in `environ`, whose entries are separated by `separator`.
    pub(crate) fn is_in(&self, environ: &[u8], separator: u8) -> bool {
        !self.0.is_empty()
            && self.0.iter().all(|entry| environ.split(|&b| b == separator).any(|found| found == entry))
    }
}

/// A process to be.
#[derive(Debug)]
pub struct Spec {
    /// The program: a path, or a name to be found in `PATH`.
    pub program: PathBuf,
    /// Its arguments, without the program itself.
    pub args: Vec<OsString>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Its environment, whole: nothing is inherited besides.
    pub environment: Environment,
    /// How its descendants are recognised.
    pub mark: Mark,
    /// What it reads as its standard input; nothing when there is none.
    pub stdin: Option<File>,
    /// Where its standard output goes.
    pub stdout: Sink,
    /// Where its standard error goes.
    pub stderr: Sink,
    /// What of its output must not be kept, whatever the sink.
    pub mask: Option<Arc<Mask>>,
    /// The most bytes it may print in all.
    pub output_limit: u64,
}

#[expect(clippy::disallowed_methods, reason = "the one door")]
pub(crate) fn command(program: &Path) -> Command {
    Command::new(program)
}

/// What a helper program printed, and how it ended.
pub type Output = std::process::Output;

/// Runs a short helper program such as `git` to its end, in this process's own group and environment, but for the
/// variables in `without`.
///
/// # Errors
/// When the program can't be started. That it failed is in the [`Output`].
pub fn run_to_end(program: &str, args: &[&OsStr], cwd: &Path, without: &[&str]) -> io::Result<Output> {
    let mut command = command(Path::new(program));
    for name in without {
        command.env_remove(name);
    }
    command.args(args).current_dir(cwd).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    as_before(|| with_child_signal(|| command.spawn()))?.wait_with_output()
}

/// The path of `program` by the directories of `path` (the value of `PATH`).
pub fn find_program(program: &str, path: &OsStr) -> Option<PathBuf> {
    let mut candidates = std::env::split_paths(path).map(|directory| directory.join(program));
    candidates.find(|candidate| candidate.is_absolute() && is_program(candidate))
}

/// Whether there is a file that this process may start.
pub fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_by_whole_entries_only() {
        let mark = Mark::new([("A", OsStr::new("1")), ("B", OsStr::new("x"))]);
        assert!(mark.is_in(b"Z=\0B=x\0A=1\0", 0));
        assert!(!mark.is_in(b"B=x\0A=12\0", 0));
        assert!(!mark.is_in(b"A=1\0", 0));
        assert!(!Mark::default().is_in(b"A=1\0", 0), "an empty mark is nobody's");
    }
}
