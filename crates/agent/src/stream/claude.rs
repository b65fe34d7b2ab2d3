//! `claude -p --output-format stream-json --verbose`.

use std::borrow::Cow;

use omne_events::{ErrorKind, Usage};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;
use smol_str::SmolStr;

use super::{Item, Read, Sink, Told, ToolCall, from_json, text_of};
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

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    subtype: Option<Cow<'a, str>>,
}

/// Who the program is: three fields of a line that is mostly lists of what it can do.
#[derive(Default)]
struct Init {
    session_id: Option<String>,
    model: Option<String>,
    version: Option<String>,
}

impl Init {
    /// Reads no further than to the last field that is wanted; of a line that is broken, what comes before that.
    fn read(line: &str) -> Self {
        let mut init = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(line);
        // An error ends the reading, whether the line is broken or there is nothing more to be had.
        let _ = deserializer.deserialize_map(InitVisitor(&mut init));
        init
    }
}

struct InitVisitor<'i>(&'i mut Init);

impl<'de> Visitor<'de> for InitVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Init { session_id, model, version } = self.0;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let place = match &*key {
                "session_id" => &mut *session_id,
                "model" => &mut *model,
                "claude_code_version" => &mut *version,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *place = map.next_value::<Value>()?.as_str().map(str::to_owned);
            if session_id.is_some() && model.is_some() && version.is_some() {
                return Err(A::Error::custom("there is nothing more to be had"));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Assistant<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    parent_tool_use_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Vec<Block<'a>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    input: Option<Value>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event: Option<Delta<'a>>,
    #[serde(borrow)]
    parent_tool_use_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    delta: Option<TextDelta<'a>>,
}

#[derive(Deserialize)]
struct TextDelta<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ResultLine<'a> {
    #[serde(borrow, default)]
    subtype: Cow<'a, str>,
    #[serde(default, deserialize_with = "flag")]
    is_error: bool,
    #[serde(default, deserialize_with = "whole")]
    num_turns: u64,
    #[serde(borrow)]
    result: Option<Cow<'a, str>>,
    #[serde(borrow)]
    errors: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    terminal_reason: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "number")]
    total_cost_usd: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    duration_ms: Option<f64>,
    usage: Option<Tokens>,
    permission_denials: Option<Vec<Denial>>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default, deserialize_with = "whole")]
    input_tokens: u64,
    #[serde(default, deserialize_with = "whole")]
    output_tokens: u64,
    #[serde(default, deserialize_with = "number")]
    cache_read_input_tokens: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    cache_creation_input_tokens: Option<f64>,
}

/// A number, or nothing where something else stands: one odd field must not cost the whole line.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_f64().filter(|number| *number >= 0.0))
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(number(deserializer)?.map_or(0, to_whole))
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

/// Whether it is true; an error that is not told clearly is one.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(!matches!(Value::deserialize(deserializer)?, Value::Bool(false) | Value::Null))
}

#[derive(Deserialize)]
struct Denial {
    tool_name: Option<SmolStr>,
}

impl Claude {
    fn assistant(&mut self, line: Assistant<'_>, told: &mut Told, sink: &mut Sink<'_>) {
        if line.error.is_some() {
            self.error = line.error.map(|error| (*error).into());
        }
        let Some(message) = line.message else { return };
        if message.model.as_deref() == Some(SYNTHETIC) {
            return;
        }
        for block in message.content {
            match (&*block.kind, block.text) {
                // What a sub-agent says is its own business.
                ("text", Some(text)) if line.parent_tool_use_id.is_none() => {
                    told.spoke |= !text.trim().is_empty();
                    sink(Item::Text(&text));
                    sink(Item::TextEnd);
                }
                ("tool_use", _) => {
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
        let tokens = line.usage;
        let usage = Usage {
            input_tokens: tokens.as_ref().map_or(0, |t| t.input_tokens),
            output_tokens: tokens.as_ref().map_or(0, |t| t.output_tokens),
            cache_read_tokens: tokens.as_ref().and_then(|t| t.cache_read_input_tokens).map(to_whole),
            cache_write_tokens: tokens.as_ref().and_then(|t| t.cache_creation_input_tokens).map(to_whole),
            cost_usd: line.total_cost_usd,
            turns: Some(line.num_turns),
            agent_ms: line.duration_ms.map(to_whole),
        };
        // There is one a turn of the conversation, and each has the sums so far.
        told.usage = Some(usage);
        for denial in line.permission_denials.into_iter().flatten() {
            if let Some(name) = denial.tool_name.filter(|name| !told.denied.contains(name)) {
                told.denied.push(name);
            }
        }
        let errors = || line.errors.as_ref().map(|errors| errors.join("\n"));
        self.result = Some(Outcome {
            is_error: line.is_error,
            subtype: line.subtype.into_owned(),
            turns: line.num_turns,
            text: line.result.as_ref().map(|text| text.to_string()).or_else(errors).unwrap_or_default(),
            terminal_reason: line.terminal_reason.map(Cow::into_owned),
        });
    }

    /// The kind of a line whose keys are in another order than usual.
    fn unclear(line: &[u8]) -> Kind {
        let mut kind = Kind::Idle;
        if let Ok(head) = serde_json::from_slice::<Head<'_>>(line) {
            kind = match (&*head.kind, head.subtype.as_deref()) {
                ("assistant", _) => Kind::Assistant,
                ("result", _) => Kind::Result,
                ("stream_event", _) => Kind::Delta,
                ("system", Some("init")) => Kind::Init,
                _ => Kind::Idle,
            };
        }
        kind
    }
}

impl Read for Claude {
    fn is_idle(&self, head: &[u8]) -> bool {
        kind(head) == Kind::Idle
    }

    fn line(&mut self, line: &[u8], told: &mut Told, sink: &mut Sink<'_>) {
        let kind = match kind(line) {
            Kind::Unclear => Self::unclear(line),
            kind => kind,
        };
        if matches!(kind, Kind::Idle | Kind::Unclear)
            || (kind == Kind::Delta && memchr::memmem::find(line, b"text_delta").is_none())
        {
            return;
        }
        let line = text_of(line);
        match kind {
            Kind::Init => {
                let init = Init::read(&line);
                sink(Item::Session {
                    id: init.session_id.as_deref(),
                    model: init.model.as_deref(),
                    version: init.version.as_deref(),
                });
            }
            Kind::Assistant => {
                if let Some(assistant) = from_json(&line) {
                    self.assistant(assistant, told, sink);
                }
            }
            Kind::Delta => {
                let event: Option<Event<'_>> = from_json(&line);
                let own = event.filter(|event| event.parent_tool_use_id.is_none());
                let delta = own.and_then(|event| event.event).and_then(|event| event.delta);
                if let Some(text) = delta.and_then(|delta| delta.text) {
                    sink(Item::Partial(&text));
                }
            }
            Kind::Result => {
                if let Some(result) = from_json(&line) {
                    self.result(result, told);
                }
            }
            Kind::Idle | Kind::Unclear => {}
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
