//! Appends to a log in a file, by durability and by how many runs wait for the same disk.

use std::{
    path::Path,
    sync::Barrier,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use omne_events::{
    Durability, Event, LockedLog, LogWriter, NodeId, NodeSpawned, PipeName, RandomIds, RunId, Timestamp,
};

/// A writer on a new log in `directory`.
fn writer(directory: &Path, durability: Durability) -> LogWriter {
    let path = directory.join("events.jsonl");
    // The first one of a directory has nothing to remove.
    let _ = std::fs::remove_file(&path);
    let run: RunId = omne_events::IdGen::run_id(
        &mut RandomIds,
        &PipeName::new("x").expect("a name"),
        Timestamp::default(),
    );
    let log = LockedLog::create(&path).expect("a log can be made");
    let mut writer = LogWriter::begin(log, run, Box::new(RandomIds));
    writer.sync_in_background(durability, directory, Box::new(|| {})).expect("syncing starts");
    writer
}

fn event() -> Event {
    let node_id = NodeId::new("n0").expect("an id");
    NodeSpawned { node_id, attempt: 1, pid: 4711, program: "/usr/bin/sh".into() }.into()
}

/// `threads` runs side by side, each with a log of its own, append `count` events in all, and wait for each to be on
/// disk. A log has one writer, so threads never share one.
fn waited(directory: &Path, durability: Durability, threads: u64, count: u64) -> Duration {
    let ready = Barrier::new(usize::try_from(threads).expect("a few") + 1);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (share, ready) = (count / threads + u64::from(thread < count % threads), &ready);
            let own = directory.join(thread.to_string());
            scope.spawn(move || {
                std::fs::create_dir_all(&own).expect("a directory");
                let mut writer = writer(&own, durability);
                ready.wait();
                for _ in 0..share {
                    writer.append(Timestamp::default(), event()).expect("appended");
                    writer.flush_and_sync().expect("synced");
                }
                ready.wait();
            });
        }
        ready.wait();
        let since = Instant::now();
        ready.wait();
        since.elapsed()
    })
}

fn append(c: &mut Criterion) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    for (name, durability) in
        [("none", Durability::None), ("auto", Durability::Auto), ("strict", Durability::Strict)]
    {
        group.bench_function(format!("{name}, one write an event, not waited for"), |b| {
            let mut writer = writer(directory.path(), durability);
            b.iter(|| {
                writer.append(Timestamp::default(), event()).expect("appended");
                writer.flush().expect("written");
            });
        });
    }
    group.bench_function("none, one write for 64 events", |b| {
        let mut writer = writer(directory.path(), Durability::None);
        let mut count = 0u32;
        b.iter(|| {
            writer.append(Timestamp::default(), event()).expect("appended");
            count += 1;
            if count.is_multiple_of(64) {
                writer.flush().expect("written");
            }
        });
    });
    group.sample_size(10);
    for (name, durability) in [("auto", Durability::Auto), ("strict", Durability::Strict)] {
        for threads in [1, 8] {
            let name = format!("{name}, each waited for, {threads} side by side");
            group.bench_function(name, |b| {
                b.iter_custom(|count| waited(directory.path(), durability, threads, count));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
