//! `claude` from npm.

use std::{path::Path, process::Stdio};

use serde_json::json;

use crate::world::World;

#[test]
fn a_loop_goes_on_in_its_session_to_its_sentinel() {
    let replies = json!([
        { "match": "round 2", "blocks": ["Now it is.\nALL_DONE"] },
        { "match": "round 1", "blocks": ["ALL_DONE is what I will say", "not yet"] },
    ]);
    let Some(world) = World::with_claude(&replies) else { return };
    world.pipe("nodes: [{id: a, loop: {prompt: 'round {{ iteration }}', until: ALL_DONE}}]");
    assert_eq!(world.code(&["run", "p"]), 0);
    let rounds = world.events("iteration.completed");
    assert_eq!(
        (rounds[0]["outcome"].as_str(), rounds[1]["outcome"].as_str()),
        (Some("continue"), Some("until"))
    );
    assert!(rounds[0]["usage"]["cost_usd"].as_f64().unwrap() > 0.0);
    let sessions = world.events("agent.started");
    assert_eq!(sessions[0]["session_id"], sessions[1]["session_id"]);
    assert_eq!(sessions[0]["session_id"], world.events("iteration.started")[0]["session_id"]);
    // The second request had the first one in its history.
    let log = std::fs::read_to_string(world.path("api.log")).unwrap();
    let last = log.lines().rfind(|line| line.contains("round 2")).unwrap();
    assert!(last.contains("round 1") && last.contains("not yet"));
    assert_eq!(
        world.capture("a"),
        "=== omne:iteration:1 ===\nALL_DONE is what I will say\nnot yet\n=== omne:iteration:2 ===\nNow it is.\nALL_DONE\n"
    );
}

#[test]
fn a_tool_that_is_allowed_runs_and_one_that_is_not_is_told_of() {
    let call = |command: &str| json!({ "type": "tool_use", "name": "Bash", "input": { "command": command, "description": "d" } });
    let replies = json!([
        { "match": "with tools", "blocks": ["I look.", call("echo seen > allowed.txt")] },
        { "match": "with tools", "blocks": ["done"] },
        { "match": "without", "blocks": [call("echo seen > denied.txt")] },
        { "match": "without", "blocks": ["done"] },
    ]);
    let Some(world) = World::with_claude(&replies) else { return };
    world.pipe("nodes: [{id: a, prompt: go with tools, allowed_tools: [Bash]}, {id: b, prompt: go without, depends_on: [a]}]");
    assert_eq!(world.code(&["run", "p"]), 0);
    assert!(world.path("allowed.txt").exists() && !world.path("denied.txt").exists());
    let tools = world.events("agent.tool");
    assert_eq!(
        (tools[0]["tool"].as_str(), tools[0]["summary"].as_str()),
        (Some("Bash"), Some("echo seen > allowed.txt"))
    );
    let completed = world.events("node.completed");
    assert_eq!(completed[0]["denied_tools"], json!(null));
    assert_eq!(completed[1]["denied_tools"], json!(["Bash"]));
}

#[test]
fn an_error_of_the_api_has_its_class_and_one_that_may_pass_is_tried_again() {
    let replies = json!([
        { "match": "question-one", "status": 429 },
        { "match": "question-one", "blocks": ["at last"] },
        { "match": "question-two", "status": 401 },
    ]);
    let Some(world) = World::with_claude(&replies) else { return };
    world.pipe("nodes: [{id: a, prompt: question-one, retry: {max: 1}}, {id: b, prompt: question-two, retry: {max: 1}}]");
    assert_eq!(world.code(&["run", "p"]), 1);
    let failed = world.events("node.failed");
    let class = |node: &str| {
        let mut of_node = failed.iter().filter(|event| event["node_id"] == node);
        let event = of_node.next().unwrap();
        assert!(of_node.next().is_none(), "{node} failed once");
        (event["error"]["class"].as_str().unwrap().to_owned(), event["retry_in_ms"].is_number())
    };
    assert_eq!(class("a"), ("rate_limit".to_owned(), true));
    assert_eq!(class("b"), ("authentication_failed".to_owned(), false));
}

#[test]
fn a_timeout_leaves_no_tool_process_behind() {
    let command = "echo $$ > tool.pid.new; mv tool.pid.new tool.pid; exec sleep 987";
    let call =
        json!({ "type": "tool_use", "name": "Bash", "input": { "command": command, "description": "d" } });
    let Some(world) = World::with_claude(&json!([{ "blocks": [call] }])) else { return };
    // The time has to be enough for the tool to be running, and is checked by that.
    world.pipe("nodes: [{id: a, prompt: go, allowed_tools: [Bash], timeout: 8s}]");
    assert_eq!(world.code(&["run", "p"]), 1);
    assert_eq!(world.events("node.failed")[0]["error"]["kind"], "timeout");
    let pid = std::fs::read_to_string(world.path("tool.pid")).unwrap();
    let lives = Path::new("/proc").join(pid.trim()).join("cmdline");
    let command = std::fs::read_to_string(lives).unwrap_or_default();
    assert!(!command.contains("987"), "its tool is left: {command:?}");
    // It was interrupted, so that it could say what it used.
    assert!(world.events("node.failed")[0]["usage"]["turns"].is_number());
}

#[test]
fn a_feature_is_killed_half_way_resumed_and_played_to_the_same_snapshot() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/feature");
    let replies = std::fs::read_to_string(fixture.join("replies.json")).unwrap();
    let Some(world) = World::with_claude(&serde_json::from_str(&replies).unwrap()) else { return };
    world.copy(&fixture);
    let mut run = world
        .command(&["run", "feature", "-i", "feature=a greeting"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The second round of the loop waits for an answer that never comes.
    let asked = || std::fs::read_to_string(world.path("api.log")).unwrap_or_default();
    world.wait_for(|| asked().contains("\"reply\": 3"));
    run.kill().unwrap();
    run.wait().unwrap();

    assert_eq!(world.code(&["resume", "@last"]), 1, "one of the reviews fails");
    let ended = |kind: &str| -> Vec<String> {
        let mut nodes: Vec<String> =
            world.events(kind).iter().map(|event| event["node_id"].as_str().unwrap().to_owned()).collect();
        nodes.sort();
        nodes
    };
    assert_eq!(ended("node.completed"), ["check", "fix", "implement", "plan", "review-code", "synthesis"]);
    assert_eq!(ended("node.failed"), ["review-risk"]);
    assert_eq!(ended("gate.passed"), ["synthesis"]);
    let rounds: Vec<(u64, u64)> = world
        .events("iteration.started")
        .iter()
        .map(|event| (event["attempt"].as_u64().unwrap(), event["iteration"].as_u64().unwrap()))
        .collect();
    assert_eq!(rounds, [(1, 1), (1, 2), (2, 2)]);

    // Once played, always the same; and the same as what a case of it gives.
    assert_eq!(world.code(&["test", "--record", "@last", "--name", "killed"]), 0);
    assert_eq!(world.code(&["test"]), 0);
    let snapshot = std::fs::read_to_string(world.path(".omne/tests/killed/snapshot.txt")).unwrap();
    let real = world.stdout(&["replay", "@last", "--format", "snapshot"]);
    // Node by node it is what the real run came to, but for its second attempt at the loop.
    let of = |text: &str, node: &str| {
        let part = text.split("\n\n").find(|part| part.starts_with(node)).unwrap();
        part.to_owned()
    };
    for node in
        ["command plan", "command implement", "bash check", "command review-code", "command synthesis"]
    {
        assert_eq!(of(&snapshot, node), of(&real, node));
    }
    assert!(of(&snapshot, "loop fix").contains("iteration.completed #1 2 until"));
}

#[test]
fn hooks_see_an_agents_own_tool_calls_and_their_no_reaches_it() {
    let call = |command: &str| json!({ "type": "tool_use", "name": "Bash", "input": { "command": command, "description": "d" } });
    let replies = json!([
        { "match": "go now", "blocks": [call("echo yes > allowed.txt")] },
        { "match": "go now", "blocks": [call("echo no > forbidden.txt")] },
        { "match": "go now", "blocks": [call("echo old > changed.txt")] },
        { "match": "go now", "blocks": ["done"] },
    ]);
    let Some(world) = World::with_claude(&replies) else { return };
    world.pipe("nodes: [{id: a, prompt: go now, allowed_tools: [Bash]}]");
    world.file(
        "hook.py",
        r#"#!/usr/bin/env python3
import json, sys
request = json.load(sys.stdin)
with open("asked", "a") as f:
    print(request["event"], request["payload"]["tool"], request["payload"].get("result", ""), file=f)
command = request["payload"]["input"].get("command", "")
if request["event"] == "pre_tool" and "forbidden" in command:
    print(json.dumps({"action": "deny", "reason": "that file is not yours"}))
elif request["event"] == "pre_tool" and "old" in command:
    changed = dict(request["payload"]["input"], command=command.replace("old", "new"))
    print(json.dumps({"action": "modify", "delta": {"input": changed}}))
"#,
    );
    world.executable("hook.py");
    let block = |event: &str| format!("[[hook]]\nevent = '{event}'\ncommand = './hook.py'\n");
    world.file(".omne/hooks.toml", &(block("pre_tool") + &block("post_tool")));
    assert_eq!(world.code(&["run", "p"]), 0);
    assert!(world.path("allowed.txt").exists() && !world.path("forbidden.txt").exists());
    assert_eq!(std::fs::read_to_string(world.path("changed.txt")).unwrap(), "new\n");
    let decisions: Vec<String> = world
        .events("hook.decided")
        .iter()
        .filter(|event| event["event"] == "pre_tool")
        .map(|event| event["decision"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(decisions, ["allow", "deny", "modify"]);
    let asked = std::fs::read_to_string(world.path("asked")).unwrap();
    assert!(asked.contains("post_tool Bash"), "{asked}");
    // The agent was told why.
    let log = std::fs::read_to_string(world.path("api.log")).unwrap();
    assert!(log.contains("that file is not yours"));
}
