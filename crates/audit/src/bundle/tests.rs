use super::*;

/// A bundle of these entries.
fn archive(entries: &[(&str, tar::EntryType, &str)]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let encoder = zstd::Encoder::new(file.reopen().unwrap(), LEVEL).unwrap();
    let mut archive = tar::Builder::new(encoder);
    for (name, kind, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_entry_type(*kind);
        // The name as it is: the library would refuse what leads out of the archive.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if *kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        archive.append(&header, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
    file
}

const RUN: &str = "p-01kahj5zz0000000000000000a";

#[test]
fn nothing_of_a_bundle_leaves_its_place() {
    use tar::EntryType::{Directory, Regular, Symlink};
    let log = format!("{RUN}/events.jsonl");
    for (entries, why) in [
        (vec![("../../x", Regular, "x")], "no part of a run"),
        (vec![("/etc/x", Regular, "x")], "no part of a run"),
        (vec![(&*format!("{RUN}/nodes/../../x"), Regular, "x")], "no part of a run"),
        (vec![(&*format!("{RUN}/nodes/a.out"), Symlink, "")], "not a plain file"),
        (vec![(&*format!("{RUN}/nodes"), Directory, "")], "not a plain file"),
        (vec![("other/events.jsonl", Regular, "x")], "not called like a run"),
        (vec![(&*log, Regular, "x"), (&*log, Regular, "y")], "twice"),
        (vec![(&*format!("{RUN}/nodes/a.out"), Regular, "x")], "no log"),
        (vec![], "empty"),
    ] {
        let error = unpack(archive(&entries).path()).unwrap_err().to_string();
        assert!(error.contains(why), "{entries:?}: {error}");
    }
    assert_eq!(unpack(archive(&[(&log, Regular, "x")]).path()).unwrap().run().as_str(), RUN);
}

#[test]
fn what_is_no_archive_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), [&MAGIC[..], b"and then nothing of the kind"].concat()).unwrap();
    assert!(is_bundle(file.path()));
    assert!(matches!(unpack(file.path()), Err(BundleError::Foreign { .. })));
    fs::write(file.path(), "{}").unwrap();
    assert!(!is_bundle(file.path()));
}

#[test]
fn a_pattern_that_matches_nothing_removes_nothing() {
    let redactor = Redactor::new(["x*"]).unwrap();
    let mut out = tempfile::tempfile().unwrap();
    assert_eq!(redact::lines(&b"abc\n"[..], &redactor, &mut out).unwrap(), 0);
    assert!(Redactor::new(["("]).is_err());
}

/// The memory of this process in KiB at its most; 0 where nobody tells.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

#[test]
fn headers_that_are_bombs_take_no_memory() {
    use tar::EntryType::{GNULongName, XHeader};
    for kind in [GNULongName, XHeader] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let encoder = zstd::Encoder::new(file.reopen().unwrap(), LEVEL).unwrap();
        let mut archive = tar::Builder::new(encoder);
        let mut header = tar::Header::new_gnu();
        let length = 64 << 20;
        header.set_size(length);
        header.set_entry_type(kind);
        header.set_cksum();
        archive.append(&header, io::repeat(b'a').take(length)).unwrap();
        archive.into_inner().unwrap().finish().unwrap();
        assert!(file.as_file().metadata().unwrap().len() < 1 << 20);
        let before = peak();
        let error = unpack(file.path()).unwrap_err().to_string();
        assert!(error.contains("longer than any is"), "{error}");
        assert!(peak() < before + 40_000, "{before} KiB before, {} after", peak());
    }
}

#[test]
fn long_names_are_unpacked_as_they_were_packed() {
    let directory = tempfile::tempdir().unwrap();
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/logs/completed.jsonl");
    fs::copy(log, directory.path().join(LOG)).unwrap();
    let name = format!("{}.out", "n".repeat(200));
    fs::create_dir(directory.path().join(NODES)).unwrap();
    fs::write(directory.path().join(NODES).join(&name), "hi").unwrap();
    let mut packed = Vec::new();
    bundle(&RunId::new(RUN).unwrap(), directory.path(), &Redactor::default(), &mut packed).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), packed).unwrap();
    assert_eq!(fs::read_to_string(unpack(file.path()).unwrap().nodes().join(name)).unwrap(), "hi");
}
