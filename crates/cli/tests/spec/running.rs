use crate::sandbox::{Sandbox, with_filters};

#[test]
fn init_gives_a_pipe_that_runs_at_once() {
    let sandbox = Sandbox::bare();
    let init = sandbox.omne(&["init"]);
    assert_eq!(init.code, 0, "{init:?}");
    let run = sandbox.omne(&["run", "hello", "-j", "1"]);
    with_filters(|| insta::assert_snapshot!(run.picture()));
    let logs = sandbox.omne(&["logs", "@last", "together"]);
    assert_eq!(logs.stdout, "Hello, world!\nBonjour, world !\nHallo, world!\n");
}

#[test]
fn init_changes_nothing_that_is_there() {
    let sandbox = Sandbox::bare();
    sandbox.omne(&["init"]);
    sandbox.file(".omne/omne.toml", "jobs = 7\n");
    assert_eq!(sandbox.omne(&["init"]).code, 0);
    assert_eq!(sandbox.read(".omne/omne.toml"), "jobs = 7\n");
}

#[test]
fn a_failed_node_blocks_what_depends_on_it_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes:\n- {id: bad, bash: 'echo why >&2; exit 3'}\n- {id: after, bash: 'true', depends_on: [bad]}\n- {id: other, bash: 'true'}");
    let run = sandbox.omne(&["run", "p", "-j", "1"]);
    with_filters(|| insta::assert_snapshot!(run.picture()));
    assert_eq!(sandbox.states(), "aborted: bad failed(crash), after blocked, other completed");
}

#[test]
fn fail_fast_starts_nothing_after_the_first_failure() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes:\n- {id: a, bash: exit 1}\n- {id: b, bash: 'true'}");
    assert_eq!(sandbox.omne(&["run", "p", "-j", "1", "--fail-fast"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(crash), b pending");
}

#[test]
fn trigger_rules_do_what_they_say() {
    let sandbox = Sandbox::new();
    sandbox.file("rules.yaml", include_str!("../../../../fixtures/pipes/trigger-rules.yaml"));
    assert_eq!(sandbox.omne(&["run", "./rules.yaml"]).code, 1);
    insta::assert_snapshot!(sandbox.states(), @"aborted: good completed, bad failed(crash), unwanted skipped, all-success blocked, one-success completed, none-failed completed, all-done completed");
}

#[test]
fn inputs_are_checked_before_anything_is_written() {
    let sandbox = Sandbox::new();
    sandbox.pipe("inputs: {level: {type: integer, required: true}}\nnodes: [{id: a, bash: 'echo \"$OMNE_INPUT_LEVEL\"'}]");
    for args in [
        &["run", "p"][..],
        &["run", "p", "-i", "level=high"],
        &["run", "p", "-i", "levl=1"],
        &["run", "p", "-i", "level"],
    ] {
        let run = sandbox.omne(args);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains("\nhelp: "), "{run:?}");
    }
    assert!(!sandbox.path(".omne/var").exists());
    assert_eq!(sandbox.omne(&["run", "p", "-i", "level=4"]).code, 0);
    assert_eq!(sandbox.omne(&["logs", "@last", "a"]).stdout, "4\n");
}

#[test]
fn inputs_come_from_files_and_the_command_line_wins() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "inputs: {a: {}, b: {type: integer}}\nnodes: [{id: n, bash: 'echo \"$OMNE_INPUT_A $OMNE_INPUT_B\"'}]",
    );
    sandbox.file("in.yaml", "a: from file\nb: 2\n");
    sandbox.omne(&["run", "p", "--inputs", "in.yaml", "-i", "b=3"]);
    assert_eq!(sandbox.omne(&["logs", "@last", "n"]).stdout, "from file 3\n");
}

#[test]
fn no_input_is_ever_read_as_shell() {
    let sandbox = Sandbox::new();
    sandbox.pipe("inputs: {x: {}}\nnodes: [{id: n, bash: 'printf %s \"$OMNE_INPUT_X\"'}]");
    let hostile = "$(touch pwned) `touch pwned`; touch pwned # ' \" \\ \n* {{ inputs.x }}";
    sandbox.omne(&["run", "p", "-i", &format!("x={hostile}")]);
    assert_eq!(sandbox.omne(&["logs", "@last", "n"]).stdout, hostile);
    assert!(!sandbox.path("pwned").exists());
}

#[test]
fn a_node_finds_what_it_was_promised_in_its_environment() {
    let sandbox = Sandbox::new();
    sandbox.file("sub/file", "");
    sandbox.pipe(
        "env: {ALL: pipe, BOTH: pipe}\ninputs: {my_key: {default: v}}\nnodes:\n- id: a-b\n  bash: echo out=1 >> \"$OMNE_OUTPUT\"\n- id: n\n  depends_on: [a-b]\n  cwd: sub\n  env: {BOTH: node}\n  bash: |\n    echo \"$ALL $BOTH $OMNE_INPUT_MY_KEY $OMNE_NODE_ID $OMNE_ATTEMPT $OMNE_OUTPUTS_A_B_OUT $USER\"\n    ls; pwd; echo \"$OMNE_VOLUME_ROOT\"; echo \"$OMNE_WORKTREE\"; test -d \"$OMNE_RUN_DIR\" && echo \"$OMNE_RUN_ID\"\n    if read -r line; then echo \"stdin has $line\"; fi",
    );
    let id = sandbox.omne(&["run", "p"]).run_id().to_owned();
    let logs = sandbox.omne(&["logs", "@last", "n"]).stdout;
    assert_eq!(logs, format!("pipe node v n 1 1 tester\nfile\n<root>/sub\n<root>\n<root>\n{id}\n"));
}

#[test]
fn outer_runs_do_not_leak_into_inner_ones() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: n, bash: 'env | grep -c \"^OMNE_OUTPUTS_\\|^OMNE_INPUT_\" || true'}]");
    let output = sandbox
        .command(&["run", "p", "-q"])
        .env("OMNE_INPUT_X", "outer")
        .env("OMNE_OUTPUTS_A_B", "outer")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(sandbox.omne(&["logs", "@last", "n"]).stdout, "0\n");
}

#[test]
fn a_retry_counts_its_attempts_and_keeps_only_the_last_capture() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: n, retry: {max: 2}, bash: 'test \"$OMNE_ATTEMPT\" = 3 || { echo \"try $OMNE_ATTEMPT\"; exit 1; }'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let events = sandbox.omne(&["events", "@last", "--type", "node.*"]).stdout;
    assert_eq!(events.matches("failed after").count(), 2, "{events}");
    assert_eq!(sandbox.omne(&["logs", "@last", "n"]).stdout, "");
}

#[test]
fn a_timeout_ends_the_whole_tree() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: n, timeout: 200ms, bash: 'setsid sleep 300 & sleep 300'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: n failed(timeout)");
}

#[test]
fn the_timeout_of_a_pipe_ends_the_run() {
    let sandbox = Sandbox::new();
    sandbox.pipe("timeout: 200ms\nnodes: [{id: n, bash: sleep 300}, {id: m, bash: 'true', depends_on: [n]}]");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("the run took longer than 200ms"), "{run:?}");
    assert_eq!(sandbox.states(), "aborted: n failed(timeout), m blocked");
}

#[test]
fn a_gate_says_yes_or_no() {
    let sandbox = Sandbox::new();
    sandbox.gate("yes", "echo fine; test \"$OMNE_GATE_NAME\" = yes && test \"$PWD\" = \"$OMNE_VOLUME_ROOT\"");
    sandbox.gate("no", "echo not good enough >&2; exit 1");
    sandbox.pipe("nodes: [{id: a, gate: yes, bash: echo a}, {id: b, gate: no, bash: echo b}]");
    let run = sandbox.omne(&["run", "p"]);
    assert!(run.stderr.contains("not good enough"), "{run:?}");
    assert_eq!(sandbox.states(), "aborted: a completed, b failed(gate_failed)");
}

#[test]
fn a_gate_is_looked_at_when_it_is_needed() {
    for spoil in [
        "rm .omne/dist/hooks/g.sh",
        "ln -sf /bin/true .omne/dist/hooks/g.sh",
        "mv .omne/dist/hooks/g.sh elsewhere",
    ] {
        let sandbox = Sandbox::new();
        sandbox.gate("g", "exit 0").pipe(&format!("nodes: [{{id: a, gate: g, bash: '{spoil}'}}]"));
        assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
        assert_eq!(sandbox.states(), "aborted: a failed(gate_failed)", "{spoil}");
    }
}

#[test]
fn a_gate_whose_interpreter_is_missing_is_named() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, gate: g, bash: 'true'}]")
        .executable(".omne/dist/hooks/g.sh", "#!/no/such\n");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(sandbox.states(), "aborted: a failed(spawn_failed)");
    let why = "cannot start `.omne/dist/hooks/g.sh`: the program that its first line names does not exist";
    assert!(run.stderr.contains(why), "{run:?}");
}

#[test]
fn outputs_reach_conditions_and_a_bad_output_file_fails_the_node() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes:\n- {id: a, bash: 'echo risk=low >> \"$OMNE_OUTPUT\"; echo said'}\n- {id: yes, depends_on: [a], when: \"nodes.a.outputs.risk == 'low' and nodes.a.output == 'said\\n'\", bash: 'true'}\n- {id: no, depends_on: [a], when: \"nodes.a.outputs.risk == 'high'\", bash: 'true'}\n- {id: bad, bash: 'echo nonsense >> \"$OMNE_OUTPUT\"'}\n- {id: big, bash: 'head -c 40000 /dev/zero | tr \"\\0\" x | sed s/^/a=/ >> \"$OMNE_OUTPUT\"'}\n- {id: fifo, bash: 'mkfifo \"$OMNE_OUTPUT\"'}",
    );
    sandbox.omne(&["run", "p"]);
    assert_eq!(
        sandbox.states(),
        "aborted: a completed, yes completed, no skipped, bad failed(crash), big failed(output_limit), fifo completed"
    );
}

#[test]
fn too_much_output_fails_the_node() {
    let sandbox = Sandbox::new();
    sandbox.file(".omne/omne.toml", "[limits]\noutput_bytes = 1000\n").pipe("nodes: [{id: n, bash: 'yes'}]");
    sandbox.omne(&["run", "p"]);
    assert_eq!(sandbox.states(), "aborted: n failed(output_limit)");
}

#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let sandbox = Sandbox::bare();
    sandbox.file("p.yaml", "name: p\nversion: 1\nnodes: [{id: a, bash: make}, {id: b, bash: 'make test', depends_on: [a], when: '1 < 2'}]");
    let run = sandbox.omne(&["run", "./p.yaml", "--dry-run"]);
    insta::assert_snapshot!(run.picture());
    assert!(!sandbox.path(".omne").exists());
}

#[test]
fn json_prints_the_log_as_it_is_written_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: echo hi}]");
    let run = sandbox.omne(&["run", "p", "--json", "-q"]);
    assert_eq!(
        run.stdout,
        std::fs::read_to_string(sandbox.log()).unwrap().replace(sandbox.root().to_str().unwrap(), "<root>")
    );
    assert_eq!(run.stderr, "");
}

#[test]
fn a_file_outside_a_volume_makes_one_beside_it() {
    let sandbox = Sandbox::bare();
    sandbox.file("p.yaml", "name: p\nversion: 1\nnodes: [{id: a, bash: 'true'}]");
    assert_eq!(sandbox.omne(&["run", "./p.yaml"]).code, 0);
    assert_eq!(sandbox.read(".omne/.gitignore"), "/var/\n/wt/\n");
}

#[test]
fn a_run_goes_on_when_nobody_reads_what_it_prints() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
    for show in [&["run", "p"][..], &["run", "p", "-q"], &["run", "p", "--json"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let run = sandbox.command(show).stdout(full).output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{show:?}");
        assert!(String::from_utf8_lossy(&run.stderr).contains("warning: "), "{run:?}");
        assert_eq!(sandbox.states(), "completed: a completed");
    }
}

#[test]
fn names_that_look_like_numbers_stay_as_they_are_written() {
    let sandbox = Sandbox::new();
    sandbox.pipe("env: {A: 1.50}\nnodes: [{id: 007, bash: 'echo \"$A\"; test -e ok'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    sandbox.file("ok", "");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["logs", "@last", "007"]).stdout, "1.50\n");
}

#[test]
fn a_run_ends_with_its_log() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes:\n- {id: a, bash: 'rm \"$OMNE_RUN_DIR/events.jsonl\"'}\n- {id: b, depends_on: [a], bash: 'touch published'}",
    );
    let run = sandbox.omne(&["run", "p"]);
    assert!(run.code == 8 && run.stderr.contains("it was removed or replaced"), "{run:?}");
    assert!(!sandbox.path("published").exists());
}

#[test]
fn a_node_that_waits_for_another_attempt_when_the_run_ends_has_failed() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "t.yaml",
        "name: t\nversion: 1\ntimeout: 500ms\nnodes:\n\
         - {id: a, bash: 'echo boom >&2; exit 7', retry: {max: 5, delay: 1h}}\n\
         - {id: b, depends_on: [a], bash: 'true'}",
    );
    let run = sandbox.omne(&["run", "./t.yaml", "-q"]);
    assert!(run.code == 1, "{run:?}");
    assert_eq!(sandbox.events(&["pipe.aborted"])[0]["failed"], serde_json::json!(["a"]));
    assert_eq!(sandbox.states(), "aborted: a failed(crash), b blocked");
    assert!(sandbox.omne(&["export", "@last", "--format", "junit"]).stdout.contains("failures=\"1\""));
}

#[test]
fn what_a_run_would_be_refused_for_its_plan_is_refused_for() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
    let dry_run = |args: &[&str]| sandbox.omne(&[&["run", "p", "--dry-run"], args].concat()).code;
    assert_eq!(dry_run(&[]), 0);
    assert_eq!(dry_run(&["--workspace", "worktree"]), 2);
    sandbox.omne(&["run", "p"]);
    sandbox.file(".omne/omne.toml", "bogus = 1\n");
    assert_eq!(dry_run(&[]), 2);
    assert_eq!(sandbox.omne(&["resume", "@last", "--dry-run"]).code, 2);
    sandbox.file(".omne/omne.toml", "").pipe("agent: nobody\nnodes: [{id: a, prompt: x}]");
    assert_eq!(dry_run(&[]), 2);
}
