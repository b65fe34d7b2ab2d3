//! The field names and types of opentelemetry-proto's trace, common and resource messages, as far as spans need them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The object, after a look at its field names.
fn message<'a>(value: &'a Value, name: &str, fields: &[&str]) -> &'a Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("{name} is {value}"));
    for key in object.keys() {
        assert!(fields.contains(&key.as_str()), "{name} has no field `{key}`");
    }
    object
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    match &value[key] {
        Value::Null => &[],
        Value::Array(list) => list,
        other => panic!("`{key}` is {other}"),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("`{key}` of {value}"))
}

fn hex<'a>(value: &'a Value, key: &str, digits: usize) -> &'a str {
    let id = text(value, key);
    assert_eq!(id.len(), digits, "`{key}` is `{id}`");
    assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) && id.contains(|c| c != '0'));
    id
}

/// A `fixed64`: decimal text without a leading zero.
fn fixed64(value: &Value, key: &str) -> u64 {
    let number: u64 = text(value, key).parse().unwrap();
    assert_eq!(number.to_string(), text(value, key));
    number
}

fn attributes(value: &Value) {
    let mut keys = BTreeSet::new();
    for pair in list(value, "attributes") {
        message(pair, "KeyValue", &["key", "value"]);
        assert!(keys.insert(text(pair, "key")), "`{}` twice", text(pair, "key"));
        let names = ["stringValue", "boolValue", "intValue", "doubleValue"];
        let any = message(&pair["value"], "AnyValue", &names);
        assert_eq!(any.len(), 1, "one of: {pair}");
        let (name, value) = any.iter().next().unwrap();
        match name.as_str() {
            "stringValue" => assert!(value.is_string()),
            "boolValue" => assert!(value.is_boolean()),
            "intValue" => assert_eq!(value.as_str().unwrap().parse::<i64>().unwrap().to_string(), *value),
            _ => assert!(value.is_f64(), "{pair}"),
        }
    }
}

pub(super) fn check_otlp(text_of: &str) {
    let request: Value = serde_json::from_str(text_of).unwrap();
    message(&request, "ExportTraceServiceRequest", &["resourceSpans"]);
    let mut spans: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut traces = BTreeSet::new();
    for resource in list(&request, "resourceSpans") {
        message(resource, "ResourceSpans", &["resource", "scopeSpans", "schemaUrl"]);
        message(&resource["resource"], "Resource", &["attributes", "droppedAttributesCount", "entityRefs"]);
        attributes(&resource["resource"]);
        for scope in list(resource, "scopeSpans") {
            message(scope, "ScopeSpans", &["scope", "spans", "schemaUrl"]);
            let fields = ["name", "version", "attributes", "droppedAttributesCount"];
            message(&scope["scope"], "InstrumentationScope", &fields);
            attributes(&scope["scope"]);
            for span in list(scope, "spans") {
                check_span(span);
                traces.insert(text(span, "traceId"));
                assert!(spans.insert(text(span, "spanId"), span).is_none(), "a second {span}");
            }
        }
    }
    assert_eq!(traces.len(), 1);
    let mut roots = 0;
    for span in spans.values() {
        for link in list(span, "links") {
            assert!(spans.contains_key(text(link, "spanId")), "{link} leads nowhere");
        }
        let Some(parent) = span.get("parentSpanId") else {
            roots += 1;
            continue;
        };
        let parent = spans[parent.as_str().unwrap()];
        let key = "startTimeUnixNano";
        assert!(fixed64(parent, key) <= fixed64(span, key), "{span} begins before {parent}");
        let key = "endTimeUnixNano";
        assert!(fixed64(parent, key) >= fixed64(span, key), "{span} ends after {parent}");
    }
    assert_eq!(roots, 1);
}

fn check_span(span: &Value) {
    let fields = [
        "traceId",
        "spanId",
        "traceState",
        "parentSpanId",
        "flags",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "droppedAttributesCount",
        "events",
        "droppedEventsCount",
        "links",
        "droppedLinksCount",
        "status",
    ];
    let object = message(span, "Span", &fields);
    hex(span, "traceId", 32);
    hex(span, "spanId", 16);
    if object.contains_key("parentSpanId") {
        hex(span, "parentSpanId", 16);
    }
    assert!(!text(span, "name").is_empty());
    assert_eq!(span["kind"], 1);
    let (from, to) = (fixed64(span, "startTimeUnixNano"), fixed64(span, "endTimeUnixNano"));
    assert!(from <= to);
    attributes(span);
    for event in list(span, "events") {
        message(event, "Event", &["timeUnixNano", "name", "attributes", "droppedAttributesCount"]);
        let at = fixed64(event, "timeUnixNano");
        assert!(from <= at && at <= to, "{event} is not within {span}");
        assert!(!text(event, "name").is_empty());
        attributes(event);
    }
    for link in list(span, "links") {
        let fields = ["traceId", "spanId", "traceState", "attributes", "droppedAttributesCount", "flags"];
        message(link, "Link", &fields);
        assert_eq!(hex(link, "traceId", 32), text(span, "traceId"));
        hex(link, "spanId", 16);
        attributes(link);
    }
    let status = message(&span["status"], "Status", &["message", "code"]);
    match status.get("code").map(|code| code.as_u64().unwrap()) {
        None | Some(1) => assert!(!status.contains_key("message"), "a message without an error: {span}"),
        Some(code) => assert_eq!(code, 2),
    }
}
