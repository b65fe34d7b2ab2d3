//! Logs into tables: only what is new of each is read.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
};

use omne_events::{Chain, Decoder, Digest, LogReader, RunId, open_plain};
use omne_pipe::Pipe;
use omne_replay::RunPhase;
use rusqlite::{Connection, OptionalExtension as _, Result, params};
use rustc_hash::FxHashSet;

use super::{BATCH, Log, Synced, fold::Fold, lines};

/// What is known of a log that was read before.
struct Known {
    id: i64,
    length: u64,
    size: u64,
    mtime_ns: i64,
    head: String,
    state: Option<String>,
}

/// Where a log is read from.
enum From {
    /// Its beginning.
    Start,
    /// Behind what is known.
    End,
}

pub(super) fn take_in(
    db: &Connection,
    logs: &[Log],
    is_alive: &dyn Fn(&Log) -> bool,
    synced: &mut Synced,
) -> Result<()> {
    // The right to write from the beginning: what was looked at has to hold until it is written.
    let begin = || db.execute_batch("BEGIN IMMEDIATE");
    begin()?;
    let done = (|| {
        forget_gone(db, logs, synced)?;
        let (mut since, mut pipe) = (0, None);
        for log in logs {
            let before = synced.bytes;
            one(db, log, is_alive, &mut pipe, synced)?;
            since += synced.bytes - before;
            if since > BATCH {
                db.execute_batch("COMMIT")?;
                begin()?;
                since = 0;
            }
        }
        Ok(())
    })();
    match done {
        Ok(()) => db.execute_batch("COMMIT"),
        Err(error) => {
            // The first error is what is to be told.
            let _ = db.execute_batch("ROLLBACK");
            Err(error)
        }
    }
}

/// Removes runs whose logs are gone.
fn forget_gone(db: &Connection, logs: &[Log], synced: &mut Synced) -> Result<()> {
    let present: FxHashSet<&str> = logs.iter().map(|log| log.run.as_str()).collect();
    let mut known = db.prepare("SELECT id, run_id FROM run")?;
    let known = known.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    for run in known.collect::<Result<Vec<_>>>()? {
        if !present.contains(run.1.as_str()) {
            forget_run(db, run.0)?;
            synced.notice(RunId::new(&run.1).ok().as_ref(), "its log is gone".into());
        }
    }
    Ok(())
}

/// The first and the last key that events of a run may have.
fn keys(id: i64) -> [i64; 2] {
    [id << 32, (id << 32) | i64::from(u32::MAX)]
}

fn forget_run(db: &Connection, id: i64) -> Result<()> {
    forget(db, id)?;
    db.execute("DELETE FROM run WHERE id = ?", [id]).map(|_| ())
}

/// Removes everything of a run but its row.
fn forget(db: &Connection, id: i64) -> Result<()> {
    for table in ["event", "hook"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE id BETWEEN ? AND ?"))?.execute(keys(id))?;
    }
    forget_state(db, id)
}

fn forget_state(db: &Connection, id: i64) -> Result<()> {
    for table in ["node", "input"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?"))?.execute([id])?;
    }
    Ok(())
}

fn known(db: &Connection, run: &RunId) -> Result<Option<Known>> {
    let sql = "SELECT id, length, size, mtime_ns, head, state FROM run WHERE run_id = ?";
    db.prepare_cached(sql)?
        .query_row([run.as_str()], |row| {
            Ok(Known {
                id: row.get(0)?,
                length: row.get(1)?,
                size: row.get(2)?,
                mtime_ns: row.get(3)?,
                head: row.get(4)?,
                state: row.get(5)?,
            })
        })
        .optional()
}

/// Takes in one log. `pipe` is that of the log before: most runs are of the same one.
fn one(
    db: &Connection,
    log: &Log,
    is_alive: &dyn Fn(&Log) -> bool,
    pipe: &mut Option<Arc<Pipe>>,
    synced: &mut Synced,
) -> Result<()> {
    let known = known(db, &log.run)?;
    let file = match open(&log.path) {
        Ok(file) => file,
        Err(error) => {
            if let Some(known) = known {
                forget_run(db, known.id)?;
            }
            synced.notice(Some(&log.run), format!("its log can not be read: {error}"));
            return Ok(());
        }
    };
    let (mut file, size, mtime_ns) = file;
    let from = match &known {
        None => From::Start,
        Some(known) if size == known.size && mtime_ns == known.mtime_ns => {
            let open = |state: &str| state == RunPhase::Running.as_str();
            if known.state.as_deref().is_some_and(open) && !is_alive(log) {
                set_state(db, known.id, RunPhase::Interrupted.as_str())?;
            }
            return Ok(());
        }
        Some(known) if size < known.length => {
            synced.notice(
                Some(&log.run),
                format!("its log is shorter than it was: {size} of {} bytes", known.length),
            );
            From::Start
        }
        Some(known) => match is_continued(&mut file, known, size, &log.path) {
            Ok(true) => From::End,
            Ok(false) => {
                synced.notice(Some(&log.run), "its log was changed where it had been read before".into());
                From::Start
            }
            Err(error) => {
                synced.notice(Some(&log.run), format!("its log can not be read: {error}"));
                return Ok(());
            }
        },
    };
    let start = match (&known, from) {
        (Some(known), From::End) => known.length,
        _ => 0,
    };
    if let Err(error) = file.seek(SeekFrom::Start(start)) {
        synced.notice(Some(&log.run), format!("its log can not be read: {error}"));
        return Ok(());
    }
    let id = match &known {
        Some(known) => known.id,
        None => {
            let sql = "INSERT INTO run (run_id, length, size, mtime_ns, head) VALUES (?, 0, 0, 0, '')";
            db.prepare_cached(sql)?.execute([log.run.as_str()])?;
            db.last_insert_rowid()
        }
    };
    let mut fold = Fold::expecting(pipe.take());
    if start == 0 {
        forget(db, id)?;
    } else {
        // What is known already, not from the log but from the index.
        let sql = "SELECT json FROM event WHERE id BETWEEN ? AND ? ORDER BY id";
        let mut statement = db.prepare_cached(sql)?;
        let mut rows = statement.query(keys(id))?;
        while let Some(row) = rows.next()? {
            fold.take_again(row.get_ref(0)?.as_str()?.as_bytes());
        }
        forget_state(db, id)?;
    }
    lines::read(db, log, id, (&file, size.saturating_sub(start)), &mut fold, synced)?;
    let head = fold.head.map_or_else(
        || known.as_ref().map(|known| known.head.clone()).unwrap_or_default(),
        |head| head.to_string(),
    );
    let length = start + fold.bytes;
    let sql = "UPDATE run SET length = ?, size = ?, mtime_ns = ?, head = ?, problem = ? WHERE id = ?";
    db.prepare_cached(sql)?.execute(params![length, size, mtime_ns, head, fold.problem, id])?;
    fold.write(db, id)?;
    if fold.is_open() && !is_alive(log) {
        set_state(db, id, RunPhase::Interrupted.as_str())?;
    }
    *pipe = fold.pipe();
    synced.read += 1;
    synced.bytes += fold.bytes;
    Ok(())
}

fn set_state(db: &Connection, id: i64, state: &str) -> Result<()> {
    db.prepare_cached("UPDATE run SET state = ? WHERE id = ?")?.execute(params![state, id])?;
    Ok(())
}

/// The log with its size and the time of its last change.
fn open(path: &Path) -> io::Result<(File, u64, i64)> {
    let file = open_plain(path)?;
    let found = file.metadata()?;
    let mtime_ns = found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
    Ok((file, found.len(), mtime_ns))
}

/// Whether a log goes on where it was read to: the next line has to be linked to the last one that was read. Without a
/// next line, all of it is looked at again. That lines further up are what they were is `verify`'s business.
fn is_continued(file: &mut File, known: &Known, size: u64, path: &Path) -> io::Result<bool> {
    if known.length == 0 {
        // Nothing of it was a whole line.
        return Ok(true);
    }
    if size > known.length {
        file.seek(SeekFrom::Start(known.length))?;
        let mut reader = LogReader::new(&mut *file, path);
        if let Some(line) = reader.next_line().map_err(io::Error::other)? {
            // A log of omne-cli 0.2 is not linked: it is read again as a whole. A line that is none proves nothing.
            if let Ok(decoded) = Decoder::new().decode(line) {
                return Ok(!decoded.legacy && decoded.prev.is_some_and(|prev| *prev == *known.head));
            }
        }
    }
    file.seek(SeekFrom::Start(0))?;
    let mut reader = LogReader::new(file.take(known.length), path);
    let (mut chain, mut decoder) = (Chain::new(), Decoder::new());
    while let Some(line) = reader.next_line().map_err(io::Error::other)? {
        match decoder.decode(line) {
            Ok(decoded) if chain.follow(line, Digest::of(line), &decoded).is_empty() => {}
            Ok(decoded) if decoded.legacy => {}
            _ => return Ok(false),
        }
    }
    Ok(chain.head().to_string() == known.head)
}
