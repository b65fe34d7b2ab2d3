//! A tool call in one line for people.

use serde_json::Value;

/// The longest summary, in characters.
const MOST: usize = 120;

/// What the call is about: its command, its file, or the first text among its arguments.
pub(crate) fn summary(input: &Value) -> Option<String> {
    const TELLING: [&str; 9] =
        ["command", "file_path", "path", "pattern", "url", "query", "description", "prompt", "skill"];
    let fields = input.as_object()?;
    let text = TELLING
        .iter()
        .find_map(|key| fields.get(*key).and_then(Value::as_str))
        .or_else(|| fields.values().find_map(Value::as_str))?;
    let line = text.lines().find(|line| !line.trim().is_empty())?.trim();
    let mut short: String = line.chars().filter(|c| !c.is_control()).take(MOST).collect();
    if line.chars().count() > MOST || text.trim().lines().count() > 1 {
        short.push('…');
    }
    Some(short)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_is_told_by_its_most_telling_argument() {
        let of = |value: Value| summary(&value);
        assert_eq!(of(json!({"description": "list", "command": "ls -l"})).as_deref(), Some("ls -l"));
        assert_eq!(of(json!({"content": "x", "file_path": "/a"})).as_deref(), Some("/a"));
        assert_eq!(of(json!({"command": "\n  a\u{1b}[31m\nb"})).as_deref(), Some("a[31m…"));
        assert_eq!(of(json!({"command": "x".repeat(500)})).unwrap().chars().count(), MOST + 1);
        assert_eq!(of(json!({"n": 1})), None);
        assert_eq!(of(json!([])), None);
    }
}
