//! Past runs, asked about again by other hooks and rules.

use crate::{
    hooks::{hook, hooked},
    sandbox::{Sandbox, with_filters},
};

#[test]
fn past_runs_tell_what_new_hooks_and_rules_would_have_decided() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: npm publish || true}, {id: b, bash: 'true'}, {id: c, bash: echo c}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let none = sandbox.omne(&["hooks", "backtest"]);
    assert_eq!(
        (none.code, none.stdout.as_str()),
        (0, "4 step(s) of 1 run(s), 0 would be decided otherwise\n")
    );
    hook(&sandbox, "pre_node", r#"echo '{"action":"ask_user","prompt":"c?"}'"#, "namespace = 'p/c'");
    let hooks = sandbox.read(".omne/hooks.toml");
    let rule = "[[rule]]\nprogram = 'sh'\nargs_contain = ['npm publish']\neffect = 'deny'\n";
    sandbox.file(".omne/hooks.toml", hooks + rule);
    let backtest = sandbox.omne(&["hooks", "backtest", "@last"]);
    assert_eq!(backtest.code, 1);
    let lines: Vec<&str> = backtest.stdout.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(lines[0], "a #1  was allow, would be deny: a rule forbids `sh` with npm publish");
    assert_eq!(lines[1], "c #1  was allow, would be ask_user: c?");
    // Nothing was run, and nothing is in the log.
    assert_eq!(sandbox.events(&["hook.decided"]).len(), 0);
}

#[test]
fn every_step_of_a_past_run_is_asked_about_again() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("inputs: {who: {default: me}}\nnodes: [{id: a, loop: {prompt: do it, until: DONE}, gate: ok}]")
        .gate("ok", "true")
        .agent("a", "init\ntool rm -rf x\nsay DONE\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    hook(
        &sandbox,
        "on_event",
        r#"read -r line; echo "$line" >> asked; echo '{"action":"deny","reason":"no"}'"#,
        "",
    );
    let block = |event: &str| format!("[[hook]]\nevent = '{event}'\ncommand = './hook.sh'\n");
    let all: String = ["pre_run", "pre_node", "pre_iteration", "pre_tool", "pre_gate"].map(block).concat();
    sandbox.file(".omne/hooks.toml", all);
    let backtest = sandbox.omne(&["hooks", "backtest"]);
    with_filters(|| insta::assert_snapshot!(backtest.picture()));
    let asked = sandbox.read("asked");
    for sign in [
        r#""inputs":{"who":"me"}"#,
        r#""prompt":"do it"#,
        r#""iteration":1"#,
        r#""rm -rf x""#,
        r#""gate":"ok""#,
    ] {
        assert!(asked.contains(sign), "{sign} in {asked}");
    }
}

#[test]
fn what_was_decided_then_and_would_be_now_is_no_difference() {
    let sandbox = hooked("pre_gate", r#"echo '{"action":"deny","reason":"no"}'"#, "");
    sandbox.pipe("nodes: [{id: a, bash: 'true', gate: ok}]").gate("ok", "true");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let backtest = sandbox.omne(&["hooks", "backtest"]);
    assert_eq!(
        (backtest.code, backtest.stdout.as_str()),
        (0, "3 step(s) of 1 run(s), 0 would be decided otherwise\n")
    );
}

#[test]
fn a_run_that_can_not_be_read_keeps_no_other_from_being_asked_about() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]").file("damaged-on-purpose", "");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let damaged = "p-01m82hs9e2z7axr4gw5sjr9ep5";
    sandbox.file(&format!(".omne/var/runs/{damaged}/events.jsonl"), "nonsense\n");
    let all = sandbox.omne(&["hooks", "backtest"]);
    let told = "2 step(s) of 1 run(s), 0 would be decided otherwise\n";
    assert_eq!((all.code, all.stdout.as_str()), (0, told));
    assert!(all.stderr.contains(&format!("{damaged} is passed over")), "{all:?}");
    assert_eq!(sandbox.omne(&["hooks", "backtest", damaged]).code, 5);
}
