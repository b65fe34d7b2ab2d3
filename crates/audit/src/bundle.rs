//! A run as one file: its log and its captures, to be sent and read elsewhere.
//! A tar archive in zstd, whose only directory has the run's id.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::{Component, Path, PathBuf},
};

use omne_events::{Digest, LogReader, ReadError, RunId, Tail, open_plain};
use omne_replay::{FoldError, RunState, fold};
use serde::{Deserialize, Serialize};

mod redact;

pub use redact::Redactor;

/// The first bytes of everything in zstd.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// zstd's own default.
const LEVEL: i32 = 3;
const LOG: &str = "events.jsonl";
const NODES: &str = "nodes";
/// The most bytes between two files: their headers, with long names.
const MOST_HEADERS: u64 = 64 * 1024;
/// What was removed.
const REDACTIONS: &str = "redactions.json";
/// The most that is told of what was removed, in bytes: some hundred thousand removals.
const MOST_REDACTIONS: u64 = 64 << 20;

/// What a bundle holds.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Bundled {
    /// How many events.
    pub events: u64,
    /// How many files besides the log.
    pub files: u64,
    /// Their size before they were packed, the log's included, in bytes.
    pub bytes: u64,
    /// The size of a torn end of the log, which is not in it, in bytes.
    pub torn_bytes: u64,
    /// What was removed.
    pub redactions: Redactions,
}

/// What was removed from a bundle.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redactions {
    /// From events.
    pub events: Vec<RedactedEvent>,
    /// From other files.
    pub files: Vec<RedactedFile>,
}

/// An event from which something was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedactedEvent {
    /// Its number.
    pub seq: u64,
    /// How many times the patterns were found in it.
    pub count: u64,
    /// The digest of the line as it was. The line carries it, too: the chain goes on from it.
    pub sha256: Digest,
}

/// A file from which something was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedactedFile {
    /// Its name in `nodes`.
    pub name: String,
    /// How many times the patterns were found in it.
    pub count: u64,
    /// The digest of the file as it was; that of a capture is in the log, too.
    pub was_sha256: Digest,
    /// Its digest now.
    pub sha256: Digest,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It can't be read or written.
    #[error("cannot {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is no bundle, or holds what no bundle holds.
    #[error("`{}` is no bundle of a run: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The log is damaged.
    #[error("the log is damaged")]
    Log(#[from] FoldError),
    /// The patterns match what the log is made of.
    #[error("without what the patterns match, the log could not be read any more: line {line}")]
    Essential {
        /// The line.
        line: u64,
    },
}

/// Packs the run in `directory` into `out`, without what `redactor` finds.
///
/// # Errors
/// When something can't be read or written, the log is damaged, or the patterns match what the log is made of.
pub fn bundle(
    run: &RunId,
    directory: &Path,
    redactor: &Redactor,
    out: &mut dyn Write,
) -> Result<Bundled, BundleError> {
    let log = directory.join(LOG);
    let mut bundled = Bundled::default();
    let failed = |source| BundleError::Io { verb: "write", path: PathBuf::from("the bundle"), source };
    let encoder = zstd::Encoder::new(out, LEVEL).map_err(failed)?;
    let mut archive = tar::Builder::new(encoder);
    let mut name = |below: &str, bytes: &mut dyn Read, length: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_size(length);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, format!("{run}/{below}"), bytes).map_err(failed)
    };
    let mut scratch = Scratch::new()?;
    let tail;
    (bundled.events, tail) = redact::log(&log, redactor, scratch.begin()?, &mut bundled.redactions)?;
    if let Tail::Torn { bytes, .. } = tail {
        bundled.torn_bytes = bytes;
    }
    let length = scratch.length()?;
    bundled.bytes += length;
    name(LOG, scratch.rewound()?, length)?;
    for path in files(&directory.join(NODES))? {
        let reading = |source| BundleError::Io { verb: "read", path: path.clone(), source };
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let mut bytes = open_plain(&path).map_err(reading)?;
        let below = format!("{NODES}/{file}");
        let length = if redactor.is_empty() {
            // A file that is still growing is taken as it is now.
            let length = bytes.metadata().map_err(reading)?.len();
            name(&below, &mut (&mut bytes).take(length), length)?;
            length
        } else {
            let count = redact::lines(BufReader::new(&bytes), redactor, scratch.begin()?).map_err(reading)?;
            let length = scratch.length()?;
            if count > 0 {
                let was_sha256 =
                    Digest::of_reader(&mut open_plain(&path).map_err(reading)?).map_err(reading)?;
                let sha256 = Digest::of_reader(scratch.rewound()?).map_err(failed)?;
                let file = RedactedFile { name: file.to_owned(), count, was_sha256, sha256 };
                bundled.redactions.files.push(file);
            }
            name(&below, scratch.rewound()?, length)?;
            length
        };
        bundled.files += 1;
        bundled.bytes += length;
    }
    if bundled.redactions != Redactions::default() {
        let text = serde_json::to_vec_pretty(&bundled.redactions).map_err(|error| failed(error.into()))?;
        name(REDACTIONS, &mut text.as_slice(), text.len() as u64)?;
    }
    let encoder = archive.into_inner().map_err(failed)?;
    encoder.finish().and_then(|out| out.flush()).map_err(failed)?;
    Ok(bundled)
}

/// The plain files in a directory, by name; none when there is no such directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>, BundleError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(BundleError::Io { verb: "read", path: directory.to_owned(), source }),
    };
    let is_plain = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    let mut files: Vec<PathBuf> = entries.flatten().filter(is_plain).map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// A nameless file for what has to be whole before its size is known.
struct Scratch(File);

impl Scratch {
    fn new() -> Result<Self, BundleError> {
        tempfile::tempfile().map(Self).map_err(Self::failed)
    }

    fn failed(source: io::Error) -> BundleError {
        BundleError::Io { verb: "write", path: std::env::temp_dir(), source }
    }

    fn begin(&mut self) -> Result<&mut File, BundleError> {
        self.0.set_len(0).map_err(Self::failed)?;
        self.rewound()
    }

    fn length(&self) -> Result<u64, BundleError> {
        self.0.metadata().map(|found| found.len()).map_err(Self::failed)
    }

    fn rewound(&mut self) -> Result<&mut File, BundleError> {
        io::Seek::rewind(&mut self.0).map_err(Self::failed)?;
        Ok(&mut self.0)
    }
}

/// Whether a file is in zstd, as bundles are. What comes out of a pipe is none: looking at it would take it away.
pub fn is_bundle(path: &Path) -> bool {
    let mut begin = [0; 4];
    open_plain(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok() && begin == MAGIC
}

/// A bundle in a directory of its own.
#[derive(Debug)]
pub struct Unpacked {
    /// The directory; it goes with this.
    directory: tempfile::TempDir,
    run: RunId,
    /// What was removed.
    pub redactions: Redactions,
}

impl Unpacked {
    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join(LOG)
    }

    /// Where its captures are.
    pub fn nodes(&self) -> PathBuf {
        self.directory.path().join(NODES)
    }
}

/// Unpacks a bundle where only this user can read it.
///
/// # Errors
/// When it can't be read, or holds anything but plain files where a bundle has them.
pub fn unpack(path: &Path) -> Result<Unpacked, BundleError> {
    let foreign = |why: &str| BundleError::Foreign { path: path.to_owned(), why: why.to_owned() };
    let reading = |source: io::Error| match source.kind() {
        // What the archive or its compression says of itself.
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            BundleError::Foreign { path: path.to_owned(), why: source.to_string() }
        }
        _ => BundleError::Io { verb: "read", path: path.to_owned(), source },
    };
    let directory = tempfile::tempdir().map_err(Scratch::failed)?;
    fs::create_dir(directory.path().join(NODES)).map_err(Scratch::failed)?;
    let decoder = File::open(path).and_then(zstd::Decoder::new).map_err(reading)?;
    let left = Cell::new(MOST_HEADERS);
    let mut archive = tar::Archive::new(Rationed { source: decoder, left: &left });
    let mut run: Option<RunId> = None;
    for entry in archive.entries().map_err(reading)? {
        let mut entry = entry.map_err(reading)?;
        // What is in files goes to the disk as it comes.
        left.set(u64::MAX);
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(foreign("something in it is not a plain file"));
        }
        let name = entry.path().map_err(reading)?.into_owned();
        let parts: Vec<&str> = name
            .components()
            .map(|part| match part {
                Component::Normal(part) => part.to_str().unwrap_or(""),
                _ => "",
            })
            .collect();
        let (of, below) = match parts[..] {
            [of, LOG] => (of, PathBuf::from(LOG)),
            [of, REDACTIONS] => (of, PathBuf::from(REDACTIONS)),
            [of, NODES, file] if !file.is_empty() => (of, Path::new(NODES).join(file)),
            _ => return Err(foreign("it holds files that are no part of a run")),
        };
        let id = RunId::new(of).map_err(|_| foreign("its directory is not called like a run"))?;
        if run.get_or_insert_with(|| id.clone()) != &id {
            return Err(foreign("it holds more than one run"));
        }
        // Twice the same name is no bundle either.
        let file = File::create_new(directory.path().join(below));
        let mut file = file.map_err(|_| foreign("it holds a file twice"))?;
        io::copy(&mut entry, &mut file).map_err(reading)?;
        left.set(MOST_HEADERS);
    }
    let Some(run) = run else { return Err(foreign("it is empty")) };
    let redactions = match read_small(&directory.path().join(REDACTIONS)) {
        Ok(bytes) if bytes.len() as u64 > MOST_REDACTIONS => {
            return Err(foreign("what was removed from it is told at too great a length"));
        }
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| foreign(&error.to_string()))?,
        Err(_) => Redactions::default(),
    };
    let unpacked = Unpacked { directory, run, redactions };
    if !unpacked.log().exists() {
        return Err(foreign("it holds no log"));
    }
    Ok(unpacked)
}

/// The beginning of a file, up to where it is too large.
fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_REDACTIONS + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives only so much: the headers of an archive, which are held in memory, may be bombs.
struct Rationed<'a, R> {
    source: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Rationed<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("the name of a file in it is longer than any is"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let read = self.source.read(&mut out[..most])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

/// Whether a log can be read to its end.
fn check(log: &mut File) -> Result<(), FoldError> {
    let reading = |source| ReadError::Read { path: LOG.into(), source };
    io::Seek::rewind(log).map_err(reading)?;
    let mut reader = LogReader::new(log, Path::new(LOG));
    fold(RunState::new(), &mut reader, None, &mut |_, _| {}).map(|_| ())
}

#[cfg(test)]
mod tests;
