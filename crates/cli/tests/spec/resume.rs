use crate::sandbox::{Sandbox, with_filters};

const HALF: &str = "nodes:\n- {id: a, bash: echo a}\n- {id: b, depends_on: [a], bash: test -e ok}\n- {id: c, depends_on: [b], bash: echo c}\n- {id: d, bash: echo d}\n- {id: tidy, always: true, bash: echo tidy}";

fn half_done() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.pipe(HALF);
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    sandbox
}

#[test]
fn the_plan_says_what_happens_to_each_node_and_why() {
    let sandbox = half_done();
    let before = std::fs::read(sandbox.log()).unwrap();
    insta::assert_snapshot!(sandbox.omne(&["resume", "@last", "--dry-run"]).picture());
    assert_eq!(std::fs::read(sandbox.log()).unwrap(), before);
}

#[test]
fn what_completed_is_not_done_again() {
    let sandbox = half_done();
    sandbox.file("ok", "");
    assert_eq!(sandbox.omne(&["resume", "@failed"]).code, 0);
    let attempts = |id: &str| {
        let status = sandbox.omne(&["status", "@last", "--json"]).json();
        status["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id).unwrap()["attempt"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(["a", "b", "c", "d", "tidy"].map(attempts), [1, 2, 1, 1, 2]);
}

#[test]
fn a_completed_run_has_nothing_to_resume() {
    let sandbox = half_done();
    sandbox.file("ok", "").omne(&["resume", "@last"]);
    let resume = sandbox.omne(&["resume", "@last"]);
    assert_eq!(resume.code, 0);
    with_filters(
        || insta::assert_snapshot!(resume.stdout, @"p-<ulid> has completed: there is nothing to resume"),
    );
}

#[test]
fn a_node_that_was_skipped_after_one_that_always_runs_gives_no_reason_to_resume() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes:\n- {id: a, always: true, bash: '[ $OMNE_ATTEMPT = 1 ]'}\n\
         - {id: s, depends_on: [a], when: \"nodes.a.output == 'no'\", bash: 'true'}\n\
         - {id: t, depends_on: [s], bash: 'true'}",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let resume = sandbox.omne(&["resume", "@last"]);
    assert!(resume.code == 0 && resume.stdout.contains("nothing to resume"), "{resume:?}");
    assert_eq!(sandbox.states(), "completed: a completed, s skipped, t skipped");
    assert_eq!(sandbox.omne(&["resume", "@last", "--from", "s"]).code, 1, "with a reason, `a` goes along");
}

#[test]
fn from_runs_a_node_and_all_below_it_again() {
    let sandbox = half_done();
    sandbox.file("ok", "").omne(&["resume", "@last"]);
    assert_eq!(sandbox.omne(&["resume", "@last", "--from", "b"]).code, 0);
    let again = sandbox.omne(&["events", "@last", "--type", "node.started"]).stdout;
    for (id, starts) in [("a", 1), ("b", 3), ("c", 2), ("d", 1)] {
        assert_eq!(
            again.lines().filter(|line| line.contains(&format!(" {id} started"))).count(),
            starts,
            "{id}: {again}"
        );
    }
    assert_eq!(sandbox.omne(&["resume", "@last", "--from", "nobody"]).code, 2);
}

#[test]
fn a_changed_pipe_keeps_only_what_is_unchanged_and_names_what_differs() {
    let sandbox = half_done();
    sandbox.pipe(&HALF.replace("echo a}", "echo A}").replace("test -e ok", "'true'").replace(
        "- {id: d, bash: echo d}",
        "- {id: d, bash: echo d, timeout: 5}\n- {id: new, bash: 'true'}",
    ));
    insta::assert_snapshot!(sandbox.omne(&["resume", "@last", "--pipe", "@current", "--dry-run"]).picture());
    assert_eq!(sandbox.omne(&["resume", "@last", "--pipe", "@current"]).code, 0);
    assert_eq!(
        sandbox.states(),
        "completed: a completed, b completed, c completed, d completed, new completed, tidy completed"
    );
}

#[test]
fn without_a_pipe_the_run_goes_on_with_the_definition_in_its_log() {
    let sandbox = half_done();
    sandbox.file("ok", "").pipe("nodes: [{id: other, bash: 'true'}]");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(
        sandbox.states(),
        "completed: a completed, b completed, c completed, d completed, tidy completed"
    );
}

#[test]
fn a_torn_last_line_is_moved_aside_and_told() {
    let sandbox = half_done();
    let log = sandbox.log();
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..whole.len() - 10]).unwrap();
    sandbox.file("ok", "");
    let resume = sandbox.omne(&["resume", "@last"]);
    assert_eq!(resume.code, 0, "{resume:?}");
    assert!(resume.stderr.contains("events.jsonl.torn-1"), "{resume:?}");
    assert!(log.with_file_name("events.jsonl.torn-1").exists());
}

#[test]
fn a_plan_is_what_the_resume_does() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes:\n- {id: a, always: true, bash: 'true'}\n- {id: b, depends_on: [a], bash: 'true'}");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let plan = sandbox.omne(&["resume", "@last", "--dry-run"]);
    assert!(plan.stdout.contains("there is nothing to resume"), "{plan:?}");
    assert_eq!(plan.stdout, sandbox.omne(&["resume", "@last"]).stdout);
    let json = sandbox.omne(&["resume", "@last", "--dry-run", "--json"]).json();
    assert_eq!(json["plan"], serde_json::json!([]));
}

#[test]
fn what_was_asked_about_in_another_pipe_is_asked_about_anew() {
    let sandbox = Sandbox::new();
    let pipe = |version: u32| {
        format!(
            "nodes:\n- {{id: build, gate: ok, bash: 'echo v={version} >> \"$OMNE_OUTPUT\"'}}\n- {{id: ship, depends_on: [build], bash: 'echo shipping $OMNE_OUTPUTS_BUILD_V'}}"
        )
    };
    sandbox.pipe(&pipe(1)).gate("ok", "exit 75");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.omne(&["approve", "@last", "build"]).code, 0);
    sandbox.pipe(&pipe(2));
    let resume = sandbox.omne(&["resume", "@last", "--pipe", "@current"]);
    assert_eq!(resume.code, 6, "{resume:?}");
    assert!(resume.stderr.contains("`bash` changed"), "{resume:?}");
    assert_eq!(sandbox.omne(&["approve", "@last", "build"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["logs", "@last", "ship"]).stdout, "shipping 2\n");
}

#[test]
fn a_resume_goes_on_when_nobody_reads_its_plan() {
    let sandbox = half_done();
    sandbox.file("ok", "");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let resume = sandbox.command(&["resume", "@last"]).stderr(full).status().unwrap();
    assert_eq!(resume.code(), Some(0));
    assert!(sandbox.states().starts_with("completed: "));

    let sandbox = half_done();
    sandbox.file("ok", "");
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(sandbox.command(&["resume", "@last"]).stderr(closed).status().unwrap().code(), Some(0));
    assert!(sandbox.states().starts_with("completed: "));
}

#[test]
fn a_script_that_could_not_be_started_is_tried_again_and_goes_on_at_a_resume() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, cwd: later, retry: {max: 1}, bash: echo here}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(spawn_failed)");
    for failed in &sandbox.events(&["node.failed"]) {
        assert!(failed["message"].as_str().unwrap().starts_with("the working directory `"), "{failed}");
    }
    assert_eq!(sandbox.events(&["node.failed"]).len(), 2);
    std::fs::create_dir(sandbox.path("later")).unwrap();
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.states(), "completed: a completed");
    assert_eq!(sandbox.omne(&["verify", "@last"]).code, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_dead_runner_left_is_ended_first_though_it_has_cleared_its_environment() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: \"test -e ok || exec env -i sh -c 'touch pid; exec sleep 300'\"}]");
    let mut child = sandbox.start(&["run", "p"], "pid");
    sandbox.wait_for_event("node.spawned");
    sandbox.signal(&child, rustix::process::Signal::KILL);
    child.wait().unwrap();
    sandbox.file("ok", "");
    let resume = sandbox.omne(&["resume", "@last"]);
    assert_eq!(resume.code, 0, "{resume:?}");
    assert!(resume.stderr.contains("ended 1 process(es) that an earlier runner had left"), "{resume:?}");
}

#[test]
fn what_a_kept_node_printed_is_not_used_when_it_is_not_what_the_log_says() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes:\n- {id: a, bash: echo plan}\n- {id: x, depends_on: [a], bash: test -e ok}\n\
         - {id: w, depends_on: [x], when: \"nodes.a.output|trim == 'plan'\", bash: echo yes}",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let run = sandbox.log().parent().unwrap().to_owned();
    std::fs::remove_dir_all(run.join("nodes")).unwrap();
    sandbox.file("ok", "");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    let error = sandbox.node("w")["error"]["message"].to_string();
    assert!(error.contains("the capture of `a` is missing or was changed since it ended"), "{error}");
    assert_eq!(sandbox.omne(&["resume", "@last", "--from", "a"]).code, 0);
    assert_eq!(sandbox.capture("w"), "yes\n");
}

#[test]
fn a_node_that_comes_back_with_a_changed_pipe_goes_on_counting() {
    let sandbox = Sandbox::new();
    let with = |d: &str| format!("name: p\nversion: 1\nnodes: [{{id: a, bash: 'false'}}{d}]");
    sandbox.file("1.yaml", with(", {id: d, bash: echo dd}"));
    sandbox.file("2.yaml", with("")).file("3.yaml", with(", {id: d, bash: 'true'}"));
    assert_eq!(sandbox.omne(&["run", "./1.yaml"]).code, 1);
    for pipe in ["2.yaml", "3.yaml"] {
        assert_eq!(sandbox.omne(&["resume", "@last", "--pipe", pipe]).code, 1);
    }
    let attempts: Vec<_> = sandbox.events(&["node.started"]).iter().map(|e| e["attempt"].clone()).collect();
    assert_eq!(attempts, [1, 1, 2, 3, 2], "a, d; a; a, d");
    assert_eq!(sandbox.omne(&["logs", "@last", "d"]).stdout, "", "what it had printed before is gone");
    assert_eq!(sandbox.omne(&["verify", "@last"]).code, 0);
}

#[test]
fn a_changed_pipe_gives_its_new_inputs_their_defaults_or_is_refused() {
    let sandbox = Sandbox::new();
    let with = |inputs: &str| {
        format!(
            "name: p\nversion: 1\ninputs: {{n: {{default: one}}{inputs}}}\nnodes: [{{id: a, bash: 'test -e ok && echo \"$OMNE_INPUT_N ${{OMNE_INPUT_M-unset}}\"'}}]"
        )
    };
    sandbox.file("1.yaml", with("")).file("2.yaml", with(", m: {type: integer, default: 3}"));
    sandbox.file("3.yaml", with(", m: {required: true}"));
    assert_eq!(sandbox.omne(&["run", "./1.yaml"]).code, 1);
    sandbox.file("ok", "");
    let refused = sandbox.omne(&["resume", "@last", "--pipe", "3.yaml"]);
    assert!(refused.code == 2 && refused.stderr.contains("the input `m` is required"), "{refused:?}");
    assert_eq!(sandbox.omne(&["resume", "@last", "--pipe", "2.yaml"]).code, 0);
    assert_eq!(sandbox.capture("a"), "one 3\n");
    let status = sandbox.omne(&["status", "@last", "--json"]).json();
    assert_eq!(status["inputs"], serde_json::json!({ "n": "one", "m": 3 }));
}

#[test]
fn the_plan_for_a_run_that_can_not_be_resumed_is_refused_as_the_resume_is() {
    let sandbox = half_done();
    let log = std::fs::read_to_string(sandbox.log()).unwrap();
    let path = sandbox.log();
    let codes =
        || [&["resume", "@last", "--dry-run"][..], &["resume", "@last"]].map(|args| sandbox.omne(args).code);
    std::fs::write(&path, log.replace("\"seq\":4,", "\"seq\":5,")).unwrap();
    assert_eq!(codes(), [5, 5]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(codes(), [3, 3]);
    // What is left of the run is damaged, and meant to be.
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'touch here; until test -e go; do sleep 0.01; done'}]");
    let child = sandbox.start(&["run", "p"], "here");
    let codes =
        [&["resume", "@last", "--dry-run"][..], &["resume", "@last"]].map(|args| sandbox.omne(args).code);
    assert_eq!(codes, [4, 4]);
    sandbox.file("go", "");
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 0);
}

#[test]
fn what_follows_a_kept_node_waits_for_what_runs_again_before_it() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "jobs: 2\nnodes:\n- {id: login, always: true, bash: 'test ! -e out; echo token=T$OMNE_ATTEMPT >> $OMNE_OUTPUT'}\n\
         - {id: build, depends_on: [login], bash: 'true'}\n\
         - {id: deploy, depends_on: [build], bash: 'echo $OMNE_OUTPUTS_LOGIN_TOKEN; test -e ok'}\n\
         - {id: notify, depends_on: [deploy], when: nodes.login.outputs.token, bash: echo}",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    sandbox.file("ok", "");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.capture("deploy"), "T2\n");
    assert_eq!(sandbox.node("notify")["state"], "completed");
}

#[test]
fn what_runs_again_and_fails_blocks_what_follows_a_kept_node() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: login, always: true, bash: test ! -e out}, {id: build, depends_on: [login], bash: 'true'}, \
         {id: deploy, depends_on: [build], bash: test -e ok}]",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    sandbox.file("ok", "").file("out", "");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: login failed(crash), build completed, deploy blocked");
}

#[test]
fn a_skipped_node_is_decided_anew_when_it_depends_on_something_else_now() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: s, when: 'false', bash: echo}, {id: t, depends_on: [s], bash: echo}, {id: f, bash: exit 1}]",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    sandbox.file("n.yaml", "name: p\nversion: 1\nnodes: [{id: t, bash: echo}, {id: f, bash: exit 1}]");
    let plan = sandbox.omne(&["resume", "@last", "--pipe", "n.yaml"]);
    assert!(plan.stderr.contains("t     run     `depends_on` changed"), "{plan:?}");
    assert_eq!(sandbox.states(), "aborted: t completed, f failed(crash)");
}

#[test]
fn what_is_to_run_again_gives_nothing_of_what_it_gave_before() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: a, bash: test $OMNE_ATTEMPT = 1}, {id: b, depends_on: [a], bash: echo k=old >> $OMNE_OUTPUT}, \
         {id: f, bash: exit 1}, {id: z, depends_on: [b], trigger_rule: all_done, bash: 'echo [$OMNE_OUTPUTS_B_K]'}]",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.omne(&["resume", "@last", "--from", "a"]).code, 1);
    assert_eq!(sandbox.capture("z"), "[]\n");
    let b = sandbox.node("b");
    assert_eq!(
        [&b["state"], &b["outputs"], &b["exit_code"]],
        [&"blocked".into(), &serde_json::Value::Null, &serde_json::Value::Null]
    );
}
