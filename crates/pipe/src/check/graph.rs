//! What depends on what.

use omne_dag::{Graph, NodeIx, TriggerRule};

use super::{Draft, Names, SUGGESTIONS};
use crate::{
    codes::Code,
    fields::{Faults, suggest},
    model::Node,
};

/// Each node's dependencies, those that exist. Their names are not needed any more, and go.
pub(super) fn dependencies(drafts: &mut [Draft], names: &Names<'_>, faults: &mut Faults) -> Vec<Vec<NodeIx>> {
    let mut suggestions = 0;
    let mut all = Vec::with_capacity(drafts.len());
    for (place, draft) in drafts.iter_mut().enumerate() {
        let depends_on = std::mem::take(&mut draft.depends_on);
        let mut found: Vec<NodeIx> = Vec::with_capacity(depends_on.len());
        let name = names.of(NodeIx::new(place)).map_or("?", |node| node.id.as_str());
        for dependency in &depends_on {
            match names.find(dependency.value.as_str()) {
                Some(target) if target.place() == place => {
                    let message = format!("node `{name}` depends on itself");
                    faults.add(Code::SelfDependency, dependency.at, message).with_help("remove it");
                }
                Some(target) if found.contains(&target) => {
                    let message = format!("node `{name}` names `{}` twice", dependency.value.as_str());
                    faults.add(Code::DuplicateDependency, dependency.at, message).with_help("once is enough");
                }
                Some(target) => found.push(target),
                None => {
                    let message = format!(
                        "node `{name}` depends on `{}`, which does not exist",
                        dependency.value.as_str()
                    );
                    let fault = faults.add(Code::UnknownDependency, dependency.at, message);
                    suggestions += 1;
                    let near = (suggestions <= SUGGESTIONS)
                        .then(|| suggest(dependency.value.as_str(), names.ids().filter(|id| *id != name)));
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
pub(super) fn build(
    drafts: &[Draft],
    dependencies: &[Vec<NodeIx>],
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
                let fault = faults.add(Code::Cycle, drafts[cycle.0[0].place()].id_at, message);
                fault.with_help("each depends on the next one; remove one of these dependencies");
            }
            None
        }
    }
}

/// Warns of nodes that can never start, and of outputs that share their variables.
pub(super) fn never_runs(drafts: &[Draft], graph: &Graph, names: &Names<'_>, faults: &mut Faults) {
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
            let draft = &drafts[ix.place()];
            let at = draft.when_at.unwrap_or(draft.id_at);
            faults.add(Code::NeverRuns, at, format!("node `{id}` can never run: {why}"));
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
                .add(Code::EnvironmentClash, drafts[place].id_at, message)
                .with_help("rename one of the nodes");
        }
    }
}
