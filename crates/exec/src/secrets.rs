//! The secrets of a run: which node gets which, and that nothing else shows them.

use std::{borrow::Cow, ffi::OsString, fmt, sync::Arc};

use omne_events::{Event, rewrite_json};
use omne_pipe::Node;
use omne_process::{Environment, Mask};
use serde_json::Value;

/// The values of a run's secrets, and the mask that hides them.
pub struct Secrets {
    values: Vec<(String, OsString)>,
    mask: Arc<Mask>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter().map(|(name, _)| name)).finish()
    }
}

impl Secrets {
    /// Secrets by their names, and the mask of their values.
    pub fn new(values: Vec<(String, OsString)>, mask: Mask) -> Self {
        Self { values, mask: Arc::new(mask) }
    }

    /// What hides them.
    pub fn mask(&self) -> &Arc<Mask> {
        &self.mask
    }

    /// Sets the variables that a node names.
    pub(crate) fn give(&self, node: &Node, environment: &mut Environment) {
        for (name, value) in &self.values {
            if node.secrets().iter().any(|wanted| wanted == name) {
                environment.set(name, value);
            }
        }
    }

    fn without(&self, text: &str) -> Option<String> {
        match self.mask.text(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        }
    }

    /// Hides them in the texts of an event.
    pub fn hide_in_event(&self, event: &mut Event) {
        event.rewrite_texts(&|text| self.without(text));
    }

    /// Hides them in all texts of a value.
    pub(crate) fn hide_in_json(&self, value: &mut Value) {
        rewrite_json(value, &|text| self.without(text));
    }
}
