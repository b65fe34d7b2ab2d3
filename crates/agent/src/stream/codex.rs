//! `codex exec --json`.

use omne_events::Usage;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Item, Read, Sink, Told, ToolCall, from_json, text_of};
use crate::{
    Exit, Verdict,
    verdict::{Failure, class, class_by_status},
};

#[derive(Debug, Default)]
pub(super) struct Codex {
    completed: bool,
    failed: Option<String>,
    /// Not final by itself: it may try again.
    last_error: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default, rename = "type")]
    kind: String,
    thread_id: Option<String>,
    message: Option<String>,
    error: Option<Failed>,
    usage: Option<Tokens>,
    item: Option<Thing>,
}

#[derive(Deserialize)]
struct Failed {
    message: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    cached_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Thing {
    #[serde(default)]
    id: String,
    #[serde(default, rename = "type")]
    kind: String,
    text: Option<String>,
    command: Option<String>,
    #[serde(default)]
    tool: Option<String>,
    query: Option<String>,
    changes: Option<Value>,
    arguments: Option<Value>,
}

impl Read for Codex {
    fn is_idle(&self, head: &[u8]) -> bool {
        // What a command printed is in the line that tells of its end.
        let is_end = memchr::memmem::find(head, br#""type":"item.completed""#).is_some();
        head.first() != Some(&b'{')
            || (is_end && memchr::memmem::find(head, br#""type":"command_execution""#).is_some())
    }

    fn line(&mut self, line: &[u8], told: &mut Told, sink: &mut Sink<'_>) {
        let Some(line) = from_json::<Line>(&text_of(line)) else { return };
        match (line.kind.as_str(), line.item) {
            ("thread.started", _) => {
                sink(Item::Session { id: line.thread_id.as_deref(), model: None, version: None });
            }
            ("item.completed", Some(item)) if item.kind == "agent_message" => {
                let text = item.text.unwrap_or_default();
                told.spoke |= !text.trim().is_empty();
                sink(Item::Text(&text));
                sink(Item::TextEnd);
            }
            // A command is told of when it starts, in case it never ends; a change of files is told of once.
            ("item.started", Some(item)) if item.kind == "command_execution" => {
                told.acted = true;
                let input = json!({ "command": item.command });
                sink(Item::Tool(ToolCall::new(&item.kind, &item.id, input)));
            }
            ("item.completed", Some(item))
                if matches!(item.kind.as_str(), "file_change" | "mcp_tool_call" | "web_search") =>
            {
                told.acted = true;
                let name = item.tool.unwrap_or(item.kind);
                let query = item.query.map(|query| json!({ "query": query }));
                let input = item.arguments.or(item.changes).or(query).unwrap_or(Value::Null);
                sink(Item::Tool(ToolCall::new(&name, &item.id, input)));
            }
            ("turn.completed", _) => {
                self.completed = true;
                self.failed = None;
                if let Some(tokens) = line.usage {
                    let usage = Usage {
                        input_tokens: tokens.input_tokens,
                        output_tokens: tokens.output_tokens,
                        cache_read_tokens: tokens.cached_input_tokens,
                        ..Usage::default()
                    };
                    *told.usage.get_or_insert_default() += usage;
                }
            }
            ("turn.failed", _) => {
                self.failed = Some(line.error.and_then(|error| error.message).unwrap_or_default());
            }
            ("error", _) => self.last_error = line.message,
            _ => {}
        }
    }

    fn verdict(&self, told: &Told, exit: Exit, stderr: &str) -> Verdict {
        if let Some(message) = &self.failed {
            return Failure::agent(class_by_status(message).unwrap_or("unknown"), message.trim());
        }
        if !self.completed || !exit.is_success() {
            let message = self.last_error.as_deref().filter(|_| stderr.trim().is_empty()).unwrap_or(stderr);
            return Failure::without_result(exit, message);
        }
        if !told.spoke && !told.acted {
            return Failure::agent(class::EMPTY, "it said nothing and did nothing");
        }
        Verdict::Success
    }
}
