//! Nodes that ask people, and people who answer.

use rustix::process::Signal;

use crate::{
    agents::has_arg,
    hooks::hooked,
    sandbox::{Sandbox, with_filters},
};

/// A node whose gate asks, one after it, and one beside it.
fn asking() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes:\n- {id: a, bash: 'echo made >> made; echo k=v >> $OMNE_OUTPUT; echo text', gate: ok}\n- {id: b, depends_on: [a], bash: 'echo $OMNE_OUTPUTS_A_K'}\n- {id: c, bash: echo c}\n")
        .gate("ok", "echo 'ship it?'; exit 75");
    sandbox
}

#[test]
fn a_gate_that_asks_parks_the_run_once_nothing_else_is_left() {
    let sandbox = asking();
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 6);
    assert_eq!(sandbox.states(), "parked: a waiting, b pending, c completed");
    with_filters(|| {
        insta::assert_snapshot!(
            run.stderr.lines().skip_while(|line| !line.contains("parked p-")).collect::<Vec<_>>().join("\n")
        )
    });
    assert_eq!(sandbox.node("a")["gate"]["prompt"], "ship it?");
    assert_eq!(sandbox.events(&["pipe.parked"])[0]["waiting"], serde_json::json!(["a"]));
}

#[test]
fn an_approved_node_goes_on_with_what_it_had_made() {
    let sandbox = asking();
    sandbox.omne(&["run", "p"]);
    let approve = sandbox.omne(&["approve", "@last", "a", "--comment", "looks good"]);
    assert_eq!(approve.code, 0, "{approve:?}");
    let decided = &sandbox.events(&["gate.decided"])[0];
    assert_eq!(
        (&decided["approved"], &decided["option"], &decided["by"]),
        (&true.into(), &"approve".into(), &"tester".into())
    );
    let plan = sandbox.omne(&["resume", "@last", "--dry-run"]).stdout;
    assert!(plan.contains("it was approved by tester"), "{plan}");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.read("made"), "made\n", "its script ran once");
    assert_eq!(sandbox.capture("a"), "text\n");
    assert_eq!(sandbox.capture("b"), "v\n");
    let passed = &sandbox.events(&["gate.passed"])[0];
    assert_eq!((&passed["method"], &passed["comment"]), (&"human_cli".into(), &"looks good".into()));
}

#[test]
fn the_only_node_that_waits_need_not_be_named() {
    let sandbox = asking();
    sandbox.pipe("nodes:\n- {id: a, bash: 'true', gate: ok}\n- {id: b, bash: 'true', gate: ok}\n");
    sandbox.omne(&["run", "p"]);
    let which = sandbox.omne(&["approve", "@last"]);
    assert_eq!(which.code, 2);
    assert!(which.stderr.contains("several nodes wait for a decision: a, b"), "{which:?}");
    assert_eq!(sandbox.omne(&["approve", "@last", "b"]).code, 0);
    assert!(sandbox.omne(&["approve", "@last"]).stdout.starts_with("a is approved"));
    let nobody = sandbox.omne(&["approve", "@last"]);
    assert_eq!(nobody.code, 2);
    assert!(nobody.stderr.contains("no node of the run waits"), "{nobody:?}");
}

#[test]
fn a_rejected_node_fails_and_blocks_what_needs_it() {
    let sandbox = asking();
    sandbox.omne(&["run", "p"]);
    assert_eq!(sandbox.omne(&["reject", "@last", "a", "--comment", "not today"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(gate_failed), b blocked, c completed");
    assert_eq!(sandbox.node("a")["error"]["message"], "rejected by tester: not today");
}

#[test]
fn time_in_which_a_run_is_parked_is_not_time_that_it_takes() {
    let sandbox = asking();
    sandbox.omne(&["run", "p"]);
    let took = || sandbox.omne(&["status", "@last", "--json"]).json()["duration_ms"].clone();
    let parked = took();
    sandbox.omne(&["approve", "@last", "a"]);
    assert_eq!(took(), parked);
}

#[test]
fn a_resume_before_an_answer_parks_again_and_does_nothing_twice() {
    let sandbox = asking();
    sandbox.omne(&["run", "p"]);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 6);
    assert_eq!(sandbox.read("made"), "made\n");
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
}

#[test]
fn a_runner_that_is_at_it_takes_the_answer_and_goes_on() {
    let sandbox = asking();
    sandbox.pipe("jobs: 2\nnodes:\n- {id: a, bash: 'true', gate: ok}\n- {id: b, depends_on: [a], bash: touch after}\n- {id: c, bash: 'until test -e after; do sleep 0.01; done'}\n");
    let child = sandbox.start(&["run", "p"], ".omne/var/runs");
    while !sandbox.omne(&["events", "@last", "--type", "gate.waiting"]).stdout.contains("ship it") {}
    let approve = sandbox.omne(&["approve", "@last", "a"]);
    assert!(approve.stdout.contains("its runner goes on"), "{approve:?}");
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 0);
    assert_eq!(sandbox.states(), "completed: a completed, b completed, c completed");
}

#[test]
fn what_is_no_answer_is_said() {
    let sandbox = asking();
    sandbox.omne(&["run", "p"]);
    let code = |args: &[&str]| sandbox.omne(args).code;
    assert_eq!(code(&["approve", "@last", "c"]), 2);
    assert_eq!(code(&["approve", "@last", "nobody"]), 3);
    assert_eq!(code(&["approve", "@last", "a", "--option", "maybe"]), 2);
    assert_eq!(code(&["approve", "@last", "a"]), 0);
    let again = sandbox.omne(&["reject", "@last", "a"]);
    with_filters(|| insta::assert_snapshot!(again.picture()));
}

#[test]
fn a_question_that_waits_too_long_is_answered_by_its_default() {
    let sandbox = asking();
    sandbox.omne(&["run", "p"]);
    sandbox.file(".omne/omne.toml", "ask_timeout = 0\n");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(gate_failed), b blocked, c completed");
    assert!(sandbox.node("a")["error"]["message"].as_str().unwrap().contains("nobody answered in time"));
    let decided = sandbox.events(&["gate.decided"]);
    assert_eq!((decided.len(), &decided[0]["by"]), (1, &serde_json::json!("ask_timeout")));
    assert_eq!(sandbox.omne(&["verify", "@last"]).code, 0);
}

#[test]
fn a_node_that_was_answered_when_nobody_ran_it_waits_for_a_resume() {
    let sandbox = asking();
    sandbox.omne(&["run", "p"]);
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
    assert_eq!(sandbox.states(), "parked: a waiting, b pending, c completed");
    let status = sandbox.omne(&["status", "@last"]).stdout;
    assert!(status.contains("approved by ") && status.contains("`omne resume` goes on"), "{status}");
}

#[test]
fn a_run_that_waits_can_be_cancelled_and_interrupted() {
    let sandbox = asking();
    sandbox.omne(&["run", "p"]);
    assert_eq!(sandbox.omne(&["cancel", "@last"]).code, 0);
    assert_eq!(sandbox.states(), "aborted: a failed(cancelled), b blocked, c completed");
    let sandbox = asking();
    sandbox.pipe("nodes:\n- {id: a, bash: 'true', gate: ok}\n- {id: c, bash: 'touch here; sleep 60'}\n");
    let child = sandbox.start(&["run", "p"], "here");
    while !sandbox.omne(&["events", "@last", "--type", "gate.waiting"]).stdout.contains("ship it") {}
    sandbox.signal(&child, Signal::INT);
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 130);
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0, "the question is still open");
}

#[test]
fn an_answer_after_the_end_began_starts_nothing() {
    let sandbox = asking();
    sandbox.pipe("nodes:\n- {id: a, bash: 'true', gate: ok}\n- {id: c, bash: 'trap \"touch stopping; until test -e go; do sleep 0.01; done; exit 1\" TERM; touch here; while :; do sleep 0.01; done'}\n- {id: b, depends_on: [a], bash: touch b}\n");
    let child = sandbox.start(&["run", "p"], "here");
    while !sandbox.omne(&["events", "@last", "--type", "gate.waiting"]).stdout.contains("ship it") {}
    sandbox.signal(&child, Signal::INT);
    sandbox.wait_for("stopping");
    let mut approve =
        sandbox.command(&["approve", "@last", "a"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    sandbox.file("go", "");
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 130);
    approve.wait().unwrap();
    assert!(!sandbox.path("b").exists());
    assert_ne!(sandbox.omne(&["approve", "@last", "a", "--option", "reject"]).code, 0);
    assert_eq!(sandbox.omne(&["approve", "@last", "a", "--comment", &"x".repeat(5000)]).code, 2);
}

#[test]
fn what_a_hook_changed_of_a_node_is_kept_while_its_round_or_its_gate_waits() {
    let asks = r#"echo '{"action":"ask_user","prompt":"go on?","options":["yes","no"]}'"#;
    let changes = r#"echo '{"action":"modify","delta":{"env":{"K":"hooked"}"#;
    let two = |asking: &str, delta: &str| {
        let sandbox = hooked(asking, asks, "");
        sandbox.executable("change.sh", format!("#!/bin/sh\n{changes}{delta}}}}}'\n"));
        let hooks = sandbox.read(".omne/hooks.toml");
        let more = "[[hook]]\nevent = 'pre_node'\ncommand = './change.sh'\nnamespace = '*/a'\n";
        sandbox.file(".omne/hooks.toml", hooks + more);
        sandbox
    };
    let ends_well = |sandbox: &Sandbox| {
        assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
        assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
        let resume = sandbox.omne(&["resume", "@last"]);
        assert_eq!(resume.code, 0, "{resume:?}");
    };
    let sandbox = two("pre_iteration", r#","model":"mm""#);
    sandbox.pipe("nodes: [{id: a, loop: {prompt: x, until: DONE}}]").agent("a", "init\nsay DONE\nresult");
    ends_well(&sandbox);
    let calls = sandbox.calls("a");
    assert!(calls.len() == 1 && has_arg(&calls[0], ["--model", "mm"]), "{calls:?}");
    let sandbox = two("pre_gate", "");
    sandbox.pipe("nodes: [{id: a, bash: 'true', gate: ok}]").gate("ok", "echo $K > at-gate");
    ends_well(&sandbox);
    assert_eq!(sandbox.read("at-gate"), "hooked\n");
}

#[test]
fn what_a_hook_changed_of_an_approved_node_outlives_its_runner() {
    let both = r#"echo '{"action":"ask_user","prompt":"go?","options":["yes","no"]}'"#;
    let sandbox = hooked("pre_node", both, "namespace = '*/a'\npriority = 1");
    sandbox.executable(
        "change.sh",
        "#!/bin/sh\necho '{\"action\":\"modify\",\"delta\":{\"env\":{\"K\":\"hooked\"}}}'\n",
    );
    let hooks = sandbox.read(".omne/hooks.toml");
    let more = "[[hook]]\nevent = 'pre_node'\ncommand = './change.sh'\nnamespace = '*/a'\n";
    sandbox.file(".omne/hooks.toml", hooks + more);
    sandbox.pipe(
        "jobs: 2\nnodes: [{id: a, bash: 'echo $K >> seen; test -e again || { touch again; kill -9 $PPID; sleep 60; }'}, \
         {id: b, bash: 'until test -e seen; do sleep 0.01; done'}]",
    );
    let child = sandbox.start(&["run", "p"], ".omne/var/runs");
    sandbox.wait_for_event("gate.waiting");
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, -1, "it was killed");
    let resume = sandbox.omne(&["resume", "@last"]);
    assert_eq!(resume.code, 0, "{resume:?}");
    assert_eq!(sandbox.read("seen"), "hooked\nhooked\n");
}

#[test]
fn a_rule_asks_about_the_whole_command_line_of_an_agent() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, prompt: go, budget_usd: 1}]").agent("a", "init\nsay done\nresult").file(
        ".omne/hooks.toml",
        "[[rule]]\nprogram = '*'\nargs_contain = ['--session-id']\neffect = 'ask'\n",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.calls("a").len(), 0);
    assert_eq!(sandbox.omne(&["approve", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.calls("a").len(), 1);
}

#[test]
fn a_loop_that_is_asked_about_before_its_first_round_begins_its_session() {
    let asks = r#"echo '{"action":"ask_user","prompt":"round?","options":["yes","no"]}'"#;
    let sandbox = hooked("pre_iteration", asks, "");
    sandbox.pipe("nodes: [{id: a, loop: {prompt: x, until: DONE}}]").agent("a", "init\nsay DONE\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.omne(&["approve", "@last"]).code, 0);
    let resume = sandbox.omne(&["resume", "@last"]);
    assert_eq!(resume.code, 0, "{resume:?}");
    let calls = sandbox.calls("a");
    assert!(calls.len() == 1 && calls[0].to_string().contains("--session-id"), "{calls:?}");
    assert!(!resume.stderr.contains("does not know"), "{resume:?}");
}

#[test]
fn what_an_agent_cost_is_told_while_its_gate_waits_and_stays_when_it_is_asked_again() {
    let sandbox = asking();
    sandbox.pipe("nodes: [{id: a, prompt: go, gate: ok}]").agent("a", "init\nsay done\nresult");
    let cost = || {
        let usage = &sandbox.omne(&["status", "@last", "--json"]).json()["usage"];
        (usage["cost_usd"].as_f64().unwrap_or(0.0) * 1e6).round()
    };
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    let once = cost();
    assert!(once > 0.0);
    // It goes on at its gate with what it had used.
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 6);
    assert_eq!(cost(), once);
    assert_eq!(sandbox.omne(&["resume", "@last", "--from", "a"]).code, 6);
    assert_eq!(cost(), 2.0 * once);
    assert_eq!(sandbox.omne(&["approve", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(cost(), 2.0 * once);
    assert_eq!(sandbox.calls("a").len(), 2);
}

/// A loop that stands at a gate which asks people, and what it had cost when it came there.
fn loop_at_gate() -> (Sandbox, serde_json::Value) {
    let sandbox = asking();
    sandbox
        .pipe("nodes: [{id: a, loop: {prompt: go, until: DONE}, gate: ok}]")
        .agent("a", "init\nsay DONE\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    let once = cost(&sandbox);
    assert!(once.as_f64().is_some_and(|cost| cost > 0.0));
    (sandbox, once)
}

fn cost(sandbox: &Sandbox) -> serde_json::Value {
    sandbox.omne(&["status", "@last", "--json"]).json()["usage"]["cost_usd"].clone()
}

#[test]
fn what_a_loop_cost_is_counted_once_though_it_was_cancelled_at_its_gate() {
    let (sandbox, once) = loop_at_gate();
    assert_eq!(sandbox.omne(&["cancel", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 6, "it is asked anew");
    assert_eq!(sandbox.omne(&["approve", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!((cost(&sandbox), sandbox.calls("a").len()), (once, 1));
}

#[test]
fn what_a_loop_cost_is_counted_once_though_its_gate_is_asked_again() {
    let (sandbox, once) = loop_at_gate();
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 6);
    assert_eq!(sandbox.omne(&["approve", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!((cost(&sandbox), sandbox.calls("a").len()), (once, 1));
}

#[test]
fn what_a_hook_changed_of_a_round_is_kept_while_a_rule_asks_about_its_process() {
    let sandbox = hooked("pre_iteration", r#"echo '{"action":"modify","delta":{"prompt":"CHANGED"}}'"#, "");
    sandbox.pipe("nodes: [{id: a, loop: {prompt: plain, until: DONE}}]").agent("a", "init\nsay DONE\nresult");
    let hooks = sandbox.read(".omne/hooks.toml");
    let rule = "[[rule]]\nprogram = '*'\nargs_contain = ['--session-id']\neffect = 'ask'\n";
    sandbox.file(".omne/hooks.toml", hooks + rule);
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.omne(&["approve", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert!(sandbox.calls("a")[0].to_string().contains("CHANGED"), "{:?}", sandbox.calls("a"));
}
