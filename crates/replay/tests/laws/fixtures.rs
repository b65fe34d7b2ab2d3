//! The logs in `fixtures/logs` with their replays. They are told here, so they can be told again after a change of the
//! format: `OMNE_WRITE_FIXTURES=1 cargo test -p omne-replay`.

use std::path::{Path, PathBuf};

use omne_events::*;
use omne_replay::{Request, RunState, Snapshot, Terms, fold, plan, verify};

use crate::story::{Story, failed, folded, id, seen};

const NODES: &str = "- {id: a, bash: echo a}\n- {id: b, depends_on: [a], bash: ./b, retry: {max: 1}}\n- {id: c, depends_on: [b], bash: echo c, gate: ok}\n- {id: d, when: '1 > 2', bash: echo d}";

fn up_to_b() -> Story {
    let mut story = Story::of(NODES);
    story.say(NodeSkipped { node_id: id("d"), reason: "`when` is false: 1 > 2".into() });
    story.start("a", 1).complete("a").start("b", 1);
    story
}

fn end_c(story: &mut Story) {
    story.start("c", 1);
    story.say(GatePassed {
        node_id: id("c"),
        gate: "ok".into(),
        method: GateMethod::Hook,
        stdout: Some("fine\n".into()),
        by: None,
        comment: None,
    });
    story.complete("c").say(PipeCompleted { duration_ms: 100 });
}

fn completed_log() -> Vec<u8> {
    let mut story = up_to_b();
    story.fail("b", Some(0)).start("b", 2).complete("b");
    end_c(&mut story);
    story.bytes()
}

fn aborted() -> Story {
    let mut story = up_to_b();
    story.fail("b", Some(0)).start("b", 2).fail("b", None);
    story.say(PipeAborted {
        reason: "failed: b; blocked: c".into(),
        failed: vec![id("b")],
        blocked: vec![id("c")],
        failed_total: None,
        blocked_total: None,
        duration_ms: 90,
    });
    story
}

fn resumed_log() -> Vec<u8> {
    let mut story = aborted();
    let steps = plan(&story.state, &Request::default()).unwrap();
    story.resume(steps).start("b", 3).complete("b");
    end_c(&mut story);
    story.bytes()
}

fn interrupted_log() -> Vec<u8> {
    let mut story = up_to_b();
    story.say(NodeFailed {
        message: None,
        exit_code: None,
        signal: Some(15),
        ..failed("b", 1, ErrorKind::Interrupted)
    });
    story.say(PipeInterrupted { signal: "SIGINT".into(), running: vec![id("b")] });
    story.bytes()
}

fn cut_off_log() -> Vec<u8> {
    let mut bytes = up_to_b().bytes();
    bytes.extend_from_slice(b"{\"seq\":7,\"type\":\"node.comp");
    bytes
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/logs")
}

#[test]
fn the_stored_logs_are_those_that_are_told_here() {
    let write = std::env::var_os("OMNE_WRITE_FIXTURES").is_some();
    for (name, bytes) in [
        ("completed", completed_log()),
        ("aborted", aborted().bytes()),
        ("resumed", resumed_log()),
        ("interrupted", interrupted_log()),
        ("torn", cut_off_log()),
    ] {
        let path = directory().join(format!("{name}.jsonl"));
        if write {
            std::fs::write(&path, &bytes).unwrap();
        }
        assert!(std::fs::read(&path).unwrap() == bytes, "{name}.jsonl differs; see the module's head");
    }
}

#[test]
fn each_stored_log_has_its_replay() {
    let mut logs: Vec<PathBuf> = std::fs::read_dir(directory())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    logs.sort();
    assert!(logs.len() >= 6);
    for path in logs {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let mut snapshot = Snapshot::new();
        let mut reader = LogReader::new(&bytes[..], &path);
        let folded =
            fold(RunState::new(), &mut reader, None, &mut |_, line| snapshot.push(&line.to_line())).unwrap();
        let text =
            format!("{}\n{}\ntail: {:?}", snapshot.finish(&folded.state), seen(&folded.state), folded.tail);
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn only_the_torn_log_has_a_finding() {
    for file in std::fs::read_dir(directory()).unwrap().map(|file| file.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap();
        let report = verify(&mut LogReader::new(&bytes[..], &file), Terms::default()).unwrap();
        let torn = file.ends_with("torn.jsonl");
        assert_eq!(report.findings.len(), usize::from(torn), "{}: {:?}", file.display(), report.findings);
    }
}

#[test]
fn a_runner_that_died_was_at_it_until_its_last_event() {
    let mut story = aborted();
    let before = story.state.active_ms();
    let steps = plan(&story.state, &Request::default()).unwrap();
    story.resume(steps);
    assert_eq!(folded(&story.bytes()).state.active_ms(), before);
}
