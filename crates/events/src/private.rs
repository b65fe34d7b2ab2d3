//! Files of a volume: those beside a log are for their user alone and never somewhere else by a link, and none is waited
//! for that somebody put a pipe in the place of.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
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

/// Opens a file to read it, which may be a link to one. A pipe or a device in its place is not waited for.
///
/// # Errors
/// When it is not there, is no plain file, or can't be opened.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let kind = file.metadata()?.file_type();
    match kind.is_file() {
        true => Ok(file),
        false if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        false => Err(io::Error::other("it is not a plain file")),
    }
}

/// What is in such a file.
///
/// # Errors
/// As [`open_plain`], and when it can't be read.
pub fn read_plain(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_plain(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file that may be missing, or blanked by `/dev/null`. A link that leads nowhere is no missing file:
/// somebody wanted one to be there.
///
/// # Errors
/// When it is there, and is no plain file with text or can't be read.
pub fn read_optional(path: &Path) -> io::Result<Option<String>> {
    let null = |file: &fs::Metadata| {
        file.file_type().is_char_device()
            && Path::new("/dev/null").metadata().is_ok_and(|null| null.rdev() == file.rdev())
    };
    if path.metadata().is_ok_and(|file| null(&file)) {
        return Ok(None);
    }
    match read_plain(path) {
        Ok(bytes) => {
            let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
            String::from_utf8(bytes).map(Some).map_err(no_text)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.symlink_metadata() {
            Ok(_) => Err(io::Error::new(io::ErrorKind::NotFound, "it is a link that leads nowhere")),
            Err(_) => Ok(None),
        },
        Err(error) => Err(error),
    }
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
