//! Templates, inputs, outputs, settings, durations.

use std::{sync::Arc, time::Duration};

use omne_agent::{Agent, Call, Session};
use omne_events::Outputs;
use omne_exec::parse_outputs;
use omne_pipe::{
    Bindings, Command, NoLookup, Pipe, Source, check, format_duration, parse_duration, resolve,
    values_from_file,
};
use omne_runner::Settings;
use serde_json::{Value, json};

use crate::hook::inside;

/// The largest text that a template may make.
const MOST_TEXT: usize = 32 << 20;

fn bindings() -> Bindings {
    let inputs = [("level", json!(3)), ("name", json!("x")), ("list", json!([1, "a", null]))];
    let mut bindings =
        Bindings::new("p-01kahj5zz0000000000000000a", inputs.iter().map(|(key, value)| (*key, value)));
    let outputs: Outputs = [("risk".into(), "low".to_owned())].into_iter().collect();
    bindings.node("plan", Some(&outputs), "text\n".repeat(100));
    bindings.node("a-b", None, String::new());
    bindings.iteration(2);
    bindings
}

/// A command's file: what can be read renders within its bounds or says why not.
pub fn command(bytes: &[u8]) {
    match Command::parse("command.md", bytes) {
        Ok(command) => renders(&Arc::new(command)),
        Err(why) => assert!(!why.is_empty()),
    }
}

/// The text of a prompt.
pub fn prompt(bytes: &[u8]) {
    // Without front matter the whole file is the text.
    let text = [b"\n", bytes].concat();
    if let Ok(command) = Command::parse("command.md", &text) {
        renders(&command);
    }
}

/// Whether a template could make texts that take all memory on its way to a small one: minijinja bounds steps, not
/// what a step makes. Who writes templates also writes shell, so that is no promise.
fn can_grow(source: &str) -> bool {
    source.contains(['*', '~', '|'])
        || ["join", "replace", "format", "+"].iter().any(|word| source.contains(word))
}

fn renders(command: &Command) {
    if can_grow(command.template().source()) {
        return;
    }
    match command.template().render(&bindings()) {
        Ok(text) => assert!(text.len() <= MOST_TEXT, "{} bytes of text", text.len()),
        Err(error) => assert!(!error.message.is_empty()),
    }
    // The names that a template uses have to be known before it is rendered.
    let uses = command.template().uses();
    assert!(uses.nodes.as_ref().is_none_or(|nodes| nodes.len() <= command.template().source().len()));
}

/// A condition: a file with it is checked, and the condition holds or not or says why it can't be told.
pub fn when(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let condition = Value::String(text.to_owned());
    let file = format!(
        "name: p\nversion: 1\ninputs: {{level: {{type: integer, default: 3}}, name: {{type: string, default: x}}}}\nnodes:\n\
         - {{id: plan, bash: echo}}\n- {{id: a-b, bash: echo}}\n- {{id: b, depends_on: [plan, a-b], bash: echo, when: {condition}}}\n"
    );
    let Ok(source) = Source::new("p.yaml", file.into_bytes()) else { return };
    let Some(pipe) = check(&source, &NoLookup).pipe else { return };
    if can_grow(text) {
        return;
    }
    let last = pipe.nodes().last().and_then(|node| node.when());
    match last.expect("the node has a condition").holds(&bindings()) {
        Ok(_) => {}
        Err(error) => assert!(!error.message.is_empty()),
    }
}

/// A file of inputs: what fits the pipe is of its types, and resolving it again changes nothing.
pub fn inputs(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let given = match values_from_file(text) {
        Ok(given) => given,
        Err(why) => return assert!(!why.is_empty()),
    };
    let pipe = pipe_with_inputs();
    match resolve(pipe.inputs(), &given) {
        Ok(values) => {
            let again: Vec<(String, Value)> =
                values.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
            assert_eq!(resolve(pipe.inputs(), &again).as_ref(), Ok(&values));
            let known = |key: &str| pipe.inputs().iter().any(|input| input.key == key);
            assert!(values.iter().all(|(key, _)| known(key)));
        }
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.to_string().is_empty()))
        }
    }
}

fn pipe_with_inputs() -> Pipe {
    let text = include_str!("../../../fixtures/pipes/inputs.yaml");
    let source = Source::new("p.yaml", text.into()).expect("the fixture is a pipe");
    check(&source, &NoLookup).pipe.expect("the fixture has no error")
}

/// A duration: at most a year and a day, the same with blanks around it; and what is shown of it is not longer than it is.
pub fn duration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed = match parse_duration(text) {
        Ok(parsed) => parsed,
        Err(why) => return assert!(!why.is_empty()),
    };
    assert!(parsed <= Duration::from_secs(366 * 24 * 3600));
    assert_eq!(parse_duration(&format!("{}ms", parsed.as_millis())), Ok(parsed));
    let shown = format_duration(parsed);
    if parsed < Duration::from_secs(1) || parsed >= Duration::from_secs(60) {
        let read = parse_duration(&shown).unwrap_or_else(|why| panic!("{shown}: {why}"));
        assert!(read <= parsed && parsed - read < Duration::from_secs(60), "{parsed:?} is shown as {shown}");
    }
}

/// `omne.toml`: an error names a place inside the text; each agent that it describes can be asked or says what it lacks.
pub fn omne_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let settings: Settings = match toml::from_str(text) {
        Ok(settings) => settings,
        Err(error) => return inside(text, &error),
    };
    let tools = ["Read".into(), "Bash".into()];
    let call = Call {
        prompt: "{session} {model} $(x)",
        session: Session::New("2b0c0ee5-7d4c-4a79-9f4d-1a6f3a3f0001"),
        model: Some("m"),
        tools: Some(&tools),
        turns: Some(3),
        budget: Some(0.5),
        args: &[],
    };
    for name in settings.agents.keys() {
        let agent = Agent::find(name, &settings.agents).expect("an agent that is described is known");
        if agent.can_be_told(&call).is_ok()
            && let Ok(line) = agent.command_line(&call)
            && !line.prompt_on_stdin
        {
            assert!(
                line.args.iter().any(|arg| arg.contains(call.prompt)),
                "the prompt is lost: {:?}",
                line.args
            );
        }
    }
}

/// An `OMNE_OUTPUT` file: what is read can be written as blocks and read again, and is bounded.
pub fn outputs(bytes: &[u8]) {
    let Ok(outputs) = parse_outputs(bytes) else { return };
    let size: usize = outputs.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(size <= 32 * 1024 && size <= bytes.len());
    let mut text = String::new();
    for (key, value) in &outputs {
        let word = ends(value);
        text += &format!("{key}<<{word}\n{value}\n{word}\n");
    }
    let parsable = outputs.values().all(|value| !value.contains('\r'));
    if parsable && text.len() <= 64 * 1024 {
        assert_eq!(parse_outputs(text.as_bytes()).as_ref(), Ok(&outputs), "{text:?}");
    }
}

/// A word that is no line of `value`.
fn ends(value: &str) -> String {
    let taken = |word: &String| value.lines().any(|line| line.trim_end() == word);
    (0..).map(|n| format!("END{n}")).find(|word| !taken(word)).expect("there are more words than lines")
}
