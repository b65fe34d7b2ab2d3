//! `index.db`: all logs of a volume as tables. A cache and never a truth: it is
//! made again when it is missing, damaged or of another version.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use omne_events::{RunId, lock_within, private_file};
use rusqlite::{Connection, OpenFlags};

mod fold;
mod lines;
mod log;

/// The version of the tables; an index of another one is made again.
const VERSION: i64 = 1;
/// How long another process's sync is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of logs is taken in between two commits, in bytes: it bounds the size of the write-ahead log.
const BATCH: u64 = 64 << 20;

/// A log to be taken in.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its run.
    pub run: RunId,
    /// The file.
    pub path: PathBuf,
}

/// What a sync did, and what it noticed.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Synced {
    /// How many logs there are.
    pub runs: usize,
    /// How many of them were read, at least a part.
    pub read: usize,
    /// How many events were taken in.
    pub events: u64,
    /// The size of what was read of logs, in bytes.
    pub bytes: u64,
    /// What is not as it should be: logs that were changed, shortened, damaged or removed, an index that was made again.
    pub notices: Vec<Notice>,
}

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Notice {
    /// The run, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// What was noticed.
    pub message: String,
}

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// SQLite says no.
    #[error("the index `{}`", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
    /// The file can't be made or removed.
    #[error("cannot {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The index of a volume.
#[derive(Debug)]
pub struct Index {
    db: Connection,
    path: PathBuf,
}

impl Index {
    /// Brings the index at `path` up to date with `logs` and opens it for reading. `is_alive` says of a run that has not
    /// ended whether its runner lives.
    ///
    /// # Errors
    /// When the file can't be written. What is wrong with a log is no error but a notice.
    pub fn sync(
        path: &Path,
        logs: &[Log],
        is_alive: &dyn Fn(&Log) -> bool,
    ) -> Result<(Self, Synced), IndexError> {
        if let Some(directory) = path.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|source| IndexError::Io { verb: "make", path: directory.to_owned(), source })?;
        }
        let _alone = alone(path)?;
        let mut synced = Synced { runs: logs.len(), ..Synced::default() };
        let trouble = |source| IndexError::Database { path: path.to_owned(), source };
        let db = match update(path, logs, is_alive, &mut synced) {
            Ok(Some(db)) => db,
            Ok(None) => build(path, logs, is_alive, &mut synced)?,
            Err(error) if is_damage(&error) => {
                synced = Synced { runs: logs.len(), ..Synced::default() };
                synced.notice(None, format!("the index was damaged ({error}) and is made again"));
                build(path, logs, is_alive, &mut synced)?
            }
            Err(error) => return Err(trouble(error)),
        };
        Ok((Self { db, path: path.to_owned() }, synced))
    }

    /// The connection, by which nothing can be written any more.
    pub(crate) fn reader(&self) -> Result<&Connection, IndexError> {
        self.db.pragma_update(None, "query_only", true).map_err(|source| self.trouble(source))?;
        Ok(&self.db)
    }

    pub(crate) fn trouble(&self, source: rusqlite::Error) -> IndexError {
        IndexError::Database { path: self.path.clone(), source }
    }
}

/// Waits until no other process syncs the index, and keeps them waiting until what it gives is dropped. SQLite can't do
/// that: who changes the mode of a journal while another one looks is refused at once, or both wait for each other.
fn alone(path: &Path) -> Result<fs::File, IndexError> {
    let path = path.with_extension("lock");
    let locked = private_file().write(true).create(true).open(&path).and_then(|file| {
        if lock_within(&file, PATIENCE)? {
            return Ok(file);
        }
        let message = "another process has been at the index for a minute";
        Err(io::Error::new(io::ErrorKind::WouldBlock, message))
    });
    locked.map_err(|source| IndexError::Io { verb: "lock", path, source })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // SQLite would make it for everybody, and gives what it puts beside it the same rights. What is wrong with the path
    // it tells itself.
    let _ = private_file().write(true).create_new(true).open(path);
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(PATIENCE)?;
    db.pragma_update(None, "cache_size", -8192)?;
    // What a power cut takes from a cache is made again.
    db.pragma_update(None, "synchronous", "off")?;
    Ok(db)
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings an index up to date; `None` when there is none that could be.
fn update(
    path: &Path,
    logs: &[Log],
    is_alive: &dyn Fn(&Log) -> bool,
    synced: &mut Synced,
) -> rusqlite::Result<Option<Connection>> {
    let db = connect(path)?;
    match version(&db)? {
        VERSION => {}
        0 => return Ok(None),
        other => {
            synced.notice(None, format!("the index was of version {other} and is made again"));
            return Ok(None);
        }
    }
    db.pragma_update(None, "journal_mode", "wal")?;
    log::take_in(&db, logs, is_alive, synced)?;
    Ok(Some(db))
}

/// Makes the index, without a journal and with nobody else at it: its version is written last, so that one that was not
/// finished is known as such.
fn build(
    path: &Path,
    logs: &[Log],
    is_alive: &dyn Fn(&Log) -> bool,
    synced: &mut Synced,
) -> Result<Connection, IndexError> {
    let trouble = |source| IndexError::Database { path: path.to_owned(), source };
    let own = |path: &Path| -> rusqlite::Result<Connection> {
        let db = connect(path)?;
        db.pragma_update(None, "locking_mode", "exclusive")?;
        db.pragma_update(None, "journal_mode", "off")?;
        db.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
        Ok(db)
    };
    let is_empty = |db: &Connection| {
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
            .map(|count| count == 0)
    };
    let db = match own(path).and_then(|db| Ok((is_empty(&db)?, db))) {
        Ok((true, db)) => db,
        Ok(_) => {
            remove(path)?;
            own(path).map_err(trouble)?
        }
        Err(error) if is_damage(&error) => {
            remove(path)?;
            own(path).map_err(trouble)?
        }
        Err(error) => return Err(trouble(error)),
    };
    let mut fill = || -> rusqlite::Result<()> {
        db.execute_batch(include_str!("index/schema.sql"))?;
        log::take_in(&db, logs, is_alive, synced)?;
        db.pragma_update(None, "user_version", VERSION)?;
        db.pragma_update(None, "locking_mode", "normal")?;
        db.pragma_update(None, "journal_mode", "wal")?;
        // The lock goes with the next look into the file.
        version(&db).map(drop)
    };
    fill().map_err(trouble)?;
    Ok(db)
}

impl Synced {
    fn notice(&mut self, run_id: Option<&RunId>, message: String) {
        self.notices.push(Notice { run_id: run_id.cloned(), message });
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, DatabaseCorrupt | NotADatabase)
        }
        // Tables that are not as they were made, or values that are not of their types.
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        _ => false,
    }
}

/// Removes the index with what SQLite has beside it.
fn remove(path: &Path) -> Result<(), IndexError> {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match fs::remove_file(&name) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(IndexError::Io { verb: "remove", path: name.into(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
