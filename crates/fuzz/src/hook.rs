//! What hooks answer, and the file that names them.

use std::{ffi::OsStr, path::Path};

use omne_hooks::{Chain, Config, Decision, HookEvent, parse};
use serde_json::{Map, Value, json};

/// A reply of either executor, to any event: what is understood can be said again, is bounded, and changes only what the
/// event allows.
pub fn hook_reply(bytes: &[u8]) {
    // A program's reply is its last line that is not blank; a daemon's is one line.
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let last = lines.rfind(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    for event in HookEvent::ALL {
        for reply in [bytes, last] {
            match parse(reply, event, None) {
                Ok(decision) => holds(&decision, event),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

fn holds(decision: &Decision, event: HookEvent) {
    let again = match decision {
        Decision::Allow => json!({ "action": "allow" }),
        Decision::Modify(delta) => {
            assert!(
                delta.keys().all(|key| event.delta_keys().contains(&key.as_str())),
                "{event:?} {delta:?}"
            );
            json!({ "action": "modify", "delta": delta })
        }
        Decision::Deny { reason, code } => {
            assert!(reason.len() <= 2048, "a reason of {} bytes", reason.len());
            json!({ "action": "deny", "reason": reason, "code": code })
        }
        Decision::AskUser { prompt, options, default } => {
            assert!(prompt.len() <= 2048 && !options.is_empty());
            assert!(default.as_ref().is_none_or(|default| options.contains(default)));
            json!({ "action": "ask_user", "prompt": prompt, "options": options, "default": default })
        }
    };
    assert_eq!(parse(again.to_string().as_bytes(), event, None).as_ref(), Ok(decision), "said again");
    let mut chain = Chain::new(Map::from_iter([("env".to_owned(), json!({ "A": "1" }))]));
    chain.take(decision.clone());
    assert_eq!(chain.is_over(), matches!(decision, Decision::Deny { .. }));
    assert!(chain.payload().get("env").is_none_or(Value::is_object), "{:?}", chain.payload());
}

/// `hooks.toml`: an error names a place inside the text; each hook that is asked is one of the file, in order of priority.
pub fn hooks_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let config: Config = match toml::from_str(text) {
        Ok(config) => config,
        Err(error) => return inside(text, &error),
    };
    for event in HookEvent::ALL {
        let chain = config.chain(event, "feature/plan");
        assert!(
            chain.windows(2).all(|pair| config.hooks[pair[0]].priority >= config.hooks[pair[1]].priority)
        );
        assert!(chain.is_empty() || config.events().contains(&event));
    }
    for hook in &config.hooks {
        assert!((1..=30_000).contains(&hook.timeout.as_millis()) && !hook.command.trim().is_empty());
    }
    let args = ["-c", "npm publish --tag aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"].map(OsStr::new);
    for rule in &config.rules {
        rule.applies("feature/plan", Path::new("/usr/bin/sh"), &args);
        assert!(!rule.describe().is_empty());
    }
}

/// An error of a settings file can be shown at its place.
pub(crate) fn inside(text: &str, error: &toml::de::Error) {
    assert!(!error.message().is_empty());
    if let Some(span) = error.span() {
        assert!(span.start <= span.end && span.end <= text.len(), "{span:?} of {}", text.len());
    }
}
