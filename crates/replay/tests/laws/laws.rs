//! Properties of every log.

use omne_events::{ErrorKind, LogReader, NodeFailed, PipeAborted, PipeCompleted, PlanAction};
use omne_replay::{NodePhase, Request, RunPhase, Terms, plan, verify};
use proptest::prelude::*;

use crate::story::{Story, failed, folded, seen};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Resume,
    Stop,
}

/// A random pipe of `n` nodes, each of which depends on some before it, told with random outcomes and perhaps a resume.
fn told(edges: &[Vec<prop::sample::Index>], outcomes: &[u8], then: Then) -> Story {
    let mut nodes = String::new();
    for (place, picks) in edges.iter().enumerate() {
        let mut on: Vec<String> = if place == 0 {
            Vec::new()
        } else {
            picks.iter().map(|pick| format!("n{}", pick.index(place))).collect()
        };
        on.sort();
        on.dedup();
        nodes += &format!("- {{id: n{place}, bash: echo, depends_on: [{}]}}\n", on.join(", "));
    }
    let mut story = Story::of(&nodes);
    tell(&mut story, outcomes);
    if then == Then::Resume && story.state.phase() == RunPhase::Aborted {
        let steps = plan(&story.state, &Request::default()).unwrap();
        story.resume(steps);
        tell(&mut story, &[2]);
    }
    story
}

fn tell(story: &mut Story, outcomes: &[u8]) {
    let pipe = story.pipe.clone();
    for &node in pipe.graph().order() {
        let record = story.state.node(node);
        let ready = pipe
            .graph()
            .dependencies(node)
            .iter()
            .all(|d| story.state.node(*d).phase == NodePhase::Completed);
        if record.phase != NodePhase::Pending || !ready {
            continue;
        }
        let id = pipe.node(node).id.as_str().to_owned();
        let attempt = record.attempt + 1;
        story.start(&id, attempt);
        match outcomes[node.place() % outcomes.len()] {
            0 => story.fail(&id, None),
            1 => {
                story.say(NodeFailed { retry_in_ms: Some(5), ..failed(&id, attempt, ErrorKind::Timeout) });
                story.start(&id, attempt + 1).complete(&id)
            }
            _ => story.complete(&id),
        };
    }
    let done = |phase| story.state.nodes().all(|(_, _, r)| r.phase == phase);
    if done(NodePhase::Completed) {
        story.say(PipeCompleted { duration_ms: 1 });
    } else {
        let (failed, blocked) = (vec![], vec![]);
        let aborted = PipeAborted {
            reason: "told".into(),
            failed,
            blocked,
            failed_total: None,
            blocked_total: None,
            duration_ms: 1,
        };
        story.say(aborted);
    }
}

fn any_story() -> impl Strategy<Value = Story> {
    let edges = prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..8);
    (edges, prop::collection::vec(0..4u8, 1..8), any::<bool>()).prop_map(|(edges, outcomes, resume)| {
        told(&edges, &outcomes, if resume { Then::Resume } else { Then::Stop })
    })
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes()))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_fold_of_a_log_is_the_live_state(story in any_story()) {
        prop_assert_eq!(seen(&folded(&story.bytes()).state), seen(&story.state));
    }

    #[test]
    fn a_valid_log_has_no_finding(story in any_story()) {
        let bytes = story.bytes();
        let report = verify(&mut LogReader::new(&bytes[..], "log".as_ref()), Terms::default()).unwrap();
        prop_assert_eq!(report.findings, vec![]);
    }

    #[test]
    fn any_prefix_folds_and_stopping_anywhere_changes_nothing(story in any_story(), at in any::<prop::sample::Index>()) {
        let bytes = story.bytes();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
        let cut = at.index(lines.len()) + 1;
        let mut state = folded(&lines[..cut].concat()).state;
        let mut decoder = omne_events::Decoder::new();
        for line in &lines[cut..] {
            let omne_events::Line::Known(record) = decoder.decode(line.strip_suffix(b"\n").unwrap()).unwrap().line.into_line() else { panic!() };
            state.apply(&record).unwrap();
        }
        prop_assert_eq!(seen(&state), seen(&story.state));
    }

    #[test]
    fn a_plan_keeps_exactly_what_completed(story in any_story()) {
        let steps = plan(&story.state, &Request::default()).unwrap();
        for (step, (id, _, record)) in steps.iter().zip(story.state.nodes()) {
            prop_assert_eq!(&step.node_id, id);
            prop_assert_eq!(step.action == PlanAction::Keep, record.phase == NodePhase::Completed);
            prop_assert!(!step.why.is_empty());
        }
    }

    #[test]
    fn one_changed_byte_is_always_found(story in any_story(), at in any::<prop::sample::Index>(), bit in 0..7u8) {
        let mut bytes = story.bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let report = verify(&mut LogReader::new(&bytes[..], "log".as_ref()), Terms::default()).unwrap();
        // The last line's own bytes are not linked to by any other; what is not checked by a rule there needs an anchor.
        let last_line = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        prop_assert!(at >= last_line || !report.findings.is_empty());
    }
}
