//! The one-line form of events: written, and read by the quick way and by the one that takes any JSON.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use omne_events::{Decoder, Digest, Line, encode};

/// Lines of a log of a thousand nodes, without the first one, which carries the definition.
fn lines() -> Vec<Vec<u8>> {
    let log = omne_bench::memory_log(4_002, 1_000).expect("a log can be made");
    log.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The same events with a blank, which the writer never puts there.
fn spaced(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| [b"{ ", &line[1..]].concat()).collect()
}

fn codec(c: &mut Criterion) {
    let quick = lines();
    let general = spaced(&quick);
    let records: Vec<_> = quick
        .iter()
        .filter_map(|line| match Decoder::new().decode(line).expect("the writer's line").line.into_line() {
            Line::Known(record) => Some(record),
            Line::Unknown { .. } => None,
        })
        .collect();
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(quick.len() as u64));
    group.bench_function("encode", |b| {
        let mut out = Vec::new();
        b.iter(|| {
            for record in &records {
                out.clear();
                encode(record, Digest::ZERO, &mut out).expect("an event has a line");
                black_box(&out);
            }
        });
    });
    for (name, lines) in [("decode, quick", &quick), ("decode, general", &general)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut decoder = Decoder::new();
                for line in lines {
                    black_box(decoder.decode(line).expect("a line of the log"));
                }
            });
        });
    }
    group.bench_function("digest", |b| {
        b.iter(|| {
            for line in &quick {
                black_box(Digest::of(line));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
