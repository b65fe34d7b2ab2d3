//! What a resume does.

use omne_events::*;
use omne_replay::{PlanError, Request, plan};

use crate::story::{Story, failed, id, pipe};

const NODES: &str = "- {id: a, bash: echo a}\n- {id: b, depends_on: [a], bash: ./b}\n- {id: c, depends_on: [b], bash: echo c}\n- {id: s, depends_on: [a], when: '1 > 2', bash: echo s}";

fn picture(steps: Vec<PlanStep>) -> String {
    steps.iter().map(|step| format!("{} {}: {}\n", step.node_id, step.action.as_str(), step.why)).collect()
}

fn half() -> Story {
    let mut story = Story::of(NODES);
    story.start("a", 1).complete("a").start("b", 1);
    story.say(NodeSkipped { node_id: id("s"), reason: "`when` is false: 1 > 2".into() });
    story
}

#[test]
fn a_node_that_was_cut_off_runs_again() {
    insta::assert_snapshot!(picture(plan(&half().state, &Request::default()).unwrap()), @r"
    a keep: it completed
    b rerun: it was cut off
    c run: it has not run yet
    s keep: it was skipped
    ");
}

#[test]
fn what_was_blocked_runs_when_its_blocker_runs_again() {
    let mut story = half();
    story.fail("b", None);
    insta::assert_snapshot!(picture(plan(&story.state, &Request::default()).unwrap()), @r"
    a keep: it completed
    b rerun: it failed (crash)
    c run: `b`, which blocked it, runs again
    s keep: it was skipped
    ");
}

#[test]
fn from_takes_all_below_it_along() {
    let request = Request { from: vec!["a".into()], ..Request::default() };
    insta::assert_snapshot!(picture(plan(&half().state, &request).unwrap()), @r"
    a rerun: asked for by `--from`
    b rerun: it depends on `a`, named by `--from`
    c run: it depends on `a`, named by `--from`
    s run: it depends on `a`, named by `--from`
    ");
    let request = Request { from: vec!["z".into()], ..Request::default() };
    assert_eq!(plan(&half().state, &request), Err(PlanError::UnknownNode("z".into())));
}

#[test]
fn a_changed_pipe_reruns_what_changed_and_what_depends_on_it() {
    let changed = pipe(&NODES.replace("echo a", "echo A").replace("1 > 2", "2 > 1"));
    let request = Request { pipe: Some(&changed), ..Request::default() };
    insta::assert_snapshot!(picture(plan(&half().state, &request).unwrap()), @r"
    a rerun: `bash` changed
    b rerun: it was cut off
    c run: it has not run yet
    s run: `a` runs again, so it is decided anew
    ");
    let renamed = pipe(&NODES.replace("id: a", "id: x").replace("[a]", "[x]"));
    let request = Request { pipe: Some(&renamed), ..Request::default() };
    assert!(
        picture(plan(&half().state, &request).unwrap()).starts_with("x run: it is new in the changed pipe")
    );
}

#[test]
fn a_pipe_that_changed_only_its_limits_keeps_what_completed() {
    let changed = pipe(&NODES.replace("bash: echo a", "bash: echo a, timeout: 5, retry: {max: 1}"));
    let request = Request { pipe: Some(&changed), ..Request::default() };
    assert!(picture(plan(&half().state, &request).unwrap()).starts_with("a keep: it completed"));
}

/// A loop of which `ended` rounds ended, and the next one began.
fn looping(ended: u32) -> Story {
    let mut story = Story::of("- {id: a, loop: {prompt: go, until: DONE, max_iterations: 3}}");
    story.start("a", 1);
    for iteration in 1..=ended + 1 {
        story.say(IterationStarted {
            node_id: id("a"),
            attempt: 1,
            iteration,
            byte_offset: 0,
            session_id: Some("s".into()),
        });
        if iteration <= ended {
            story.say(IterationCompleted {
                node_id: id("a"),
                attempt: 1,
                iteration,
                outcome: IterationOutcome::Continue,
                usage: None,
            });
        }
    }
    story
}

#[test]
fn a_loop_with_a_session_goes_on_after_its_last_round_that_ended() {
    let plan_of = |story: &Story| picture(plan(&story.state, &Request::default()).unwrap());
    let mut begun = looping(0);
    // An agent that was never started knows no session.
    insta::assert_snapshot!(plan_of(&begun), @"a rerun: it was cut off");
    begun.say(NodeSpawned { node_id: id("a"), attempt: 1, pid: 7, program: "claude".into() });
    insta::assert_snapshot!(plan_of(&begun), @"a continue: its loop was cut off; it goes on with iteration 1");
    insta::assert_snapshot!(plan_of(&looping(2)), @"a continue: its loop was cut off; it goes on with iteration 3");
}

#[test]
fn a_loop_that_was_stopped_goes_on_and_one_that_failed_begins_anew() {
    let plan_after = |kind: ErrorKind| {
        let mut story = looping(1);
        story.say(failed("a", 1, kind));
        picture(plan(&story.state, &Request::default()).unwrap())
    };
    insta::assert_snapshot!(plan_after(ErrorKind::Interrupted), @"a continue: its loop was stopped; it goes on with iteration 2");
    insta::assert_snapshot!(plan_after(ErrorKind::Timeout), @"a rerun: it failed (timeout)");
}
