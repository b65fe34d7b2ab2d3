//! What depends on what.

use omne_dag::{Graph, NodeIx, TriggerRule};

use super::{Draft, Index, SUGGESTIONS};
use crate::{
    codes::Code,
    fields::{Faults, suggest},
    model::Node,
};

/// Each node's dependencies, those that exist.
pub(super) fn dependencies(drafts: &[Draft], index: &Index, faults: &mut Faults) -> Vec<Vec<NodeIx>> {
    let mut suggestions = 0;
    let mut all = Vec::with_capacity(drafts.len());
    for (place, draft) in drafts.iter().enumerate() {
        let mut found: Vec<NodeIx> = Vec::with_capacity(draft.depends_on.len());
        let name = draft.node.as_ref().map_or("?", |node| node.id.as_str());
        for dependency in &draft.depends_on {
            match index.get(dependency.value.as_str()) {
                Some(target) if target.place() == place => {
                    let message = format!("node `{name}` depends on itself");
                    faults.add(Code::SelfDependency, dependency.at, message).with_help("remove it");
                }
                Some(target) if found.contains(target) => {
                    let message = format!("node `{name}` names `{}` twice", dependency.value.as_str());
                    faults.add(Code::DuplicateDependency, dependency.at, message).with_help("once is enough");
                }
                Some(target) => found.push(*target),
                None => {
                    let message = format!(
                        "node `{name}` depends on `{}`, which does not exist",
                        dependency.value.as_str()
                    );
                    let fault = faults.add(Code::UnknownDependency, dependency.at, message);
                    suggestions += 1;
                    let near = (suggestions <= SUGGESTIONS).then(|| {
                        suggest(
                            dependency.value.as_str(),
                            index.keys().map(omne_events::NodeId::as_str).filter(|id| *id != name),
                        )
                    });
                    if let Some(near) = near.flatten() {
                        fault.with_help(format!("did you mean `{near}`?"));
                    }
                }
            }
        }
        all.push(found);
    }
    all
}

/// The graph, unless there are rings.
pub(super) fn build(drafts: &[Draft], dependencies: &[Vec<NodeIx>], faults: &mut Faults) -> Option<Graph> {
    match Graph::new(dependencies) {
        Ok(graph) => Some(graph),
        Err(cycles) => {
            for cycle in cycles {
                let name =
                    |node: &NodeIx| drafts[node.place()].node.as_ref().map_or("?", |node| node.id.as_str());
                let mut names: Vec<&str> = cycle.0.iter().map(name).collect();
                names.push(names[0]);
                let message = format!("nodes depend on each other in a ring: {}", names.join(" → "));
                let fault = faults.add(Code::Cycle, drafts[cycle.0[0].place()].id_at, message);
                fault.with_help("each depends on the next one; remove one of these dependencies");
            }
            None
        }
    }
}

/// Warns of nodes that can never start, and of outputs that share their variables.
pub(super) fn never_runs(drafts: &[Draft], graph: &Graph, faults: &mut Faults) {
    let node = |ix: NodeIx| drafts[ix.place()].node.as_ref();
    let mut never = vec![false; graph.len()];
    for &ix in graph.order() {
        let Some(Node { trigger_rule, when, id, .. }) = node(ix).map(|node| &**node) else { continue };
        let dependencies = graph.dependencies(ix);
        let lost = |d: &&NodeIx| never[d.place()];
        let why = if when.as_ref().is_some_and(|when| when.constant() == Some(false)) {
            Some("its `when` is always false".to_owned())
        } else {
            let cause = match trigger_rule {
                TriggerRule::AllSuccess => dependencies.iter().find(lost),
                TriggerRule::OneSuccess => {
                    dependencies.first().filter(|_| dependencies.iter().all(|d| never[d.place()]))
                }
                TriggerRule::AllDone | TriggerRule::NoneFailed => None,
            };
            cause.and_then(|d| node(*d)).map(|cause| format!("`{}`, which it needs, never runs", cause.id))
        };
        if let Some(why) = why {
            never[ix.place()] = true;
            let draft = &drafts[ix.place()];
            let at = draft.when_at.unwrap_or(draft.id_at);
            faults.add(Code::NeverRuns, at, format!("node `{id}` can never run: {why}"));
        }
    }
    // Sorted by the digest of their names, clashes stand side by side.
    let part = |draft: &Draft| draft.node.as_ref().map(|node| crate::variable_part(node.id.as_str()));
    let hash = |part: String| std::hash::BuildHasher::hash_one(&rustc_hash::FxBuildHasher, part);
    let mut hashes: Vec<(u64, u32)> =
        (0..).zip(drafts).filter_map(|(place, draft)| Some((hash(part(draft)?), place))).collect();
    hashes.sort_unstable();
    for pair in hashes.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let (other, draft) = (&drafts[pair[0].1 as usize], &drafts[pair[1].1 as usize]);
        if let (Some(node), Some(before)) = (&draft.node, &other.node)
            && node.id != before.id
            && part(draft) == part(other)
        {
            let message = format!("the outputs of `{}` and `{}` have the same variables", node.id, before.id);
            faults.add(Code::EnvironmentClash, draft.id_at, message).with_help("rename one of the nodes");
        }
    }
}
