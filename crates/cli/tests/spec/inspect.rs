use crate::sandbox::{Sandbox, with_filters};

fn done() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.pipe("inputs: {who: {default: you}}\nnodes:\n- {id: a, bash: 'echo one; echo two; echo err >&2; echo k=v >> \"$OMNE_OUTPUT\"'}\n- {id: b, depends_on: [a], bash: echo three}");
    assert_eq!(sandbox.omne(&["run", "p", "-q"]).code, 0);
    sandbox
}

#[test]
fn status_shows_a_run_and_the_list_of_runs() {
    let sandbox = done();
    with_filters(|| {
        insta::assert_snapshot!("one", sandbox.omne(&["status", "@last"]).picture());
        insta::assert_snapshot!("list", sandbox.omne(&["status"]).picture());
    });
    let list = sandbox.omne(&["status", "--json"]).json();
    assert_eq!(list[0]["state"], "completed");
    assert!(list[0].get("nodes").is_none());
    assert_eq!(sandbox.omne(&["status", "--failed"]).stdout, "no runs\n");
    assert_eq!(sandbox.omne(&["status", "--pipe", "other"]).stdout, "no runs\n");
}

#[test]
fn status_and_replay_give_the_same_object() {
    let sandbox = done();
    let mut status = sandbox.omne(&["status", "@last", "--json"]).json();
    let alive = status.as_object_mut().unwrap().remove("alive");
    assert_eq!(alive, Some(false.into()));
    assert_eq!(status, sandbox.omne(&["replay", "@last", "--format", "json"]).json());
    assert_eq!(status["nodes"][0]["outputs"]["k"], "v");
    assert_eq!(status["inputs"]["who"], "you");
}

#[test]
fn nothing_but_the_log_is_needed() {
    let sandbox = done();
    let log = sandbox.log();
    let before = sandbox.omne(&["status", "@last", "--json"]).stdout;
    std::fs::remove_dir_all(log.parent().unwrap().join("nodes")).unwrap();
    std::fs::remove_dir_all(sandbox.path(".omne/dist")).unwrap();
    assert_eq!(sandbox.omne(&["status", "@last", "--json"]).stdout, before);
    for args in [&["replay", "@last"][..], &["verify", "@last"], &["graph", "@last"], &["events", "@last"]] {
        assert_eq!(sandbox.omne(args).code, 0, "{args:?}");
    }
}

#[test]
fn replay_shows_the_state_after_any_event() {
    let sandbox = done();
    let state = |at: &str| {
        sandbox.omne(&["replay", "@last", "--at", at, "--format", "json"]).json()["nodes"][0]["state"].clone()
    };
    assert_eq!(state("1"), "pending");
    assert_eq!(state("2"), "running");
    assert_eq!(state("4"), "completed");
    assert_eq!(sandbox.omne(&["replay", "@last", "--at", "99"]).code, 2);
}

#[test]
fn a_snapshot_is_the_same_in_every_run_and_place() {
    let (one, two) = (done(), done());
    let snapshot = |sandbox: &Sandbox| sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout;
    assert_eq!(snapshot(&one), snapshot(&two));
    insta::assert_snapshot!(snapshot(&one));
}

#[test]
fn a_snapshot_does_not_tell_who_approved_and_when_hooks_looked_on() {
    let snapshot = |user: &str, naps: [&str; 2]| {
        let sandbox = Sandbox::new();
        sandbox.pipe("nodes: [{id: a, bash: 'true', gate: ok}, {id: b, depends_on: [a], bash: 'true'}]");
        sandbox.gate("ok", "exit 75");
        let mut hooks = String::new();
        for (event, nap) in ["post_gate", "post_node"].into_iter().zip(naps) {
            sandbox.executable(&format!("{event}.sh"), format!("#!/bin/sh\nsleep {nap}\n"));
            hooks += &format!("[[hook]]\nevent = '{event}'\ncommand = './{event}.sh'\n");
        }
        sandbox.file(".omne/hooks.toml", hooks);
        let by =
            |args: &[&str]| sandbox.command(args).env("USER", user).env("LOGNAME", user).output().unwrap();
        for args in [&["run", "p"][..], &["approve", "@last"], &["resume", "@last"]] {
            by(args);
        }
        assert_eq!(sandbox.states(), "completed: a completed, b completed");
        let snapshot = sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout;
        assert!(snapshot.contains("continue a: it was approved\n"), "{snapshot}");
        snapshot
    };
    assert_eq!(snapshot("ann", ["0.2", "0"]), snapshot("zoe", ["0", "0.2"]));
}

#[test]
fn replay_reads_standard_input_and_files() {
    let sandbox = done();
    let log = std::fs::File::open(sandbox.log()).unwrap();
    let output = sandbox.command(&["replay", "-", "--format", "json"]).stdin(log).output().unwrap();
    assert_eq!(sandbox.finish(output).json()["state"], "completed");
    assert_eq!(sandbox.omne(&["replay", sandbox.log().to_str().unwrap()]).code, 0);
}

#[test]
fn logs_show_captures_whole_in_part_and_from_stderr() {
    let sandbox = done();
    assert_eq!(sandbox.omne(&["logs", "@last"]).stdout, "==> a <==\none\ntwo\n\n==> b <==\nthree\n");
    assert_eq!(sandbox.omne(&["logs", "@last", "a", "--tail", "1"]).stdout, "two\n");
    assert_eq!(sandbox.omne(&["logs", "@last", "a", "--stderr"]).stdout, "err\n");
    assert_eq!(sandbox.omne(&["logs", "@last", "nobody"]).code, 3);
}

#[test]
fn logs_follow_a_run_to_its_end() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: n, bash: 'echo first; touch up; while ! test -e go; do sleep 0.01; done; echo last'}]",
    );
    let run = sandbox.start(&["run", "p", "-q"], "up");
    let follow =
        sandbox.command(&["logs", "@last", "n", "-f"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    sandbox.file("go", "");
    run.wait_with_output().unwrap();
    assert_eq!(sandbox.finish(follow.wait_with_output().unwrap()).stdout, "first\nlast\n");
}

#[test]
fn events_are_filtered_by_type_and_node() {
    let sandbox = done();
    let events = sandbox.omne(&["events", "@last", "--type", "node.*", "--node", "b", "--json"]).stdout;
    let types: Vec<String> = events
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(types, ["node.started", "node.spawned", "node.completed"]);
}

#[test]
fn graphs_are_drawn_of_pipes_and_runs() {
    let sandbox = done();
    insta::assert_snapshot!("text", sandbox.omne(&["graph", "p"]).stdout);
    insta::assert_snapshot!("mermaid", sandbox.omne(&["graph", "@last", "--format", "mermaid"]).stdout);
    insta::assert_snapshot!("dot", sandbox.omne(&["graph", "p", "--format", "dot"]).stdout);
}

#[test]
fn clean_removes_what_is_old_enough() {
    let sandbox = done();
    assert_eq!(sandbox.omne(&["clean"]).stdout, "nothing to remove\n");
    assert!(
        sandbox.omne(&["clean", "--older-than", "0s", "--dry-run"]).stdout.starts_with("would remove p-")
    );
    assert!(sandbox.omne(&["clean", "--older-than", "0s"]).stdout.starts_with("removed p-"));
    assert_eq!(sandbox.omne(&["status"]).stdout, "no runs\n");
    assert_eq!(sandbox.omne(&["clean", "--older-than", "soon"]).code, 2);
}

#[test]
fn colours_are_for_terminals_or_on_request() {
    let sandbox = done();
    assert!(!sandbox.omne(&["status", "@last"]).stdout.contains('\x1b'));
    assert!(sandbox.omne(&["--color", "always", "status", "@last"]).stdout.contains("\x1b["));
}
