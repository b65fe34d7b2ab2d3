//! Prompts and `when` conditions: minijinja, with the names they use known
//! beforehand. Rendering is bounded in steps, so that no template hangs a run.

mod bounds;
mod words;

use std::{collections::BTreeMap, sync::LazyLock};

use minijinja::{Environment, UndefinedBehavior, escape_formatter, value::ValueKind};
use omne_events::Outputs;
use serde_json::{Value, json};

/// The most steps of one rendering.
const FUEL: u64 = 10_000_000;
/// The longest text that a template makes, in bytes: more than any agent takes as its prompt.
const MOST_TEXT: usize = 32 * 1024 * 1024;
/// What minijinja itself provides.
const FUNCTIONS: [&str; 4] = ["range", "dict", "debug", "namespace"];

/// A text with `{{ … }}`, or an expression.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
    kind: Kind,
    uses: Uses,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Expression,
}

/// What a template needs to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// The inputs it names; `None` when it takes them as a whole.
    pub inputs: Option<Vec<String>>,
    /// The nodes it names; `None` when it takes them as a whole.
    pub nodes: Option<Vec<String>>,
    /// Whether it uses the text of a node's capture.
    pub captures: bool,
}

/// A name in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Input(String),
    Node { id: String, field: Option<String> },
    AllInputs,
    AllNodes,
    RunId,
    Iteration,
    Unknown(String),
}

/// Why a template gave nothing.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What minijinja says.
    pub message: String,
    /// The line of the template, from 1, where it says so.
    pub line: Option<usize>,
}

impl From<minijinja::Error> for TemplateError {
    fn from(error: minijinja::Error) -> Self {
        let message = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        Self { message, line: error.line() }
    }
}

/// What a template is filled with.
#[derive(Debug, Clone, Default)]
pub struct Bindings {
    inputs: serde_json::Map<String, Value>,
    nodes: serde_json::Map<String, Value>,
    run_id: String,
    iteration: Option<u32>,
}

impl Bindings {
    /// With the inputs of a run.
    pub fn new<'a>(run_id: &str, inputs: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let inputs = inputs.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
        Self { inputs, run_id: run_id.to_owned(), ..Self::default() }
    }

    /// Adds a node with what it gave and printed.
    pub fn node(&mut self, id: &str, outputs: Option<&Outputs>, capture: String) {
        let outputs: BTreeMap<&str, &str> =
            outputs.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        self.nodes.insert(id.to_owned(), json!({ "output": capture, "outputs": outputs }));
    }

    /// Sets the round of a loop.
    pub fn iteration(&mut self, iteration: u32) {
        self.iteration = Some(iteration);
    }

    fn context(&self) -> minijinja::Value {
        minijinja::Value::from(minijinja::value::Serde(self.values()))
    }

    fn values(&self) -> Value {
        json!({
            "inputs": self.inputs,
            "nodes": self.nodes,
            "run": { "id": self.run_id },
            "iteration": self.iteration,
        })
    }

    /// The error, with the name that has no value, if that is what it is about.
    fn with_what_is_missing(
        &self,
        error: minijinja::Error,
        names: impl IntoIterator<Item = String>,
    ) -> TemplateError {
        let is_about_it = error.kind() == minijinja::ErrorKind::UndefinedError;
        let error = TemplateError::from(error);
        if !is_about_it {
            return error;
        }
        let values = self.values();
        let is_missing = |path: &String| {
            let found = path.split('.').try_fold(&values, |value, part| value.get(part));
            found.is_none() && name(path).is_some()
        };
        let mut missing: Vec<String> =
            names.into_iter().filter(is_missing).map(|path| format!("`{path}`")).collect();
        missing.sort();
        match missing.is_empty() {
            true => error,
            false => TemplateError { message: format!("{} has no value", missing.join(" or ")), ..error },
        }
    }
}

/// For prompts: one with a hole in it is a mistake.
static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::SemiStrict));
/// For conditions: one on an output that was not given just does not hold.
static LENIENT: LazyLock<Environment<'static>> = LazyLock::new(|| environment(UndefinedBehavior::Lenient));

/// Made once: it knows all filters and tests, which takes longer than to use a few of them.
fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_fuel(Some(FUEL));
    // As everywhere else: in `OMNE_INPUT_…`, in YAML and in JSON.
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Bool => {
            let text = if value.is_true() { "true" } else { "false" };
            out.write_str(text).map_err(minijinja::Error::from)
        }
        _ => escape_formatter(out, state, value),
    });
    environment
}

impl Template {
    /// A text with `{{ … }}` and `{% … %}`, and the names in it.
    pub(crate) fn text(source: &str) -> Result<(Self, Vec<Name>), TemplateError> {
        if !source.contains('{') {
            // It needs no parser to say so.
            return Ok(Self::with_names(source, Kind::Text, []));
        }
        bounds::text(source)?;
        let template = STRICT.template_from_str(source)?;
        Ok(Self::with_names(source, Kind::Text, template.undeclared_variables(true)))
    }

    /// An expression, and the names in it.
    pub(crate) fn expression(source: &str) -> Result<(Self, Vec<Name>), TemplateError> {
        bounds::expression(source)?;
        let expression = LENIENT.compile_expression(source)?;
        Ok(Self::with_names(source, Kind::Expression, expression.undeclared_variables(true)))
    }

    fn with_names(source: &str, kind: Kind, found: impl IntoIterator<Item = String>) -> (Self, Vec<Name>) {
        let mut paths: Vec<String> = found.into_iter().collect();
        paths.sort();
        let mut names: Vec<Name> = paths.iter().filter_map(|path| name(path)).collect();
        // `nodes['a-b']` shows as plain `nodes`; when every use is such a constant, those are the names.
        for (whole, root) in [(Name::AllNodes, "nodes"), (Name::AllInputs, "inputs")] {
            if !names.contains(&whole) {
                continue;
            }
            let constant: Vec<Name> = subscripts(source)
                .into_iter()
                .filter(|(of, ..)| *of == root)
                .map(|(.., name)| name)
                .collect();
            if constant.len() == uses_of(source, root) {
                names.retain(|name| *name != whole);
                names.extend(constant);
            }
        }
        names.dedup();
        let inputs = names.iter().filter_map(|name| match name {
            Name::Input(key) => Some(key.clone()),
            _ => None,
        });
        let nodes = names.iter().filter_map(|name| match name {
            Name::Node { id, .. } => Some(id.clone()),
            _ => None,
        });
        let captures = names.iter().any(|name| match name {
            Name::AllNodes => true,
            Name::Node { field, .. } => field.as_deref().is_none_or(|field| field == "output"),
            _ => false,
        });
        let uses = Uses {
            inputs: (!names.contains(&Name::AllInputs)).then(|| inputs.collect()),
            nodes: (!names.contains(&Name::AllNodes)).then(|| nodes.collect()),
            captures,
        };
        (Self { source: source.to_owned(), kind, uses }, names)
    }

    /// Whether all filters and tests are known. Not asked of definitions in logs: that one was unknown is what the run
    /// tells of.
    pub(crate) fn knows_its_words(&self) -> Result<(), TemplateError> {
        match self.kind {
            Kind::Text => words::text(&self.source),
            Kind::Expression => Ok(words::expression(&self.source)?),
        }
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it has to be told.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// The text, filled in.
    ///
    /// # Errors
    /// When a value is missing, it takes too many steps, or the text is longer than 32 MiB.
    pub fn render(&self, bindings: &Bindings) -> Result<String, TemplateError> {
        let mut text = Bounded(Vec::new());
        let template = STRICT.template_from_str(&self.source)?;
        let rendered = template.render_captured_to(bindings.context(), &mut text);
        if text.0.len() > MOST_TEXT {
            let message = "the text is longer than 32 MiB; give large values by file".to_owned();
            return Err(TemplateError { message, line: None });
        }
        rendered.map_err(|error| {
            let names = template.undeclared_variables(true);
            bindings.with_what_is_missing(error, names)
        })?;
        Ok(String::from_utf8_lossy(&text.0).into_owned())
    }

    /// Whether the expression holds.
    ///
    /// # Errors
    /// When a value is missing, or it takes too many steps.
    pub fn holds(&self, bindings: &Bindings) -> Result<bool, TemplateError> {
        let expression = LENIENT.compile_expression(&self.source)?;
        let value = expression.eval(bindings.context());
        let names = || expression.undeclared_variables(true);
        Ok(value.map_err(|error| bindings.with_what_is_missing(error, names()))?.is_true())
    }

    /// What a condition that needs nothing always is. One that could make much of little is not looked into: a file is
    /// checked before anybody trusts it.
    pub(crate) fn constant(&self) -> Option<bool> {
        if self.source.contains(['*', '~', '|', '(', '[', '{']) {
            return None;
        }
        let needs_nothing = |names: &Option<Vec<String>>| names.as_ref().is_some_and(Vec::is_empty);
        let constant = needs_nothing(&self.uses.inputs)
            && needs_nothing(&self.uses.nodes)
            && !self.source.contains("run");
        constant.then(|| self.holds(&Bindings::default()).ok()).flatten()
    }
}

/// A text that does not grow without bound.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() > MOST_TEXT {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        // One byte more than there may be says that there was more.
        let most = bytes.len().min(MOST_TEXT + 1 - self.0.len());
        self.0.extend_from_slice(&bytes[..most]);
        Ok(most)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A dotted path of a template as a name; `None` for functions.
fn name(path: &str) -> Option<Name> {
    let mut parts = path.split('.');
    let root = parts.next().unwrap_or_default();
    let second = parts.next().map(str::to_owned);
    let third = parts.next().map(str::to_owned);
    Some(match (root, second) {
        ("inputs", Some(key)) => Name::Input(key),
        ("inputs", None) => Name::AllInputs,
        ("nodes", Some(id)) => Name::Node { id, field: third },
        ("nodes", None) => Name::AllNodes,
        ("run", Some(field)) if field == "id" => Name::RunId,
        ("iteration", None) => Name::Iteration,
        (function, _) if FUNCTIONS.contains(&function) => return None,
        _ => Name::Unknown(path.to_owned()),
    })
}

/// The uses of `nodes['…']` and `inputs['…']` with a constant, and what comes after them.
fn subscripts(source: &str) -> Vec<(&str, Name)> {
    static PATTERN: LazyLock<regex_lite::Regex> = LazyLock::new(|| {
        regex_lite::Regex::new(
            r#"\b(nodes|inputs)\s*\[\s*(?:'([^']*)'|"([^"]*)")\s*\](?:\s*\.\s*([A-Za-z_]\w*))?"#,
        )
        .unwrap_or_else(|error| unreachable!("{error}"))
    });
    let found = PATTERN.captures_iter(source).filter_map(|captures| {
        let root = captures.get(1)?.as_str();
        let key = captures.get(2).or_else(|| captures.get(3))?.as_str().to_owned();
        let field = captures.get(4).map(|field| field.as_str().to_owned());
        let name = if root == "nodes" { Name::Node { id: key, field } } else { Name::Input(key) };
        Some((root, name))
    });
    found.collect()
}

/// Whether it may be a part of a name.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How often the word `root` is followed by anything but a dot.
fn uses_of(source: &str, root: &str) -> usize {
    source
        .match_indices(root)
        .filter(|(at, _)| {
            let before = source[..*at].chars().next_back();
            let after = source[at + root.len()..].trim_start().chars().next();
            !before.is_some_and(|c| is_word(c) || c == '.') && !after.is_some_and(|c| is_word(c) || c == '.')
        })
        .count()
}

#[cfg(test)]
mod tests;
