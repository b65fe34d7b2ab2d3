//! Which nodes' outputs a node sees: those of its ancestors. Most nodes give
//! none, so the sets are shared and usually empty.

use std::sync::Arc;

use omne_dag::NodeIx;
use omne_pipe::output_variable;
use omne_replay::RunState;

/// Behind a thin pointer, for there is one for each node.
type Set = Arc<Vec<NodeIx>>;

/// The sets of nodes with outputs among each node's ancestors, each computed once.
#[derive(Debug)]
pub(crate) struct Visible {
    sets: Vec<Option<Set>>,
    empty: Set,
}

impl Visible {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { sets: vec![None; nodes], empty: Arc::default() }
    }

    /// The environment variables with the outputs of `node`'s ancestors.
    pub(crate) fn variables(&mut self, state: &RunState, node: NodeIx) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        let Some(pipe) = state.pipe() else { return variables };
        for &ancestor in self.set(state, node).iter() {
            let id = pipe.node(ancestor).id.as_str();
            for (key, value) in state.node(ancestor).outputs().into_iter().flatten() {
                variables.push((output_variable(id, key), value.clone()));
            }
        }
        variables
    }

    fn set(&mut self, state: &RunState, node: NodeIx) -> Set {
        let Some(pipe) = state.pipe() else { return Arc::clone(&self.empty) };
        let graph = pipe.graph();
        let mut stack = vec![node];
        let mut computed = Arc::clone(&self.empty);
        while let Some(&next) = stack.last() {
            let missing = |d: &&NodeIx| self.sets[d.place()].is_none();
            if let Some(&dependency) = graph.dependencies(next).iter().find(missing) {
                stack.push(dependency);
                continue;
            }
            computed = self.union(state, graph.dependencies(next));
            self.sets[next.place()] = Some(Arc::clone(&computed));
            stack.pop();
        }
        // What is still open may give outputs later, so only sets over ended nodes stay.
        let open = |d: &NodeIx| !state.node(*d).phase.is_final();
        if graph.dependencies(node).iter().any(open) {
            let above = graph.ancestors(node);
            for ancestor in graph.nodes().filter(|n| above[n.place()] || *n == node) {
                self.sets[ancestor.place()] = None;
            }
        }
        computed
    }

    fn union(&self, state: &RunState, dependencies: &[NodeIx]) -> Set {
        let of = |d: &NodeIx| self.sets[d.place()].as_ref().unwrap_or(&self.empty);
        let giving = |d: &&NodeIx| state.node(**d).outputs().is_some();
        let mut filled = dependencies.iter().filter(|d| !of(d).is_empty());
        match (filled.next(), filled.next(), dependencies.iter().any(|d| giving(&d))) {
            (None, _, false) => Arc::clone(&self.empty),
            (Some(only), None, false) => Arc::clone(of(only)),
            _ => {
                let mut all: Vec<NodeIx> = dependencies.iter().flat_map(|d| of(d).iter().copied()).collect();
                all.extend(dependencies.iter().filter(giving));
                all.sort_unstable();
                all.dedup();
                all.into()
            }
        }
    }
}
