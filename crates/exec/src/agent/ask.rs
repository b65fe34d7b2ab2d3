//! What an AI node asks, of whom, and with whose money.

use std::{path::PathBuf, sync::Arc};

use omne_agent::Agent;
use omne_pipe::{Bindings, Node, Template, TemplateError};
use omne_process::Mask;
use smol_str::SmolStr;

/// What an AI node asks, of whom.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The prompt.
    pub prompt: Template,
    /// What it is filled with; each round sets its own number.
    pub bindings: Bindings,
    /// The agent.
    pub agent: Arc<Agent>,
    /// The agent's program, found.
    pub program: PathBuf,
    /// The model, if one is asked for.
    pub model: Option<SmolStr>,
    /// The tools that it may use without asking.
    pub tools: Option<Vec<SmolStr>>,
    /// What the node cost in earlier attempts, in US dollars.
    pub spent_usd: f64,
    /// Where an earlier attempt left off.
    pub goes_on: Option<GoesOn>,
    /// What a hook made of the prompt before the node began.
    pub changed: Option<ChangedPrompt>,
    /// What must not be in a prompt.
    pub mask: Option<Arc<Mask>>,
}

/// A prompt that was changed.
#[derive(Debug, Clone)]
pub struct ChangedPrompt {
    /// As it was shown: that of the first round.
    pub shown: String,
    /// What was made of it.
    pub now: String,
}

/// Where a loop goes on.
#[derive(Debug, Clone)]
pub struct GoesOn {
    /// With this round.
    pub iteration: u32,
    /// In this session.
    pub session: Option<String>,
    /// It had said that it is done: only what comes after it is left.
    pub is_done: bool,
}

impl Ask {
    /// The round that the attempt begins with; `None` when it is no loop.
    pub fn first_iteration(&self, node: &Node) -> Option<u32> {
        node.rounds().map(|_| self.goes_on.as_ref().map_or(1, |goes_on| goes_on.iteration))
    }

    /// The prompt of a round.
    ///
    /// # Errors
    /// When the template can't be filled in.
    pub fn render(&self, iteration: Option<u32>) -> Result<String, TemplateError> {
        let prompt = self.render_raw(iteration)?;
        Ok(match &self.mask {
            None => prompt,
            Some(mask) => mask.text(&prompt).into_owned(),
        })
    }

    fn render_raw(&self, iteration: Option<u32>) -> Result<String, TemplateError> {
        let Some(ChangedPrompt { shown, now }) = &self.changed else { return self.as_written(iteration) };
        let Some(round) = iteration else { return Ok(now.clone()) };
        let own = self.as_written(iteration)?;
        // What was put around the first round's is put around each one's.
        if now.contains(shown.as_str()) {
            return Ok(now.replacen(shown.as_str(), &own, 1));
        }
        let own = match &self.mask {
            None => own,
            Some(mask) => mask.text(&own).into_owned(),
        };
        if own == *shown {
            return Ok(now.clone());
        }
        let message = format!(
            "a hook on pre_node rewrote the prompt of another round, which can not be done to round {round}: let it \
             answer at pre_iteration"
        );
        Err(TemplateError { message, line: None })
    }

    fn as_written(&self, iteration: Option<u32>) -> Result<String, TemplateError> {
        let mut bindings = self.bindings.clone();
        if let Some(iteration) = iteration {
            bindings.iteration(iteration);
        }
        self.prompt.render(&bindings)
    }
}

/// The money of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Funds {
    /// The most it may cost, in US dollars.
    pub budget_usd: Option<f64>,
    /// What it cost so far.
    pub spent_usd: f64,
}

impl Funds {
    pub(super) fn over(&self) -> Option<String> {
        let budget = self.budget_usd.filter(|budget| self.spent_usd > *budget)?;
        Some(format!("the run cost {:.4} USD, over its budget of {budget} USD", self.spent_usd))
    }

    pub(super) fn left(&self) -> Option<f64> {
        self.budget_usd.map(|budget| (budget - self.spent_usd).max(0.0))
    }
}
