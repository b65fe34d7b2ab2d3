//! From a file to a [`Pipe`], with every fault gathered. One family of faults
//! a file: the shape of nodes, their graph, inputs, templates, bash.

mod bash;
mod graph;
mod inputs;
mod node;
mod templates;

use std::{num::NonZeroU32, ops::Range, sync::Arc};

use omne_dag::NodeIx;
use omne_events::{DefinitionText, PipeName, WorkspaceMode};

use crate::{
    codes::Code,
    command::Command,
    diagnostic::{Diagnostic, Severity},
    fields::{Faults, Fields, Spanned},
    index::Index,
    model::{Definition, Node, Pipe},
    source::Source,
    template::Name,
    tree::{Kind, NODES, Span, Tree, parse_json, write_text},
    yaml,
};

/// What has to be looked up outside the file.
pub trait Lookup {
    /// Whether the gate's script is there and usable; else why not.
    fn gate(&self, name: &str) -> Result<(), String>;
    /// The command, if its file is there and usable; else why not. `None` when nobody looks.
    fn command(&self, name: &str) -> Result<Option<Arc<Command>>, String>;
    /// Whether the settings define the secret; else what to do.
    fn secret(&self, name: &str) -> Result<(), String>;

    /// The most nodes that a pipe may have. Whoever reads a definition from a log takes what was taken then.
    fn most_nodes(&self) -> usize {
        usize::MAX
    }
}

/// A search for a similar name looks at every node, so only the first few faults get one.
const SUGGESTIONS: usize = 20;

/// Takes every name for granted: for definitions from a log.
#[derive(Debug, Clone, Copy)]
pub struct NoLookup;

impl Lookup for NoLookup {
    fn gate(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn command(&self, _: &str) -> Result<Option<Arc<Command>>, String> {
        Ok(None)
    }
    fn secret(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// What a check gives.
#[derive(Debug)]
pub struct Checked {
    /// The pipe, unless it has errors.
    pub pipe: Option<Pipe>,
    /// All faults, in the file's order.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity() == Severity::Error).count()
    }
}

const PIPE_KEYS: &[&str] = &[
    "name",
    "version",
    "description",
    "default_model",
    "agent",
    "workspace",
    "jobs",
    "timeout",
    "env",
    "inputs",
    "nodes",
];

/// What later checks need of the nodes that they do not need themselves. In lists of all of them, in their order: there
/// may be 100,000, most of them with little of it.
#[derive(Default)]
struct Drafts {
    /// Where each id stands; of a node without, where that begins.
    ids_at: Vec<Span>,
    dependencies: Vec<Dependency>,
    /// The names of all dependencies, one after the other.
    dependency_names: String,
    conditions_at: Vec<(NodeIx, Span)>,
    uses: Vec<(NodeIx, Use)>,
}

/// A name in a node's `depends_on`.
struct Dependency {
    of: NodeIx,
    at: Span,
    /// Where it ends among the names of all; it begins where the one before it ends.
    name_end: u32,
}

impl Drafts {
    /// How many nodes there are.
    fn len(&self) -> usize {
        self.ids_at.len()
    }

    fn depend(&mut self, of: NodeIx, on: Spanned<&str>) {
        self.dependency_names.push_str(on.value);
        self.dependencies.push(Dependency { of, at: on.at, name_end: end(&self.dependency_names) });
    }

    /// What each node depends on, node by node and as it was written.
    fn dependencies(&self) -> impl Iterator<Item = (NodeIx, Spanned<&str>)> {
        let mut from = 0;
        self.dependencies.iter().map(move |dependency| {
            let name = from..dependency.name_end as usize;
            from = name.end;
            (dependency.of, Spanned { at: dependency.at, value: &self.dependency_names[name] })
        })
    }

    /// Where the node's condition stands, or else its id.
    fn condition_at(&self, node: NodeIx) -> Span {
        let found = self.conditions_at.binary_search_by_key(&node, |(node, _)| *node);
        found.map_or(self.ids_at[node.place()], |found| self.conditions_at[found].1)
    }
}

/// The nodes as far as they could be read, by place and by id.
struct Names<'a> {
    nodes: &'a [Option<Node>],
    index: Index,
}

impl<'a> Names<'a> {
    /// Finds the ids that were there before, too.
    fn new(nodes: &'a [Option<Node>], drafts: &Drafts, faults: &mut Faults) -> Self {
        let mut names = Self { nodes, index: Index::with_capacity(nodes.len()) };
        for (place, node) in nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            if !names.index.insert(NodeIx::new(place), |node| id(nodes, node)) {
                let message = format!("a node with the id `{}` was there before", node.id);
                faults
                    .add(Code::DuplicateId, drafts.ids_at[place], message)
                    .with_help("ids are unique: rename one of them");
            }
        }
        names
    }

    fn of(&self, node: NodeIx) -> Option<&'a Node> {
        self.nodes[node.place()].as_ref()
    }

    fn find(&self, id_wanted: &str) -> Option<NodeIx> {
        self.index.find(id_wanted, |node| id(self.nodes, node))
    }

    fn ids(&self) -> impl Iterator<Item = &'a str> {
        self.nodes.iter().flatten().map(|node| node.id.as_str())
    }
}

/// The id of a node; of one without, what none is called.
fn id(nodes: &[Option<Node>], node: NodeIx) -> &str {
    nodes[node.place()].as_ref().map_or("", |node| node.id.as_str())
}

/// A name in a template of a node.
struct Use {
    name: Name,
    /// Where the template begins.
    at: Span,
    scope: Scope,
    /// The command's file that it stands in; else it stands in the pipe's.
    file: Option<Arc<Source>>,
}

/// What kind of template it is: `iteration` exists in those of loops alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Node,
    Loop,
}

/// Checks a pipe file.
pub fn check(source: &Source, lookup: &dyn Lookup) -> Checked {
    let mut nodes = Nodes::new(source, lookup);
    let parsed = yaml::parse(source.yaml(), source.first_line(), &mut |tree| nodes.take(&tree));
    let (pipe, mut diagnostics) = match parsed {
        Ok(tree) => read(tree, nodes),
        Err(fault) => (None, vec![fault]),
    };
    let file = |fault: &Diagnostic| fault.file.as_deref().map(|file| file.name().to_owned());
    diagnostics.sort_by_cached_key(|fault| {
        // Several nodes may name a command, and the faults in its file are the same for each.
        (file(fault), fault.at, fault.file.is_some().then(|| fault.message.clone()))
    });
    diagnostics
        .dedup_by(|a, b| a.file.is_some() && (file(a), a.at, &a.message) == (file(b), b.at, &b.message));
    Checked { pipe, diagnostics }
}

/// The pipe of a definition that a log carries.
///
/// # Errors
/// The faults: the log is not of this version, or was changed.
pub fn from_definition(json: &str) -> Result<Pipe, Vec<Diagnostic>> {
    let source = Source::definition();
    let mut nodes = Nodes::new(&source, &NoLookup);
    let tree = parse_json(json, &mut |tree| nodes.take(&tree))
        .map_err(|error| vec![Diagnostic::error(Code::Syntax, Span::default(), error.to_string())])?;
    let (pipe, faults) = read(tree, nodes);
    pipe.ok_or(faults)
}

/// The nodes as far as they are read. Each one's tree goes at once: there may be 100,000 of them.
struct Nodes<'a> {
    source: &'a Source,
    lookup: &'a dyn Lookup,
    faults: Faults,
    drafts: Drafts,
    /// `None` when the id is missing or misspelt.
    nodes: Vec<Option<Node>>,
    /// Whether there are more than there may be.
    too_many: bool,
    /// Their definitions, with commas between them.
    json: String,
    /// Where each stands in `json`.
    places: Vec<Range<u32>>,
}

impl<'a> Nodes<'a> {
    fn new(source: &'a Source, lookup: &'a dyn Lookup) -> Self {
        Self {
            source,
            lookup,
            faults: Faults::default(),
            drafts: Drafts::default(),
            nodes: Vec::new(),
            too_many: false,
            json: String::new(),
            places: Vec::new(),
        }
    }

    fn take(&mut self, tree: &Tree<'_>) {
        if self.drafts.len() >= self.lookup.most_nodes() {
            return self.one_too_many(tree.at);
        }
        if !self.json.is_empty() {
            self.json.push(',');
        }
        let from = end(&self.json);
        tree.write_json(&mut self.json);
        self.places.push(from..end(&self.json));
        let node = node::read(tree, self.source, self.lookup, &mut self.drafts, &mut self.faults);
        self.nodes.push(node);
    }

    /// Nothing is kept of what is over the limit, and one fault stands for all of it.
    fn one_too_many(&mut self, at: Span) {
        if !std::mem::replace(&mut self.too_many, true) {
            let message = format!("the pipe has more than {} nodes", self.lookup.most_nodes());
            let help =
                "`limits.nodes` in `.omne/omne.toml` sets the limit; several pipes may be the better way";
            self.faults.add(Code::TooManyNodes, at, message).with_help(help);
        }
    }
}

/// The pipe, unless there are errors among the faults.
fn read(mut tree: Tree<'_>, mut nodes: Nodes<'_>) -> (Option<Pipe>, Vec<Diagnostic>) {
    for tree in left_over(&mut tree) {
        nodes.take(&tree);
    }
    let Nodes { source, mut faults, drafts, nodes, json, places, .. } = nodes;
    let definition = definition(&tree, json, places);
    let pipe = assemble(&tree, source, (drafts, nodes), definition, &mut faults);
    let failed = faults.list.iter().any(|fault| fault.severity() == Severity::Error) || faults.left_out > 0;
    (pipe.filter(|_| !failed), faults.all())
}

fn assemble(
    tree: &Tree<'_>,
    source: &Source,
    (drafts, nodes): (Drafts, Vec<Option<Node>>),
    definition: Definition,
    faults: &mut Faults,
) -> Option<Pipe> {
    let fields = Fields::new(tree, "a pipe", PIPE_KEYS, faults)?;
    let name = required(&fields, "name", "`name: my-pipe`", faults)
        .and_then(|_| fields.text("name", faults))
        .and_then(|text| PipeName::new(text.value).map_err(|error| bad_name(text.at, &error, faults)).ok());
    let version = required(&fields, "version", "`version: 1`", faults)
        .and_then(|_| fields.integer("version", 1..=u64::MAX, Code::OutOfRange, faults));
    let description = fields.text("description", faults).map(|text| text.value.to_owned());
    let default_model = node::word(&fields, "default_model", faults);
    let agent = node::word(&fields, "agent", faults);
    let modes = [("worktree", WorkspaceMode::Worktree), ("root", WorkspaceMode::Root)];
    let workspace = fields.choice("workspace", &modes, faults);
    let jobs = fields.integer("jobs", 1..=100_000, Code::OutOfRange, faults);
    let timeout = fields.duration("timeout", faults);
    let env = node::environment(&fields, faults);
    let inputs = inputs::declarations(&fields, source, faults);
    if nodes.is_empty() {
        no_nodes(&fields, faults);
        return None;
    }
    let names = Names::new(&nodes, &drafts, faults);
    let dependencies = graph::dependencies(&drafts, &names, faults);
    let graph = graph::build(dependencies, &drafts, &names, faults);
    templates::check(&drafts, graph.as_ref(), &names, &inputs, source, faults);
    let graph = graph?;
    graph::never_runs(&drafts, &graph, &names, faults);
    let index = names.index;
    Some(Pipe {
        name: name?,
        version: version?,
        description,
        default_model,
        agent,
        workspace,
        jobs: jobs.and_then(|jobs| NonZeroU32::new(u32::try_from(jobs).ok()?)),
        timeout,
        env,
        inputs,
        // In the place where they are, so that there are never two of all of them.
        nodes: nodes.into_iter().collect::<Option<_>>()?,
        graph,
        index,
        definition,
    })
}

/// The nodes that the parser has left in the tree: those of a list that something refers to.
fn left_over<'t>(tree: &mut Tree<'t>) -> Vec<Tree<'t>> {
    let Kind::Map(entries) = &mut tree.kind else { return Vec::new() };
    match entries.iter_mut().find(|(key, _)| key.is_key(NODES)) {
        Some((_, Tree { kind: Kind::List(list), .. })) => std::mem::take(list),
        _ => Vec::new(),
    }
}

fn no_nodes(fields: &Fields<'_>, faults: &mut Faults) {
    let help = "give it at least one: `nodes: [{ id: hello, bash: \"echo hello\" }]`";
    let Some(tree) = fields.get("nodes") else {
        faults.add(Code::NoNodes, top(fields.at), "the pipe has no `nodes`").with_help(help);
        return;
    };
    match &tree.kind {
        Kind::List(_) | Kind::Null => {
            faults.add(Code::NoNodes, tree.at, "the pipe has no nodes").with_help(help);
        }
        Kind::Scalar { .. } | Kind::Map(_) => {
            let message = format!("`nodes` has to be a list, this is {}", tree.describe());
            faults.add(Code::WrongType, tree.at, message).with_help("begin each node with `- id: …`");
        }
    }
}

fn required(fields: &Fields<'_>, key: &str, example: &str, faults: &mut Faults) -> Option<()> {
    if fields.get(key).is_some() {
        return Some(());
    }
    let message = format!("the pipe has no `{key}`");
    faults.add(Code::MissingKey, top(fields.at), message).with_help(format!("add {example}"));
    None
}

/// The first character of something that spans many lines.
fn top(at: Span) -> Span {
    Span { length: 1, ..at }
}

fn bad_name(at: Span, error: &omne_events::NameError, faults: &mut Faults) {
    faults.add(Code::BadName, at, error.to_string());
}

/// Where a text ends. A pipe file has at most 32 MiB and its aliases add no more: JSON's escapes can't make that longer than
/// this can tell.
fn end(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// The whole pipe as JSON, and where each node stands in it: `nodes` with what is around them.
fn definition(tree: &Tree<'_>, mut nodes: String, mut places: Vec<Range<u32>>) -> Definition {
    let (mut before, mut after) = (String::from("{"), String::new());
    let mut around = &mut before;
    let entries = if let Kind::Map(entries) = &tree.kind { entries.as_slice() } else { &[] };
    for (place, (key, value)) in entries.iter().enumerate() {
        if place > 0 {
            around.push(',');
        }
        write_text(key.key_text(), around);
        around.push(':');
        if key.is_key(NODES) && matches!(value.kind, Kind::List(_)) {
            around.push('[');
            around = &mut after;
            around.push(']');
        } else {
            value.write_json(around);
        }
    }
    around.push('}');
    let shift = end(&before);
    for place in &mut places {
        *place = place.start.saturating_add(shift)..place.end.saturating_add(shift);
    }
    nodes.insert_str(0, &before);
    nodes.push_str(&after);
    nodes.shrink_to_fit();
    places.shrink_to_fit();
    Definition { json: DefinitionText::new(nodes), nodes: places }
}

/// Where `needle` stands in the value that begins at `at`; the value's own place when it can't be found.
fn locate(source: &Source, at: Span, needle: &str) -> Span {
    locate_nth(source, at, needle, 0)
}

/// The same for a later one: the first is number 0.
fn locate_nth(source: &Source, at: Span, needle: &str, mut n: usize) -> Span {
    const MOST_LINES: u32 = 500;
    for line in at.line..at.line.saturating_add(MOST_LINES) {
        let Some(text) = source.line(line) else { break };
        let skip = if line == at.line { at.column.saturating_sub(1) as usize } else { 0 };
        let from = text.char_indices().nth(skip).map_or(text.len(), |(byte, _)| byte);
        let found: Vec<usize> = text[from..].match_indices(needle).map(|(at, _)| at).collect();
        if n >= found.len() {
            n -= found.len();
        } else {
            let found = found[n];
            let column = text[..from + found].chars().count() + 1;
            let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            return Span { line, column: small(column), length: small(needle.chars().count()) };
        }
    }
    at
}

#[cfg(test)]
mod tests;
