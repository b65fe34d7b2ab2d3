//! Time as a type; text exists at the edge only.

use std::{fmt, num::NonZeroU64, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant of wall-clock time, in whole milliseconds since 1970 UTC.
///
/// Held as one more than that, so that an `Option` of it takes no more room: many are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Default for Timestamp {
    fn default() -> Self {
        Self(NonZeroU64::MIN)
    }
}

impl Timestamp {
    /// The number of bytes of its text, `2026-11-20T10:00:00.123Z`.
    pub const TEXT_LEN: usize = 24;

    /// From milliseconds since 1970 UTC, held to the times that have a text: 1970 to 9999.
    pub fn from_millisecond(ms: i64) -> Self {
        let ms = ms.clamp(0, jiff::Timestamp::MAX.as_second() * 1000);
        Self(NonZeroU64::MIN.saturating_add(ms.unsigned_abs()))
    }

    /// Milliseconds since 1970 UTC.
    pub fn as_millisecond(self) -> i64 {
        (self.0.get() - 1).cast_signed()
    }

    /// Reads RFC 3339 text of any precision; what is finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(Self::from_millisecond(at.as_millisecond()))
    }

    /// The time from `earlier` to this instant; zero when the clock went back.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.get().saturating_sub(earlier.0.get()))
    }

    pub(crate) fn text(self) -> [u8; Self::TEXT_LEN] {
        const PRINTER: jiff::fmt::temporal::DateTimePrinter =
            jiff::fmt::temporal::DateTimePrinter::new().precision(Some(3));
        let mut text = [b'0'; Self::TEXT_LEN];
        let at =
            jiff::Timestamp::from_millisecond(self.as_millisecond()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        // The text of a year from 1970 to 9999 always has the same length, so the copy is whole.
        let printed = PRINTER.timestamp_to_string(&at);
        text.copy_from_slice(printed.as_bytes());
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = smol_str::SmolStr::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 time"))
    }
}

/// A duration as events tell it: in whole milliseconds.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where "now" comes from.
pub trait Clock {
    /// The wall clock, for the log and the reader of it. It may go back.
    fn now(&self) -> Timestamp;

    /// A clock that never goes back, for durations and deadlines: the time since some fixed instant.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    pub fn new() -> Self {
        Self { origin: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> Timestamp {
        let since_1970 =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millisecond(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that stands still until it is told to go on.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ms: std::cell::Cell<i64>,
    monotonic: std::cell::Cell<Duration>,
}

#[cfg(any(test, feature = "testing"))]
impl ManualClock {
    /// A clock that stands at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self { wall_ms: std::cell::Cell::new(at.as_millisecond()), monotonic: std::cell::Cell::default() }
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        self.wall_ms.set(self.wall_ms.get() + i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
        self.monotonic.set(self.monotonic.get() + by);
    }

    /// Sets the wall clock alone, as an administrator or NTP may.
    pub fn set_wall(&self, at: Timestamp) {
        self.wall_ms.set(at.as_millisecond());
    }
}

#[cfg(any(test, feature = "testing"))]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.wall_ms.get())
    }

    fn monotonic(&self) -> Duration {
        self.monotonic.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_milliseconds_always() {
        assert_eq!(Timestamp::from_millisecond(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millisecond(1_795_168_800_120).to_string(), "2026-11-20T10:00:00.120Z");
    }

    #[test]
    fn seconds_and_offsets_are_read() {
        assert_eq!(Timestamp::parse("2026-11-20T10:00:00Z").unwrap().as_millisecond(), 1_795_168_800_000);
        assert_eq!(
            Timestamp::parse("2026-11-20T11:00:00.1239+01:00").unwrap().as_millisecond(),
            1_795_168_800_123
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn a_clock_before_1970_or_after_9999_still_gives_a_valid_text() {
        assert_eq!(Timestamp::from_millisecond(-5).to_string().len(), Timestamp::TEXT_LEN);
        assert_eq!(Timestamp::from_millisecond(i64::MAX).to_string(), "9999-12-30T22:00:00.000Z");
    }
}
