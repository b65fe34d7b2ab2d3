//! Text in XML 1.0, whatever it holds.
//!
//! XML has no way to write most control characters, not even as references: a
//! reader refuses the whole file. The pictures of them stand in their place.

use std::fmt;

/// Text between tags.
pub(super) struct Text<'a>(pub(super) &'a str);

/// Text between double quotes.
pub(super) struct Attribute<'a>(pub(super) &'a str);

/// Milliseconds as seconds.
pub(super) struct Seconds(pub(super) u64);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(
            self.0,
            |c| match c {
                // Also for the sake of `]]>`, which must not stand in text.
                '>' => Some("&gt;"),
                _ => None,
            },
            f,
        )
    }
}

impl fmt::Display for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A reader turns whitespace in attributes into spaces, but for references.
        escape(
            self.0,
            |c| match c {
                '>' => Some("&gt;"),
                '"' => Some("&quot;"),
                '\t' => Some("&#9;"),
                '\n' => Some("&#10;"),
                _ => None,
            },
            f,
        )
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

fn escape(
    text: &str,
    special: impl Fn(char) -> Option<&'static str>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut plain = 0;
    let mut buffer = [0; 4];
    for (at, c) in text.char_indices() {
        let instead = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '\r' => "&#13;",
            c if special(c).is_some() => special(c).unwrap_or_default(),
            '\t' | '\n' => continue,
            '\0'..='\x1f' => picture(c).encode_utf8(&mut buffer),
            '\x7f' => "\u{2421}",
            '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}",
            _ => continue,
        };
        f.write_str(&text[plain..at])?;
        f.write_str(instead)?;
        plain = at + c.len_utf8();
    }
    f.write_str(&text[plain..])
}

/// The picture of a control character, such as `␛`.
fn picture(control: char) -> char {
    char::from_u32(0x2400 + u32::from(control)).unwrap_or(char::REPLACEMENT_CHARACTER)
}
