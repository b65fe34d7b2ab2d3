//! What a node and an event cost as there are more of them.

use anyhow::{Result, bail};

use super::Bench;
use crate::{
    files::{Shape, file_log},
    measure::{Usage, median},
    plot::{Curve, plot},
    table::{Plot, Table, multiple, time},
};

/// An event's share of nodes: one node for so many.
const EVENTS_A_NODE: u64 = 100;

pub(super) fn tables(bench: &Bench) -> Result<Vec<Table>> {
    Ok(vec![nodes(bench)?, events(bench)?])
}

fn medians(usages: &[Usage]) -> Usage {
    let of = |part: fn(&Usage) -> f64| median(&usages.iter().map(part).collect::<Vec<_>>());
    Usage { wall: of(|u| u.wall), cpu: of(|u| u.cpu), memory: of(|u| u.memory) }
}

fn nodes(bench: &Bench) -> Result<Table> {
    let sizes: &[usize] = if bench.quick { &[100, 1_000, 10_000] } else { &[100, 1_000, 10_000, 100_000] };
    let note = "Wide and chained runs of `true`, `durability = \"none\"`: the cost of one node is to stay the same however \
                many there are. The floor runs by turns with them, since a machine is not equally quick for minutes. \
                Memory is the peak of the runner, which also holds the program itself (the first row).";
    let header = ["shape", "nodes", "wall", "a node", "the floor's", "× floor", "CPU × floor", "peak MiB"];
    let mut table = Table::new("Growth with nodes", note, &header);
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for shape in [Shape::Wide, Shape::Chain] {
        let (mut took, mut least, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for &nodes in sizes.iter().filter(|nodes| shape == Shape::Wide || **nodes <= 10_000) {
            let directory = bench.directory(&format!("growth-{}-{nodes}", shape.as_str()))?;
            let entries = [
                bench.floor("floor", &directory, (shape.as_str(), nodes), "true", "spawn"),
                bench.omne_run(&directory, "none", &shape.pipe(nodes, "true"))?,
            ];
            let standings = bench.contest(if nodes >= 10_000 { 1 } else { bench.rounds }, &entries)?;
            let [floor, omne] = &standings[..] else { bail!("a contest of two has two standings") };
            if let Some(failure) = &omne.failure {
                bail!("{nodes} nodes: {failure}");
            }
            let wall = omne.median(|usage| usage.wall);
            let each = |wall: f64| wall / nodes as f64;
            let floor = each(floor.median(|usage| usage.wall));
            let peak = omne.median(|usage| usage.memory);
            table.row([
                shape.as_str().to_owned(),
                nodes.to_string(),
                time(wall),
                time(each(wall)),
                time(floor),
                multiple(&omne.wall),
                multiple(&omne.cpu),
                format!("{peak:.1}"),
            ]);
            took.push((nodes as f64, each(wall) * 1e3));
            least.push((nodes as f64, floor * 1e3));
            held.push((nodes as f64, peak));
            bench.helper.put_aside(&directory)?;
        }
        times.push(Curve { name: shape.as_str().to_owned(), points: took });
        times.push(Curve { name: format!("{}, the floor", shape.as_str()), points: least });
        memory.push(Curve { name: shape.as_str().to_owned(), points: held });
    }
    table.plots = vec![
        Plot {
            file: "time-a-node.svg",
            caption: "Milliseconds a node over the number of nodes",
            svg: plot("Time of a node", "nodes of the run", "ms a node", &times),
        },
        Plot {
            file: "memory.svg",
            caption: "Peak memory over the number of nodes",
            svg: plot("Peak memory of the runner", "nodes of the run", "MiB", &memory),
        },
    ];
    Ok(table)
}

fn events(bench: &Bench) -> Result<Table> {
    let most = if bench.quick { 6 } else { 7 };
    let note = "`omne status` and `omne verify` of one run, a node for each hundred events, the log in the cache of the \
                system.";
    let header = ["events", "MB", "status", "an event", "peak MiB", "verify", "an event"];
    let mut table = Table::new("Growth with events", note, &header);
    let (mut folds, mut checks) = (Vec::new(), Vec::new());
    for power in 4..=most {
        let events = 10u64.pow(power);
        let directory = bench.directory(&format!("growth-events-{events}"))?;
        let made = file_log(&directory, 0, events, events / EVENTS_A_NODE)?;
        let log = directory.join(".omne/var/runs").join(made.run.as_str()).join("events.jsonl");
        let size = std::fs::metadata(log)?.len() as f64 / 1e6;
        let rounds = if power >= 7 { 1 } else { bench.rounds };
        let measure = |args: String| -> Result<Usage> {
            let entry = bench.omne("", &directory, &args);
            let runs: Result<Vec<Usage>> = (0..rounds).map(|_| bench.helper.run(&entry.what)).collect();
            Ok(medians(&runs?))
        };
        let status = measure(format!("status {}", made.run))?;
        let verify = measure(format!("verify {}", made.run))?;
        let each = |usage: &Usage| usage.wall / events as f64;
        let short = |usage: &Usage| format!("{:.2} µs", each(usage) * 1e6);
        table.row([
            events.to_string(),
            format!("{size:.0}"),
            time(status.wall),
            short(&status),
            format!("{:.1}", status.memory),
            time(verify.wall),
            short(&verify),
        ]);
        folds.push((events as f64, each(&status) * 1e6));
        checks.push((events as f64, each(&verify) * 1e6));
        std::fs::remove_dir_all(&directory)?;
    }
    let curves = [
        Curve { name: "status".to_owned(), points: folds },
        Curve { name: "verify".to_owned(), points: checks },
    ];
    table.plots = vec![Plot {
        file: "time-an-event.svg",
        caption: "Microseconds an event over the number of events",
        svg: plot("Time of an event of a log that is read", "events of the log", "µs an event", &curves),
    }];
    Ok(table)
}
