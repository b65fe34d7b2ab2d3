//! What holds after any fault. The logs are read by this file alone, without a line of the program's own code.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{sandbox::Sandbox, shapes::Shape};

/// What the log told right after a fault: all of it stays.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Its whole lines.
    lines: Vec<u8>,
    /// Bytes that a writer left behind them.
    torn: usize,
}

/// The log of the only run of a volume, if there is one with a line in it.
pub(crate) fn log(volume: &Path) -> Option<PathBuf> {
    let runs = std::fs::read_dir(volume.join(".omne/var/runs")).ok()?;
    let runs: Vec<PathBuf> = runs.map(|entry| entry.unwrap().path()).collect();
    assert!(runs.len() < 2, "{runs:?}");
    let log = runs.first()?.join("events.jsonl");
    std::fs::read(&log).is_ok_and(|bytes| bytes.contains(&b'\n')).then_some(log)
}

/// Right after a fault: the log is a valid prefix. `None` when nothing had begun.
pub(crate) fn told(volume: &Path) -> Option<Told> {
    let log = std::fs::read(log(volume)?).unwrap();
    let end = log.iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    let told = told_by(&log)?;
    // Without a power cut nothing but the last line can be torn.
    assert_eq!(told.lines.len(), end);
    Some(told)
}

/// The same for the bytes of a log. After a power cut more than a line may be lost.
pub(crate) fn told_by(log: &[u8]) -> Option<Told> {
    let whole = log
        .split_inclusive(|&byte| byte == b'\n')
        .take_while(|line| line.ends_with(b"\n") && serde_json::from_slice::<Value>(line).is_ok());
    let lines = whole.collect::<Vec<_>>().concat();
    let torn = log.len() - lines.len();
    obeys(&events(&lines));
    (!lines.is_empty()).then_some(Told { lines, torn })
}

/// Whoever saw the fault, saw no panic and no hang.
pub(crate) fn is_civil(code: i32, stderr: &str) {
    assert_ne!(code, 101, "a panic: {stderr}");
    assert_ne!(code, 124, "a hang: {stderr}");
    assert!(!stderr.contains("panicked at"), "a panic: {stderr}");
}

/// Resumes until the end that the run has when nobody disturbs it, and looks at everything.
pub(crate) fn resumes(sandbox: &Sandbox, shape: &Shape, told: &[Told]) {
    let resume = sandbox.omne(&["resume", "@last"]);
    is_civil(resume.code, &resume.stderr);
    assert_eq!(resume.code, shape.code, "{resume:?}");
    is_over(sandbox, shape, told);
}

/// The run has ended as if nothing had happened.
pub(crate) fn is_over(sandbox: &Sandbox, shape: &Shape, told: &[Told]) {
    assert_eq!(sandbox.states(), shape.states);
    let verify = sandbox.omne(&["verify", "--all"]);
    assert_eq!(verify.code, 0, "{verify:?}");
    log_is_over(sandbox.root(), told);
    nobody_is_left(sandbox);
}

/// What was told is still there, and what the nodes have noted fits it.
pub(crate) fn log_is_over(volume: &Path, told: &[Told]) {
    let log = log(volume).unwrap();
    let bytes = std::fs::read(&log).unwrap();
    for told in told {
        assert!(bytes.starts_with(&told.lines), "what was in the log is not there any more");
    }
    let events = events(&bytes);
    obeys(&events);
    effects(volume, &events);
    let torn = told.iter().filter(|told| told.torn > 0).count();
    let aside = std::fs::read_dir(log.parent().unwrap()).unwrap().flatten();
    let aside = aside.filter(|entry| entry.file_name().to_string_lossy().contains(".torn-")).count();
    assert!(aside >= torn, "{torn} torn lines, {aside} kept");
}

/// No process of the run lives.
pub(crate) fn nobody_is_left(sandbox: &Sandbox) {
    let left = left(sandbox);
    assert!(left.is_empty(), "processes were left: {left:?}");
}

/// The processes that wear the mark of this volume's runs.
pub(crate) fn left(sandbox: &Sandbox) -> Vec<String> {
    let mark = format!("OMNE_VOLUME_ROOT={}", sandbox.root().display()).into_bytes();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|entry| {
            // The environment of a dead process is empty.
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.windows(mark.len()).any(|window| window == mark)
        })
        .map(|entry| {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            format!("{} {}", entry.file_name().display(), String::from_utf8_lossy(&command))
        })
        .collect()
}

pub(crate) fn events(lines: &[u8]) -> Vec<Value> {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

pub(crate) fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_default()
}

/// Nothing starts before what it needs, nothing that completed starts again, nothing has two ends.
fn obeys(events: &[Value]) {
    let nodes =
        events.first().and_then(|first| first["definition"]["nodes"].as_array()).into_iter().flatten();
    let needs: HashMap<&str, Vec<&str>> = nodes
        .map(|node| {
            let needs = node["depends_on"].as_array().into_iter().flatten();
            (text(node, "id"), needs.map(|id| id.as_str().unwrap()).collect())
        })
        .collect();
    let mut running: HashMap<&str, &Value> = HashMap::new();
    let mut completed: HashMap<&str, &Value> = HashMap::new();
    let mut rounds: HashMap<&str, u64> = HashMap::new();
    for (event, seq) in events.iter().zip(1u64..) {
        assert_eq!(event["seq"], seq);
        let node = text(event, "node_id");
        match text(event, "type") {
            "pipe.resumed" => running.clear(),
            "node.started" => {
                assert!(!completed.contains_key(node), "{node} completed and starts again: {event}");
                assert!(running.insert(node, &event["attempt"]).is_none(), "{node} starts twice: {event}");
                let missing: Vec<_> =
                    needs[node].iter().filter(|need| !completed.contains_key(*need)).collect();
                assert!(missing.is_empty(), "{node} starts before {missing:?}: {event}");
            }
            "node.completed" | "node.failed" => {
                assert_eq!(
                    running.remove(node),
                    Some(&event["attempt"]),
                    "an end without its start: {event}"
                );
                // An attempt that came to an end is not gone on with; one that was cut off is.
                rounds.remove(node);
                if text(event, "type") == "node.completed" {
                    completed.insert(node, &event["attempt"]);
                }
            }
            "iteration.completed" => {
                let round = event["iteration"].as_u64().unwrap();
                assert!(
                    rounds.insert(node, round).is_none_or(|before| before < round),
                    "a round twice: {event}"
                );
            }
            "iteration.started" => {
                let round = event["iteration"].as_u64().unwrap();
                let done = rounds.get(node).is_some_and(|done| *done >= round);
                assert!(!done, "a round that was done begins again: {event}");
            }
            "pipe.completed" => assert!(running.is_empty(), "completed while {running:?} run"),
            _ => {}
        }
    }
}

/// What the nodes themselves have noted fits the log.
fn effects(volume: &Path, events: &[Value]) {
    let violations = std::fs::read_to_string(volume.join("violations")).unwrap_or_default();
    assert_eq!(violations, "");
    let of = |node: &str, kind: &str| -> Vec<u64> {
        let events = events.iter().filter(|event| event["node_id"] == node && event["type"] == kind);
        events.map(|event| event["attempt"].as_u64().unwrap()).collect()
    };
    for entry in std::fs::read_dir(volume.join("effects")).unwrap().flatten() {
        let node = entry.file_name().into_string().unwrap();
        let notes = std::fs::read_to_string(entry.path()).unwrap();
        let begun = notes.lines().filter_map(|line| line.strip_prefix("start "));
        let begun: Vec<u64> = begun.map(|attempt| attempt.parse().unwrap()).collect();
        let mut once = begun.clone();
        once.dedup();
        assert_eq!(begun, once, "an attempt of {node} ran twice: {notes}");
        let started = of(&node, "node.started");
        assert!(begun.iter().all(|attempt| started.contains(attempt)), "{node} ran unrecorded: {notes}");
        if let [attempt] = of(&node, "node.completed")[..] {
            assert_eq!(notes.lines().last(), Some(&*format!("end {attempt}")), "{node}: {notes}");
        }
    }
}
