//! When syncs are asked for at once, and what waits for them.

use std::{cell::RefCell, rc::Rc};

use super::{Simulation, Weather, scenario::Scenario, world::World};

/// A simulation that nothing has disturbed, at its end.
fn undisturbed(scenario: Scenario, seed: u64) -> Rc<RefCell<World>> {
    let mut simulation = Simulation::of(scenario, fastrand::Rng::with_seed(seed));
    simulation.play(Weather::Calm);
    simulation.world
}

/// How often a sync is hurried when two of these nodes may run at once.
fn hurried(nodes: &[String]) -> u64 {
    undisturbed(Scenario::strict(2, nodes), 1).borrow().sync.hurried
}

fn after(nodes: &[usize]) -> String {
    let names: Vec<String> = nodes.iter().map(|node| format!("n{node}")).collect();
    format!("depends_on: [{}]", names.join(", "))
}

#[test]
fn no_sync_is_hurried_while_there_is_enough_to_start_without() {
    // What the first layer's ends are waited for is on disk long before the second layer's turn.
    let layers: Vec<String> =
        (0..600).map(|node| if node < 200 { after(&[]) } else { after(&[node - 200, node - 199]) }).collect();
    assert_eq!(hurried(&layers), 1, "only for the end of the run");
}

#[test]
fn a_sync_is_hurried_where_nothing_may_start_before_it() {
    let chain: Vec<String> = (0..10).map(|node: usize| after(node.checked_sub(1).as_slice())).collect();
    assert_eq!(hurried(&chain), 10, "after each node, and for the end of the run");
}

#[test]
fn a_sync_is_hurried_for_what_comes_first_in_the_pipe() {
    let chain = |node: usize| node.checked_sub(1).filter(|_| node < 10);
    let nodes: Vec<String> = (0..300).map(|node| after(chain(node).as_slice())).collect();
    assert_eq!(hurried(&nodes), 10, "after each node of the chain, and for the end of the run");
}

#[test]
fn what_waited_for_a_sync_waits_for_no_later_one() {
    // After a skipped node all that ended before has to be on disk; two chains go on ending at different times.
    let mut nodes =
        vec!["when: '1 > 2'".to_owned(), "depends_on: [n0, n2], trigger_rule: all_done".to_owned()];
    nodes.extend((2..80).map(|node| if node < 4 { after(&[]) } else { after(&[node - 2]) }));
    for seed in 1..20 {
        let mut scenario = Scenario::strict(3, &nodes);
        for part in Rc::make_mut(&mut scenario.parts).iter_mut().step_by(2) {
            part.takes *= 3;
        }
        let world = undisturbed(scenario, seed);
        let log = String::from_utf8_lossy(&world.borrow().disk.bytes).into_owned();
        let mut started = log.lines().filter(|line| line.contains(r#""type":"node.started""#));
        let place = started.position(|line| line.contains(r#""node_id":"n1""#));
        assert!(place.is_some_and(|place| place < 6), "it starts as number {place:?} with seed {seed}");
    }
}
