use proptest::prelude::*;

use super::*;
use crate::*;

fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn record(seq: u64, event: impl Into<Event>) -> Recorded {
    let at = Timestamp::from_millisecond(1_795_168_800_123);
    let run = RunId::new("p-01kahj5zz0000000000000000a").unwrap();
    Recorded { seq, id: EventId::from_parts(at, u128::from(seq)), at, run, event: event.into() }
}

fn line(record: &Recorded) -> String {
    let mut out = Vec::new();
    encode(record, Digest::ZERO, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_envelope_comes_first_and_the_event_follows_in_a_fixed_order() {
    let skipped = NodeSkipped { node_id: node("a"), reason: "say \"no\"".into() };
    let zeros = "0".repeat(64);
    assert_eq!(
        line(&record(7, skipped)),
        format!(
            r#"{{"seq":7,"type":"node.skipped","id":"01m7w6c3bv0000000000000007","ts":"2026-11-20T10:00:00.123Z","run_id":"p-01kahj5zz0000000000000000a","prev":"{zeros}","node_id":"a","reason":"say \"no\""}}"#
        )
    );
}

#[test]
fn a_log_of_omne_cli_0_2_is_read_with_counted_seq() {
    let text = r#"{"type":"node.completed","id":"01kahj5zz0000000000000000b","ts":"2026-04-15T12:00:00Z","run_id":"p-01kahj5zz0000000000000000a","node_id":"n","output_path":".omne/var/runs/p/nodes/n.out"}"#;
    let mut decoder = Decoder::new();
    decoder.decode(text.as_bytes()).unwrap();
    let decoded = decoder.decode(text.as_bytes()).unwrap();
    assert!(decoded.legacy);
    assert_eq!(decoded.line.seq(), 2);
    let Line::Known(Recorded { event: Event::NodeCompleted(completed), .. }) = decoded.line.into_line()
    else {
        panic!()
    };
    assert_eq!((completed.attempt, completed.output_sha256), (1, None));
}

#[test]
fn unknown_types_and_fields_are_kept_and_passed_over() {
    let text = r#"{"seq":1,"type":"node.teleported","id":"01kahj5zz0000000000000000b","ts":"2026-04-15T12:00:00Z","run_id":"p-01kahj5zz0000000000000000a","node_id":"n","to":"mars"}"#;
    let Line::Unknown { kind, .. } = Decoder::new().decode(text.as_bytes()).unwrap().line.into_line() else {
        panic!()
    };
    assert_eq!(kind, "node.teleported");
    let extra = line(&record(1, PipeCompleted { duration_ms: 4 }))
        .replace("\"duration_ms\"", "\"mood\":[1,{}],\"duration_ms\"");
    assert!(matches!(Decoder::new().decode(extra.as_bytes()).unwrap().line.into_line(), Line::Known(_)));
}

#[test]
fn names_that_could_be_paths_never_leave_the_decoder() {
    for field in ["node_id", "run_id"] {
        let text = r#"{"seq":1,"type":"node.skipped","id":"01kahj5zz0000000000000000b","ts":"2026-04-15T12:00:00Z","run_id":"p-01kahj5zz0000000000000000a","node_id":"n","reason":""}"#;
        let value = if field == "node_id" { "\"n\"" } else { "\"p-01kahj5zz0000000000000000a\"" };
        let text =
            text.replace(&format!("\"{field}\":{value}"), &format!("\"{field}\":\"../../etc/passwd\""));
        assert!(text.contains("passwd"));
        assert!(Decoder::new().decode(text.as_bytes()).is_err(), "{field}");
    }
}

#[test]
fn a_field_of_the_envelope_that_stands_twice_is_refused_in_every_event() {
    let skipped = line(&record(1, NodeSkipped { node_id: node("a"), reason: "no".into() }));
    let spawned =
        line(&record(1, NodeSpawned { node_id: node("a"), attempt: 1, pid: 7, program: "sh".into() }));
    for written in [skipped, spawned] {
        assert!(Decoder::new().decode(written.as_bytes()).is_ok());
        let twice = written.replace("\"node_id\"", "\"run_id\":\"q-01kahj5zz0000000000000000b\",\"node_id\"");
        assert!(Decoder::new().decode(twice.as_bytes()).is_err(), "{twice}");
    }
}

#[test]
fn a_time_that_is_out_of_range_is_the_same_by_either_way() {
    let spawned = NodeSpawned { node_id: node("a"), attempt: 1, pid: 7, program: "sh".into() };
    let line = line(&record(1, spawned));
    for time in ["1969-12-31T23:59:58.250Z", "9999-12-30T22:00:00.999Z"] {
        let quick = line.replace("2026-11-20T10:00:00.123Z", time);
        let general = quick.replacen('{', "{ ", 1);
        let at = |text: &str| Decoder::new().decode(text.as_bytes()).unwrap().line.at();
        assert_eq!(at(&quick), at(&general), "{time}");
    }
}

#[test]
fn the_summary_of_a_tool_is_read_with_its_escapes() {
    let tool = |summary: &str| AgentTool {
        node_id: node("a"),
        attempt: 1,
        tool: "Bash".into(),
        tool_use_id: "toolu_1".into(),
        input_sha256: Digest::ZERO,
        summary: Some(summary.to_owned()),
    };
    for summary in ["plain", "", "\"", "\\", "\\\"", "a\tb", "say \"no\"\n", "ü\"ß"] {
        let written = line(&record(1, tool(summary)));
        let line = Decoder::new().decode(written.as_bytes()).unwrap().line;
        assert!(matches!(line, LineRef::Borrowed(_)), "{written} is in the writer's own form");
        let Line::Known(Recorded { event: Event::AgentTool(read), .. }) = line.into_line() else { panic!() };
        assert_eq!(read.summary.as_deref(), Some(summary));
    }
    for broken in [r"\", r"\x", r"\u12", r"\ud800"] {
        let written = line(&record(1, tool("SUMMARY"))).replace("SUMMARY", broken);
        assert!(Decoder::new().decode(written.as_bytes()).is_err(), "{written}");
    }
}

#[test]
fn the_schema_knows_every_type() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let types: Vec<&str> = schema["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["if"]["properties"]["type"]["const"].as_str().unwrap())
        .collect();
    assert_eq!(types, Event::TYPES);
}

fn any_event() -> impl Strategy<Value = Event> {
    let id = "[A-Za-z0-9_][A-Za-z0-9_-]{0,30}".prop_map(|id| NodeId::new(id).unwrap());
    let usage = proptest::option::of(0.0..1e6_f64)
        .prop_map(|cost| cost.map(|cost| Usage { cost_usd: Some(cost), ..Usage::default() }));
    let digest = any::<Option<u64>>().prop_map(|n| n.map(|n| Digest::of(n.to_le_bytes())));
    let text = proptest::option::of(".{0,20}");
    (id, any::<u32>(), digest, any::<u64>(), any::<Option<u8>>(), text, usage, 0..6).prop_map(
        |(node_id, number, digest, big, code, text, usage, which)| match which {
            0 => NodeStarted {
                node_id,
                kind: NodeKind::Bash,
                attempt: number,
                node_sha256: digest,
                prompt_sha256: digest.filter(|_| code.is_some()),
                prompt_stable_sha256: digest.filter(|_| code == Some(0)),
                name: text.map(Into::into),
                model: code.map(|code| format!("model-{code}").into()),
                agent: digest.map(|_| "claude".into()),
            }
            .into(),
            1 => NodeSpawned { node_id, attempt: 1, pid: number, program: text.unwrap_or_default().into() }
                .into(),
            2 => NodeCompleted {
                node_id,
                attempt: number,
                output_path: text,
                output_bytes: big,
                output_sha256: digest,
                duration_ms: big / 3,
                exit_code: code.map(i32::from),
                outputs: None,
                usage,
                denied_tools: None,
            }
            .into(),
            3 => AgentTool {
                node_id,
                attempt: number,
                tool: "Bash".into(),
                tool_use_id: format!("toolu_{big}"),
                input_sha256: digest.unwrap_or(Digest::ZERO),
                summary: text,
            }
            .into(),
            4 => NodeSkipped { node_id, reason: text.unwrap_or_default() }.into(),
            _ => NodeFailed {
                node_id,
                attempt: number,
                error: ErrorKind::Crash.into(),
                message: text,
                exit_code: code.map(i32::from),
                signal: None,
                duration_ms: big,
                retry_in_ms: None,
                usage,
            }
            .into(),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(event in any_event(), seq in 1..u64::MAX) {
        let written = line(&record(seq, event));
        let decoded = Decoder::new().decode(written.as_bytes()).unwrap();
        let Line::Known(read) = decoded.line.into_line() else { panic!("unknown") };
        prop_assert_eq!(line(&read), written);
    }

    #[test]
    fn the_quick_way_says_the_same_as_the_general_one(event in any_event(), seq in 1..u64::MAX) {
        let quick = line(&record(seq, event));
        // A blank after the brace sends the line the general way.
        let general = quick.replacen('{', "{ ", 1);
        let Line::Known(quick) = Decoder::new().decode(quick.as_bytes()).unwrap().line.into_line() else { panic!() };
        let Line::Known(general) = Decoder::new().decode(general.as_bytes()).unwrap().line.into_line() else { panic!() };
        prop_assert_eq!(line(&quick), line(&general));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Decoder::new().decode(&bytes);
    }
}
