//! Filters and tests: minijinja looks for them when it gets to them, which is too late for a check.

use minijinja::ErrorKind;

use super::{LENIENT, TemplateError, bounds, is_word};

/// Whether all filters and tests of a text are known.
pub(super) fn text(source: &str) -> Result<(), TemplateError> {
    if !source.contains('|') && !source.contains(" is ") && !source.contains("filter") {
        return Ok(());
    }
    bounds::insides(&bounds::without_raw(source)).try_for_each(expression)
}

/// Whether all filters and tests of an expression are known.
pub(super) fn expression(expression: &str) -> Result<(), TemplateError> {
    let mut rest = expression.trim_start_matches(['-', '+']).trim_start();
    // A block that applies one to all of its text.
    let mut before = if rest.starts_with("filter ") { "|" } else { "" };
    if before == "|" {
        rest = &rest["filter ".len()..];
    }
    while let Some(c) = rest.chars().next() {
        let (token, after) = token(rest, c);
        match before {
            "|" if is_word(c) => known(&format!("0|{token}"), ErrorKind::UnknownFilter)?,
            "is" if is_word(c) && token != "not" => known(&format!("0 is {token}"), ErrorKind::UnknownTest)?,
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

/// Whether an expression fails for anything else than that a word of it is unknown.
fn known(trial: &str, unknown: ErrorKind) -> Result<(), TemplateError> {
    let tried = LENIENT.compile_expression(trial).and_then(|trial| trial.eval(()));
    match tried {
        Err(error) if error.kind() == unknown => Err(TemplateError { line: None, ..error.into() }),
        _ => Ok(()),
    }
}
