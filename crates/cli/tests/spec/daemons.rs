//! Hooks that stay, and those that look on.

use super::hooks::{decisions, hooked};

#[test]
fn what_a_daemon_printed_as_errors_is_told_though_all_went_well() {
    let script = r#"echo 'KEY=hunter2 is read' >&2; while read -r line; do echo '{}'; done"#;
    let sandbox = hooked("pre_node", script, "mode = 'daemon'");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let told = std::fs::read_to_string(sandbox.log().with_file_name("hooks.log")).unwrap();
    assert_eq!(told, "── ./hook.sh\nKEY=***\n");
}

#[test]
fn a_daemon_is_one_process_for_all_nodes_and_ends_with_the_run() {
    let script = r#"echo $$ >> pids; while read -r line; do echo '{}'; done"#;
    let sandbox = hooked("pre_node", script, "mode = 'daemon'");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let pids = sandbox.read("pids");
    assert_eq!(pids.lines().count(), 1);
    let pid = rustix::process::Pid::from_raw(pids.trim().parse().unwrap()).unwrap();
    assert!(rustix::process::test_kill_process(pid).is_err(), "it is left");
    assert_eq!(decisions(&sandbox), ["pre_node allow", "pre_node allow"]);
}

#[test]
fn a_daemon_that_says_nonsense_or_ends_is_started_anew() {
    let script = r#"echo x >> starts; read -r line; case $(wc -l < starts) in 1) echo nonsense;; 2) exit 3;; *) echo '{}';; esac; read -r line; echo '{}'"#;
    let sandbox = hooked("pre_node", script, "mode = 'daemon'");
    sandbox.pipe("jobs: 1\nnodes: [{id: a, bash: 'true'}, {id: b, bash: 'true'}, {id: c, bash: 'true'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(decisions(&sandbox), ["pre_node error", "pre_node error", "pre_node allow"]);
}

#[test]
fn a_late_reply_of_a_daemon_never_answers_the_next_question() {
    let script = r#"n=$(wc -l < starts 2>/dev/null || echo 0); echo x >> starts; while read -r line; do if [ "$n" = 0 ]; then n=1; sleep 0.6; echo '{"action":"deny","reason":"too late"}'; else echo '{}'; fi; done"#;
    let sandbox = hooked("pre_node", script, "mode = 'daemon'\ntimeout_ms = 300");
    sandbox.pipe("nodes: [{id: a, bash: sleep 0.5}, {id: b, depends_on: [a], bash: 'true'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(decisions(&sandbox), ["pre_node error", "pre_node allow"]);
}

#[test]
fn a_daemon_that_never_reads_holds_nothing_up() {
    let sandbox = hooked("pre_node", "exec sleep 100", "mode = 'daemon'\ntimeout_ms = 300");
    sandbox.file(".omne/dist/cmds/long.md", "x".repeat(1_000_000));
    sandbox.pipe("nodes: [{id: a, command: long}]").agent("a", "init\nsay x\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(decisions(&sandbox), ["pre_node error"]);
}

#[test]
fn who_waits_until_a_daemon_has_answered_others_is_not_late() {
    let script = "while read -r line; do sleep 0.4; echo '{}'; done";
    let sandbox = hooked("pre_node", script, "mode = 'daemon'\nfail_mode = 'closed'\ntimeout_ms = 1000");
    sandbox.pipe("jobs: 4\nnodes: [{id: a, bash: 'true'}, {id: b, bash: 'true'}, {id: c, bash: 'true'}, {id: d, bash: 'true'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(decisions(&sandbox), ["pre_node allow"; 4]);
}

#[test]
fn the_end_of_a_run_is_told_after_the_ends_of_its_nodes() {
    let sandbox = hooked("post_node", "sleep 0.2", "");
    let hooks = sandbox.read(".omne/hooks.toml");
    sandbox.executable("quick.sh", "#!/bin/sh\n");
    sandbox.file(".omne/hooks.toml", hooks + "[[hook]]\nevent = 'post_run'\ncommand = './quick.sh'\n");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(decisions(&sandbox), ["post_node allow", "post_node allow", "post_run allow"]);
}

#[test]
fn a_slow_daemon_that_looks_on_holds_no_run_up() {
    let script = "while read -r line; do echo \"$line\" >> seen; sleep 0.01; echo '{}'; done";
    let sandbox = hooked("on_event", script, "mode = 'daemon'");
    let nodes: String = (0..100).map(|n| format!("- {{id: n{n}, bash: 'true'}}\n")).collect();
    sandbox.pipe(&format!("nodes:\n{nodes}"));
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    // Had each observation waited for those before it, all of them would have been made.
    let all = std::fs::read_to_string(sandbox.log()).unwrap().lines().count();
    let seen = sandbox.read("seen").lines().count();
    assert!((1..all).contains(&seen), "{seen} of {all}");
}
