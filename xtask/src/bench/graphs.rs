//! Whole runs of graphs.

use anyhow::Result;

use super::{Bench, JOBS, rows};
use crate::{
    files::Shape,
    measure::{Entry, Measured},
    table::{Table, tell},
};

const HEADER: [&str; 8] = ["shape", "nodes", "program", "wall", "× floor", "CPU × floor", "peak MiB", "runs"];

const NOTE: &str = "Each node is `sh -c true`, two in flight. The floor only starts and awaits the same processes, \
in the same order where the shape asks for one. `× floor` is the median of the ratios of single rounds, with the least \
and the greatest; what is slow runs once.";

/// Every shape at every size, by every policy and every program.
pub(super) fn runs(bench: &Bench) -> Result<Vec<Table>> {
    let sizes: &[usize] = if bench.quick { &[100, 1_000] } else { &[100, 1_000, 10_000] };
    let mut tables = Vec::new();
    for &nodes in sizes {
        let mut table = Table::new(&format!("Runs of {nodes} nodes"), NOTE, &HEADER);
        for shape in Shape::ALL {
            tell(&format!("   {} of {nodes}", shape.as_str()));
            // What takes a minute a round is not taken as often.
            let rounds = match (nodes, shape) {
                (10_000, Shape::Wide) => bench.rounds.min(3),
                (10_000, _) => bench.rounds.min(2),
                _ => bench.rounds,
            };
            let standings = bench.contest(rounds, &entries(bench, shape, nodes)?)?;
            rows(&mut table, &[shape.as_str(), &nodes.to_string()], &standings);
        }
        tables.push(table);
    }
    Ok(tables)
}

fn entries(bench: &Bench, shape: Shape, nodes: usize) -> Result<Vec<Entry>> {
    let directory = bench.directory(&format!("{}-{nodes}", shape.as_str()))?;
    let graph = (shape.as_str(), nodes);
    let pipe = shape.pipe(nodes, "true");
    let floor = |name: &str, how: &str| bench.floor(name, &directory, graph, "true", how);
    let mut entries = vec![floor("floor: spawn alone", "spawn"), bench.omne_run(&directory, "auto", &pipe)?];
    // At the largest size, one shape shows what durability costs.
    if nodes < 10_000 || shape == Shape::Wide {
        entries.push(bench.omne_run(&directory, "none", &pipe)?);
        entries.push(bench.omne_run(&directory, "strict", &pipe)?);
        entries.push(floor("floor: and the end of each node synced", "strict floor.jsonl"));
    }
    if shape == Shape::Wide {
        entries.push(floor("floor: and a line an event", "log floor.jsonl"));
        entries.push(floor("floor: and a sync at most each 40 ms", "group floor.jsonl 40"));
    }
    for tool in bench.tools.iter().filter(|tool| nodes <= tool.peer.most(shape)) {
        let directory = directory.join(tool.peer.name().replace(' ', "-"));
        let what = tool.prepare(&directory, shape, nodes, "true", JOBS)?;
        entries.push(Entry { name: tool.peer.name().to_owned(), what });
    }
    Ok(entries)
}

/// A MiB a node.
pub(super) fn output(bench: &Bench) -> Result<Vec<Table>> {
    const BODY: &str = "head -c 1048576 /dev/zero";
    let nodes = if bench.quick { 200 } else { 1_000 };
    let note = "Each node prints 1 MiB. The floor gives each process a file as its standard output. `omne` reads a pipe, \
                digests what it reads and writes it to a file, for which there is a floor, too; make and xargs only pass on where they print to and keep \
                nothing of a node; the others print in the end what they kept. Each has run once before.";
    let mut table = Table::new("1 MiB of output a node", note, &HEADER);
    let directory = bench.directory("output")?;
    let mut floor =
        bench.floor("floor: straight into a file", &directory, ("wide", nodes), BODY, "file floor-out");
    floor.what = floor.what.with_fresh(&["floor-out"]);
    let mut entries = vec![floor];
    for (name, way) in
        [("floor: and each file digested", "file"), ("floor: digested and written from a pipe", "pipe")]
    {
        let mut what = Measured::new(&std::env::current_exe()?, &directory, &format!("floor {nodes} {JOBS}"));
        what.args.extend([BODY, way, way].map(Into::into));
        entries.push(Entry { name: name.to_owned(), what: what.with_fresh(&[way]) });
    }
    entries.push(bench.omne_run(&directory, "auto", &Shape::Wide.pipe(nodes, BODY))?);
    for tool in bench.tools.iter().filter(|tool| tool.peer.most(Shape::Wide) >= 1_000) {
        let directory = directory.join(tool.peer.name().replace(' ', "-"));
        let mut what = tool.prepare(&directory, Shape::Wide, nodes, BODY, JOBS)?;
        what.out = directory.join("printed");
        entries.push(Entry { name: tool.peer.name().to_owned(), what });
    }
    // Gigabytes of memory are touched, and what the system has not used for a while is slow at first: a host may have to
    // find it. From the second run on, each finds what it has just freed. Who fails is told by the contest.
    for entry in &entries {
        let _ = bench.helper.run(&entry.what);
    }
    let standings = bench.contest(bench.rounds.min(3), &entries)?;
    rows(&mut table, &["wide", &nodes.to_string()], &standings);
    bench.helper.put_aside(&directory)?;
    Ok(vec![table])
}
