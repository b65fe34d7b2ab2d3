use crate::sandbox::Sandbox;

#[test]
fn all_pipes_of_the_volume_are_checked_and_every_fault_is_told() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true', gate: missing}, {id: b, bsh: x}]");
    sandbox.file(
        ".omne/dist/pipes/good.md",
        "---\nname: good\nversion: 1\nnodes: [{id: a, bash: 'true'}]\n---\n# Good\n",
    );
    insta::assert_snapshot!(sandbox.omne(&["validate"]).picture());
}

#[test]
fn json_has_every_fault_with_its_place() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes:\n- id: a\n  bash: 'true'\n  depends_on: [b]\n");
    let validate = sandbox.omne(&["validate", "p", "--json"]);
    assert_eq!(validate.code, 2);
    insta::assert_snapshot!(serde_json::to_string_pretty(&validate.json()).unwrap());
}

#[test]
fn a_broken_pipe_runs_nothing_and_writes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a}]");
    let run = sandbox.omne(&["run", "p"]);
    insta::assert_snapshot!(run.picture());
    assert!(!sandbox.path(".omne/var").exists());
}

#[test]
fn every_good_fixture_is_good() {
    let sandbox = Sandbox::new();
    sandbox.gate("hello-review", "");
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pipes");
    for file in
        std::fs::read_dir(fixtures).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file())
    {
        let validate = sandbox.omne(&["validate", file.to_str().unwrap()]);
        assert_eq!((validate.code, validate.stderr.as_str()), (0, ""), "{}", validate.picture());
    }
}

#[test]
fn hostile_files_end_in_an_error() {
    let sandbox = Sandbox::new();
    let nul = b"name: p\0\n".to_vec();
    for (bytes, part) in [
        (vec![b'a'; 100 * 1024 * 1024], "larger than 32 MiB"),
        ("[".repeat(1_000_000).into_bytes(), "nested more than 64 deep"),
        (b"name: \xff\xfe".to_vec(), "not UTF-8"),
        (nul, "NUL byte"),
        (Vec::new(), "has to be a map"),
    ] {
        sandbox.file("hostile.yaml", bytes);
        let validate = sandbox.omne(&["validate", "./hostile.yaml"]);
        assert_eq!(validate.code, 2);
        assert!(validate.stdout.contains(part), "{}", validate.picture());
    }
}

#[test]
fn codes_are_explained() {
    let sandbox = Sandbox::bare();
    insta::assert_snapshot!(sandbox.omne(&["explain", "e0103"]).picture());
    assert_eq!(sandbox.omne(&["explain", "E9999"]).code, 2);
}

#[test]
fn schemas_completions_and_the_manual_are_printed() {
    let sandbox = Sandbox::bare();
    for what in ["pipe", "event"] {
        assert!(sandbox.omne(&["schema", what]).json()["$schema"].is_string());
    }
    assert!(sandbox.omne(&["completions", "bash"]).stdout.contains("_omne"));
    let man = sandbox.omne(&["man"]).stdout;
    assert!(man.contains(".TH omne"));
    // Every page that it refers to can be had.
    let pages = man.lines().filter_map(|line| line.strip_prefix("omne\\-")?.strip_suffix("(1)"));
    let pages: Vec<String> = pages.map(|page| page.replace('\\', "")).collect();
    assert!(pages.len() > 20, "{man}");
    for page in pages {
        let of = sandbox.omne(&["man", &page]);
        assert!(of.code == 0 && of.stdout.contains(".SH SYNOPSIS"), "{page}: {of:?}");
    }
    assert_eq!(sandbox.omne(&["man", "nothing"]).code, 2);
}

#[test]
fn a_node_without_a_usable_id_is_checked_all_the_same() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: b/c, bash: 'true', when: 'inputs.nope == 1'}]");
    let faults = sandbox.omne(&["validate", "p"]).stderr + &sandbox.omne(&["validate", "p"]).stdout;
    assert!(faults.contains("E0107") && faults.contains("the pipe has no input `nope`"), "{faults}");
}

#[test]
fn what_a_process_or_an_event_can_not_hold_is_a_fault_of_the_pipe() {
    let sandbox = Sandbox::new();
    let nul = "\"a\\0b\"";
    let long = "m".repeat(300);
    for (before, node) in [
        (format!("env: {{X: {nul}}}\n"), "bash: 'true'".to_owned()),
        (String::new(), format!("bash: {nul}")),
        (String::new(), format!("bash: 'true', cwd: {nul}")),
        (String::new(), format!("prompt: x, agent_args: [{nul}]")),
        (String::new(), format!("prompt: x, model: {long}")),
        (format!("default_model: {long}\n"), "prompt: x".to_owned()),
    ] {
        sandbox.pipe(&format!("{before}nodes: [{{id: a, {node}}}]"));
        assert_eq!(sandbox.omne(&["validate", "p"]).code, 2, "{before}{node}");
    }
}

#[test]
fn inputs_from_a_file_are_taken_whole_or_not_at_all() {
    let sandbox = Sandbox::new();
    sandbox.pipe("inputs: {s: {}, t: {default: x}}\nnodes: [{id: a, bash: 'true'}]");
    let code =
        |text: String| sandbox.file("in.yaml", text).omne(&["run", "p", "-q", "--inputs", "in.yaml"]).code;
    assert_eq!(code("s: first\n".into()), 0);
    assert_eq!(code(format!("s: first\n{}t: last\n", format!("# {}\n", "c".repeat(1021)).repeat(16_400))), 2);
    assert_eq!(code("s: first\ns: second\n".into()), 2);
}
