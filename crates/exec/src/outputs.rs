//! `OMNE_OUTPUT`: what a node gives to later ones.

use std::io;

use omne_events::{ErrorKind, Outputs};
use omne_process::{Directory, Mask};

use crate::node::verdict::Failure;

/// The most that a node may give, in bytes of keys and values.
const MOST: usize = 32 * 1024;
/// The most that it may take as JSON, where control characters grow.
const MOST_ENCODED: usize = 48 * 1024;

/// Why a node's outputs are not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputsError {
    /// A line is not of the form.
    Malformed(String),
    /// It is too much.
    TooLarge(String),
}

/// Reads `key=value` lines and `key<<END … END` blocks. Of two values for a key the later one counts.
///
/// # Errors
/// With the line and what is wrong.
pub fn parse_outputs(bytes: &[u8]) -> Result<Outputs, OutputsError> {
    let too_large = |what: &str| {
        let message = format!("the outputs are more than {what}; write a file and give its path instead");
        OutputsError::TooLarge(message)
    };
    if bytes.len() > 4 * MOST {
        return Err(too_large("32 KiB in all"));
    }
    let malformed =
        |line: usize, what: &str| OutputsError::Malformed(format!("OMNE_OUTPUT, line {line}: {what}"));
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        malformed(line, "it is not UTF-8")
    })?;
    let mut outputs = Outputs::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let (equals, block) = (line.find('='), line.find("<<"));
        let (key, value) = match (equals, block) {
            (equals, Some(block)) if equals.is_none_or(|equals| block < equals) => {
                let (key, end) = (&line[..block], line[block + 2..].trim());
                if end.is_empty() {
                    return Err(malformed(number + 1, "`<<` needs a word that ends the block"));
                }
                let mut value = Vec::new();
                loop {
                    match lines.next() {
                        Some((_, line)) if line.trim_end() == end => break,
                        Some((_, line)) => value.push(line),
                        None => {
                            return Err(malformed(
                                number + 1,
                                &format!("the block is not ended by a line `{end}`"),
                            ));
                        }
                    }
                }
                (key, value.join("\n"))
            }
            (Some(equals), _) => (&line[..equals], line[equals + 1..].to_owned()),
            (None, _) => return Err(malformed(number + 1, "it is neither `key=value` nor `key<<END`")),
        };
        let key = key.trim();
        if !is_key(key) {
            let what =
                format!("`{}` is not a key: use letters, digits, `_`, `-` and `.`", key.escape_debug());
            return Err(malformed(number + 1, &what));
        }
        if value.contains('\0') {
            return Err(malformed(number + 1, "a NUL character can not be passed on"));
        }
        outputs.insert(key.into(), value);
    }
    let raw: usize = outputs.iter().map(|(key, value)| key.len() + value.len()).sum();
    let escaped = |text: &str| {
        text.chars()
            .map(|c| match c {
                '"' | '\\' | '\n' | '\r' | '\t' | '\x08' | '\x0c' => 2,
                '\0'..' ' => 6,
                c => c.len_utf8(),
            })
            .sum::<usize>()
    };
    let encoded: usize = outputs.iter().map(|(key, value)| key.len() + escaped(value) + 6).sum();
    match (raw > MOST, encoded > MOST_ENCODED) {
        (true, _) => Err(too_large("32 KiB in all")),
        (false, true) => {
            Err(too_large("48 KiB as JSON, in which quotes and control characters take more room"))
        }
        (false, false) => Ok(outputs),
    }
}

fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// What the node wrote to its `OMNE_OUTPUT`; the file is not needed any more.
pub(crate) fn take_outputs(
    directory: &Directory,
    name: &str,
    mask: Option<&Mask>,
) -> Result<Option<Outputs>, Failure> {
    let Some(bytes) = read_outputs(directory, name, mask)? else { return Ok(None) };
    // If it can't be removed it is in nobody's way: each attempt has its own.
    let _ = directory.remove(name);
    outputs_of(&bytes)
}

/// What the node wrote to its `OMNE_OUTPUT` so far, without what `mask` hides; `None` when nothing.
pub(crate) fn read_outputs(
    directory: &Directory,
    name: &str,
    mask: Option<&Mask>,
) -> Result<Option<Vec<u8>>, Failure> {
    use std::io::Read;
    const MOST_READ: u64 = 256 * 1024;
    // A node could put a link or a pipe there; neither is followed or waited for.
    let file = match directory.read(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened,
    };
    let mut bytes = Vec::new();
    file.and_then(|file| file.take(MOST_READ).read_to_end(&mut bytes))
        .map_err(|error| Failure::new(ErrorKind::Crash, format!("cannot read OMNE_OUTPUT: {error}")))?;
    Ok(Some(match mask {
        None => bytes,
        Some(mask) => mask.bytes(&bytes).into_owned(),
    }))
}

/// The outputs in the bytes of such a file.
pub(crate) fn outputs_of(bytes: &[u8]) -> Result<Option<Outputs>, Failure> {
    match parse_outputs(bytes) {
        Ok(outputs) => Ok((!outputs.is_empty()).then_some(outputs)),
        Err(OutputsError::Malformed(message)) => Err(Failure::new(ErrorKind::Crash, message)),
        Err(OutputsError::TooLarge(message)) => Err(Failure::new(ErrorKind::OutputLimit, message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse_outputs(text.as_bytes()).unwrap().into_iter().map(|(k, v)| (k.to_string(), v)).collect()
    }

    #[test]
    fn lines_and_blocks_are_read() {
        let text = "risk=low\nurl=https://x/?a=b<<c\n\nnotes<<END\nline 1\nrisk=high\nEND\nempty=\n";
        let pairs =
            [("empty", ""), ("notes", "line 1\nrisk=high"), ("risk", "low"), ("url", "https://x/?a=b<<c")];
        assert_eq!(parsed(text), pairs.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn the_later_value_counts() {
        assert_eq!(parsed("a=1\na=2\n"), [("a".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn what_is_malformed_is_told_by_line() {
        for (text, part) in [
            ("a=1\nnonsense", "line 2: it is neither"),
            ("1a=1", "`1a` is not a key"),
            ("a b=1", "`a b` is not a key"),
            ("a<<END\nx", "not ended by a line `END`"),
            ("a<<\nx", "needs a word"),
            ("a=\0", "NUL"),
        ] {
            let Err(OutputsError::Malformed(message)) = parse_outputs(text.as_bytes()) else {
                panic!("{text}")
            };
            assert!(message.contains(part), "{message}");
        }
        assert!(
            matches!(parse_outputs(b"ok=1\n\xff=2"), Err(OutputsError::Malformed(m)) if m.contains("line 2"))
        );
    }

    #[test]
    fn too_much_is_refused_raw_and_as_json() {
        assert!(parse_outputs(format!("a={}", "x".repeat(MOST - 1)).as_bytes()).is_ok());
        let lines = format!("a<<END\n{}END\n", "1234\n".repeat(MOST / 5));
        assert!(parse_outputs(lines.as_bytes()).is_ok());
        for text in [
            format!("a={}", "x".repeat(MOST)),
            format!("a={}", "\u{1}".repeat(MOST / 2)),
            "a=b\n".repeat(MOST + 1),
        ] {
            assert!(matches!(parse_outputs(text.as_bytes()), Err(OutputsError::TooLarge(_))));
        }
    }
}
