//! What an attempt at an AI node leaves: the text, the raw stream, the prompts,
//! and how each try ended, which is what a replay needs besides.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
};

use omne_agent::Exit;
use omne_events::{Digest, Hasher};
use omne_process::Directory;
use serde::{Deserialize, Serialize};

/// How one try ended: one process of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TryEnd {
    /// The loop's round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) iteration: Option<u32>,
    /// Where its bytes begin in the attempt's stream.
    pub(crate) from: u64,
    /// Where they end.
    pub(crate) to: u64,
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<i32>,
    /// The end of what it printed to standard error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) stderr: String,
    /// What it wrote to `OMNE_OUTPUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outputs: Option<String>,
    /// Whether what it wrote there is no text, and `outputs` only looks like it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) outputs_malformed: bool,
    /// Why it was ended from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
}

/// Why a try was ended from outside, where a replay ends it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// The node's time was up.
    Timeout,
    /// It was silent for too long.
    Idle,
    /// It printed too much.
    OutputLimit,
}

impl TryEnd {
    pub(crate) fn exit(&self) -> Exit {
        Exit { code: self.exit_code, signal: self.signal }
    }
}

/// The files of an attempt, by their names in `nodes/`.
pub(crate) struct Names<'a> {
    pub(crate) node: &'a str,
    pub(crate) attempt: u32,
}

impl Names<'_> {
    pub(crate) fn stream(&self) -> String {
        format!("{}.{}.stream.jsonl", self.node, self.attempt)
    }

    pub(crate) fn tries(&self) -> String {
        format!("{}.{}.tries.jsonl", self.node, self.attempt)
    }

    pub(crate) fn prompt(&self, iteration: Option<u32>) -> String {
        let iteration = iteration.map(|n| format!("-{n}")).unwrap_or_default();
        format!("{}.{}.prompt{iteration}.md", self.node, self.attempt)
    }
}

/// A file that is made with its first byte.
#[derive(Debug)]
pub(crate) struct Lazy {
    directory: Directory,
    name: String,
    file: Option<File>,
    mode: Mode,
    pub(crate) bytes: u64,
}

impl Lazy {
    /// A new file; one that is there is replaced.
    pub(crate) fn new(directory: Directory, name: String) -> Self {
        Self { directory, name, file: None, mode: Mode::Replace, bytes: 0 }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let explain = |verb: &str, error: &io::Error| {
            let path = self.directory.path(&self.name);
            io::Error::new(error.kind(), format!("cannot {verb} `{}`: {error}", path.display()))
        };
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let opened = match self.mode {
                    Mode::Replace => self.directory.create(&self.name),
                    Mode::Append => self.directory.append(&self.name),
                };
                self.file.insert(opened.map_err(|e| explain("create", &e))?)
            }
        };
        file.write_all(bytes).map_err(|e| explain("write to", &e))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// What becomes of what is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Replace,
    Append,
}

/// The agent's text, with its digest.
#[derive(Debug)]
pub(crate) struct Text {
    file: Lazy,
    hasher: Hasher,
    at_line_start: bool,
}

impl Text {
    pub(crate) fn new(directory: Directory, name: String) -> Self {
        Self { file: Lazy::new(directory, name), hasher: Hasher::new(), at_line_start: true }
    }

    /// Goes on after what is there.
    pub(crate) fn go_on(directory: Directory, name: String) -> io::Result<Self> {
        let mut text = Self::new(directory, name);
        text.file.mode = Mode::Append;
        let mut before: File = match text.file.directory.read(&text.file.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(text),
            opened => opened?,
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = before.read(&mut buffer)?;
            if read == 0 {
                return Ok(text);
            }
            text.hasher.update(&buffer[..read]);
            text.file.bytes += read as u64;
            text.at_line_start = buffer[read - 1] == b'\n';
        }
    }

    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.write(text.as_bytes())?;
        self.hasher.update(text.as_bytes());
        self.at_line_start = if text.is_empty() { self.at_line_start } else { text.ends_with('\n') };
        Ok(())
    }

    pub(crate) fn end_line(&mut self) -> io::Result<()> {
        if self.at_line_start { Ok(()) } else { self.write("\n") }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.file.bytes
    }

    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }
}

/// Writes a whole file.
pub(crate) fn write_whole(directory: &Directory, name: &str, bytes: &[u8]) -> io::Result<()> {
    directory.create(name)?.write_all(bytes)
}

/// Adds a line to a file.
pub(crate) fn add_line(directory: &Directory, name: &str, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    directory.append(name)?.write_all(&bytes)
}
