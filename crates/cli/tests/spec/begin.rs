//! Whether a run may begin: hooks that are asked before it, and people after them.

use crate::{hooks::hooked, sandbox::Sandbox};

#[test]
fn a_run_that_a_hook_refuses_starts_nothing() {
    let sandbox = hooked("pre_run", r#"echo '{"action":"deny","reason":"closed"}'"#, "");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a pending, b pending");
    assert!(
        sandbox.omne(&["status", "@last", "--json"]).json()["reason"]
            .as_str()
            .unwrap()
            .contains("denied by a hook (403): closed")
    );
}

/// A volume whose hook asks whether runs may begin.
fn asks_first() -> Sandbox {
    hooked("pre_run", r#"echo x >> asks; echo '{"action":"ask_user","prompt":"begin?"}'"#, "")
}

#[test]
fn a_run_that_a_hook_refused_is_asked_about_again() {
    let sandbox = hooked("pre_run", r#"echo '{"action":"deny","reason":"closed"}'"#, "");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert!(!sandbox.path("ran").exists());
}

#[test]
fn a_hook_may_ask_whether_a_run_may_begin() {
    let sandbox = asks_first();
    sandbox.pipe("nodes: [{id: a, bash: 'echo ran >> ran'}, {id: b, bash: 'echo ran >> ran'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.states(), "parked: a waiting, b pending");
    assert_eq!(sandbox.node("a")["gate"]["prompt"], "begin?");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 6, "nothing begins before an answer");
    assert!(!sandbox.path("ran").exists());
    assert_eq!(sandbox.omne(&["approve", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!((sandbox.read("ran"), sandbox.read("asks")), ("ran\nran\n".into(), "x\n".into()));
    assert_eq!(sandbox.omne(&["verify", "@last"]).code, 0);
}

#[test]
fn a_run_that_people_reject_starts_nothing_and_is_asked_about_again() {
    let sandbox = asks_first();
    sandbox.omne(&["run", "p"]);
    assert_eq!(sandbox.omne(&["reject", "@last", "--comment", "not now"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(denied), b blocked");
    let status = sandbox.omne(&["status", "@last", "--json"]).json();
    assert!(status["reason"].as_str().unwrap().starts_with("rejected by tester: not now"), "{status}");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 6);
    assert!(!sandbox.path("ran").exists());
}

#[test]
fn that_a_run_may_begin_is_no_answer_for_its_nodes() {
    let sandbox = asks_first();
    let hooks =
        "[[hook]]\nevent = 'pre_run'\ncommand = './hook.sh'\n[[rule]]\nprogram = 'sh'\neffect = 'deny'\n";
    sandbox.file(".omne/hooks.toml", hooks);
    sandbox.omne(&["run", "p"]);
    sandbox.omne(&["approve", "@last"]);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(denied), b blocked");
}

#[test]
fn a_node_that_fails_before_it_starts_is_not_asked_about() {
    let sandbox = asks_first();
    sandbox
        .file(".omne/omne.toml", "durability = 'none'\n")
        .pipe("nodes: [{id: a, prompt: \"{{ 'x' | int }}\"}, {id: b, bash: 'true'}, {id: c, depends_on: [a], trigger_rule: all_done, bash: 'true'}]")
        .agent("a", "init");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.states(), "parked: a failed(spawn_failed), b waiting, c pending");
    sandbox.omne(&["approve", "@last"]);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(spawn_failed), b completed, c completed");
}

#[test]
fn what_follows_a_node_that_fails_before_it_starts_is_asked_about() {
    let sandbox = asks_first();
    sandbox
        .pipe("nodes: [{id: a, prompt: \"{{ 'x' | int }}\"}, {id: b, depends_on: [a], trigger_rule: all_done, bash: 'true'}]")
        .agent("a", "init");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.states(), "parked: a failed(spawn_failed), b waiting");
}

#[test]
fn a_hook_for_all_nodes_of_a_pipe_is_asked_about_its_runs() {
    let sandbox = hooked("pre_run", r#"echo '{"action":"deny","reason":"closed"}'"#, "namespace = 'p/*'");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert!(!sandbox.path("ran").exists());
}

#[test]
fn a_daemon_that_answers_another_request_has_not_answered() {
    let sandbox = hooked(
        "pre_node",
        r#"while read -r line; do echo '{"id":"01m824rxdgyqbx3sndwh978c3g","action":"allow"}'; done"#,
        "mode = 'daemon'\nfail_mode = 'closed'",
    );
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(sandbox.node("a")["error"]["message"].to_string().contains("answered another request"));
}
