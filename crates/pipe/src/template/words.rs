//! Filters and tests: minijinja looks for them when it gets to them, which is too late for a check.

use minijinja::ErrorKind;

use super::{LENIENT, TemplateError, bounds, is_word};

/// A word that is no filter or test.
pub(super) struct Unknown<'s> {
    word: &'s str,
    error: TemplateError,
}

/// Whether all filters and tests of a text are known.
pub(super) fn text(source: &str) -> Result<(), TemplateError> {
    if !source.contains('|') && !source.contains(" is ") && !source.contains("filter") {
        return Ok(());
    }
    let templated = bounds::without_raw(source);
    bounds::insides(&templated).try_for_each(expression).map_err(|unknown| {
        // It is a part of that text, in which everything stands where it stands in the source.
        let at = unknown.word.as_ptr().addr().saturating_sub(templated.as_ptr().addr());
        let line = templated.get(..at).map(|before| before.matches('\n').count() + 1);
        TemplateError { line, ..unknown.error }
    })
}

/// Whether all filters and tests of an expression are known.
pub(super) fn expression(expression: &str) -> Result<(), Unknown<'_>> {
    let mut rest = expression.trim_start_matches(['-', '+']).trim_start();
    // A block that applies one to all of its text.
    let mut before = if rest.starts_with("filter ") { "|" } else { "" };
    if before == "|" {
        rest = &rest["filter ".len()..];
    }
    while let Some(c) = rest.chars().next() {
        let (token, after) = token(rest, c);
        match before {
            "|" if is_word(c) => known("|", token, ErrorKind::UnknownFilter)?,
            "is" if is_word(c) && token != "not" => known(" is ", token, ErrorKind::UnknownTest)?,
            _ => {}
        }
        if !(token.trim().is_empty() || before == "is" && token == "not") {
            // What follows a dot is a field, whatever it is called.
            before = if before == "." { "" } else { token };
        }
        rest = after;
    }
    Ok(())
}

/// The next word, sign, text in quotes or blank, and what follows it.
fn token(rest: &str, first: char) -> (&str, &str) {
    let end = match first {
        '"' | '\'' => {
            let mut escaped = false;
            let closes = |(_, c): &(usize, char)| {
                let ends = *c == first && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            };
            rest.char_indices().skip(1).find(closes).map_or(rest.len(), |(at, _)| at + 1)
        }
        c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
        c => c.len_utf8(),
    };
    rest.split_at(end)
}

impl From<Unknown<'_>> for TemplateError {
    fn from(unknown: Unknown<'_>) -> Self {
        unknown.error
    }
}

/// Whether trying the word after that sign fails for anything else than that it is unknown.
fn known<'s>(sign: &str, word: &'s str, unknown: ErrorKind) -> Result<(), Unknown<'s>> {
    let trial = format!("0{sign}{word}");
    let tried = LENIENT.compile_expression(&trial).and_then(|trial| trial.eval(()));
    match tried {
        Err(error) if error.kind() == unknown => {
            Err(Unknown { word, error: TemplateError { line: None, ..error.into() } })
        }
        _ => Ok(()),
    }
}
