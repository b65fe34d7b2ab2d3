use std::path::Path;

use super::*;
use crate::{Code, Colour, render};

/// No gate and no command exists.
struct EmptyVolume;

impl Lookup for EmptyVolume {
    fn gate(&self, name: &str) -> Result<(), String> {
        Err(format!("make `.omne/dist/hooks/{name}.sh`"))
    }
    fn command(&self, name: &str) -> Result<Option<Arc<Command>>, String> {
        Err(format!("make `.omne/dist/cmds/{name}.md`"))
    }
    fn secret(&self, name: &str) -> Result<(), String> {
        Err(format!("define `{name}`"))
    }
}

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pipes")
}

fn check_file(path: &Path, name: &str) -> (Source, Checked) {
    match Source::new(name, std::fs::read(path).unwrap()) {
        Ok(source) => {
            let checked = check(&source, &EmptyVolume);
            (source, checked)
        }
        Err(refused) => {
            let (source, fault) = *refused;
            (source, Checked { pipe: None, diagnostics: vec![fault] })
        }
    }
}

fn report(name: &str, path: &Path) -> String {
    let (source, checked) = check_file(path, name);
    let shown: Vec<String> = checked.diagnostics.iter().map(|d| render(d, &source, Colour::No)).collect();
    shown.join("\n\n")
}

#[test]
fn every_bad_pipe_is_told_what_is_wrong_with_it() {
    let mut all = String::new();
    let mut files: Vec<_> =
        std::fs::read_dir(fixtures().join("bad")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        all += &format!("──── {name}\n{}\n\n", report(&name, &path));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn every_code_has_a_fixture_that_shows_it() {
    let names: Vec<String> = std::fs::read_dir(fixtures().join("bad"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap().to_uppercase())
        .collect();
    // What takes a large file is made in tests of its own, not kept.
    let large = [Code::TooLarge, Code::TooManyNodes, Code::TooManyFaults];
    for code in Code::ALL.iter().filter(|code| !large.contains(code)) {
        assert!(names.iter().any(|name| name.starts_with(code.as_str())), "{} has no fixture", code.as_str());
    }
}

#[test]
fn each_fixture_shows_the_code_in_its_name() {
    for file in std::fs::read_dir(fixtures().join("bad")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (_, checked) = check_file(&path, &name);
        let codes: Vec<String> = checked.diagnostics.iter().map(|d| d.code.as_str().to_lowercase()).collect();
        assert!(name == "many.yaml" || codes.iter().any(|code| name.starts_with(code)), "{name}: {codes:?}");
        assert_eq!(checked.pipe.is_none(), !name.starts_with('w'), "{name}");
    }
}

/// The sentence of an explanation is only believed if its examples behave as it says.
#[test]
fn good_examples_of_nodes_are_good_and_bad_ones_bad() {
    for code in Code::ALL {
        let explanation = code.explanation();
        let is_node = |text: &str| text.starts_with("- id:");
        if !is_node(explanation.bad) || !is_node(explanation.good) {
            continue;
        }
        let codes = |nodes: &str| {
            let nodes = if nodes.contains("bash:") || nodes.contains("prompt:") || *code == Code::NoKind {
                nodes.to_owned()
            } else {
                nodes.replace("- id:", "- bash: make\n  id:")
            };
            let text = format!("name: p\nversion: 1\nnodes:\n{nodes}");
            let checked = check(&Source::new("p.yaml", text.into_bytes()).unwrap(), &NoLookup);
            checked.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>()
        };
        assert!(codes(explanation.bad).contains(code), "bad example of {}", explanation.code);
        assert!(!codes(explanation.good).contains(code), "good example of {}", explanation.code);
    }
}

#[test]
fn a_definition_from_a_log_is_the_same_pipe() {
    for file in std::fs::read_dir(fixtures()).unwrap().map(|f| f.unwrap().path()).filter(|f| f.is_file()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let source = Source::new(&name, std::fs::read(&file).unwrap()).unwrap();
        let checked = check(&source, &NoLookup);
        let pipe = checked.pipe.unwrap_or_else(|| panic!("{name}: {:?}", checked.diagnostics));
        let again = from_definition(pipe.definition()).unwrap();
        assert_eq!(again.definition(), pipe.definition(), "{name}");
        for node in pipe.graph().nodes() {
            assert_eq!(again.node_definition(node), pipe.node_definition(node), "{name}");
            assert_eq!(format!("{:?}", again.node(node)), format!("{:?}", pipe.node(node)), "{name}");
        }
    }
}

#[test]
fn a_definition_keeps_the_letters_of_names_and_texts() {
    let text = "name: 007\nversion: 0x10\nenv: {A: 1.50, B: 0x10, C: 1e3, D: 007, J: True, K: ~, L: '1'}\ninputs: {n: {type: integer, default: 0x10}, c: {type: choice, values: [1.10], default: 1.10}, b: {type: boolean, default: True}}\nnodes:\n- {id: 1.10, bash: 007, always: True, retry: {max: 0x2, backoff: 1.50}}\n- {id: 1e3, depends_on: [1.10], bash: true, timeout: 010}\n";
    let checked = check(&Source::new("p.yaml", text.into()).unwrap(), &NoLookup);
    let pipe = checked.pipe.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    let again = from_definition(pipe.definition()).unwrap();
    let seen = |pipe: &Pipe| {
        format!(
            "{:?} {} {:?} {:?} {:?}",
            pipe.name(),
            pipe.version(),
            pipe.env(),
            pipe.inputs(),
            pipe.nodes()
        )
    };
    assert_eq!(seen(&again), seen(&pipe));
    assert_eq!(again.definition(), pipe.definition());
    assert_eq!(pipe.env()[0].1, "1.50");
    assert_eq!(pipe.version(), 16);
}

#[test]
fn the_schema_knows_the_same_keys_as_the_reader() {
    let schema: serde_json::Value = serde_json::from_str(crate::SCHEMA).unwrap();
    let keys = |at: &str| {
        let mut keys: Vec<String> =
            schema.pointer(at).unwrap().as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let sorted = |keys: &[&str]| {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys("/properties"), sorted(PIPE_KEYS));
    assert_eq!(keys("/$defs/node/properties"), sorted(node::NODE_KEYS));
}

#[test]
fn a_pipe_of_many_nodes_is_checked() {
    let mut text = String::from("name: p\nversion: 1\nnodes:\n");
    for i in 0..20_000 {
        text += &format!(
            "- id: n{i}\n  bash: 'true'\n  depends_on: [{}]\n",
            if i > 0 { format!("n{}", i - 1) } else { String::new() }
        );
    }
    let checked = check(&Source::new("p.yaml", text.into_bytes()).unwrap(), &NoLookup);
    assert_eq!(checked.pipe.unwrap().nodes().len(), 20_000);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_checker_panic(text in "[ -~\n]{0,200}") {
        if let Ok(source) = Source::new("p.yaml", text.into_bytes()) {
            for diagnostic in check(&source, &NoLookup).diagnostics {
                render(&diagnostic, &source, Colour::No);
            }
        }
    }

    #[test]
    fn no_pipe_like_text_makes_the_checker_panic(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "name", "version", "nodes", "id", "bash", "loop", "when", "inputs", ": ", "\n", "  ", "- ", "[", "]", "{", "}",
            "a", "b", "1", "'", "\"", "{{", "}}", "&x", "*x", "|", ">", "#", "depends_on", "nodes.a.output", "ä",
        ]), 0..60),
    ) {
        let text = format!("name: p\nversion: 1\nnodes:\n- id: a\n{}", words.concat());
        if let Ok(source) = Source::new("p.yaml", text.into_bytes()) {
            for diagnostic in check(&source, &NoLookup).diagnostics {
                render(&diagnostic, &source, Colour::No);
            }
        }
    }
}

/// A volume with one command.
struct OneCommand(&'static str);

impl Lookup for OneCommand {
    fn gate(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn command(&self, _: &str) -> Result<Option<Arc<Command>>, String> {
        Command::parse("plan.md", self.0.as_bytes()).map(|command| Some(Arc::new(command)))
    }
    fn secret(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn the_names_in_a_commands_text_are_faults_of_its_own_file() {
    let text = "name: p\nversion: 1\ninputs: {what: {default: x}}\nnodes:\n- id: a\n  command: plan\n- id: b\n  command: plan\n";
    let messages = |command: &'static str| -> Vec<String> {
        let source = Source::new("p.yaml", text.as_bytes().to_vec()).unwrap();
        let checked = check(&source, &OneCommand(command));
        let place = |fault: &Diagnostic| {
            let (file, at) = (fault.file.as_deref().unwrap_or(&source), fault.at.unwrap());
            format!("{}:{}:{}: {}", file.name(), at.line, at.column, fault.message)
        };
        checked.diagnostics.iter().map(place).collect()
    };
    assert_eq!(messages("Plan {{ inputs.what }}"), [""; 0]);
    assert_eq!(messages("Plan {{ inputs.wat }}"), ["plan.md:1:16: the pipe has no input `wat`"]);
    assert_eq!(
        messages("---\nmodel: x\n---\n\nPlan\n {{ nodes.c.output }}"),
        ["plan.md:6:11: the pipe has no node `c`"]
    );
    assert_eq!(
        messages("{{ nodes.b.output }}"),
        [
            "plan.md:1:10: node `b` may not have run by then, and node `a` sends it",
            "plan.md:1:10: node `b` may not have run by then, and node `b` sends it",
        ]
    );
    let unusable = |line| format!("p.yaml:{line}:12: the command `plan` can not be used");
    assert_eq!(messages("---\nx: y\n"), [unusable(6), unusable(8)]);
    assert_eq!(messages("Plan {{ inputs.what | foo }}"), [unusable(6), unusable(8)]);
}

/// Lets pipes have two nodes.
struct Two;

impl Lookup for Two {
    fn gate(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn command(&self, _: &str) -> Result<Option<std::sync::Arc<crate::Command>>, String> {
        Ok(None)
    }
    fn secret(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn most_nodes(&self) -> usize {
        2
    }
}

#[test]
fn more_nodes_than_there_may_be_are_one_fault_that_names_the_limit() {
    let pipe = |nodes: usize| {
        let nodes: String = (0..nodes).map(|n| format!("- {{id: n{n}, bash: make}}\n")).collect();
        let source = Source::new("p.yaml", format!("name: p\nversion: 1\nnodes:\n{nodes}").into()).unwrap();
        check(&source, &Two)
    };
    assert!(pipe(2).pipe.is_some());
    let checked = pipe(5);
    assert!(checked.pipe.is_none());
    let [fault] = checked.diagnostics.as_slice() else { panic!("{:?}", checked.diagnostics) };
    assert_eq!((fault.code, fault.at.unwrap().line), (Code::TooManyNodes, 6));
    assert!(fault.message.contains("2 nodes") && fault.advice().contains("limits.nodes"), "{fault:?}");
}

#[test]
fn of_very_many_faults_the_last_ones_are_counted() {
    let keys: String = (0..10_500).map(|n| format!("k{n}: v\n")).collect();
    let text = format!("name: p\nversion: 1\n{keys}nodes: [{{id: a, bash: make}}]\n");
    let checked = check(&Source::new("p.yaml", text.into()).unwrap(), &NoLookup);
    assert!(checked.pipe.is_none());
    assert_eq!(checked.diagnostics.len(), 10_001);
    let counted = checked.diagnostics.iter().find(|fault| fault.code == Code::TooManyFaults).unwrap();
    assert_eq!(counted.message, "and 500 errors more");
}

#[test]
fn the_place_of_a_fault_is_not_that_of_the_same_word_before_it() {
    let places = |nodes: &str| -> Vec<(Code, u32, u32, u32)> {
        let text = format!("name: p\nversion: 1\ninputs: {{a: {{}}}}\nnodes:\n{nodes}");
        let checked = check(&Source::new("p.yaml", text.into()).unwrap(), &NoLookup);
        checked
            .diagnostics
            .iter()
            .map(|d| (d.code, d.at.unwrap()))
            .map(|(code, at)| (code, at.line, at.column, at.length))
            .collect()
    };
    let prompt = "- {id: plan, bash: echo}\n- id: go\n  prompt: |\n    Look at the plan.\n    {{ nodes.plan.output }}\n";
    assert_eq!(places(prompt), [(Code::NotAnAncestor, 9, 14, 4)]);
    let script = "- id: go\n  bash: |\n    echo \"$OMNE_INPUT_A\"\n    echo hi\n    echo $OMNE_INPUT_A\n";
    assert_eq!(places(script), [(Code::UnquotedInput, 9, 10, 13)]);
}

#[test]
fn an_unknown_filter_is_found_in_its_own_line() {
    let text = "name: p\nversion: 1\nnodes:\n- id: a\n  prompt: |\n    Turn this upcase please. {# is upcase\n    now #}\n    {{ run.id | upcase }}\n";
    let checked = check(&Source::new("p.yaml", text.into()).unwrap(), &NoLookup);
    let [fault] = checked.diagnostics.as_slice() else { panic!("{:?}", checked.diagnostics) };
    assert_eq!((fault.code, fault.at.unwrap().line), (Code::TemplateSyntax, 8));
}

#[test]
fn every_fault_of_a_retry_is_told_at_once() {
    let text = "name: p\nversion: 1\nnodes: [{id: a, bash: echo, retry: {max: 1000000, backoff: 0.1, delay: 5parsecs, max_delay: x}}]";
    let checked = check(&Source::new("p.yaml", text.into()).unwrap(), &NoLookup);
    assert_eq!(checked.diagnostics.len(), 4, "{:?}", checked.diagnostics);
}
