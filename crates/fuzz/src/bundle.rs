//! Bundles.

use std::{fs, io::Write};

use omne_audit::{Redactor, is_bundle, unpack};

/// A bundle, packed or as the archive in it: nothing is written but plain files below the directory of its own, and what
/// was unpacked can be packed and unpacked again.
pub fn bundle(bytes: &[u8]) {
    unpacked(bytes);
    // The checksums of the compression would hide the archive from a fuzzer.
    let packed = zstd::encode_all(bytes, 1).expect("memory can be compressed");
    unpacked(&packed);
}

fn unpacked(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
    file.write_all(bytes).expect("there is room for a file");
    is_bundle(file.path());
    let found = match unpack(file.path()) {
        Ok(found) => found,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let plain = |path: &std::path::Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    assert!(plain(&found.log()));
    for entry in fs::read_dir(found.nodes()).expect("the directory was made") {
        assert!(plain(&entry.expect("it can be listed").path()));
    }
    let none = Redactor::new([]).expect("no pattern is wrong");
    let mut again = Vec::new();
    let directory = found.log().parent().expect("the log is in a directory").to_owned();
    if omne_audit::bundle(found.run(), &directory, &none, &mut again).is_ok() {
        let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
        file.write_all(&again).expect("there is room for a file");
        let twice = unpack(file.path()).expect("what was packed can be unpacked");
        assert_eq!(twice.run(), found.run());
        // A line that was being written is no part of the run, nor is what follows a zero.
        let log = fs::read(found.log()).expect("it was unpacked");
        let readable = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        let whole = log[..readable].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        assert!(fs::read(twice.log()).is_ok_and(|twice| twice == log[..whole]));
    }
}
