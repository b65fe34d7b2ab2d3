//! A damaged log made to fit together again, so that what events mean is tried
//! behind the links, too.

use omne_events::{Digest, EventId, Timestamp};
use serde_json::Value;

/// The lines of `log` that are JSON objects, with `seq`, `id`, `ts`, `prev` and the digests of definitions as they have
/// to be.
pub(crate) fn relinked(log: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut seq, mut prev) = (0, Digest::ZERO);
    let (mut id, mut at) = (EventId::default(), Timestamp::from_millisecond(0));
    for line in log.split(|&byte| byte == b'\n') {
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(line) else { continue };
        seq += 1;
        let read = fields.get("ts").and_then(Value::as_str).and_then(Timestamp::parse);
        at = read.filter(|read| *read > at).unwrap_or(at);
        let read = fields.get("id").and_then(Value::as_str).and_then(EventId::parse);
        id = read.filter(|read| *read > id).unwrap_or_else(|| id.successor());
        if let Some(definition) = fields.get("definition").filter(|definition| definition.is_object()) {
            let digest = Digest::of(definition.to_string());
            fields.insert("definition_sha256".into(), digest.to_string().into());
        }
        fields.insert("seq".into(), seq.into());
        fields.insert("ts".into(), at.to_string().into());
        fields.insert("id".into(), id.to_string().into());
        fields.insert("prev".into(), prev.to_string().into());
        let line = Value::Object(fields).to_string();
        prev = Digest::of(&line);
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out
}
