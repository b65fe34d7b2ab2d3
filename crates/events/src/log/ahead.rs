//! All lines of a log, decoded by several processors and given out in their order. What comes of a line depends on the
//! line alone, so who decodes it makes no difference.

use std::{
    ops::ControlFlow,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{LogReader, ReadError};
use crate::{DecodeError, Decoded, Decoder};

/// What one thread decodes at a time, in bytes: little enough to stay in its cache with what comes of it.
const BATCH: usize = 64 * 1024;
/// A log of fewer bytes is read by the calling thread alone.
const SHORT: usize = 256 * 1024;
/// More would wait for each other: lines are read and taken by one at a time.
const MOST_THREADS: usize = 4;

/// Reads a log to its end, or until `take` breaks off. `take` gets each line as it stands, what `prepare` made of it, and
/// what it says, one line after the other. It is `prepare` and the decoding that may be done for several lines at once.
///
/// # Errors
/// When the log can't be read; `take` had all lines before.
pub fn read_ahead<P>(
    reader: &mut LogReader<'_>,
    prepare: impl Fn(&[u8]) -> P + Sync,
    take: impl FnMut(&[u8], P, Result<Decoded<'_>, DecodeError>) -> ControlFlow<()> + Send,
) -> Result<(), ReadError> {
    let mut source = Source { reader, batches: 0, ended: None };
    let mut first = Batch::default();
    source.fill(&mut first, SHORT);
    let is_short = source.ended.is_some();
    let work = Work {
        source: Mutex::new(source),
        turn: Mutex::new(Turn { batch: 0, stopped: false, take }),
        changed: Condvar::new(),
        prepare,
    };
    let threads = match is_short {
        true => 1,
        false => std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without them it only takes longer.
            let builder = std::thread::Builder::new().name("omne-decode".into());
            let _ = builder.spawn_scoped(scope, || {
                let mut batch = Batch::default();
                if work.fill(&mut batch) {
                    work.until_the_end(batch);
                }
            });
        }
        work.until_the_end(first);
    });
    let source = work.source.into_inner().unwrap_or_else(PoisonError::into_inner);
    source.ended.unwrap_or(Ok(()))
}

/// Lines that follow each other.
#[derive(Default)]
struct Batch {
    /// Which one, from 0.
    number: u64,
    /// How many lines are before it.
    before: u64,
    /// The lines, one behind the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Batch {
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// What is still to be read.
struct Source<'a, 's> {
    reader: &'a mut LogReader<'s>,
    batches: u64,
    /// Whether there is nothing more, and whether that is as it should be.
    ended: Option<Result<(), ReadError>>,
}

impl Source<'_, '_> {
    /// Replaces what is in `batch` by the next lines, about as many as make `bytes`.
    fn fill(&mut self, batch: &mut Batch, bytes: usize) {
        (batch.number, batch.before) = (self.batches, self.reader.lines());
        batch.bytes.clear();
        batch.ends.clear();
        // A definition may have been in it, which is many times as long.
        batch.bytes.shrink_to(2 * BATCH);
        self.batches += 1;
        while batch.bytes.len() < bytes && self.ended.is_none() {
            match self.reader.next_line() {
                Ok(Some(line)) => {
                    batch.bytes.extend_from_slice(line);
                    batch.ends.push(batch.bytes.len());
                }
                Ok(None) => self.ended = Some(Ok(())),
                Err(error) => self.ended = Some(Err(error)),
            }
        }
    }
}

/// Whose turn it is to give out lines.
struct Turn<T> {
    batch: u64,
    /// Nobody wants more.
    stopped: bool,
    take: T,
}

/// What the threads share.
struct Work<'a, 's, F, T> {
    source: Mutex<Source<'a, 's>>,
    turn: Mutex<Turn<T>>,
    changed: Condvar,
    prepare: F,
}

impl<P, F, T> Work<'_, '_, F, T>
where
    F: Fn(&[u8]) -> P,
    T: FnMut(&[u8], P, Result<Decoded<'_>, DecodeError>) -> ControlFlow<()>,
{
    /// Decodes and gives out one batch after the other until there are none.
    fn until_the_end(&self, mut batch: Batch) {
        let _stop = StopOnPanic(self);
        loop {
            let mut decoder = Decoder::after(batch.before);
            let mut ready = Vec::with_capacity(batch.ends.len());
            ready.extend(batch.lines().map(|line| (line, (self.prepare)(line), decoder.decode(line))));
            let mut turn = self.turn();
            while turn.batch != batch.number && !turn.stopped {
                turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
            }
            if turn.stopped {
                return;
            }
            for (line, prepared, decoded) in ready {
                if (turn.take)(line, prepared, decoded).is_break() {
                    turn.stopped = true;
                    break;
                }
            }
            turn.batch += 1;
            self.changed.notify_all();
            drop(turn);
            if !self.fill(&mut batch) {
                return;
            }
        }
    }

    /// Whether there is a next batch; if so, it is in `batch` now.
    fn fill(&self, batch: &mut Batch) -> bool {
        if self.turn().stopped {
            return false;
        }
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if source.ended.is_some() {
            return false;
        }
        source.fill(batch, BATCH);
        true
    }
}

impl<F, T> Work<'_, '_, F, T> {
    fn turn(&self) -> MutexGuard<'_, Turn<T>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits for the turn of a thread that panics would wait for ever.
struct StopOnPanic<'w, 'a, 's, F, T>(&'w Work<'a, 's, F, T>);

impl<F, T> Drop for StopOnPanic<'_, '_, '_, F, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.turn().stopped = true;
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, path::Path};

    use super::*;

    /// A log of `lines` lines, each of which says which one it is and is long enough for several batches.
    fn log(lines: usize) -> Vec<u8> {
        let pad = "x".repeat(100);
        (0..lines).flat_map(|line| format!("{line} {pad}\n").into_bytes()).collect()
    }

    fn taken(log: &[u8], most: usize) -> (Vec<usize>, LogReader<'_>) {
        let mut reader = LogReader::new(log, Path::new("x"));
        let mut numbers = Vec::new();
        let number =
            |line: &[u8]| std::str::from_utf8(line).unwrap().split(' ').next().unwrap().parse().unwrap();
        read_ahead(&mut reader, number, |line, number: usize, decoded| {
            assert!(line.starts_with(number.to_string().as_bytes()));
            assert!(decoded.is_err(), "it is no event");
            numbers.push(number);
            if numbers.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        (numbers, reader)
    }

    #[test]
    fn every_line_comes_once_and_in_order() {
        for lines in [0, 1, 100, 30_000] {
            let log = log(lines);
            let (numbers, reader) = taken(&log, usize::MAX);
            assert_eq!(numbers, (0..lines).collect::<Vec<_>>());
            assert_eq!(reader.lines(), lines as u64);
        }
    }

    #[test]
    fn nothing_comes_after_the_line_that_was_the_last_one_wanted() {
        for most in [1, 2_500, 20_001] {
            assert_eq!(taken(&log(30_000), most).0, (0..most).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_torn_last_line_is_never_given_out() {
        let log = [log(20_000), b"20000 torn".to_vec()].concat();
        let (numbers, reader) = taken(&log, usize::MAX);
        assert_eq!(numbers.len(), 20_000);
        assert_eq!(reader.tail(), crate::Tail::Torn { offset: log.len() as u64 - 10, bytes: 10 });
    }

    #[test]
    fn what_could_be_read_before_an_error_is_given_out() {
        struct Failing(usize);
        impl Read for Failing {
            fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
                let log = log(20_000);
                let rest = &log[self.0..log.len().min(self.0 + out.len())];
                if rest.is_empty() {
                    return Err(std::io::Error::other("the disk is gone"));
                }
                out[..rest.len()].copy_from_slice(rest);
                self.0 += rest.len();
                Ok(rest.len())
            }
        }
        let mut reader = LogReader::new(Failing(0), Path::new("x"));
        let mut lines = 0;
        let read = read_ahead(
            &mut reader,
            |_| (),
            |_, (), _| {
                lines += 1;
                ControlFlow::Continue(())
            },
        );
        assert!(matches!(read, Err(ReadError::Read { .. })));
        assert_eq!(lines, 20_000);
    }

    /// The others wait for lines that never come.
    #[test]
    #[should_panic(expected = "not here")]
    fn a_panic_ends_all_threads() {
        let log = log(30_000);
        let mut reader = LogReader::new(log.as_slice(), Path::new("x"));
        let this = std::thread::current().id();
        let elsewhere = |_: &[u8]| assert_ne!(std::thread::current().id(), this, "not here");
        let _ = read_ahead(&mut reader, elsewhere, |_, (), _| ControlFlow::Continue(()));
    }
}
