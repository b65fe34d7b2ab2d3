//! One process owns a log. The lock is the kernel's, so it ends with its owner;
//! the file `owner` beside the log only tells others who that is.

use std::{
    fs::{File, TryLockError},
    io::{self, Seek},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{LogReader, ReadError};
use crate::{open_plain, private_file, read_private, write_private};

/// Why a log could not be taken for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns it.
    #[error("another process owns `{}`{}", path.display(), match pid { Some(pid) => format!(" (pid {pid})"), None => String::new() })]
    Owned {
        /// The log.
        path: PathBuf,
        /// The owner, where it could be told.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("cannot {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Takes the lock of a file for as long as that is open; false when others have held it for all of `patience`, in which it
/// is tried every ten milliseconds.
///
/// # Errors
/// When the file system refuses.
pub fn lock_within(file: &File, patience: Duration) -> io::Result<bool> {
    const PAUSE: Duration = Duration::from_millis(10);
    let mut left = patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if left.is_zero() => return Ok(false),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        left = left.saturating_sub(PAUSE);
    }
}

/// A log that this process owns until it is dropped.
#[derive(Debug)]
pub struct LockedLog {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl LockedLog {
    /// Makes a new log and owns it.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        let file = private_file()
            .append(true)
            .read(true)
            .create_new(true)
            .open(path)
            .map_err(|source| OpenError::Io { verb: "create", path: path.to_owned(), source })?;
        Self::own(file, path)
    }

    /// Owns a log that exists.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = private_file().append(true).read(true).open(path).map_err(|source| OpenError::Io {
            verb: "open",
            path: path.to_owned(),
            source,
        })?;
        Self::own(file, path)
    }

    fn own(file: File, path: &Path) -> Result<Self, OpenError> {
        // Whoever only asks whether the log is owned holds the lock for an instant, so one refusal is no answer.
        const PATIENCE: Duration = Duration::from_millis(40);
        match lock_within(&file, PATIENCE) {
            Ok(true) => {}
            Ok(false) => return Err(OpenError::Owned { path: path.to_owned(), pid: recorded_owner(path) }),
            Err(source) => return Err(OpenError::Io { verb: "lock", path: path.to_owned(), source }),
        }
        let owner = owner_file(path);
        write_private(&owner, format!("{}\n", std::process::id()).as_bytes())
            .map_err(|source| OpenError::Io { verb: "write", path: owner, source })?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The process that owns the log at `path` now; `None` when none does.
    ///
    /// # Errors
    /// When the log can't be opened.
    pub fn owner(path: &Path) -> io::Result<Option<Owner>> {
        let file = open_plain(path)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(Owner { pid: recorded_owner(path) })),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Reads the log from its first line.
    ///
    /// # Errors
    /// When the file can't be rewound.
    pub fn reader(&self) -> Result<LogReader<'_>, ReadError> {
        let mut file = &self.file;
        file.rewind().map_err(|source| ReadError::Read { path: self.path.clone(), source })?;
        Ok(LogReader::new(file, &self.path))
    }

    /// The log.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LockedLog {
    fn drop(&mut self) {
        // Only a hint for others: if it stays, the lock still tells that nobody owns the log.
        let _ = std::fs::remove_file(owner_file(&self.path));
    }
}

/// A process that owns a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Its process id, where it could be told.
    pub pid: Option<u32>,
}

fn owner_file(log: &Path) -> PathBuf {
    log.with_file_name("owner")
}

fn recorded_owner(log: &Path) -> Option<u32> {
    str::from_utf8(&read_private(&owner_file(log)).ok()?).ok()?.trim().parse().ok()
}
