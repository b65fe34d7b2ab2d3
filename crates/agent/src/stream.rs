//! What agents print while they work, as it comes: any split of the bytes
//! gives the same items, and no line, however long, grows the process.

mod claude;
mod codex;
mod gemini;
mod json;
mod lines;
mod text;

use std::{borrow::Cow, collections::HashSet};

use omne_events::{Digest, Usage};
use serde_json::Value;
use smol_str::SmolStr;

use crate::{Dialect, Exit, Verdict, summary::summary};
use lines::Lines;

/// Something that an agent said or did.
#[derive(Debug, PartialEq)]
pub enum Item<'a> {
    /// Who it is.
    Session {
        /// Its session.
        id: Option<&'a str>,
        /// The model that it uses.
        model: Option<&'a str>,
        /// The program's own version.
        version: Option<&'a str>,
    },
    /// A piece of the assistant's own text.
    Text(&'a str),
    /// A block of text ends: what follows begins a new line.
    TextEnd,
    /// A piece of text that will come again as [`Item::Text`]: for display alone.
    Partial(&'a str),
    /// It used a tool.
    Tool(ToolCall),
}

/// A use of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool's name.
    pub name: SmolStr,
    /// The agent's id of the call.
    pub id: String,
    /// The digest of the tool's input as compact JSON.
    pub input_sha256: Digest,
    /// The call in one line.
    pub summary: Option<String>,
    /// The tool's input.
    pub input: Value,
}

impl ToolCall {
    fn new(name: &str, id: &str, input: Value) -> Self {
        let input_sha256 = Digest::of(input.to_string());
        Self { name: name.into(), id: id.to_owned(), input_sha256, summary: summary(&input), input }
    }
}

/// What an agent told of itself so far.
#[derive(Debug, Clone, Default)]
struct Told {
    usage: Option<Usage>,
    denied: Vec<SmolStr>,
    /// The same, to tell which are new.
    ever_denied: HashSet<SmolStr>,
    spoke: bool,
    acted: bool,
    /// Lines that were too long to be read.
    dropped: u64,
}

impl Told {
    /// It was refused a tool.
    fn denied(&mut self, tool: &str) {
        if self.ever_denied.insert(tool.into()) {
            self.denied.push(tool.into());
        }
    }
}

type Sink<'a> = dyn FnMut(Item<'_>) + 'a;

/// One dialect's way to read lines.
trait Read {
    /// Whether a line that begins like this says nothing that anybody needs.
    fn is_idle(&self, head: &[u8]) -> bool;
    /// Takes a line without its newline.
    fn line(&mut self, line: &[u8], told: &mut Told, sink: &mut Sink<'_>);
    /// There will be no more lines.
    fn end(&mut self, _: &mut Told, _: &mut Sink<'_>) {}
    /// What it means that the process ended so.
    fn verdict(&self, told: &Told, exit: Exit, stderr: &str) -> Verdict;
}

/// Reads an agent's standard output.
#[derive(Debug)]
pub struct Parser {
    lines: Lines,
    told: Told,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Claude(claude::Claude),
    Codex(codex::Codex),
    Gemini(gemini::Gemini),
    Text(text::Text),
}

impl Reader {
    /// The reader of lines, or that of text, which is no lines of something.
    fn get(&mut self) -> Result<&mut dyn Read, &mut text::Text> {
        match self {
            Reader::Claude(reader) => Ok(reader),
            Reader::Codex(reader) => Ok(reader),
            Reader::Gemini(reader) => Ok(reader),
            Reader::Text(text) => Err(text),
        }
    }
}

impl Parser {
    /// Nothing read yet.
    pub fn new(dialect: Dialect) -> Self {
        let reader = match dialect {
            Dialect::Claude => Reader::Claude(claude::Claude::default()),
            Dialect::Codex => Reader::Codex(codex::Codex::default()),
            Dialect::Gemini => Reader::Gemini(gemini::Gemini::default()),
            Dialect::Text => Reader::Text(text::Text::default()),
        };
        Self { lines: Lines::default(), told: Told::default(), reader }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8], sink: &mut Sink<'_>) {
        let Self { lines, told, reader } = self;
        let reader = match reader.get() {
            Ok(reader) => reader,
            Err(text) => return text.push(bytes, told, sink),
        };
        told.dropped += lines.push(bytes, reader, &mut |reader, line| reader.line(line, told, sink));
    }

    /// There will be no more bytes: a last line without its newline counts, too.
    pub fn end(&mut self, sink: &mut Sink<'_>) {
        let Self { lines, told, reader } = self;
        let reader = match reader.get() {
            Ok(reader) => reader,
            Err(text) => return text.end(told, sink),
        };
        if let Some(line) = lines.end() {
            reader.line(&line, told, sink);
        }
        reader.end(told, sink);
    }

    /// What it means that the process ended so, after [`Self::end`]. `stderr` is the end of what it printed there.
    pub fn verdict(&self, exit: Exit, stderr: &str) -> Verdict {
        let reader: &dyn Read = match &self.reader {
            Reader::Claude(reader) => reader,
            Reader::Codex(reader) => reader,
            Reader::Gemini(reader) => reader,
            Reader::Text(_) => return text::Text::verdict(&self.told, exit, stderr),
        };
        reader.verdict(&self.told, exit, stderr)
    }

    /// What the agent used, once it has said so.
    pub fn usage(&self) -> Option<Usage> {
        self.told.usage
    }

    /// The tools that it was refused, each once.
    pub fn denied_tools(&self) -> &[SmolStr] {
        &self.told.denied
    }

    /// How many lines were too long to be read: over 16 MiB, and of a kind that may matter.
    pub fn dropped_lines(&self) -> u64 {
        self.told.dropped
    }
}

/// A line as text, with bytes that are no UTF-8 replaced.
///
/// Checked as a whole, it need not be checked text by text.
fn text_of(line: &[u8]) -> Cow<'_, str> {
    // The plain check is several times faster than the one that replaces.
    std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed)
}

/// A line as JSON. Programs print warnings among their lines, too; what one was is in the recording.
fn from_json<'a, T: serde::Deserialize<'a>>(line: &'a str) -> Option<T> {
    serde_json::from_str(line).ok()
}
