use std::path::PathBuf;

use super::*;
use crate::{Answer, Cell};

/// The logs of the fixtures that are linked, each with its run.
fn fixtures() -> Vec<(RunId, Vec<u8>)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/logs");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") && !path.ends_with("omne-cli-0.2.jsonl") {
            let bytes = fs::read(&path).unwrap();
            let first: serde_json::Value =
                serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
            found.push((RunId::new(first["run_id"].as_str().unwrap()).unwrap(), bytes));
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
    for (run, bytes) in fixtures() {
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
