//! The lines of a log in bounded memory.

use std::{
    fmt,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::open_plain;

/// No line may be longer than this: what a definition of a million nodes takes, several times over.
const MAX_READ_LINE: usize = 256 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The log.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Reading failed on the way.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The log.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line is longer than any writer makes one.
    #[error("line {line} of `{}` is longer than 256 MiB", path.display())]
    TooLong {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
}

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With a newline, or it is empty.
    Clean,
    /// With bytes that are no whole line: one was being written when the machine or the writer stopped. After a power
    /// cut lines may follow a gap in which the disk has nothing but zeros; what a gap is in, and all behind it, is torn.
    Torn {
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: u64,
    },
}

/// Reads line after line; a torn last line is told apart and never given out.
pub struct LogReader<'a> {
    source: Box<dyn Read + Send + 'a>,
    path: PathBuf,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The offset of `buffer[start]` in the file.
    offset: u64,
    lines: u64,
    /// How many bytes were read behind a gap.
    passed_over: u64,
    tail: Option<Tail>,
}

impl fmt::Debug for LogReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, lines, tail, .. } = self;
        let mut fields = f.debug_struct("LogReader");
        fields.field("path", path).field("offset", offset).field("lines", lines).field("tail", tail);
        fields.finish_non_exhaustive()
    }
}

impl<'a> LogReader<'a> {
    /// Opens the log at `path`.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = open_plain(path).map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
        Ok(Self::new(file, path))
    }

    /// Reads from `source`; `path` names it in errors.
    pub fn new(source: impl Read + Send + 'a, path: &Path) -> Self {
        Self {
            source: Box::new(source),
            path: path.to_owned(),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
            lines: 0,
            passed_over: 0,
            tail: None,
        }
    }

    /// The next line without its newline; `None` at the end or at a torn tail.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, ReadError> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.start..self.end];
            // No line has a zero in it.
            let found = memchr::memchr2(b'\n', 0, &unread[searched..]).map(|found| searched + found);
            if found.is_some_and(|at| unread[at] == 0) {
                self.pass_over_rest()?;
                let bytes = (self.end - self.start) as u64 + self.passed_over;
                self.tail = Some(Tail::Torn { offset: self.offset, bytes });
                return Ok(None);
            }
            if let Some(length) = found {
                let from = self.start;
                self.start += length + 1;
                self.offset += length as u64 + 1;
                self.lines += 1;
                return Ok(Some(&self.buffer[from..from + length]));
            }
            searched = unread.len();
            if searched > MAX_READ_LINE {
                return Err(ReadError::TooLong { path: self.path.clone(), line: self.lines + 1 });
            }
            if self.fill()? == 0 {
                let bytes = (self.end - self.start) as u64;
                self.tail = Some(match bytes {
                    0 => Tail::Clean,
                    _ => Tail::Torn { offset: self.offset, bytes },
                });
                return Ok(None);
            }
        }
    }

    /// Reads what is left and keeps nothing of it but its size.
    fn pass_over_rest(&mut self) -> Result<(), ReadError> {
        loop {
            let read = self.fill()?;
            if read == 0 {
                return Ok(());
            }
            self.end -= read;
            self.passed_over += read as u64;
        }
    }

    /// Reads more behind what is unread, moving or growing the buffer as needed.
    fn fill(&mut self) -> Result<usize, ReadError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < self.end + CHUNK {
            self.buffer.resize((self.end * 2).max(self.end + CHUNK), 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::Read { path: self.path.clone(), source }),
            }
        }
    }

    /// The lines given out so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Where the next line begins in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How the log ends, once [`Self::next_line`] has given `None`.
    pub fn tail(&self) -> Tail {
        self.tail.unwrap_or(Tail::Clean)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes in pieces of the given size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn read(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Tail) {
        let mut reader = LogReader::new(Pieces(bytes, piece), Path::new("log"));
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(line.to_vec());
        }
        (lines, reader.tail())
    }

    #[test]
    fn a_torn_last_line_is_told_apart() {
        assert_eq!(read(b"a\nbc\n", 1), (vec![b"a".to_vec(), b"bc".to_vec()], Tail::Clean));
        assert_eq!(read(b"a\nbc", 1), (vec![b"a".to_vec()], Tail::Torn { offset: 2, bytes: 2 }));
        assert_eq!(read(b"", 1), (vec![], Tail::Clean));
    }

    #[test]
    fn what_follows_a_gap_of_zeros_is_torn() {
        for piece in [1, 3, usize::MAX] {
            let torn = (vec![b"a".to_vec()], Tail::Torn { offset: 2, bytes: 8 });
            assert_eq!(read(b"a\nb\0\0c\nde\n", piece), torn);
            assert_eq!(read(b"\0\n", piece), (vec![], Tail::Torn { offset: 0, bytes: 2 }));
        }
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_read_whole() {
        let mut bytes = vec![b'x'; 3 * CHUNK];
        bytes.push(b'\n');
        assert_eq!(read(&bytes, CHUNK).0[0].len(), 3 * CHUNK);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(bytes in proptest::collection::vec(prop_oneof![3 => Just(b'\n'), 3 => Just(b'a'), 1 => Just(0)], 0..80), piece in 1usize..9) {
            prop_assert_eq!(read(&bytes, piece), read(&bytes, usize::MAX));
        }
    }
}
