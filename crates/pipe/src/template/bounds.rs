//! What the parser of templates would need more stack for than there is.

use std::{borrow::Cow, sync::LazyLock};

use super::{TemplateError, is_word};

/// The longest expression, in words and signs.
const MOST_WORDS: usize = 2000;
/// How much is looked through at least, in bytes, before a template that is not closed is given up.
const MOST_LOOKED_AT: usize = 10_000_000;

/// What a template is made of besides text.
const KINDS: [(&str, &str); 2] = [("{{", "}}"), ("{%", "%}")];

/// What stands in the braces of a text, quotes not looked at. One that is not closed is given, too.
pub(super) fn insides(templated: &str) -> impl Iterator<Item = &str> {
    KINDS.into_iter().flat_map(move |(begin, end)| {
        templated.split(begin).skip(1).map(move |part| {
            let open = || part.split(['}', '%']).next().unwrap_or_default();
            part.split_once(end).map_or_else(open, |(inside, _)| inside)
        })
    })
}

/// Whether all expressions of a text are such that they can be parsed.
pub(super) fn text(source: &str) -> Result<(), TemplateError> {
    // Each expression is looked through once, but where it is not closed, that is all that follows.
    let mut left = MOST_LOOKED_AT.max(10 * source.len());
    let templated = without_raw(source);
    insides(&templated).try_for_each(expression)?;
    for (begin, end) in KINDS {
        for (at, _) in source.match_indices(begin) {
            // What ends it may stand in quotes. In a text that is no template, a quote may be none.
            let looked_at = bounded(&source[at..], Some(end), 10 * MOST_WORDS)?;
            left = left.checked_sub(looked_at).ok_or_else(|| TemplateError {
                message: format!("many `{begin}` without `{end}`"),
                line: None,
            })?;
        }
    }
    if source.matches("elif").count() > MOST_WORDS {
        return Err(TemplateError { message: format!("more than {MOST_WORDS} `elif`"), line: None });
    }
    Ok(())
}

/// Whether no signs stand in a row that the parser would have to call itself for: it bounds the depth of brackets. A
/// chain of operators becomes as deep as it is long, so that its length is bounded.
pub(super) fn expression(expression: &str) -> Result<(), TemplateError> {
    const MOST: usize = 100;
    bounded(expression, None, MOST_WORDS)?;
    let (mut signs, mut nots) = (0, 0);
    for word in expression.split_whitespace() {
        nots = if word == "not" { nots + 1 } else { 0 };
        for c in word.chars() {
            signs = if c == '-' { signs + 1 } else { 0 };
            if signs > MOST || nots > MOST {
                let message = format!("more than {MOST} `-` or `not` stand in a row");
                return Err(TemplateError { message, line: None });
            }
        }
    }
    Ok(())
}

/// The text with blanks for comments and for what is to stay as it is: all else stands where it stood.
pub(super) fn without_raw(source: &str) -> Cow<'_, str> {
    static PATTERN: LazyLock<regex_lite::Regex> = LazyLock::new(|| {
        regex_lite::Regex::new(r"(?s)\{#.*?#\}|\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}")
            .unwrap_or_else(|error| unreachable!("{error}"))
    });
    match source.contains("{#") || source.contains("raw") {
        true => PATTERN.replace_all(source, |captures: &regex_lite::Captures<'_>| {
            let blank = |byte: u8| if byte == b'\n' { '\n' } else { ' ' };
            captures[0].bytes().map(blank).collect::<String>()
        }),
        false => Cow::Borrowed(source),
    }
}

/// The length up to `end`, if there are at most so many words and signs, each text in quotes as one.
fn bounded(expression: &str, end: Option<&str>, most: usize) -> Result<usize, TemplateError> {
    let (mut words, mut in_word, mut signs) = (0, false, 0);
    let mut chars = expression.chars();
    loop {
        let is_over = end.is_some_and(|end| chars.as_str().starts_with(end));
        let Some(c) = chars.next().filter(|_| !is_over) else {
            return Ok(expression.len() - chars.as_str().len());
        };
        let is_word = is_word(c);
        let begins = !(is_word && in_word);
        words += usize::from(begins && !c.is_whitespace());
        in_word = is_word;
        if matches!(c, '"' | '\'') {
            while let Some(inner) = chars.next().filter(|inner| *inner != c) {
                if inner == '\\' {
                    chars.next();
                }
            }
        }
        match c {
            '-' => signs += 1,
            c if c.is_whitespace() => {}
            _ => signs = 0,
        }
        if words > most || signs > most / 4 {
            let message = format!("an expression of more than {most} words and signs");
            return Err(TemplateError { message, line: None });
        }
    }
}
