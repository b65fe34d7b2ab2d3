//! How many points of a sweep are visited, and which random ones.

/// All that there are, if the environment asks for it; else at most `most`, evenly spread.
pub(crate) fn points(all: usize, most: usize) -> Vec<usize> {
    let most = if is_full() { all } else { most.min(all) };
    // Between the first and the last, both included: those are the interesting ones.
    (0..most).map(|n| if most > 1 { n * (all - 1) / (most - 1) } else { 0 }).collect()
}

/// So many rounds of something random.
pub(crate) fn rounds(few: usize, many: usize) -> usize {
    if is_full() { many } else { few }
}

fn is_full() -> bool {
    std::env::var_os("OMNE_TORTURE").is_some_and(|value| value == "full")
}

/// Numbers that look random and come again with the same seed.
pub(crate) struct Chance(u64);

impl Chance {
    /// The numbers of one test; the environment can choose others.
    pub(crate) fn new(salt: u64) -> Self {
        let seed = std::env::var("OMNE_TORTURE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt)
    }

    /// The next one below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // SplitMix64: enough to spread points, and nothing to depend on.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).unwrap()
    }
}

/// Looks at each item, and tells of all that went wrong at once.
pub(crate) fn sweep<T: std::fmt::Debug>(what: &str, items: &[T], mut look: impl FnMut(&T)) {
    let mut wrong = Vec::new();
    for item in items {
        let look = std::panic::AssertUnwindSafe(|| look(item));
        if std::panic::catch_unwind(look).is_err() {
            wrong.push(item);
        }
    }
    assert!(wrong.is_empty(), "{what}: wrong at {} of {} points: {wrong:#?}", wrong.len(), items.len());
}
