//! The one module that knows YAML parsers: with places for pipes, without for
//! plain values. Hostile documents end in an error, in bounded memory.

use rustc_hash::{FxHashMap, FxHashSet};
use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::{
    codes::Code,
    diagnostic::Diagnostic,
    source::MOST_BYTES,
    tree::{Kind, NODES, Span, Tree},
};

/// Pipes nest five deep; whoever nests deeper than this means harm.
const MOST_DEPTH: usize = 64;
/// How many values may be held at once: those of one node, or of all that is no node.
const MOST_HELD: usize = 1_000_000;
/// How much aliases may add.
const MOST_ALIASED: Amount = Amount { values: 10_000, bytes: MOST_BYTES };
/// For each byte of the file, how much its anchors may name: as much as it holds itself, several times over. Only anchors
/// within anchors come to more.
const MOST_ANCHORED: Amount = Amount { values: 1, bytes: 8 };

/// The first document of `text`, which begins at line `first_line` of its file.
///
/// The pipe's nodes are given to `node` one by one as they end, and the list that is left in the document is empty: there
/// may be 100,000 of them. Only a list that other places refer to stays whole.
pub(crate) fn parse<'s>(
    text: &'s str,
    first_line: u32,
    node: &mut dyn FnMut(Tree<'s>),
) -> Result<Tree<'s>, Diagnostic> {
    parse_within(MOST_HELD, text, first_line, Some(node))
}

fn parse_within<'s>(
    most_held: usize,
    text: &'s str,
    first_line: u32,
    node: Option<&mut dyn FnMut(Tree<'s>)>,
) -> Result<Tree<'s>, Diagnostic> {
    let mut builder = Builder {
        first_line,
        open: Vec::new(),
        anchors: FxHashMap::default(),
        held: 0,
        anchored: Amount::default(),
        most_anchored: Amount {
            values: MOST_ANCHORED.values.saturating_mul(text.len()),
            bytes: MOST_ANCHORED.bytes.saturating_mul(text.len()),
        },
        aliased: Amount::default(),
        root: None,
        had_nodes: false,
        node,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            // What is missing at the end is missing on the last line, wherever the scanner looks for it.
            let (last, end) = last_place(text);
            let (line, column) = (error.marker().line(), error.marker().col());
            let at = match line > last {
                true => builder.place(last, end, 1),
                false => builder.place(line, column, 1),
            };
            // The scanner looks ahead, so its own limit may be met before ours.
            if error.info().contains("recursion limit") {
                return too_deep(at);
            }
            Diagnostic::error(Code::Syntax, at, error.info().to_owned())
                .help("this is not YAML; texts with `: ` or ` #`, or that begin with a special character, need quotes")
        })?;
        let length = if span.start.line() == span.end.line() { span.end.col() - span.start.col() } else { 1 };
        let at = builder.place(span.start.line(), span.start.col(), length);
        if builder.held > most_held {
            let message = format!("there are more than {most_held} values here");
            let help = "no pipe needs that; is this the right file?";
            return Err(Diagnostic::error(Code::TooLarge, at, message).help(help));
        }
        if builder.take(event, at)? {
            break;
        }
    }
    Ok(builder.root.unwrap_or(Tree { at: Span { line: first_line, column: 1, length: 1 }, kind: Kind::Null }))
}

/// The last line of a text that is not empty, from 1, and its length in characters.
fn last_place(text: &str) -> (usize, usize) {
    let text = text.trim_end_matches(['\r', '\n']);
    let line = text.rsplit(['\r', '\n']).next().unwrap_or_default();
    let mut breaks = text.bytes().zip(text.bytes().skip(1).chain([0]));
    let ends = |(byte, next): &(u8, u8)| *byte == b'\n' || (*byte == b'\r' && *next != b'\n');
    (breaks.by_ref().filter(ends).count() + 1, line.chars().count())
}

/// Plain values of a YAML or JSON text. A map that has a key twice is none.
pub(crate) fn values(text: &str) -> Result<serde_json::Value, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let told = |fault: &Diagnostic| match fault.at {
        Some(Span { line, column, .. }) => format!("line {line}, column {column}: {}", fault.message),
        None => fault.message.clone(),
    };
    match parse_within(MOST_HELD, text, 1, None) {
        Ok(tree) => match twice(&tree) {
            Some(key) => Err(format!("line {}: the key `{}` stands twice", key.at.line, key.key_text())),
            None => Ok(tree.to_json()),
        },
        // JSON spells some characters as YAML does not.
        Err(fault) => serde_json::from_str(text).map_err(|_| told(&fault)),
    }
}

/// A key that a map has twice.
fn twice<'t, 's>(tree: &'t Tree<'s>) -> Option<&'t Tree<'s>> {
    match &tree.kind {
        Kind::Null | Kind::Scalar { .. } => None,
        Kind::List(items) => items.iter().find_map(twice),
        Kind::Map(entries) => {
            let mut keys = FxHashSet::default();
            entries.iter().find_map(|(key, value)| match keys.insert(key.key_text()) {
                true => twice(value),
                false => Some(key),
            })
        }
    }
}

struct Builder<'s, 'n> {
    first_line: u32,
    open: Vec<Open<'s>>,
    anchors: FxHashMap<usize, Tree<'s>>,
    /// How many values there are since the last node was given out.
    held: usize,
    anchored: Amount,
    most_anchored: Amount,
    aliased: Amount,
    root: Option<Tree<'s>>,
    /// Whether the pipe's map had its nodes already: a second list of them is a fault, and nothing of it counts.
    had_nodes: bool,
    /// Without it, nodes stay where they are.
    node: Option<&'n mut dyn FnMut(Tree<'s>)>,
}

/// A list or map that is not closed yet.
struct Open<'s> {
    at: Span,
    anchor: usize,
    key: Option<Tree<'s>>,
    kind: Kind<'s>,
}

impl<'s> Builder<'s, '_> {
    fn place(&self, line: usize, column: usize, length: usize) -> Span {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span {
            line: small(line).saturating_sub(1).saturating_add(self.first_line),
            column: small(column).saturating_add(1),
            length: small(length).max(1),
        }
    }

    /// Whether the document is complete.
    fn take(&mut self, event: Event<'s>, at: Span) -> Result<bool, Diagnostic> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let fault = Diagnostic::error(Code::Syntax, at, "a second document begins here".into());
                return Err(fault.help(
                    "a file holds one pipe: remove the `---`, or put the other into a file of its own",
                ));
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            Event::StreamEnd => return Ok(true),
            Event::Alias(anchor) => {
                let Some(tree) = self.anchors.get(&anchor).cloned() else {
                    let message = "this alias names a value that contains it";
                    return Err(Diagnostic::error(Code::Aliases, at, message.into()));
                };
                self.aliased.add(&tree);
                if self.aliased.exceeds(MOST_ALIASED) {
                    let Amount { values, bytes } = MOST_ALIASED;
                    let mebibytes = bytes >> 20;
                    let message = format!(
                        "the aliases of this file stand for more than {values} values or {mebibytes} MiB of text"
                    );
                    return Err(Diagnostic::error(Code::Aliases, at, message).help("write the values out"));
                }
                self.put(tree);
            }
            Event::Scalar(text, style, anchor, tag) => {
                // `!!str 1` is a text; other tags mean nothing here.
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let is_null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let kind = if is_null { Kind::Null } else { Kind::Scalar { text, plain } };
                self.close(Tree { at, kind }, anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.open(at, anchor, Kind::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => self.open(at, anchor, Kind::Map(Vec::new()))?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let mut kind = open.kind;
                    merge(&mut kind);
                    self.close(Tree { at: open.at, kind }, open.anchor)?;
                }
            }
        }
        Ok(false)
    }

    fn open(&mut self, at: Span, anchor: usize, kind: Kind<'s>) -> Result<(), Diagnostic> {
        if self.open.len() >= MOST_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, key: None, kind });
        Ok(())
    }

    fn close(&mut self, tree: Tree<'s>, anchor: usize) -> Result<(), Diagnostic> {
        if anchor > 0 {
            self.anchored.add(&tree);
            let Amount { values, bytes } = self.most_anchored;
            let most = Amount { values: values + self.aliased.values, bytes: bytes + self.aliased.bytes };
            if self.anchored.exceeds(most) {
                let message = "the anchors within this value name more than the file holds";
                let fault = Diagnostic::error(Code::Aliases, tree.at, message.into());
                return Err(fault.help("give an anchor only to what an alias refers to"));
            }
            self.anchors.insert(anchor, tree.clone());
        }
        self.put(tree);
        Ok(())
    }

    /// Whether what ends now is a node of the pipe.
    fn in_nodes(&self) -> bool {
        let [Open { kind: Kind::Map(_), key: Some(key), .. }, Open { kind: Kind::List(_), anchor: 0, .. }] =
            self.open.as_slice()
        else {
            return false;
        };
        self.node.is_some() && !self.had_nodes && key.is_key(NODES)
    }

    fn put(&mut self, tree: Tree<'s>) {
        if self.in_nodes()
            && let Some(node) = &mut self.node
        {
            self.held = 0;
            return node(tree);
        }
        self.held += 1;
        let is_pipe = self.open.len() == 1;
        match self.open.last_mut() {
            None => self.root = Some(tree),
            Some(Open { kind: Kind::List(items), .. }) => items.push(tree),
            Some(Open { kind: Kind::Map(entries), key, .. }) => match key.take() {
                None => *key = Some(tree),
                Some(key) => {
                    self.had_nodes |= is_pipe && key.is_key(NODES);
                    entries.push((key, tree));
                }
            },
            Some(Open { kind: Kind::Null | Kind::Scalar { .. }, .. }) => {}
        }
    }
}

fn too_deep(at: Span) -> Diagnostic {
    let message = format!("this is nested more than {MOST_DEPTH} deep");
    Diagnostic::error(Code::Depth, at, message).help("no pipe needs that; is this the right file?")
}

/// How much some values are.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    values: usize,
    /// Of their texts.
    bytes: usize,
}

impl Amount {
    fn add(&mut self, tree: &Tree<'_>) {
        self.values += 1;
        match &tree.kind {
            Kind::Null => {}
            Kind::Scalar { text, .. } => self.bytes += text.len(),
            Kind::List(items) => items.iter().for_each(|item| self.add(item)),
            Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
                self.add(key);
                self.add(value);
            }),
        }
    }

    fn exceeds(self, most: Amount) -> bool {
        self.values > most.values || self.bytes > most.bytes
    }
}

/// `<<: *other` takes over the entries that the map does not have itself, `<<: [*a, *b]` those of several maps.
fn merge(kind: &mut Kind<'_>) {
    let Kind::Map(entries) = kind else { return };
    let is_merge = |key: &Tree<'_>| matches!(&key.kind, Kind::Scalar { text, plain: true } if text == "<<");
    let is_map = |tree: &Tree<'_>| matches!(tree.kind, Kind::Map(_));
    let can_merge = |value: &Tree<'_>| match &value.kind {
        Kind::List(items) => items.iter().all(is_map),
        _ => is_map(value),
    };
    let Some(at) = entries.iter().position(|(key, value)| is_merge(key) && can_merge(value)) else { return };
    let (_, merged) = entries.remove(at);
    let mut own: FxHashSet<String> = entries.iter().map(|(key, _)| key.key_text().to_owned()).collect();
    let maps = match merged.kind {
        Kind::List(items) => items,
        _ => vec![merged],
    };
    for map in maps {
        let Kind::Map(others) = map.kind else { continue };
        for (key, value) in others {
            if own.insert(key.key_text().to_owned()) {
                entries.push((key, value));
            }
        }
    }
}

/// A value as YAML.
pub(crate) fn write(value: &impl serde::Serialize) -> Result<String, String> {
    serde_yaml::to_string(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Result<Tree<'_>, Diagnostic> {
        parse(text, 1, &mut |_| panic!("this document has no nodes"))
    }

    fn json(text: &str) -> String {
        whole(text).unwrap().to_json().to_string()
    }

    #[test]
    fn nodes_are_given_out_one_by_one() {
        let mut nodes = Vec::new();
        let text = "a: {nodes: [0]}\nnodes:\n- {id: x}\n- y\nb: [1]\n";
        let rest = parse(text, 1, &mut |node| nodes.push(node.to_json().to_string())).unwrap();
        assert_eq!(nodes, [r#"{"id":"x"}"#, r#""y""#]);
        assert_eq!(rest.to_json().to_string(), r#"{"a":{"nodes":[0]},"nodes":[],"b":[1]}"#);
    }

    #[test]
    fn a_list_of_nodes_that_something_refers_to_stays_whole() {
        assert_eq!(json("nodes: &n [1]\nb: *n"), r#"{"nodes":[1],"b":[1]}"#);
    }

    #[test]
    fn a_document_keeps_its_order_and_its_places() {
        let tree = whole("b: 1\na: [x, 'y']\n").unwrap();
        assert_eq!(tree.to_json().to_string(), r#"{"b":1,"a":["x","y"]}"#);
        let Kind::Map(entries) = &tree.kind else { panic!() };
        let Kind::List(items) = &entries[1].1.kind else { panic!() };
        assert_eq!(items[1].at, Span { line: 2, column: 8, length: 3 });
    }

    #[test]
    fn aliases_and_merge_keys_are_written_out() {
        assert_eq!(
            json("a: &x {k: 1, l: 2}\nb: *x\nc: {<<: *x, k: 3}"),
            r#"{"a":{"k":1,"l":2},"b":{"k":1,"l":2},"c":{"k":3,"l":2}}"#
        );
    }

    #[test]
    fn several_maps_are_merged_and_the_first_one_counts() {
        assert_eq!(
            json("a: &a {k: 1}\nb: &b {k: 2, l: 3}\nc: {<<: [*a, *b]}"),
            r#"{"a":{"k":1},"b":{"k":2,"l":3},"c":{"k":1,"l":3}}"#
        );
    }

    #[test]
    fn a_second_document_is_refused() {
        let fault = whole("a: 1\n---\nb: 2\n").unwrap_err();
        assert_eq!((fault.code, fault.at.unwrap().line), (Code::Syntax, 2));
        assert_eq!(json("---\na: 1\n...\n"), r#"{"a":1}"#);
    }

    #[test]
    fn an_alias_bomb_is_defused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for level in 1..40 {
            let inner = vec![format!("*a{}", level - 1); 9].join(",");
            text += &format!("a{level}: &a{level} [{inner}]\n");
        }
        assert_eq!(whole(&text).unwrap_err().code, Code::Aliases);
    }

    #[test]
    fn values_are_held_up_to_a_limit_but_nodes_are_not() {
        let many = "1,".repeat(200);
        let (map, mut nodes) = (format!("a: [{many}]"), 0);
        assert_eq!(parse_within(100, &map, 1, Some(&mut |_| {})).unwrap_err().code, Code::TooLarge);
        parse_within(100, &format!("nodes: [{many}]"), 1, Some(&mut |_| nodes += 1)).unwrap();
        assert_eq!(nodes, 200);
    }

    #[test]
    fn a_long_text_may_not_be_repeated_without_end() {
        let text = |aliases: usize| format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a,".repeat(aliases));
        assert!(whole(&text(32)).is_ok());
        assert_eq!(whole(&text(33)).unwrap_err().code, Code::Aliases);
    }

    #[test]
    fn anchors_within_anchors_may_not_name_everything_again_and_again() {
        let nested = |depth: usize| {
            let anchors: String = (0..depth).map(|level| format!("&a{level} [")).collect();
            format!("{anchors}{}{}", "1,".repeat(1000), "]".repeat(depth))
        };
        assert!(whole(&nested(2)).is_ok());
        assert_eq!(whole(&nested(40)).unwrap_err().code, Code::Aliases);
        let text = |depth: usize| {
            let anchors: String = (0..depth).map(|level| format!("&a{level} [")).collect();
            format!("{anchors}{}{}", "x".repeat(1000), "]".repeat(depth))
        };
        assert!(whole(&text(8)).is_ok());
        assert_eq!(whole(&text(40)).unwrap_err().code, Code::Aliases);
    }

    #[test]
    fn deep_nesting_is_refused_without_using_the_stack() {
        assert_eq!(whole(&"[".repeat(1_000_000)).unwrap_err().code, Code::Depth);
        assert_eq!(whole(&"{a: ".repeat(1_000_000)).unwrap_err().code, Code::Depth);
    }

    #[test]
    fn an_alias_of_what_contains_it_is_refused() {
        assert!(whole("a: &a [*a]").is_err());
    }

    #[test]
    fn what_is_missing_at_the_end_is_told_on_the_last_line() {
        for text in ["name: x\r\nnodes", "name: x\nnodes\n\n", "name: x\rnodes"] {
            let fault = parse(text, 5, &mut |_| {}).unwrap_err();
            assert_eq!(fault.at.map(|at| (at.line, at.column)), Some((6, 6)), "{text:?}: {fault:?}");
        }
    }

    #[test]
    fn a_fault_names_line_and_column_of_the_whole_file() {
        let fault = parse("a: [1\nb: 2", 5, &mut |_| {}).unwrap_err();
        assert_eq!(fault.code, Code::Syntax);
        assert!(fault.at.unwrap().line >= 5);
    }
}
