//! What a resume does with each node, and why.

use omne_dag::NodeIx;
use omne_events::{ErrorKind, PlanAction, PlanStep};
use omne_pipe::{Commands, Identities, Node, Pipe, Values, difference};

use crate::{NodePhase, NodeRecord, RunState};

/// How a run is to be resumed.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// Nodes to run again, with all that depends on them.
    pub from: Vec<String>,
    /// Go on with this pipe instead of the one in the log.
    pub pipe: Option<&'a Pipe>,
    /// Its inputs, where they are not those of the log.
    pub inputs: Option<&'a Values>,
    /// The commands that it names, as they are now.
    pub commands: Commands,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The log does not carry its definition.
    #[error("the log is of omne-cli 0.2 and does not carry its pipe")]
    NoDefinition,
    /// `--from` names a node that the pipe lacks.
    #[error("the pipe has no node `{0}`")]
    UnknownNode(String),
}

/// A step for each node, in the pipe's order.
///
/// # Errors
/// When the log has no definition or a node does not exist.
pub fn plan(state: &RunState, request: &Request<'_>) -> Result<Vec<PlanStep>, PlanError> {
    let old = state.pipe().ok_or(PlanError::NoDefinition)?;
    let pipe = request.pipe.unwrap_or(old);
    let mut from = Vec::new();
    for id in &request.from {
        from.push(pipe.find(id).ok_or_else(|| PlanError::UnknownNode(id.clone()))?);
    }
    let below_from = pipe.graph().descendants(from.iter().copied());
    let mut identities = Identities::new(pipe, request.commands.clone());
    let mut steps: Vec<Option<(PlanAction, String)>> = vec![None; pipe.nodes().len()];
    for &node in pipe.graph().order() {
        let id = pipe.node(node).id.as_str();
        let rerun = |why: String| (PlanAction::Rerun, why);
        let step = match state.find(id) {
            None => (PlanAction::Run, "it is new in the changed pipe".to_owned()),
            Some(_) if from.contains(&node) => rerun("asked for by `--from`".into()),
            Some(_) if below_from[node.place()] => {
                let root = from.iter().find(|root| pipe.graph().descendants([**root])[node.place()]);
                rerun(format!(
                    "it depends on `{}`, named by `--from`",
                    root.map_or("?", |r| pipe.node(*r).id.as_str())
                ))
            }
            Some(before) => {
                let inputs = request.inputs.unwrap_or(state.inputs());
                let (was, is) = ((&**old, before, state.inputs()), (pipe, node, inputs));
                let record = state.node(before);
                // The text of a command is what it is now, also in the pipe of the log.
                let is_compared = request.pipe.is_some() || record.stands_before_people();
                let changed = record.node_sha256.filter(|_| is_compared).and_then(|digest| {
                    (identities.of(pipe, inputs, node) != digest).then(|| what_changed(was, is, &steps))
                });
                step(state, was, is, changed, &steps)
            }
        };
        steps[node.place()] = Some(step);
    }
    // A node that never ran is no rerun, whatever sent it to run.
    let with_node = |(node, step): (&omne_pipe::Node, Option<(PlanAction, String)>)| {
        let (mut action, why) = step.unwrap_or((PlanAction::Run, "it has not run yet".into()));
        let ran = state.find(node.id.as_str()).is_some_and(|ix| state.node(ix).attempt > 0);
        if action == PlanAction::Rerun && !ran {
            action = PlanAction::Run;
        }
        PlanStep { node_id: node.id.clone(), action, why }
    };
    Ok(pipe.nodes().iter().zip(steps).map(with_node).collect())
}

fn step(
    state: &RunState,
    was: (&Pipe, NodeIx, &Values),
    is: (&Pipe, NodeIx, &Values),
    changed: Option<String>,
    steps: &[Option<(PlanAction, String)>],
) -> (PlanAction, String) {
    let ((_, before, _), (pipe, node, _)) = (was, is);
    let record = state.node(before);
    // One that would have gone on says what keeps it from that.
    let was_loop = pipe.node(node).rounds().is_some();
    match record.phase {
        NodePhase::Completed => match changed {
            Some(what) => (PlanAction::Rerun, what),
            None if pipe.node(node).always => (PlanAction::Rerun, "it says `always: true`".into()),
            None => (PlanAction::Keep, "it completed".into()),
        },
        NodePhase::Failed => {
            let kind = record.error().map_or(ErrorKind::Crash, |error| error.kind);
            let was_stopped = matches!(kind, ErrorKind::Interrupted | ErrorKind::Cancelled);
            if changed.is_none() && record.keeps_approval() {
                return (PlanAction::Continue, answer(record).unwrap_or_default());
            }
            match goes_on(record, pipe.node(node)).filter(|_| was_stopped && changed.is_none()) {
                Some(how) => (PlanAction::Continue, format!("its loop was stopped; {how}")),
                None => (
                    PlanAction::Rerun,
                    and(format!("it failed ({})", kind.as_str()), was_loop.then_some(changed).flatten()),
                ),
            }
        }
        NodePhase::Retrying => (PlanAction::Rerun, "it waited for another attempt".into()),
        // What people are or were asked about is what the node was then.
        NodePhase::Running | NodePhase::Waiting if changed.is_some() && record.gate().is_some() => {
            (PlanAction::Rerun, changed.unwrap_or_default())
        }
        NodePhase::Running if answer(record).is_some() => {
            (PlanAction::Continue, answer(record).unwrap_or_default())
        }
        NodePhase::Running if changed.is_none() && record.stands_before_people() => {
            (PlanAction::Continue, how_it_goes_on(record, pipe.node(node)))
        }
        NodePhase::Running => match goes_on(record, pipe.node(node)).filter(|_| changed.is_none()) {
            Some(how) => (PlanAction::Continue, format!("its loop was cut off; {how}")),
            None => (PlanAction::Rerun, and("it was cut off".into(), was_loop.then_some(changed).flatten())),
        },
        NodePhase::Waiting => (PlanAction::Continue, "it waits for a decision".into()),
        // It was to go on when something before it that ran again failed.
        NodePhase::Blocked if record.goes_on && changed.is_none() => {
            (PlanAction::Continue, answer(record).unwrap_or_else(|| how_it_goes_on(record, pipe.node(node))))
        }
        NodePhase::Blocked => {
            let was_unwell = |id: &str| {
                let phase = state.find(id).map(|node| state.node(node).phase);
                phase.is_none_or(|phase| !matches!(phase, NodePhase::Completed | NodePhase::Skipped))
            };
            let mut causes = pipe.graph().dependencies(node).iter().filter(|d| !kept(steps, **d));
            match causes.find(|cause| was_unwell(pipe.node(**cause).id.as_str())) {
                Some(cause) => {
                    (PlanAction::Rerun, format!("`{}`, which blocked it, runs again", pipe.node(*cause).id))
                }
                None => (PlanAction::Rerun, "it was blocked".into()),
            }
        }
        NodePhase::Skipped => {
            match (decided_by(pipe, node).find(|d| !kept(steps, *d)), changed) {
                (Some(cause), _) => {
                    (PlanAction::Run, format!("`{}` runs again, so it is decided anew", pipe.node(cause).id))
                }
                (None, Some(what)) => (PlanAction::Run, what),
                // Its identity is not in the log: it never began.
                (None, None) => match difference(was, is) {
                    Some(what) => (PlanAction::Run, what),
                    None => (PlanAction::Keep, "it was skipped".into()),
                },
            }
        }
        NodePhase::Pending if record.goes_on && changed.is_none() => {
            (PlanAction::Continue, how_it_goes_on(record, pipe.node(node)))
        }
        NodePhase::Pending if record.attempt > 0 => (PlanAction::Rerun, "it has not run again yet".into()),
        NodePhase::Pending => (PlanAction::Run, "it has not run yet".into()),
    }
}

/// Why a node runs again, and why it does not go on.
fn and(why: String, changed: Option<String>) -> String {
    match changed {
        Some(what) => format!("{why}, and {what}"),
        None => why,
    }
}

/// What people have said at the node's gate, in words.
fn answer(record: &NodeRecord) -> Option<String> {
    let gate = record.gate()?;
    let word = if gate.decision()? { "approved" } else { "rejected" };
    Some(format!("it was {word} by {}", gate.by.as_deref().unwrap_or("somebody")))
}

/// What is before a node and decides whether it is skipped: what it depends on, and the ancestors that its condition names.
fn decided_by(pipe: &Pipe, node: NodeIx) -> impl Iterator<Item = NodeIx> {
    let (named, all): (&[String], bool) = match pipe.node(node).when().map(|when| &when.uses().nodes) {
        None => (&[], false),
        Some(Some(named)) => (named, false),
        // It takes them as a whole.
        Some(None) => (&[], true),
    };
    let ancestors = if all { pipe.graph().ancestors(node) } else { Vec::new() };
    let is_one = move |other: &NodeIx| ancestors.get(other.place()) == Some(&true);
    let all = pipe.graph().order().iter().copied().filter(is_one);
    let named = named.iter().filter_map(|id| pipe.find(id));
    pipe.graph().dependencies(node).iter().copied().chain(named).chain(all)
}

/// Why a node that was to go on and has not begun goes on.
fn how_it_goes_on(record: &NodeRecord, node: &Node) -> String {
    let how = goes_on(record, node).unwrap_or_else(|| "it stands at its gate".to_owned());
    format!("it has not gone on yet; {how}")
}

/// How a loop goes on that was cut off or stopped, in words; `None` when it begins anew.
fn goes_on(record: &NodeRecord, node: &Node) -> Option<String> {
    let rare = record.rare.as_ref()?;
    let rounds = node.rounds()?;
    if rare.loop_done {
        return Some("what comes after it is looked at again".to_owned());
    }
    let next = rare.rounds_ended + 1;
    let has_begun = rare.iteration.is_some() && rare.known_session().is_some();
    (has_begun && next <= rounds.max_iterations).then(|| format!("it goes on with iteration {next}"))
}

fn kept(steps: &[Option<(PlanAction, String)>], node: NodeIx) -> bool {
    matches!(steps[node.place()], Some((PlanAction::Keep, _)))
}

/// Why a node is not what it was: its own definition, or what it depends on.
fn what_changed(
    was: (&Pipe, NodeIx, &Values),
    is: (&Pipe, NodeIx, &Values),
    steps: &[Option<(PlanAction, String)>],
) -> String {
    if let Some(own) = difference(was, is) {
        return own;
    }
    let (new, node, _) = is;
    let cause = new.graph().dependencies(node).iter().find(|d| !kept(steps, **d));
    match cause {
        Some(cause) => format!("its dependency `{}` changed", new.node(*cause).id),
        None if new.node(node).command().is_some() => "the text of its command changed".into(),
        None => "what it depends on changed".into(),
    }
}
