//! JSON read where it stands: what nobody wants is passed over, and nothing is made of it.

use std::borrow::Cow;

use memchr::memchr2;
use serde_json::Value;

/// How much of a text is looked through eight bytes at a time, in such pieces.
const SHORT: usize = 5;

/// Why nothing further is read: this is not JSON, or the reader has all that it wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stop;

/// A place in a text, before a value.
///
/// Each value has to be read or passed over before the next one. Where a value is of another type than is asked for, it
/// is passed over as well: one odd field must not cost the whole text. What is passed over is looked at only as far as
/// it takes to find its end.
#[derive(Debug)]
pub(super) struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    /// Reads a text of one value with `read`.
    ///
    /// # Errors
    ///
    /// Fails when it is no JSON, or more than one value, and where `read` does.
    pub(super) fn read(text: &'a str, read: impl FnOnce(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        let mut json = Self { text, at: 0 };
        read(&mut json)?;
        if json.peek().is_some() { Err(Stop) } else { Ok(()) }
    }

    /// Calls `field` with the name of each field of an object, before the field's value.
    pub(super) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &str) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.members(b'{', b'}', |json| {
            let name = json.string()?;
            json.expect(b':')?;
            field(json, &name)
        })
    }

    /// Calls `item` before each value of an array.
    pub(super) fn array(&mut self, item: impl FnMut(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        self.members(b'[', b']', item)
    }

    /// Puts a text into `place`.
    pub(super) fn text(&mut self, place: &mut Option<Cow<'a, str>>) -> Result<(), Stop> {
        if self.peek() != Some(b'"') {
            return self.skip();
        }
        *place = Some(self.string()?);
        Ok(())
    }

    /// Puts a number that is neither negative nor too large to be one into `place`.
    pub(super) fn number(&mut self, place: &mut Option<f64>) -> Result<(), Stop> {
        let literal = self.literal()?;
        if literal.starts_with(|first: char| first.is_ascii_digit()) {
            *place = Some(literal.parse().map_err(|_| Stop)?).filter(|number: &f64| number.is_finite());
        }
        Ok(())
    }

    /// Puts into `place` whether the value is anything but `null` and `false`.
    pub(super) fn flag(&mut self, place: &mut bool) -> Result<(), Stop> {
        *place = !matches!(self.literal()?, "null" | "false");
        Ok(())
    }

    /// Puts a value into `place`, whatever it is.
    pub(super) fn value(&mut self, place: &mut Option<Value>) -> Result<(), Stop> {
        *place = Some(serde_json::from_str(self.literal()?).map_err(|_| Stop)?);
        Ok(())
    }

    /// Passes over a value, and gives it as it is written.
    pub(super) fn literal(&mut self) -> Result<&'a str, Stop> {
        self.peek();
        let start = self.at;
        self.skip()?;
        self.text.get(start..self.at).ok_or(Stop)
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self) -> Result<(), Stop> {
        let mut open = 0_usize;
        loop {
            match self.peek().ok_or(Stop)? {
                b'"' => _ = self.skip_string()?,
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1).ok_or(Stop)?;
                    self.at += 1;
                }
                b',' | b':' if open > 0 => {
                    self.at += 1;
                    continue;
                }
                b'-' | b'0'..=b'9' | b'a'..=b'z' => self.skip_word(),
                _ => return Err(Stop),
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn members(
        &mut self,
        first: u8,
        last: u8,
        mut member: impl FnMut(&mut Self) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        if self.peek() != Some(first) {
            return self.skip();
        }
        self.at += 1;
        if self.peek() == Some(last) {
            self.at += 1;
            return Ok(());
        }
        loop {
            member(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == last => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Stop),
            }
        }
    }

    /// A text that is known to be one, without its escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, Stop> {
        if self.peek() != Some(b'"') {
            return Err(Stop);
        }
        let start = self.at;
        let escaped = self.skip_string()?;
        if escaped {
            let literal = self.text.get(start..self.at).ok_or(Stop)?;
            return serde_json::from_str(literal).map(Cow::Owned).map_err(|_| Stop);
        }
        self.text.get(start + 1..self.at - 1).map(Cow::Borrowed).ok_or(Stop)
    }

    /// Passes over a text. Tells whether there are escapes in it.
    fn skip_string(&mut self) -> Result<bool, Stop> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        let mut escaped = false;
        loop {
            end = quote_or_backslash(bytes, end).ok_or(Stop)?;
            if bytes[end] == b'"' {
                self.at = end + 1;
                return Ok(escaped);
            }
            // What is escaped may be a quote.
            end += 2;
            escaped = true;
        }
    }

    /// Passes over a number, or `true`, `false` or `null`.
    fn skip_word(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest
            .iter()
            .take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'E' | b'0'..=b'9' | b'a'..=b'z'))
            .count();
    }

    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.peek() != Some(byte) {
            return Err(Stop);
        }
        self.at += 1;
        Ok(())
    }

    /// What comes next, after spaces.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }
}

/// The place of the first quote or backslash from `start` on.
#[inline]
fn quote_or_backslash(bytes: &[u8], start: usize) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The lowest bit that is set tells of the first byte that is zero; bits above it may be wrong.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let rest = bytes.get(start..)?;
    // Most names and texts are shorter than a search for long ones takes to begin.
    let (words, _) = rest.as_chunks::<8>();
    for (nth, word) in words.iter().take(SHORT).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(start + nth * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let passed = words.len().min(SHORT) * 8;
    Some(start + passed + memchr2(b'"', b'\\', &rest[passed..])?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    /// The value at this place, made of what the methods hand out.
    fn rebuilt(json: &mut Json<'_>) -> Result<Value, Stop> {
        let mut value = Value::Null;
        match json.peek().ok_or(Stop)? {
            b'{' => {
                let mut fields = Map::new();
                json.object(|json, name| {
                    fields.insert(name.to_owned(), rebuilt(json)?);
                    Ok(())
                })?;
                value = fields.into();
            }
            b'[' => {
                let mut items = Vec::new();
                json.array(|json| {
                    items.push(rebuilt(json)?);
                    Ok(())
                })?;
                value = items.into();
            }
            b'"' => {
                let mut text = None;
                json.text(&mut text)?;
                value = text.ok_or(Stop)?.into_owned().into();
            }
            _ => {
                let mut other = None;
                json.value(&mut other)?;
                value = other.unwrap_or(value);
            }
        }
        Ok(value)
    }

    fn whole(text: &str) -> Result<Value, Stop> {
        let mut value = Value::Null;
        Json::read(text, |json| {
            value = rebuilt(json)?;
            Ok(())
        })?;
        Ok(value)
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = || prop_oneof!["[a-z]{0,40}", any::<String>(), r#"["\\/\n]{0,9}"#];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((text(), inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_read_as_it_was_written(value in any_value()) {
            prop_assert_eq!(whole(&value.to_string()), Ok(value.clone()));
            prop_assert_eq!(whole(&format!(" {value:#}\r\n")), Ok(value));
        }

        #[test]
        fn what_is_passed_over_ends_where_it_ends(value in any_value()) {
            let text = format!(r#"{{"a":{value},"b":{value:#} , "c":1}}"#);
            let mut last = None;
            let read = Json::read(&text, |json| {
                json.object(|json, name| if name == "c" { json.number(&mut last) } else { json.skip() })
            });
            prop_assert_eq!((read, last), (Ok(()), Some(1.0)));
        }

        #[test]
        fn a_text_that_is_cut_is_no_json(value in any_value(), cut in any::<prop::sample::Index>()) {
            let text = json!([value]).to_string();
            let end = text.floor_char_boundary(cut.index(text.len()));
            prop_assert_eq!(whole(&text[..end]), Err(Stop));
            prop_assert_eq!(Json::read(&text[..end], Json::skip), Err(Stop));
        }

        #[test]
        fn what_serde_takes_is_taken_and_nothing_panics(text in r#"[\[\]{}:,"\\a-fnrtu0-9. \n-]{0,30}"#) {
            let read = whole(&text);
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(read, Ok(value));
            }
        }
    }

    #[test]
    fn a_value_of_another_type_than_was_asked_for_is_passed_over() {
        for odd in ["null", "-1", "1e999", "true", "[1,[2]]", r#"{"a":[{}]}"#] {
            let (mut text, mut number, mut items) = (None, None, 0);
            let line = format!(r#"[{odd}, {odd}, "3", {odd}]"#);
            let read = Json::read(&line, |json| {
                json.array(|json| {
                    items += 1;
                    match items {
                        1 => json.text(&mut text),
                        2 if odd.starts_with('[') => json.object(|_, _| Err(Stop)),
                        2 => json.array(|_| Err(Stop)),
                        _ => json.number(&mut number),
                    }
                })
            });
            assert_eq!((read, text, number, items), (Ok(()), None, None, 4), "{odd}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_a_value_is_no_json() {
        for text in
            ["", " ", "{} {}", "1 2", r#"{"a" 1}"#, r#"{"a":1 "b":2}"#, "[1 2]", "[,]", "{1:2}", "]", "\"\\"]
        {
            assert_eq!(whole(text), Err(Stop), "{text}");
        }
    }
}
