//! The forms in which a value leaves a program: as it is, and as the usual
//! encoders write it into JSON, URLs and base64.

use std::fmt::Write as _;

/// The shortest line of a value that is looked for by itself, in bytes.
const SHORTEST_LINE: usize = 8;
const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// After how many characters encoders break lines: those of MIME and of PEM.
const COLUMNS: [usize; 2] = [76, 64];

/// Every form of a value, and of each of its lines that is long enough.
pub(super) fn of(value: &[u8]) -> Vec<Vec<u8>> {
    let whole = value.trim_ascii();
    let mut forms = Vec::new();
    add(whole, &mut forms);
    let lines = whole.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    for line in lines.filter(|line| line.len() >= SHORTEST_LINE && line.len() < whole.len()) {
        add(line, &mut forms);
    }
    forms
}

fn add(value: &[u8], forms: &mut Vec<Vec<u8>>) {
    if value.len() < super::SHORTEST_SECRET {
        return;
    }
    forms.push(value.to_vec());
    for escape in [Escape::Least, Escape::Slash, Escape::Html, Escape::Ascii] {
        let once = json(&String::from_utf8_lossy(value), escape);
        // JSON within a text of JSON.
        forms.push(json(&once, escape).into_bytes());
        forms.push(once.into_bytes());
    }
    for kept in ["", "/", "!'()*", "!'()*;/?:@&=+$,#"] {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            forms.push(percent(value, kept.as_bytes(), Blank::Percent, digits));
            forms.push(percent(value, kept.as_bytes(), Blank::Plus, digits));
            forms.push(percent(value, [kept, "*"].concat().as_bytes(), Blank::Plus, digits));
        }
    }
    for alphabet in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            base64(value, before, alphabet, forms);
        }
    }
}

/// What a JSON encoder escapes besides what it has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// Nothing.
    Least,
    /// The slash.
    Slash,
    /// What HTML would take for its own.
    Html,
    /// All that is not ASCII.
    Ascii,
}

fn json(text: &str, escape: Escape) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        let is_escaped = match escape {
            Escape::Html => matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
            Escape::Ascii => !c.is_ascii() || c == '\x7f',
            Escape::Least | Escape::Slash => false,
        };
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '/' if escape == Escape::Slash => out.push_str("\\/"),
            c if c < ' ' || is_escaped => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // A write to a text does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// What a blank becomes in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blank {
    Percent,
    /// As in forms.
    Plus,
}

/// Percent-encoded but for the characters that never are, and those that this encoder keeps besides.
fn percent(value: &[u8], kept: &[u8], blank: Blank, digits: &[u8; 16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 3);
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            out.push(byte);
        } else if byte == b' ' && blank == Blank::Plus {
            out.push(b'+');
        } else {
            out.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    }
    out
}

/// The base64 of a value that stands after `before` other bytes of a group of three: what of it does not depend on what
/// is around it, and all of it where nothing but a newline comes after it.
fn base64(value: &[u8], before: usize, alphabet: &[u8; 64], forms: &mut Vec<Vec<u8>>) {
    // The first characters that hold bits of what stands before.
    let skipped = (before * 8).div_ceil(6);
    let encoded = |end: &[u8]| -> Vec<u8> {
        let bytes = [&[0; 2][..before], value, end].concat();
        let mut out = Vec::with_capacity(bytes.len() * 4 / 3 + 4);
        for group in bytes.chunks(3) {
            let bits =
                group.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
            out.extend((0..=group.len()).map(|place| alphabet[(bits >> (18 - 6 * place)) as usize & 63]));
        }
        out.split_off(skipped)
    };
    let alone = encoded(b"");
    let own = (before + value.len()) * 8 / 6 - skipped;
    forms.push(alone[..own].to_vec());
    for end in [&b""[..], b"\n"] {
        let whole = encoded(end);
        let padding = (4 - (whole.len() + skipped) % 4) % 4;
        let padded = [&whole[..], &b"=="[..padding]].concat();
        if before == 0 {
            for columns in COLUMNS.into_iter().filter(|columns| padded.len() > *columns) {
                forms.push(padded.chunks(columns).collect::<Vec<_>>().join(&b'\n'));
            }
        }
        forms.extend([whole, padded]);
    }
}
