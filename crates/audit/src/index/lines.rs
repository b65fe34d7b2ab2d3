//! The lines of one log, understood and written: by two threads where there are many.

use std::{fs::File, ops::ControlFlow, sync::mpsc::sync_channel};

use omne_events::{Digest, Event, HookDecided, LineRef, LogReader, NodeId};
use rusqlite::{CachedStatement, Connection, Result, params};
use smol_str::SmolStr;

use super::{
    Log, Synced,
    fold::{Fold, count},
};

/// How much of a log is handed from one thread to the other at a time, in bytes.
const HANDED: usize = 64 * 1024;
/// How many such pieces may wait to be written.
const AHEAD: usize = 4;
/// A log with less than this to be read is not worth a thread, in bytes.
const SHORT: u64 = 256 * 1024;

/// Lines that follow each other, as they are to be written.
#[derive(Default)]
struct Lines {
    text: String,
    rows: Vec<Row>,
}

/// One of them.
struct Row {
    seq: i64,
    kind: SmolStr,
    at_ms: i64,
    node: Option<NodeId>,
    hook: Option<Box<HookDecided>>,
    /// Where it ends in the text.
    end: usize,
}

/// Takes in the lines from where `file` stands, about so many bytes of them. A long log is understood by a thread of its
/// own: to write it is as much work again.
pub(super) fn read(
    db: &Connection,
    log: &Log,
    id: i64,
    (file, bytes): (&File, u64),
    fold: &mut Fold,
    synced: &mut Synced,
) -> Result<()> {
    let mut writer = Writer::new(db, id)?;
    let mut written = Ok(());
    let mut write = |lines: &Lines| {
        written = writer.write(lines);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let is_long =
        bytes >= SHORT && std::thread::available_parallelism().is_ok_and(|threads| threads.get() > 1);
    let is_read = is_long && {
        let (give, taken) = sync_channel::<Lines>(AHEAD);
        let fold = &mut *fold;
        std::thread::scope(|scope| {
            // Once it is not taken any more, nothing can be written.
            let hand_over = move |lines| match give.send(lines) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            let thread = std::thread::Builder::new().name("omne-decode".into());
            let begun = thread.spawn_scoped(scope, move || understand(log, file, fold, hand_over));
            let _ = taken.into_iter().try_for_each(|lines| write(&lines));
            begun.is_ok()
        })
    };
    if !is_read {
        understand(log, file, fold, |lines| write(&lines));
    }
    written?;
    if let Some(problem) = &fold.problem {
        synced.notice(
            Some(&log.run),
            format!("its log is damaged: {problem}; what stands before that is in the index"),
        );
    }
    synced.events += fold.events;
    Ok(())
}

/// Reads and folds lines until there are none, one is none, or `give` breaks off.
fn understand(log: &Log, file: &File, fold: &mut Fold, mut give: impl FnMut(Lines) -> ControlFlow<()>) {
    let mut reader = LogReader::new(file, &log.path);
    let mut lines = Lines::default();
    let problem = loop {
        let bytes = match reader.next_line() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        };
        let line = match fold.take(bytes, &log.run) {
            Ok(line) => line,
            Err(problem) => break Some(problem),
        };
        // Before the next one is added: so the last one of all is there at the end.
        if lines.text.len() >= HANDED && give(std::mem::take(&mut lines)).is_break() {
            return;
        }
        lines.push(bytes, &line);
    };
    fold.problem = problem;
    fold.head = lines.iter().last().map(|(line, _)| Digest::of(line));
    // Who breaks off here has all there is.
    let _ = give(lines);
}

impl Lines {
    fn push(&mut self, bytes: &[u8], line: &LineRef<'_>) {
        let hook = match line.owned_event() {
            Some(Event::HookDecided(hook)) => Some(Box::new(hook.clone())),
            _ => None,
        };
        self.text.push_str(std::str::from_utf8(bytes).unwrap_or_default());
        self.rows.push(Row {
            seq: count(line.seq()),
            kind: line.kind().into(),
            at_ms: line.at().as_millisecond(),
            node: line.node().cloned(),
            hook,
            end: self.text.len(),
        });
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &Row)> {
        let starts = std::iter::once(0).chain(self.rows.iter().map(|row| row.end));
        starts.zip(&self.rows).map(|(start, row)| (&self.text[start..row.end], row))
    }
}

/// Writes the lines of one run.
struct Writer<'a> {
    id: i64,
    events: CachedStatement<'a>,
    hooks: CachedStatement<'a>,
}

impl<'a> Writer<'a> {
    fn new(db: &'a Connection, id: i64) -> Result<Self> {
        let events = "INSERT INTO event (id, type, at_ms, node_id, json) VALUES (?, ?, ?, ?, ?)";
        let hooks = "INSERT INTO hook (id, event, hook, decision, latency_us) VALUES (?, ?, ?, ?, ?)";
        Ok(Self { id, events: db.prepare_cached(events)?, hooks: db.prepare_cached(hooks)? })
    }

    fn write(&mut self, lines: &Lines) -> Result<()> {
        for (text, row) in lines.iter() {
            let key = (self.id << 32) | row.seq;
            let node = row.node.as_ref().map(NodeId::as_str);
            self.events.execute(params![key, row.kind.as_str(), row.at_ms, node, text])?;
            if let Some(hook) = &row.hook {
                let latency = count(hook.latency_us);
                let decision = hook.decision.as_str();
                self.hooks.execute(params![key, hook.event.as_str(), hook.hook, decision, latency])?;
            }
        }
        Ok(())
    }
}
