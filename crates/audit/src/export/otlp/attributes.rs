//! What spans and their events say of themselves, by the semantic conventions
//! of OpenTelemetry where they have a word for it, else as `omne.*`.

use omne_events::{NodeKind, Usage};
use omne_replay::{NodeRecord, RunPhase};
use serde::{Serialize, ser::SerializeStruct};
use serde_json::Value;

use super::{Event, nanos};
use crate::{Attempt, Go, Mark, MarkKind, Round, Story, export::End};

/// A `repeated KeyValue`.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Attributes(Vec<KeyValue>);

#[derive(Debug)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

impl Serialize for KeyValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_struct("KeyValue", 2)?;
        pair.serialize_field("key", &self.key)?;
        pair.serialize_field("value", &self.value)?;
        pair.end()
    }
}

/// An `AnyValue`; whole numbers of 64 bits are text in the JSON of Protobuf.
#[derive(Debug, Serialize)]
enum AnyValue {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "boolValue")]
    Bool(bool),
    #[serde(rename = "intValue")]
    Int(String),
    #[serde(rename = "doubleValue")]
    Double(f64),
}

impl Attributes {
    fn with(mut self, key: &str, value: Option<AnyValue>) -> Self {
        self.0.extend(value.map(|value| KeyValue { key: key.to_owned(), value }));
        self
    }

    pub(super) fn text<'t>(self, key: &str, text: impl Into<Option<&'t str>>) -> Self {
        self.with(key, text.into().map(|text| AnyValue::Text(text.to_owned())))
    }

    /// What is more than an `int64` is left out: no reader takes it.
    fn int(self, key: &str, number: Option<impl TryInto<i64>>) -> Self {
        let number = number.and_then(|number| number.try_into().ok());
        self.with(key, number.map(|number| AnyValue::Int(number.to_string())))
    }

    fn double(self, key: &str, number: Option<f64>) -> Self {
        self.with(key, number.filter(|number| number.is_finite()).map(AnyValue::Double))
    }

    fn bool(self, key: &str, value: Option<bool>) -> Self {
        self.with(key, value.map(AnyValue::Bool))
    }

    /// The word of an enum as events spell it.
    fn word(self, key: &str, word: &impl Serialize) -> Self {
        match serde_json::to_value(word) {
            Ok(Value::String(word)) => self.text(key, word.as_str()),
            _ => self,
        }
    }

    /// Sums over what spans below this one used.
    fn used(self, usage: Option<Usage>) -> Self {
        let Some(usage) = usage else { return self };
        self.int("omne.usage.input_tokens", Some(usage.input_tokens))
            .int("omne.usage.output_tokens", Some(usage.output_tokens))
            .int("omne.usage.cache_read_tokens", usage.cache_read_tokens)
            .int("omne.usage.cache_write_tokens", usage.cache_write_tokens)
            .int("omne.usage.turns", usage.turns)
            .int("omne.usage.agent_ms", usage.agent_ms)
            .double("omne.cost_usd", usage.cost_usd)
    }

    /// An agent that was asked, by the GenAI conventions.
    fn agent(self, story: &Story, attempt: &Attempt, usage: Option<Usage>) -> Self {
        let provider = provider(attempt);
        let answered = attempt.model.as_deref().filter(|_| usage.is_some());
        let asked = asked(story, attempt).or(attempt.model.as_deref());
        let all = self
            .text("gen_ai.operation.name", "invoke_agent")
            .text("gen_ai.provider.name", provider)
            .text("gen_ai.agent.name", attempt.agent.as_deref())
            .text("gen_ai.agent.version", attempt.agent_version.as_deref())
            .text("gen_ai.request.model", asked)
            .text("gen_ai.response.model", answered);
        let Some(usage) = usage else { return all };
        // The convention counts what came from the cache as input, too; this provider counts it apart.
        let apart = match provider {
            Some("anthropic") => {
                usage.cache_read_tokens.unwrap_or(0).saturating_add(usage.cache_write_tokens.unwrap_or(0))
            }
            _ => 0,
        };
        all.int("gen_ai.usage.input_tokens", Some(usage.input_tokens.saturating_add(apart)))
            .int("gen_ai.usage.output_tokens", Some(usage.output_tokens))
            .int("gen_ai.usage.cache_read.input_tokens", usage.cache_read_tokens)
            .int("gen_ai.usage.cache_creation.input_tokens", usage.cache_write_tokens)
    }
}

/// Who offers the model, by its name or the agent's; else the agent itself.
fn provider(attempt: &Attempt) -> Option<&str> {
    let known = |name: &str| match name {
        name if name.starts_with("claude") => Some("anthropic"),
        name if name.starts_with("gpt") || name.starts_with("codex") => Some("openai"),
        name if name.starts_with("gemini") => Some("gcp.gemini"),
        _ => None,
    };
    let names = [attempt.model.as_deref(), attempt.agent.as_deref()];
    names.into_iter().flatten().find_map(known).or(attempt.agent.as_deref())
}

/// The model that the pipe names.
fn asked<'a>(story: &'a Story, attempt: &Attempt) -> Option<&'a str> {
    let pipe = story.state.pipe()?;
    let node = pipe.node(pipe.find(attempt.node.as_str())?);
    let model = node.ai().and_then(|ai| ai.model.as_ref());
    model.or(pipe.default_model()).map(|model| model.as_str())
}

/// The runner that was at the run last.
pub(super) fn resource(story: &Story) -> Attributes {
    let host = story.state.host();
    Attributes::default()
        .text("service.name", "omne")
        .text("service.version", host.map(|host| host.omne_version.as_str()))
        .text("host.name", host.map(|host| host.name.as_str()))
        .int("process.pid", host.map(|host| host.pid))
}

pub(super) fn run(story: &Story) -> Attributes {
    let state = &story.state;
    let mut all = Attributes::default()
        .text("omne.run.id", state.run().map(|run| run.as_str()))
        .text("omne.pipe", state.name())
        .int("omne.pipe.version", state.version())
        .text("omne.state", state.phase().as_str())
        .int("omne.resumes", Some(state.resumes()))
        .text("omne.by", state.by())
        .text("omne.reason", state.reason());
    if state.phase() == RunPhase::Aborted {
        all = all.text("error.type", "aborted");
    } else if state.phase() == RunPhase::Interrupted {
        all = all.text("error.type", "interrupted");
    }
    for (key, value) in state.inputs() {
        let key = format!("omne.input.{key}");
        all = match value {
            Value::String(text) => all.text(&key, text.as_str()),
            Value::Bool(value) => all.bool(&key, Some(*value)),
            Value::Number(number) => match number.as_i64() {
                Some(number) => all.int(&key, Some(number)),
                None => all.double(&key, number.as_f64()),
            },
            Value::Null | Value::Array(_) | Value::Object(_) => all.text(&key, value.to_string().as_str()),
        };
    }
    all.used(Some(state.usage()).filter(|usage| *usage != Usage::default()))
}

pub(super) fn node(story: &Story, id: &str, kind: NodeKind, record: &NodeRecord) -> Attributes {
    let error = record.error().filter(|_| record.phase.as_str() == "failed");
    Attributes::default()
        .text("omne.run.id", story.state.run().map(|run| run.as_str()))
        .text("omne.pipe", story.state.name())
        .text("omne.node.id", id)
        .text("omne.node.kind", kind.as_str())
        .text("omne.state", record.phase.as_str())
        .int("omne.attempts", Some(record.attempt))
        .text("error.type", error.map(|error| error.kind.as_str()))
        .text("omne.error.class", error.and_then(|error| error.class.as_deref()))
        .used(record.usage())
}

pub(super) fn attempt(story: &Story, attempt: &Attempt, end: &End<'_>) -> Attributes {
    let all = Attributes::default()
        .text("omne.node.id", attempt.node.as_str())
        .text("omne.node.kind", attempt.kind.as_str())
        .int("omne.attempt", Some(attempt.number))
        .text("omne.outcome", end.outcome)
        .int("omne.slot", Some(attempt.slot))
        .int("omne.exit_code", attempt.exit_code)
        .int("omne.duration_ms", attempt.duration_ms)
        .int("omne.output_bytes", Some(attempt.output_bytes).filter(|bytes| *bytes > 0))
        .text("error.type", end.error.map(|error| error.kind.as_str()))
        .text("omne.error.class", end.error.and_then(|error| error.class.as_deref()))
        .used(end.usage);
    if attempt.kind == NodeKind::Bash || attempt.rounds.iter().any(|round| round.usage.is_some()) {
        return all;
    }
    all.agent(story, attempt, end.usage)
}

pub(super) fn round(story: &Story, attempt: &Attempt, round: &Round) -> Attributes {
    let all = Attributes::default()
        .text("omne.node.id", attempt.node.as_str())
        .int("omne.attempt", Some(attempt.number))
        .int("omne.iteration", Some(round.number))
        .word("omne.outcome", &round.outcome)
        .double("omne.cost_usd", round.usage.and_then(|usage| usage.cost_usd));
    if round.usage.is_none() {
        return all;
    }
    all.agent(story, attempt, round.usage)
}

/// What is known of a go when it begins, and when it ends.
pub(super) fn go(go: &Go) -> (Attributes, Attributes) {
    let host = go.host.as_ref();
    let began = Attributes::default()
        .int("omne.resume", Some(go.resume))
        .text("omne.by", go.by.as_deref())
        .text("host.name", host.map(|host| host.name.as_str()))
        .int("process.pid", host.map(|host| host.pid))
        .text("service.version", host.map(|host| host.omne_version.as_str()));
    let ended = Attributes::default()
        .int("omne.resume", Some(go.resume))
        .text("omne.state", go.end.as_ref().map_or("unfinished", |end| end.state))
        .text("omne.reason", go.end.as_ref().and_then(|end| end.reason.as_deref()));
    (began, ended)
}

/// A mark as an event of its span.
pub(super) fn event(mark: &Mark) -> Event {
    let all = Attributes::default().text("omne.node.id", mark.node.as_ref().map(|node| node.as_str()));
    let (name, attributes) = match &mark.kind {
        MarkKind::Hook { event, hook, decision, latency_us, reason } => {
            let all = all
                .text("omne.hook.event", event.as_str())
                .text("omne.hook", hook.as_str())
                .word("omne.decision", decision)
                .int("omne.latency_us", Some(*latency_us))
                .text("omne.reason", reason.as_deref());
            ("omne.hook.decided", all)
        }
        MarkKind::Passed { gate, by } => {
            ("omne.gate.passed", all.text("omne.gate", gate.as_str()).text("omne.by", by.as_deref()))
        }
        MarkKind::Asked { gate, prompt } => {
            ("omne.gate.waiting", all.text("omne.gate", gate.as_str()).text("omne.prompt", prompt.as_str()))
        }
        MarkKind::Decided { gate, option, approved, by, comment } => {
            let all = all
                .text("omne.gate", gate.as_str())
                .text("omne.option", option.as_str())
                .bool("omne.approved", Some(*approved))
                .text("omne.by", by.as_str())
                .text("omne.comment", comment.as_deref());
            ("omne.gate.decided", all)
        }
        MarkKind::Tool { tool, summary } => {
            let all = all.text("gen_ai.tool.name", tool.as_str()).text("omne.summary", summary.as_deref());
            ("omne.agent.tool", all)
        }
        MarkKind::Skipped { reason } => ("omne.node.skipped", all.text("omne.reason", reason.as_str())),
    };
    Event { time_unix_nano: nanos(mark.at), name, attributes }
}

/// That another attempt follows, as an event of the one that failed.
pub(super) fn retry(attempt: &Attempt, end: &End<'_>) -> Option<Event> {
    let attributes = Attributes::default()
        .text("omne.node.id", attempt.node.as_str())
        .int("omne.attempt", Some(attempt.number))
        .int("omne.retry_in_ms", Some(end.retry_in_ms?));
    Some(Event { time_unix_nano: nanos(end.at), name: "omne.retry", attributes })
}
