//! Files beside a log: for their user alone, and never somewhere else by a link.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::fs::OFlags;

/// How often something is put out of the way that somebody puts there again.
const TRIES: u32 = 10;
/// What such a file may hold, in bytes.
const MOST: u64 = 1 << 20;

/// Options for a file that only its user may read and write, and that is no link; a pipe in its place is not waited for.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Makes a file with these bytes for its user alone. What stands in its place, a link too, is removed and not written to.
///
/// # Errors
/// When it can't be made or written.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    for _ in 0..TRIES {
        match private_file().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(path)?,
            opened => return opened?.write_all(bytes),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// What is in such a file.
///
/// # Errors
/// When it is not there, is no plain file, or can't be read.
pub fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    let file: File = private_file().read(true).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_link_is_replaced_and_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, path) = (dir.path().join("victim"), dir.path().join("file"));
        fs::write(&victim, "mine").unwrap();
        symlink(&victim, &path).unwrap();
        assert!(read_private(&path).is_err());
        write_private(&path, b"ours").unwrap();
        assert_eq!(
            (fs::read(&victim).unwrap(), read_private(&path).unwrap()),
            (b"mine".into(), b"ours".into())
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        write_private(&path, b"again").unwrap();
        assert_eq!(read_private(&path).unwrap(), b"again");
    }
}
