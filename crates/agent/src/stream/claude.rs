//! `claude -p --output-format stream-json --verbose`.

use std::borrow::Cow;

use omne_events::{ErrorKind, Usage};
use serde_json::Value;
use smol_str::SmolStr;

use super::{
    Item, Read, Sink, Told, ToolCall,
    json::{Json, Stop},
    text_of,
};
use crate::{
    Exit, Verdict,
    verdict::{Failure, class, looks_like_unknown_session},
};

/// The model's name in what the program makes up itself.
const SYNTHETIC: &str = "<synthetic>";

#[derive(Debug, Default)]
pub(super) struct Claude {
    result: Option<Outcome>,
    /// The program's own word for its last error.
    error: Option<SmolStr>,
}

/// What of the `result` line decides.
#[derive(Debug)]
struct Outcome {
    is_error: bool,
    subtype: String,
    turns: u64,
    text: String,
    terminal_reason: Option<String>,
}

/// What a line is about, told by its beginning: the program writes `type` first, and `subtype` next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Init,
    Assistant,
    Delta,
    Result,
    Idle,
    /// The keys are in another order.
    Unclear,
}

fn kind(line: &[u8]) -> Kind {
    let Some(rest) = line.strip_prefix(br#"{"type":""#) else {
        return if line.first() == Some(&b'{') { Kind::Unclear } else { Kind::Idle };
    };
    let is = |word: &[u8]| rest.starts_with(word);
    if is(b"assistant\"") {
        Kind::Assistant
    } else if is(b"result\"") {
        Kind::Result
    } else if is(b"stream_event\"") {
        Kind::Delta
    } else if is(b"system\"") {
        match rest.strip_prefix(br#"system","subtype":""#) {
            Some(rest) if rest.starts_with(b"init\"") => Kind::Init,
            Some(_) => Kind::Idle,
            None => Kind::Unclear,
        }
    } else {
        Kind::Idle
    }
}

/// Who the program is: three fields of a line that is mostly lists of what it can do.
#[derive(Default)]
struct Init<'a> {
    session_id: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
}

impl<'a> Init<'a> {
    /// Reads no further than to the last field that is wanted; of a line that is broken, what comes before that.
    fn read(line: &'a str) -> Self {
        let mut init = Self::default();
        let _ = Json::read(line, |json| {
            json.object(|json, name| {
                match name {
                    "session_id" => json.text(&mut init.session_id)?,
                    "model" => json.text(&mut init.model)?,
                    "claude_code_version" => json.text(&mut init.version)?,
                    _ => json.skip()?,
                }
                let has_all = init.session_id.is_some() && init.model.is_some() && init.version.is_some();
                if has_all { Err(Stop) } else { Ok(()) }
            })
        });
        init
    }
}

/// What the model said and asked for.
#[derive(Default)]
struct Assistant<'a> {
    model: Option<Cow<'a, str>>,
    blocks: Vec<Block<'a>>,
    /// A tool use began the sub-agent which says this.
    is_sub_agent: bool,
    error: Option<Cow<'a, str>>,
}

#[derive(Default)]
struct Block<'a> {
    kind: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    input: Option<Value>,
}

impl<'a> Assistant<'a> {
    fn read(line: &'a str) -> Result<Self, Stop> {
        let mut read = Self::default();
        Json::read(line, |json| {
            json.object(|json, name| match name {
                "message" => json.object(|json, name| match name {
                    "model" => json.text(&mut read.model),
                    "content" => json.array(|json| {
                        let block = Block::read(json)?;
                        // Of what is nothing to anybody there may be millions.
                        if matches!(block.kind.as_deref(), Some("text" | "tool_use")) {
                            read.blocks.push(block);
                        }
                        Ok(())
                    }),
                    _ => json.skip(),
                }),
                "parent_tool_use_id" => json.flag(&mut read.is_sub_agent),
                "error" => json.text(&mut read.error),
                _ => json.skip(),
            })
        })?;
        Ok(read)
    }
}

impl<'a> Block<'a> {
    fn read(json: &mut Json<'a>) -> Result<Self, Stop> {
        let mut read = Self::default();
        json.object(|json, name| match name {
            "type" => json.text(&mut read.kind),
            "text" => json.text(&mut read.text),
            "name" => json.text(&mut read.name),
            "id" => json.text(&mut read.id),
            "input" => json.value(&mut read.input),
            _ => json.skip(),
        })?;
        Ok(read)
    }
}

/// A piece of text, if the line is the program's own and brings one.
fn delta(line: &str) -> Result<Option<Cow<'_, str>>, Stop> {
    let (mut text, mut is_sub_agent) = (None, false);
    Json::read(line, |json| {
        json.object(|json, name| match name {
            "event" => json.object(|json, name| match name {
                "delta" => json.object(|json, name| match name {
                    "text" => json.text(&mut text),
                    _ => json.skip(),
                }),
                _ => json.skip(),
            }),
            "parent_tool_use_id" => json.flag(&mut is_sub_agent),
            _ => json.skip(),
        })
    })?;
    Ok(text.filter(|_| !is_sub_agent))
}

/// How a turn of the conversation ended.
#[derive(Default)]
struct ResultLine<'a> {
    subtype: Option<Cow<'a, str>>,
    is_error: bool,
    turns: Option<f64>,
    text: Option<Cow<'a, str>>,
    errors: Option<Vec<Cow<'a, str>>>,
    terminal_reason: Option<Cow<'a, str>>,
    cost_usd: Option<f64>,
    duration_ms: Option<f64>,
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    cache_read_tokens: Option<f64>,
    cache_write_tokens: Option<f64>,
    denied: Vec<Cow<'a, str>>,
}

impl<'a> ResultLine<'a> {
    fn read(line: &'a str) -> Result<Self, Stop> {
        let mut read = Self::default();
        Json::read(line, |json| json.object(|json, name| read.field(json, name)))?;
        Ok(read)
    }

    fn field(&mut self, json: &mut Json<'a>, name: &str) -> Result<(), Stop> {
        match name {
            "subtype" => json.text(&mut self.subtype),
            // An error that is not told clearly is one.
            "is_error" => json.flag(&mut self.is_error),
            "num_turns" => json.number(&mut self.turns),
            "result" => json.text(&mut self.text),
            "errors" => json.array(|json| {
                let mut error = None;
                json.text(&mut error)?;
                self.errors.get_or_insert_default().extend(error);
                Ok(())
            }),
            "terminal_reason" => json.text(&mut self.terminal_reason),
            "total_cost_usd" => json.number(&mut self.cost_usd),
            "duration_ms" => json.number(&mut self.duration_ms),
            "usage" => json.object(|json, name| match name {
                "input_tokens" => json.number(&mut self.input_tokens),
                "output_tokens" => json.number(&mut self.output_tokens),
                "cache_read_input_tokens" => json.number(&mut self.cache_read_tokens),
                "cache_creation_input_tokens" => json.number(&mut self.cache_write_tokens),
                _ => json.skip(),
            }),
            "permission_denials" => json.array(|json| {
                let mut tool = None;
                json.object(|json, name| match name {
                    "tool_name" => json.text(&mut tool),
                    _ => json.skip(),
                })?;
                self.denied.extend(tool);
                Ok(())
            }),
            _ => json.skip(),
        }
    }
}

/// A count; what is too large to be one is the largest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, and is not negative"
)]
fn to_whole(number: f64) -> u64 {
    number.round() as u64
}

impl Claude {
    fn assistant(&mut self, line: Assistant<'_>, told: &mut Told, sink: &mut Sink<'_>) {
        if let Some(error) = &line.error {
            self.error = Some((**error).into());
        }
        if line.model.as_deref() == Some(SYNTHETIC) {
            return;
        }
        for block in line.blocks {
            match (block.kind.as_deref(), block.text) {
                // What a sub-agent says is its own business.
                (Some("text"), Some(text)) if !line.is_sub_agent => {
                    told.spoke |= !text.trim().is_empty();
                    sink(Item::Text(&text));
                    sink(Item::TextEnd);
                }
                (Some("tool_use"), _) => {
                    told.acted = true;
                    let input = block.input.unwrap_or(Value::Null);
                    let (name, id) = (block.name.unwrap_or_default(), block.id.unwrap_or_default());
                    sink(Item::Tool(ToolCall::new(&name, &id, input)));
                }
                _ => {}
            }
        }
    }

    fn result(&mut self, line: ResultLine<'_>, told: &mut Told) {
        let turns = line.turns.map_or(0, to_whole);
        // There is one a turn of the conversation, and each has the sums so far.
        told.usage = Some(Usage {
            input_tokens: line.input_tokens.map_or(0, to_whole),
            output_tokens: line.output_tokens.map_or(0, to_whole),
            cache_read_tokens: line.cache_read_tokens.map(to_whole),
            cache_write_tokens: line.cache_write_tokens.map(to_whole),
            cost_usd: line.cost_usd,
            turns: Some(turns),
            agent_ms: line.duration_ms.map(to_whole),
        });
        for name in line.denied {
            told.denied(&name);
        }
        let errors = || line.errors.map(|errors| errors.join("\n"));
        self.result = Some(Outcome {
            is_error: line.is_error,
            subtype: line.subtype.unwrap_or_default().into_owned(),
            turns,
            text: line.text.map(Cow::into_owned).or_else(errors).unwrap_or_default(),
            terminal_reason: line.terminal_reason.map(Cow::into_owned),
        });
    }

    /// The kind of a line whose keys are in another order than usual.
    fn unclear(line: &str) -> Kind {
        let (mut kind, mut subtype) = (None, None);
        let read = Json::read(line, |json| {
            json.object(|json, name| match name {
                "type" => json.text(&mut kind),
                "subtype" => json.text(&mut subtype),
                _ => json.skip(),
            })
        });
        match (read, kind.as_deref(), subtype.as_deref()) {
            (Ok(()), Some("assistant"), _) => Kind::Assistant,
            (Ok(()), Some("result"), _) => Kind::Result,
            (Ok(()), Some("stream_event"), _) => Kind::Delta,
            (Ok(()), Some("system"), Some("init")) => Kind::Init,
            _ => Kind::Idle,
        }
    }
}

impl Read for Claude {
    fn is_idle(&self, head: &[u8]) -> bool {
        kind(head) == Kind::Idle
    }

    fn line(&mut self, line: &[u8], told: &mut Told, sink: &mut Sink<'_>) {
        let mut kind = kind(line);
        if kind == Kind::Idle {
            return;
        }
        let text = text_of(line);
        if kind == Kind::Unclear {
            kind = Self::unclear(&text);
        }
        // A line that is no JSON is a warning of something else's; what it was is in the recording.
        match kind {
            Kind::Init => {
                let init = Init::read(&text);
                sink(Item::Session {
                    id: init.session_id.as_deref(),
                    model: init.model.as_deref(),
                    version: init.version.as_deref(),
                });
            }
            Kind::Assistant => {
                if let Ok(assistant) = Assistant::read(&text) {
                    self.assistant(assistant, told, sink);
                }
            }
            Kind::Delta if memchr::memmem::find(line, b"text_delta").is_some() => {
                if let Ok(Some(piece)) = delta(&text) {
                    sink(Item::Partial(&piece));
                }
            }
            Kind::Result => {
                if let Ok(result) = ResultLine::read(&text) {
                    self.result(result, told);
                }
            }
            Kind::Delta | Kind::Idle | Kind::Unclear => {}
        }
    }

    fn verdict(&self, told: &Told, exit: Exit, stderr: &str) -> Verdict {
        let Some(result) = &self.result else { return Failure::without_result(exit, stderr) };
        let text = result.text.trim();
        if result.is_error {
            // The subtype says `success` here, too, when the service failed.
            let word = match (result.subtype.as_str(), result.terminal_reason.as_deref()) {
                ("error_max_budget_usd", _) => {
                    let message = text.to_owned();
                    let failure = Failure { kind: ErrorKind::BudgetExceeded, class: None, message };
                    return Verdict::Failure(failure);
                }
                ("error_max_turns", _) => class::MAX_TURNS.into(),
                ("error_during_execution", _) if looks_like_unknown_session(text) => {
                    class::SESSION_NOT_FOUND.into()
                }
                (_, Some("aborted_streaming" | "aborted_tools")) => class::ABORTED.into(),
                ("success", _) => self.error.clone().unwrap_or_else(|| "unknown".into()),
                (subtype, _) => subtype.into(),
            };
            return Failure::agent(word, text);
        }
        if !exit.is_success() {
            let stderr = stderr.trim();
            let message = format!("it said that it succeeded, but ended with {}", exit.describe());
            let message = if stderr.is_empty() { message } else { format!("{message}\n{stderr}") };
            return Verdict::Failure(Failure { kind: ErrorKind::Crash, class: None, message });
        }
        if result.turns == 0 {
            let said = if text.is_empty() { String::new() } else { format!(": {text}") };
            return Failure::agent(class::NOT_ASKED, format!("the model was never asked{said}"));
        }
        if !told.spoke && !told.acted && text.is_empty() {
            return Failure::agent(class::EMPTY, "it said nothing and did nothing");
        }
        Verdict::Success
    }
}
