//! A log of a million events, and a pipe of a hundred thousand nodes.

use anyhow::Result;

use super::{Bench, rows};
use crate::{
    files::{Shape, file_log, volume},
    measure::{Entry, Measured},
    table::Table,
};

const EVENTS: u64 = 1_000_000;
const NODES: u64 = 10_000;
const PIPE: usize = 100_000;

pub(super) fn tables(bench: &Bench) -> Result<Vec<Table>> {
    let directory = bench.directory("logs")?;
    let made = file_log(&directory, 0, EVENTS, NODES)?;
    let run = made.run.as_str();
    let log = format!(".omne/var/runs/{run}/events.jsonl");
    let size = std::fs::metadata(directory.join(&log))?.len() as f64 / 1e6;
    let note = format!(
        "{} events of {NODES} nodes, {size:.0} MB, in the cache of the system. The floor is `wc -l`, which reads the file \
         and looks for the ends of lines.",
        made.events
    );
    let header = ["program", "wall", "× `wc -l`", "CPU × `wc -l`", "peak MiB", "runs"];
    let mut table = Table::new("A log of a million events", &note, &header);
    let floor = Measured::new("wc".as_ref(), &directory, &format!("-l {log}"));
    let mut sync = bench.omne("omne audit sync, no index yet", &directory, "audit sync");
    sync.what =
        sync.what.leaving(&[".omne/var/index.db", ".omne/var/index.db-wal", ".omne/var/index.db-shm"]);
    let entries = [
        Entry { name: "wc -l".to_owned(), what: floor },
        bench.omne("omne status RUN", &directory, &format!("status {run}")),
        bench.omne("omne verify RUN", &directory, &format!("verify {run}")),
        sync,
    ];
    let mut standings = bench.contest(bench.rounds, &entries)?;
    // The index stands from the last round.
    let [floor, .., _] = entries;
    let again = [floor, bench.omne("omne audit sync, nothing new", &directory, "audit sync")];
    standings.extend(bench.contest(bench.rounds, &again)?.into_iter().skip(1));
    rows(&mut table, &[], &standings);
    std::fs::remove_dir_all(&directory)?;
    Ok(vec![table, validate(bench)?])
}

fn validate(bench: &Bench) -> Result<Table> {
    let directory = volume(&bench.directory("validate")?, "auto")?;
    let text = Shape::Layered.pipe(PIPE, "true");
    std::fs::write(directory.join("x.yaml"), &text)?;
    let note = format!(
        "A layered pipe of {PIPE} nodes, {:.1} MB of YAML, checked for every fault. The floor is `cat`.",
        text.len() as f64 / 1e6
    );
    let header = ["program", "wall", "× `cat`", "CPU × `cat`", "peak MiB", "runs"];
    let mut table = Table::new("A pipe of 100,000 nodes", &note, &header);
    let floor = Entry { name: "cat".to_owned(), what: Measured::new("cat".as_ref(), &directory, "x.yaml") };
    let entries = [floor, bench.omne("omne validate", &directory, "validate x.yaml")];
    rows(&mut table, &[], &bench.contest(bench.rounds, &entries)?);
    Ok(table)
}
