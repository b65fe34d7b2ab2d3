//! A fault in a pipe file: what, where, and what to do about it.

use std::{borrow::Cow, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::{Serialize, Serializer};

use crate::{codes::Code, source::Source, tree::Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The pipe can not run.
    Error,
    /// It can, but perhaps not as meant.
    Warning,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable; `omne explain` tells more.
    pub code: Code,
    /// The file it stands in, when that is another than the one that was checked: a command's.
    pub file: Option<Arc<Source>>,
    /// Where; `None` when it is about the whole file.
    pub at: Option<Span>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn error(code: Code, at: Span, message: String) -> Self {
        Self { code, file: None, at: (at.line > 0).then_some(at), message, help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What to do; where nothing better is known, where to read more.
    pub fn advice(&self) -> String {
        self.help
            .clone()
            .unwrap_or_else(|| format!("`omne explain {}` shows what is allowed", self.code.as_str()))
    }

    /// Error or warning, by the code.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// Whether colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// With escape sequences.
    Yes,
    /// Plain text.
    No,
}

/// The fault as text: message, place, the line of the source with a caret, help. `checked` is the file that was checked.
pub fn render(diagnostic: &Diagnostic, checked: &Source, colour: Colour) -> String {
    let source = diagnostic.file.as_deref().unwrap_or(checked);
    let level = match diagnostic.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(visible(&diagnostic.message)).id(diagnostic.code.as_str());
    let mut group = Group::with_title(title);
    let line = diagnostic.at.and_then(|at| Some((at, source.line(at.line)?)));
    match line {
        Some((at, text)) => {
            let (shown, range) = window(text, at);
            let snippet = Snippet::source(shown)
                .line_start(at.line as usize)
                .path(source.name().to_owned())
                .fold(false)
                .annotation(AnnotationKind::Primary.span(range));
            group = group.element(snippet);
        }
        None => group = group.element(annotate_snippets::Origin::path(source.name().to_owned())),
    }
    let advice = diagnostic.advice();
    group = group.element(Level::HELP.message(visible(&advice)));
    let renderer = match colour {
        Colour::Yes => Renderer::styled(),
        Colour::No => Renderer::plain(),
    };
    renderer.render(&[group])
}

/// The line as it may be shown, and the byte range of the place in it. Of a very long line only the part around the place.
fn window(line: &str, at: Span) -> (String, std::ops::Range<usize>) {
    const BEFORE: usize = 80;
    const MOST: usize = 200;
    let column = at.column.saturating_sub(1) as usize;
    let skip = if line.len() > MOST { column.saturating_sub(BEFORE) } else { 0 };
    let shown: Vec<char> = line.chars().skip(skip).take(MOST).map(visible_char).collect();
    let from = (column - skip).min(shown.len());
    let to = (from + at.length as usize).min(shown.len());
    let bytes = |chars: &[char]| chars.iter().map(|c| c.len_utf8()).sum::<usize>();
    let range = bytes(&shown[..from])..bytes(&shown[..to]);
    (shown.into_iter().collect(), range)
}

/// Text in which nothing can command a terminal: control characters other than tab and newline are shown as signs.
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n');
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if c == '\n' { c } else { visible_char(c) }).collect())
}

fn visible_char(c: char) -> char {
    match c {
        '\t' => '\t',
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    }
}

/// The fault as a program reads it.
#[derive(Serialize)]
struct Json<'a> {
    severity: Severity,
    code: &'a str,
    message: &'a str,
    file: &'a str,
    line: Option<u32>,
    column: Option<u32>,
    length: Option<u32>,
    help: String,
}

impl Diagnostic {
    /// The fault as a JSON object with its file's name in it; `checked` is that of the file that was checked.
    pub fn to_json(&self, checked: &str) -> serde_json::Value {
        let file = self.file.as_deref().map_or(checked, Source::name);
        let json = Json {
            severity: self.severity(),
            code: self.code.as_str(),
            message: &self.message,
            file,
            line: self.at.map(|at| at.line),
            column: self.at.map(|at| at.column),
            length: self.at.map(|at| at.length),
            help: self.advice(),
        };
        serde_json::to_value(json).unwrap_or_default()
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
