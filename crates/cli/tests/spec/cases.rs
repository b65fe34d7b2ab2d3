//! `omne test` and `omne doctor`.

use crate::sandbox::Sandbox;

const NODES: &str = "inputs: {who: {default: you}}\nnodes:\n- {id: plan, prompt: 'plan for {{ inputs.who }}'}\n- {id: build, depends_on: [plan], bash: 'echo built; echo k=1 >> $OMNE_OUTPUT; touch ran'}\n- {id: bad, depends_on: [build], bash: 'echo no >&2; exit 3', retry: {max: 1}}\n- {id: fix, depends_on: [build], loop: {prompt: go, until: DONE}}\n- {id: after, depends_on: [fix], bash: 'echo $OMNE_OUTPUTS_BUILD_K', gate: ok}\n";

fn recorded() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .pipe(NODES)
        .gate("ok", "echo fine")
        .agent("plan", "init\nsay a plan\nresult")
        .agent("fix", "init\nsay no\nresult\n---\ninit\nsay DONE\nhang");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let record = sandbox.omne(&["test", "--record", "@last"]);
    assert_eq!(record.code, 0, "{record:?}");
    std::fs::remove_file(sandbox.path("ran")).unwrap();
    sandbox
}

fn without_times(text: &str) -> String {
    let is_time = |word: &&str| word.parse::<u64>().is_ok();
    text.lines()
        .map(|line| match line.strip_suffix(" ms") {
            Some(line) => {
                line.split(' ')
                    .filter(|word| !is_time(word))
                    .collect::<Vec<_>>()
                    .join(" ")
                    .trim_end()
                    .to_owned()
                    + "\n"
            }
            None => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn a_recorded_run_passes_without_agent_and_without_running_anything() {
    let sandbox = recorded();
    let snapshot = sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout;
    assert_eq!(sandbox.read(".omne/tests/p/snapshot.txt"), snapshot, "as the run itself");
    sandbox.file(".omne/omne.toml", "[agents.claude]\nprogram = '/nowhere'\n");
    let test = sandbox.omne(&["test"]);
    assert_eq!(
        (test.code, without_times(&test.stdout).as_str()),
        (0, "ok       p\n\n1 passed, 0 failed\n"),
        "{test:?}"
    );
    assert!(!sandbox.path("ran").exists(), "nothing ran");
    assert_eq!(sandbox.omne(&["status", "--json"]).json().as_array().unwrap().len(), 1, "a test is no run");
    assert_eq!(sandbox.calls("plan").len(), 1);
}

#[test]
fn what_a_changed_pipe_does_differently_is_shown_and_can_be_accepted() {
    let sandbox = recorded();
    sandbox.pipe(&NODES.replace("plan for", "a plan for"));
    let test = sandbox.omne(&["test", "p"]);
    assert_eq!(test.code, 1);
    let shown: Vec<&str> =
        test.stdout.lines().filter(|line| line.starts_with("  + ") || line.starts_with("  - ")).collect();
    assert!(shown.iter().any(|line| line.contains("node.started #1 prompt=")), "{test:?}");
    assert!(test.stdout.contains("store it: omne test p --accept"), "{test:?}");
    assert_eq!(sandbox.omne(&["test", "p"]).code, 1, "looking changes nothing");
    assert_eq!(
        without_times(&sandbox.omne(&["test", "p", "--accept"]).stdout),
        "accepted p\n\n1 passed, 0 failed\n"
    );
    assert_eq!(sandbox.omne(&["test"]).code, 0);
}

#[test]
fn a_node_that_is_real_runs_and_the_others_do_not() {
    let sandbox = recorded();
    let case = sandbox.read(".omne/tests/p/case.yaml");
    assert!(case.contains("real: []"), "{case}");
    sandbox.file(".omne/tests/p/case.yaml", case.replace("real: []", "real: [build]"));
    assert_eq!(sandbox.omne(&["test"]).code, 0);
    assert!(sandbox.path("ran").exists());
}

#[test]
fn what_can_not_be_real_is_told() {
    let sandbox = recorded();
    let case = sandbox.read(".omne/tests/p/case.yaml");
    for (real, why) in [("nobody", "which the pipe does not have"), ("plan", "agents are always played")] {
        sandbox.file(".omne/tests/p/case.yaml", case.replace("real: []", &format!("real: [{real}]")));
        let test = sandbox.omne(&["test"]);
        assert!(test.code == 1 && test.stdout.contains(why), "{test:?}");
    }
}

#[test]
fn a_new_node_says_that_it_was_not_recorded() {
    let sandbox = recorded();
    sandbox.pipe(&format!("{NODES}- {{id: new, bash: 'true'}}\n"));
    let test = sandbox.omne(&["test"]);
    assert_eq!(test.code, 1);
    assert!(test.stdout.contains("the recording has no attempt 1 of this node"), "{test:?}");
}

#[test]
fn a_pipe_that_is_gone_is_run_as_it_was() {
    let sandbox = recorded();
    std::fs::remove_file(sandbox.path(".omne/dist/pipes/p.yaml")).unwrap();
    let test = sandbox.omne(&["test"]);
    assert_eq!(test.code, 0, "{test:?}");
}

#[test]
fn what_can_not_be_recorded_or_played_is_said() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.omne(&["test"]).picture(), @r"
    exit 3
    ── stdout
    ── stderr
    error: the volume has no test cases
    help: make one of a run that has ended: `omne test --record @last`
    ");
    let sandbox = recorded();
    assert_eq!(sandbox.omne(&["test", "--record", "@last"]).code, 2, "there is one of that name");
    assert_eq!(sandbox.omne(&["test", "--record", "@last", "--name", "../x"]).code, 2);
    assert_eq!(sandbox.omne(&["test", "--record", "@last", "--name", "second"]).code, 0);
    assert_eq!(sandbox.omne(&["test", "nobody"]).code, 3);
    sandbox.file(".omne/tests/second/case.yaml", "pipe: [\n");
    let test = sandbox.omne(&["test"]);
    assert!(
        test.code == 1 && test.stdout.contains("`<root>/.omne/tests/second/case.yaml` is not a test case"),
        "{test:?}"
    );
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_how_to_mend_it() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, prompt: x}]").agent("a", "");
    let findings = |doctor: &serde_json::Value, health: &str| -> Vec<String> {
        let all = doctor["findings"].as_array().unwrap().iter();
        all.filter(|finding| finding["health"] == health)
            .map(|f| f["check"].as_str().unwrap().to_owned())
            .collect()
    };
    sandbox.file(".omne/omne.toml", "agent = 'mine'\n[agents.mine]\nprogram = 'git'\n");
    let well = sandbox.omne(&["doctor", "--json"]);
    assert_eq!(well.code, 0, "{well:?}");
    assert_eq!(findings(&well.json(), "error"), [""; 0]);
    sandbox.file(".omne/omne.toml", "agent = 'mine'\n[agents.mine]\nprogram = '/nowhere/mine'\n");
    sandbox.file(".omne/dist/pipes/broken.yaml", "name: [");
    let ill = sandbox.omne(&["doctor", "--json"]);
    assert_eq!(ill.code, 1);
    assert_eq!(findings(&ill.json(), "error"), ["pipes", "agent mine"]);
    let text = sandbox.omne(&["doctor"]).stdout;
    assert!(text.contains("`omne validate` shows all of them"), "{text}");
}

#[test]
fn a_resumed_run_is_recorded_as_what_it_came_to() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes:\n- {id: a, bash: 'echo k=$(cat v) >> $OMNE_OUTPUT; cat v; test -e ok'}\n- {id: b, depends_on: [a], bash: 'echo $OMNE_OUTPUTS_A_K'}");
    sandbox.file("v", "one");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    sandbox.file("v", "two").file("ok", "");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["test", "--record", "@last"]).code, 0);
    let snapshot = sandbox.read(".omne/tests/p/snapshot.txt");
    assert!(snapshot.contains("version 1: completed") && snapshot.contains("k = \"two\""), "{snapshot}");
}

#[test]
fn an_interrupted_test_stores_nothing() {
    let sandbox = recorded();
    let before = sandbox.read(".omne/tests/p/snapshot.txt");
    let case = sandbox.read(".omne/tests/p/case.yaml");
    sandbox.file(".omne/tests/p/case.yaml", case.replace("real: []", "real: [build]"));
    sandbox.pipe(&NODES.replace("touch ran", "touch ran; sleep 60"));
    let child = sandbox.start(&["test", "--accept"], "ran");
    sandbox.signal(&child, rustix::process::Signal::INT);
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 130);
    assert_eq!(sandbox.read(".omne/tests/p/snapshot.txt"), before);
}

/// The volume with its cases and pipes, copied to another place.
fn moved(sandbox: &Sandbox) -> Sandbox {
    let elsewhere = Sandbox::new();
    for part in [".omne/tests", ".omne/dist"] {
        let copied = std::process::Command::new("cp")
            .arg("-R")
            .args([sandbox.path(part), elsewhere.path(".omne")])
            .status()
            .unwrap();
        assert!(copied.success());
    }
    elsewhere
}

#[test]
fn a_case_passes_wherever_it_is_played() {
    const PLACES: &str = "nodes:\n- {id: er, bash: 'echo \"$PWD/main.c:3 bad\" >&2; exit 1'}\n- {id: d, bash: 'echo \"d=$OMNE_RUN_DIR\" >> \"$OMNE_OUTPUT\"; echo \"v=$OMNE_VOLUME_ROOT\" >> \"$OMNE_OUTPUT\"'}\n- {id: ask, depends_on: [d], prompt: 'look at {{ nodes.d.outputs.d }} of {{ run.id }}'}";
    for in_git in [false, true] {
        let sandbox = Sandbox::new();
        sandbox.pipe(PLACES).agent("ask", "init\nsay fine\nresult");
        if in_git {
            sandbox.git(&["init"]).file("f", "").git(&["add", "f"]).git(&["commit", "-m", "x"]);
        }
        assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
        assert_eq!(sandbox.omne(&["test", "--record", "@last"]).code, 0);
        let snapshot = sandbox.read(".omne/tests/p/snapshot.txt");
        assert_eq!(snapshot, sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout);
        assert!(!snapshot.contains(sandbox.root().to_str().unwrap()), "{snapshot}");
        for place in [&sandbox, &moved(&sandbox)] {
            let test = place.omne(&["test"]);
            assert_eq!(test.code, 0, "{test:?}");
        }
    }
}

#[test]
fn a_prompt_that_names_its_run_is_the_same_in_every_snapshot() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, prompt: 'write to /out/{{ run.id }}'}]")
        .agent("a", "init\nsay fine\nresult");
    let snapshot = || {
        assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
        sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout
    };
    assert_eq!(snapshot(), snapshot());
}

#[test]
fn a_node_that_is_real_may_tell_where_its_run_is() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: d, bash: 'echo \"d=$OMNE_RUN_DIR\" >> \"$OMNE_OUTPUT\"'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.omne(&["test", "--record", "@last"]).code, 0);
    let case = sandbox.read(".omne/tests/p/case.yaml");
    sandbox.file(".omne/tests/p/case.yaml", case.replace("real: []", "real: [d]"));
    let test = sandbox.omne(&["test"]);
    assert_eq!(test.code, 0, "{test:?}");
}

#[test]
fn a_gate_that_a_played_node_has_now_is_not_passed_by_another_one() {
    let play = |now: &str| {
        let sandbox = Sandbox::new();
        sandbox.pipe("nodes: [{id: a, bash: echo a, gate: ok}]").gate("ok", "true").gate("other", "exit 1");
        assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
        assert_eq!(sandbox.omne(&["test", "--record", "@last"]).code, 0);
        sandbox.pipe(now);
        sandbox.omne(&["test"]).stdout
    };
    assert!(play("nodes: [{id: a, bash: echo a}]").contains("-   gate.passed ok"));
    let other = play("nodes: [{id: a, bash: echo a, gate: other}]");
    assert!(other.contains("the recording does not tell what the gate `other` says"), "{other}");
}

#[test]
fn an_agent_that_comes_to_its_gate_only_now_does_not_pass_it_unseen() {
    let sandbox = Sandbox::new();
    let pipe = |until: &str| {
        sandbox.pipe(&format!(
            "nodes: [{{id: a, gate: ok, loop: {{prompt: go, until: {until}, max_iterations: 1}}}}]"
        ));
    };
    pipe("DONE");
    sandbox.gate("ok", "exit 1").agent("a", "init\nsay ALMOST\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.omne(&["test", "--record", "@last"]).code, 0);
    pipe("ALMOST");
    let test = sandbox.omne(&["test"]);
    assert!(test.stdout.contains("the recording does not tell what the gate `ok` says"), "{test:?}");
}

#[test]
fn what_was_edited_in_a_recorded_capture_is_seen() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: echo a}, {id: b, prompt: x}]").agent("b", "init\nsay fine\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.omne(&["test", "--record", "@last"]).code, 0);
    std::fs::remove_file(sandbox.path(".omne/tests/p/nodes/a.out")).unwrap();
    let test = sandbox.omne(&["test"]);
    assert!(test.code == 1 && test.stdout.contains("-   node.completed #1 exit=0 output=2B"), "{test:?}");
    std::fs::remove_file(sandbox.path(".omne/tests/p/nodes/b.1.stream.jsonl")).unwrap();
    let test = sandbox.omne(&["test"]);
    assert!(test.stdout.contains("b.1.stream.jsonl"), "{test:?}");
}

#[test]
fn git_may_change_the_ends_of_the_lines_of_a_snapshot() {
    let sandbox = recorded();
    let snapshot = sandbox.read(".omne/tests/p/snapshot.txt");
    sandbox.file(".omne/tests/p/snapshot.txt", snapshot.trim_end().replace('\n', "\r\n"));
    assert_eq!(sandbox.omne(&["test"]).code, 0);
}
