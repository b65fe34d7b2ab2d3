//! Loops on an agent that does as it is told.

use rustix::process::Signal;

use crate::{
    agents::{has_arg, looped},
    sandbox::Sandbox,
};

#[test]
fn a_loop_goes_on_in_one_session_until_its_word() {
    let sandbox = looped(
        "",
        "init\nsay not yet\nresult\n---\ninit\nsay almost DONE\nresult\n---\ninit\nsay DONE\nresult",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let text = sandbox.capture("a");
    assert_eq!(
        text,
        "=== omne:iteration:1 ===\nnot yet\n=== omne:iteration:2 ===\nalmost DONE\n=== omne:iteration:3 ===\nDONE\n"
    );
    for event in sandbox.events(&["iteration.started"]) {
        let at = usize::try_from(event["byte_offset"].as_u64().unwrap()).unwrap();
        let mark = format!("=== omne:iteration:{} ===\n", event["iteration"]);
        assert!(text[..at].ends_with(&mark));
    }
    let outcomes: Vec<String> =
        sandbox.events(&["iteration.completed"]).iter().map(|e| e["outcome"].to_string()).collect();
    assert_eq!(outcomes, ["\"continue\"", "\"continue\"", "\"until\""]);
    let calls = sandbox.calls("a");
    let session = sandbox.events(&["iteration.started"])[0]["session_id"].as_str().unwrap().to_owned();
    assert!(has_arg(&calls[0], ["--session-id", &session]));
    assert!(has_arg(&calls[1], ["--resume", &session]) && has_arg(&calls[2], ["--resume", &session]));
    assert_eq!((&calls[1]["prompt"], &calls[1]["iteration"]), (&"round 2".into(), &"2".into()));
    assert_eq!(sandbox.omne(&["logs", "@last", "a", "--iteration", "2"]).stdout, "almost DONE\n");
    assert_eq!(sandbox.node("a")["iteration"], 3);
}

#[test]
fn a_loop_with_fresh_context_begins_a_session_each_time() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, loop: {prompt: x, until: DONE, fresh_context: true}}]")
        .agent("a", "init\nsay no\nresult\n---\ninit\nsay DONE\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let started = sandbox.events(&["iteration.started"]);
    assert_ne!(started[0]["session_id"], started[1]["session_id"]);
    assert!(sandbox.calls("a")[1]["args"].as_array().unwrap().contains(&"--session-id".into()));
}

#[test]
fn a_loop_that_never_says_its_word_fails_after_its_rounds() {
    let sandbox = looped("", "init\nsay no\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(max_iterations_exceeded)");
    let cost = sandbox.node("a")["usage"]["cost_usd"].as_f64().unwrap();
    assert!((cost - 0.03).abs() < 1e-9, "{cost}");
}

#[test]
fn a_session_that_is_not_known_any_more_is_begun_anew_and_that_is_said() {
    let sandbox =
        looped("", "init\nsay no\nresult\n---\nresult unknown_session\nexit 1\n---\ninit\nsay DONE\nresult");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("does not know the session of `a` any more"), "{run:?}");
    let started = sandbox.events(&["iteration.started"]);
    let numbers: Vec<u64> = started.iter().map(|e| e["iteration"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 2]);
    assert_eq!(started[0]["session_id"], started[1]["session_id"]);
    assert_ne!(started[1]["session_id"], started[2]["session_id"]);
}

#[test]
fn a_killed_loop_goes_on_at_its_next_round_in_its_session() {
    let sandbox =
        looped("", "init\nsay no\nresult\n---\ninit\nsay half\ntouch here\nhang\n---\ninit\nsay DONE\nhang");
    let mut child = sandbox.start(&["run", "p"], "here");
    sandbox.signal(&child, Signal::KILL);
    child.wait().unwrap();
    let plan = sandbox.omne(&["resume", "@last", "--dry-run"]).stdout;
    assert!(plan.contains("its loop was cut off; it goes on with iteration 2"), "{plan}");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    let started = sandbox.events(&["iteration.started"]);
    let rounds: Vec<_> =
        started.iter().map(|e| (e["attempt"].to_string(), e["iteration"].to_string())).collect();
    let expected = [("1", "1"), ("1", "2"), ("2", "2")].map(|(a, i)| (a.to_owned(), i.to_owned()));
    assert_eq!(rounds, expected);
    let session = started[0]["session_id"].as_str().unwrap();
    assert!(has_arg(&sandbox.calls("a")[2], ["--resume", session]));
    assert!(sandbox.capture("a").starts_with("=== omne:iteration:1 ===\nno\n"));
    // The rounds that were stopped told of no cost; the one before them is not forgotten.
    assert_eq!(sandbox.node("a")["usage"]["cost_usd"], 0.01);
}

#[test]
fn an_interrupted_loop_goes_on_as_well() {
    let sandbox =
        looped("", "init\nsay no\nresult\n---\ninit\ntouch here\nhang\n---\ninit\nsay DONE\nresult");
    let child = sandbox.start(&["run", "p"], "here");
    sandbox.signal(&child, Signal::INT);
    let output = sandbox.finish(child.wait_with_output().unwrap());
    assert_eq!(output.code, 130);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.events(&["iteration.started"]).last().unwrap()["iteration"], 2);
}

#[test]
fn a_killed_and_resumed_run_is_played_as_if_it_had_not_been() {
    let script = "init\nsay no\nresult\n---\ninit\ntouch here\nhang\n---\ninit\nsay DONE\nresult";
    let sandbox = looped("", script);
    let mut child = sandbox.start(&["run", "p"], "here");
    sandbox.signal(&child, Signal::KILL);
    child.wait().unwrap();
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["run", "p", "--agent-replay", "@last"]).code, 0);
    let once = sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout;
    assert_eq!(sandbox.capture("a"), "=== omne:iteration:1 ===\nno\n=== omne:iteration:2 ===\nDONE\n");
    assert_eq!(sandbox.omne(&["run", "p", "--agent-replay", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout, once);
}

#[test]
fn a_loop_that_was_done_is_not_asked_again_when_only_its_gate_was_cut_off() {
    let sandbox = looped("gate: slow,", "init\noutput k=v\nsay DONE\nresult");
    sandbox.gate("slow", "touch at-gate; test -e open || sleep 60");
    let mut child = sandbox.start(&["run", "p"], "at-gate");
    sandbox.signal(&child, Signal::KILL);
    child.wait().unwrap();
    let plan = sandbox.omne(&["resume", "@last", "--dry-run"]).stdout;
    assert!(plan.contains("its loop was cut off; what comes after it is looked at again"), "{plan}");
    sandbox.file("open", "");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.calls("a").len(), 1);
    assert_eq!(sandbox.capture("a"), "=== omne:iteration:1 ===\nDONE\n");
    assert_eq!(sandbox.events(&["gate.passed"]).len(), 1);
    assert_eq!(
        sandbox.events(&["node.completed"])[0]["outputs"]["k"],
        "v",
        "what it had written is not lost"
    );
}

#[test]
fn a_loop_that_was_to_go_on_still_does_after_a_second_death() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("jobs: 1\nnodes:\n- {id: f, always: true, bash: 'touch f; test ! -e block || sleep 60'}\n- {id: a, loop: {prompt: x, until: DONE}}")
        .agent("a", "init\nsay no\nresult\n---\ninit\ntouch here\nhang\n---\ninit\nsay DONE\nresult");
    let mut child = sandbox.start(&["run", "p"], "here");
    sandbox.signal(&child, Signal::KILL);
    child.wait().unwrap();
    std::fs::remove_file(sandbox.path("f")).unwrap();
    sandbox.file("block", "");
    let mut child = sandbox.start(&["resume", "@last"], "f");
    sandbox.signal(&child, Signal::KILL);
    child.wait().unwrap();
    std::fs::remove_file(sandbox.path("block")).unwrap();
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.events(&["iteration.started"]).last().unwrap()["iteration"], 2);
}

#[test]
fn what_earlier_rounds_gave_is_kept_when_a_loop_goes_on() {
    let sandbox = looped(
        "",
        "init\noutput k=v\nsay no\nresult\n---\ninit\ntouch here\nhang\n---\ninit\nsay DONE\nresult",
    );
    let child = sandbox.start(&["run", "p"], "here");
    sandbox.signal(&child, Signal::INT);
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 130);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.node("a")["outputs"]["k"], "v");
}

#[test]
fn the_rounds_of_an_attempt_before_are_not_those_of_the_capture() {
    let sandbox = looped(
        "retry: {max: 1},",
        "init\nsay a long first text\nresult\n---\ninit\nresult server_error\nexit 1\n---\ninit\nsay b\nresult\n---\ninit\nsay DONE\nresult",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.omne(&["logs", "@last", "a", "--iteration", "1"]).stdout, "b\n");
}
