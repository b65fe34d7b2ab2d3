//! Codex, Gemini and plain text, as their programs were seen to print, and what `claude` may come to print.

use omne_agent::{Dialect, Exit, Item, Parser, Verdict};

const DONE: Exit = Exit { code: Some(0), signal: None };
const FAILED: Exit = Exit { code: Some(1), signal: None };

struct Read {
    parser: Parser,
    items: Vec<String>,
}

fn read(dialect: Dialect, stream: &str) -> Read {
    let run = |piece: usize| {
        let mut parser = Parser::new(dialect);
        let mut items = Vec::new();
        let mut take = |item: Item<'_>| {
            items.push(match item {
                Item::Session { id, .. } => format!("session {}", id.unwrap_or("-")),
                Item::Text(text) => format!("text {text}"),
                Item::TextEnd => "end".to_owned(),
                Item::Partial(text) => format!("partial {text}"),
                Item::Tool(call) => format!("tool {} {}", call.name, call.summary.unwrap_or_default()),
            });
        };
        for bytes in stream.as_bytes().chunks(piece) {
            parser.push(bytes, &mut take);
        }
        parser.end(&mut take);
        Read { parser, items }
    };
    let whole = run(usize::MAX);
    assert_eq!(run(5).items, whole.items);
    whole
}

fn failure(read: &Read, exit: Exit, stderr: &str) -> (String, String) {
    match read.parser.verdict(exit, stderr) {
        Verdict::Failure(failure) => {
            (failure.kind.as_str().to_owned(), failure.class.unwrap_or_default().to_string())
        }
        Verdict::Success => panic!("success"),
    }
}

#[test]
fn one_odd_field_of_claude_does_not_cost_its_line() {
    let odd = r#"{"type":"assistant","message":{"model":7,"content":[{"type":"text","text":"hello","id":[]},null]},"error":{}}
{"type":"result","subtype":null,"is_error":false,"num_turns":"?","result":"done","total_cost_usd":1e999,"usage":{"input_tokens":[1],"output_tokens":3},"permission_denials":[5]}
"#;
    let read = read(Dialect::Claude, odd);
    assert_eq!(read.items, ["text hello", "end"]);
    let usage = read.parser.usage().expect("there was a result");
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.turns), (0, 3, Some(0)));
    assert_eq!(usage.cost_usd, None);
}

#[test]
fn an_odd_parent_is_one_all_the_same() {
    let line = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"hello"}]},"parent_tool_use_id":7}"#;
    assert!(read(Dialect::Claude, line).items.is_empty());
}

#[test]
fn a_broken_line_of_claude_says_nothing_at_all() {
    let line = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"hello"}]},"uuid":"1"}"#;
    for end in 0..line.len() {
        let read = read(Dialect::Claude, &line[..end]);
        assert!(read.items.is_empty(), "of {}", &line[..end]);
    }
    assert_eq!(read(Dialect::Claude, line).items, ["text hello", "end"]);
}

#[test]
fn codex_tells_its_thread_its_messages_and_its_commands() {
    let read = read(
        Dialect::Codex,
        r#"{"type":"thread.started","thread_id":"t-1"}
{"type":"turn.started"}
{"type":"item.started","item":{"id":"item_0","type":"command_execution","command":"ls","aggregated_output":"","exit_code":null,"status":"in_progress"}}
{"type":"item.completed","item":{"id":"item_0","type":"command_execution","command":"ls","aggregated_output":"a\nALL_DONE\n","exit_code":0,"status":"completed"}}
{"type":"item.completed","item":{"id":"item_1","type":"agent_message","text":"done\nALL_DONE"}}
{"type":"turn.completed","usage":{"input_tokens":20,"cached_input_tokens":5,"output_tokens":7}}
"#,
    );
    assert_eq!(read.items, ["session t-1", "tool command_execution ls", "text done\nALL_DONE", "end"]);
    assert_eq!(read.parser.verdict(DONE, ""), Verdict::Success);
    let usage = read.parser.usage().unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cache_read_tokens), (20, 7, Some(5)));
}

#[test]
fn an_error_line_of_codex_is_not_final_and_a_failed_turn_is() {
    let retried = "{\"type\":\"error\",\"message\":\"Reconnecting... 1/5\"}\n{\"type\":\"item.completed\",\"item\":\
                   {\"id\":\"i\",\"type\":\"agent_message\",\"text\":\"ok\"}}\n{\"type\":\"turn.completed\"}\n";
    assert_eq!(read(Dialect::Codex, retried).parser.verdict(DONE, ""), Verdict::Success);
    let failed =
        "{\"type\":\"turn.failed\",\"error\":{\"message\":\"unexpected status 401 Unauthorized\"}}\n";
    let expected = ("agent_error".to_owned(), "authentication_failed".to_owned());
    assert_eq!(failure(&read(Dialect::Codex, failed), FAILED, ""), expected);
}

#[test]
fn codex_without_a_turn_that_ended_failed_whatever_its_exit_code() {
    assert_eq!(failure(&read(Dialect::Codex, ""), FAILED, "bad flag").0, "crash");
    let started = read(Dialect::Codex, "{\"type\":\"thread.started\",\"thread_id\":\"t\"}");
    assert_eq!(failure(&started, DONE, ""), ("agent_error".into(), "no_result".into()));
}

#[test]
fn gemini_speaks_in_pieces_that_end_with_whatever_comes_next() {
    let read = read(
        Dialect::Gemini,
        r#"{"type":"init","session_id":"s-1","model":"g"}
{"type":"message","role":"user","content":"ALL_DONE"}
{"type":"message","role":"assistant","content":"ALL_","delta":true}
{"type":"message","role":"assistant","content":"DONE","delta":true}
{"type":"tool_use","tool_name":"shell","tool_id":"c1","parameters":{"command":"ls"}}
{"type":"tool_result","tool_id":"c1","status":"success","output":"ALL_DONE"}
{"type":"message","role":"assistant","content":"bye","delta":true}
{"type":"result","status":"success","stats":{"input_tokens":3,"output_tokens":4,"cached":1,"duration_ms":9}}
"#,
    );
    let expected = ["session s-1", "text ALL_", "text DONE", "end", "tool shell ls", "text bye", "end"];
    assert_eq!(read.items, expected);
    assert_eq!(read.parser.verdict(DONE, ""), Verdict::Success);
    assert_eq!(read.parser.usage().unwrap().output_tokens, 4);
}

#[test]
fn gemini_that_was_terminated_exits_cleanly_and_failed_all_the_same() {
    let started = read(Dialect::Gemini, "{\"type\":\"init\",\"session_id\":\"s\"}\n");
    assert_eq!(failure(&started, DONE, "").0, "agent_error");
    let failed =
        "{\"type\":\"result\",\"status\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"got 429\"}}\n";
    let exit = Exit { code: Some(145), signal: None };
    assert_eq!(failure(&read(Dialect::Gemini, failed), exit, "").1, "rate_limit");
}

#[test]
fn plain_text_is_the_agents_own_line_by_line() {
    let read = read(Dialect::Text, "one\ntwo");
    assert_eq!(read.items, ["text one", "end", "text two", "end"]);
    assert_eq!(read.parser.verdict(DONE, ""), Verdict::Success);
    assert_eq!(failure(&read, FAILED, "no").0, "crash");
    assert_eq!(failure(&self::read(Dialect::Text, " \n"), DONE, "").1, "empty");
}

#[test]
fn a_very_long_line_of_text_comes_in_pieces_and_whole() {
    let line = "ä".repeat(100_000);
    let mut parser = Parser::new(Dialect::Text);
    let (mut text, mut pieces) = (String::new(), 0);
    let mut take = |item: Item<'_>| {
        if let Item::Text(piece) = item {
            text.push_str(piece);
            pieces += 1;
        }
    };
    for bytes in line.as_bytes().chunks(777) {
        parser.push(bytes, &mut take);
    }
    parser.end(&mut take);
    assert_eq!(pieces, 4);
    assert!(text == line);
}
