//! The causes of a node's state, back to the first event that made it so.

use std::collections::VecDeque;

use omne_dag::{NodeIx, TriggerRule};
use omne_events::{ErrorKind, HookVerdict, NodeId};
use omne_pipe::{Pipe, format_duration};
use omne_replay::{NodePhase, NodeRecord};
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::{Attempt, MarkKind, Outcome, Story};

/// Why a node is what it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// The node.
    pub node_id: NodeId,
    /// Its state.
    pub state: &'static str,
    /// What happened, a sentence a line; the first tells the state, later ones what led to it.
    pub because: Vec<String>,
    /// The event that made it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The nodes that made it so; their causes follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<NodeId>,
}

/// The causes of a node's state: its own first, then those of the nodes that made it so, each once. `None` when the log
/// does not carry its pipe (omne-cli 0.2) or has no such node.
pub fn why(story: &Story, node: &str) -> Option<Vec<Cause>> {
    let pipe = story.state.pipe()?;
    let first = pipe.find(node)?;
    let mut attempts: FxHashMap<&NodeId, Vec<&Attempt>> = FxHashMap::default();
    for attempt in &story.attempts {
        attempts.entry(&attempt.node).or_default().push(attempt);
    }
    let mut seen = vec![false; pipe.nodes().len()];
    let mut causes = Vec::new();
    let mut queue = VecDeque::from([first]);
    seen[first.place()] = true;
    while let Some(next) = queue.pop_front() {
        let of_node = attempts.get(&pipe.node(next).id).map(Vec::as_slice).unwrap_or_default();
        let (cause, from) = one(story, pipe, next, of_node);
        for node in from {
            if !std::mem::replace(&mut seen[node.place()], true) {
                queue.push_back(node);
            }
        }
        causes.push(cause);
    }
    Some(causes)
}

fn one(story: &Story, pipe: &Pipe, node: NodeIx, attempts: &[&Attempt]) -> (Cause, Vec<NodeIx>) {
    let record = story.state.node(node);
    let id = &pipe.node(node).id;
    let last = attempts.last().copied();
    let mut from = Vec::new();
    let mut seq = last.map(|attempt| attempt.ended_seq.unwrap_or(attempt.seq));
    let mut because = match record.phase {
        NodePhase::Completed => vec![completed(attempts)],
        NodePhase::Failed => failed(story, id, record, attempts),
        NodePhase::Retrying => vec!["its last attempt failed, and another one was to follow".to_owned()],
        NodePhase::Blocked => {
            from = unwell(story, pipe, node);
            let is_behind =
                from.first().is_some_and(|first| !pipe.graph().dependencies(node).contains(first));
            let behind = is_behind.then(|| "what it depends on had completed before".to_owned());
            [blocked(pipe, node)].into_iter().chain(behind).collect()
        }
        NodePhase::Skipped => {
            let mark =
                story.marks.iter().rev().find(|mark| {
                    mark.node.as_ref() == Some(id) && matches!(mark.kind, MarkKind::Skipped { .. })
                });
            seq = mark.map(|mark| mark.seq);
            let skipped = |node: &NodeIx| story.state.node(*node).phase == NodePhase::Skipped;
            let reason = match mark.map(|mark| &mark.kind) {
                Some(MarkKind::Skipped { reason }) => reason.clone(),
                _ => "it did not have to run".to_owned(),
            };
            if !reason.starts_with("`when`") {
                from = pipe.graph().dependencies(node).iter().copied().filter(skipped).collect();
            }
            vec![reason]
        }
        NodePhase::Running => vec![match last {
            Some(attempt) => {
                format!("attempt {} began at {} and has not ended", attempt.number, attempt.started)
            }
            None => "it runs".to_owned(),
        }],
        NodePhase::Waiting => {
            let gate = record.gate();
            let prompt = gate.and_then(|gate| gate.prompt.as_deref()).unwrap_or("a decision");
            vec![format!("it waits for people: {prompt}")]
        }
        NodePhase::Pending => {
            let open = |node: &NodeIx| !story.state.node(*node).phase.is_final();
            from = pipe.graph().dependencies(node).iter().copied().filter(open).collect();
            seq = None;
            vec![pending(story, &from)]
        }
    };
    because.extend(earlier(story, attempts));
    let names = from.iter().map(|node| pipe.node(*node).id.clone()).collect();
    (Cause { node_id: id.clone(), state: record.phase.as_str(), because, seq, from: names }, from)
}

fn completed(attempts: &[&Attempt]) -> String {
    match attempts.last() {
        Some(attempt) => {
            let took = attempt
                .duration_ms
                .map(|ms| format!(" in {}", format_duration(std::time::Duration::from_millis(ms))));
            format!("attempt {} completed{}", attempt.number, took.unwrap_or_default())
        }
        None => "it completed".to_owned(),
    }
}

/// What failed it: in words, and who or what was behind that.
fn failed(story: &Story, id: &NodeId, record: &NodeRecord, attempts: &[&Attempt]) -> Vec<String> {
    let Some(error) = record.error() else { return vec!["it failed".to_owned()] };
    let class = error.class.as_deref().map(|class| format!(" ({class})")).unwrap_or_default();
    let mut because = vec![format!("it failed with {}{class}", error.kind.as_str())];
    because.extend(
        record.message().map(|message| message.trim_end().to_owned()).filter(|text| !text.is_empty()),
    );
    because.extend(record.exit_code.filter(|code| *code != 0).map(|code| format!("exit code {code}")));
    let signal = record.rare.as_ref().and_then(|rare| rare.signal);
    because.extend(signal.map(|signal| format!("ended by signal {signal}")));
    // An attempt that was parked goes on in the next one: what people said stands between the two.
    let begin = attempts.iter().rposition(|attempt| attempt.outcome != Outcome::Open).unwrap_or(0);
    let begin = (0..begin)
        .rev()
        .take_while(|place| attempts[*place].outcome == Outcome::Open)
        .last()
        .unwrap_or(begin);
    let since = attempts.get(begin).map_or(0, |attempt| attempt.seq);
    for mark in story.marks.iter().filter(|mark| mark.seq > since && mark.node.as_ref() == Some(id)) {
        match &mark.kind {
            MarkKind::Hook { event, hook, decision: HookVerdict::Deny, reason, .. } => {
                let reason = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
                because.push(format!("the hook `{hook}` denied it at {event}{reason} (event {})", mark.seq));
            }
            MarkKind::Decided { approved: false, by, comment, .. } => {
                let comment = comment.as_deref().map(|comment| format!(": {comment}")).unwrap_or_default();
                because.push(format!("{by} rejected it{comment} (event {})", mark.seq));
            }
            _ => {}
        }
    }
    if matches!(error.kind, ErrorKind::Cancelled | ErrorKind::Interrupted) {
        let end = story.goes.last().and_then(|go| go.end.as_ref());
        because.extend(end.map(|end| {
            let reason = end.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("the run was {}{reason}", end.state)
        }));
    }
    because
}

fn blocked(pipe: &Pipe, node: NodeIx) -> String {
    match pipe.node(node).trigger_rule {
        TriggerRule::AllSuccess => "it needs all of its dependencies to complete".to_owned(),
        TriggerRule::OneSuccess => "it needs one of its dependencies to complete, and none did".to_owned(),
        TriggerRule::NoneFailed => "it needs none of its dependencies to fail".to_owned(),
        TriggerRule::AllDone => "it needs all of its dependencies to end".to_owned(),
    }
}

/// What keeps a node from running: of its dependencies, or else of what is before those that had completed already.
fn unwell(story: &Story, pipe: &Pipe, node: NodeIx) -> Vec<NodeIx> {
    let is_unwell =
        |node: &NodeIx| matches!(story.state.node(*node).phase, NodePhase::Failed | NodePhase::Blocked);
    let dependencies = pipe.graph().dependencies(node);
    let unwell: Vec<NodeIx> = dependencies.iter().copied().filter(is_unwell).collect();
    if !unwell.is_empty() {
        return unwell;
    }
    let above = pipe.graph().ancestors(node);
    let behind: Vec<NodeIx> =
        pipe.graph().nodes().filter(|node| above[node.place()] && is_unwell(node)).collect();
    // One that needs one success can be blocked by skipped ones alone.
    if behind.is_empty() { dependencies.to_vec() } else { behind }
}

fn pending(story: &Story, waits_for: &[NodeIx]) -> String {
    let end = story.goes.last().and_then(|go| go.end.as_ref());
    match end {
        Some(end) => {
            let reason = end.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("the run was {}{reason} before it could start", end.state)
        }
        None if !waits_for.is_empty() => "what it needs has not ended".to_owned(),
        None => "it has not started: it waits for room, or its runner is gone".to_owned(),
    }
}

/// What earlier attempts came to.
fn earlier(story: &Story, attempts: &[&Attempt]) -> Vec<String> {
    let before = attempts.len().saturating_sub(1);
    let describe = |attempt: &&Attempt| match &attempt.outcome {
        Outcome::Completed => format!("attempt {} had completed, and it ran again", attempt.number),
        Outcome::Open => match story.go_of(attempt.seq).and_then(|go| go.end.as_ref()) {
            Some(end) if end.state == "parked" => format!("attempt {} waited for people", attempt.number),
            _ => format!("attempt {} was cut off: its runner died", attempt.number),
        },
        Outcome::Failed { error, message, .. } => {
            let message = message.as_deref().and_then(|message| message.lines().last());
            let message = message.map(|message| format!(": {}", message.trim())).unwrap_or_default();
            format!("attempt {} failed with {}{message}", attempt.number, error.kind.as_str())
        }
    };
    attempts[..before].iter().map(describe).collect()
}
