//! One event, one line.

use std::time::Duration;

use omne_events::{Event, IterationOutcome, PlanAction};
use omne_exec::Asker;
use omne_pipe::format_duration;

use super::visible;

fn took(ms: u64) -> String {
    format_duration(Duration::from_millis(ms))
}

/// What happened, in a few words.
pub(crate) fn describe(event: &Event) -> String {
    let text = match event {
        Event::PipeStarted(e) => {
            let mode = e.workspace.as_ref().map_or("", |workspace| workspace.mode.as_str());
            format!("{} started ({mode})", e.pipe)
        }
        Event::PipeResumed(e) => {
            let again = e.plan.iter().filter(|step| step.action != PlanAction::Keep).count();
            format!("resume {}: {again} of {} nodes to run", e.resume, e.plan.len())
        }
        Event::PipeCompleted(e) => format!("completed in {}", took(e.duration_ms)),
        Event::PipeAborted(e) => format!("aborted after {}: {}", took(e.duration_ms), e.reason),
        Event::PipeInterrupted(e) => format!("interrupted by {}", e.signal),
        Event::PipeParked(e) => format!("parked, {} node(s) wait for a decision", e.waiting.len()),
        Event::NodeStarted(e) if e.attempt > 1 => format!("{} started (attempt {})", e.node_id, e.attempt),
        Event::NodeStarted(e) => format!("{} started", e.node_id),
        Event::NodeSpawned(e) => format!("{} spawned, process {}", e.node_id, e.pid),
        Event::NodeCompleted(e) => {
            let cost = e.usage.and_then(|usage| usage.cost_usd).map(|usd| format!(", {usd:.4} USD"));
            let denied = e.denied_tools.as_ref().map(|tools| format!(", refused: {}", tools.join(", ")));
            let extra = [cost, denied].into_iter().flatten().collect::<String>();
            format!("{} completed in {}{extra}", e.node_id, took(e.duration_ms))
        }
        Event::NodeFailed(e) => {
            let how = match (e.exit_code, e.signal) {
                (Some(code), _) => format!(", exit code {code}"),
                (None, Some(signal)) => format!(", signal {signal}"),
                (None, None) => String::new(),
            };
            let class = e.error.class.as_ref().map(|class| format!(" ({class})")).unwrap_or_default();
            let again =
                e.retry_in_ms.map_or_else(String::new, |ms| format!("; next attempt in {}", took(ms)));
            format!(
                "{} failed after {}: {}{class}{how}{again}",
                e.node_id,
                took(e.duration_ms),
                e.error.kind.as_str()
            )
        }
        Event::NodeSkipped(e) => format!("{} skipped: {}", e.node_id, e.reason),
        Event::IterationStarted(e) => format!("{} iteration {} started", e.node_id, e.iteration),
        Event::IterationCompleted(e) => {
            let outcome = match e.outcome {
                IterationOutcome::Until => "done",
                IterationOutcome::Blocked => "blocked",
                IterationOutcome::Continue => "to be continued",
                IterationOutcome::Failed => "failed",
            };
            format!("{} iteration {}: {outcome}", e.node_id, e.iteration)
        }
        Event::AgentStarted(e) => format!("{} uses {}", e.node_id, e.agent),
        Event::AgentTool(e) => {
            format!("{} tool {} {}", e.node_id, e.tool, e.summary.as_deref().unwrap_or_default())
        }
        Event::GatePassed(e) => format!("{} passed the gate {}", e.node_id, e.gate),
        Event::GateWaiting(e) => match Asker::of(&e.gate) {
            Asker::Gate => format!("{} waits at the gate {}: {}", e.node_id, e.gate, e.prompt),
            Asker::Step => format!("{} waits for people: {}", e.node_id, e.prompt),
            Asker::Run => format!("{} waits, and the run with it: {}", e.node_id, e.prompt),
        },
        Event::GateDecided(e) => format!("{} gate {}: {} by {}", e.node_id, e.gate, e.option, e.by),
        Event::HookDecided(e) => format!("hook {} on {}", e.hook, e.event),
    };
    // One line an event, whatever is in it.
    visible(&text).replace('\n', " ")
}
