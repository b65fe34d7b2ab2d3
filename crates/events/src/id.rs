//! Names and ids, each a type with one door that checks its spelling.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    digits::{NO_DIGIT, values},
    time::Timestamp,
};

/// The longest name: a capture's file name (`<node>.<attempt>.stream.jsonl`) has to fit a directory entry.
const MAX_NAME: usize = 200;

/// Why a text is no name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid {what}: {rule}", text.escape_default())]
pub struct NameError {
    /// The kind of name, for the message.
    pub what: &'static str,
    /// The rule that the text breaks.
    pub rule: &'static str,
    /// The text as it was given.
    pub text: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "SmolStr", into = "SmolStr")]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks the spelling of `text`.
            pub fn new(text: impl Into<SmolStr>) -> Result<Self, NameError> {
                let text = text.into();
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(rule) => Err(NameError { what: $what, rule, text: text.to_string() }),
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<SmolStr> for $name {
            type Error = NameError;
            fn try_from(text: SmolStr) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for SmolStr {
            fn from(name: $name) -> SmolStr {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0.as_str())
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a pipe: lower-case letters, digits, `-` and `_`.
    PipeName, "pipe name", |text| {
        if text.is_empty() {
            Err("a name is needed")
        } else if text.len() > MAX_NAME {
            Err("it is longer than 200 bytes")
        } else if !text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            Err("it begins with a lower-case letter or a digit")
        } else if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b)) {
            Err("only lower-case letters, digits, `-` and `_` are allowed")
        } else {
            Ok(())
        }
    }
}

name! {
    /// The id of a node within its pipe: letters, digits, `_`, `-` and single dots.
    NodeId, "node id", |text| {
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.is_empty() {
            Err("an id is needed")
        } else if text.len() > MAX_NAME {
            Err("it is longer than 200 bytes")
        } else if !text.starts_with('-') && text.bytes().all(is_usual) {
            // A log has one of these in nearly every line.
            Ok(())
        } else if text.contains("..") {
            Err("two dots in a row are not allowed")
        } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            Err("it begins with a letter, a digit or `_`")
        } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
            Err("only letters, digits, `_`, `.` and `-` are allowed")
        } else {
            Ok(())
        }
    }
}

name! {
    /// The id of a run: `<pipe>-<lower-case ulid>`.
    RunId, "run id", |text| {
        let Some((pipe, ulid)) = text.rsplit_once('-') else {
            return Err("it is `<pipe>-<ulid>`");
        };
        PipeName::new(pipe).map_err(|error| error.rule)?;
        EventId::parse(ulid).map(|_| ()).ok_or("it ends in a lower-case ulid of 26 characters")
    }
}

impl RunId {
    /// The id of a text that has been looked at.
    pub(crate) fn checked(text: &str) -> Self {
        Self(text.into())
    }

    /// The pipe that the run is one of.
    pub fn pipe(&self) -> &str {
        self.0.rsplit_once('-').map_or("", |(pipe, _)| pipe)
    }

    /// The time that is part of the id.
    pub fn time(&self) -> Option<Timestamp> {
        let (_, ulid) = self.0.rsplit_once('-')?;
        Some(EventId::parse(ulid)?.time())
    }
}

/// The id of an event: a ULID, written in lower case, strictly increasing within a log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventId(u128);

impl EventId {
    /// The number of characters of its text.
    pub const TEXT_LEN: usize = 26;

    /// An id of the given millisecond with 80 bits of `random`.
    pub fn from_parts(at: Timestamp, random: u128) -> Self {
        let ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
        Self(u128::from_be_bytes(ulid::Ulid::from_parts(ms, random).to_bytes()))
    }

    /// The id right after this one; the same millisecond in all but one of 2^80 cases.
    #[must_use]
    pub fn successor(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Reads a lower-case ULID.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_bytes(text.as_bytes().try_into().ok()?)
    }

    /// The same of as many bytes as it has to have. There is one in every line of a log.
    pub(crate) fn parse_bytes(text: &[u8; Self::TEXT_LEN]) -> Option<Self> {
        let mut wrong = 0;
        let mut number = |digits: &[u8]| {
            digits.iter().fold(0u64, |number, digit| {
                let value = VALUES[usize::from(*digit)];
                // Looked at once, at the end: a branch a digit would cost more than the rest.
                wrong |= value;
                number << 5 | u64::from(value)
            })
        };
        // In pieces that fit a register.
        let [high, middle, low] = [&text[..2], &text[2..14], &text[14..]].map(&mut number);
        // 26 digits of 5 bits hold two bits more than there are in an id.
        let fits = high <= 0xff;
        let id = u128::from(high) << 120 | u128::from(middle) << 60 | u128::from(low);
        (wrong & NO_DIGIT == 0 && fits).then_some(Self(id))
    }

    /// The millisecond in the id.
    pub fn time(self) -> Timestamp {
        let ms = ulid::Ulid::from_bytes(self.0.to_be_bytes()).timestamp_ms();
        Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX))
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let mut text = [0; Self::TEXT_LEN];
        ulid::Ulid::from_bytes(self.0.to_be_bytes()).array_to_str(&mut text);
        text.make_ascii_lowercase();
        out.extend_from_slice(&text);
    }
}

/// Crockford's base 32, in lower case.
const VALUES: [u8; 256] = values(b"0123456789abcdefghjkmnpqrstvwxyz");

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::TEXT_LEN];
        let text = ulid::Ulid::from_bytes(self.0.to_be_bytes()).array_to_str(&mut text);
        text.make_ascii_lowercase();
        f.pad(text)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where the random part of ids comes from.
pub trait IdGen {
    /// 80 random bits, in the lower part.
    fn random(&mut self) -> u128;

    /// A new id for a run of `pipe` that starts at `at`.
    fn run_id(&mut self, pipe: &PipeName, at: Timestamp) -> RunId {
        let ulid = EventId::from_parts(at, self.random());
        RunId(smol_str::format_smolstr!("{pipe}-{ulid}"))
    }

    /// A new id for an agent's session: a UUID, for agents take nothing else.
    fn session_id(&mut self) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.random().to_be_bytes()[8..]);
        bytes[8..].copy_from_slice(&self.random().to_be_bytes()[8..]);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

/// Random ids from the operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct RandomIds;

impl IdGen for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "the one source of randomness")]
    fn random(&mut self) -> u128 {
        ulid::Ulid::generate().random()
    }
}

/// Ids 1, 2, 3, … for tests.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default, Clone, Copy)]
pub struct CountingIds(pub u128);

#[cfg(any(test, feature = "testing"))]
impl IdGen for CountingIds {
    fn random(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_can_never_be_paths() {
        for bad in ["", ".", "..", "a/b", "a\\b", "../a", "a..b", ".hidden", "a\0", "-a", "ü", "a b"] {
            assert!(NodeId::new(bad).is_err(), "{bad:?} was taken");
        }
        for good in ["a", "_", "A.b-c_9", "0"] {
            assert!(NodeId::new(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn a_run_id_is_a_pipe_name_and_a_lower_case_ulid() {
        let id =
            CountingIds::default().run_id(&PipeName::new("my-pipe").unwrap(), Timestamp::from_millisecond(0));
        assert_eq!(id.as_str(), "my-pipe-00000000000000000000000001");
        assert_eq!(RunId::new(id.as_str()).unwrap(), id);
        assert_eq!(id.pipe(), "my-pipe");
        assert!(RunId::new("my-pipe-0000000000000000000000000U").is_err());
        assert!(RunId::new("my-pipe").is_err());
        assert!(RunId::new("../x-00000000000000000000000001").is_err());
    }

    #[test]
    fn a_session_id_is_a_random_uuid() {
        let mut ids = CountingIds::default();
        assert_eq!(ids.session_id(), "00000000-0000-4001-8000-000000000002");
        assert_ne!(RandomIds.session_id(), RandomIds.session_id());
    }

    #[test]
    fn event_ids_order_as_their_text_does() {
        let early = EventId::from_parts(Timestamp::from_millisecond(5), u128::MAX >> 48);
        let late = EventId::from_parts(Timestamp::from_millisecond(6), 0);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert!(early.successor() > early);
        assert_eq!(EventId::parse(&early.to_string()), Some(early));
    }

    #[test]
    fn an_event_id_is_read_in_its_one_form_alone() {
        for good in ["00000000000000000000000000", "7zzzzzzzzzzzzzzzzzzzzzzzzz", "01ksr492040000000000000005"]
        {
            assert_eq!(EventId::parse(good).map(|id| id.to_string()).as_deref(), Some(good));
        }
        let (too_large, upper) = ("80000000000000000000000000", "01KSR492040000000000000005");
        let (no_digit, short) = ("01ksr49204000000000000000u", "01ksr49204");
        for bad in [too_large, upper, no_digit, short, "01ksr49204000000000000000ü"] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
    }
}
