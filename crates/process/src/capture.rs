//! What a process prints: copied as it comes, in bounded memory, with its
//! digest and its tail. A file is made with its first byte.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sha2::Digest as _;

use self::flood::Flood;
use crate::{Directory, Mask, Masker, Waker};

mod flood;

/// How much of the end is kept for messages, in bytes.
const TAIL: usize = 1024;
/// How much a process prints before a thread of its own copies the rest, in bytes.
const FLOOD: u64 = 16 * 1024;
/// What a pipe holds that was widened, in bytes: the most that the system lets every user have.
const PIPE: usize = 1024 * 1024;
/// How often one stream is read in one go, so that a flood of one does not starve the others.
const READS_IN_A_ROW: usize = 16;

/// Where a stream goes.
#[derive(Debug, Clone, Default)]
pub enum Sink {
    /// Into the file of this name, made with the first byte; what stood there before is replaced.
    File(Directory, String),
    /// The same, but what stood there before stays before it. Its digest is that of what is added.
    Append(Directory, String),
    /// To whoever waits, piece by piece as it comes; only its tail is kept.
    Relay,
    /// Only its tail is kept.
    #[default]
    Tail,
    /// Only so many of its last bytes are kept.
    Ring(usize),
}

/// What came of a stream.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    /// How many bytes were taken, each secret as its `***`.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// The last bytes: at most 1 KiB, or what the ring holds.
    pub tail: Vec<u8>,
}

impl Captured {
    /// The tail as text, cut at a character; bytes that are no UTF-8 are replaced.
    pub fn tail_text(&self) -> String {
        let cut = self.bytes > self.tail.len() as u64;
        let mut tail = self.tail.as_slice();
        // A cut can fall into a character: its at most three remaining bytes go.
        while cut && tail.first().is_some_and(|&b| b & 0b1100_0000 == 0b1000_0000) {
            tail = &tail[1..];
        }
        String::from_utf8_lossy(tail).into_owned()
    }
}

/// Why reading stopped for now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// There may be more at once.
    More,
    /// There is nothing more at the moment.
    Dry,
    /// The other side has closed it.
    Closed,
    /// The limit is reached.
    Full,
}

/// How many bytes a process may still print, on both of its streams together.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<AtomicU64>);

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// As many of `wanted` bytes as are left; they are gone then.
    fn spend(&self, wanted: usize) -> usize {
        let spent = |left: u64| Some(left.saturating_sub(wanted as u64));
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent).unwrap_or_default();
        wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

/// The pipe of a process that prints into it.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// Never blocks.
    pub(crate) reader: File,
    /// As long as it is kept here, too, the end of the process does not make the pipe readable: who waits for both is not
    /// woken twice.
    pub(crate) writer: Option<OwnedFd>,
}

/// One stream of one process. What prints much is copied by a thread of its own, so that two floods don't wait for each
/// other, and nothing else for them.
#[derive(Debug)]
pub(crate) struct Capture {
    flow: Flow,
    budget: Budget,
}

#[derive(Debug)]
enum Flow {
    Here(Stream),
    Away(Flood),
}

impl Capture {
    /// What comes out of `outlet` goes to `sink`.
    pub(crate) fn new(outlet: Outlet, sink: Sink, mask: Option<&Arc<Mask>>, budget: Budget) -> Self {
        let stream = Stream {
            outlet: Some(outlet),
            spent: None,
            sink,
            masker: mask.map(|mask| Box::new(Masker::new(Arc::clone(mask)))),
            file: None,
            hasher: None,
            bytes: 0,
            tail: VecDeque::new(),
        };
        Self { flow: Flow::Here(stream), budget }
    }

    /// What to wait for before the next [`Self::pump`]; nothing when a thread does that.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.flow {
            Flow::Here(stream) => stream.outlet.as_ref().map(|outlet| outlet.reader.as_fd()),
            Flow::Away(_) => None,
        }
    }

    /// Whether its thread is done, so that the next [`Self::pump`] tells what came of it.
    pub(crate) fn is_back(&self) -> bool {
        matches!(&self.flow, Flow::Away(flood) if flood.is_done())
    }

    /// Nothing more is wanted.
    pub(crate) fn close(&mut self) {
        match &mut self.flow {
            Flow::Here(stream) => stream.close(),
            Flow::Away(flood) => flood.stop(),
        }
    }

    /// Copies what is there. What is relayed is added to `relayed`. The thread that may take over wakes with what
    /// `waker` gives.
    pub(crate) fn pump(
        &mut self,
        buffer: &mut [u8],
        relayed: &mut Vec<u8>,
        waker: impl FnOnce() -> io::Result<Waker>,
    ) -> io::Result<Pumped> {
        match &mut self.flow {
            Flow::Here(stream) => {
                let pumped = stream.pump(buffer, &self.budget, relayed)?;
                if stream.is_flood() && matches!(pumped, Pumped::More | Pumped::Dry) {
                    // Without a thread it goes on here.
                    if let Ok(flood) = waker().and_then(|waker| Flood::new(stream, &self.budget, waker)) {
                        self.flow = Flow::Away(flood);
                    }
                }
                Ok(pumped)
            }
            Flow::Away(_) => self.take_back().unwrap_or(Ok(Pumped::Dry)),
        }
    }

    /// Copies what is still there; nobody is left who could write more. `None` when a thread has not done so yet. The pipe
    /// itself stays until this is dropped, which takes longer.
    pub(crate) fn pump_rest(
        &mut self,
        buffer: &mut [u8],
        relayed: &mut Vec<u8>,
    ) -> Option<io::Result<Pumped>> {
        match &mut self.flow {
            Flow::Here(stream) => {
                let pumped = stream.pump_rest(buffer, &self.budget, relayed);
                stream.spent = stream.outlet.take();
                let ended = stream.end(relayed);
                Some(pumped.and_then(|pumped| ended.map(|()| pumped)))
            }
            Flow::Away(flood) => {
                flood.stop();
                let pumped = self.take_back()?;
                let Flow::Here(stream) = &mut self.flow else { return Some(pumped) };
                let ended = stream.end(relayed);
                Some(pumped.and_then(|pumped| ended.map(|()| pumped)))
            }
        }
    }

    /// What came of the thread, if it is done.
    fn take_back(&mut self) -> Option<io::Result<Pumped>> {
        let Flow::Away(flood) = &mut self.flow else { return None };
        if !flood.is_done() {
            return None;
        }
        let (stream, pumped) = flood.take_back();
        self.flow = Flow::Here(stream);
        Some(pumped)
    }

    /// What came of it all.
    pub(crate) fn finish(&mut self) -> Captured {
        match &mut self.flow {
            Flow::Here(stream) => stream.finish(),
            Flow::Away(flood) => {
                flood.stop();
                flood.take_back().0.finish()
            }
        }
    }
}

/// Where a stream comes from, where it goes, and what is known of it.
#[derive(Debug, Default)]
struct Stream {
    outlet: Option<Outlet>,
    /// What was read to its end.
    spent: Option<Outlet>,
    sink: Sink,
    /// Where there are secrets: everything goes through it.
    masker: Option<Box<Masker>>,
    file: Option<File>,
    hasher: Option<sha2::Sha256>,
    bytes: u64,
    tail: VecDeque<u8>,
}

impl Stream {
    fn close(&mut self) {
        self.outlet = None;
    }

    /// Whether it is worth a thread of its own.
    fn is_flood(&self) -> bool {
        self.bytes > FLOOD && matches!(self.sink, Sink::File(..) | Sink::Append(..))
    }

    /// Copies what is there.
    fn pump(&mut self, buffer: &mut [u8], budget: &Budget, relayed: &mut Vec<u8>) -> io::Result<Pumped> {
        for _ in 0..READS_IN_A_ROW {
            let Some(outlet) = &mut self.outlet else { return Ok(Pumped::Closed) };
            let read = match outlet.reader.read(buffer) {
                Ok(0) => {
                    self.close();
                    return Ok(Pumped::Closed);
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Pumped::Dry),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if self.bytes == 0 {
                widen(&outlet.reader);
            }
            let taken = budget.spend(read);
            match &mut self.masker {
                None => self.keep(&buffer[..taken], relayed)?,
                Some(masker) => {
                    let mut masked = Vec::with_capacity(taken);
                    masker.push(&buffer[..taken], &mut masked);
                    self.keep(&masked, relayed)?;
                }
            }
            if taken < read {
                return Ok(Pumped::Full);
            }
            if read < buffer.len() {
                // Short of a full buffer the pipe was emptied; asking again would only say so.
                return Ok(Pumped::Dry);
            }
            if self.is_flood() {
                return Ok(Pumped::More);
            }
        }
        Ok(Pumped::More)
    }

    /// Copies what is still there. A process out of reach may hold the pipe and flood it: after a pipe's worth it is cut
    /// off.
    fn pump_rest(&mut self, buffer: &mut [u8], budget: &Budget, relayed: &mut Vec<u8>) -> io::Result<Pumped> {
        let most = self.bytes + PIPE as u64;
        loop {
            match self.pump(buffer, budget, relayed)? {
                Pumped::More if self.bytes <= most => {}
                pumped => return Ok(pumped),
            }
        }
    }

    /// Nothing more comes: what was held back, because it could have been the beginning of a secret, is kept, too.
    fn end(&mut self, relayed: &mut Vec<u8>) -> io::Result<()> {
        let Some(mut masker) = self.masker.take() else { return Ok(()) };
        let mut rest = Vec::new();
        masker.finish(&mut rest);
        self.keep(&rest, relayed)
    }

    fn keep(&mut self, bytes: &[u8], relayed: &mut Vec<u8>) -> io::Result<()> {
        self.take(bytes)?;
        if matches!(self.sink, Sink::Relay) {
            relayed.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        if let Sink::File(directory, name) | Sink::Append(directory, name) = &self.sink {
            let failed = |verb, error| at(&directory.path(name), verb, &error);
            if self.file.is_none() {
                let opened = match &self.sink {
                    Sink::Append(..) => directory.append(name),
                    _ => directory.create(name),
                };
                self.file = Some(opened.map_err(|error| failed("create", error))?);
            }
            if let Some(file) = &mut self.file {
                file.write_all(bytes).map_err(|error| failed("write to", error))?;
            }
            self.hasher.get_or_insert_default().update(bytes);
        }
        let most = if let Sink::Ring(most) = self.sink { most } else { TAIL };
        let kept = &bytes[bytes.len().saturating_sub(most)..];
        let surplus = (self.tail.len() + kept.len()).saturating_sub(most);
        self.tail.drain(..surplus);
        self.tail.extend(kept);
        Ok(())
    }

    fn finish(&mut self) -> Captured {
        let hasher = self.hasher.take().unwrap_or_default();
        let tail = std::mem::take(&mut self.tail).into();
        Captured { bytes: self.bytes, sha256: hasher.finalize().into(), tail }
    }
}

fn at(path: &std::path::Path, verb: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {verb} `{}`: {error}", path.display()))
}

/// A process that prints much waits less often for a reader of a wider pipe.
#[cfg(target_os = "linux")]
fn widen(pipe: &File) {
    // Where the user's share of pipe memory is used up, the pipe stays as it is.
    let _ = [PIPE, PIPE / 4].iter().any(|size| rustix::pipe::fcntl_setpipe_size(pipe, *size).is_ok());
}

#[cfg(not(target_os = "linux"))]
fn widen(_: &File) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(bytes: &[u8]) -> Captured {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).unwrap();
        let outlet = Outlet { reader: reader.into(), writer: None };
        let mut capture = Capture::new(outlet, Sink::Tail, None, Budget::new(1_000_000));
        let mut writer = File::from(writer);
        let mut buffer = [0; 100];
        for piece in bytes.chunks(70) {
            writer.write_all(piece).unwrap();
            capture.pump(&mut buffer, &mut Vec::new(), || unreachable!("no flood")).unwrap();
        }
        capture.finish()
    }

    #[test]
    fn the_tail_is_the_last_kibibyte_cut_at_a_character() {
        let text = "ä".repeat(600) + "x";
        let captured = captured(text.as_bytes());
        assert_eq!(captured.bytes, 1201);
        assert_eq!(captured.tail.len(), TAIL);
        assert_eq!(captured.tail_text(), "ä".repeat(511) + "x");
    }

    #[test]
    fn a_short_stream_is_its_own_tail() {
        assert_eq!(captured(b"\xffhi").tail_text(), "\u{fffd}hi");
    }
}
