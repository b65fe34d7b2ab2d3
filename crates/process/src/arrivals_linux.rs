//! Linux: inotify tells of every name that comes into a directory before the
//! call that made it returns, so asking costs no search for a file that is not
//! there. To end a watch may take the kernel some milliseconds, which is
//! thousands of searches.

use std::{
    ffi::CStr,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use rustc_hash::FxHashSet;
use rustix::{
    fs::{
        Dir, fstatfs,
        inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    },
    io::Errno,
};

use crate::Directory;

/// File systems to which everything comes through this machine's kernel: those of a network can get a file that nobody
/// here hears of.
const LOCAL: [u32; 8] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x0102_1994, // tmpfs
    0xf2f5_2010, // F2FS
    0x2fc1_2fc1, // ZFS
    0xca45_1a4e, // bcachefs
    0x794c_7630, // overlayfs, which is above one of those
];
/// More names than this are not worth to be kept.
const MOST: usize = 4096;
const BUFFER: usize = 4096;

/// Which names with a certain ending are in a directory, as far as it is known without looking.
pub struct Arrivals {
    ending: &'static str,
    watch: Watch,
}

enum Watch {
    /// It will be watched when it was asked about so many times more.
    Later(Directory, usize),
    Now(Names),
    /// Every name may be there.
    Never,
}

/// The names that are there, and the queue of those that have come since.
struct Names {
    queue: OwnedFd,
    names: FxHashSet<Box<[u8]>>,
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Arrivals {
    /// What comes, and what is there already. The first `unwatched` questions are answered without knowing it.
    pub fn new(directory: &Directory, ending: &'static str, unwatched: usize) -> Self {
        Self { ending, watch: Watch::Later(directory.clone(), unwatched) }
    }

    /// Whether a file of that name may be there. If not, no process that has ended by now has made it.
    pub fn may_have(&mut self, name: &str) -> bool {
        if let Watch::Later(directory, unwatched) = &mut self.watch {
            if let Some(fewer) = unwatched.checked_sub(1) {
                *unwatched = fewer;
                return true;
            }
            self.watch = Names::new(directory, self.ending).map_or(Watch::Never, Watch::Now);
        }
        let Watch::Now(names) = &mut self.watch else { return true };
        if names.read(self.ending) {
            return names.names.contains(name.as_bytes());
        }
        self.watch = Watch::Never;
        true
    }

    /// It was removed.
    pub fn forget(&mut self, name: &str) {
        if let Watch::Now(names) = &mut self.watch {
            names.names.remove(name.as_bytes());
        }
    }
}

impl Names {
    fn new(directory: &Directory, ending: &str) -> rustix::io::Result<Self> {
        // In this order: what comes between both is seen twice, and not never.
        let queue = watch(directory)?;
        let names = names_in(directory)?.into_iter().filter(|name| is_meant(name, ending)).collect();
        Ok(Self { queue, names, buffer: vec![MaybeUninit::uninit(); BUFFER].into_boxed_slice() })
    }

    /// Takes in what has come since the last time. Whether these are all names, and not too many.
    fn read(&mut self, ending: &str) -> bool {
        let Self { queue, names, buffer } = self;
        let mut reader = Reader::new(queue, buffer);
        let is_whole = loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => break false,
                Ok(event) => {
                    let name = event.file_name().map(CStr::to_bytes).filter(|name| is_meant(name, ending));
                    names.extend(name.map(Box::from));
                }
                Err(Errno::AGAIN) => break true,
                Err(Errno::INTR) => {}
                Err(_) => break false,
            }
        };
        is_whole && names.len() <= MOST
    }
}

fn names_in(directory: &Directory) -> rustix::io::Result<Vec<Box<[u8]>>> {
    Dir::read_from(directory.as_fd())?.map(|entry| Ok(entry?.file_name().to_bytes().into())).collect()
}

fn is_meant(name: &[u8], ending: &str) -> bool {
    name.ends_with(ending.as_bytes())
}

/// The queue of a directory that nothing can come into unheard.
fn watch(directory: &Directory) -> rustix::io::Result<OwnedFd> {
    let fd = directory.as_fd();
    if !u32::try_from(fstatfs(fd)?.f_type).is_ok_and(|kind| LOCAL.contains(&kind)) {
        return Err(Errno::NOTSUP);
    }
    let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    // By its descriptor: its path may lead elsewhere by now.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    inotify::add_watch(&queue, path, WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)?;
    Ok(queue)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn watched() -> (tempfile::TempDir, Arrivals) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("before.x"), "").unwrap();
        let arrivals = Arrivals::new(&Directory::open(dir.path()).unwrap(), ".x", 0);
        (dir, arrivals)
    }

    #[test]
    fn a_name_that_has_not_come_is_not_there() {
        let (dir, mut arrivals) = watched();
        assert!(arrivals.may_have("before.x"));
        // Where the directory can't be watched there is nothing to be seen here.
        let is_watched = matches!(arrivals.watch, Watch::Now(_));
        fs::write(dir.path().join("other.x"), "").unwrap();
        assert_eq!(arrivals.may_have("new.x"), !is_watched);
    }

    #[test]
    fn who_asks_a_few_times_only_is_told_that_every_name_may_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut arrivals = Arrivals::new(&Directory::open(dir.path()).unwrap(), ".x", 2);
        for turn in 0..3 {
            let is_unwatched = matches!(arrivals.watch, Watch::Later(..));
            assert!(is_unwatched, "{turn}");
            let may_have = arrivals.may_have("new.x");
            assert_eq!(may_have, turn < 2 || !matches!(arrivals.watch, Watch::Now(_)));
        }
    }

    #[test]
    fn more_names_than_are_kept_may_all_be_there() {
        let (dir, mut arrivals) = watched();
        assert!(arrivals.may_have("before.x"));
        for number in 0..=MOST {
            fs::write(dir.path().join(format!("{number}.x")), "").unwrap();
        }
        assert!(arrivals.may_have("new.x"));
        assert!(arrivals.may_have("another.x"), "and so it stays");
    }

    #[test]
    fn after_more_arrivals_than_the_kernel_keeps_every_name_may_be_there() {
        let (dir, mut arrivals) = watched();
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap_or_default();
        let Some(most) = most.trim().parse().ok().filter(|most| *most <= 100_000) else {
            eprintln!(
                "skipped: how many arrivals the kernel keeps is not known, or too many to be made here"
            );
            return;
        };
        assert!(arrivals.may_have("before.x"));
        let names = [dir.path().join("a"), dir.path().join("b")];
        fs::write(&names[0], "").unwrap();
        for turn in 0..=most {
            // Two that are alike and follow each other would be one.
            fs::rename(&names[turn % 2], &names[(turn + 1) % 2]).unwrap();
        }
        assert!(arrivals.may_have("new.x"));
    }
}
