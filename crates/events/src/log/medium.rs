//! What a log is written to: a file, or something that plays one.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use super::{
    Durability, LockedLog, OpenError,
    sync::{SyncHandle, Targets},
};

/// The log's directory and the one that holds it: both have entries that are new.
pub(super) const NEW_ENTRIES: usize = 2;

/// Holds the bytes of a log. Only its end is ever touched.
pub trait Medium {
    /// What it is called in messages.
    fn path(&self) -> &Path;

    /// Whether it can still be found by others, and ends after its first `length` bytes.
    ///
    /// # Errors
    /// What somebody else has done to it.
    fn is_as_left(&self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When not all of them could be added; how many were is unknown.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts off what comes after the first `length` bytes.
    ///
    /// # Errors
    /// When that fails.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Begins to bring to disk what is appended, as `durability` says; `None` when that is left to the system.
    /// `workspace` is synced before it in strict mode, and the entries of so many `directories` above the log with its
    /// first events. `wake` is called from any thread whenever more is durable.
    ///
    /// # Errors
    /// When the files to sync can't be opened or a thread can't be made.
    fn sync_in_background(
        &mut self,
        durability: Durability,
        workspace: &Path,
        directories: usize,
        wake: Box<dyn Fn() + Send>,
    ) -> Result<Option<Box<dyn Syncer>>, OpenError>;
}

/// Brings a log to disk. Events are told by their `seq`.
pub trait Syncer {
    /// All up to this one is written.
    fn wrote(&self, seq: u64);

    /// All up to this one is to be synced without further delay.
    fn want(&self, seq: u64);

    /// The last one that is on disk.
    ///
    /// # Errors
    /// When syncing failed, now or before.
    fn synced(&self) -> io::Result<u64>;

    /// Waits until all up to this one is on disk.
    ///
    /// # Errors
    /// When syncing failed, now or before.
    fn wait(&self, seq: u64) -> io::Result<()>;
}

impl Medium for LockedLog {
    fn path(&self) -> &Path {
        &self.path
    }

    fn is_as_left(&self, length: u64) -> io::Result<()> {
        let now = self.file.metadata()?;
        let what = match now.len() {
            _ if !now.is_file() => return Ok(()),
            _ if now.nlink() == 0 => "it was removed or replaced".to_owned(),
            size if size != length => format!("it has {size} bytes, and should have {length}"),
            _ => return Ok(()),
        };
        Err(io::Error::other(what))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync_in_background(
        &mut self,
        durability: Durability,
        workspace: &Path,
        directories: usize,
        wake: Box<dyn Fn() + Send>,
    ) -> Result<Option<Box<dyn Syncer>>, OpenError> {
        let workspace = match durability {
            Durability::None => return Ok(None),
            Durability::Auto => None,
            Durability::Strict => Some(open(workspace)?),
        };
        let mut opened = Vec::new();
        for (above, directory) in self.path.ancestors().skip(1).take(directories).enumerate() {
            match open(directory) {
                // What others let nobody read can't be synced by name.
                Err(_) if above >= NEW_ENTRIES => {}
                directory => opened.push(directory?),
            }
        }
        let error = |verb, source| OpenError::Io { verb, path: self.path.clone(), source };
        let log = self.file.try_clone().map_err(|source| error("open", source))?;
        let handle = SyncHandle::start(Targets { log, directories: opened, workspace }, wake);
        Ok(Some(Box::new(handle.map_err(|source| error("sync", source))?)))
    }
}

pub(super) fn open(path: &Path) -> Result<File, OpenError> {
    File::open(path).map_err(|source| OpenError::Io { verb: "open", path: path.to_owned(), source })
}
