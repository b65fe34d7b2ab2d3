//! What no log may say.

use omne_events::*;
use omne_replay::{NodePhase, Violation};

use crate::story::{Story, answered, asked, completed, failed, id};

const CHAIN: &str = "- {id: a, bash: echo a}\n- {id: b, depends_on: [a], bash: echo b}";

#[test]
fn nothing_starts_before_its_dependencies_allow_it() {
    let mut story = Story::of(CHAIN);
    let started = story.started("b", 1);
    assert_eq!(
        story.blurt(started),
        Some(Violation::Start { node: id("b"), why: "before its dependencies allow it" })
    );
}

#[test]
fn a_completed_node_never_starts_again() {
    let mut story = Story::of(CHAIN);
    story.start("a", 1).complete("a");
    let started = story.started("a", 2);
    assert_eq!(story.blurt(started), Some(Violation::Start { node: id("a"), why: "after it had completed" }));
}

#[test]
fn a_start_has_one_end() {
    let mut story = Story::of(CHAIN);
    story.start("a", 1).complete("a");
    assert_eq!(
        story.blurt(completed("a", 1)),
        Some(Violation::NotRunning { node: id("a"), event: "node.completed" })
    );
    let mut story = Story::of(CHAIN);
    story.start("a", 1);
    let started = story.started("a", 2);
    assert_eq!(story.blurt(started), Some(Violation::Start { node: id("a"), why: "while it runs" }));
}

#[test]
fn attempts_are_counted() {
    let mut story = Story::of(CHAIN);
    let started = story.started("a", 2);
    assert_eq!(story.blurt(started), Some(Violation::Attempt { node: id("a"), found: 2, expected: 1 }));
    let mut story = Story::of(CHAIN);
    story.start("a", 1);
    assert_eq!(
        story.blurt(failed("a", 7, ErrorKind::Crash)),
        Some(Violation::Attempt { node: id("a"), found: 7, expected: 1 })
    );
}

#[test]
fn nothing_follows_the_end_but_a_resume() {
    let mut story = Story::of("- {id: a, bash: echo a}");
    story.start("a", 1).complete("a").say(PipeCompleted { duration_ms: 1 });
    let skipped = NodeSkipped { node_id: id("a"), reason: "late".into() };
    assert_eq!(
        story.blurt(skipped),
        Some(Violation::AfterEnd { event: "node.skipped".into(), end: "pipe.completed" })
    );
}

#[test]
fn a_run_does_not_complete_while_nodes_are_open() {
    let mut story = Story::of(CHAIN);
    story.start("a", 1);
    assert_eq!(story.blurt(PipeCompleted { duration_ms: 1 }), Some(Violation::CompletedEarly(2)));
}

#[test]
fn a_run_does_not_complete_with_a_node_that_failed() {
    let mut story = Story::of("- {id: a, bash: echo a}");
    story.start("a", 1).say(failed("a", 1, ErrorKind::Crash));
    assert_eq!(story.blurt(PipeCompleted { duration_ms: 1 }), Some(Violation::CompletedUnwell(1)));
}

#[test]
fn no_run_ends_while_a_node_runs() {
    let ends: [fn() -> Event; 3] = [
        || PipeInterrupted { signal: "SIGINT".into(), running: Vec::new() }.into(),
        || PipeParked { waiting: Vec::new() }.into(),
        || {
            PipeAborted {
                reason: "cancelled".into(),
                failed: Vec::new(),
                failed_total: None,
                blocked: Vec::new(),
                blocked_total: None,
                duration_ms: 1,
            }
            .into()
        },
    ];
    for end in ends {
        let mut story = Story::of(CHAIN);
        story.start("a", 1);
        let event = end().kind();
        assert_eq!(story.blurt(end()), Some(Violation::EndedEarly { event, running: 1 }));
    }
}

#[test]
fn a_node_that_waited_for_another_attempt_has_failed_when_the_run_ends() {
    let mut story = Story::of(CHAIN);
    let waits = NodeFailed { retry_in_ms: Some(1000), ..failed("a", 1, ErrorKind::Crash) };
    story.start("a", 1).say(waits).say(PipeInterrupted { signal: "SIGINT".into(), running: Vec::new() });
    let phases: Vec<_> = story.state.nodes().map(|(_, _, record)| record.phase).collect();
    assert_eq!(phases, [NodePhase::Failed, NodePhase::Blocked]);
}

#[test]
fn a_plan_gives_its_reasons_and_resumes_are_counted() {
    let mut story = Story::of(CHAIN);
    let resumed = |resume, why: &str| PipeResumed {
        resume,
        definition: None,
        definition_sha256: None,
        inputs: None,
        plan: vec![PlanStep { node_id: id("a"), action: PlanAction::Run, why: why.into() }],
        host: None,
        by: None,
    };
    assert_eq!(story.blurt(resumed(1, "")), Some(Violation::NoWhy(id("a"))));
    assert_eq!(story.blurt(resumed(5, "because")), Some(Violation::Resume { found: 5, expected: 2 }));
}

#[test]
fn unknown_nodes_have_no_events() {
    let mut story = Story::of(CHAIN);
    let skipped = NodeSkipped { node_id: id("z"), reason: "?".into() };
    assert_eq!(story.blurt(skipped), Some(Violation::UnknownNode(id("z"))));
}

#[test]
fn iterations_count_up() {
    let mut story = Story::of("- {id: a, loop: {prompt: go, until: DONE}}");
    let iteration = |iteration| IterationStarted {
        node_id: id("a"),
        attempt: 1,
        iteration,
        byte_offset: 0,
        session_id: Some("s".into()),
    };
    story.start("a", 1);
    assert_eq!(story.blurt(iteration(1)), None);
    assert_eq!(story.blurt(iteration(2)), None);
    assert_eq!(story.blurt(iteration(4)), Some(Violation::Iteration { node: id("a"), found: 4, before: 2 }));
}

#[test]
fn a_node_that_asks_completes_only_when_the_answer_was_yes() {
    let unapproved = |why| Some(Violation::Unapproved { node: id("a"), why });
    let asking = || {
        let mut story = Story::of(CHAIN);
        story.start("a", 1).say(asked("a"));
        story
    };
    assert_eq!(asking().blurt(completed("a", 1)), unapproved("was not answered"));
    let mut story = asking();
    story.say(answered("a", "no"));
    assert_eq!(story.blurt(completed("a", 1)), unapproved("was answered with no"));
    let mut story = asking();
    story.say(answered("a", "yes"));
    assert_eq!(story.blurt(completed("a", 1)), None);
    let mut story = asking();
    // One that was passed by people has been answered, too.
    let method = GateMethod::HumanCli;
    let by = Some("ann".into());
    story.say(GatePassed { node_id: id("a"), gate: "g".into(), method, stdout: None, by, comment: None });
    assert_eq!(story.blurt(completed("a", 1)), None);
}

/// A run that was parked at a's question and, with that answer or none, resumed.
fn gone_on(answer: Option<&str>) -> Story {
    let mut story = Story::of("- {id: a, bash: echo a, gate: g}");
    story.park("a");
    if let Some(option) = answer {
        story.say(answered("a", option));
    }
    story.resume(vec![PlanStep {
        node_id: id("a"),
        action: PlanAction::Continue,
        why: "it waits for a decision".into(),
    }]);
    story.start("a", 2);
    story
}

#[test]
fn an_answer_holds_in_the_attempt_that_goes_on_after_it() {
    let unapproved = |why| Some(Violation::Unapproved { node: id("a"), why });
    let passed = |method| GatePassed {
        node_id: id("a"),
        gate: "g".into(),
        method,
        stdout: None,
        by: None,
        comment: None,
    };
    for (answer, method, verdict) in [
        (Some("yes"), GateMethod::HumanCli, None),
        (Some("no"), GateMethod::HumanCli, unapproved("was answered with no")),
        (None, GateMethod::HumanCli, None),
        (None, GateMethod::Hook, unapproved("was not answered")),
    ] {
        let mut story = gone_on(answer);
        story.say(passed(method));
        assert_eq!(story.blurt(completed("a", 2)), verdict, "{answer:?} {method:?}");
    }
    assert_eq!(gone_on(Some("no")).blurt(completed("a", 2)), unapproved("was answered with no"));
}

#[test]
fn a_round_ends_once_and_while_it_is_under_way() {
    let begins = |iteration| IterationStarted {
        node_id: id("a"),
        attempt: 1,
        iteration,
        byte_offset: 0,
        session_id: None,
    };
    let ends = |iteration| IterationCompleted {
        node_id: id("a"),
        attempt: 1,
        iteration,
        outcome: IterationOutcome::Continue,
        usage: None,
    };
    let wrong = |found| Some(Violation::IterationEnd { node: id("a"), found });
    let mut story = Story::of("- {id: a, loop: {prompt: go, until: DONE}}");
    story.start("a", 1);
    assert_eq!(story.blurt(ends(1)), wrong(1));
    story.say(begins(1)).say(ends(1));
    assert_eq!(story.blurt(ends(1)), wrong(1));
    story.say(begins(2));
    assert_eq!(story.blurt(ends(1)), wrong(1));
}

#[test]
fn no_runner_goes_on_after_an_end_without_a_resume() {
    let ends: [(&str, Event); 2] = [
        ("pipe.interrupted", PipeInterrupted { signal: "SIGINT".into(), running: Vec::new() }.into()),
        ("pipe.parked", PipeParked { waiting: Vec::new() }.into()),
    ];
    for (end, event) in ends {
        let mut story = Story::of(CHAIN);
        story.start("a", 1).complete("a").say(event);
        let started = story.started("b", 1);
        assert_eq!(story.blurt(started), Some(Violation::AfterEnd { event: "node.started".into(), end }));
    }
}
