use omne_dag::NodeIx;

use super::*;

fn graph(lists: &[Vec<usize>]) -> Graph {
    Graph::new(lists.iter().map(|list| list.iter().copied().map(NodeIx::new)).collect()).unwrap()
}

/// Dependencies on up to three earlier nodes, by a small generator.
fn any(nodes: usize, seed: u64) -> Graph {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 40).unwrap() % below
    };
    let lists: Vec<Vec<usize>> = (0..nodes)
        .map(|node| {
            let mut list: Vec<usize> = (0..next(4)).filter(|_| node > 0).map(|_| next(node.max(1))).collect();
            list.sort_unstable();
            list.dedup();
            list
        })
        .collect();
    graph(&lists)
}

fn check(graph: &Graph) {
    let drawn = layout(graph);
    assert_eq!(drawn, layout(graph));
    let mut boxes = drawn.boxes.clone();
    boxes.sort_by_key(|(x, y)| (*y, *x));
    for pair in boxes.windows(2) {
        assert!(pair[0].1 + HEIGHT < pair[1].1 || pair[0].0 + WIDTH < pair[1].0, "{pair:?} overlap");
    }
    for (x, y) in &boxes {
        assert!(*x >= 0 && *y >= 0 && x + WIDTH <= drawn.width && y + HEIGHT <= drawn.height);
    }
    for edge in &drawn.edges {
        let mut above = drawn.boxes[edge.from].1;
        for y in edge.via.iter().map(|via| via.1).chain([drawn.boxes[edge.to].1]) {
            assert!(above < y);
            above = y;
        }
    }
}

#[test]
fn boxes_never_overlap_and_edges_go_down() {
    for seed in 0..60 {
        check(&any(usize::try_from(seed).unwrap() % 30 + 1, seed));
    }
    check(&any(300, 1));
    check(&graph(&vec![Vec::new(); 200]));
    assert_eq!(layout(&graph(&[])), Layout::default());
}

#[test]
fn thousands_of_nodes_are_drawn_soon() {
    check(&any(5000, 3));
    let chain: Vec<Vec<usize>> = (0..5000usize).map(|i| i.checked_sub(1).into_iter().collect()).collect();
    check(&graph(&chain));
    let star: Vec<Vec<usize>> = (0..5000).map(|i| if i == 0 { vec![] } else { vec![0] }).collect();
    check(&graph(&star));
}

#[test]
fn a_chain_is_a_straight_line_and_crossings_are_undone() {
    let drawn = layout(&graph(&[vec![], vec![0], vec![1]]));
    assert!(drawn.boxes.iter().all(|(x, _)| *x == drawn.boxes[0].0));
    let drawn = layout(&graph(&[vec![], vec![], vec![1], vec![0]]));
    assert!((drawn.boxes[0].0 < drawn.boxes[1].0) == (drawn.boxes[3].0 < drawn.boxes[2].0));
}

#[test]
fn the_nearest_ascending_numbers_share_means() {
    assert_eq!(nearest_ascending(&[3.0, 1.0, 5.0]), [2.0, 2.0, 5.0]);
    assert_eq!(nearest_ascending(&[1.0, 2.0]), [1.0, 2.0]);
}
