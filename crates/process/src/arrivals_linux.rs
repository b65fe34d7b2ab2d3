//! Linux: inotify tells of every name that comes into a directory before the
//! call that made it returns, so asking costs no search for a file that is not
//! there.

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
    /// Without it every name may be there.
    queue: Option<OwnedFd>,
    names: FxHashSet<Box<[u8]>>,
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Arrivals {
    /// What comes from now on, and what is there already.
    pub fn new(directory: &Directory, ending: &'static str) -> Self {
        // In this order: what comes between both is seen twice, and not never.
        let watched = watch(directory).and_then(|queue| Ok((queue, names_in(directory)?)));
        let (queue, names) = watched.map_or((None, Vec::new()), |(queue, names)| (Some(queue), names));
        let names = names.into_iter().filter(|name| is_meant(name, ending)).collect();
        Self { ending, queue, names, buffer: vec![MaybeUninit::uninit(); BUFFER].into_boxed_slice() }
    }

    /// Whether a file of that name may be there. If not, no process that has ended by now has made it.
    pub fn may_have(&mut self, name: &str) -> bool {
        self.read();
        self.queue.is_none() || self.names.contains(name.as_bytes())
    }

    /// It was removed.
    pub fn forget(&mut self, name: &str) {
        self.names.remove(name.as_bytes());
    }

    /// Takes in what has come since the last time.
    fn read(&mut self) {
        let Self { ending, queue: Some(queue), names, buffer } = self else { return };
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
        if !is_whole || names.len() > MOST {
            // From now on every name may be there.
            self.queue = None;
            self.names = FxHashSet::default();
        }
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
        let arrivals = Arrivals::new(&Directory::open(dir.path()).unwrap(), ".x");
        (dir, arrivals)
    }

    #[test]
    fn a_name_that_has_not_come_is_not_there() {
        let (dir, mut arrivals) = watched();
        // Where the directory can't be watched there is nothing to be seen here.
        let is_watched = arrivals.queue.is_some();
        fs::write(dir.path().join("other.x"), "").unwrap();
        assert_eq!(arrivals.may_have("new.x"), !is_watched);
    }

    #[test]
    fn more_names_than_are_kept_may_all_be_there() {
        let (dir, mut arrivals) = watched();
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
        let names = [dir.path().join("a"), dir.path().join("b")];
        fs::write(&names[0], "").unwrap();
        for turn in 0..=most {
            // Two that are alike and follow each other would be one.
            fs::rename(&names[turn % 2], &names[(turn + 1) % 2]).unwrap();
        }
        assert!(arrivals.may_have("new.x"));
    }
}
