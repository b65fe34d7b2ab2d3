//! Nodes as dense indices, edges both ways.

/// A node by its place in the pipe, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIx(u32);

impl NodeIx {
    /// The node at `place`.
    ///
    /// # Panics
    /// With more than 2^32 nodes, which no reader of pipes lets through.
    pub fn new(place: usize) -> Self {
        Self(u32::try_from(place).expect("a pipe has fewer than 2^32 nodes"))
    }

    /// The place, for indexing.
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

/// Nodes that depend on each other in a ring: each on the next one, the last on the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<NodeIx>);

/// An acyclic graph.
#[derive(Debug, Clone)]
pub struct Graph {
    dependencies: Edges,
    dependents: Edges,
    order: Vec<NodeIx>,
}

/// What each node depends on, added node by node, each target once.
#[derive(Debug, Clone)]
pub struct Dependencies(Edges);

impl Dependencies {
    /// Those of no node, with room for those of `nodes` nodes, `all` in all.
    pub fn with_capacity(nodes: usize, all: usize) -> Self {
        let mut starts = Vec::with_capacity(nodes + 1);
        starts.push(0);
        Self(Edges { starts, targets: Vec::with_capacity(all) })
    }

    /// Adds that `node` depends on `target`.
    ///
    /// # Panics
    /// When something was added for a node after it.
    pub fn add(&mut self, node: NodeIx, target: NodeIx) {
        assert!(self.0.starts.len() <= node.place() + 2, "dependencies are added node by node");
        self.extend_to(node.place() + 1);
        self.0.targets.push(target);
        *self.0.starts.last_mut().expect("it was extended") += 1;
    }

    /// Makes it `nodes` nodes at least: further ones depend on nothing.
    pub fn extend_to(&mut self, nodes: usize) {
        let Edges { starts, targets } = &mut self.0;
        starts.resize(starts.len().max(nodes + 1), NodeIx::new(targets.len()).0);
    }
}

impl<List: IntoIterator<Item = NodeIx>> FromIterator<List> for Dependencies {
    /// A list for each node.
    fn from_iter<Lists: IntoIterator<Item = List>>(lists: Lists) -> Self {
        let mut all = Self::with_capacity(0, 0);
        for (place, list) in lists.into_iter().enumerate() {
            all.extend_to(place + 1);
            list.into_iter().for_each(|target| all.add(NodeIx::new(place), target));
        }
        all
    }
}

/// Targets of all nodes in one array; those of node `i` from `starts[i]` to `starts[i + 1]`.
#[derive(Debug, Clone)]
struct Edges {
    starts: Vec<u32>,
    targets: Vec<NodeIx>,
}

impl Edges {
    fn of(&self, node: NodeIx) -> &[NodeIx] {
        let place = node.place();
        &self.targets[self.starts[place] as usize..self.starts[place + 1] as usize]
    }

    fn reversed(&self) -> Self {
        let nodes = self.starts.len() - 1;
        let mut starts = vec![0u32; nodes + 1];
        for target in &self.targets {
            starts[target.place() + 1] += 1;
        }
        for place in 0..nodes {
            starts[place + 1] += starts[place];
        }
        let mut next = starts.clone();
        let mut targets = vec![NodeIx(0); self.targets.len()];
        for place in 0..nodes {
            let node = NodeIx::new(place);
            for target in self.of(node) {
                let slot = &mut next[target.place()];
                targets[*slot as usize] = node;
                *slot += 1;
            }
        }
        Self { starts, targets }
    }
}

impl Graph {
    /// The graph of these dependencies.
    ///
    /// # Errors
    /// Every ring of nodes that has no node in common with an earlier one.
    pub fn new(Dependencies(dependencies): Dependencies) -> Result<Self, Vec<Cycle>> {
        let dependents = dependencies.reversed();
        let nodes = dependents.starts.len() - 1;
        let mut missing: Vec<u32> =
            (0..nodes).map(|place| NodeIx::new(dependencies.of(NodeIx::new(place)).len()).0).collect();
        let mut order = Vec::with_capacity(nodes);
        order.extend((0..nodes).filter(|&place| missing[place] == 0).map(NodeIx::new));
        let mut next = 0;
        while let Some(&node) = order.get(next) {
            next += 1;
            for &dependent in dependents.of(node) {
                missing[dependent.place()] -= 1;
                if missing[dependent.place()] == 0 {
                    order.push(dependent);
                }
            }
        }
        if order.len() < nodes {
            return Err(cycles(&dependencies, &missing));
        }
        Ok(Self { dependencies, dependents, order })
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// All nodes in the pipe's order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIx> + use<> {
        (0..self.len()).map(NodeIx::new)
    }

    /// What `node` depends on.
    pub fn dependencies(&self, node: NodeIx) -> &[NodeIx] {
        self.dependencies.of(node)
    }

    /// What depends on `node`, in the pipe's order.
    pub fn dependents(&self, node: NodeIx) -> &[NodeIx] {
        self.dependents.of(node)
    }

    /// All nodes, each after its dependencies.
    pub fn order(&self) -> &[NodeIx] {
        &self.order
    }

    /// Each node's layer: 0 without dependencies, else one more than its deepest dependency.
    pub fn layers(&self) -> Vec<usize> {
        let mut layers = vec![0; self.len()];
        for &node in &self.order {
            let above = self.dependencies(node).iter().map(|d| layers[d.place()] + 1).max();
            layers[node.place()] = above.unwrap_or(0);
        }
        layers
    }

    /// Which nodes depend on one of `roots`, directly or not; the roots themselves are not among them.
    pub fn descendants(&self, roots: impl IntoIterator<Item = NodeIx>) -> Vec<bool> {
        self.reachable(roots, |node| self.dependents(node))
    }

    /// Which nodes `node` depends on, directly or not.
    pub fn ancestors(&self, node: NodeIx) -> Vec<bool> {
        self.reachable([node], |node| self.dependencies(node))
    }

    fn reachable<'a>(
        &'a self,
        roots: impl IntoIterator<Item = NodeIx>,
        next: impl Fn(NodeIx) -> &'a [NodeIx],
    ) -> Vec<bool> {
        let mut reached = vec![false; self.len()];
        let mut stack: Vec<NodeIx> = roots.into_iter().collect();
        while let Some(node) = stack.pop() {
            for &neighbour in next(node) {
                if !std::mem::replace(&mut reached[neighbour.place()], true) {
                    stack.push(neighbour);
                }
            }
        }
        reached
    }
}

/// Rings among the nodes that still miss a dependency: each of those has one, so walking on never ends but in a ring.
fn cycles(dependencies: &Edges, missing: &[u32]) -> Vec<Cycle> {
    let mut seen_in_walk = vec![0usize; missing.len()];
    let mut found = Vec::new();
    for start in (0..missing.len()).filter(|&place| missing[place] > 0) {
        let walk = start + 1;
        let mut path = Vec::new();
        let mut node = NodeIx::new(start);
        while seen_in_walk[node.place()] == 0 {
            seen_in_walk[node.place()] = walk;
            path.push(node);
            match dependencies.of(node).iter().find(|d| missing[d.place()] > 0) {
                Some(&dependency) => node = dependency,
                None => break,
            }
        }
        if seen_in_walk[node.place()] == walk
            && let Some(from) = path.iter().position(|&p| p == node)
        {
            let ring = path.split_off(from);
            // A path that ended without coming back to itself is no ring.
            if ring.last().is_some_and(|last| dependencies.of(*last).contains(&node)) {
                found.push(Cycle(ring));
            }
        }
    }
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn lists(edges: &[&[usize]]) -> Vec<Vec<NodeIx>> {
        edges.iter().map(|list| list.iter().copied().map(NodeIx::new).collect()).collect()
    }

    pub(crate) fn of(lists: &[Vec<NodeIx>]) -> Dependencies {
        lists.iter().cloned().collect()
    }

    /// Random acyclic dependencies: a node may depend on earlier ones only.
    pub(crate) fn any_dag(most: usize) -> impl Strategy<Value = Vec<Vec<NodeIx>>> {
        proptest::collection::vec(proptest::collection::vec(any::<proptest::sample::Index>(), 0..4), 1..most)
            .prop_map(|picks| {
                let list = |(place, picks): (usize, Vec<proptest::sample::Index>)| {
                    let mut list: Vec<NodeIx> = match place {
                        0 => Vec::new(),
                        _ => picks.iter().map(|pick| NodeIx::new(pick.index(place))).collect(),
                    };
                    list.sort();
                    list.dedup();
                    list
                };
                picks.into_iter().enumerate().map(list).collect()
            })
    }

    #[test]
    fn a_ring_is_named_whole() {
        let cycles = Graph::new(of(&lists(&[&[2], &[0], &[1], &[0]]))).unwrap_err();
        assert_eq!(cycles, [Cycle(lists(&[&[0, 2, 1]]).remove(0))]);
    }

    #[test]
    fn every_separate_ring_is_found() {
        let cycles = Graph::new(of(&lists(&[&[1], &[0], &[3], &[2], &[]]))).unwrap_err();
        assert_eq!(cycles.len(), 2);
    }

    #[test]
    fn layers_are_the_longest_way_from_a_root() {
        let graph = Graph::new(of(&lists(&[&[], &[0], &[0, 1], &[]]))).unwrap();
        assert_eq!(graph.layers(), [0, 1, 2, 0]);
    }

    #[test]
    fn a_chain_of_a_million_nodes_needs_no_stack() {
        let chain: Vec<Vec<NodeIx>> =
            (0..1_000_000usize).map(|i| i.checked_sub(1).map(NodeIx::new).into_iter().collect()).collect();
        let graph = Graph::new(of(&chain)).unwrap();
        assert_eq!(graph.descendants([NodeIx::new(0)]).iter().filter(|d| **d).count(), 999_999);
    }

    proptest! {
        #[test]
        fn the_order_puts_each_node_after_its_dependencies(lists in any_dag(40)) {
            let graph = Graph::new(of(&lists)).unwrap();
            let mut at = vec![0; graph.len()];
            for (position, node) in graph.order().iter().enumerate() {
                at[node.place()] = position;
            }
            for node in graph.nodes() {
                for dependency in graph.dependencies(node) {
                    prop_assert!(at[dependency.place()] < at[node.place()]);
                    prop_assert!(graph.dependents(*dependency).contains(&node));
                }
            }
        }

        #[test]
        fn what_is_reported_as_a_ring_is_one(lists in any_dag(20), back in any::<(proptest::sample::Index, proptest::sample::Index)>()) {
            let mut lists = lists;
            let (from, to) = (back.0.index(lists.len()), back.1.index(lists.len()));
            if from < to && !lists[from].contains(&NodeIx::new(to)) {
                lists[from].push(NodeIx::new(to));
            }
            if let Err(cycles) = Graph::new(of(&lists)) {
                prop_assert!(!cycles.is_empty());
                for Cycle(ring) in cycles {
                    for (i, node) in ring.iter().enumerate() {
                        prop_assert!(lists[node.place()].contains(&ring[(i + 1) % ring.len()]));
                    }
                }
            }
        }
    }
}
