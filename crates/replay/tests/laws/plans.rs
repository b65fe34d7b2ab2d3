//! What a resume does.

use omne_events::*;
use omne_replay::{PlanError, Request, plan};

use crate::story::{Story, answered, asked, completed, failed, id, pipe};

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
fn what_people_are_asked_about_is_what_the_node_was_then() {
    let nodes = "- {id: a, bash: echo a, gate: g}\n- {id: b, depends_on: [a], bash: echo b, gate: g}";
    let plan_with = |story: &Story, pipe: &omne_pipe::Pipe| {
        picture(plan(&story.state, &Request { pipe: Some(pipe), ..Request::default() }).unwrap())
    };
    let mut story = Story::of(nodes);
    story.start("a", 1).complete("a").park("b");
    insta::assert_snapshot!(plan_with(&story, &pipe(nodes)), @r"
    a keep: it completed
    b continue: it waits for a decision
    ");
    insta::assert_snapshot!(plan_with(&story, &pipe(&nodes.replace("echo b", "echo B"))), @r"
    a keep: it completed
    b rerun: `bash` changed
    ");
    story.say(answered("b", "yes"));
    insta::assert_snapshot!(plan_with(&story, &pipe(nodes)), @r"
    a keep: it completed
    b continue: it was approved by ann
    ");
    insta::assert_snapshot!(plan_with(&story, &pipe(&nodes.replace("echo a", "echo A"))), @r"
    a rerun: `bash` changed
    b rerun: its dependency `a` changed
    ");
}

#[test]
fn an_answer_outlives_the_attempt_that_was_to_go_on_with_it() {
    for (option, word) in [("yes", "approved"), ("no", "rejected")] {
        let mut story = Story::of("- {id: a, bash: echo a, gate: g}");
        story.park("a");
        story.say(answered("a", option));
        let steps = plan(&story.state, &Request::default()).unwrap();
        story.resume(steps).start("a", 2);
        let steps = plan(&story.state, &Request::default()).unwrap();
        assert_eq!(picture(steps), format!("a continue: it was {word} by ann\n"));
    }
    let mut story = Story::of("- {id: a, bash: echo a, gate: g}");
    story.park("a");
    let steps = plan(&story.state, &Request::default()).unwrap();
    story.resume(steps).start("a", 2);
    let steps = plan(&story.state, &Request::default()).unwrap();
    assert_eq!(picture(steps), "a continue: it has not gone on yet; it stands at its gate\n");
}

#[test]
fn who_let_a_node_run_is_not_asked_again_after_a_signal() {
    let mut story = Story::of("- {id: a, bash: echo a}");
    let asks = GateWaiting { gate: "@hook".into(), ..asked("a") };
    let yes = GateDecided { gate: "@hook".into(), ..answered("a", "yes") };
    story.start("a", 1).say(asks).say(yes).say(failed("a", 1, ErrorKind::Interrupted));
    story.say(PipeInterrupted { signal: "SIGINT".into(), running: vec![id("a")] });
    let steps = plan(&story.state, &Request::default()).unwrap();
    assert_eq!(picture(steps.clone()), "a continue: it was approved by ann\n");
    story.resume(steps);
    let gate = story.state.node(story.pipe.find("a").unwrap()).gate();
    assert_eq!(gate.and_then(omne_replay::Gate::decision), Some(true));
}

#[test]
fn a_loop_that_begins_anew_says_what_changed() {
    let changed = pipe("- {id: a, loop: {prompt: go on, until: DONE, max_iterations: 3}}");
    let mut story = looping(2);
    story.say(NodeSpawned { node_id: id("a"), attempt: 1, pid: 7, program: "claude".into() });
    let request = Request { pipe: Some(&changed), ..Request::default() };
    let steps = plan(&story.state, &request).unwrap();
    assert_eq!(picture(steps), "a rerun: it was cut off, and `loop` changed\n");
}

#[test]
fn what_was_approved_still_is_when_something_before_it_failed_meanwhile() {
    let mut story =
        Story::of("- {id: a, bash: echo a, always: true}\n- {id: b, depends_on: [a], bash: echo b, gate: g}");
    story.start("a", 1).complete("a").park("b");
    story.say(answered("b", "yes"));
    let steps = plan(&story.state, &Request::default()).unwrap();
    story.resume(steps).start("a", 2).fail("a", None);
    insta::assert_snapshot!(picture(plan(&story.state, &Request::default()).unwrap()), @r"
    a rerun: it failed (crash)
    b continue: it was approved by ann
    ");
}

#[test]
fn a_skipped_node_is_decided_anew_when_what_its_condition_names_runs_again() {
    let nodes = |when: &str| {
        format!(
            "- {{id: a, bash: echo a, always: true}}\n- {{id: b, depends_on: [a], bash: echo b}}\n- {{id: s, depends_on: [b], when: \"{when}\", bash: echo s}}\n- {{id: f, bash: ./f}}"
        )
    };
    let plan_of = |when: &str| {
        let mut story = Story::of(&nodes(when));
        story.start("a", 1).complete("a").start("b", 1).complete("b");
        story
            .say(NodeSkipped { node_id: id("s"), reason: "`when` is false".into() })
            .start("f", 1)
            .fail("f", None);
        let steps = plan(&story.state, &Request::default()).unwrap();
        steps[2].why.clone()
    };
    let anew = "`a` runs again, so it is decided anew";
    assert_eq!(plan_of("nodes.a.outputs.risk == 'low'"), anew);
    assert_eq!(plan_of("nodes[inputs.name].outputs.risk == 'low'"), anew);
    assert_eq!(plan_of("nodes.b.outputs.risk == 'low'"), "it was skipped");
}

#[test]
fn the_reason_of_a_blocked_node_is_what_blocked_it() {
    let mut story = Story::of(
        "- {id: a, bash: echo a, always: true}\n- {id: f, bash: ./f}\n- {id: b, depends_on: [a, f], bash: echo b}",
    );
    story.start("a", 1).complete("a").start("f", 1).fail("f", None);
    let steps = plan(&story.state, &Request::default()).unwrap();
    assert_eq!(steps[2].why, "`f`, which blocked it, runs again");
}

#[test]
fn a_node_that_was_to_run_again_and_did_not_is_no_new_one() {
    let mut story = half();
    story.say(completed("b", 1)).say(PipeInterrupted { signal: "SIGINT".into(), running: Vec::new() });
    let request = Request { from: vec!["a".into()], ..Request::default() };
    let steps = plan(&story.state, &request).unwrap();
    story.resume(steps).start("a", 2);
    let steps = plan(&story.state, &Request::default()).unwrap();
    assert_eq!((steps[1].action, steps[1].why.as_str()), (PlanAction::Rerun, "it has not run again yet"));
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
