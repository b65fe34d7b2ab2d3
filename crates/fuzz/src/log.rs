//! Logs: lines, the fold, the check, and what is made of them.

use std::{fs, io::Read, path::Path};

use omne_audit::{Index, Log, Story, chrome_trace, diff, html, junit, otlp_json, svg, why};
use omne_events::{Decoder, Digest, Line, LogReader, Recorded, RunId, Tail, encode};
use omne_replay::{FoldError, Folded, Request, RunState, Snapshot, Terms, fold, plan, verify};
use serde_json::Value;

use crate::relink::relinked;

/// Lines of a log, each for itself: the quick way and the general one read the same out of a line, and what was read is
/// written in a form that reads back.
pub fn event_line(bytes: &[u8]) {
    let (mut quick, mut general) = (Decoder::new(), Decoder::new());
    for line in bytes.split(|&byte| byte == b'\n') {
        let said = said(&mut quick, line);
        // A blank after the brace sends a line the general way.
        let slow = match line.split_first() {
            Some((b'{', rest)) => [b"{ ", rest].concat(),
            _ => line.to_vec(),
        };
        assert_eq!(said, self::said(&mut general, &slow), "{}", String::from_utf8_lossy(line));
        if let Some(Said { written: Some(written), .. }) = said {
            let again = self::said(&mut Decoder::new(), &written).expect("what is written can be read");
            let text = String::from_utf8_lossy(&written);
            assert_eq!(again.written.as_deref(), Some(&written[..]), "{text}");
        }
    }
}

/// What is in a line: of a known event also what would be written of it.
#[derive(Debug, PartialEq)]
struct Said {
    seq: u64,
    kind: String,
    id: String,
    at: i64,
    run: String,
    prev: Option<String>,
    legacy: bool,
    written: Option<Vec<u8>>,
}

fn said(decoder: &mut Decoder, line: &[u8]) -> Option<Said> {
    let decoded = decoder.decode(line).ok()?;
    let written = |record: &Recorded| {
        let mut out = Vec::new();
        encode(record, Digest::ZERO, &mut out).ok().map(|()| out)
    };
    Some(Said {
        seq: decoded.line.seq(),
        kind: decoded.line.kind().to_owned(),
        id: decoded.line.id().to_string(),
        at: decoded.line.at().as_millisecond(),
        run: decoded.line.run().to_owned(),
        written: if let Line::Known(record) = &*decoded.line.to_line() { written(record) } else { None },
        prev: decoded.prev.map(Into::into),
        legacy: decoded.legacy,
    })
}

/// A log, as it is and with its links mended: any split of its bytes gives the same lines; if it folds, so does each
/// prefix of it; a log without a finding folds; and whatever is told of a run can be told of this one.
pub fn log(bytes: &[u8]) {
    whole(bytes);
    whole(&relinked(bytes));
}

/// Gives its bytes in pieces.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(self.0.len()).min(out.len());
        out[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

fn reader(bytes: &[u8]) -> LogReader<'_> {
    LogReader::new(bytes, Path::new("log"))
}

fn folded(bytes: &[u8]) -> Result<Folded, FoldError> {
    fold(RunState::new(), &mut reader(bytes), None, &mut |_, _| {})
}

fn seen(state: &RunState) -> Value {
    serde_json::to_value(state.view()).expect("a state has a JSON form")
}

fn whole(bytes: &[u8]) {
    let mut pieces = LogReader::new(Pieces(bytes, 61), Path::new("log"));
    let mut lines = 0;
    while let Ok(Some(line)) = pieces.next_line() {
        assert!(!line.contains(&b'\n'));
        lines += 1;
    }
    // What follows a zero is no part of the log.
    let readable = bytes.iter().take_while(|&&byte| byte != 0);
    let newlines = readable.filter(|&&byte| byte == b'\n').count();
    assert_eq!(lines, newlines);
    let torn = bytes.len() as u64 - pieces.offset();
    assert_eq!(pieces.tail() == Tail::Clean, torn == 0);

    let report = verify(&mut reader(bytes), Terms::default()).expect("memory can be read");
    assert_eq!(report.lines, newlines as u64);
    assert!(report.findings.iter().all(|finding| finding.line >= 1 && finding.line <= report.lines + 1));
    let result = folded(bytes);
    if report.findings.is_empty() {
        let folded = result.as_ref().unwrap_or_else(|error| panic!("no finding, and {error:?}"));
        assert_eq!(seen(&folded.state), seen(&report.state));
    }
    let light = fold(RunState::light(), &mut reader(bytes), None, &mut |_, _| {});
    match result {
        Ok(folded) => {
            if let Ok(light) = light {
                serde_json::to_value(light.state.summary()).expect("a state has a JSON form");
            }
            prefixes(bytes, newlines);
            told(bytes, &folded);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(Story::read(&mut reader(bytes), |_, _| {}).is_err());
        }
    }
}

/// What stopped after any line had a state, and goes on from it to the same end.
fn prefixes(bytes: &[u8], newlines: usize) {
    let mut state = RunState::new();
    let mut decoder = Decoder::new();
    let mut end = 0;
    // Of a long log some prefixes are enough: each costs a fold.
    let every = newlines / 12 + 1;
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let Some(text) = line.strip_suffix(b"\n") else { break };
        end += line.len();
        let decoded = decoder.decode(text).expect("the whole log folds");
        if let Line::Known(record) = decoded.line.into_line() {
            state.apply(&record).expect("the whole log folds");
        }
        if number % every == 0 {
            let torn = &bytes[..bytes.len().min(end + 20)];
            let part = if torn[end..].contains(&b'\n') { &bytes[..end] } else { torn };
            let folded = folded(part).unwrap_or_else(|error| panic!("the first {number} lines: {error:?}"));
            assert_eq!(seen(&folded.state), seen(&state));
        }
    }
}

/// All that can be told of a run.
fn told(bytes: &[u8], folded: &Folded) {
    let mut snapshot = Snapshot::new();
    let mut events = omne_audit::Events::default();
    let story = Story::read(&mut reader(bytes), |bytes, line| {
        snapshot.push(line);
        events.take(bytes, line);
    });
    let story = story.expect("a log that folds has a story");
    assert_eq!(seen(&story.state), seen(&folded.state));
    assert!(diff(&story, &story).is_empty(), "a run differs from itself");
    if let Some(pipe) = story.state.pipe() {
        for node in pipe.nodes().iter().take(20) {
            let causes = why(&story, node.id.as_str());
            assert!(causes.is_some_and(|causes| !causes.is_empty()));
        }
        assert!(svg(pipe, Some(&story.state)).starts_with("<svg"));
        let steps = plan(&story.state, &Request::default()).expect("a run with a definition has a plan");
        assert_eq!(steps.len(), pipe.nodes().len());
        assert!(steps.iter().all(|step| !step.why.is_empty()));
    }
    assert!(!snapshot.finish(&story.state).is_empty());
    let mut out = Vec::new();
    chrome_trace(&story, &mut out).expect("memory can be written");
    serde_json::from_slice::<Value>(&out).expect("a trace is JSON");
    out.clear();
    otlp_json(&story, &mut out).expect("memory can be written");
    serde_json::from_slice::<Value>(&out).expect("a trace is JSON");
    out.clear();
    junit(&story, &|_| Some("\u{1}<&]]>".into()), &mut out).expect("memory can be written");
    let plain = |byte: &u8| *byte >= b' ' || matches!(byte, b'\n' | b'\t' | b'\r');
    assert!(out.iter().all(plain), "XML has no control characters");
    out.clear();
    let report =
        omne_audit::Report { story: &story, chain: Ok(None), capture: &|_, _| None, events: &events };
    html(&report, &mut out).expect("memory can be written");
    let page = String::from_utf8(out).expect("a page is text");
    let scripts = page.matches("<script").count();
    assert_eq!(scripts, 1, "a text of the log became a script");
}

/// The index of a log: it can be made of any bytes, and is the same whether they came at once or after each other.
pub fn index(bytes: &[u8]) {
    let bytes = &relinked(bytes);
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let Ok(run) = RunId::new("p-01kahj5zz0000000000000000a") else { return };
    let path = directory.path().join("events.jsonl");
    let logs = [Log { run, path: path.clone() }];
    let sync = |name: &str| {
        let (index, synced) =
            Index::sync(&directory.path().join(name), &logs, &|_| false).expect("it can be written");
        (rows(&index), synced)
    };
    let half = bytes.len() / 2;
    let half = bytes[..half].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    fs::write(&path, &bytes[..half]).expect("there is room for a file");
    sync("grown.db");
    fs::write(&path, bytes).expect("there is room for a file");
    let (grown, _) = sync("grown.db");
    let (whole, synced) = sync("whole.db");
    assert_eq!(grown, whole, "after each other and at once");
    assert_eq!(synced.runs, 1);
    let (again, synced) = sync("whole.db");
    assert_eq!(again, whole);
    assert_eq!(synced.events, 0, "nothing is read twice");
}

#[derive(Default)]
struct Rows(Vec<String>);

impl omne_audit::Answer for Rows {
    fn columns(&mut self, _: &[&str]) -> std::io::Result<()> {
        Ok(())
    }
    fn row(&mut self, cells: &[omne_audit::Cell]) -> std::io::Result<()> {
        self.0.push(format!("{cells:?}"));
        Ok(())
    }
}

fn rows(index: &Index) -> Vec<String> {
    let mut rows = Rows::default();
    for table in ["runs", "inputs", "nodes", "events", "hooks"] {
        index.query(&format!("SELECT * FROM {table}"), &mut rows).expect("the table is there");
    }
    rows.0.sort();
    rows.0
}
