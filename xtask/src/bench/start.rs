//! What ends in a moment.

use anyhow::Result;

use super::{Bench, rows};
use crate::{
    files::{Shape, file_log, volume},
    measure::{Entry, Measured},
    table::Table,
};

/// A round takes a few milliseconds, so there are many.
const ROUNDS: usize = 25;

pub(super) fn tables(bench: &Bench) -> Result<Vec<Table>> {
    let header = ["program", "wall", "× `sh -c true`", "CPU × `sh -c true`", "peak MiB", "runs"];
    let note = "From the start of the process to its end, with `sh -c true` as the measure of what a process costs. The \
                10 nodes are `true`, in place, two in flight or one by one; the runs in the list have 100 events each.";
    let mut table = Table::new("Start-up", note, &header);
    let directory = bench.directory("start")?;
    let list = directory.join("list");
    for number in 0..1_000 {
        file_log(&list, number, 100, 10)?;
    }
    let empty = volume(&directory.join("empty"), "auto")?;
    let ten = |name: &str, shape: Shape| {
        let run = bench.omne_run(&directory.join(name), "auto", &shape.pipe(10, "true"))?;
        anyhow::Ok(Entry { name: format!("omne run, {name}"), ..run })
    };
    let mut sh = Measured::new("sh".as_ref(), &directory, "-c");
    sh.args.push("true".into());
    let mut entries = vec![
        Entry { name: "sh -c true".to_owned(), what: sh },
        bench.omne("omne --version", &empty, "--version"),
        ten("10 nodes", Shape::Wide)?,
        ten("a chain of 10 nodes", Shape::Chain)?,
        bench.omne("omne status, no run", &empty, "status"),
        bench.omne("omne status, 1000 runs", &list, "status"),
    ];
    for tool in &bench.tools {
        if tool.peer.most(Shape::Wide) >= 1_000 {
            let name = format!("{} --version", tool.peer.name());
            entries.push(Entry { name, what: Measured::new(&tool.program, &directory, "--version") });
        }
    }
    let rounds = if bench.quick { 11 } else { ROUNDS };
    rows(&mut table, &[], &bench.contest(rounds, &entries)?);
    Ok(vec![table])
}
