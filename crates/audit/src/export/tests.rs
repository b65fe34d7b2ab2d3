//! Every format over stored logs, over one with everything in it, and over hostile and large ones.

mod otlp_check;
mod trace_check;
mod xml_check;

use insta::assert_snapshot;
use omne_events::{LogReader, NodeId};
use serde_json::{Value, json};

use self::{otlp_check::check_otlp, trace_check::check_trace, xml_check::check_xml};
use super::{chrome_trace, junit, otlp_json};
use crate::Story;

const START: i64 = 1_795_168_800_000;

/// A log as text, an event at a time.
struct Log {
    text: String,
    seq: u64,
}

impl Log {
    fn start(nodes: &Value, inputs: &Value) -> Self {
        let mut log = Self { text: String::new(), seq: 0 };
        let declared: Vec<&str> =
            inputs.as_array().unwrap().iter().map(|input| input["key"].as_str().unwrap()).collect();
        let declared: serde_json::Map<String, Value> =
            declared.iter().map(|key| ((*key).to_owned(), json!({ "default": "x" }))).collect();
        let definition = json!({ "name": "story", "version": 1, "inputs": declared, "nodes": nodes });
        let sha256 = omne_events::Digest::of(definition.to_string());
        let host = json!({ "name": "host", "pid": 1, "omne_version": "0.3.0" });
        log.add(
            0,
            "pipe.started",
            json!({ "pipe": "story", "version": 1, "definition": definition, "definition_sha256": sha256, "inputs": inputs, "host": host, "by": "me" }),
        );
        log
    }

    fn add(&mut self, ms: i64, kind: &str, fields: Value) -> &mut Self {
        self.seq += 1;
        let at = omne_events::Timestamp::from_millisecond(START + ms);
        let mut line = json!({
            "seq": self.seq,
            "type": kind,
            "id": format!("01m7w6c38a{:016}", self.seq),
            "ts": at,
            "run_id": "story-01m7w6c3800000000000000001",
            "prev": "0".repeat(64),
        });
        let line_fields = line.as_object_mut().unwrap();
        line_fields.extend(fields.as_object().unwrap().clone());
        self.text.push_str(&format!("{line}\n"));
        self
    }

    fn story(&self) -> Story {
        read(self.text.as_bytes())
    }
}

fn read(log: &[u8]) -> Story {
    Story::read(&mut LogReader::new(log, "log".as_ref()), |_, _| {}).unwrap()
}

fn trace(story: &Story) -> String {
    written(|out| chrome_trace(story, out))
}

fn otlp(story: &Story) -> String {
    written(|out| otlp_json(story, out))
}

fn report(story: &Story) -> String {
    written(|out| junit(story, &|_| None, out))
}

fn written(write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn check_all(story: &Story) {
    check_trace(&trace(story));
    check_otlp(&otlp(story));
    check_xml(&report(story));
}

/// Two go at it; a loop, a hook, a gate that waits while no runner is there, retries, and a skip.
fn everything_log() -> Log {
    let nodes = json!([
        { "id": "plan", "prompt": "p" },
        { "id": "work", "depends_on": ["plan"], "loop": { "prompt": "w", "until": "DONE", "max_iterations": 3 } },
        { "id": "flaky", "bash": "f", "retry": { "max": 1 }, "gate": "ask" },
        { "id": "after", "depends_on": ["work", "flaky"], "bash": "a" },
        { "id": "never", "when": "1 > 2", "bash": "n" },
        { "id": "broken", "depends_on": ["after"], "bash": "b" },
        { "id": "stuck", "depends_on": ["broken"], "bash": "s" },
    ]);
    let mut log = Log::start(&nodes, &json!([{ "key": "name", "value": "you" }]));
    let usage =
        json!({ "input_tokens": 10, "output_tokens": 20, "cache_read_tokens": 300, "cost_usd": 0.25 });
    let sha = "0".repeat(64);
    log.add(1, "node.skipped", json!({ "node_id": "never", "reason": "`when` is false" }))
        .add(2, "hook.decided", json!({ "event": "pre_node", "hook": "guard", "node_id": "plan", "decision": "allow", "latency_us": 120 }))
        .add(3, "node.started", json!({ "node_id": "plan", "kind": "prompt", "attempt": 1, "agent": "claude" }))
        .add(3, "node.started", json!({ "node_id": "flaky", "kind": "bash", "attempt": 1 }))
        .add(3, "node.failed", json!({ "node_id": "flaky", "attempt": 1, "error": { "kind": "crash" }, "message": "no luck", "exit_code": 3, "duration_ms": 0, "retry_in_ms": 0 }))
        .add(3, "node.started", json!({ "node_id": "flaky", "kind": "bash", "attempt": 2 }))
        .add(4, "agent.started", json!({ "node_id": "plan", "attempt": 1, "agent": "claude", "agent_version": "2.0", "model": "claude-x" }))
        .add(5, "agent.tool", json!({ "node_id": "plan", "attempt": 1, "tool": "Bash", "tool_use_id": "t", "input_sha256": sha, "summary": "ls" }))
        .add(6, "gate.waiting", json!({ "node_id": "flaky", "gate": "ask", "prompt": "go on?", "options": ["yes", "no"] }))
        .add(9, "node.completed", json!({ "node_id": "plan", "attempt": 1, "duration_ms": 6, "exit_code": 0, "usage": usage }))
        .add(9, "node.started", json!({ "node_id": "work", "kind": "loop", "attempt": 1, "agent": "claude" }))
        .add(9, "iteration.started", json!({ "node_id": "work", "attempt": 1, "iteration": 1, "byte_offset": 0 }))
        .add(12, "iteration.completed", json!({ "node_id": "work", "attempt": 1, "iteration": 1, "outcome": "continue", "usage": usage }))
        .add(12, "iteration.started", json!({ "node_id": "work", "attempt": 1, "iteration": 2, "byte_offset": 0 }))
        .add(15, "iteration.completed", json!({ "node_id": "work", "attempt": 1, "iteration": 2, "outcome": "until", "usage": usage }))
        .add(15, "node.completed", json!({ "node_id": "work", "attempt": 1, "duration_ms": 6 }))
        .add(16, "pipe.parked", json!({ "waiting": ["flaky"] }))
        .add(50, "gate.decided", json!({ "node_id": "flaky", "gate": "ask", "option": "yes", "approved": true, "by": "boss", "comment": "fine" }))
        .add(60, "pipe.resumed", json!({ "resume": 1, "by": "boss", "plan": [{ "node_id": "flaky", "action": "continue", "why": "it was approved" }] }))
        .add(60, "node.started", json!({ "node_id": "flaky", "kind": "bash", "attempt": 3 }))
        .add(61, "gate.passed", json!({ "node_id": "flaky", "gate": "ask", "method": "human_cli", "by": "boss" }))
        .add(61, "node.completed", json!({ "node_id": "flaky", "attempt": 3, "duration_ms": 3, "exit_code": 0 }))
        .add(62, "node.started", json!({ "node_id": "after", "kind": "bash", "attempt": 1 }))
        .add(62, "node.completed", json!({ "node_id": "after", "attempt": 1, "duration_ms": 0, "exit_code": 0 }))
        .add(62, "node.started", json!({ "node_id": "broken", "kind": "bash", "attempt": 1 }))
        .add(64, "node.failed", json!({ "node_id": "broken", "attempt": 1, "error": { "kind": "spawn_failed" }, "message": "no such program", "duration_ms": 2 }))
        .add(65, "pipe.aborted", json!({ "reason": "failed: broken; blocked: stuck", "failed": ["broken"], "blocked": ["stuck"] }));
    log
}

fn everything() -> Story {
    everything_log().story()
}

/// Checks what becomes of a log, and of each beginning of it: its run may be under way.
fn check_beginnings(log: &[u8]) {
    check_all(&read(log));
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    for end in 1..lines.len() {
        check_all(&read(&lines[..end].concat()));
    }
}

#[test]
fn every_stored_log_becomes_valid_files() {
    let logs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/logs");
    let mut read_logs = 0;
    for entry in std::fs::read_dir(logs).unwrap() {
        check_beginnings(&std::fs::read(entry.unwrap().path()).unwrap());
        read_logs += 1;
    }
    assert!(read_logs > 4);
    check_beginnings(everything_log().text.as_bytes());
    check_all(&Story::default());
}

#[test]
fn a_trace_of_everything() {
    assert_snapshot!("everything.trace", trace(&everything()));
}

#[test]
fn a_report_of_everything() {
    let story = everything();
    let capture = |node: &NodeId| (node.as_str() == "broken").then(|| "\u{1b}[31m<red>".to_owned());
    let report = written(|out| junit(&story, &capture, out));
    check_xml(&report);
    assert_snapshot!("everything.junit", report);
}

#[test]
fn spans_of_everything() {
    assert_snapshot!("everything.otlp", otlp(&everything()));
}

#[test]
fn an_attempt_that_asks_people_waits_until_the_run_parks() {
    let otlp: Value = serde_json::from_str(&otlp(&everything())).unwrap();
    let spans = otlp["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let attempt = spans.iter().find(|span| span["name"] == "flaky attempt 2").unwrap();
    assert_eq!(attempt["status"], json!({}));
    assert_eq!(attempt["endTimeUnixNano"], format!("{}", (START + 16) * 1_000_000));
    assert_eq!(attempt["events"][0]["name"], "omne.gate.waiting");
    let node = spans.iter().find(|span| span["name"] == "node flaky").unwrap();
    assert_eq!(node["status"]["code"], 1);
    assert_eq!(node["events"][0]["name"], "omne.gate.decided");
}

#[test]
fn tokens_are_counted_on_one_span_only() {
    let otlp: Value = serde_json::from_str(&otlp(&everything())).unwrap();
    let spans = otlp["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let of = |span: &Value| -> i64 {
        let attributes = span["attributes"].as_array().unwrap();
        let tokens = attributes.iter().find(|pair| pair["key"] == "gen_ai.usage.output_tokens");
        tokens.map_or(0, |pair| pair["value"]["intValue"].as_str().unwrap().parse().unwrap())
    };
    assert_eq!(spans.iter().map(of).sum::<i64>(), 60);
}

#[test]
fn hostile_text_stays_text() {
    let bad = "</script>]]>&lt;\"'\0\u{1b}[2J\u{7f}\u{85}\u{202e}\u{fffe}\r\n\t\\u0000 \u{1f4a5} <failure/> \u{fffd}";
    let nodes = json!([{ "id": "a", "bash": "a" }, { "id": "b", "bash": "b", "gate": "g" }]);
    let mut log = Log::start(&nodes, &json!([{ "key": "k", "value": bad }]));
    log.add(1, "node.started", json!({ "node_id": "a", "kind": "bash", "attempt": 1, "model": bad, "agent": bad }))
        .add(2, "hook.decided", json!({ "event": bad, "hook": bad, "node_id": "a", "decision": "error", "reason": bad, "latency_us": u64::MAX }))
        .add(2, "agent.tool", json!({ "node_id": "a", "attempt": 1, "tool": bad, "tool_use_id": "", "input_sha256": "0".repeat(64), "summary": bad }))
        .add(3, "node.failed", json!({ "node_id": "a", "attempt": 1, "error": { "kind": "agent_error", "class": bad }, "message": bad, "usage": { "input_tokens": u64::MAX, "output_tokens": 0, "cache_read_tokens": u64::MAX, "cost_usd": 1e308 } }))
        .add(3, "node.started", json!({ "node_id": "b", "kind": "bash", "attempt": 1 }))
        .add(3, "gate.waiting", json!({ "node_id": "b", "gate": bad, "prompt": bad }))
        .add(3, "gate.decided", json!({ "node_id": "b", "gate": bad, "option": bad, "approved": false, "by": bad, "comment": bad }))
        .add(4, "node.failed", json!({ "node_id": "b", "attempt": 1, "error": { "kind": "gate_failed" }, "message": "" }))
        .add(5, "pipe.aborted", json!({ "reason": bad }));
    let story = log.story();
    check_all(&story);

    let report = written(|out| junit(&story, &|_| Some(bad.to_owned()), out));
    let texts = check_xml(&report);
    let shown =
        "</script>]]>&lt;\"'␀␛[2J␡\u{fffd}\u{202e}\u{fffd}\r\n\t\\u0000 \u{1f4a5} <failure/> \u{fffd}";
    assert!(texts.iter().any(|text| text == shown), "{texts:#?}");
    let trace: Value = serde_json::from_str(&trace(&story)).unwrap();
    let failed =
        trace["traceEvents"].as_array().unwrap().iter().find(|event| event["cat"] == "attempt").unwrap();
    assert_eq!(failed["args"]["message"], bad);
}

#[test]
fn what_is_written_grows_with_the_run_and_no_faster() {
    let chain = |count: usize| {
        let id = |number: usize| format!("n{number:06}");
        let node = |number: usize| match number.checked_sub(1) {
            Some(before) => json!({ "id": id(number), "bash": "true", "depends_on": [id(before)] }),
            None => json!({ "id": id(number), "bash": "true" }),
        };
        let nodes: Vec<Value> = (0..count).map(node).collect();
        let mut log = Log::start(&Value::Array(nodes), &json!([]));
        for number in 0..count {
            // All within few milliseconds, so that slices have to be moved apart.
            let at = 1 + i64::try_from(number / 5000).unwrap();
            log.add(at, "node.started", json!({ "node_id": id(number), "kind": "bash", "attempt": 1 }));
            log.add(
                at,
                "hook.decided",
                json!({ "event": "e", "hook": "h", "node_id": id(number), "decision": "allow" }),
            );
            log.add(at, "node.completed", json!({ "node_id": id(number), "attempt": 1, "duration_ms": 0 }));
        }
        log.add(9, "pipe.completed", json!({}));
        let story = log.story();
        let (trace, otlp, report) = (trace(&story), otlp(&story), report(&story));
        check_trace(&trace);
        check_xml(&report);
        [trace.len(), otlp.len(), report.len()]
    };
    let (small, large) = (chain(1000), chain(10_000));
    for (small, large) in small.into_iter().zip(large) {
        assert!(large < small * 11, "{small} bytes became {large} with ten times the nodes");
    }
}

#[test]
#[should_panic = "sticks out"]
fn the_check_of_traces_sees_slices_that_overlap() {
    check_trace(&trace(&everything()).replace("\"ts\":12000,\"dur\":3000", "\"ts\":11999,\"dur\":3000"));
}

#[test]
#[should_panic = "without an end"]
fn the_check_of_traces_sees_flows_that_lead_nowhere() {
    let trace = trace(&everything());
    check_trace(&trace.lines().filter(|line| !line.contains("\"id\":2,\"bp\"")).collect::<String>());
}

#[test]
#[should_panic = "has no field `span_id`"]
fn the_check_of_spans_sees_fields_that_do_not_exist() {
    check_otlp(&otlp(&everything()).replace("\"spanId\"", "\"span_id\""));
}

#[test]
#[should_panic = "a bare `&`"]
fn the_check_of_reports_sees_what_is_not_escaped() {
    check_xml(&report(&everything()).replace("no luck", "R & D"));
}
