//! What may start now, kept up to date with each end: O(out-degree) an end.

use std::collections::BTreeMap;

use crate::{Ends, Graph, NodeIx, TriggerRule, Verdict};

/// Where a node stands, as far as the graph is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its dependencies do not allow it yet.
    Waiting,
    /// Its rule has fired; it may start, or runs.
    Released,
    /// Its rule says that it is skipped; it waits for that to be recorded.
    ToSkip,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// It will not run, and that is fine.
    Skipped,
    /// It can not run: what it needs failed.
    Blocked,
}

/// What an end set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// The node may start.
    Ready(NodeIx),
    /// The node is to be skipped because of that dependency.
    Skip(NodeIx, NodeIx),
    /// The node is blocked; what depends on it was told already.
    Blocked(NodeIx),
}

impl Fired {
    /// The node that it is about.
    pub fn node(self) -> NodeIx {
        let (Self::Ready(node) | Self::Skip(node, _) | Self::Blocked(node)) = self;
        node
    }
}

/// Which nodes stand where.
#[derive(Debug, Clone)]
pub struct Scheduler {
    rules: Vec<TriggerRule>,
    ends: Vec<Ends>,
    standing: Vec<Standing>,
    /// How nodes had ended that something comes before which runs again. They do not run again, but what follows them has
    /// to wait until they would have.
    kept: BTreeMap<NodeIx, Standing>,
    open: usize,
}

impl Scheduler {
    /// A scheduler in which nothing has ended but what `ended` names; the rest of what follows is in `fired`. Where
    /// something runs again that comes before a node which has ended, that node counts as ended once its rule fires, and
    /// as blocked or skipped if that is what its rule comes to now; nothing is fired for it.
    pub fn new(
        graph: &Graph,
        rules: Vec<TriggerRule>,
        ended: impl Fn(NodeIx) -> Option<Standing>,
        fired: &mut Vec<Fired>,
    ) -> Self {
        let mut standing = vec![Standing::Waiting; graph.len()];
        let mut open = graph.len();
        let mut kept = BTreeMap::new();
        for &node in graph.order() {
            if let Some(end @ (Standing::Completed | Standing::Failed | Standing::Skipped)) = ended(node) {
                if graph.dependencies(node).iter().any(|d| standing[d.place()] == Standing::Waiting) {
                    kept.insert(node, end);
                    continue;
                }
                standing[node.place()] = end;
                open -= 1;
            }
        }
        let mut ends = vec![Ends::default(); graph.len()];
        for node in graph.nodes() {
            for dependency in graph.dependencies(node) {
                ends[node.place()].open += 1;
                count(&mut ends[node.place()], standing[dependency.place()]);
            }
        }
        let mut scheduler = Self { rules, ends, standing, kept, open };
        for node in graph.nodes() {
            scheduler.settle(graph, node, fired);
        }
        scheduler
    }

    /// Records how `node` ended: completed, failed or skipped. What it sets off is added to `fired`.
    pub fn end(&mut self, graph: &Graph, node: NodeIx, end: Standing, fired: &mut Vec<Fired>) {
        let was = std::mem::replace(&mut self.standing[node.place()], end);
        if matches!(was, Standing::Completed | Standing::Failed | Standing::Skipped | Standing::Blocked) {
            return;
        }
        self.open -= 1;
        self.spread(graph, node, fired);
    }

    fn spread(&mut self, graph: &Graph, node: NodeIx, fired: &mut Vec<Fired>) {
        let mut ended = vec![node];
        while let Some(node) = ended.pop() {
            for &dependent in graph.dependents(node) {
                count(&mut self.ends[dependent.place()], self.standing[node.place()]);
                if self.settle_one(graph, dependent, fired) {
                    ended.push(dependent);
                }
            }
        }
    }

    fn settle(&mut self, graph: &Graph, node: NodeIx, fired: &mut Vec<Fired>) {
        if self.settle_one(graph, node, fired) {
            self.spread(graph, node, fired);
        }
    }

    /// Whether the node ended by it: it became blocked, or had ended before.
    fn settle_one(&mut self, graph: &Graph, node: NodeIx, fired: &mut Vec<Fired>) -> bool {
        let place = node.place();
        if self.standing[place] != Standing::Waiting {
            return false;
        }
        let dependencies = graph.dependencies(node);
        let verdict = self.rules[place].decide(dependencies.len(), self.ends[place]);
        if verdict != Verdict::Wait
            && let Some(end) = self.kept.remove(&node)
        {
            self.standing[place] = match verdict {
                Verdict::Skip => Standing::Skipped,
                Verdict::Block => Standing::Blocked,
                Verdict::Wait | Verdict::Fire => end,
            };
            self.open -= 1;
            return true;
        }
        match verdict {
            Verdict::Wait => {}
            Verdict::Fire => {
                self.standing[place] = Standing::Released;
                fired.push(Fired::Ready(node));
            }
            Verdict::Skip => {
                self.standing[place] = Standing::ToSkip;
                let cause = dependencies.iter().find(|d| self.standing[d.place()] == Standing::Skipped);
                fired.push(Fired::Skip(node, *cause.unwrap_or(&node)));
            }
            Verdict::Block => {
                self.standing[place] = Standing::Blocked;
                self.open -= 1;
                fired.push(Fired::Blocked(node));
                return true;
            }
        }
        false
    }

    /// Where `node` stands.
    pub fn standing(&self, node: NodeIx) -> Standing {
        self.standing[node.place()]
    }

    /// Whether `node`'s rule has fired, so that it may start.
    pub fn may_start(&self, node: NodeIx) -> bool {
        self.standing[node.place()] == Standing::Released
    }

    /// How many nodes have not ended.
    pub fn open(&self) -> usize {
        self.open
    }
}

fn count(ends: &mut Ends, standing: Standing) {
    match standing {
        Standing::Waiting | Standing::Released | Standing::ToSkip => return,
        Standing::Completed => ends.any_completed = true,
        Standing::Failed | Standing::Blocked => ends.any_failed = true,
        Standing::Skipped => ends.any_skipped = true,
    }
    ends.open -= 1;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::tests::{any_dag, lists, of};

    /// Lets every node that may start end as `outcome` says, and gives where all stand in the end.
    fn play(graph: &Graph, rules: &[TriggerRule], outcome: impl Fn(NodeIx) -> Standing) -> Vec<Standing> {
        let mut fired = Vec::new();
        let mut scheduler = Scheduler::new(graph, rules.to_vec(), |_| None, &mut fired);
        while let Some(next) = fired.pop() {
            match next {
                Fired::Ready(node) => scheduler.end(graph, node, outcome(node), &mut fired),
                Fired::Skip(node, _) => scheduler.end(graph, node, Standing::Skipped, &mut fired),
                Fired::Blocked(_) => {}
            }
        }
        assert_eq!(scheduler.open(), 0);
        graph.nodes().map(|node| scheduler.standing(node)).collect()
    }

    #[test]
    fn a_failure_blocks_only_what_depends_on_it() {
        let graph = Graph::new(of(&lists(&[&[], &[0], &[1], &[]]))).unwrap();
        let standing = play(&graph, &[TriggerRule::AllSuccess; 4], |node| match node.place() {
            0 => Standing::Failed,
            _ => Standing::Completed,
        });
        assert_eq!(standing, [Standing::Failed, Standing::Blocked, Standing::Blocked, Standing::Completed]);
    }

    #[test]
    fn a_skip_runs_down_all_success_and_stops_at_none_failed() {
        let graph = Graph::new(of(&lists(&[&[], &[0], &[1]]))).unwrap();
        let rules = [TriggerRule::AllSuccess, TriggerRule::AllSuccess, TriggerRule::NoneFailed];
        let standing = play(&graph, &rules, |node| match node.place() {
            0 => Standing::Skipped,
            _ => Standing::Completed,
        });
        assert_eq!(standing, [Standing::Skipped, Standing::Skipped, Standing::Completed]);
    }

    #[test]
    fn one_success_starts_before_its_other_dependencies_end() {
        let graph = Graph::new(of(&lists(&[&[], &[], &[0, 1]]))).unwrap();
        let rules = vec![TriggerRule::OneSuccess; 3];
        let mut fired = Vec::new();
        let mut scheduler = Scheduler::new(&graph, rules, |_| None, &mut fired);
        fired.clear();
        scheduler.end(&graph, NodeIx::new(1), Standing::Completed, &mut fired);
        assert_eq!(fired, [Fired::Ready(NodeIx::new(2))]);
    }

    #[test]
    fn what_follows_a_kept_node_waits_for_what_runs_again_before_it() {
        let graph = Graph::new(of(&lists(&[&[], &[0], &[1], &[1]]))).unwrap();
        let begin = |fired: &mut Vec<Fired>| {
            let ended = |node: NodeIx| (node.place() == 1).then_some(Standing::Completed);
            Scheduler::new(&graph, vec![TriggerRule::AllSuccess; 4], ended, fired)
        };
        for (end, third) in [(Standing::Completed, Standing::Released), (Standing::Failed, Standing::Blocked)]
        {
            let mut fired = Vec::new();
            let mut scheduler = begin(&mut fired);
            assert_eq!(fired, [Fired::Ready(NodeIx::new(0))]);
            scheduler.end(&graph, NodeIx::new(0), end, &mut fired);
            assert_eq!([2, 3].map(|place| scheduler.standing(NodeIx::new(place))), [third; 2]);
            assert!(!fired.iter().any(|fired| fired.node().place() == 1), "it does not run again");
        }
    }

    fn any_rules(n: usize) -> impl Strategy<Value = Vec<TriggerRule>> {
        proptest::collection::vec(proptest::sample::select(TriggerRule::ALL.to_vec()), n)
    }

    proptest! {
        #[test]
        fn every_node_ends_and_as_its_rule_says(
            (lists, rules) in any_dag(30).prop_flat_map(|lists| { let n = lists.len(); (Just(lists), any_rules(n)) }),
            outcomes in proptest::collection::vec(0..3u8, 30),
        ) {
            let graph = Graph::new(of(&lists)).unwrap();
            let outcome = |node: NodeIx| match outcomes[node.place()] {
                0 => Standing::Failed,
                1 => Standing::Skipped,
                _ => Standing::Completed,
            };
            let standing = play(&graph, &rules, outcome);
            // The model: decide each node from scratch, in topological order.
            for &node in graph.order() {
                let dependencies = graph.dependencies(node);
                let mut ends = Ends { open: u32::try_from(dependencies.len()).unwrap(), ..Ends::default() };
                for dependency in dependencies {
                    count(&mut ends, standing[dependency.place()]);
                }
                let expected = match rules[node.place()].decide(dependencies.len(), ends) {
                    Verdict::Fire => outcome(node),
                    Verdict::Skip => Standing::Skipped,
                    Verdict::Block => Standing::Blocked,
                    Verdict::Wait => unreachable!("all have ended"),
                };
                prop_assert_eq!(standing[node.place()], expected);
            }
        }

        #[test]
        fn beginning_in_the_middle_equals_having_been_there_from_the_start(
            lists in any_dag(30), outcomes in proptest::collection::vec(any::<bool>(), 30),
            cut in any::<proptest::sample::Index>(),
        ) {
            let graph = Graph::new(of(&lists)).unwrap();
            let rules = vec![TriggerRule::AllSuccess; graph.len()];
            let outcome = |node: NodeIx| if outcomes[node.place()] { Standing::Completed } else { Standing::Failed };
            let mut fired = Vec::new();
            let mut whole = Scheduler::new(&graph, rules.clone(), |_| None, &mut fired);
            let mut ended = vec![None; graph.len()];
            for &node in graph.order().iter().take(cut.index(graph.len())) {
                if whole.may_start(node) {
                    whole.end(&graph, node, outcome(node), &mut fired);
                    ended[node.place()] = Some(outcome(node));
                }
            }
            let begun = Scheduler::new(&graph, rules, |node| ended[node.place()], &mut Vec::new());
            for node in graph.nodes() {
                prop_assert_eq!(begun.standing(node), whole.standing(node));
            }
        }
    }
}
