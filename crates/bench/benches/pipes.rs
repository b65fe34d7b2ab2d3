//! Pipe files read and checked, and graphs scheduled from the first node to the last.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use omne_bench::Shape;
use omne_dag::{Dependencies, Fired, Graph, NodeIx, Scheduler, Standing, TriggerRule};
use omne_pipe::{NoLookup, Source, check};

fn pipes(c: &mut Criterion) {
    let mut group = c.benchmark_group("pipe");
    group.sample_size(20);
    for nodes in [100, 1_000, 10_000] {
        let text = Shape::Layered.pipe(nodes, "true").into_bytes();
        group.throughput(Throughput::Elements(nodes as u64));
        group.bench_function(format!("parse and check, {nodes} nodes"), |b| {
            b.iter_batched(
                || text.clone(),
                |text| {
                    let source = Source::new("x.yaml", text).expect("text");
                    let checked = check(&source, &NoLookup);
                    assert_eq!(checked.errors(), 0);
                    checked
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn dependencies(shape: Shape, nodes: usize) -> Dependencies {
    (0..nodes).map(|node| shape.dependencies(node).into_iter().map(NodeIx::new)).collect()
}

/// Ends every node as soon as it may start; how many there were.
fn schedule(graph: &Graph) -> usize {
    let mut fired = Vec::new();
    let rules = vec![TriggerRule::AllSuccess; graph.len()];
    let mut scheduler = Scheduler::new(graph, rules, |_| None, &mut fired);
    let mut ended = 0;
    while let Some(next) = fired.pop() {
        if let Fired::Ready(node) = next {
            ended += 1;
            scheduler.end(graph, node, Standing::Completed, &mut fired);
        }
    }
    ended
}

fn scheduler(c: &mut Criterion) {
    let mut group = c.benchmark_group("dag");
    group.sample_size(10);
    for nodes in [1_000, 10_000, 100_000, 1_000_000] {
        group.throughput(Throughput::Elements(nodes as u64));
        let dependencies = dependencies(Shape::Layered, nodes);
        group.bench_function(format!("graph, layered, {nodes} nodes"), |b| {
            let graph = |dependencies| black_box(Graph::new(dependencies).expect("no rings"));
            b.iter_batched(|| dependencies.clone(), graph, BatchSize::LargeInput);
        });
        for shape in [Shape::Layered, Shape::Chain] {
            let graph = Graph::new(self::dependencies(shape, nodes)).expect("no rings");
            group.bench_function(format!("schedule, {}, {nodes} nodes", shape.as_str()), |b| {
                b.iter(|| assert_eq!(schedule(&graph), nodes));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pipes, scheduler);
criterion_main!(benches);
