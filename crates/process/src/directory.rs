//! A directory that is held open. Names in it lead nowhere else, whatever
//! becomes of its path and whatever is put in place of its files.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, unlinkat},
    io::{Errno, retry_on_intr},
};

/// Of files that are made here: only their user may read and write them.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
/// How often something is put out of the way that somebody puts there again.
const TRIES: u32 = 10;

/// An open directory; the names of files in it have no `/`.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl Directory {
    /// Opens the directory at `path`, which is no link.
    ///
    /// # Errors
    /// When there is none, or it can't be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())).map_err(|error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("`{}` is no directory of its own: {error}", path.display()))
        })?;
        Ok(Self(Arc::new(Inner { fd, path: path.to_owned() })))
    }

    /// Where a file is, for messages and other programs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }

    fn open_at(&self, name: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        retry_on_intr(|| openat(&self.0.fd, name, flags, mode))
    }

    /// Makes a file for its user alone. What stands in its place, a link or a pipe too, is removed and not written to.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            match self.open_at(name, flags, PRIVATE) {
                Err(Errno::EXIST) => self.remove(name)?,
                opened => return Ok(opened?.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Opens a file to write behind what is in it; it is made for its user alone if there is none.
    ///
    /// # Errors
    /// When it can't be opened, or is a link or no plain file.
    pub fn append(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = self.open_at(name, flags, PRIVATE)?;
        let found = fstat(&file)?;
        let is_plain = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        // One with another name elsewhere is not only what stands here.
        if !is_plain || found.st_nlink > 1 {
            return Err(io::Error::other("it is not a plain file of its own"));
        }
        Ok(file.into())
    }

    /// Opens a file to read. A pipe that stands there is not waited for: it is as if it were empty.
    ///
    /// # Errors
    /// When there is none, it can't be opened, or is a link.
    pub fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(self.open_at(name, flags, Mode::empty())?.into())
    }

    /// Removes a file, if there is one.
    ///
    /// # Errors
    /// When it is there and can't be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0.fd, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// When there is no such file, or it can't be renamed.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0.fd, from, &self.0.fd, to)?)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::Arrivals;

    #[test]
    fn what_is_put_in_the_place_of_a_file_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path("link")).unwrap();
        fs::hard_link(&victim, directory.path("other name")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, directory.path("fifo"), FileType::Fifo, PRIVATE, 0).unwrap();
        for name in ["link", "other name", "fifo"] {
            assert!(directory.append(name).is_err(), "{name}");
            directory.create(name).unwrap().write_all(b"ours").unwrap();
            assert_eq!(fs::read_to_string(directory.path(name)).unwrap(), "ours");
            assert_eq!(fs::metadata(directory.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn whatever_way_a_file_comes_it_may_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("watched");
        fs::create_dir(&place).unwrap();
        for name in ["outside 1.x", "outside 2.x", "watched/before.x", "watched/y"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let mut arrivals = Arrivals::new(&Directory::open(&place).unwrap(), ".x", 0);
        assert!(arrivals.may_have("before.x"));
        fs::write(place.join("made.x"), "").unwrap();
        fs::rename(dir.path().join("outside 1.x"), place.join("moved.x")).unwrap();
        fs::rename(place.join("y"), place.join("renamed.x")).unwrap();
        fs::hard_link(dir.path().join("outside 2.x"), place.join("linked.x")).unwrap();
        std::os::unix::fs::symlink("../outside 2.x", place.join("link.x")).unwrap();
        for name in ["before.x", "made.x", "moved.x", "renamed.x", "linked.x", "link.x"] {
            assert!(arrivals.may_have(name), "{name}");
        }
        fs::remove_file(place.join("made.x")).unwrap();
        arrivals.forget("made.x");
        fs::write(place.join("made.x"), "").unwrap();
        assert!(arrivals.may_have("made.x"), "again");
    }

    #[test]
    fn a_directory_that_is_replaced_by_a_link_is_still_the_one_that_was_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, elsewhere) = (dir.path().join("ours"), dir.path().join("elsewhere"));
        fs::create_dir(&ours).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        let directory = Directory::open(&ours).unwrap();
        fs::rename(&ours, dir.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &ours).unwrap();
        directory.create("file").unwrap();
        assert!(dir.path().join("moved/file").exists() && !elsewhere.join("file").exists());
        assert!(Directory::open(&ours).is_err(), "a link is no directory");
    }
}
