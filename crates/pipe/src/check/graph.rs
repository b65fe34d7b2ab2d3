//! What depends on what.

use omne_dag::{Dependencies, Graph, NodeIx, TriggerRule};

use super::{Drafts, Names, SUGGESTIONS};
use crate::{
    codes::Code,
    fields::{Faults, Spanned, suggest},
    model::Node,
};

/// Each node's dependencies, those that exist.
pub(super) fn dependencies(drafts: &Drafts, names: &Names<'_>, faults: &mut Faults) -> Dependencies {
    let mut suggestions = 0;
    let mut all = Dependencies::with_capacity(drafts.len(), drafts.dependencies.len());
    // Who named each node last: one node may depend on all others.
    let mut named_by = vec![None; drafts.len()];
    for (node, Spanned { at, value: wanted }) in drafts.dependencies() {
        let name = names.of(node).map_or("?", |node| node.id.as_str());
        match names.find(wanted) {
            Some(target) if target == node => {
                let message = format!("node `{name}` depends on itself");
                faults.add(Code::SelfDependency, at, message).with_help("remove it");
            }
            Some(target) if named_by[target.place()].replace(node) == Some(node) => {
                let message = format!("node `{name}` names `{wanted}` twice");
                faults.add(Code::DuplicateDependency, at, message).with_help("once is enough");
            }
            Some(target) => all.add(node, target),
            None => {
                let message = format!("node `{name}` depends on `{wanted}`, which does not exist");
                let fault = faults.add(Code::UnknownDependency, at, message);
                suggestions += 1;
                let near = (suggestions <= SUGGESTIONS)
                    .then(|| suggest(wanted, names.ids().filter(|id| *id != name)));
                if let Some(near) = near.flatten() {
                    fault.with_help(format!("did you mean `{near}`?"));
                }
            }
        }
    }
    all.extend_to(drafts.len());
    all
}

/// The graph, unless there are rings.
pub(super) fn build(
    dependencies: Dependencies,
    drafts: &Drafts,
    names: &Names<'_>,
    faults: &mut Faults,
) -> Option<Graph> {
    match Graph::new(dependencies) {
        Ok(graph) => Some(graph),
        Err(cycles) => {
            for cycle in cycles {
                let name = |node: &NodeIx| names.of(*node).map_or("?", |node| node.id.as_str());
                let mut ring: Vec<&str> = cycle.0.iter().map(name).collect();
                ring.push(ring[0]);
                let message = format!("nodes depend on each other in a ring: {}", ring.join(" → "));
                let fault = faults.add(Code::Cycle, drafts.ids_at[cycle.0[0].place()], message);
                fault.with_help("each depends on the next one; remove one of these dependencies");
            }
            None
        }
    }
}

/// Warns of nodes that can never start, and of outputs that share their variables.
pub(super) fn never_runs(drafts: &Drafts, graph: &Graph, names: &Names<'_>, faults: &mut Faults) {
    let mut never = vec![false; graph.len()];
    for &ix in graph.order() {
        let Some(node @ Node { trigger_rule, id, .. }) = names.of(ix) else { continue };
        let dependencies = graph.dependencies(ix);
        let lost = |d: &&NodeIx| never[d.place()];
        let why = if node.when().is_some_and(|when| when.constant() == Some(false)) {
            Some("its `when` is always false".to_owned())
        } else {
            let cause = match trigger_rule {
                TriggerRule::AllSuccess => dependencies.iter().find(lost),
                TriggerRule::OneSuccess => {
                    dependencies.first().filter(|_| dependencies.iter().all(|d| never[d.place()]))
                }
                TriggerRule::AllDone | TriggerRule::NoneFailed => None,
            };
            cause
                .and_then(|d| names.of(*d))
                .map(|cause| format!("`{}`, which it needs, never runs", cause.id))
        };
        if let Some(why) = why {
            never[ix.place()] = true;
            let message = format!("node `{id}` can never run: {why}");
            faults.add(Code::NeverRuns, drafts.condition_at(ix), message);
        }
    }
    // Sorted by the digest of their names, clashes stand side by side.
    let part = |node: &Node| crate::variable_part(node.id.as_str());
    let hash = |part: String| std::hash::BuildHasher::hash_one(&rustc_hash::FxBuildHasher, part);
    let mut hashes: Vec<(u64, u32)> = (0..)
        .zip(names.nodes)
        .filter_map(|(place, node)| Some((hash(part(node.as_ref()?)), place)))
        .collect();
    hashes.sort_unstable();
    for pair in hashes.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let (other, place) = (pair[0].1 as usize, pair[1].1 as usize);
        if let (Some(node), Some(before)) = (&names.nodes[place], &names.nodes[other])
            && node.id != before.id
            && part(node) == part(before)
        {
            let message = format!("the outputs of `{}` and `{}` have the same variables", node.id, before.id);
            faults
                .add(Code::EnvironmentClash, drafts.ids_at[place], message)
                .with_help("rename one of the nodes");
        }
    }
}
