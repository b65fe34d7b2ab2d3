//! What commands show of past runs.

use crate::{
    audit::{runs, sql, two_runs},
    sandbox::Sandbox,
};

#[test]
fn a_question_may_begin_with_a_comment_and_name_a_column_twice() {
    let sandbox = two_runs();
    let question = "-- what it is about\nselect 1 as a, 2 as a, 3 as b, 4 as a";
    let answer = sandbox.omne(&["audit", "sql", question, "--format", "json"]);
    assert_eq!(answer.stdout, "{\"a\":1,\"a_2\":2,\"b\":3,\"a_3\":4}\n", "{answer:?}");
}

#[test]
fn a_node_that_was_answered_after_the_run_had_parked_waits_in_every_view() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true', gate: ok}]").gate("ok", "exit 75");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    let status = || sandbox.omne(&["status", "@last", "--json"]).json();
    let parked = status();
    assert_eq!(sandbox.omne(&["approve", "@last"]).code, 0);
    let answered = status();
    assert_eq!(answered["ended_at"], parked["ended_at"]);
    assert_eq!(answered["nodes"][0]["state"], "waiting");
    assert_eq!(
        self::sql(&sandbox, "select state from nodes"),
        self::sql(&sandbox, "select 'waiting' as state")
    );
}

#[test]
fn why_tells_that_a_runner_died() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'touch here; sleep 300'}]");
    let mut child = sandbox.start(&["run", "p"], "here");
    sandbox.wait_for_event("node.spawned");
    sandbox.signal(&child, rustix::process::Signal::KILL);
    child.wait().unwrap();
    let why = sandbox.omne(&["why", "@last", "a"]).stdout;
    assert!(why.contains("a is interrupted") && why.contains("its runner is gone"), "{why}");
    assert_eq!(sandbox.omne(&["cancel", "@last"]).code, 0);
}

#[test]
fn a_node_that_a_run_does_not_have_has_no_events() {
    let sandbox = two_runs();
    let none = sandbox.omne(&["events", "@last", "--node", "nobody"]);
    assert!(none.code == 3 && none.stderr.contains("has no node `nobody`"), "{none:?}");
}

#[test]
fn a_run_is_meant_though_a_file_has_its_name() {
    let sandbox = two_runs();
    let runs = runs(&sandbox);
    sandbox.file(&runs[0], "no log");
    assert_eq!(sandbox.omne(&["status", &runs[0]]).code, 0);
}

#[test]
fn the_lines_of_a_round_are_counted_within_it() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, loop: {prompt: x, until: DONE}}]")
        .agent("a", "init\nsay one\nsay two\nsay three\nresult\n---\ninit\nsay four\nsay DONE\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let round = |rest: &[&str]| sandbox.omne(&[&["logs", "@last", "a", "--iteration", "1"], rest].concat());
    let (all, last) = (round(&[]).stdout, round(&["--tail", "1"]).stdout);
    assert!(all.ends_with(&last) && last == "three\n", "{all:?} {last:?}");
    assert_eq!(round(&["--tail", "0"]).stdout, "");
    assert_eq!(round(&["--stderr"]).code, 2);
}

#[test]
fn nobody_waits_at_the_gate_of_a_node_that_was_cancelled() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true', gate: ok}]").gate("ok", "exit 75");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.node("a")["gate"]["state"], "waiting");
    assert_eq!(sandbox.omne(&["cancel", "@last"]).code, 0);
    assert_eq!(sandbox.node("a")["gate"], serde_json::Value::Null);
}

#[test]
fn the_events_of_a_node_that_a_changed_pipe_does_not_have_are_shown() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}, {id: f, bash: exit 1}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    sandbox.pipe("nodes: [{id: a, bash: 'true'}, {id: g, bash: 'true'}]");
    assert_eq!(sandbox.omne(&["resume", "@last", "--pipe", "@current"]).code, 0);
    let events = sandbox.omne(&["events", "@last", "--node", "f"]);
    assert!(events.code == 0 && events.stdout.contains("node.failed"), "{events:?}");
}

#[test]
fn a_list_knows_the_pipe_that_a_run_went_on_with() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: a, bash: 'true'}, {id: f, bash: exit 1}, {id: b, depends_on: [f], bash: 'true'}]",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let without = "name: p\nversion: 2\nnodes: [{id: a, bash: 'true'}]";
    sandbox.file(".omne/dist/pipes/p.yaml", without);
    assert_eq!(sandbox.omne(&["resume", "@last", "--pipe", "@current"]).code, 0);
    let list = sandbox.omne(&["status", "--json"]);
    let one = &list.json()[0];
    assert_eq!((&one["state"], &one["version"]), (&"completed".into(), &2.into()), "{list:?}");
    assert_eq!(list.stderr, "");
}

#[test]
fn a_parked_run_that_was_cancelled_is_told_as_cancelled() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes:\n- {id: a, bash: 'true', gate: ok}\n- {id: b, depends_on: [a], trigger_rule: all_done, bash: 'true'}");
    sandbox.gate("ok", "exit 75");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.omne(&["cancel", "@last"]).code, 0);
    let failed = sandbox.events(&["node.failed"])[0]["seq"].clone();
    let why = |node| sandbox.omne(&["why", "@last", node, "--json"]).json()["causes"][0].clone();
    assert_eq!(why("a")["seq"], failed);
    let because = why("b")["because"][0].to_string();
    assert!(because.contains("aborted (cancelled by tester"), "{because}");
    let trace = sandbox.omne(&["export", "@last", "--format", "chrome-trace"]).stdout;
    for told in [r#""state":"aborted""#, r#""outcome":"failed""#] {
        assert!(trace.contains(told), "{told} in {trace}");
    }
}

#[test]
fn why_looks_behind_what_completed_before() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes:\n- {id: login, always: true, bash: '! test -e bad'}\n- {id: k, depends_on: [login], bash: 'true'}\n- {id: d, depends_on: [k], bash: test -e good}");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    sandbox.file("bad", "");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    let why = sandbox.omne(&["why", "@last", "d", "--json"]).json();
    assert_eq!(why["causes"][0]["from"], serde_json::json!(["login"]), "{why}");
    assert_eq!(why["causes"][1]["state"], "failed");
}

#[test]
fn a_list_tells_how_long_runs_of_older_logs_took() {
    let sandbox = Sandbox::new();
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/logs/omne-cli-0.2.jsonl");
    let text = std::fs::read_to_string(log).unwrap();
    sandbox.file(".omne/var/runs/feature-01kp7zq0a00000000000000000/events.jsonl", text);
    let list = sandbox.omne(&["status", "--json"]).json();
    let one = sandbox.omne(&["status", "@last", "--json"]).json();
    assert_eq!((&list[0]["duration_ms"], &one["duration_ms"]), (&8000.into(), &8000.into()), "{list}");
}

#[test]
fn every_reader_says_that_it_passes_over_a_torn_line() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: echo a}]").file("damaged-on-purpose", "");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let log = sandbox.log();
    let whole = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{whole}{{\"seq\":")).unwrap();
    for args in [
        &["status"][..],
        &["status", "@last"],
        &["events", "@last"],
        &["logs", "@last"],
        &["why", "@last", "a"],
        &["graph", "@last"],
        &["diff", "@last", "@last"],
        &["replay", "@last"],
        &["export", "@last", "--format", "junit"],
        &["bundle", "@last", "-o", "b.omne"],
    ] {
        let read = sandbox.omne(args);
        assert!(read.code == 0 && read.stderr.contains("a torn line of 7 bytes"), "{args:?}: {read:?}");
    }
}

#[test]
fn a_bundle_of_a_log_alone_is_no_bundle_with_captures_missing() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: echo a}]");
    let run = sandbox.omne(&["run", "p"]);
    std::fs::remove_dir_all(sandbox.path(&format!(".omne/var/runs/{}/nodes", run.run_id()))).unwrap();
    assert_eq!(sandbox.omne(&["bundle", "@last", "-o", "b.omne"]).code, 0);
    let verify = sandbox.omne(&["verify", "b.omne"]);
    assert_eq!(verify.code, 0, "{verify:?}");
}

#[test]
fn a_log_that_breaks_a_rule_is_not_bundled_and_not_blamed_on_patterns() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: echo a}]").file("damaged-on-purpose", "");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let log = sandbox.log();
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("node.completed", "node.concluded")).unwrap();
    let bundle = sandbox.omne(&["bundle", "@last", "-o", "b.omne"]);
    assert!(bundle.code == 5 && bundle.stderr.contains("the log is damaged"), "{bundle:?}");
}

#[test]
fn a_pattern_of_types_knows_two_signs() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: echo a}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let events = |glob: &str| sandbox.omne(&["events", "@last", "--type", glob]);
    assert_eq!(events("node.?????ed").stdout.lines().count(), 2);
    assert_eq!(events("node.[sc]*").code, 2);
    assert_eq!(events("{node,pipe}.*").code, 2);
    sandbox.file("empty.jsonl", "");
    assert_eq!(sandbox.omne(&["events", "empty.jsonl"]).code, 5);
}
