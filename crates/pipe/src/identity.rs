//! What a node is, as a digest: its definition, the inputs it uses, and what
//! its ancestors are. A node that completed is kept by a resume with another
//! pipe only if this has not changed.
//!
//! How long a node may take and how often it is tried again is no part of what
//! it is: a higher timeout does not make a finished node run again.

use std::{borrow::Cow, fmt};

use omne_dag::NodeIx;
use omne_events::{Digest, Hasher};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::{
    command::{Command, Commands},
    inputs::Values,
    model::{Body, Node, Pipe, RoundBody},
};

/// Keys of a node that do not change what it does.
const OPERATIONAL: [&str; 6] = ["timeout", "retry", "idle_timeout", "always", "budget_usd", "depends_on"];

/// The digests of all nodes of a pipe, each computed when it is first asked for.
#[derive(Debug)]
pub struct Identities {
    /// For each node one more than its place in `digests`; 0 while it has none.
    places: Vec<u32>,
    digests: Vec<Digest>,
    commands: Commands,
}

impl Identities {
    /// Nothing computed yet. A command that is not among `commands` counts by its name alone.
    pub fn new(pipe: &Pipe, commands: Commands) -> Self {
        Self { places: vec![0; pipe.nodes().len()], digests: Vec::new(), commands }
    }

    /// The digest of `node` in a run with these inputs.
    pub fn of(&mut self, pipe: &Pipe, inputs: &Values, node: NodeIx) -> Digest {
        if let Some(known) = self.known(node) {
            return known;
        }
        // Down to what is known, then up again: no recursion, whatever the depth.
        let mut below = Vec::new();
        let mut next = node;
        loop {
            let dependencies = pipe.graph().dependencies(next);
            if let Some(&unknown) = dependencies.iter().find(|d| self.known(**d).is_none()) {
                below.push(std::mem::replace(&mut next, unknown));
                continue;
            }
            let mut ancestors: Vec<Digest> = dependencies.iter().filter_map(|d| self.known(*d)).collect();
            ancestors.sort_unstable();
            let digest = digest(pipe, inputs, &self.commands, next, &ancestors);
            self.keep(pipe, next, digest);
            match below.pop() {
                Some(node) => next = node,
                None => return digest,
            }
        }
    }

    fn known(&self, node: NodeIx) -> Option<Digest> {
        let place = self.places[node.place()].checked_sub(1)?;
        self.digests.get(place as usize).copied()
    }

    /// Keeps what other nodes may ask for; whoever asks for a node itself asks once.
    fn keep(&mut self, pipe: &Pipe, node: NodeIx, digest: Digest) {
        if !pipe.graph().dependents(node).is_empty() {
            self.digests.push(digest);
            self.places[node.place()] = u32::try_from(self.digests.len()).unwrap_or_default();
        }
    }
}

fn digest(pipe: &Pipe, inputs: &Values, commands: &Commands, node: NodeIx, ancestors: &[Digest]) -> Digest {
    let mut hasher = Hasher::new();
    for (key, value) in parts(pipe, inputs, commands, node) {
        // Lengths first, so that no two different lists of parts have the same bytes.
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key.as_bytes());
        hasher.update(&(value.len() as u64).to_le_bytes());
        hasher.update(value.as_bytes());
    }
    for ancestor in ancestors {
        hasher.update(&ancestor.text());
    }
    hasher.finish()
}

/// A part's name and what it is.
type Part<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Everything that makes the node what it is, by name, in a fixed order.
fn parts<'a>(pipe: &'a Pipe, inputs: &Values, commands: &Commands, node: NodeIx) -> Vec<Part<'a>> {
    let Definition(definition) = serde_json::from_str(pipe.node_definition(node)).unwrap_or_default();
    let mut parts: Vec<Part<'a>> = definition
        .into_iter()
        .filter(|(key, _)| !OPERATIONAL.contains(&&**key))
        .map(|(key, value)| (key, canonical_text(value)))
        .collect();
    let model = pipe.node(node);
    parts.extend(pipe.env().iter().map(|(name, value)| (format!("env.{name}").into(), value.into())));
    if model.ai().is_some() {
        parts.extend(pipe.default_model().map(|name| ("default_model".into(), name.to_string().into())));
        parts.extend(pipe.agent().map(|name| ("agent of the pipe".into(), name.to_string().into())));
    }
    let command = model.command().and_then(|name| commands.get(name.as_str()));
    parts.extend(command.map(|command| ("the command's text".into(), command.sha256().to_string().into())));
    let used = inputs.iter().filter(|(key, _)| uses_input(model, command.map(|c| &**c), key));
    parts.extend(used.map(|(key, value)| (format!("inputs.{key}").into(), canonical(value.clone()).into())));
    parts.sort();
    parts
}

/// The keys of a node's definition and their values as they are written, of which most are taken without a copy.
#[derive(Default)]
struct Definition<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Definition<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Definition<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut entries = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Definition(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// [`canonical`] of what is written as `raw`.
fn canonical_text(raw: &RawValue) -> Cow<'_, str> {
    let raw = raw.get();
    if is_canonical_string(raw.as_bytes()) {
        return raw.into();
    }
    serde_json::from_str(raw).map_or_else(|_| raw.into(), |value| canonical(value).into())
}

/// Whether it is a string whose characters are written as we write them.
fn is_canonical_string(raw: &[u8]) -> bool {
    let Some((b'"', rest)) = raw.split_first() else { return false };
    let mut escapes = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\\').map(|(at, _)| at);
    let mut after = 0;
    escapes.all(|at| {
        // The second of two is what the first one escapes.
        at < after || {
            after = at + 2;
            matches!(rest.get(at + 1), Some(b'"' | b'\\' | b'n' | b'r' | b't' | b'b' | b'f'))
        }
    })
}

/// JSON with its keys in order, so that their order in the file means nothing.
fn canonical(mut value: Value) -> String {
    value.sort_all_objects();
    value.to_string()
}

fn uses_input(node: &Node, command: Option<&Command>, key: &str) -> bool {
    let by_template = |template: &crate::Template| {
        template.uses().inputs.as_ref().is_none_or(|inputs| inputs.iter().any(|input| input == key))
    };
    // A command whose text is not known may use any input.
    let by_command = || command.is_none_or(|command| by_template(command.template()));
    let variable = crate::input_variable(key);
    let by_text = |text: &str| {
        mentions(text, &variable)
            // A script that puts the variable's name together, or looks at all of them, may use any.
            || text.contains("OMNE_INPUT_$") || text.contains("OMNE_INPUT_*") || mentions(text, "OMNE_INPUT_")
    };
    let body = match &node.body {
        Body::Bash(script) => by_text(script),
        Body::Prompt(prompt) => by_template(prompt),
        Body::Command(_) => by_command(),
        Body::Loop(rounds) => match &rounds.body {
            RoundBody::Prompt(prompt) => by_template(prompt),
            RoundBody::Command(_) => by_command(),
        },
    };
    body || node.when().is_some_and(by_template) || node.env().iter().any(|(_, value)| by_text(value))
}

/// Whether `name` occurs as a whole word.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name)
        .any(|(at, _)| !text[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
}

/// What differs between a node of one pipe and the node of that name in another, each with its inputs, in a few words.
pub fn difference(before: (&Pipe, NodeIx, &Values), after: (&Pipe, NodeIx, &Values)) -> Option<String> {
    // What a command's text was is not known any more.
    let none = Commands::new();
    let (old, new) = (parts(before.0, before.2, &none, before.1), parts(after.0, after.2, &none, after.1));
    let changed = new.iter().filter(|part| !old.contains(part)).map(|(key, _)| (key, "changed"));
    let is_gone = |(key, _): &&Part<'_>| !new.iter().any(|(other, _)| other == key);
    let gone = old.iter().filter(is_gone).map(|(key, _)| (key, "was removed"));
    // An input that something else names now is no change of the input.
    let is_input = |(key, _): &(&Cow<'_, str>, &str)| key.starts_with("inputs.");
    if let Some((key, how)) = changed.chain(gone).min_by_key(is_input) {
        return Some(format!("`{key}` {how}"));
    }
    let names = |pipe: &Pipe, node| {
        let mut names: Vec<String> =
            pipe.graph().dependencies(node).iter().map(|d| pipe.node(*d).id.to_string()).collect();
        names.sort();
        names
    };
    (names(before.0, before.1) != names(after.0, after.1)).then(|| "`depends_on` changed".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{NoLookup, Source, check};

    fn pipe(nodes: &str) -> Pipe {
        let inputs = "inputs: { a: { default: '1' }, b: { default: '2' } }";
        let text = format!("name: p\nversion: 1\n{inputs}\nnodes:\n{nodes}");
        let checked = check(&Source::new("p.yaml", text.into_bytes()).unwrap(), &NoLookup);
        checked.pipe.unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
    }

    fn inputs(a: &str) -> Values {
        vec![("a".into(), json!(a)), ("b".into(), json!("2"))]
    }

    fn digest_of(nodes: &str, a: &str, id: &str) -> Digest {
        let pipe = pipe(nodes);
        Identities::new(&pipe, Commands::new()).of(&pipe, &inputs(a), pipe.find(id).unwrap())
    }

    #[test]
    fn a_value_counts_and_not_the_way_it_is_written() {
        let of = |raw: &str| {
            let raw: Box<RawValue> = RawValue::from_string(raw.into()).unwrap();
            let text = canonical_text(&raw).into_owned();
            assert_eq!(text, canonical(serde_json::from_str(raw.get()).unwrap()), "{raw}");
            text
        };
        for same in [
            r#""plain ä""#,
            r#""two\nlines \"quoted\" \\\\""#,
            r#""\\n and \\\n""#,
            r#""ends with \\""#,
            "true",
            "5",
            r#""""#,
        ] {
            assert_eq!(of(same), same);
        }
        for (written, text) in [
            (r#""\u00e4\/""#, r#""ä/""#),
            (r#""\\\u0041""#, r#""\\A""#),
            (r#"{ "b": 1, "a": [ {"d": "x", "c": 1.50} ] }"#, r#"{"a":[{"c":1.5,"d":"x"}],"b":1}"#),
        ] {
            assert_eq!(of(written), text);
        }
    }

    #[test]
    fn a_node_is_what_it_does_and_not_how_long_it_may_take() {
        let base = digest_of("- {id: x, bash: make, env: {K: v, L: w}}", "1", "x");
        assert_eq!(base, digest_of("- {env: {L: w, K: v}, bash: make, id: x}", "1", "x"), "order of keys");
        assert_eq!(
            base,
            digest_of("- {id: x, bash: make, env: {K: v, L: w}, timeout: 5, retry: {max: 2}}", "1", "x")
        );
        assert_ne!(base, digest_of("- {id: x, bash: make all, env: {K: v, L: w}}", "1", "x"));
        assert_ne!(base, digest_of("- {id: x, bash: make, env: {K: u, L: w}}", "1", "x"));
    }

    #[test]
    fn a_change_reaches_all_descendants_and_nothing_else() {
        let before = "- {id: x, bash: make}\n- {id: y, bash: test, depends_on: [x]}\n- {id: z, bash: lint}";
        let after =
            "- {id: x, bash: make all}\n- {id: y, bash: test, depends_on: [x]}\n- {id: z, bash: lint}";
        assert_ne!(digest_of(before, "1", "y"), digest_of(after, "1", "y"));
        assert_eq!(digest_of(before, "1", "z"), digest_of(after, "1", "z"));
    }

    #[test]
    fn a_command_is_its_text_and_the_inputs_that_the_text_uses() {
        let pipe = pipe("- {id: x, command: c}");
        let of = |text: &str, a: &str| {
            let command = std::sync::Arc::new(Command::parse("c.md", text.as_bytes()).unwrap());
            let commands = Commands::from([("c".into(), command)]);
            Identities::new(&pipe, commands).of(&pipe, &inputs(a), pipe.find("x").unwrap())
        };
        assert_ne!(of("one", "1"), of("two", "1"));
        assert_eq!(of("one", "1"), of("one", "other"));
        assert_ne!(of("{{ inputs.a }}", "1"), of("{{ inputs.a }}", "other"));
    }

    #[test]
    fn only_inputs_in_use_count() {
        let nodes = "- {id: x, bash: 'echo \"$OMNE_INPUT_A\"'}\n- {id: y, bash: 'true'}\n- {id: z, bash: 'env | grep OMNE_INPUT_'}\n- {id: w, bash: 'true', when: inputs.a}";
        for (id, uses) in [("x", true), ("y", false), ("z", true), ("w", true)] {
            assert_eq!(digest_of(nodes, "1", id) != digest_of(nodes, "other", id), uses, "{id}");
        }
    }

    #[test]
    fn the_field_that_differs_is_named() {
        let old = pipe("- {id: x, bash: make, gate: ok}");
        let at = |pipe: &Pipe| pipe.find("x").unwrap();
        for (new, what) in [
            ("- {id: x, bash: make all, gate: ok}", Some("`bash` changed")),
            ("- {id: x, bash: make}", Some("`gate` was removed")),
            (
                "- {id: y, bash: 'true'}\n- {id: x, bash: make, gate: ok, depends_on: [y]}",
                Some("`depends_on` changed"),
            ),
            ("- {id: x, bash: make, gate: ok, timeout: 9}", None),
        ] {
            let new = pipe(new);
            let inputs = inputs("1");
            let difference = difference((&old, at(&old), &inputs), (&new, at(&new), &inputs));
            assert_eq!(difference.as_deref(), what);
        }
    }

    #[test]
    fn an_input_differs_by_its_value_and_not_by_who_names_it() {
        let plain = pipe("- {id: x, bash: 'true'}");
        let conditional = pipe("- {id: x, bash: 'true', when: inputs.a}");
        let at = |pipe: &Pipe| pipe.find("x").unwrap();
        let of = |before: (&Pipe, &Values), after: (&Pipe, &Values)| {
            difference((before.0, at(before.0), before.1), (after.0, at(after.0), after.1))
        };
        let (one, two, none) = (inputs("1"), inputs("2"), Values::new());
        assert_eq!(of((&plain, &one), (&conditional, &one)).unwrap(), "`when` changed");
        assert_eq!(of((&conditional, &one), (&conditional, &two)).unwrap(), "`inputs.a` changed");
        assert_eq!(of((&conditional, &one), (&conditional, &none)).unwrap(), "`inputs.a` was removed");
    }

    #[test]
    fn a_chain_of_many_nodes_needs_no_stack() {
        let mut nodes = String::from("- {id: n0, bash: 'true'}\n");
        for i in 1..20_000 {
            nodes += &format!("- {{id: n{i}, bash: 'true', depends_on: [n{}]}}\n", i - 1);
        }
        digest_of(&nodes, "1", "n19999");
    }
}
