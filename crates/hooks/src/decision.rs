//! What a hook answers, strictly.

use omne_events::beginning;
use serde_json::{Map, Value};

use crate::{HookEvent, chain::approve_or_reject};

/// The longest reason or question, in bytes.
const MOST_TEXT: usize = 2048;
/// The most options of a question, and the longest of them in bytes.
const MOST_OPTIONS: usize = 20;
const MOST_OPTION: usize = 200;
/// The longest time that a node can be given: a year.
const MOST_SECONDS: u64 = 365 * 24 * 3600;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It may go on.
    Allow,
    /// It may go on, changed.
    Modify(Map<String, Value>),
    /// It may not.
    Deny {
        /// Why, for people.
        reason: String,
        /// As in HTTP; 403 when it does not say.
        code: u32,
    },
    /// People decide.
    AskUser {
        /// The question.
        prompt: String,
        /// The possible answers.
        options: Vec<String>,
        /// The one that counts when nobody answers in time.
        default: Option<String>,
    },
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no JSON.
    #[error("the reply is no JSON: {0}")]
    Json(String),
    /// It is for another request.
    #[error("it answered another request than the one under way")]
    Another,
    /// It is something else than an object.
    #[error("the reply has to be an object")]
    NotAnObject,
    /// There is no such action.
    #[error("`{0}` is no action; there are allow, modify, deny, ask_user")]
    UnknownAction(String),
    /// Something has to be there.
    #[error("{action} needs `{field}`")]
    Missing {
        /// The action.
        action: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field is not what it has to be.
    #[error("`{field}` {why}")]
    Wrong {
        /// The field.
        field: String,
        /// Why.
        why: &'static str,
    },
    /// It may not change that.
    #[error("{event} can not change `{key}`; it can change: {known}")]
    UnknownDelta {
        /// The event.
        event: &'static str,
        /// The key.
        key: String,
        /// The keys that there are.
        known: String,
    },
}

/// Reads an answer to `event`, and to the request of that `id` if one is given; nothing at all is one, too.
///
/// # Errors
/// What is wrong with it.
pub fn parse(reply: &[u8], event: HookEvent, id: Option<&str>) -> Result<Decision, DecodeError> {
    if reply.trim_ascii().is_empty() {
        return Ok(Decision::Allow);
    }
    let value: Value = serde_json::from_slice(reply).map_err(|error| DecodeError::Json(error.to_string()))?;
    let Value::Object(fields) = value else { return Err(DecodeError::NotAnObject) };
    let said = fields.get("id").filter(|said| !said.is_null());
    if id.is_some() && said.is_some_and(|said| said.as_str() != id) {
        return Err(DecodeError::Another);
    }
    let action = match fields.get("action") {
        None => {
            let unknown = fields.keys().find(|key| *key != "id");
            return match unknown {
                None => Ok(Decision::Allow),
                Some(_) => Err(DecodeError::Missing { action: "a reply", field: "action" }),
            };
        }
        Some(Value::String(action)) => action.as_str(),
        Some(_) => return Err(DecodeError::Wrong { field: "action".into(), why: "has to be a text" }),
    };
    let text = |field: &'static str| match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(DecodeError::Wrong { field: field.into(), why: "has to be a text" }),
    };
    match action {
        "allow" => Ok(Decision::Allow),
        "modify" => match fields.get("delta") {
            Some(Value::Object(delta)) => check_delta(delta, event).map(|()| Decision::Modify(delta.clone())),
            Some(_) => Err(DecodeError::Wrong { field: "delta".into(), why: "has to be an object" }),
            None => Err(DecodeError::Missing { action: "`modify`", field: "delta" }),
        },
        "deny" => {
            let code = match fields.get("code") {
                None | Some(Value::Null) => 403,
                Some(code) => code
                    .as_u64()
                    .and_then(|code| u32::try_from(code).ok())
                    .ok_or(DecodeError::Wrong { field: "code".into(), why: "has to be a whole number" })?,
            };
            let reason = text("reason")?.ok_or(DecodeError::Missing { action: "`deny`", field: "reason" })?;
            Ok(Decision::Deny { reason: beginning(&reason, MOST_TEXT).to_owned(), code })
        }
        "ask_user" => {
            let prompt =
                text("prompt")?.ok_or(DecodeError::Missing { action: "`ask_user`", field: "prompt" })?;
            let options = match fields.get("options") {
                None | Some(Value::Null) => approve_or_reject(),
                Some(options) => texts(options)
                    .filter(|options| (1..=MOST_OPTIONS).contains(&options.len()))
                    .filter(|options| options.iter().all(|option| option.len() <= MOST_OPTION))
                    .ok_or(DecodeError::Wrong {
                        field: "options".into(),
                        why: "has to be a list of texts",
                    })?,
            };
            let default = text("default")?;
            if default.as_ref().is_some_and(|default| !options.contains(default)) {
                return Err(DecodeError::Wrong {
                    field: "default".into(),
                    why: "has to be one of the options",
                });
            }
            Ok(Decision::AskUser { prompt: beginning(&prompt, MOST_TEXT).to_owned(), options, default })
        }
        other => Err(DecodeError::UnknownAction(other.chars().take(60).collect())),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

fn check_delta(delta: &Map<String, Value>, event: HookEvent) -> Result<(), DecodeError> {
    let known = event.delta_keys();
    for (key, value) in delta {
        if !known.contains(&key.as_str()) {
            let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
            return Err(DecodeError::UnknownDelta { event: event.as_str(), key: key.clone(), known });
        }
        let wrong = |why| Err(DecodeError::Wrong { field: format!("delta.{key}"), why });
        // None of it could be handed to a process; what a tool takes is the agent's business.
        if event != HookEvent::PreTool && has_nul(value) {
            return wrong("has a NUL character");
        }
        match key.as_str() {
            "prompt" | "model" if !value.is_string() => return wrong("has to be a text"),
            "env" if !value.as_object().is_some_and(|env| env.values().all(Value::is_string)) => {
                return wrong("has to be an object of texts");
            }
            "env" if value.as_object().is_some_and(|env| env.keys().any(|name| !is_variable(name))) => {
                return wrong("has a name that is none for a variable, or is reserved");
            }
            "timeout" if !value.as_u64().is_some_and(|seconds| (1..=MOST_SECONDS).contains(&seconds)) => {
                return wrong("has to be a whole number of seconds, a year at most");
            }
            "allowed_tools" if texts(value).is_none() => return wrong("has to be a list of texts"),
            _ => {}
        }
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(has_nul),
        Value::Object(map) => map.values().any(has_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_variable(name: &str) -> bool {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    letters && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && !name.starts_with("OMNE_")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(reply: &str) -> Result<Decision, String> {
        parse(reply.as_bytes(), HookEvent::PreNode, None).map_err(|error| error.to_string())
    }

    #[test]
    fn silence_and_an_empty_object_allow() {
        for reply in ["", " \n", "{}", r#"{"id":"x"}"#, r#"{"action":"allow"}"#] {
            assert_eq!(of(reply), Ok(Decision::Allow), "{reply}");
        }
    }

    #[test]
    fn the_three_other_answers_are_read() {
        let delta = json!({"prompt": "p", "env": {"A": "b"}, "timeout": 5, "allowed_tools": ["Read"]});
        let reply = json!({"action": "modify", "delta": delta}).to_string();
        assert_eq!(of(&reply), Ok(Decision::Modify(delta.as_object().unwrap().clone())));
        let deny = Decision::Deny { reason: "no".into(), code: 451 };
        assert_eq!(of(r#"{"action":"deny","reason":"no","code":451}"#), Ok(deny));
        let ask = Decision::AskUser {
            prompt: "really?".into(),
            options: vec!["yes".into(), "no".into()],
            default: Some("no".into()),
        };
        assert_eq!(
            of(r#"{"action":"ask_user","prompt":"really?","options":["yes","no"],"default":"no"}"#),
            Ok(ask)
        );
    }

    #[test]
    fn anything_else_says_what_is_wrong() {
        for (reply, why) in [
            ("yes", "no JSON"),
            ("[]", "has to be an object"),
            (r#"{"action":"alow"}"#, "`alow` is no action"),
            (r#"{"decision":"allow"}"#, "needs `action`"),
            (r#"{"action":"deny"}"#, "needs `reason`"),
            (r#"{"action":"modify"}"#, "needs `delta`"),
            (r#"{"action":"modify","delta":{"promt":"x"}}"#, "pre_node can not change `promt`"),
            (r#"{"action":"modify","delta":{"timeout":"5s"}}"#, "whole number of seconds"),
            (r#"{"action":"modify","delta":{"env":{"OMNE_RUN_ID":"x"}}}"#, "reserved"),
            (r#"{"action":"modify","delta":{"env":{"A":"z\u0000z"}}}"#, "has a NUL character"),
            (r#"{"action":"modify","delta":{"allowed_tools":["\u0000"]}}"#, "has a NUL character"),
            (r#"{"action":"ask_user","prompt":"x","options":["a"],"default":"b"}"#, "one of the options"),
        ] {
            let error = of(reply).unwrap_err();
            assert!(error.contains(why), "{reply}: {error}");
        }
    }
}
