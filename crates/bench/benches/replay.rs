//! Whole logs read: folded, verified, and made a snapshot.

use std::{hint::black_box, path::Path};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use omne_events::LogReader;
use omne_replay::{RunState, Snapshot, Terms, fold, verify};

fn replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("replay");
    group.sample_size(20);
    for (events, nodes) in [(10_000, 100), (10_000, 3_000), (100_000, 1_000), (100_000, 30_000)] {
        let log = omne_bench::memory_log(events, nodes).expect("a log can be made");
        let reader = || LogReader::new(log.as_slice(), Path::new("memory"));
        group.throughput(Throughput::Elements(events));
        let name = format!("{events} events of {nodes} nodes");
        group.bench_function(format!("fold, {name}"), |b| {
            b.iter_batched(
                RunState::new,
                |state| fold(state, &mut reader(), None, &mut |_, _| {}).expect("the log is whole"),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("verify, {name}"), |b| {
            b.iter(|| {
                let report = verify(&mut reader(), Terms::default()).expect("memory can be read");
                assert!(report.findings.is_empty(), "{:?}", report.findings);
                black_box(report);
            });
        });
        group.bench_function(format!("snapshot, {name}"), |b| {
            b.iter(|| {
                let mut snapshot = Snapshot::new();
                let folded =
                    fold(RunState::new(), &mut reader(), None, &mut |_, line| snapshot.push(&line.to_line()))
                        .expect("the log is whole");
                black_box(snapshot.finish(&folded.state));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
