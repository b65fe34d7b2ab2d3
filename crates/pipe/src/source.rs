//! A file's bytes, and the part of them that is looked at: a pipe's YAML, a command's prompt.

use std::sync::{LazyLock, OnceLock};

use crate::{codes::Code, diagnostic::Diagnostic, tree::Span};

/// The largest pipe file: a pipe of 100,000 nodes takes about a third of it.
pub(crate) const MOST_BYTES: usize = 32 * 1024 * 1024;

/// A file in which faults may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    /// Byte range of what is looked at in `text`.
    part: std::ops::Range<usize>,
    /// The file's line in which that begins.
    first_line: u32,
    from_log: bool,
    /// Where each line begins, once somebody asks: there may be a fault on every line of a large file.
    line_starts: OnceLock<Vec<usize>>,
}

impl Source {
    /// The most bytes that are worth reading of a file: one more than a pipe may have.
    pub const READ_LIMIT: u64 = MOST_BYTES as u64 + 1;

    /// The file called `name`, by whose ending it is known whether it is Markdown.
    ///
    /// # Errors
    /// When the bytes can not be a pipe; the given [`Source`] is empty then and only names the file.
    pub fn new(name: &str, bytes: Vec<u8>) -> Result<Self, Box<(Self, Diagnostic)>> {
        let nothing = Self {
            name: name.to_owned(),
            text: String::new(),
            part: 0..0,
            first_line: 1,
            from_log: false,
            line_starts: OnceLock::new(),
        };
        let fault =
            |code, at, message: &str, help: &str| Diagnostic::error(code, at, message.to_owned()).help(help);
        if bytes.len() > MOST_BYTES {
            let (message, help) =
                ("the file is larger than 32 MiB", "no pipe is that large; is this the right file?");
            return Err(Box::new((nothing, fault(Code::TooLarge, Span::default(), message, help))));
        }
        let no_text = |bytes: &[u8], at, message: &str, help: &str| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let fault = fault(Code::NotText, position(bytes, at), message, help);
            Err(Box::new((Self { text, ..nothing.clone() }, fault)))
        };
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                return no_text(
                    error.as_bytes(),
                    at,
                    "the file is not UTF-8",
                    "save it with the encoding UTF-8",
                );
            }
        };
        if let Some(at) = text.find('\0') {
            let help = "a pipe is a text file; is this the right file?";
            return no_text(text.as_bytes(), at, "the file has a NUL byte", help);
        }
        let text = with_whole_characters(text);
        let whole_text = 0..text.len();
        let mut source = Self { part: whole_text, text, ..nothing };
        if name.ends_with(".md")
            && let Err(fault) = source.find_front_matter()
        {
            return Err(Box::new((source, fault)));
        }
        Ok(source)
    }

    /// A command's file, of which `prompt` is the last part.
    pub(crate) fn command(name: String, text: &str, prompt: &str) -> Self {
        let before = &text[..text.len() - prompt.len()];
        Self {
            name,
            text: text.to_owned(),
            part: before.len()..text.len(),
            first_line: after(line_ends(before).count()),
            from_log: false,
            line_starts: OnceLock::new(),
        }
    }

    /// A definition that came from a log: nothing in it has a place that could be shown.
    pub(crate) fn definition() -> Self {
        Self {
            name: "definition".into(),
            text: String::new(),
            part: 0..0,
            first_line: 1,
            from_log: true,
            line_starts: OnceLock::new(),
        }
    }

    /// Whether it came from a log.
    pub(crate) fn is_from_log(&self) -> bool {
        self.from_log
    }

    fn find_front_matter(&mut self) -> Result<(), Diagnostic> {
        let start = if self.text.starts_with('\u{feff}') { 3 } else { 0 };
        let mut lines = self.text[start..].split_inclusive('\n');
        let mut offset = start + lines.next().map_or(0, str::len);
        let top = Span { line: 1, column: 1, length: 1 };
        if self.text[start..offset].trim_end() != "---" {
            let fault = Diagnostic::error(Code::FrontMatter, top, "the file has no front matter".into());
            return Err(
                fault.help("a pipe in Markdown begins with a line `---`, the YAML, and another line `---`")
            );
        }
        let from = offset;
        for line in lines {
            if line.trim_end() == "---" {
                self.part = from..offset;
                self.first_line = after(line_ends(&self.text[..from]).count());
                return Ok(());
            }
            offset += line.len();
        }
        let fault = Diagnostic::error(Code::FrontMatter, top, "the front matter does not end".into());
        Err(fault.help("close it with a line `---`"))
    }

    /// The file's name as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn yaml(&self) -> &str {
        &self.text[self.part.clone()]
    }

    pub(crate) fn first_line(&self) -> u32 {
        self.first_line
    }

    /// Where what is looked at begins.
    pub(crate) fn begins(&self) -> Span {
        Span { line: self.first_line, column: 1, length: 1 }
    }

    pub(crate) fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// The line with that number, from 1.
    pub(crate) fn line(&self, number: u32) -> Option<&str> {
        let starts =
            self.line_starts.get_or_init(|| std::iter::once(0).chain(line_ends(&self.text)).collect());
        let place = number.checked_sub(1)? as usize;
        let from = *starts.get(place)?;
        let to = starts.get(place + 1).copied().unwrap_or(self.text.len());
        Some(self.text[from..to].trim_end_matches(['\r', '\n']))
    }
}

/// Behind the end of each line, by what YAML takes for one: `\\n`, `\\r\\n`, or `\\r` alone.
fn line_ends(text: &str) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    let is_end = |at: &usize| match bytes[*at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    (0..bytes.len()).filter(is_end).map(|at| at + 1)
}

/// The text with escapes of one character each. JSON writes those beyond the basic plane as two, which YAML does not know;
/// a file that is a JSON object is read as one.
fn with_whole_characters(text: String) -> String {
    static PAIR: LazyLock<regex_lite::Regex> = LazyLock::new(|| {
        regex_lite::Regex::new(r"(?i)(\\\\)|\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")
            .unwrap_or_else(|error| unreachable!("{error}"))
    });
    if !text.trim_start().starts_with('{') || !(text.contains("\\ud") || text.contains("\\uD")) {
        return text;
    }
    let whole = |captures: &regex_lite::Captures<'_>| {
        let half = |group| u32::from_str_radix(captures.get(group)?.as_str(), 16).ok();
        match (half(2), half(3)) {
            (Some(high), Some(low)) => {
                format!("\\U{:08x}", 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
            }
            // An escaped backslash: what follows it is no escape.
            _ => captures[0].to_owned(),
        }
    };
    PAIR.replace_all(&text, whole).into_owned()
}

/// The number, from 1, of what comes after so many.
fn after(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1)
}

/// The place of a byte that follows text.
fn position(bytes: &[u8], at: usize) -> Span {
    let before = String::from_utf8_lossy(&bytes[..at]);
    let (lines, begins) = line_ends(&before).fold((0, 0), |(lines, _), end| (lines + 1, end));
    Span { line: after(lines), column: after(before[begins..].chars().count()), length: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_gives_its_front_matter() {
        let source = Source::new("p.md", b"---\nname: x\n---\n# Doc\nname: y\n".to_vec()).unwrap();
        assert_eq!((source.yaml(), source.first_line()), ("name: x\n", 2));
        assert_eq!(source.line(2), Some("name: x"));
    }

    #[test]
    fn json_may_write_a_character_as_two_escapes() {
        let yaml = |text: &str| Source::new("p.json", text.into()).unwrap().yaml().to_owned();
        assert_eq!(yaml(r#"{"a": "\ud83c\uDF89 \u00e4"}"#), r#"{"a": "\U0001f389 \u00e4"}"#);
        for same in [r#"{"a": "\\ud83c\\udf89"}"#, r#"{"a": "\ud83c"}"#, r#"a: '\ud83c\udf89'"#] {
            assert_eq!(yaml(same), same);
        }
    }

    #[test]
    fn what_can_not_be_a_pipe_is_refused_with_its_place() {
        for (bytes, code) in [
            (b"name: \xff".to_vec(), Code::NotText),
            (b"name: \0".to_vec(), Code::NotText),
            (vec![b' '; MOST_BYTES + 1], Code::TooLarge),
        ] {
            assert_eq!(Source::new("p.yaml", bytes).unwrap_err().1.code, code);
        }
        assert_eq!(Source::new("p.md", b"name: x".to_vec()).unwrap_err().1.code, Code::FrontMatter);
        assert_eq!(Source::new("p.md", b"---\nname: x".to_vec()).unwrap_err().1.code, Code::FrontMatter);
    }

    #[test]
    fn a_carriage_return_alone_ends_a_line_as_in_yaml() {
        let source = Source::new("p.yaml", b"a: 1\rb: 2\r\n\r\nc: 3".to_vec()).unwrap();
        let lines: Vec<&str> = (1..).map_while(|line| source.line(line)).collect();
        assert_eq!(lines, ["a: 1", "b: 2", "", "c: 3"]);
        let source = Source::new("p.md", b"---\r\r\nname: x\n---\n".to_vec()).unwrap();
        assert_eq!(source.line(source.first_line()), Some("name: x"));
    }

    #[test]
    fn a_byte_that_is_no_text_is_found_by_line_and_column() {
        assert_eq!(position("ab\nä\u{0}".as_bytes(), 5), Span { line: 2, column: 2, length: 1 });
        let (source, fault) = *Source::new("p.yaml", b"name: x\nversion: \xff1\n".to_vec()).unwrap_err();
        assert_eq!(fault.at, Some(Span { line: 2, column: 10, length: 1 }));
        assert_eq!(source.line(2), Some("version: \u{fffd}1"));
    }
}
