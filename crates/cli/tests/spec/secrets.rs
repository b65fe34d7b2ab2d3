//! Secrets: who gets them, and that nothing else shows them.

use std::path::Path;

use crate::sandbox::{Output, Sandbox};

/// Hard to find: JSON, URLs and terminals each write it in another way.
const VALUE: &str = r#"hunter2/"ö"&<x>"#;
const SETTINGS: &str = "[secrets]\nTOKEN = { env = 'SOURCE' }\n";

pub(crate) fn volume(nodes: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.pipe(nodes).file(".omne/omne.toml", SETTINGS);
    sandbox
}

/// With the value in the environment.
pub(crate) fn omne(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.finish(sandbox.command(args).env("SOURCE", VALUE).output().unwrap())
}

pub(crate) fn executable(sandbox: &Sandbox, name: &str, script: &str) {
    sandbox.executable(name, format!("#!/bin/sh\n{script}\n"));
}

/// The files below a directory in which one of the words stands.
fn holding(directory: &Path, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, words));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let holds = |word: &&&str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        found.extend(words.iter().find(holds).map(|word| format!("{}: {word}", path.display())));
    }
    found
}

fn assert_hidden(sandbox: &Sandbox, shown: &[&Output]) {
    let words = [VALUE, "hunter2", "aHVudGVyMi", "hunter2%2"];
    assert_eq!(holding(&sandbox.path(".omne/var"), &words), [""; 0]);
    for output in shown {
        let text = output.picture();
        assert!(words.iter().all(|word| !text.contains(word)), "{text}");
    }
}

#[test]
fn only_the_node_that_names_a_secret_finds_it() {
    let sandbox = volume(
        "nodes:\n- {id: a, secrets: [TOKEN], gate: g, bash: 'test \"$TOKEN\" = \"$(cat value)\" && test -z \"${SOURCE+x}\"'}\n\
         - {id: b, depends_on: [a], bash: 'env > seen.b'}",
    );
    sandbox.file("value", VALUE).gate("g", "env > seen.gate");
    executable(&sandbox, "hook.sh", "cat > /dev/null; env > seen.hook");
    sandbox.file(".omne/hooks.toml", "[[hook]]\nevent = 'pre_node'\ncommand = './hook.sh'\n");
    assert_eq!(omne(&sandbox, &["run", "p"]).code, 0);
    for process in ["b", "gate", "hook"] {
        let environment = sandbox.read(&format!("seen.{process}"));
        assert!(environment.contains("OMNE_RUN_ID="), "{process} was asked");
        assert!(!environment.contains("TOKEN=") && !environment.contains("SOURCE="), "{environment}");
        assert!(!environment.contains("hunter2"), "{environment}");
    }
}

#[test]
fn a_node_without_secrets_has_no_variable_that_holds_one() {
    let sandbox = volume("nodes: [{id: a, bash: 'echo \"${SOURCE-unset} $OTHER\"'}]");
    let run = sandbox.command(&["run", "p"]).env("SOURCE", VALUE).env("OTHER", "stays").output().unwrap();
    assert!(run.status.success());
    assert_eq!(sandbox.capture("a"), "unset stays\n");
}

#[test]
fn what_a_node_prints_is_kept_without_its_secrets() {
    let sandbox = volume(
        "nodes:\n- id: a\n  secrets: [TOKEN]\n  bash: |\n    echo \"raw $TOKEN\"\n    printf '%s' \"$TOKEN\" | base64\n\
         \x20   printf '%s' \"x$TOKEN\" | base64; printf '%s' \"xy$TOKEN\" | base64\n\
         \x20   printf 'hunt'; sleep 0.05; printf '%s\\n' \"${TOKEN#hunt}\"\n\
         \x20   echo 'hunter2%2F%22%C3%B6%22%26%3Cx%3E'\n    echo \"$TOKEN\" >&2; exit 3",
    );
    // What stands in the pipe itself would be refused: the encoded forms come from files.
    let body = sandbox.read(".omne/dist/pipes/p.yaml");
    sandbox.file("encoded", "hunter2%2F%22%C3%B6%22%26%3Cx%3E\nhunter2%2f%22%c3%b6%22%26%3cx%3e\n");
    sandbox.file(
        ".omne/dist/pipes/p.yaml",
        body.replace("echo 'hunter2%2F%22%C3%B6%22%26%3Cx%3E'", "cat encoded"),
    );
    let run = omne(&sandbox, &["run", "p"]);
    assert_eq!(run.code, 1);
    assert_eq!(sandbox.capture("a"), "raw ***\n***\neG***\neHl***\n***\n***\n***\n");
    assert_eq!(sandbox.node("a")["error"]["message"], "***");
    let shown = [&["logs", "@last"][..], &["status", "@last"], &["why", "@last", "a"], &["events", "@last"]];
    let shown = shown.map(|args| sandbox.omne(args));
    assert_hidden(&sandbox, &[&run, &shown[0], &shown[1], &shown[2], &shown[3]]);
    assert_eq!(sandbox.omne(&["verify", "@last"]).code, 0, "digests are of what is on the disk");
}

#[test]
fn a_flood_is_kept_without_secrets() {
    let sandbox = volume(
        "nodes: [{id: a, secrets: [TOKEN], bash: 'for i in 1 2 3 4 5 6 7 8; do yes \"$TOKEN\" | head -n 1000; done'}]",
    );
    assert_eq!(omne(&sandbox, &["run", "p"]).code, 0);
    assert_eq!(sandbox.capture("a"), "***\n".repeat(8000));
}

#[test]
fn a_secret_that_a_limit_cuts_off_is_not_kept() {
    let sandbox =
        volume("nodes: [{id: a, secrets: [TOKEN], bash: 'printf \"12345678%s\" \"$TOKEN\"; sleep 60'}]");
    sandbox.file(".omne/omne.toml", format!("{SETTINGS}[limits]\noutput_bytes = 15\n"));
    assert_eq!(omne(&sandbox, &["run", "p"]).code, 1);
    assert_eq!(sandbox.capture("a"), "12345678***");
}

#[test]
fn outputs_are_passed_on_without_secrets() {
    let sandbox = volume(
        "nodes:\n- {id: a, secrets: [TOKEN], bash: 'echo \"url=https://u:$TOKEN@host\" >> \"$OMNE_OUTPUT\"'}\n\
         - {id: b, depends_on: [a], when: \"nodes.a.outputs.url == 'https://u:***@host'\", bash: 'echo \"$OMNE_OUTPUTS_A_URL\"'}",
    );
    let run = omne(&sandbox, &["run", "p"]);
    assert_eq!(sandbox.capture("b"), "https://u:***@host\n");
    assert_hidden(&sandbox, &[&run]);
}

#[test]
fn an_output_whose_key_is_a_secret_fails_without_showing_it() {
    let sandbox = volume("nodes: [{id: a, secrets: [TOKEN], bash: 'echo \"$TOKEN=1\" >> \"$OMNE_OUTPUT\"'}]");
    let run = omne(&sandbox, &["run", "p"]);
    assert_eq!(run.code, 1);
    assert_hidden(&sandbox, &[&run]);
}

#[test]
fn an_agent_finds_its_secrets_and_nothing_of_what_it_says_shows_them() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: a, secrets: [TOKEN], prompt: 'Say it. {{ inputs.x }}'}]\ninputs: {x: {default: y}}",
    );
    let script = [
        "init",
        // Its words come piece by piece, then whole; and it has a tool, errors and outputs.
        "partial it is hunt",
        r#"partial er2/"ö"&<x>, yes"#,
        r#"say it is hunter2/"ö"&<x>, yes"#,
        r#"tool curl -H hunter2/"ö"&<x>"#,
        r#"output key=hunter2/"ö"&<x>"#,
        r#"stderr hunter2/"ö"&<x>"#,
        r#"result rate_limit hunter2/"ö"&<x>"#,
        "exit 1",
    ];
    sandbox.agent("a", &script.join("\n"));
    sandbox.file(".omne/omne.toml", format!("{}{SETTINGS}", sandbox.read(".omne/omne.toml")));
    let run = omne(&sandbox, &["run", "p"]);
    assert_eq!(run.code, 1);
    assert!(sandbox.capture("a").starts_with("it is ***, yes\n"), "{}", sandbox.capture("a"));
    assert_eq!(sandbox.events(&["agent.tool"])[0]["summary"], "curl -H ***");
    assert_hidden(&sandbox, &[&run, &sandbox.omne(&["logs", "@last", "a", "-f"])]);
    let stream = sandbox.log().with_file_name("nodes/a.1.stream.jsonl");
    let stream = std::fs::read_to_string(stream).unwrap();
    assert!(
        !stream.contains("stream_event"),
        "pieces that only together are a secret are not kept: {stream}"
    );
}

#[test]
fn a_round_of_a_loop_has_its_secret_and_a_prompt_never() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, secrets: [TOKEN], loop: {command: c, until: DONE}}]")
        .file(".omne/dist/cmds/c.md", format!("Use {VALUE} now."))
        .agent("a", "init\nsay no\nresult\n---\ninit\nsay DONE\nresult");
    sandbox.file(".omne/omne.toml", format!("{}{SETTINGS}", sandbox.read(".omne/omne.toml")));
    assert_eq!(omne(&sandbox, &["run", "p"]).code, 0);
    let prompts: Vec<_> = sandbox.calls("a").iter().map(|call| call["prompt"].clone()).collect();
    assert_eq!(prompts, ["Use *** now."; 2]);
    assert_hidden(&sandbox, &[]);
}

#[test]
fn hooks_and_gates_are_told_nothing_secret_and_may_not_tell_it_either() {
    let sandbox =
        volume("nodes: [{id: a, secrets: [TOKEN], gate: g, bash: 'echo \"x=$TOKEN\" >> \"$OMNE_OUTPUT\"'}]");
    // A hook, and a gate, that know the value from elsewhere.
    sandbox.file("value", VALUE).gate("g", "cat value value >&2; cat value; exit 75");
    executable(
        &sandbox,
        "hook.sh",
        "cat >> told; printf 'it is %s\\n' \"$(cat value)\" >&2; echo '{\"action\":\"deny\",\"reason\":\"hunter2/\\\"ö\\\"&<x>\"}'",
    );
    sandbox.file(".omne/hooks.toml", "[[hook]]\nevent = 'pre_gate'\ncommand = './hook.sh'\n");
    let run = omne(&sandbox, &["run", "p"]);
    assert_eq!(sandbox.node("a")["error"]["message"], "denied by a hook (403): ***");
    assert_hidden(&sandbox, &[&run]);
    sandbox.file(".omne/hooks.toml", "[[hook]]\nevent = 'on_event'\ncommand = './hook.sh'\n");
    let run = omne(&sandbox, &["run", "p"]);
    assert_eq!(run.code, 6);
    assert_eq!(sandbox.events(&["gate.waiting"])[0]["prompt"], "***");
    assert!(!sandbox.read("told").contains("hunter2") && sandbox.read("told").contains("node.started"));
    assert_hidden(&sandbox, &[&run]);
}

#[test]
fn what_people_say_is_recorded_without_secrets() {
    let sandbox = volume(
        "nodes: [{id: a, gate: g, bash: 'true'}, {id: b, secrets: [TOKEN], bash: 'touch here; until test -e go; do sleep 0.01; done'}]",
    );
    sandbox.gate("g", "exit 75");
    let mut run = sandbox
        .command(&["run", "p", "-q"])
        .env("SOURCE", VALUE)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    sandbox.wait_for("here");
    // It may have to wait until the gate has asked.
    while sandbox.omne(&["approve", "@last", "a", "--comment", VALUE]).code != 0 {}
    sandbox.file("go", "");
    assert!(run.wait().unwrap().success());
    assert_eq!(sandbox.events(&["gate.decided"])[0]["comment"], "***");
}

#[test]
fn a_value_of_several_lines_is_hidden_line_by_line() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, secrets: [KEY], bash: 'echo \"$KEY\" | sed \"s/^/> /\"'}]")
        .file("key.pem", "-----BEGIN KEY-----\nMIIEvQIBADAN\nshort\n-----END KEY-----\n")
        .file(".omne/omne.toml", "secrets.KEY = { file = 'key.pem' }");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.capture("a"), "> ***\n> ***\n> short\n> ***\n");
}

#[test]
fn a_resume_reads_values_again() {
    let sandbox = volume(
        "nodes: [{id: a, secrets: [TOKEN], bash: 'echo \"<$TOKEN>\"; test \"$TOKEN\" = second-value'}]",
    );
    let with = |value: &str, args: &[&str]| sandbox.command(args).env("SOURCE", value).output().unwrap();
    assert_eq!(with("first-value", &["run", "p"]).status.code(), Some(1));
    let without = sandbox.omne(&["resume", "@last"]);
    assert_eq!(without.code, 2);
    assert!(without.stderr.contains("`SOURCE`"), "{}", without.stderr);
    assert_eq!(with("second-value", &["resume", "@last"]).status.code(), Some(0));
    assert_eq!(sandbox.capture("a"), "<***>\n");
    assert_eq!(sandbox.events(&["pipe.resumed"]).len(), 1, "a resume without values wrote nothing");
}

#[test]
fn which_secrets_a_node_names_is_part_of_what_it_is_and_their_values_are_not() {
    let sandbox =
        volume("nodes: [{id: a, secrets: [TOKEN], bash: 'true'}, {id: b, depends_on: [a], bash: 'false'}]");
    let with = |value: &str, args: &[&str]| {
        sandbox.finish(sandbox.command(args).env("SOURCE", value).output().unwrap())
    };
    assert_eq!(with("first-value", &["run", "p"]).code, 1);
    let action = |output: &Output| output.json()["plan"][0]["action"].clone();
    assert_eq!(
        action(&with("second-value", &["resume", "@last", "--pipe", "@current", "--dry-run", "--json"])),
        "keep"
    );
    sandbox.pipe("nodes: [{id: a, bash: 'true'}, {id: b, depends_on: [a], bash: 'false'}]");
    let plan = sandbox.omne(&["resume", "@last", "--pipe", "@current", "--dry-run", "--json"]);
    assert_eq!(action(&plan), "rerun");
    assert!(plan.stdout.contains("`secrets` was removed"), "{}", plan.stdout);
}

#[test]
fn a_template_can_not_read_a_secret() {
    let sandbox = volume(
        "nodes: [{id: a, secrets: [TOKEN], prompt: 'x {{ secrets.TOKEN }}'}, {id: b, when: \"secrets.TOKEN == 'x'\", bash: 'true'}]",
    );
    let told = sandbox.omne(&["validate", "p"]).stdout;
    assert_eq!(told.matches("error[E0124]").count(), 2, "{told}");
}

#[test]
fn a_case_needs_values_for_what_runs_for_real_alone() {
    let sandbox = volume("nodes: [{id: a, secrets: [TOKEN], bash: 'echo \"<$TOKEN>\"'}]");
    assert_eq!(omne(&sandbox, &["run", "p"]).code, 0);
    assert_eq!(sandbox.omne(&["test", "--record", "@last"]).code, 0);
    assert_eq!(holding(&sandbox.path(".omne/tests"), &["hunter2"]), [""; 0]);
    assert_eq!(sandbox.omne(&["test"]).code, 0);
    let case = sandbox.read(".omne/tests/p/case.yaml");
    sandbox.file(".omne/tests/p/case.yaml", case.replace("real: []", "real: [a]"));
    let without = sandbox.omne(&["test"]);
    assert!(without.code != 0 && without.picture().contains("`SOURCE`"), "{}", without.picture());
    assert_eq!(omne(&sandbox, &["test"]).code, 0);
}

#[test]
fn a_bundle_and_exports_hold_no_secret() {
    let sandbox =
        volume("nodes: [{id: a, secrets: [TOKEN], bash: 'echo \"<$TOKEN>\"; echo \"$TOKEN\" >&2; exit 1'}]");
    assert_eq!(omne(&sandbox, &["run", "p"]).code, 1);
    for format in ["chrome-trace", "otlp-json", "junit", "html"] {
        let export = sandbox.omne(&["export", "@last", "--format", format]);
        assert_eq!(export.code, 0);
        assert_hidden(&sandbox, &[&export]);
    }
    assert_eq!(sandbox.omne(&["bundle", "@last", "-o", "run.omne"]).code, 0);
    assert_hidden(&sandbox, &[&sandbox.omne(&["events", "run.omne", "--json"])]);
}

#[test]
fn the_state_of_a_live_run_is_what_its_log_says() {
    let sandbox = volume(
        "nodes: [{id: a, secrets: [TOKEN], bash: 'echo \"x=$TOKEN\" >> \"$OMNE_OUTPUT\"; echo \"$TOKEN\"'}, {id: b, depends_on: [a], secrets: [TOKEN], bash: 'echo \"$TOKEN\" >&2; exit 1'}]",
    );
    let run = omne(&sandbox, &["run", "p", "--json"]);
    let log = std::fs::read_to_string(sandbox.log()).unwrap();
    assert_eq!(run.stdout, log.replace(sandbox.root().to_str().unwrap(), "<root>"));
    assert_eq!(sandbox.node("a")["outputs"]["x"], "***");
    assert_hidden(&sandbox, &[&run]);
}

#[test]
fn hooks_that_are_tried_out_find_no_secret() {
    let sandbox = volume("nodes: [{id: a, bash: 'true'}]");
    executable(&sandbox, "hook.sh", "cat > /dev/null; env > seen");
    sandbox.file(".omne/hooks.toml", "[[hook]]\nevent = 'pre_node'\ncommand = './hook.sh'\n");
    assert_eq!(omne(&sandbox, &["hooks", "fire", "pre_node"]).code, 0);
    assert!(sandbox.read("seen").contains("OMNE_HOOK") && !sandbox.read("seen").contains("SOURCE"));
}

#[test]
fn the_doctor_says_which_secrets_can_not_be_had() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]").file(
        ".omne/omne.toml",
        "[secrets]\nA = { env = 'SOURCE' }\nB = { file = 'none' }\nC = { command = ['./none'] }\nD = { command = ['touch', 'asked'] }",
    );
    let told = omne(&sandbox, &["doctor", "--json"]).stdout;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let findings = told["findings"].as_array().unwrap().iter();
    let of_secrets = findings.filter(|finding| finding["check"].as_str().unwrap().starts_with("secret "));
    let health: Vec<&str> = of_secrets.map(|finding| finding["health"].as_str().unwrap()).collect();
    assert_eq!(health, ["ok", "warning", "warning", "ok"]);
    assert!(!sandbox.path("asked").exists() && !told.to_string().contains("hunter2"));
}

#[test]
fn what_an_interrupted_agent_gave_waits_without_its_secrets() {
    let sandbox = Sandbox::new();
    let script = format!("init\noutput key={VALUE}\ntouch here\nhang");
    sandbox.pipe("nodes: [{id: a, secrets: [TOKEN], prompt: x}]").agent("a", &script);
    sandbox.file(".omne/omne.toml", format!("{}{SETTINGS}", sandbox.read(".omne/omne.toml")));
    let mut command = sandbox.command(&["run", "p", "-q"]);
    let mut run = command.env("SOURCE", VALUE).stdout(std::process::Stdio::null()).spawn().unwrap();
    sandbox.wait_for("here");
    sandbox.signal(&run, rustix::process::Signal::INT);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let kept = std::fs::read_to_string(sandbox.log().with_file_name("nodes/a.1.output")).unwrap();
    assert_eq!(kept, "key=***\n");
    assert_hidden(&sandbox, &[]);
}

#[test]
fn hooks_of_git_find_no_secret() {
    let sandbox = volume("nodes: [{id: a, bash: 'true'}]");
    sandbox
        .file(".omne/omne.toml", format!("anchor = 'git'\n{SETTINGS}"))
        .git(&["init", "-q"])
        .git(&["add", "."]);
    sandbox.git(&["commit", "-qm", "x"]);
    for hook in ["post-checkout", "reference-transaction"] {
        let seen = sandbox.path(&format!("seen.{hook}"));
        executable(&sandbox, &format!(".git/hooks/{hook}"), &format!("env >> '{}'", seen.display()));
    }
    assert_eq!(omne(&sandbox, &["run", "p"]).code, 0);
    for hook in ["post-checkout", "reference-transaction"] {
        let seen = sandbox.read(&format!("seen.{hook}"));
        assert!(seen.contains("PATH=") && !seen.contains("SOURCE="), "{hook}");
    }
}
