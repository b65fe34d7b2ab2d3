//! The names in prompts and conditions.

use std::cell::{Cell, RefCell};

use omne_dag::{Graph, NodeIx};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Drafts, Names, SUGGESTIONS, Scope, Use, locate};
use crate::{
    codes::Code,
    fields::{Faults, suggest},
    model::InputDeclaration,
    source::Source,
    template::Name,
    tree::Span,
};

pub(super) fn check(
    drafts: &Drafts,
    graph: Option<&Graph>,
    names: &Names<'_>,
    inputs: &[InputDeclaration],
    source: &Source,
    faults: &mut Faults,
) {
    let input_keys: FxHashSet<&str> = inputs.iter().map(|input| input.key.as_str()).collect();
    let suggestions = Cell::new(0);
    let below = Below(RefCell::default());
    for (node, Use { name, at, scope, file }) in &drafts.uses {
        let is_ancestor = |id: &str| {
            // In a ring nobody can say who comes first; the ring is the fault.
            let Some(graph) = graph else { return true };
            names.find(id).is_some_and(|ix| below.has(graph, ix, *node))
        };
        let known = Known {
            input_keys: &input_keys,
            names,
            scope: *scope,
            is_ancestor: &is_ancestor,
            suggestions: &suggestions,
        };
        let before = faults.list.len();
        let source = file.as_deref().unwrap_or(source);
        known.check(name, |needle| locate(source, *at, needle), faults);
        let Some(file) = file else { continue };
        for fault in &mut faults.list[before..] {
            fault.file = Some(file.clone());
            // Where it is right or wrong by the node that names the command.
            if (fault.code == Code::NotAnAncestor || *name == Name::Iteration)
                && let Some(node) = names.of(*node)
            {
                fault.message = format!("{}, and node `{}` sends it", fault.message, node.id);
            }
        }
    }
}

/// What a template may name.
struct Known<'a> {
    input_keys: &'a FxHashSet<&'a str>,
    names: &'a Names<'a>,
    scope: Scope,
    is_ancestor: &'a dyn Fn(&str) -> bool,
    /// How many similar names were looked for.
    suggestions: &'a Cell<usize>,
}

/// What depends on nodes that templates name: many may name the same one.
struct Below(RefCell<FxHashMap<NodeIx, Vec<bool>>>);

impl Below {
    /// Whether `node` depends on `on`, directly or not.
    fn has(&self, graph: &Graph, on: NodeIx, node: NodeIx) -> bool {
        /// How many nodes' are kept at once.
        const KEPT: usize = 16;
        if graph.dependencies(node).contains(&on) {
            return true;
        }
        let mut kept = self.0.borrow_mut();
        if kept.len() >= KEPT && !kept.contains_key(&on) {
            kept.clear();
        }
        kept.entry(on).or_insert_with(|| graph.descendants([on]))[node.place()]
    }
}

impl Known<'_> {
    /// The candidate that `text` is probably a misspelling of.
    fn near<'c>(&self, text: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
        self.suggestions.set(self.suggestions.get() + 1);
        (self.suggestions.get() <= SUGGESTIONS).then(|| suggest(text, candidates)).flatten()
    }

    fn check(&self, name: &Name, locate: impl Fn(&str) -> Span, faults: &mut Faults) {
        // The same word may stand in the text around.
        let locate_id = |id: &str| {
            let nowhere = locate("\0");
            let found = ["nodes.", "nodes['", "nodes[\""].into_iter().find_map(|before| {
                let span = locate(&format!("{before}{id}"));
                let small = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                (span != nowhere).then(|| Span {
                    column: span.column.saturating_add(small(before)),
                    length: small(id),
                    ..span
                })
            });
            found.unwrap_or_else(|| locate(id))
        };
        match name {
            Name::AllInputs | Name::AllNodes | Name::RunId => {}
            Name::Iteration if self.scope == Scope::Loop => {}
            Name::Iteration => {
                let fault =
                    faults.add(Code::UnknownName, locate("iteration"), "`iteration` exists in loops alone");
                fault.with_help("remove it, or make the node a `loop`");
            }
            Name::Input(key) => {
                if !self.input_keys.contains(key.as_str()) {
                    let message = format!("the pipe has no input `{key}`");
                    let fault = faults.add(Code::UnknownName, locate(key), message);
                    match self.near(key, self.input_keys.iter().copied()) {
                        Some(near) => fault.with_help(format!("did you mean `{near}`?")),
                        None => fault.with_help("declare it under `inputs`"),
                    }
                }
            }
            Name::Node { id, field } => {
                if self.names.find(id.as_str()).is_none() {
                    let fault =
                        faults.add(Code::UnknownName, locate_id(id), format!("the pipe has no node `{id}`"));
                    match self.near(id, self.names.ids()) {
                        Some(near) => fault.with_help(format!("did you mean `{near}`?")),
                        None => fault.with_help("an id with `-` or `.` is written `nodes['my-id']`"),
                    }
                } else if !(self.is_ancestor)(id) {
                    let message = format!("node `{id}` may not have run by then");
                    let fault = faults.add(Code::NotAnAncestor, locate_id(id), message);
                    fault.with_help(format!("add `{id}` to `depends_on`"));
                }
                if let Some(field) = field
                    && field != "output"
                    && field != "outputs"
                {
                    let fault =
                        faults.add(Code::UnknownName, locate(field), format!("a node has no `{field}`"));
                    fault.with_help("it has `output`, the text it printed, and `outputs.<key>`");
                }
            }
            Name::Unknown(path) => {
                let root = path.split('.').next().unwrap_or(path);
                let fault = faults.add(Code::UnknownName, locate(root), format!("`{path}` does not exist"));
                fault.with_help(match suggest(root, ["inputs", "nodes", "run", "iteration"].into_iter()) {
                    Some("run") => "a run has only an id: `run.id`".to_owned(),
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        "known are `inputs.<key>`, `nodes.<id>.output`, `nodes.<id>.outputs.<key>`, `run.id`"
                            .to_owned()
                    }
                });
            }
        }
    }
}
