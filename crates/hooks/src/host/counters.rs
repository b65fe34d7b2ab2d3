//! What a hook did so far.

use std::time::Duration;

/// How many latencies are kept: the last ones.
const KEPT: usize = 4096;

/// Counts and times of one hook.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// How often it was asked.
    pub fired: u64,
    /// How often an observation was not made, because it was still at an earlier one.
    pub dropped: u64,
    /// How often it gave no answer.
    pub errors: u64,
    latencies: Vec<u32>,
    next: usize,
}

impl Counters {
    pub(super) fn took(&mut self, latency: Duration) {
        let us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        if self.latencies.len() < KEPT {
            self.latencies.push(us);
        } else {
            self.latencies[self.next] = us;
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// The latency that `percent` of the answers did not exceed, in microseconds.
    pub fn percentile(&self, percent: usize) -> Option<u32> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some(sorted[(sorted.len() * percent / 100).min(last)])
    }

    /// The mean latency, in microseconds.
    pub fn mean(&self) -> Option<u64> {
        let sum: u64 = self.latencies.iter().map(|us| u64::from(*us)).sum();
        sum.checked_div(self.latencies.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_answers() {
        let mut counters = Counters::default();
        assert_eq!((counters.percentile(50), counters.mean()), (None, None));
        for us in 1..=100 {
            counters.took(Duration::from_micros(us));
        }
        assert_eq!(
            (counters.percentile(50), counters.percentile(99), counters.mean()),
            (Some(51), Some(100), Some(50))
        );
        for _ in 0..KEPT {
            counters.took(Duration::from_micros(7));
        }
        assert_eq!(counters.percentile(99), Some(7));
    }
}
