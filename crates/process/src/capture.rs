//! What a process prints: copied as it comes, in bounded memory, with its
//! digest and its tail. A file is made with its first byte.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::PathBuf,
};

use rustix::fs::{OFlags, fcntl_setfl};
use sha2::Digest as _;

/// How much of the end is kept for messages, in bytes.
const TAIL: usize = 1024;
/// How often one stream is read in one go, so that a flood of one does not starve the others.
const READS_IN_A_ROW: usize = 16;

/// Where a stream goes.
#[derive(Debug, Clone)]
pub enum Sink {
    /// Into this file, made with the first byte; what stood there before is replaced.
    File(PathBuf),
    /// The same, but what stood there before stays before it. Its digest is that of what is added.
    Append(PathBuf),
    /// To whoever waits, piece by piece as it comes; only its tail is kept.
    Relay,
    /// Only its tail is kept.
    Tail,
    /// Only so many of its last bytes are kept.
    Ring(usize),
}

/// What came of a stream.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    /// How many bytes were taken.
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

/// One stream of one process.
#[derive(Debug)]
pub(crate) struct Capture {
    pipe: Option<File>,
    sink: Sink,
    file: Option<File>,
    hasher: Option<sha2::Sha256>,
    bytes: u64,
    tail: VecDeque<u8>,
}

impl Capture {
    pub(crate) fn new(pipe: OwnedFd, sink: Sink) -> io::Result<Self> {
        // A new pipe has no other flags that could be lost.
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok(Self { pipe: Some(pipe.into()), sink, file: None, hasher: None, bytes: 0, tail: VecDeque::new() })
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    pub(crate) fn close(&mut self) {
        self.pipe = None;
    }

    /// Copies what is there, at most `budget` bytes; the budget is reduced by it. What is relayed is added to `relayed`.
    pub(crate) fn pump(
        &mut self,
        buffer: &mut [u8],
        budget: &mut u64,
        relayed: &mut Vec<u8>,
    ) -> io::Result<Pumped> {
        for _ in 0..READS_IN_A_ROW {
            let Some(pipe) = &mut self.pipe else { return Ok(Pumped::Closed) };
            let read = match pipe.read(buffer) {
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
                widen(pipe);
            }
            let taken = read.min(usize::try_from(*budget).unwrap_or(usize::MAX));
            self.take(&buffer[..taken])?;
            if matches!(self.sink, Sink::Relay) {
                relayed.extend_from_slice(&buffer[..taken]);
            }
            *budget -= taken as u64;
            if taken < read {
                return Ok(Pumped::Full);
            }
            if read < buffer.len() {
                // Short of a full buffer the pipe was emptied; asking again would only say so.
                return Ok(Pumped::Dry);
            }
        }
        Ok(Pumped::More)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        let target = match &self.sink {
            Sink::File(path) => Some((path, false)),
            Sink::Append(path) => Some((path, true)),
            Sink::Relay | Sink::Tail | Sink::Ring(_) => None,
        };
        if let Some((path, append)) = target {
            if self.file.is_none() {
                let open = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .append(append)
                    .truncate(!append)
                    .mode(0o600)
                    .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
                    .open(path);
                self.file = Some(open.map_err(|error| at(path, "create", &error))?);
            }
            if let Some(file) = &mut self.file {
                file.write_all(bytes).map_err(|error| at(path, "write to", &error))?;
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

    pub(crate) fn finish(self) -> Captured {
        Captured {
            bytes: self.bytes,
            sha256: self.hasher.unwrap_or_default().finalize().into(),
            tail: self.tail.into(),
        }
    }
}

fn at(path: &std::path::Path, verb: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {verb} `{}`: {error}", path.display()))
}

/// A process that prints much waits less often for a reader of a wider pipe.
#[cfg(target_os = "linux")]
fn widen(pipe: &File) {
    // Where the user's share of pipe memory is used up, the pipe stays as it is.
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1024 * 1024);
}

#[cfg(not(target_os = "linux"))]
fn widen(_: &File) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(bytes: &[u8]) -> Captured {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut capture = Capture::new(reader, Sink::Tail).unwrap();
        let mut writer = File::from(writer);
        let mut buffer = [0; 100];
        for piece in bytes.chunks(70) {
            writer.write_all(piece).unwrap();
            capture.pump(&mut buffer, &mut 1_000_000, &mut Vec::new()).unwrap();
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
