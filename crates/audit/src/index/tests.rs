use std::path::PathBuf;

use super::*;
use crate::{Answer, Cell};

fn run_of(log: &[u8]) -> RunId {
    let first: serde_json::Value =
        serde_json::from_slice(log.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    RunId::new(first["run_id"].as_str().unwrap()).unwrap()
}

/// A log that is understood by a thread of its own.
fn long() -> (RunId, Vec<u8>) {
    let log = omne_bench::memory_log(3_000, 30).unwrap();
    assert!(log.len() > 1_000_000);
    (run_of(&log), log)
}

/// The logs of the fixtures that are linked, each with its run.
fn fixtures() -> Vec<(RunId, Vec<u8>)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/logs");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") && !path.ends_with("omne-cli-0.2.jsonl") {
            let bytes = fs::read(&path).unwrap();
            found.push((run_of(&bytes), bytes));
        }
    }
    found
}

#[derive(Default)]
struct Rows(Vec<Vec<Cell>>);

impl Answer for Rows {
    fn columns(&mut self, _: &[&str]) -> io::Result<()> {
        Ok(())
    }
    fn row(&mut self, cells: &[Cell]) -> io::Result<()> {
        self.0.push(cells.to_vec());
        Ok(())
    }
}

fn everything(index: &Index) -> Vec<Vec<Vec<Cell>>> {
    ["runs", "inputs", "nodes", "events", "hooks"]
        .map(|table| {
            let mut rows = Rows::default();
            index.query(&format!("SELECT * FROM {table} ORDER BY 1, 2"), &mut rows).unwrap();
            rows.0
        })
        .into()
}

fn sync(index: &str, directory: &Path, run: &RunId) -> (Index, Synced) {
    let logs = [Log { run: run.clone(), path: directory.join("events.jsonl") }];
    Index::sync(&directory.join(index), &logs, &|_| false).unwrap()
}

#[test]
fn what_is_taken_in_bit_by_bit_is_what_is_taken_in_at_once() {
    for (run, bytes) in fixtures().into_iter().chain([long()]) {
        let dir = tempfile::tempdir().unwrap();
        let log: PathBuf = dir.path().join("events.jsonl");
        // Cuts in the middle of lines, too: a line that is being written is none yet.
        let step = (bytes.len() / 7).max(1);
        for end in (step..bytes.len()).step_by(step).chain([bytes.len()]) {
            fs::write(&log, &bytes[..end]).unwrap();
            let (_, synced) = sync("bit.db", dir.path(), &run);
            assert!(synced.notices.is_empty(), "{run}: {:?}", synced.notices);
        }
        let (bit, _) = sync("bit.db", dir.path(), &run);
        let (whole, _) = sync("whole.db", dir.path(), &run);
        assert_eq!(everything(&bit), everything(&whole), "{run}");
    }
}

#[test]
fn an_index_that_was_not_finished_is_made_again() {
    let (run, bytes) = fixtures().remove(0);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events.jsonl"), &bytes).unwrap();
    let half = Connection::open(dir.path().join("index.db")).unwrap();
    half.execute_batch("CREATE TABLE run (id INTEGER)").unwrap();
    drop(half);
    let (index, _) = sync("index.db", dir.path(), &run);
    assert_eq!(everything(&index)[0].len(), 1);
}

#[test]
fn two_syncs_at_once_take_everything_in_once() {
    let (run, bytes) = fixtures().remove(0);
    // Who comes at which moment differs.
    for _ in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("events.jsonl"), &bytes).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| sync("index.db", dir.path(), &run));
            }
        });
        let (index, synced) = sync("index.db", dir.path(), &run);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!((everything(&index)[3].len(), synced.read), (lines, 0));
    }
}

#[test]
fn of_a_long_log_each_line_is_a_row() {
    let (run, bytes) = long();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events.jsonl"), &bytes).unwrap();
    let (index, synced) = sync("index.db", dir.path(), &run);
    assert_eq!((synced.events, synced.bytes), (3_000, bytes.len() as u64));
    let mut rows = Rows::default();
    index.query("SELECT json FROM events ORDER BY seq", &mut rows).unwrap();
    let lines = std::str::from_utf8(&bytes).unwrap().lines();
    assert!(rows.0.iter().eq(lines.map(|line| [Cell::Text(line.to_owned())]).collect::<Vec<_>>().iter()));
}

#[test]
fn what_is_behind_damage_in_a_long_log_is_left_out() {
    let (run, mut bytes) = long();
    let damaged = bytes.len() * 3 / 4;
    bytes[damaged..damaged + 400].fill(b'x');
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events.jsonl"), &bytes).unwrap();
    let (index, synced) = sync("index.db", dir.path(), &run);
    let whole = bytes[..damaged].iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(everything(&index)[3].len(), whole);
    let [notice] = synced.notices.as_slice() else { panic!("{:?}", synced.notices) };
    assert!(notice.message.contains(&format!("line {}", whole + 1)), "{}", notice.message);
}

/// Whoever understands its lines would wait for ever for them to be written.
#[test]
fn a_long_log_that_can_not_be_written_is_an_error() {
    let (run, bytes) = long();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events.jsonl"), "").unwrap();
    let (index, _) = sync("index.db", dir.path(), &run);
    let full = "CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'full'); END";
    index.db.execute_batch(full).unwrap();
    fs::write(dir.path().join("events.jsonl"), &bytes).unwrap();
    let logs = [Log { run, path: dir.path().join("events.jsonl") }];
    let error = Index::sync(&dir.path().join("index.db"), &logs, &|_| false).unwrap_err();
    assert!(matches!(error, IndexError::Database { .. }), "{error:?}");
}
