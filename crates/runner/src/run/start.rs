//! What a node needs to start: its identity, its prompt, what it is told of others.

use std::borrow::Cow;

use omne_dag::NodeIx;
use omne_events::{Digest, ErrorKind, NodeFailed, NodeStarted, Placeholders};
use omne_exec::{Ask, Attempt};
use omne_pipe::{Bindings, Template};
use omne_replay::NodePhase;

use super::{MOST_CAPTURE, Queues, Run};
use crate::RunError;

/// What is recorded of a prompt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prompted {
    digest: Digest,
    /// As it is in every run, if that is another text.
    stable: Option<Digest>,
}

impl Run<'_> {
    /// A node that can't even be asked for what it is to do.
    pub(super) fn fail_before(
        &mut self,
        queues: &mut Queues,
        node: NodeIx,
        message: String,
    ) -> Result<(), RunError> {
        let (started, attempt) = self.started(queues, node, None);
        let node_id = started.node_id.clone();
        let failed = NodeFailed {
            node_id,
            attempt,
            error: ErrorKind::SpawnFailed.into(),
            message: Some(message),
            exit_code: None,
            signal: None,
            duration_ms: 0,
            retry_in_ms: None,
            usage: None,
        };
        self.record(queues, started.into())?;
        self.record(queues, failed.into())
    }

    /// What a template is told of the run and of the nodes that it names.
    ///
    /// # Errors
    /// Why the text of a capture can't be used.
    pub(super) fn bindings(&self, template: &Template) -> Result<Bindings, String> {
        let inputs = self.state.inputs().iter().map(|(key, value)| (key.as_str(), value));
        let mut bindings = Bindings::new(self.log.run().as_str(), inputs);
        let Some(pipe) = self.state.pipe() else { return Ok(bindings) };
        let named: Vec<NodeIx> = match &template.uses().nodes {
            Some(ids) => ids.iter().filter_map(|id| pipe.find(id)).collect(),
            None => pipe.graph().nodes().collect(),
        };
        for node in named {
            let (id, record) = (pipe.node(node).id.as_str(), self.state.node(node));
            let has_printed = match record.phase {
                NodePhase::Completed => record.output_bytes > 0,
                // What lies there is of an earlier go.
                NodePhase::Pending | NodePhase::Blocked | NodePhase::Skipped => false,
                NodePhase::Running | NodePhase::Retrying | NodePhase::Failed | NodePhase::Waiting => true,
            };
            let mut capture = String::new();
            if template.uses().captures && has_printed {
                let mut bytes = self.execute.capture(node, MOST_CAPTURE);
                if bytes.len() == MOST_CAPTURE {
                    // It may have been cut in the middle of a character.
                    let begins = |byte: &u8| *byte & 0xc0 != 0x80;
                    let last = bytes.iter().rposition(begins).unwrap_or_default();
                    if std::str::from_utf8(&bytes[last..]).is_err() {
                        bytes.truncate(last);
                    }
                }
                // What was printed since this runner is at work, it has written itself.
                let is_kept = record.phase == NodePhase::Completed && self.state.ended_before(record);
                let recorded =
                    record.output_sha256.filter(|_| is_kept && self.checked.borrow_mut().insert(node));
                if recorded.is_some_and(|recorded| recorded != self.execute.capture_digest(node)) {
                    self.checked.borrow_mut().remove(&node);
                    return Err(format!(
                        "the capture of `{id}` is missing or was changed since it ended; run it again: `--from {id}`"
                    ));
                }
                capture = String::from_utf8_lossy(&bytes).into_owned();
            }
            bindings.node(id, record.outputs(), capture);
        }
        Ok(bindings)
    }

    pub(super) fn started(
        &self,
        queues: &mut Queues,
        node: NodeIx,
        asked: Option<(&Ask, Prompted)>,
    ) -> (NodeStarted, u32) {
        let attempt = self.state.node(node).attempt + 1;
        let Some(pipe) = self.state.pipe() else { unreachable!("a run that is driven has a pipe") };
        let node_sha256 = Some(queues.identities.of(pipe, self.state.inputs(), node));
        let ask = asked.map(|(ask, _)| ask);
        let node = pipe.node(node);
        let started = NodeStarted {
            node_id: node.id.clone(),
            kind: node.kind(),
            attempt,
            node_sha256,
            prompt_sha256: asked.map(|(_, prompted)| prompted.digest),
            name: node.command().map(|name| name.as_str().into()),
            model: ask.and_then(|ask| ask.model.clone()),
            agent: ask.map(|ask| ask.agent.name.clone()),
            prompt_stable_sha256: asked.and_then(|(_, prompted)| prompted.stable),
        };
        (started, attempt)
    }

    /// What is recorded of a prompt.
    fn prompted(&self, prompt: &str) -> Prompted {
        let run = self.state.run().map_or("", |run| run.as_str());
        let mut placeholders = self.recorded.clone();
        placeholders.extend(&Placeholders::new(run, self.state.workspace(), None));
        let stable = match placeholders.stable(prompt) {
            Cow::Borrowed(_) => None,
            Cow::Owned(stable) => Some(Digest::of(stable)),
        };
        Prompted { digest: Digest::of(prompt), stable }
    }

    /// Records that a node starts. `None` when it failed before: its prompt can't be made.
    pub(super) fn attempt(&mut self, queues: &mut Queues, node: NodeIx) -> Result<Option<Attempt>, RunError> {
        let Some(pipe) = self.state.pipe().cloned() else { return Ok(None) };
        let mut ask = None;
        let mut digest = None;
        if let Some(answer) = self.late_answer(node) {
            self.record(queues, answer.into())?;
        }
        let at_gate = self.at_gate(node);
        if let Some(template) = self.roster.prompt(pipe.node(node)) {
            let bindings = match self.bindings(template) {
                Ok(bindings) => bindings,
                Err(error) => {
                    self.fail_before(queues, node, format!("the prompt can not be made: {error}"))?;
                    return Ok(None);
                }
            };
            ask = self.roster.ask(&pipe, node, self.state.node(node), bindings);
            if let (Some(ask), Some(secrets)) = (&mut ask, &self.secrets) {
                ask.mask = Some(std::sync::Arc::clone(secrets.mask()));
            }
            let first = ask.as_ref().and_then(|ask| ask.first_iteration(pipe.node(node)));
            match ask.as_ref().map(|ask| ask.render(first)).transpose() {
                Ok(prompt) => digest = prompt.map(|prompt| self.prompted(&prompt)),
                Err(error) => {
                    self.fail_before(queues, node, format!("the prompt can not be made: {error}"))?;
                    return Ok(None);
                }
            }
        }
        let (started, number) = self.started(queues, node, ask.as_deref().zip(digest));
        self.record(queues, started.into())?;
        let env = queues.visible.variables(&self.state, node);
        Ok(Some(Attempt {
            node,
            number,
            env,
            ask,
            at_gate,
            approved: None,
            approved_round: None,
            changes: serde_json::Map::new(),
            asked_by_rule: false,
            extra_env: Vec::new(),
            timeout: None,
        }))
    }
}
