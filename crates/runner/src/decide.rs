//! What follows from the state: another attempt, or which end. Pure.

use std::time::Duration;

use omne_events::{ErrorKind, NodeFailed, NodeId, PipeAborted};
use omne_pipe::{Node, RetryOn};
use omne_replay::{NodePhase, NodeRecord, RunState};

/// How many bytes of ids a list in an event may take.
const MOST_IDS: usize = 24 * 1024;

/// How long to wait before another attempt at a node that failed; `None` when there is none.
pub(crate) fn retry_delay(node: &Node, record: &NodeRecord, failed: &NodeFailed) -> Option<Duration> {
    let retry = node.retry()?;
    let in_this_go = failed.attempt.saturating_sub(record.attempts_before);
    if in_this_go > retry.max {
        return None;
    }
    let wanted = retry.on.iter().any(|on| match on {
        RetryOn::Kind(kind) => *kind == failed.error.kind,
        RetryOn::Class(class) => failed.error.class.as_ref() == Some(class),
    });
    let hopeless = matches!(
        failed.error.kind,
        ErrorKind::Cancelled
            | ErrorKind::Interrupted
            | ErrorKind::Denied
            | ErrorKind::BudgetExceeded
            | ErrorKind::HostMissing
    );
    // Another try meets the same key, bill, model and request.
    const HOPELESS: [&str; 4] =
        ["authentication_failed", "billing_error", "model_not_found", "invalid_request"];
    let class = failed.error.class.as_deref();
    let hopeless = hopeless || class.is_some_and(|class| HOPELESS.contains(&class));
    let again = if retry.on.is_empty() { !hopeless } else { wanted };
    again.then(|| retry.delay_after(in_this_go))
}

/// Whether a node failed for good, or can never run.
pub(crate) fn any_unwell(state: &RunState) -> bool {
    state.nodes().any(|(_, _, record)| matches!(record.phase, NodePhase::Failed | NodePhase::Blocked))
}

/// The end of a run in which a node failed, or that was stopped for `cause`.
pub(crate) fn aborted(state: &RunState, cause: Option<String>, duration_ms: u64) -> PipeAborted {
    let of = |phase| {
        let ids: Vec<&NodeId> =
            state.nodes().filter(|(_, _, record)| record.phase == phase).map(|(id, _, _)| id).collect();
        let total = ids.len();
        (clip(ids), total)
    };
    let ((failed, failed_total), (blocked, blocked_total)) = (of(NodePhase::Failed), of(NodePhase::Blocked));
    let list = |what: &str, ids: &[NodeId], total: usize| {
        const SHOWN: usize = 10;
        let names: Vec<&str> = ids.iter().take(SHOWN).map(NodeId::as_str).collect();
        let more =
            if total > names.len() { format!(" and {} more", total - names.len()) } else { String::new() };
        (total > 0).then(|| format!("{what}: {}{more}", names.join(", ")))
    };
    let parts = [cause, list("failed", &failed, failed_total), list("blocked", &blocked, blocked_total)];
    let reason = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let cut = |ids: &[NodeId], total: usize| (ids.len() < total).then_some(total as u64);
    PipeAborted {
        reason,
        failed_total: cut(&failed, failed_total),
        blocked_total: cut(&blocked, blocked_total),
        failed,
        blocked,
        duration_ms,
    }
}

/// As many of the ids as a line can hold.
pub(crate) fn clip<'a>(ids: impl IntoIterator<Item = &'a NodeId>) -> Vec<NodeId> {
    let mut bytes = 0;
    ids.into_iter()
        .take_while(|id| {
            bytes += id.as_str().len() + 3;
            bytes <= MOST_IDS
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use omne_pipe::{NoLookup, Source, check};

    use super::*;

    fn node(retry: &str) -> Node {
        let text = format!("name: p\nversion: 1\nnodes: [{{id: a, bash: 'true', retry: {retry}}}]");
        let pipe = check(&Source::new("p.yaml", text.into_bytes()).unwrap(), &NoLookup).pipe.unwrap();
        pipe.nodes()[0].clone()
    }

    fn failed(attempt: u32, kind: ErrorKind) -> NodeFailed {
        NodeFailed {
            node_id: NodeId::new("a").unwrap(),
            attempt,
            error: kind.into(),
            message: None,
            exit_code: None,
            signal: None,
            duration_ms: 0,
            retry_in_ms: None,
            usage: None,
        }
    }

    #[test]
    fn max_counts_further_attempts() {
        let node = node("{max: 2, delay: 1s, backoff: 3}");
        let delay = |attempt| retry_delay(&node, &NodeRecord::default(), &failed(attempt, ErrorKind::Crash));
        assert_eq!(delay(1), Some(Duration::from_secs(1)));
        assert_eq!(delay(2), Some(Duration::from_secs(3)));
        assert_eq!(delay(3), None);
    }

    #[test]
    fn a_resume_gives_the_retries_anew() {
        let record = NodeRecord { attempts_before: 3, ..NodeRecord::default() };
        assert!(retry_delay(&node("{max: 1}"), &record, &failed(4, ErrorKind::Crash)).is_some());
        assert!(retry_delay(&node("{max: 1}"), &record, &failed(5, ErrorKind::Crash)).is_none());
    }

    #[test]
    fn only_the_failures_named_are_retried_and_never_an_interrupt() {
        let record = NodeRecord::default();
        let on_timeout = node("{max: 1, on: [timeout]}");
        assert!(retry_delay(&on_timeout, &record, &failed(1, ErrorKind::Timeout)).is_some());
        assert!(retry_delay(&on_timeout, &record, &failed(1, ErrorKind::Crash)).is_none());
        assert!(retry_delay(&node("{max: 1}"), &record, &failed(1, ErrorKind::Interrupted)).is_none());
    }

    #[test]
    fn an_agent_is_asked_again_unless_the_answer_would_be_the_same() {
        let record = NodeRecord::default();
        let of = |node: &Node, class: &str| {
            let mut failed = failed(1, ErrorKind::AgentError);
            failed.error.class = Some(class.into());
            retry_delay(node, &record, &failed).is_some()
        };
        let any = node("{max: 1}");
        assert!(of(&any, "rate_limit") && of(&any, "server_error"));
        assert!(!of(&any, "authentication_failed") && !of(&any, "invalid_request"));
        let limited = node("{max: 1, on: [rate_limit]}");
        assert!(of(&limited, "rate_limit") && !of(&limited, "server_error"));
    }

    #[test]
    fn a_list_of_ids_fits_a_line() {
        let ids: Vec<NodeId> = (0..10_000).map(|i| NodeId::new(format!("some-node-{i}")).unwrap()).collect();
        let kept = clip(&ids);
        assert!(kept.len() < ids.len());
        assert!(serde_json::to_string(&kept).unwrap().len() <= MOST_IDS + 2);
    }
}
