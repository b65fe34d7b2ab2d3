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
