//! `gemini -o stream-json`.

use omne_events::Usage;
use serde::Deserialize;
use serde_json::Value;

use super::{Item, Read, Sink, Told, ToolCall, from_json, text_of};
use crate::{
    Exit, Verdict,
    verdict::{Failure, class, class_by_status},
};

#[derive(Debug, Default)]
pub(super) struct Gemini {
    /// Text comes in pieces without an end: whatever else comes ends it.
    speaking: bool,
    /// `None` until it has said how it went; then its error, if it failed.
    result: Option<Option<String>>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default, rename = "type")]
    kind: String,
    session_id: Option<String>,
    model: Option<String>,
    role: Option<String>,
    content: Option<String>,
    tool_name: Option<String>,
    tool_id: Option<String>,
    parameters: Option<Value>,
    status: Option<String>,
    error: Option<Value>,
    stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Stats {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    cached: Option<u64>,
    duration_ms: Option<u64>,
}

impl Gemini {
    fn stop_speaking(&mut self, sink: &mut Sink<'_>) {
        if std::mem::take(&mut self.speaking) {
            sink(Item::TextEnd);
        }
    }
}

impl Read for Gemini {
    fn is_idle(&self, head: &[u8]) -> bool {
        head.first() != Some(&b'{') || head.starts_with(br#"{"type":"tool_result""#)
    }

    fn line(&mut self, line: &[u8], told: &mut Told, sink: &mut Sink<'_>) {
        let Some(line) = from_json::<Line>(&text_of(line)) else { return };
        let is_speech = line.kind == "message" && line.role.as_deref() == Some("assistant");
        if !is_speech {
            self.stop_speaking(sink);
        }
        match line.kind.as_str() {
            "init" => sink(Item::Session {
                id: line.session_id.as_deref(),
                model: line.model.as_deref(),
                version: None,
            }),
            "message" if is_speech => {
                let text = line.content.unwrap_or_default();
                self.speaking = true;
                told.spoke |= !text.trim().is_empty();
                sink(Item::Text(&text));
            }
            "tool_use" => {
                told.acted = true;
                let input = line.parameters.unwrap_or(Value::Null);
                let (name, id) = (line.tool_name.unwrap_or_default(), line.tool_id.unwrap_or_default());
                sink(Item::Tool(ToolCall::new(&name, &id, input)));
            }
            "result" => {
                told.usage = line.stats.map(|stats| Usage {
                    input_tokens: stats.input_tokens,
                    output_tokens: stats.output_tokens,
                    cache_read_tokens: stats.cached,
                    agent_ms: stats.duration_ms,
                    ..Usage::default()
                });
                let failed = line.status.as_deref() != Some("success");
                let message = |error: Value| match error.get("message").and_then(Value::as_str) {
                    Some(message) => message.to_owned(),
                    None => error.to_string(),
                };
                self.result = Some(failed.then(|| line.error.map(message).unwrap_or_default()));
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &mut Told, sink: &mut Sink<'_>) {
        self.stop_speaking(sink);
    }

    fn verdict(&self, told: &Told, exit: Exit, stderr: &str) -> Verdict {
        match &self.result {
            None => Failure::without_result(exit, stderr),
            Some(Some(message)) => {
                Failure::agent(class_by_status(message).unwrap_or("unknown"), message.trim())
            }
            Some(None) if !exit.is_success() => Failure::without_result(exit, stderr),
            Some(None) if !told.spoke && !told.acted => {
                Failure::agent(class::EMPTY, "it said nothing and did nothing")
            }
            Some(None) => Verdict::Success,
        }
    }
}
