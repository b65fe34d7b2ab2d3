//! The only writer of `events.jsonl`.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    Durability, LockedLog, OpenError, Tail,
    medium::{Medium, NEW_ENTRIES, Syncer, open},
};
use crate::{
    Chain, Digest, Event, EventId, IdGen, MAX_LINE, Recorded, RunId, Timestamp, encode, private_file,
};

/// Why an event is not in the log. After any of these the writer takes nothing more.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The write failed; what it left was cut off again.
    #[error("cannot write to `{}`", path.display())]
    Write {
        /// The log.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The disk did not confirm; how much of the last 50 ms is on it is unknown.
    #[error("cannot sync `{}` to disk", path.display())]
    Sync {
        /// The log.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody else has removed or changed it. Nothing was written.
    #[error("somebody else has laid hands on `{}`", path.display())]
    Changed {
        /// The log.
        path: PathBuf,
        /// What was found.
        source: io::Error,
    },
    /// The event has no line.
    #[error("cannot encode a `{kind}` event")]
    Encode {
        /// The event's type.
        kind: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// The event's line is over 64 KiB.
    #[error("a `{kind}` event of {bytes} bytes is too large for the log")]
    TooLong {
        /// The event's type.
        kind: &'static str,
        /// Its line's length.
        bytes: usize,
    },
    /// An earlier write failed.
    #[error("the log `{}` was closed by an earlier failure", path.display())]
    Closed {
        /// The log.
        path: PathBuf,
    },
}

/// Appends events: whole lines, one write a batch, linked and numbered.
pub struct LogWriter {
    log: Box<dyn Medium>,
    run: RunId,
    ids: Box<dyn IdGen>,
    chain: Chain,
    /// The lines of the batch that is not written yet.
    batch: Vec<u8>,
    /// The lines of the last batch that was.
    written: Vec<u8>,
    /// The file's length up to which all is well.
    length: u64,
    closed: bool,
    /// How many directories above the log have an entry that may not be on disk.
    new_entries: usize,
    sync: Option<Box<dyn Syncer>>,
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter").field("path", &self.log.path()).field("seq", &self.chain.seq()).finish()
    }
}

impl LogWriter {
    /// A writer for a new, empty log.
    pub fn begin(log: LockedLog, run: RunId, ids: Box<dyn IdGen>) -> Self {
        let chain = Chain::of(run.clone());
        Self::after(Box::new(log), run, chain, 0, ids)
    }

    /// A writer that appends to `log`, of which `length` bytes are whole lines, after the last one of which `chain` is.
    pub fn after(log: Box<dyn Medium>, run: RunId, chain: Chain, length: u64, ids: Box<dyn IdGen>) -> Self {
        let (batch, written) = (Vec::new(), Vec::new());
        let new_entries = NEW_ENTRIES;
        Self { log, run, ids, chain, batch, written, length, closed: false, new_entries, sync: None }
    }

    /// Says that the entries of so many directories above the log may be new: they are synced with the first events.
    #[must_use]
    pub fn below_new(self, directories: usize) -> Self {
        Self { new_entries: NEW_ENTRIES.max(directories), ..self }
    }

    /// A writer that goes on after `chain`, the state after the last whole line, which ends at `length`.
    /// Torn bytes after it are moved aside; the file that they are in is given back.
    ///
    /// # Errors
    /// When the torn bytes can't be moved.
    pub fn go_on(
        log: LockedLog,
        chain: Chain,
        length: u64,
        tail: Tail,
        ids: Box<dyn IdGen>,
    ) -> Result<(Self, Option<PathBuf>), OpenError> {
        let run = chain.run().cloned().ok_or_else(|| OpenError::Io {
            verb: "go on with",
            path: log.path().to_owned(),
            source: io::Error::new(io::ErrorKind::UnexpectedEof, "the log is empty"),
        })?;
        let aside = match tail {
            Tail::Clean => None,
            Tail::Torn { offset, bytes } => Some(set_aside(&log, offset, bytes)?),
        };
        let writer = Self::after(Box::new(log), run, chain, length, ids);
        Ok((writer, aside))
    }

    /// Starts syncing in the background. `wake` is called from another thread whenever more is durable.
    ///
    /// # Errors
    /// When the files to sync can't be opened or the thread can't be made.
    pub fn sync_in_background(
        &mut self,
        durability: Durability,
        workspace: &Path,
        wake: Box<dyn Fn() + Send>,
    ) -> Result<(), OpenError> {
        self.sync = self.log.sync_in_background(durability, workspace, self.new_entries, wake)?;
        Ok(())
    }

    /// Adds an event to the batch. It is in the log once [`Self::flush`] has returned.
    pub fn append(&mut self, now: Timestamp, event: Event) -> Result<Recorded, WriteError> {
        if self.closed {
            return Err(WriteError::Closed { path: self.log.path().to_owned() });
        }
        let at = now.max(self.chain.at());
        let fresh = EventId::from_parts(at, self.ids.random());
        let id = if fresh > self.chain.id() { fresh } else { self.chain.id().successor() };
        let record = Recorded { seq: self.chain.seq() + 1, id, at, run: self.run.clone(), event };
        let from = self.batch.len();
        let kind = record.event.kind();
        let encoded = encode(&record, self.chain.head(), &mut self.batch);
        let bytes = self.batch.len() - from;
        let carries_definition = matches!(record.event, Event::PipeStarted(_) | Event::PipeResumed(_));
        if let Err(source) = encoded {
            self.batch.truncate(from);
            return Err(WriteError::Encode { kind, source });
        }
        if bytes > MAX_LINE && !carries_definition {
            self.batch.truncate(from);
            return Err(WriteError::TooLong { kind, bytes });
        }
        self.chain.advance(record.seq, record.id, record.at, Digest::of(&self.batch[from..]));
        self.batch.push(b'\n');
        Ok(record)
    }

    /// Writes the batch with one write. When it fails, what it left in the file is cut off again.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.closed {
            return Err(WriteError::Closed { path: self.log.path().to_owned() });
        }
        if let Err(source) = self.log.is_as_left(self.length) {
            self.closed = true;
            return Err(WriteError::Changed { path: self.log.path().to_owned(), source });
        }
        if let Err(source) = self.log.append(&self.batch) {
            self.closed = true;
            // Best effort: if this fails too, the next writer finds a torn line and moves it aside.
            let _ = self.log.cut(self.length);
            return Err(WriteError::Write { path: self.log.path().to_owned(), source });
        }
        self.length += self.batch.len() as u64;
        std::mem::swap(&mut self.batch, &mut self.written);
        self.batch.clear();
        // A definition may have made it large; what comes after is small.
        self.batch.shrink_to(MAX_LINE);
        if let Some(sync) = &self.sync {
            sync.wrote(self.chain.seq());
        }
        Ok(())
    }

    /// The lines of the last batch, as they are in the file.
    pub fn last_batch(&self) -> &[u8] {
        &self.written
    }

    /// The last event that surely survives a power cut; without syncing, the last one written.
    pub fn durable(&mut self) -> Result<u64, WriteError> {
        match &self.sync {
            Some(sync) => sync.synced().map_err(|source| self.sync_error(source)),
            None => Ok(self.chain.seq()),
        }
    }

    /// Asks for a sync up to `seq` without further delay; `wake` tells when it is done.
    pub fn want_durable(&self, seq: u64) {
        if let Some(sync) = &self.sync {
            sync.want(seq);
        }
    }

    /// Writes the batch and waits until all of it is on disk.
    pub fn flush_and_sync(&mut self) -> Result<(), WriteError> {
        self.flush()?;
        match &self.sync {
            Some(sync) => sync.wait(self.chain.seq()).map_err(|source| self.sync_error(source)),
            None => Ok(()),
        }
    }

    fn sync_error(&self, source: io::Error) -> WriteError {
        WriteError::Sync { path: self.log.path().to_owned(), source }
    }

    /// The `seq` of the last event.
    pub fn seq(&self) -> u64 {
        self.chain.seq()
    }

    /// The run that the log is of.
    pub fn run(&self) -> &RunId {
        &self.run
    }
}

/// Moves the torn bytes to the first free `events.jsonl.torn-<n>` and cuts them off.
fn set_aside(log: &LockedLog, offset: u64, bytes: u64) -> Result<PathBuf, OpenError> {
    let error = |verb, path: &Path, source| OpenError::Io { verb, path: path.to_owned(), source };
    let mut torn = Vec::new();
    {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = &log.file;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(bytes).read_to_end(&mut torn))
            .map_err(|source| error("read", log.path(), source))?;
    }
    let mut n = 1u32;
    let aside = loop {
        let mut name = log.path().as_os_str().to_owned();
        name.push(format!(".torn-{n}"));
        let path = PathBuf::from(name);
        match private_file().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(&torn)
                    .and_then(|()| file.sync_all())
                    .map_err(|source| error("write", &path, source))?;
                break path;
            }
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => n += 1,
            Err(source) => return Err(error("create", &path, source)),
        }
    };
    // Before anything is written in the place of what is cut off: a power cut must find the bytes in one of both files, and
    // no old ones among the new ones.
    let directory = log.path().parent().unwrap_or(Path::new("."));
    open(directory)?.sync_all().map_err(|source| error("sync", directory, source))?;
    let cut = log.file.set_len(offset).and_then(|()| log.file.sync_data());
    cut.map_err(|source| error("cut", log.path(), source))?;
    Ok(aside)
}

#[cfg(test)]
mod tests;
