//! What a simulated runner lives in: time, a disk, and when it dies.

use std::{panic, time::Duration};

use omne_events::{Clock, IdGen, Timestamp};

use super::{
    disk::{Disk, Sync},
    judge::Judge,
};

/// A law that does not hold.
#[derive(Debug)]
pub(super) struct Broken(pub(super) String);

/// The runner is dead. What it had in memory is gone.
#[derive(Debug)]
pub(super) struct Death;

/// Everything outside the runner.
pub(super) struct World {
    pub(super) random: fastrand::Rng,
    /// Since it began.
    pub(super) now: Duration,
    /// How far the wall clock is off, in milliseconds; it may be set back.
    pub(super) shift: i64,
    pub(super) disk: Disk,
    pub(super) sync: Sync,
    pub(super) judge: Judge,
    /// After so many more steps the runner dies.
    pub(super) dies_in: Option<u64>,
    /// How often something happened, in all lives.
    pub(super) steps: u64,
    /// Somebody wants the run to be cancelled.
    pub(super) cancelled: bool,
}

impl World {
    /// Holds `holds` to be true; else the simulation ends with what was to hold.
    #[expect(clippy::fn_params_excessive_bools, reason = "it is what an assertion takes")]
    pub(super) fn law(&self, holds: bool, law: &str) {
        if !holds {
            broken(law.to_owned());
        }
    }

    /// Whether this is the step at which the runner dies.
    pub(super) fn dies_now(&mut self) -> bool {
        self.steps += 1;
        match &mut self.dies_in {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// A step at which the runner may die.
    pub(super) fn may_die(&mut self) {
        if self.dies_now() {
            self.die();
        }
    }

    /// The runner dies as by SIGKILL: nothing of it goes on.
    pub(super) fn die(&mut self) -> ! {
        self.dies_in = None;
        panic::resume_unwind(Box::new(Death))
    }

    /// These bytes are in the log.
    pub(super) fn written(&mut self, bytes: &[u8]) {
        if let Err(law) = self.judge.read(bytes) {
            broken(law);
        }
    }
}

/// Ends the simulation: `law` does not hold.
pub(super) fn broken(law: String) -> ! {
    panic::resume_unwind(Box::new(Broken(law)))
}

/// The time of a world.
pub(super) struct SimClock(pub(super) std::rc::Rc<std::cell::RefCell<World>>);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        const NOON: i64 = 1_795_168_800_000;
        let world = self.0.borrow();
        let since = i64::try_from(world.now.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(NOON + since + world.shift)
    }

    fn monotonic(&self) -> Duration {
        self.0.borrow().now
    }
}

/// Ids from a seed.
pub(super) struct SimIds(pub(super) fastrand::Rng);

impl IdGen for SimIds {
    fn random(&mut self) -> u128 {
        self.0.u128(..) >> 48
    }
}
