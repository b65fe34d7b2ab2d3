//! What of the output is never kept.

use super::*;

/// What is kept of what a script prints whose secret is `hunter2!`, of its standard output and error.
fn masked(script: &str, limit: u64) -> (String, String, u64) {
    let mut world = World::new();
    let mask = std::sync::Arc::new(crate::Mask::new([&b"hunter2!"[..]]).unwrap());
    let spec = Spec { mask: Some(mask), output_limit: limit, ..world.spec(script) };
    world.supervisor.spawn(spec).unwrap();
    let ended = world.next_end();
    let kept = std::fs::read_to_string(world.dir.path().join("out")).unwrap_or_default();
    assert_eq!(ended.stdout.bytes, kept.len() as u64);
    assert_eq!(ended.stdout.sha256[..], <sha2::Sha256 as sha2::Digest>::digest(&kept)[..], "of what is kept");
    (kept, ended.stderr.tail_text(), ended.stdout.bytes)
}

#[test]
fn a_secret_that_comes_in_pieces_is_never_kept() {
    let script = "printf hun; sleep 0.05; printf ter2; sleep 0.05; echo !; echo 'of hunter2!' >&2";
    let (out, err, _) = masked(script, 1 << 30);
    assert_eq!((out.as_str(), err.as_str()), ("***\n", "of ***\n"));
}

#[test]
fn a_secret_where_another_thread_takes_over_is_never_kept() {
    // The thread begins after 16 KiB: one secret lies across each of the bytes around that.
    for before in [16_377, 16_380, 16_384] {
        let script = format!(
            "printf '%0{before}d' 0; printf hunt; sleep 0.02; printf 'er2!'; printf '%060000d' 0; printf hunt; sleep 0.02; printf 'er2!%04d' 0"
        );
        let (out, ..) = masked(&script, 1 << 30);
        assert_eq!(out, format!("{:0before$}***{:060000}***0000", 0, 0));
    }
}

#[test]
fn a_secret_that_the_end_of_a_stream_cuts_off_is_never_kept() {
    assert_eq!(masked("printf 'it is hunter2'", 1 << 30).0, "it is ***");
    assert_eq!(masked("printf 'it is hunter2! indeed'", 11).0, "it is ***", "the limit cuts");
    let flood = "printf '%020000d' 0; sleep 0.02; printf hunter";
    assert_eq!(masked(flood, 1 << 30).0, format!("{:020000}***", 0), "in a thread of its own");
}
