//! Hooks and rules.

use rustix::process::Signal;

use crate::sandbox::Sandbox;

/// A volume with one node and a hook in shell.
pub(crate) fn hooked(event: &str, script: &str, rest: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, bash: 'echo ran >> ran; echo $K'}, {id: b, depends_on: [a], bash: 'true'}]");
    hook(&sandbox, event, script, rest);
    sandbox
}

pub(crate) fn hook(sandbox: &Sandbox, event: &str, script: &str, rest: &str) {
    sandbox.executable("hook.sh", format!("#!/bin/sh\n{script}\n"));
    sandbox.file(".omne/hooks.toml", format!("[[hook]]\nevent = '{event}'\ncommand = './hook.sh'\n{rest}\n"));
}

pub(crate) fn decisions(sandbox: &Sandbox) -> Vec<String> {
    let decided = sandbox.events(&["hook.decided"]);
    decided
        .iter()
        .map(|e| format!("{} {}", e["event"].as_str().unwrap(), e["decision"].as_str().unwrap()))
        .collect()
}

#[test]
fn what_a_hook_puts_around_the_prompt_of_a_loop_is_around_that_of_each_round() {
    let looping = |prompt: &str, change: &str| {
        let script = format!(
            r#"read -r r; p=$(printf %s "$r" | sed 's/.*"prompt":"\([^"]*\)".*/\1/'); echo '{{"action":"modify","delta":{{"prompt":"'"{change}"'"}}}}'"#
        );
        let sandbox = hooked("pre_node", &script, "");
        sandbox
            .pipe(&format!(
                "nodes: [{{id: l, loop: {{prompt: '{prompt}', until: DONE, max_iterations: 2}}}}]"
            ))
            .agent("l", "init\nsay no\nresult\n---\ninit\nsay DONE\nresult");
        let run = sandbox.omne(&["run", "p"]);
        let prompts = sandbox.calls("l").iter().map(|call| call["prompt"].to_string()).collect::<Vec<_>>();
        (run.code, prompts, sandbox)
    };
    let (code, prompts, _) = looping("round {{ iteration }}", "Mind. $p Never push.");
    assert_eq!(
        (code, prompts),
        (0, vec!["\"Mind. round 1 Never push.\"".into(), "\"Mind. round 2 Never push.\"".into()])
    );
    let (code, prompts, _) = looping("go", "something else");
    assert_eq!((code, prompts), (0, vec!["\"something else\"".to_owned(); 2]));
    let (code, _, sandbox) = looping("round {{ iteration }}", "something else");
    assert_eq!(code, 1);
    let message = sandbox.node("l")["error"]["message"].to_string();
    assert!(message.contains("let it answer at pre_iteration"), "{message}");
}

#[test]
fn a_hook_that_allows_is_in_the_log_and_changes_nothing() {
    let sandbox = hooked("pre_node", "cat >> asked", "");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(decisions(&sandbox), ["pre_node allow", "pre_node allow"]);
    let first = sandbox.read("asked");
    let request: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!((&request["event"], &request["node_id"]), (&"pre_node".into(), &"a".into()));
    assert_eq!((&request["payload"]["pipe"], &request["payload"]["node"]["id"]), (&"p".into(), &"a".into()));
}

#[test]
fn a_hook_that_denies_fails_the_node_before_it_begins() {
    let sandbox = hooked("pre_node", r#"echo '{"action":"deny","reason":"not on Fridays","code":451}'"#, "");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(denied), b blocked");
    assert_eq!(sandbox.node("a")["error"]["message"], "denied by a hook (451): not on Fridays");
    assert!(!sandbox.path("ran").exists());
    assert_eq!(sandbox.events(&["node.started"]).len(), 1, "a denied node has both, a start and an end");
}

#[test]
fn a_hook_that_changes_a_node_changes_what_runs() {
    let delta = r#"{"env":{"K":"by the hook"},"timeout":1}"#;
    let sandbox = hooked(
        "pre_node",
        &format!("echo '{{\"action\":\"modify\",\"delta\":{delta}}}'"),
        "namespace = '*/a'",
    );
    sandbox.pipe("nodes: [{id: a, env: {K: own}, bash: 'echo $K; sleep 60'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.capture("a"), "by the hook\n");
    assert_eq!(sandbox.states(), "aborted: a failed(timeout)");
    assert_eq!(sandbox.events(&["hook.decided"])[0]["delta"]["env"]["K"], "by the hook");
}

#[test]
fn a_hook_may_give_an_agent_another_prompt_model_and_tools() {
    let delta = r#"{"prompt":"other","model":"big","allowed_tools":["Read"]}"#;
    let sandbox = hooked("pre_node", &format!("echo '{{\"action\":\"modify\",\"delta\":{delta}}}'"), "");
    sandbox.pipe("nodes: [{id: a, prompt: mine, model: small}]").agent("a", "init\nsay x\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let call = &sandbox.calls("a")[0];
    assert_eq!(call["prompt"], "other");
    let args = call["args"].to_string();
    assert!(args.contains("\"--model\",\"big\"") && args.contains("\"--allowed-tools\",\"Read\""), "{args}");
}

#[test]
fn a_round_may_be_changed_and_denied() {
    let script = r#"read -r r; case $r in *'"iteration":2'*) echo '{"action":"deny","reason":"one is enough"}';; *) echo '{"action":"modify","delta":{"prompt":"changed"}}';; esac"#;
    let sandbox = hooked("pre_iteration", script, "");
    sandbox.pipe("nodes: [{id: a, loop: {prompt: x, until: DONE}}]").agent("a", "init\nsay no\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(denied)");
    assert_eq!(sandbox.calls("a").len(), 1);
    assert_eq!(sandbox.calls("a")[0]["prompt"], "changed");
    assert_eq!(sandbox.node("a")["usage"]["cost_usd"], 0.01);
}

#[test]
fn an_error_of_a_hook_allows_or_denies_as_it_is_configured() {
    for (rest, state) in
        [("", "completed: a completed"), ("fail_mode = 'closed'", "aborted: a failed(denied)")]
    {
        let sandbox = hooked("pre_node", "echo oops", rest);
        sandbox.omne(&["run", "p"]);
        assert!(sandbox.states().starts_with(state), "{}", sandbox.states());
        let decided = &sandbox.events(&["hook.decided"])[0];
        assert_eq!(decided["decision"], "error");
        assert!(decided["reason"].as_str().unwrap().contains("no JSON"), "{decided}");
    }
}

#[test]
fn a_hook_that_takes_too_long_is_ended_with_its_tree() {
    let script = "sh -c 'echo $$ > pid; while :; do sleep 1; done'";
    let sandbox = hooked("pre_node", script, "timeout_ms = 300\nfail_mode = 'closed'");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert!(
        sandbox.node("a")["error"]["message"].as_str().unwrap().contains("(504)"),
        "{}",
        sandbox.node("a")
    );
    let pid: i32 = sandbox.read("pid").trim().parse().unwrap();
    assert!(rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).unwrap()).is_err());
}

#[test]
fn what_hooks_print_as_errors_is_redacted_and_reaches_no_event() {
    let sandbox = hooked("pre_node", "echo KEY=hunter2 >&2; echo 'the token is hunter3' >&2; exit 1", "");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let log = std::fs::read_to_string(sandbox.log()).unwrap();
    assert!(!log.contains("hunter"), "{log}");
    let told = std::fs::read_to_string(sandbox.log().with_file_name("hooks.log")).unwrap();
    assert!(told.contains("KEY=***") && !told.contains("hunter"), "{told}");
}

#[test]
fn hostile_hooks_break_nothing() {
    for script in [
        "head -c 100000000 /dev/zero >&2; echo '{}'",
        "head -c 100000000 /dev/zero | tr '\\0' x",
        "exec 0<&-; echo '{}'",
        "printenv >&2; exit 1",
        "echo '{}'; sleep 100 &",
    ] {
        let sandbox = hooked("pre_node", script, "");
        assert_eq!(sandbox.omne(&["run", "p"]).code, 0, "{script}");
    }
}

#[test]
fn a_question_of_a_hook_parks_the_node_and_its_changes_wait_for_the_answer() {
    let script = r#"echo '{"action":"ask_user","prompt":"really?","options":["yes","no"],"default":"no"}'"#;
    let sandbox = hooked("pre_node", script, "namespace = '*/a'");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.states(), "parked: a waiting, b pending");
    assert!(!sandbox.path("ran").exists());
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 6, "still a question");
    assert_eq!(sandbox.omne(&["approve", "@last", "a", "--option", "yes"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.read("ran"), "ran\n");
    let sandbox = hooked("pre_node", script, "namespace = '*/a'");
    sandbox.omne(&["run", "p"]);
    assert_eq!(sandbox.omne(&["reject", "@last", "a"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(denied), b blocked");
}

#[test]
fn the_run_its_gates_and_its_ends_are_told() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe(
            "inputs: {who: {default: me}}\nnodes: [{id: a, bash: 'true', gate: ok}, {id: b, bash: 'false'}]",
        )
        .gate("ok", "true");
    hook(&sandbox, "pre_run", "cat >> told", "");
    let block = |event: &str| format!("[[hook]]\nevent = '{event}'\ncommand = './hook.sh'\n");
    let all: String = ["pre_run", "post_run", "pre_gate", "post_gate", "post_node"].map(block).concat();
    sandbox.file(".omne/hooks.toml", all);
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let told = sandbox.read("told");
    for sign in [
        r#""inputs":{"who":"me"}"#,
        r#""gate":"ok""#,
        r#""outcome":"passed""#,
        r#""outcome":"aborted""#,
        r#""outcome":"failed""#,
    ] {
        assert!(told.contains(sign), "{sign} in {told}");
    }
    let mut events = decisions(&sandbox);
    events.sort();
    assert_eq!(
        events,
        [
            "post_gate allow",
            "post_node allow",
            "post_node allow",
            "post_run allow",
            "pre_gate allow",
            "pre_run allow"
        ]
    );
}

#[test]
fn an_approved_node_waits_for_room() {
    let script = r#"echo '{"action":"ask_user","prompt":"a?"}'"#;
    let sandbox = hooked("pre_node", script, "namespace = '*/a'");
    sandbox.pipe("nodes: [{id: a, bash: 'touch a'}, {id: b, bash: 'touch here; until test -e go; do sleep 0.01; done; test ! -e a'}]");
    let child = sandbox.start(&["run", "p", "-j", "1"], "here");
    assert!(sandbox.omne(&["approve", "@last", "a"]).stdout.contains("its runner goes on"));
    sandbox.file("go", "");
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 0);
    let order = sandbox.events(&["node.spawned", "node.completed"]);
    let order: Vec<&str> = order.iter().map(|event| event["node_id"].as_str().unwrap()).collect();
    assert_eq!(order, ["b", "b", "a", "a"]);
}

#[test]
fn an_approved_node_that_waits_for_room_ends_with_the_run() {
    let script = r#"echo '{"action":"ask_user","prompt":"a?"}'"#;
    let sandbox = hooked("pre_node", script, "namespace = '*/a'");
    sandbox.pipe("nodes: [{id: a, bash: 'touch a'}, {id: b, bash: 'touch here; sleep 60'}]");
    let child = sandbox.start(&["run", "p", "-j", "1"], "here");
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
    sandbox.signal(&child, Signal::INT);
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 130);
    assert_eq!(sandbox.states(), "interrupted: a failed(interrupted), b failed(interrupted)");
    assert!(!sandbox.path("a").exists());
}

#[test]
fn each_event_is_told_to_whoever_looks_on_and_not_logged() {
    let sandbox = hooked(
        "on_event",
        "while read -r line; do echo \"$line\" >> told; echo '{}'; done",
        "mode = 'daemon'",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(decisions(&sandbox), [""; 0]);
    let told = sandbox.read("told");
    assert!(told.lines().next().unwrap().contains(r#""type":"pipe.started""#), "{told}");
    assert!(told.contains(r#""type":"node.completed""#));
}

#[test]
fn a_rule_forbids_or_asks_about_a_process_before_it_is_started() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'npm publish'}, {id: b, bash: 'true'}]").file(
        ".omne/hooks.toml",
        "[[rule]]\nprogram = 'sh'\nargs_contain = ['npm publish']\neffect = 'deny'\nreason = 'publishing is for people'\n",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(denied), b completed");
    let message = sandbox.node("a")["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "a rule forbids `sh` with npm publish: publishing is for people");
    sandbox
        .pipe("nodes: [{id: a, bash: 'echo publish >> ran'}]")
        .file(".omne/hooks.toml", "[[rule]]\nprogram = 'sh'\nargs_contain = ['publish']\neffect = 'ask'\n");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert!(!sandbox.path("ran").exists());
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.read("ran"), "publish\n");
}

#[test]
fn wrong_hooks_are_told_with_their_place_before_anything_is_written() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, bash: 'true'}]")
        .file(".omne/hooks.toml", "[[hook]]\nevent = 'pre_nod'\ncommand = 'x'\n");
    let run = sandbox.omne(&["run", "p"]);
    insta::assert_snapshot!(run.picture());
    assert!(!sandbox.path(".omne/var").exists());
    assert_eq!(sandbox.omne(&["hooks", "check"]).code, 2);
}

#[test]
fn a_run_that_waits_for_a_hook_can_be_interrupted() {
    let sandbox = hooked("pre_node", "touch asked; sleep 60", "timeout_ms = 30000");
    let child = sandbox.start(&["run", "p"], "asked");
    sandbox.signal(&child, Signal::INT);
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 130);
}

#[test]
fn the_hooks_of_the_documentation_do_what_it_says() {
    let sandbox = Sandbox::new();
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/hooks");
    for name in ["policy.sh", "policy.py", "daemon.py"] {
        std::fs::copy(format!("{from}/{name}"), sandbox.path(name)).unwrap();
    }
    std::fs::copy(format!("{from}/hooks.toml"), sandbox.path(".omne/hooks.toml")).unwrap();
    if !std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join("python3").exists()) {
        eprintln!("skipped: there is no `python3` in PATH");
        return;
    }
    assert_eq!(sandbox.omne(&["hooks", "check"]).code, 0);
    let list = sandbox.omne(&["hooks", "list"]);
    insta::assert_snapshot!(list.stdout);
    let fire =
        sandbox.omne(&["hooks", "fire", "pre_node", "--payload", r#"{"prompt":"build it","timeout":1800}"#]);
    assert!(
        fire.stdout.contains("it may go on, changed:") && fire.stdout.contains("Never push to main."),
        "{fire:?}"
    );
    let fire =
        sandbox.omne(&["hooks", "fire", "pre_node", "--payload", r#"{"node":{"bash":"rm /etc/passwd"}}"#]);
    assert_eq!(fire.code, 1);
    assert!(fire.stdout.contains("it may not go on (403): nothing may touch /etc"), "{fire:?}");
    assert_eq!(sandbox.omne(&["hooks", "doctor"]).code, 0);
    sandbox
        .pipe("nodes: [{id: a, bash: 'echo $POLICY; false', retry: {max: 5}}, {id: deploy, bash: 'true'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.node("a")["error"]["kind"], "denied");
    assert_eq!(sandbox.node("a")["attempt"], 3);
    assert_eq!(sandbox.node("deploy")["gate"]["prompt"], "deploy now?");
}

#[test]
fn a_hangup_brings_changed_hooks_in_and_keeps_the_last_good_ones() {
    let sandbox = hooked("pre_node", "echo '{}'", "");
    sandbox.pipe("nodes: [{id: a, bash: 'touch here; until test -e go; do sleep 0.01; done'}, {id: b, depends_on: [a], bash: 'touch again; until test -e on; do sleep 0.01; done'}, {id: c, depends_on: [b], bash: 'true'}]");
    let child = sandbox.start(&["run", "p"], "here");
    let good = sandbox.read(".omne/hooks.toml");
    sandbox.file(".omne/hooks.toml", "[[hook]]\nevent = 'pre_nod'\n");
    sandbox.signal(&child, Signal::HUP);
    // A wrong file changes nothing: `b` may begin.
    sandbox.file("go", "");
    sandbox.wait_for("again");
    sandbox.file("hook.sh", "#!/bin/sh\necho '{\"action\":\"deny\",\"reason\":\"no more\"}'\n");
    sandbox.file(".omne/hooks.toml", good.replace("pre_node'", "pre_node'\nnamespace = '*/c'"));
    sandbox.signal(&child, Signal::HUP);
    sandbox.file("on", "");
    let run = sandbox.finish(child.wait_with_output().unwrap());
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(sandbox.states(), "aborted: a completed, b completed, c failed(denied)");
    assert!(
        run.stderr.contains("unknown variant `pre_nod`") && run.stderr.contains("stay as they were"),
        "{run:?}"
    );
}

#[test]
fn a_hangup_does_not_wave_a_run_through_that_a_hook_refuses() {
    let script =
        r#"touch asked; until test -e go; do sleep 0.01; done; echo '{"action":"deny","reason":"closed"}'"#;
    let sandbox = hooked("pre_run", script, "");
    let child = sandbox.start(&["run", "p"], "asked");
    sandbox.signal(&child, Signal::HUP);
    sandbox.file("go", "");
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 1);
    assert!(!sandbox.path("ran").exists());
}

#[test]
fn a_question_about_a_round_is_asked_once() {
    let script = r#"echo x >> asks; echo '{"action":"ask_user","prompt":"go on?","options":["yes","no"]}'"#;
    let sandbox = hooked("pre_iteration", script, "");
    sandbox.pipe("nodes: [{id: a, loop: {prompt: x, until: DONE}}]").agent("a", "init\nsay DONE\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.read("asks"), "x\n");
}

#[test]
fn an_approved_gate_is_still_a_gate() {
    let script = r#"echo '{"action":"ask_user","prompt":"look at the gate?"}'"#;
    let sandbox = hooked("pre_gate", script, "");
    sandbox.pipe("nodes: [{id: a, bash: echo once >> ran, gate: ok}]").gate("ok", "exit 1");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(gate_failed)");
    assert_eq!(sandbox.read("ran"), "once\n");
}

#[test]
fn what_a_hook_changed_is_kept_while_a_rule_asks() {
    let sandbox = hooked(
        "pre_node",
        r#"echo '{"action":"modify","delta":{"env":{"K":"hooked"}}}'"#,
        "namespace = '*/a'",
    );
    let hooks = sandbox.read(".omne/hooks.toml");
    let rules = "[[rule]]\nprogram = 'sh'\nargs_contain = ['echo']\neffect = 'ask'\n";
    sandbox.file(".omne/hooks.toml", hooks + rules);
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.capture("a"), "hooked\n");
}

#[test]
fn a_rule_that_forbids_counts_more_than_one_that_asks() {
    let sandbox = Sandbox::new();
    let rule = |text: &str, effect: &str| {
        format!("[[rule]]\nprogram = 'sh'\nargs_contain = ['{text}']\neffect = '{effect}'\n")
    };
    sandbox.pipe("nodes: [{id: a, bash: npm publish}]");
    sandbox.file(".omne/hooks.toml", rule("npm", "ask") + &rule("npm publish", "deny"));
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(denied)");
}

#[test]
fn a_question_of_an_earlier_go_is_not_that_of_a_later_gate() {
    let sandbox = hooked("pre_node", r#"echo '{"action":"ask_user","prompt":"begin?"}'"#, "");
    sandbox.pipe("nodes: [{id: a, bash: echo once >> ran, gate: ok}]").gate("ok", "exit 75");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    assert_eq!(sandbox.omne(&["cancel", "@last"]).code, 0);
    std::fs::remove_file(sandbox.path(".omne/hooks.toml")).unwrap();
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 6);
    assert_eq!(sandbox.omne(&["approve", "@last", "a"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
    assert_eq!(sandbox.read("ran"), "once\n");
}

#[test]
fn nothing_that_a_hook_says_is_too_large_for_the_log() {
    let large = "x".repeat(100_000);
    for reply in [
        format!(r#"{{"action":"modify","delta":{{"env":{{"K":"{large}"}}}}}}"#),
        format!(r#"{{"action":"deny","reason":"{large}"}}"#),
        format!(r#"{{"action":"ask_user","prompt":"{large}"}}"#),
        r#"{"action":"modify","delta":{"timeout":18446744073709551615}}"#.to_owned(),
    ] {
        let sandbox = hooked("pre_node", "cat reply", "");
        sandbox.file("reply", &reply);
        let code = sandbox.omne(&["run", "p"]).code;
        assert!([0, 1, 6].contains(&code), "{code}: {}", &reply[..50]);
    }
}

#[test]
fn a_hook_that_is_cut_off_leaves_its_event() {
    for (event, code) in [("pre_run", 130), ("post_node", 0), ("post_run", 0)] {
        let sandbox = hooked(event, "touch asked; exec sleep 60", "timeout_ms = 30000\nfail_mode = 'closed'");
        sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
        let child = sandbox.start(&["run", "p"], "asked");
        sandbox.signal(&child, rustix::process::Signal::INT);
        assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, code, "{event}");
        let cut = &sandbox.events(&["hook.decided"])[0];
        assert_eq!(
            [&cut["event"], &cut["decision"], &cut["reason"]],
            [event, "error", "it was cut off before it answered"]
        );
    }
}

#[test]
fn an_interrupted_run_waits_for_no_hook() {
    let sandbox = hooked("pre_node", "touch asked; exec sleep 60", "timeout_ms = 30000");
    let child = sandbox.start(&["run", "p"], "asked");
    sandbox.signal(&child, Signal::TERM);
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 143);
    assert_eq!(sandbox.node("a")["error"]["kind"], "interrupted");
}

#[test]
fn a_hook_that_forks_without_end_is_ended_with_all_of_it() {
    let script = "i=0; while [ $i -lt 300 ]; do sleep 4321 & i=$((i+1)); done; wait";
    let sandbox = hooked("pre_node", script, "timeout_ms = 700");
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let left = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter(|entry| {
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let run = format!("OMNE_VOLUME_ROOT={}", sandbox.root().display());
        environ.split(|&byte| byte == 0).any(|variable| variable == run.as_bytes())
    });
    assert_eq!(left.count(), 0);
}
