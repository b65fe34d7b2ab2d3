//! What follows from an end: which nodes may start or are skipped, once the disk has what they depend on.

use std::cmp::Reverse;

use omne_dag::{Fired, NodeIx};
use omne_events::{NodeSkipped, beginning};
use omne_replay::NodePhase;

use super::{Queues, Run};
use crate::RunError;

/// The most of a condition that an event repeats, in bytes.
const MOST_SHOWN: usize = 1024;

impl Run<'_> {
    /// Takes in what the last events made possible, up to what the disk has confirmed.
    pub(super) fn release(&mut self, queues: &mut Queues) -> Result<(), RunError> {
        // Asked for even if nobody waits: a run does not go on when its log can't be brought to disk.
        let durable = self.log.durable()?;
        queues.unsynced.retain(|(seq, _)| *seq > durable);
        if !queues.held.is_empty() {
            let held = std::mem::take(&mut queues.held);
            let (free, held): (Vec<_>, Vec<_>) = held.into_iter().partition(|(seq, _)| *seq <= durable);
            queues.held = held;
            // What they depend on has ended before they were held: what ended since then is not theirs to wait for.
            for (_, fired) in free {
                self.go_on(queues, fired)?;
            }
        }
        loop {
            let fired = self.state.take_fired();
            if fired.is_empty() {
                return Ok(());
            }
            for fired in fired {
                self.take(queues, fired)?;
            }
        }
    }

    /// The event that has to be on disk before a node may start, or be skipped: the last one by which something that it
    /// depends on ended and that was worth to be waited for.
    fn waits_for(&self, queues: &Queues, node: NodeIx) -> Option<u64> {
        let latest = queues.unsynced.last().map(|(seq, _)| *seq)?;
        let ended = |dependency: NodeIx| queues.unsynced.iter().rfind(|(_, node)| *node == dependency);
        let mut until = None;
        for &dependency in self.state.pipe()?.graph().dependencies(node) {
            match self.state.node(dependency).phase {
                // What never ran depends on something itself, and so on; no need to look for what it was.
                NodePhase::Skipped | NodePhase::Blocked => return Some(latest),
                // Nor for what was kept: something before it may have run again.
                NodePhase::Completed if self.state.ended_before(self.state.node(dependency)) => {
                    return Some(latest);
                }
                _ => until = until.max(ended(dependency).map(|(seq, _)| *seq)),
            }
        }
        until
    }

    fn take(&mut self, queues: &mut Queues, fired: Fired) -> Result<(), RunError> {
        if let Fired::Ready(node) | Fired::Skip(node, _) = fired
            && let Some(seq) = self.waits_for(queues, node)
        {
            queues.held.push((seq, fired));
            return Ok(());
        }
        self.go_on(queues, fired)
    }

    fn go_on(&mut self, queues: &mut Queues, fired: Fired) -> Result<(), RunError> {
        match fired {
            Fired::Blocked(_) => Ok(()),
            Fired::Ready(node) => self.consider(queues, node),
            Fired::Skip(node, cause) => {
                let Some(pipe) = self.state.pipe() else { return Ok(()) };
                let reason = format!("`{}`, which it needs, was skipped", pipe.node(cause).id);
                let node_id = pipe.node(node).id.clone();
                self.record(queues, NodeSkipped { node_id, reason }.into())
            }
        }
    }

    /// A node whose rule has fired: its condition decides whether it runs.
    fn consider(&mut self, queues: &mut Queues, node: NodeIx) -> Result<(), RunError> {
        let Some(pipe) = self.state.pipe().cloned() else { return Ok(()) };
        let Some(when) = &pipe.node(node).when() else {
            queues.ready.push(Reverse(node));
            return Ok(());
        };
        let held =
            self.bindings(when).and_then(|bindings| when.holds(&bindings).map_err(|error| error.to_string()));
        match held {
            Ok(true) => {
                queues.ready.push(Reverse(node));
                Ok(())
            }
            Ok(false) => {
                let reason = format!("`when` is false: {}", beginning(when.source(), MOST_SHOWN));
                self.record(queues, NodeSkipped { node_id: pipe.node(node).id.clone(), reason }.into())
            }
            Err(error) => self.fail_before(queues, node, format!("`when` can not be evaluated: {error}")),
        }
    }
}
