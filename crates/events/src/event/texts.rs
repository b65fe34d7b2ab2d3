//! The texts of an event that come from outside: from programs, agents, hooks
//! and people. What the log itself is made of (ids, paths, digests, the
//! definition and the inputs) is none of them.

use serde_json::Value;
use smol_str::SmolStr;

use super::{Event, Host, Outputs};

/// What a text becomes; `None` when it stays as it is.
pub type Rewrite<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Something with texts in it.
trait Texts {
    fn rewrite(&mut self, how: Rewrite<'_>);
}

impl Texts for String {
    fn rewrite(&mut self, how: Rewrite<'_>) {
        if let Some(text) = how(self) {
            *self = text;
        }
    }
}

impl Texts for SmolStr {
    fn rewrite(&mut self, how: Rewrite<'_>) {
        if let Some(text) = how(self) {
            *self = text.into();
        }
    }
}

impl<T: Texts> Texts for Option<T> {
    fn rewrite(&mut self, how: Rewrite<'_>) {
        if let Some(texts) = self {
            texts.rewrite(how);
        }
    }
}

impl<T: Texts> Texts for Vec<T> {
    fn rewrite(&mut self, how: Rewrite<'_>) {
        for texts in self {
            texts.rewrite(how);
        }
    }
}

impl Texts for Outputs {
    fn rewrite(&mut self, how: Rewrite<'_>) {
        for value in self.values_mut() {
            value.rewrite(how);
        }
    }
}

impl Texts for Host {
    fn rewrite(&mut self, how: Rewrite<'_>) {
        self.name.rewrite(how);
    }
}

impl Texts for Value {
    fn rewrite(&mut self, how: Rewrite<'_>) {
        match self {
            Value::Null | Value::Bool(_) => {}
            // A secret may be a number.
            Value::Number(number) => {
                if let Some(text) = how(&number.to_string()) {
                    *self = text.into();
                }
            }
            Value::String(text) => text.rewrite(how),
            Value::Array(values) => values.rewrite(how),
            Value::Object(fields) => {
                for (mut key, mut value) in std::mem::take(fields) {
                    key.rewrite(how);
                    value.rewrite(how);
                    fields.insert(key, value);
                }
            }
        }
    }
}

/// Rewrites all texts, numbers and keys of a value.
pub fn rewrite_json(value: &mut Value, how: Rewrite<'_>) {
    value.rewrite(how);
}

impl Event {
    /// Rewrites each text that comes from outside.
    pub fn rewrite_texts(&mut self, how: Rewrite<'_>) {
        match self {
            Event::PipeStarted(e) => {
                e.host.rewrite(how);
                e.by.rewrite(how);
            }
            Event::PipeResumed(e) => {
                e.host.rewrite(how);
                e.by.rewrite(how);
                for step in &mut e.plan {
                    step.why.rewrite(how);
                }
            }
            Event::PipeAborted(e) => e.reason.rewrite(how),
            Event::NodeStarted(e) => e.model.rewrite(how),
            Event::NodeSpawned(e) => e.program.rewrite(how),
            Event::NodeCompleted(e) => {
                e.outputs.rewrite(how);
                e.denied_tools.rewrite(how);
            }
            Event::NodeFailed(e) => {
                e.error.class.rewrite(how);
                e.message.rewrite(how);
            }
            Event::NodeSkipped(e) => e.reason.rewrite(how),
            Event::IterationStarted(e) => e.session_id.rewrite(how),
            Event::AgentStarted(e) => {
                e.agent_version.rewrite(how);
                e.model.rewrite(how);
                e.session_id.rewrite(how);
            }
            Event::AgentTool(e) => {
                e.tool.rewrite(how);
                e.tool_use_id.rewrite(how);
                e.summary.rewrite(how);
            }
            Event::GatePassed(e) => {
                e.stdout.rewrite(how);
                e.by.rewrite(how);
                e.comment.rewrite(how);
            }
            Event::GateWaiting(e) => {
                e.prompt.rewrite(how);
                e.options.rewrite(how);
                e.default.rewrite(how);
            }
            Event::GateDecided(e) => {
                e.option.rewrite(how);
                e.by.rewrite(how);
                e.comment.rewrite(how);
            }
            Event::HookDecided(e) => {
                e.hook.rewrite(how);
                e.tool_use_id.rewrite(how);
                e.reason.rewrite(how);
                e.delta.rewrite(how);
            }
            Event::PipeCompleted(_)
            | Event::PipeInterrupted(_)
            | Event::PipeParked(_)
            | Event::IterationCompleted(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_of_a_value_is_rewritten() {
        let mut value = json!({ "a": ["x", 1, null, { "x": 7 }], "b": true });
        rewrite_json(&mut value, &|text| (text == "x" || text == "7").then(|| "***".to_owned()));
        assert_eq!(value, json!({ "a": ["***", 1, null, { "***": "***" }], "b": true }));
    }
}
