//! A disk that keeps what was synced, and of the rest what it likes.

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use omne_events::{Durability, Medium, OpenError, Syncer};

use super::world::World;

/// As in the syncing thread of a real log.
const WINDOW: Duration = Duration::from_millis(40);

/// A log's bytes, and how far they are on disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) bytes: Vec<u8>,
    /// So many of them survive a power cut.
    pub(super) synced: usize,
    /// The next write but so many fails.
    pub(super) fail_write: Option<u64>,
    /// The next sync but so many fails.
    pub(super) fail_sync: Option<u64>,
    /// A write or a sync has failed: nothing may happen any more but the end.
    pub(super) has_failed: bool,
}

/// What happens to the bytes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing: only the process died.
    None,
    /// All after some byte are gone.
    Suffix,
    /// Some sectors never got there, later ones did: they are full of zeros.
    Holes,
}

/// How far syncing is, as the syncing thread of a real log would have it.
#[derive(Debug, Default)]
pub(super) struct Sync {
    written: (u64, usize),
    wanted: u64,
    /// How often a sync was wanted at once.
    pub(super) hurried: u64,
    pub(super) synced: u64,
    dirty_since: Option<Duration>,
    flight: Option<(u64, usize, Duration)>,
    failed: bool,
}

impl Sync {
    /// When it has something to do next.
    pub(super) fn due(&self, now: Duration) -> Option<Duration> {
        match (&self.flight, self.dirty_since) {
            _ if self.failed => None,
            (Some((_, _, done)), _) => Some(*done),
            (None, Some(_)) if self.wanted > self.synced => Some(now),
            (None, Some(since)) => Some(since + WINDOW),
            (None, None) => None,
        }
    }
}

impl World {
    /// Does what syncing has to do by now; whether more became durable, or syncing failed.
    pub(super) fn step_sync(&mut self) -> bool {
        let now = self.now;
        if self.sync.due(now).is_none_or(|due| due > now) {
            return false;
        }
        let Some((seq, length, _)) = self.sync.flight.take() else {
            self.sync.dirty_since = None;
            let takes = Duration::from_micros(self.random.u64(0..8000));
            self.sync.flight = Some((self.sync.written.0, self.sync.written.1, now + takes));
            return false;
        };
        self.may_die();
        if count_down(&mut self.disk.fail_sync) {
            self.sync.failed = true;
            self.disk.has_failed = true;
        } else {
            self.sync.synced = seq;
            self.disk.synced = length;
        }
        true
    }

    /// What is left of the log after a crash.
    pub(super) fn lose(&mut self, loss: Loss) {
        const SECTOR: usize = 512;
        let (synced, length) = (self.disk.synced, self.disk.bytes.len());
        match loss {
            Loss::None => {}
            Loss::Suffix => self.disk.bytes.truncate(self.random.usize(synced..=length)),
            Loss::Holes => {
                for sector in (synced / SECTOR)..length.div_ceil(SECTOR) {
                    if self.random.bool() {
                        let (from, to) = ((sector * SECTOR).max(synced), ((sector + 1) * SECTOR).min(length));
                        self.disk.bytes[from..to].fill(0);
                    }
                }
            }
        }
        self.disk.synced = self.disk.synced.min(self.disk.bytes.len());
    }
}

fn count_down(left: &mut Option<u64>) -> bool {
    match left {
        Some(0) => {
            *left = None;
            true
        }
        Some(more) => {
            *more -= 1;
            false
        }
        None => false,
    }
}

/// The log as its writer sees it.
pub(super) struct SimLog {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) path: PathBuf,
}

impl Medium for SimLog {
    fn path(&self) -> &Path {
        &self.path
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        world.law(!world.disk.has_failed, "nothing is written after a write or a sync has failed");
        if count_down(&mut world.disk.fail_write) {
            world.disk.has_failed = true;
            let part = world.random.usize(0..bytes.len());
            world.disk.bytes.extend_from_slice(&bytes[..part]);
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        if world.dies_now() {
            let part = world.random.usize(0..=bytes.len());
            world.disk.bytes.extend_from_slice(&bytes[..part]);
            world.die();
        }
        world.disk.bytes.extend_from_slice(bytes);
        world.written(bytes);
        world.may_die();
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        // A disk that is full, or fails, may refuse this as well.
        if world.random.bool() {
            world.disk.bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
            return Ok(());
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn sync_in_background(
        &mut self,
        durability: Durability,
        _: &Path,
        _: usize,
        _: Box<dyn Fn() + Send>,
    ) -> Result<Option<Box<dyn Syncer>>, OpenError> {
        let world = Rc::clone(&self.world);
        Ok((durability != Durability::None).then(|| Box::new(SimSyncer { world }) as Box<dyn Syncer>))
    }
}

struct SimSyncer {
    world: Rc<RefCell<World>>,
}

impl Syncer for SimSyncer {
    fn wrote(&self, seq: u64) {
        let world = &mut *self.world.borrow_mut();
        world.sync.written = (seq, world.disk.bytes.len());
        world.sync.dirty_since.get_or_insert(world.now);
    }

    fn want(&self, seq: u64) {
        let sync = &mut self.world.borrow_mut().sync;
        if seq > sync.wanted {
            sync.wanted = seq;
            sync.hurried += 1;
        }
    }

    fn synced(&self) -> io::Result<u64> {
        let world = self.world.borrow();
        match world.sync.failed {
            true => Err(io::Error::other("the disk does not confirm")),
            false => Ok(world.sync.synced),
        }
    }

    fn wait(&self, seq: u64) -> io::Result<()> {
        self.want(seq);
        while self.synced()? < seq {
            let mut world = self.world.borrow_mut();
            let due = world.sync.due(world.now);
            world.law(due.is_some(), "a sync that is waited for is under way");
            world.now = world.now.max(due.unwrap_or_default());
            world.step_sync();
        }
        Ok(())
    }
}
