//! One node: its keys, its kind, its values.

use std::{num::NonZeroU32, sync::Arc};

use omne_dag::{NodeIx, TriggerRule};
use omne_events::{ErrorKind, NodeId};
use rustc_hash::FxHashSet;
use smol_str::SmolStr;

use super::{Drafts, Scope, Use, bad_name, bash, locate, top};
use crate::{
    check::Lookup,
    codes::Code,
    fields::{Faults, Fields, Spanned, suggest},
    model::{
        Ai, BLOCKED, Body, DEFAULT_AI, DEFAULT_IDLE_TIMEOUT, DEFAULT_TIMEOUT, Extras, FileName, Node, Retry,
        RetryOn, RoundBody, Rounds,
    },
    source::Source,
    template::{Name, Template, TemplateError},
    tree::{Kind, Span, Tree},
};

const KINDS: [&str; 4] = ["command", "prompt", "bash", "loop"];
const AI_KEYS: [&str; 7] =
    ["model", "agent", "allowed_tools", "max_turns", "idle_timeout", "agent_args", "budget_usd"];
pub(super) const NODE_KEYS: &[&str] = &[
    "id",
    "command",
    "prompt",
    "bash",
    "loop",
    "depends_on",
    "trigger_rule",
    "when",
    "timeout",
    "retry",
    "gate",
    "env",
    "secrets",
    "cwd",
    "always",
    "model",
    "agent",
    "allowed_tools",
    "max_turns",
    "idle_timeout",
    "agent_args",
    "budget_usd",
];
const LOOP_KEYS: &[&str] = &["command", "prompt", "until", "max_iterations", "fresh_context"];
const RETRY_KEYS: &[&str] = &["max", "delay", "backoff", "max_delay", "on"];
/// The longest script that the kernel takes as one argument.
const MOST_BASH: usize = 128 * 1024 - 1;

/// The node, unless it has no id that can be used; what later checks need is added to `drafts` whatever it is.
pub(super) fn read(
    tree: &Tree<'_>,
    source: &Source,
    lookup: &dyn Lookup,
    drafts: &mut Drafts,
    faults: &mut Faults,
) -> Option<Node> {
    let node = NodeIx::new(drafts.len());
    drafts.ids_at.push(top(tree.at));
    let mut names = Vec::new();
    let fields = Fields::new(tree, "a node", NODE_KEYS, faults)?;
    let id = id(&fields, faults);
    let id_at = fields.get("id").map_or(top(tree.at), |id| id.at);
    for name in fields.texts("depends_on", faults).unwrap_or_default() {
        drafts.depend(node, name);
    }
    let body = body(&fields, id_at, source, lookup, &mut names, faults);
    let ai = ai(&fields, faults);
    let rules = TriggerRule::ALL.map(|rule| (rule.as_str(), rule));
    let trigger_rule = fields.choice("trigger_rule", &rules, faults).unwrap_or_default();
    let when = fields.text("when", faults);
    let extras = Extras {
        when: when
            .and_then(|text| template(text, Template::expression, Scope::Node, source, &mut names, faults)),
        retry: retry(&fields, faults),
        gate: file(&fields, "gate", Code::MissingGate, |name| lookup.gate(name), faults),
        env: environment(&fields, faults),
        secrets: secrets(&fields, lookup, faults),
        cwd: cwd(&fields, faults),
        ai,
    };
    let timeout = fields.duration("timeout", faults).unwrap_or(DEFAULT_TIMEOUT);
    let always = fields.boolean("always", faults).unwrap_or(false);
    drafts.ids_at[node.place()] = id_at;
    drafts.conditions_at.extend(when.map(|text| (node, text.at)));
    drafts.uses.extend(names.into_iter().map(|name| (node, name)));
    let id = id?;
    // The fault of a missing body is reported; later checks only need something that stands for it.
    let body = body.unwrap_or_else(|| Body::Bash("".into()));
    Some(Node { id, body, trigger_rule, timeout, always, extras: extras.boxed() })
}

fn id(fields: &Fields<'_>, faults: &mut Faults) -> Option<NodeId> {
    if fields.get("id").is_none() {
        faults.add(Code::MissingKey, top(fields.at), "the node has no `id`").with_help("add `id: some-name`");
        return None;
    }
    let text = fields.text("id", faults)?;
    NodeId::new(text.value).map_err(|error| bad_name(text.at, &error, faults)).ok()
}

fn body(
    fields: &Fields<'_>,
    id_at: Span,
    source: &Source,
    lookup: &dyn Lookup,
    names: &mut Vec<Use>,
    faults: &mut Faults,
) -> Option<Body> {
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| fields.get(kind).is_some()).collect();
    match kinds[..] {
        [] => {
            let fault = faults.add(Code::NoKind, id_at, "the node does nothing");
            fault.with_help("give it one of `bash`, `prompt`, `command` or `loop`");
            return None;
        }
        [_] => {}
        [first, second, ..] => {
            let at = fields.key_at(second).unwrap_or(id_at);
            let fault =
                faults.add(Code::SeveralKinds, at, format!("the node has a `{first}` and a `{second}`"));
            fault.with_help("split it into two nodes, the second with `depends_on`");
        }
    }
    match kinds[0] {
        "bash" => {
            let script = fields.text("bash", faults)?;
            for key in AI_KEYS {
                if let Some(at) = fields.key_at(key) {
                    let fault =
                        faults.add(Code::AgentKeyOnBash, at, format!("`{key}` means nothing to a bash node"));
                    fault.with_help("remove it");
                }
            }
            if script.value.len() > MOST_BASH {
                let message = "the script is longer than 128 KiB, more than the kernel takes as one argument";
                faults
                    .add(Code::OutOfRange, top(script.at), message)
                    .with_help("put it into a file and call that");
            }
            without_nul("bash", script, faults);
            bash::check(script, source, faults);
            Some(Body::Bash(script.value.into()))
        }
        "prompt" => {
            let text = fields.text("prompt", faults)?;
            without_nul("prompt", text, faults);
            template(text, Template::text, Scope::Node, source, names, faults)
                .map(|prompt| Body::Prompt(Box::new(prompt)))
        }
        "command" => {
            by_name(fields, Scope::Node, lookup, names, faults).map(|name| Body::Command(Box::new(name)))
        }
        _ => rounds(fields.get("loop")?, source, lookup, names, faults)
            .map(|rounds| Body::Loop(Box::new(rounds))),
    }
}

fn rounds(
    tree: &Tree<'_>,
    source: &Source,
    lookup: &dyn Lookup,
    names: &mut Vec<Use>,
    faults: &mut Faults,
) -> Option<Rounds> {
    let fields = Fields::new(tree, "a loop", LOOP_KEYS, faults)?;
    let (prompt, command) = (fields.get("prompt").is_some(), fields.get("command").is_some());
    let body = match (prompt, command) {
        (true, false) => fields
            .text("prompt", faults)
            .and_then(|text| template(text, Template::text, Scope::Loop, source, names, faults))
            .map(RoundBody::Prompt),
        (false, true) => by_name(&fields, Scope::Loop, lookup, names, faults).map(RoundBody::Command),
        (true, true) => {
            let at = fields.key_at("command").unwrap_or(top(tree.at));
            faults
                .add(Code::LoopBody, at, "the loop has a `prompt` and a `command`")
                .with_help("keep one of them");
            None
        }
        (false, false) => {
            let fault = faults.add(Code::LoopBody, top(tree.at), "the loop has nothing to do");
            fault.with_help("give it a `prompt` or a `command`");
            None
        }
    };
    let until = match fields.text("until", faults) {
        Some(until) => check_until(until, faults),
        None => {
            if fields.get("until").is_none_or(|until| matches!(until.kind, Kind::Null)) {
                let fault = faults.add(Code::BadUntil, top(tree.at), "the loop has no `until`");
                fault.with_help("name the line that ends it: `until: ALL_TASKS_COMPLETE`");
            }
            None
        }
    };
    const DEFAULT_ITERATIONS: u64 = 10;
    let most = match fields.get("max_iterations") {
        Some(_) => fields.integer("max_iterations", 1..=1000, Code::IterationBounds, faults),
        None => Some(DEFAULT_ITERATIONS),
    };
    let fresh_context = fields.boolean("fresh_context", faults).unwrap_or(false);
    Some(Rounds {
        body: body?,
        until: until?.into(),
        max_iterations: u32::try_from(most?).unwrap_or(1000),
        fresh_context,
    })
}

fn check_until<'t>(until: Spanned<&'t str>, faults: &mut Faults) -> Option<&'t str> {
    let text = until.value.trim();
    let why = if text.is_empty() {
        "it is empty"
    } else if text == BLOCKED {
        "`BLOCKED` is how an agent says that it can not go on"
    } else if text.contains('\n') {
        "it has several lines"
    } else {
        return Some(text);
    };
    let fault = faults.add(Code::BadUntil, until.at, format!("this `until` can not be used: {why}"));
    fault.with_help("use a word that the agent says on a line of its own, such as `ALL_TASKS_COMPLETE`");
    None
}

fn ai(fields: &Fields<'_>, faults: &mut Faults) -> Option<Ai> {
    let own = |texts: Vec<Spanned<&str>>| texts.iter().map(|text| text.value.into()).collect();
    for key in ["allowed_tools", "agent_args"] {
        if let Some(Kind::List(items)) = fields.get(key).map(|tree| &tree.kind) {
            for item in items {
                if let Kind::Scalar { text, .. } = &item.kind {
                    without_nul(key, Spanned { at: item.at, value: text.as_ref() }, faults);
                }
            }
        }
    }
    let ai = Ai {
        model: word(fields, "model", faults),
        agent: word(fields, "agent", faults),
        allowed_tools: fields.texts("allowed_tools", faults).map(own),
        max_turns: fields
            .integer("max_turns", 1..=1_000_000, Code::OutOfRange, faults)
            .and_then(|turns| NonZeroU32::new(u32::try_from(turns).ok()?)),
        idle_timeout: fields.duration("idle_timeout", faults).unwrap_or(DEFAULT_IDLE_TIMEOUT),
        agent_args: fields
            .texts("agent_args", faults)
            .map_or_else(Vec::new, |texts| texts.iter().map(|text| text.value.to_owned()).collect()),
        budget_usd: fields.number("budget_usd", 0.0, faults),
    };
    (fields.get("bash").is_none() && ai != DEFAULT_AI).then_some(ai)
}

fn retry(fields: &Fields<'_>, faults: &mut Faults) -> Option<Retry> {
    let fields = Fields::new(fields.get("retry")?, "`retry`", RETRY_KEYS, faults)?;
    if fields.get("max").is_none() {
        let fault = faults.add(Code::MissingKey, top(fields.at), "`retry` has no `max`");
        fault.with_help("say how many further attempts there may be: `max: 2`");
    }
    let max = fields.integer("max", 0..=1000, Code::OutOfRange, faults);
    let known = ErrorKind::ALL.map(ErrorKind::as_str);
    let mut on = Vec::new();
    for text in fields.texts("on", faults).unwrap_or_default() {
        match ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == text.value) {
            Some(kind) => on.push(RetryOn::Kind(kind)),
            None => {
                if let Some(near) = suggest(text.value, known.into_iter()) {
                    let message =
                        format!("`{}` is neither a kind of failure nor a class known to be one", text.value);
                    faults.add(Code::BadValue, text.at, message).with_help(format!("did you mean `{near}`?"));
                }
                on.push(RetryOn::Class(text.value.into()));
            }
        }
    }
    let delay = fields.duration("delay", faults).unwrap_or(std::time::Duration::ZERO);
    let backoff = fields.number("backoff", 1.0, faults).unwrap_or(1.0);
    let max_delay = fields.duration("max_delay", faults);
    Some(Retry { max: u32::try_from(max?).unwrap_or(0), delay, backoff, max_delay, on })
}

/// `env:` of a pipe or a node.
pub(super) fn environment(fields: &Fields<'_>, faults: &mut Faults) -> Vec<(String, String)> {
    let Some(tree) = fields.get("env") else { return Vec::new() };
    let Kind::Map(entries) = &tree.kind else {
        faults.add(Code::WrongType, tree.at, format!("`env` has to be a map, this is {}", tree.describe()));
        return Vec::new();
    };
    let mut variables: Vec<(String, String)> = Vec::with_capacity(entries.len());
    let mut names = FxHashSet::default();
    for (key, value) in entries {
        let name = key.key_text().to_owned();
        if let Some((message, help)) = bad_variable(&name) {
            faults.add(Code::BadEnvironment, key.at, message).with_help(help);
        } else if !names.insert(name.clone()) {
            faults.add(Code::DuplicateKey, key.at, format!("the variable `{name}` stands twice"));
        }
        match &value.kind {
            Kind::Scalar { text, .. } => {
                without_nul(&name, Spanned { at: value.at, value: text.as_ref() }, faults);
                variables.push((name, text.clone().into_owned()));
            }
            Kind::Null => variables.push((name, String::new())),
            Kind::List(_) | Kind::Map(_) => {
                let message = format!("the value of `{name}` has to be a text, this is {}", value.describe());
                faults.add(Code::BadEnvironment, value.at, message);
            }
        }
    }
    variables
}

/// A word that goes into events: a model or an agent.
pub(super) fn word(fields: &Fields<'_>, key: &'static str, faults: &mut Faults) -> Option<SmolStr> {
    const MOST: usize = 256;
    let text = fields.text(key, faults)?;
    if text.value.len() > MOST {
        let message = format!("`{key}` has {} bytes; {MOST} are the most", text.value.len());
        faults.add(Code::OutOfRange, text.at, message).with_help("no name is that long");
    }
    without_nul(key, text, faults);
    Some(text.value.into())
}

/// What goes into a process can't hold a NUL character.
pub(super) fn without_nul(what: &str, text: Spanned<&str>, faults: &mut Faults) {
    if text.value.contains('\0') {
        let message = format!("`{what}` holds a NUL character, which no process can be given");
        faults.add(Code::BadValue, text.at, message).with_help("remove it");
    }
}

/// `secrets:` of a node.
fn secrets(fields: &Fields<'_>, lookup: &dyn Lookup, faults: &mut Faults) -> Vec<SmolStr> {
    let mut names: Vec<SmolStr> = Vec::new();
    let env = fields.get("env");
    for text in fields.texts("secrets", faults).unwrap_or_default() {
        let name = text.value;
        let is_set = |tree: &Tree<'_>| match &tree.kind {
            Kind::Map(entries) => entries.iter().any(|(key, _)| key.is_key(name)),
            Kind::Scalar { .. } | Kind::Null | Kind::List(_) => false,
        };
        if let Some((message, help)) = bad_variable(name) {
            faults.add(Code::BadEnvironment, text.at, message).with_help(help);
        } else if names.iter().any(|other| other == name) {
            let message = format!("the secret `{name}` stands twice");
            faults.add(Code::DuplicateKey, text.at, message).with_help("once is enough");
        } else if env.is_some_and(is_set) {
            let message = format!("`{name}` is a secret and a variable of `env` at once");
            faults.add(Code::BadEnvironment, text.at, message).with_help("keep one of the two");
        } else if let Err(why) = lookup.secret(name) {
            let message = format!("the secret `{name}` is not defined");
            faults.add(Code::UndefinedSecret, text.at, message).with_help(why);
        }
        names.push(name.into());
    }
    names
}

/// What is wrong with the name of a variable, if something is, and what to do.
fn bad_variable(name: &str) -> Option<(String, &'static str)> {
    if !crate::is_variable(name) {
        return Some((
            format!("`{name}` is no name of a variable"),
            "use letters, digits and `_`, and begin with a letter or `_`",
        ));
    }
    name.starts_with("OMNE_").then(|| {
        let help = "names that begin with `OMNE_` are reserved: use another one";
        (format!("`{name}` is set by omne itself"), help)
    })
}

fn cwd(fields: &Fields<'_>, faults: &mut Faults) -> Option<String> {
    let text = fields.text("cwd", faults)?;
    let path = std::path::Path::new(text.value);
    let inside = |part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir);
    if text.value.is_empty() || !path.components().all(inside) {
        let fault = faults.add(Code::BadPath, text.at, "`cwd` has to lead into the workspace");
        fault.with_help("write a relative path without `..`");
        return None;
    }
    without_nul("cwd", text, faults);
    Some(text.value.to_owned())
}

/// The name of a command, with the names in its text.
fn by_name(
    fields: &Fields<'_>,
    scope: Scope,
    lookup: &dyn Lookup,
    names: &mut Vec<Use>,
    faults: &mut Faults,
) -> Option<FileName> {
    let mut used = Vec::new();
    let look = |name: &str| {
        let Some(command) = lookup.command(name)? else { return Ok(()) };
        command.knows_its_words().map_err(|why| format!("mend `{}`: {why}", command.file.name()))?;
        used.extend(command.names.iter().map(|name| Use {
            name: name.clone(),
            at: command.file.begins(),
            scope,
            file: Some(Arc::clone(&command.file)),
        }));
        Ok(())
    };
    let command = file(fields, "command", Code::MissingCommand, look, faults)?;
    names.append(&mut used);
    Some(command)
}

/// The name of a file below `dist/` that has to exist.
fn file(
    fields: &Fields<'_>,
    key: &'static str,
    missing: Code,
    mut lookup: impl FnMut(&str) -> Result<(), String>,
    faults: &mut Faults,
) -> Option<FileName> {
    let text = fields.text(key, faults)?;
    let name = FileName::new(text.value).map_err(|error| {
        let message = error.to_string().replace("node id", key);
        faults.add(Code::BadName, text.at, message);
    });
    let name = name.ok()?;
    if let Err(why) = lookup(name.as_str()) {
        faults.add(missing, text.at, format!("the {key} `{name}` can not be used")).with_help(why);
    }
    Some(name)
}

fn template(
    text: Spanned<&str>,
    parse: impl Fn(&str) -> Result<(Template, Vec<Name>), TemplateError>,
    scope: Scope,
    source: &Source,
    names: &mut Vec<Use>,
    faults: &mut Faults,
) -> Option<Template> {
    let parsed = parse(text.value).and_then(|(template, found)| {
        if !source.is_from_log() {
            template.knows_its_words()?;
        }
        Ok((template, found))
    });
    match parsed {
        Ok((template, found)) => {
            names.extend(found.into_iter().map(|name| Use { name, at: text.at, scope, file: None }));
            Some(template)
        }
        Err(error) => {
            let line = error.line.and_then(|line| text.value.lines().nth(line.checked_sub(1)?));
            let at = line.map_or(text.at, |line| locate(source, text.at, line.trim()));
            faults.add(Code::TemplateSyntax, at, error.message);
            None
        }
    }
}
