//! AI nodes on an agent that does as it is told.

use crate::sandbox::{Sandbox, with_filters};

const PROMPT: &str = "nodes: [{id: a, prompt: think}]";

fn prompt(script: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.pipe(PROMPT).agent("a", script);
    sandbox
}

pub(crate) fn looped(rest: &str, script: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .pipe(&format!(
            "nodes: [{{id: a, {rest} loop: {{prompt: 'round {{{{ iteration }}}}', until: DONE, max_iterations: 3}}}}]"
        ))
        .agent("a", script);
    sandbox
}

pub(crate) fn has_arg(call: &serde_json::Value, pair: [&str; 2]) -> bool {
    let args: Vec<&str> = call["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    args.windows(2).any(|window| window == pair)
}

#[test]
fn an_agents_text_is_the_capture_and_its_usage_is_in_the_log() {
    let sandbox = prompt("init\ntool ls -l\nsay one\\ntwo\nsay three\nresult");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(sandbox.capture("a"), "one\ntwo\nthree\n");
    with_filters(|| {
        insta::assert_snapshot!(sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout)
    });
    let node = sandbox.node("a");
    assert_eq!(node["usage"]["cost_usd"], 0.01);
    assert_eq!(node["usage"]["input_tokens"], 10);
    assert_eq!(sandbox.calls("a")[0]["prompt"], "think");
    let started = &sandbox.events(&["node.started"])[0];
    assert_eq!(started["agent"], "claude");
    assert!(started["prompt_sha256"].is_string());
}

#[test]
fn the_agent_is_told_model_tools_turns_and_further_arguments() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("default_model: small\nnodes: [{id: a, prompt: x, allowed_tools: [Read, Bash], max_turns: 7, agent_args: [--permission-mode, plan]}]")
        .agent("a", "init\nsay x\nresult");
    assert_eq!(sandbox.omne(&["run", "p", "--budget", "1.5"]).code, 0);
    let call = &sandbox.calls("a")[0];
    for pair in [
        ["--model", "small"],
        ["--allowed-tools", "Read"],
        ["Read", "Bash"],
        ["--max-turns", "7"],
        ["--permission-mode", "plan"],
        ["--max-budget-usd", "1.500000"],
    ] {
        assert!(has_arg(call, pair), "{pair:?} in {call}");
    }
}

#[test]
fn a_command_is_sent_as_its_text_and_its_front_matter_counts_unless_the_node_says_otherwise() {
    let sandbox = Sandbox::new();
    sandbox
        .file(".omne/dist/cmds/plan.md", "---\nallowed_tools: [Read]\nmodel: big\n---\nPlan {{ inputs.what }} with {{ nodes.before.output }}")
        .pipe("inputs: {what: {default: it}}\nnodes:\n- {id: before, bash: printf care}\n- {id: a, command: plan, depends_on: [before]}\n- {id: b, command: plan, depends_on: [before], model: small}")
        .agent("a", "init\nsay x\nresult")
        .agent("b", "init\nsay x\nresult");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 0, "{run:?}");
    let call = &sandbox.calls("a")[0];
    assert_eq!(call["prompt"], "Plan it with care");
    assert!(has_arg(call, ["--model", "big"]) && has_arg(call, ["--allowed-tools", "Read"]), "{call}");
    assert!(has_arg(&sandbox.calls("b")[0], ["--model", "small"]));
    assert_eq!(sandbox.events(&["node.started"])[1]["name"], "plan");
}

#[test]
fn an_unknown_name_in_a_commands_text_is_found_beforehand() {
    let sandbox = Sandbox::new();
    sandbox.file(".omne/dist/cmds/plan.md", "{{ inputs.what }}").pipe("nodes: [{id: a, command: plan}]");
    let validate = sandbox.omne(&["validate", "p"]);
    assert_eq!(validate.code, 2);
    assert!(
        validate.stdout.contains("the pipe has no input `what`\n --> .omne/dist/cmds/plan.md:1:11"),
        "{validate:?}"
    );
}

#[test]
fn a_failure_has_the_agents_word_and_what_it_used() {
    let sandbox = prompt("init\nresult rate_limit\nexit 1");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let failed = &sandbox.events(&["node.failed"])[0];
    assert_eq!(failed["error"]["kind"], "agent_error");
    assert_eq!(failed["error"]["class"], "rate_limit");
    assert_eq!(failed["usage"]["cost_usd"], 0.01);
    assert_eq!(failed["exit_code"], 1);
}

#[test]
fn a_retry_is_a_new_session_and_costs_are_added_up() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, prompt: x, retry: {max: 2, on: [rate_limit]}}]")
        .agent("a", "init\nresult rate_limit\nexit 1\n---\ninit\nsay ok\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let sessions: Vec<String> =
        sandbox.events(&["agent.started"]).iter().map(|e| e["session_id"].to_string()).collect();
    assert_eq!(sessions.len(), 2);
    assert_ne!(sessions[0], sessions[1]);
    assert_eq!(sandbox.node("a")["usage"]["cost_usd"], 0.02);
    assert_eq!(sandbox.capture("a"), "ok\n");
}

#[test]
fn a_clean_exit_without_a_word_is_no_success() {
    for script in ["exit 0", "init\nexit 0", "init\nresult\nexit 0", "say half a"] {
        let sandbox = prompt(script);
        let code = sandbox.omne(&["run", "p"]).code;
        // Only a result with something said or done is one: `result` alone says `done`.
        let expected = if script.contains("result") { 0 } else { 1 };
        assert_eq!(code, expected, "{script}");
    }
}

#[test]
fn blocked_fails_the_node_and_what_follows_is_no_part_of_the_capture() {
    let sandbox = prompt("init\nsay I can not.\\nBLOCKED\\nSorry.\nsay more\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(blocked)");
    assert_eq!(sandbox.capture("a"), "I can not.\nBLOCKED\nSorry.\n");
}

#[test]
fn blocked_wins_over_the_end_of_a_loop_though_it_is_the_last_line_of_a_text() {
    let sandbox = looped("", "init\nsay I would write\\nDONE\\nbut:\\nBLOCKED\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(blocked)");
    assert!(sandbox.capture("a").ends_with("DONE\nbut:\nBLOCKED\n"), "{}", sandbox.capture("a"));
}

#[test]
fn blocked_wins_over_the_end_of_a_loop_in_plain_text() {
    let sandbox = looped("agent: mine,", "");
    sandbox.file(
        ".omne/omne.toml",
        "[agents.mine]\nprogram = 'sh'\nargs = ['-c', 'echo DONE; echo BLOCKED']\nstream = 'text'\n",
    );
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(sandbox.states(), "aborted: a failed(blocked)", "{run:?}");
    assert!(sandbox.capture("a").ends_with("DONE\nBLOCKED\n"), "{}", sandbox.capture("a"));
}

#[test]
fn an_agent_that_has_said_its_word_is_stopped_with_its_tools() {
    let sandbox = looped("", "init\nstay tool\nsay DONE\nhang");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 0, "{run:?}");
    let pid: i32 = sandbox.read("tool").trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    assert!(rustix::process::test_kill_process(pid).is_err(), "its tool is left");
}

#[test]
fn a_node_over_its_budget_fails_and_what_needs_it_is_blocked() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, budget_usd: 0.015, loop: {prompt: x, until: DONE}}, {id: b, depends_on: [a], bash: 'true'}]")
        .agent("a", "init\nsay no\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(budget_exceeded), b blocked");
    assert_eq!(sandbox.calls("a").len(), 2);
}

#[test]
fn a_run_over_its_budget_asks_no_further_agent() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("jobs: 1\nnodes: [{id: a, prompt: x}, {id: b, prompt: x}, {id: c, bash: 'true'}]")
        .agent("a", "init\nsay x\ncost 3\nresult")
        .agent("b", "init\nsay x\nresult");
    assert_eq!(sandbox.omne(&["run", "p", "--budget", "2.5"]).code, 1);
    assert_eq!(
        sandbox.states(),
        "aborted: a failed(budget_exceeded), b failed(budget_exceeded), c completed"
    );
    assert_eq!(sandbox.calls("b").len(), 0);
    assert_eq!(sandbox.omne(&["run", "p", "--budget", "lots"]).code, 2);
}

#[test]
fn a_silent_agent_is_stopped_after_its_idle_time() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, prompt: x, idle_timeout: 50ms}]").agent("a", "init\nstay tool\nhang");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let failed = &sandbox.events(&["node.failed"])[0];
    assert_eq!(failed["error"]["kind"], "timeout");
    assert!(failed["message"].as_str().unwrap().contains("silent for 50ms"), "{failed}");
}

#[test]
fn an_agent_that_takes_too_long_is_stopped_and_keeps_what_it_said() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, prompt: x, timeout: 300ms}]").agent("a", "init\nsay so far\nhang");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(timeout)");
    assert_eq!(sandbox.capture("a"), "so far\n");
}

#[test]
fn a_flood_in_one_line_is_read_past() {
    let sandbox = prompt("init\nraw {\"type\":\"user\",\"x\":\"\nflood 40\nraw \"}\\n\nsay small\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.capture("a"), "small\n");
}

#[test]
fn lines_in_pieces_and_junk_between_them_are_read() {
    let line = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"in pieces"}]}}"#;
    let (head, tail) = line.split_at(40);
    let sandbox = prompt(&format!("init\nraw warning: odd\\n\nraw {head}\nraw {tail}\\n\nresult"));
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.capture("a"), "in pieces\n");
}

#[test]
fn an_agent_that_closes_its_output_is_waited_for() {
    let sandbox = prompt("init\nsay early\nresult\nclose\ntouch closed\nwait go\noutput late=yes");
    let child = sandbox.start(&["run", "p"], "closed");
    sandbox.file("go", "");
    assert!(sandbox.finish(child.wait_with_output().unwrap()).code == 0);
    assert_eq!(sandbox.node("a")["outputs"]["late"], "yes");
}

#[test]
fn prompts_that_an_agent_would_not_take_are_refused_before_it_is_started() {
    for (text, why) in
        [("/plan the work", "slash command"), ("' '", "blank"), ("'{{ nodes }}{{ run.id }}/x'", "")]
    {
        let sandbox = Sandbox::new();
        sandbox.pipe(&format!("nodes: [{{id: a, prompt: {text}}}]")).agent("a", "init\nsay x\nresult");
        let code = sandbox.omne(&["run", "p"]).code;
        if why.is_empty() {
            assert_eq!(code, 0, "{text}");
            continue;
        }
        assert_eq!(code, 1, "{text}");
        assert_eq!(sandbox.states(), "aborted: a failed(spawn_failed)");
        assert!(sandbox.node("a")["error"]["message"].as_str().unwrap().contains(why), "{text}");
        assert_eq!(sandbox.calls("a").len(), 0);
    }
}

#[test]
fn an_agents_outputs_reach_what_depends_on_it() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, prompt: x}, {id: b, depends_on: [a], bash: 'echo $OMNE_OUTPUTS_A_RISK'}]")
        .agent("a", "init\noutput risk=low\nsay x\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.capture("b"), "low\n");
}

#[test]
fn a_gate_after_an_agent_is_asked_once_the_agent_is_done() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, prompt: x, gate: ok}]")
        .gate("ok", "grep -q good nodes.ok || exit 3")
        .agent("a", "init\nsay x\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(gate_failed)");
    assert_eq!(sandbox.node("a")["usage"]["cost_usd"], 0.01);
}

#[test]
fn an_agent_that_has_said_its_word_may_tell_its_cost_but_begin_nothing_new() {
    let sandbox = looped("gate: ok,", "init\nsay DONE\nresult");
    sandbox.gate("ok", "sleep 0.7");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0, "the gate is not stopped in its place");
    assert_eq!(sandbox.node("a")["usage"]["cost_usd"], 0.01);
    let sandbox = looped("", "init\nsay DONE\ntool rm\nwait never");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
}

#[test]
fn an_agent_that_is_missing_is_exit_7_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.pipe(PROMPT).file(".omne/omne.toml", "[agents.claude]\nprogram = '/nowhere/claude'\n");
    let run = sandbox.omne(&["run", "p"]);
    insta::assert_snapshot!(run.picture());
    assert!(!sandbox.path(".omne/var").exists());
}

#[test]
fn an_agent_that_nobody_described_or_that_can_not_be_told_is_exit_2() {
    let sandbox = Sandbox::new();
    sandbox.pipe("agent: claud\nnodes: [{id: a, prompt: x}]");
    insta::assert_snapshot!(sandbox.omne(&["run", "p"]).picture());
    sandbox.pipe("nodes: [{id: a, prompt: x, agent: mine, max_turns: 3}]");
    sandbox.file(".omne/omne.toml", "[agents.mine]\nprogram = 'true'\n");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("can not be told `max_turns`"), "{run:?}");
}

#[test]
fn an_agent_of_the_settings_may_print_plain_text() {
    let sandbox = Sandbox::new();
    sandbox
        .file(".omne/omne.toml", "agent = 'mine'\n[agents.mine]\nprogram = 'sh'\nargs = ['-c', 'read x; echo \"heard $x\"; echo DONE']\n")
        .pipe("nodes: [{id: a, loop: {prompt: hello, until: DONE, fresh_context: true}}]");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(sandbox.capture("a"), "=== omne:iteration:1 ===\nheard hello\nDONE\n");
    assert_eq!(sandbox.events(&["agent.started"])[0]["agent"], "mine");
}

#[test]
fn a_run_played_from_its_recording_has_the_same_snapshot() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes:\n- {id: a, prompt: x, retry: {max: 1}}\n- {id: b, depends_on: [a], loop: {prompt: y, until: DONE}}\n- {id: c, prompt: z}")
        .agent("a", "init\nresult server_error\nexit 1\n---\ninit\ntool ls\nsay ok\noutput k=v\nresult")
        .agent("b", "init\nsay no\nresult\n---\ninit\nsay DONE\nhang")
        .agent("c", "init\nstderr broken\nexit 4");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let recorded = sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout;
    let run = sandbox.omne(&["status", "@last", "--json"]).json()["run_id"].as_str().unwrap().to_owned();
    let calls = ["a", "b", "c"].map(|node| sandbox.calls(node).len());
    assert_eq!(sandbox.omne(&["run", "p", "--agent-replay", &run]).code, 1);
    assert_eq!(sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout, recorded);
    assert_eq!(["a", "b", "c"].map(|node| sandbox.calls(node).len()), calls, "no agent was asked");
    // What was played is a recording, too.
    assert_eq!(sandbox.omne(&["run", "p", "--agent-replay", "@last"]).code, 1);
    assert_eq!(sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout, recorded);
}

#[test]
fn a_follower_sees_an_agents_words_before_the_sentence_is_whole() {
    use std::io::Read as _;
    let script = "init\npartial Hel\ntouch here\nwait go\npartial lo.\nsay Hello.\nresult\n---\ninit\nsay DONE\nresult";
    let sandbox = looped("", script);
    let mut run = sandbox.start(&["run", "p"], "here");
    let mut follower =
        sandbox.command(&["logs", "@last", "a", "-f"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdout = follower.stdout.take().unwrap();
    let mut begin = [0; "=== omne:iteration:1 ===\nHel".len()];
    stdout.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"=== omne:iteration:1 ===\nHel");
    sandbox.file("go", "");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "lo.\n=== omne:iteration:2 ===\nDONE\n");
    assert!(run.wait().unwrap().success() && follower.wait().unwrap().success());
}

#[test]
fn what_an_agent_calls_things_never_breaks_the_log() {
    let long = "x".repeat(70_000);
    let line = format!(
        r#"{{"type":"assistant","message":{{"content":[{{"type":"tool_use","id":"{long}","name":"{long}","input":{{}}}}]}}}}"#
    );
    let init = format!(r#"{{"type":"system","subtype":"init","session_id":"{long}","model":"{long}"}}"#);
    let sandbox = prompt(&format!("raw {init}\\n\nraw {line}\\n\nsay x\nresult {long}"));
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(agent_error)");
}

#[test]
fn a_node_over_its_budget_is_not_tried_again() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, prompt: x, budget_usd: 0.01, retry: {max: 3}}]")
        .agent("a", "init\ncost 0.05\nresult rate_limit\nexit 1");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(budget_exceeded)");
    assert_eq!(sandbox.calls("a").len(), 1);
}

#[test]
fn what_an_agent_leaves_behind_does_not_cost_its_time() {
    // Its tool ignores SIGTERM, so that ending it takes longer than the node may.
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, prompt: x, timeout: 2s, agent: mine}]")
        .file(".omne/omne.toml", "[agents.mine]\nprogram = 'sh'\nargs = ['-c', 'setsid sh -c \"trap : TERM; echo > up; while :; do sleep 1; done\" & until test -e up; do sleep 0.01; done; echo done']\n");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
}

#[test]
fn hooks_on_tools_that_an_agent_would_not_ask_are_no_secret() {
    let hook = "[[hook]]\nevent = 'pre_tool'\ncommand = './no.sh'\nfail_mode = 'closed'\n";
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, prompt: go, agent_args: [--settings, mine.json]}]")
        .agent("a", "init\nresult");
    sandbox.executable("no.sh", "#!/bin/sh\nexit 1\n").file(".omne/hooks.toml", hook);
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert!(sandbox.node("a")["error"]["message"].to_string().contains("`--settings` in `agent_args`"));
    assert_eq!(sandbox.calls("a").len(), 0);
    sandbox
        .file(".omne/omne.toml", "[agents.tell]\nprogram = 'cat'\nargs = []\nstream = 'text'\n")
        .pipe("nodes: [{id: a, prompt: go, agent: tell}]");
    let run = sandbox.omne(&["run", "p"]);
    assert!(
        run.code == 0 && run.stderr.contains("warning: the hooks on tools do not see those of `a`"),
        "{run:?}"
    );
}

#[test]
fn what_is_cut_of_a_capture_is_cut_between_characters() {
    let sandbox = Sandbox::new();
    let bash = "yes 漢 | head -n 22000 | tr -d '\\n'";
    sandbox
        .pipe(&format!("nodes:\n- {{id: a, bash: \"{bash}\"}}\n- {{id: b, depends_on: [a], prompt: '{{{{{{ nodes.a.output }}}}}}'}}\n").replace("{{{", "{{").replace("}}}", "}}"))
        .agent("b", "init\nsay done\nresult");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 0, "{run:?}");
    let prompt =
        std::fs::read_to_string(sandbox.log().with_file_name("nodes/b.prompt.1")).unwrap_or_default();
    let call = sandbox.calls("b")[0].to_string();
    assert!(!prompt.contains('\u{fffd}') && !call.contains('\u{fffd}'), "{}", prompt.len());
    assert!(call.contains("漢漢") || prompt.contains("漢漢"));
}
