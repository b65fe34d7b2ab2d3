//! Text into markup. What comes from logs and captures may be written by
//! anybody; nothing of it may become markup, script, or a command to a reader's
//! eye.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use omne_pipe::format_duration;
use omne_replay::{NodePhase, NodeRecord, RunPhase, RunState};

/// Text as it may stand in HTML and XML, between tags and in quoted attributes. Control characters and those that turn
/// the direction of writing are shown as signs; tab and newline stay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: AsRef<str>> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_visible(self.0.as_ref(), f, |c| match c {
            '"' => Some("&quot;"),
            '\'' => Some("&#39;"),
            c => entity(c),
        })
    }
}

/// The same for between tags only: JSON has many quotes, and there they can stay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EscapedBetweenTags<T>(pub(crate) T);

impl<T: AsRef<str>> fmt::Display for EscapedBetweenTags<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_visible(self.0.as_ref(), f, entity)
    }
}

fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

fn write_visible(
    text: &str,
    f: &mut fmt::Formatter<'_>,
    entity: impl Fn(char) -> Option<&'static str>,
) -> fmt::Result {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let entity = entity(c);
        let stays = matches!(c, '\t' | '\n') || !(c.is_control() || is_hidden(c));
        if entity.is_none() && stays {
            continue;
        }
        f.write_str(&text[plain..at])?;
        plain = at + c.len_utf8();
        match (entity, c) {
            (Some(entity), _) => f.write_str(entity)?,
            (None, '\0'..='\x1f') => {
                f.write_char(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'))?
            }
            (None, '\x7f') => f.write_char('\u{2421}')?,
            (None, c) => write!(f, "\u{27e6}U+{:04X}\u{27e7}", u32::from(c))?,
        }
    }
    f.write_str(&text[plain..])
}

/// Whether a character changes how its neighbours look, without being seen itself, or has no place in XML.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// A text of at most `most` characters, with an ellipsis for its middle.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let tail = (most - 1) / 2;
    let head = most - 1 - tail;
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

/// A sign for a state, so that colour is never all that tells it.
pub fn sign(state: &str) -> &'static str {
    match state {
        "completed" | "allow" | "passed" => "✓",
        "failed" | "aborted" | "deny" | "error" => "✗",
        "running" => "▶",
        "blocked" => "⊘",
        "skipped" => "↷",
        "interrupted" => "!",
        "waiting" | "parked" | "ask_user" => "?",
        "retried" => "↻",
        "modify" => "✎",
        _ => "·",
    }
}

/// A node's state as people see it: what ran when a signal came, runs no more.
pub(crate) fn state_of(run: &RunState, node: &NodeRecord) -> &'static str {
    match (run.phase(), node.phase) {
        (RunPhase::Interrupted, NodePhase::Running) => "interrupted",
        (_, phase) => phase.as_str(),
    }
}

/// A duration in words.
pub(crate) fn took(ms: u64) -> String {
    format_duration(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let text = "</script><img src=x onerror=\"a('&')\">";
        assert_eq!(
            Escaped(text).to_string(),
            "&lt;/script&gt;&lt;img src=x onerror=&quot;a(&#39;&amp;&#39;)&quot;&gt;"
        );
        assert_eq!(EscapedBetweenTags("<a b=\"c\">&\x07").to_string(), "&lt;a b=\"c\"&gt;&amp;␇");
    }

    #[test]
    fn what_can_not_be_seen_is_made_visible() {
        assert_eq!(Escaped("a\x1b[31mb\r\n\tc\x7f\0").to_string(), "a␛[31mb␍\n\tc␡␀");
        assert_eq!(
            Escaped("x\u{202e}y\u{9b}\u{fffe}").to_string(),
            "x\u{27e6}U+202E\u{27e7}y\u{27e6}U+009B\u{27e7}\u{27e6}U+FFFE\u{27e7}"
        );
    }

    #[test]
    fn long_text_loses_its_middle() {
        assert_eq!(shortened("abcdefghij", 5), "ab…ij");
        assert_eq!(shortened("abcdefghij", 6), "abc…ij");
        assert_eq!(shortened("äöü", 3), "äöü");
    }
}
