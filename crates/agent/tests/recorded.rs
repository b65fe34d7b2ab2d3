//! The recorded streams of the real `claude`: what each comes to, pinned.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::path::PathBuf;

use omne_agent::{Dialect, Exit, Item, Parser, Scanner, Sentinel, Verdict};
use serde_json::Value;

struct Recorded {
    stream: Vec<u8>,
    exit: Exit,
    stderr: String,
}

fn load(case: &str) -> Recorded {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/claude-stream");
    let stream = ["jsonl", "json", "txt"]
        .iter()
        .find_map(|ending| std::fs::read(directory.join(format!("{case}.{ending}"))).ok())
        .unwrap();
    let meta = std::fs::read(directory.join(format!("{case}.meta.json"))).unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    let number = |key: &str| meta[key].as_i64().map(|n| i32::try_from(n).unwrap());
    Recorded {
        stream,
        exit: Exit { code: number("exit_code"), signal: number("signal") },
        stderr: meta["stderr_tail"].as_str().unwrap_or_default().to_owned(),
    }
}

fn read(stream: &[u8], piece: usize) -> (Parser, Vec<String>) {
    let mut parser = Parser::new(Dialect::Claude);
    let mut items = Vec::new();
    for bytes in stream.chunks(piece) {
        parser.push(bytes, &mut |item| items.push(format!("{item:?}")));
    }
    parser.end(&mut |item| items.push(format!("{item:?}")));
    (parser, items)
}

/// The verdict in a few words; the same for any split of the bytes.
fn verdict(case: &str) -> String {
    let recorded = load(case);
    let (parser, items) = read(&recorded.stream, usize::MAX);
    for piece in [1, 97, 4096] {
        assert_eq!(read(&recorded.stream, piece).1, items, "in pieces of {piece}");
    }
    let mut text = match parser.verdict(recorded.exit, &recorded.stderr) {
        Verdict::Success => "success".to_owned(),
        Verdict::Failure(failure) => {
            let class = failure.class.map(|class| format!(" {class}")).unwrap_or_default();
            assert!(!failure.message.trim().is_empty());
            format!("{}{class}", failure.kind.as_str())
        }
    };
    for tool in parser.denied_tools() {
        text += &format!(", denied {tool}");
    }
    text
}

macro_rules! verdicts {
    ($($name:ident: $case:literal => $verdict:literal,)*) => {
        $(#[test]
        fn $name() {
            assert_eq!(verdict($case), $verdict);
        })*

        #[test]
        fn every_recorded_stream_is_pinned() {
            let pinned = [$($case),*];
            let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/claude-stream");
            for entry in std::fs::read_dir(directory).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if let Some(case) = name.strip_suffix(".meta.json") {
                    assert!(pinned.contains(&case), "{case} has no test");
                }
            }
        }
    };
}

verdicts! {
    allowed_tools_swallows_prompt_is_a_crash_as_it_never_said_how_it_went: "allowed-tools-swallows-prompt" => "crash",
    api_400_is_an_error_by_its_own_word: "api-400" => "agent_error unknown",
    api_400_credit_is_an_error_by_its_own_word: "api-400-credit" => "agent_error billing_error",
    api_400_prompt_too_long_is_an_error_by_its_own_word: "api-400-prompt-too-long" => "agent_error invalid_request",
    api_401_default_retries_is_an_error_by_its_own_word: "api-401-default-retries" => "agent_error authentication_failed",
    api_401_invalid_key_is_an_error_by_its_own_word: "api-401-invalid-key" => "agent_error authentication_failed",
    api_403_is_an_error_by_its_own_word: "api-403" => "agent_error authentication_failed",
    api_429_default_retries_is_an_error_by_its_own_word: "api-429-default-retries" => "agent_error rate_limit",
    api_429_rate_limit_is_an_error_by_its_own_word: "api-429-rate-limit" => "agent_error rate_limit",
    api_500_is_an_error_by_its_own_word: "api-500" => "agent_error server_error",
    api_500_default_retries_is_an_error_by_its_own_word: "api-500-default-retries" => "agent_error server_error",
    api_500_no_retries_is_an_error_by_its_own_word: "api-500-no-retries" => "agent_error server_error",
    api_500_then_ok_is_success_as_only_a_retry_failed: "api-500-then-ok" => "success",
    api_529_default_retries_is_an_error_by_its_own_word: "api-529-default-retries" => "agent_error server_error",
    api_529_overloaded_is_an_error_by_its_own_word: "api-529-overloaded" => "agent_error server_error",
    api_connection_refused_is_an_error_by_its_own_word: "api-connection-refused" => "agent_error server_error",
    api_drop_mid_stream_is_success_as_it_asked_again: "api-drop-mid-stream" => "success",
    api_empty_content_is_an_error_as_it_said_and_did_nothing: "api-empty-content" => "agent_error empty",
    api_hang_bounded_is_an_error_by_its_own_word: "api-hang-bounded" => "agent_error server_error",
    api_hang_default_is_a_crash_as_it_never_said_how_it_went: "api-hang-default" => "crash",
    api_hang_mid_stream_default_is_success_as_it_asked_again: "api-hang-mid-stream-default" => "success",
    api_max_tokens_is_an_error_by_its_own_word: "api-max-tokens" => "agent_error max_output_tokens",
    api_refusal_is_an_error_by_its_own_word: "api-refusal" => "agent_error invalid_request",
    append_system_prompt_is_success: "append-system-prompt" => "success",
    ask_user_question_is_success_although_it_could_not_ask: "ask-user-question" => "success",
    at_mention_is_success: "at-mention" => "success",
    background_child_at_normal_exit_is_success: "background-child-at-normal-exit" => "success",
    background_tool_at_normal_exit_is_success: "background-tool-at-normal-exit" => "success",
    bang_prefix_is_success: "bang-prefix" => "success",
    blocks_thinking_text_two_tools_is_success: "blocks-thinking-text-two-tools" => "success",
    dangerously_skip_permissions_as_root_is_a_crash_as_it_never_said_how_it_went: "dangerously-skip-permissions-as-root" => "crash",
    dangerously_skip_permissions_as_root_sandbox_is_success: "dangerously-skip-permissions-as-root-sandbox" => "success",
    empty_prompt_argv_is_a_crash_as_it_never_said_how_it_went: "empty-prompt-argv" => "crash",
    env_config_dir_is_success: "env-config-dir" => "success",
    env_unwritable_home_is_success: "env-unwritable-home" => "success",
    hash_prefix_is_success: "hash-prefix" => "success",
    max_budget_exceeded_is_over_budget: "max-budget-exceeded" => "budget_exceeded",
    max_turns_2_is_an_error_as_its_turns_are_used_up: "max-turns-2" => "agent_error max_turns",
    model_nonexistent_is_an_error_by_its_own_word: "model-nonexistent" => "agent_error model_not_found",
    nested_claudecode_env_is_success: "nested-claudecode-env" => "success",
    no_api_key_is_an_error_by_its_own_word: "no-api-key" => "agent_error authentication_failed",
    no_prompt_empty_stdin_is_a_crash_as_it_never_said_how_it_went: "no-prompt-empty-stdin" => "crash",
    output_format_json_is_success: "output-format-json" => "success",
    output_format_json_verbose_is_an_error_as_an_array_is_no_stream: "output-format-json-verbose" => "agent_error no_result",
    output_format_text_is_an_error_as_text_is_no_result: "output-format-text" => "agent_error no_result",
    output_format_text_error_is_a_crash_as_text_is_no_result: "output-format-text-error" => "crash",
    partial_messages_is_success: "partial-messages" => "success",
    permission_acceptedits_is_success: "permission-acceptEdits" => "success",
    permission_acceptedits_write_is_success: "permission-acceptEdits-write" => "success",
    permission_auto_is_success: "permission-auto" => "success",
    permission_bypass_as_root_is_a_crash_as_it_never_said_how_it_went: "permission-bypass-as-root" => "crash",
    permission_default_denied_is_success_with_a_tool_denied: "permission-default-denied" => "success, denied Bash",
    permission_default_write_denied_is_success_with_a_tool_denied: "permission-default-write-denied" => "success, denied Write",
    permission_dontask_is_success_with_a_tool_denied: "permission-dontAsk" => "success, denied Bash",
    permission_plan_is_success_with_a_tool_denied: "permission-plan" => "success, denied Bash",
    permission_plan_exit_is_success: "permission-plan-exit" => "success",
    prompt_200k_stdin_is_success: "prompt-200k-stdin" => "success",
    prompt_before_variadic_is_success: "prompt-before-variadic" => "success",
    prompt_leading_dash_is_a_crash_as_it_never_said_how_it_went: "prompt-leading-dash" => "crash",
    prompt_leading_dash_after_dashdash_is_success: "prompt-leading-dash-after-dashdash" => "success",
    session_continue_is_success: "session-continue" => "success",
    session_id_after_kill_is_a_crash_as_it_never_said_how_it_went: "session-id-after-kill" => "crash",
    session_id_already_used_is_a_crash_as_it_never_said_how_it_went: "session-id-already-used" => "crash",
    session_id_killed_first_is_a_crash_as_it_never_said_how_it_went: "session-id-killed-first" => "crash",
    session_id_new_is_success: "session-id-new" => "success",
    session_id_not_a_uuid_is_a_crash_as_it_never_said_how_it_went: "session-id-not-a-uuid" => "crash",
    session_no_persistence_is_success: "session-no-persistence" => "success",
    session_resume_is_success: "session-resume" => "success",
    session_resume_after_kill_is_success: "session-resume-after-kill" => "success",
    session_resume_after_no_persistence_is_an_error_as_it_does_not_know_the_session: "session-resume-after-no-persistence" => "agent_error session_not_found",
    session_resume_fork_is_success: "session-resume-fork" => "success",
    session_resume_not_a_uuid_is_an_error_as_it_does_not_know_the_session: "session-resume-not-a-uuid" => "agent_error session_not_found",
    session_resume_other_cwd_is_an_error_as_it_does_not_know_the_session: "session-resume-other-cwd" => "agent_error session_not_found",
    session_resume_unknown_is_an_error_as_it_does_not_know_the_session: "session-resume-unknown" => "agent_error session_not_found",
    signal_hup_during_tool_is_a_crash_as_it_never_said_how_it_went: "signal-hup-during-tool" => "crash",
    signal_hup_mid_stream_is_a_crash_as_it_never_said_how_it_went: "signal-hup-mid-stream" => "crash",
    signal_int_during_tool_is_an_error_as_it_was_stopped_whatever_its_exit_code: "signal-int-during-tool" => "agent_error aborted",
    signal_int_mid_stream_is_an_error_as_it_was_stopped_whatever_its_exit_code: "signal-int-mid-stream" => "agent_error aborted",
    signal_kill_during_tool_is_a_crash_as_it_never_said_how_it_went: "signal-kill-during-tool" => "crash",
    signal_kill_group_during_tool_is_a_crash_as_it_never_said_how_it_went: "signal-kill-group-during-tool" => "crash",
    signal_kill_mid_stream_is_a_crash_as_it_never_said_how_it_went: "signal-kill-mid-stream" => "crash",
    signal_term_during_tool_is_a_crash_as_it_never_said_how_it_went: "signal-term-during-tool" => "crash",
    signal_term_group_during_tool_is_a_crash_as_it_never_said_how_it_went: "signal-term-group-during-tool" => "crash",
    signal_term_mid_stream_is_a_crash_as_it_never_said_how_it_went: "signal-term-mid-stream" => "crash",
    slash_alone_first_line_is_an_error_as_the_model_was_never_asked: "slash-alone-first-line" => "agent_error not_asked",
    slash_custom_command_is_success: "slash-custom-command" => "success",
    slash_custom_named_plan_is_success: "slash-custom-named-plan" => "success",
    slash_disabled_is_an_error_as_the_model_was_never_asked: "slash-disabled" => "agent_error not_asked",
    slash_known_clear_is_an_error_as_the_model_was_never_asked: "slash-known-clear" => "agent_error not_asked",
    slash_known_compact_is_an_error_as_the_model_was_never_asked: "slash-known-compact" => "agent_error not_asked",
    slash_known_context_is_an_error_as_the_model_was_never_asked: "slash-known-context" => "agent_error not_asked",
    slash_leading_space_is_success: "slash-leading-space" => "success",
    slash_not_first_is_success: "slash-not-first" => "success",
    slash_path_like_is_success: "slash-path-like" => "success",
    slash_unknown_frobnicate_is_an_error_as_the_model_was_never_asked: "slash-unknown-frobnicate" => "agent_error not_asked",
    slash_unknown_plan_is_an_error_as_the_model_was_never_asked: "slash-unknown-plan" => "agent_error not_asked",
    slash_unknown_plan_args_is_an_error_as_the_model_was_never_asked: "slash-unknown-plan-args" => "agent_error not_asked",
    slash_unknown_stdin_is_an_error_as_the_model_was_never_asked: "slash-unknown-stdin" => "agent_error not_asked",
    stdin_and_argv_prompt_is_success: "stdin-and-argv-prompt" => "success",
    stdin_prompt_is_success: "stdin-prompt" => "success",
    stream_json_without_verbose_is_a_crash_as_it_never_said_how_it_went: "stream-json-without-verbose" => "crash",
    subagent_is_success: "subagent" => "success",
    subagent_with_tool_is_success: "subagent-with-tool" => "success",
    system_prompt_is_success: "system-prompt" => "success",
    text_blocked_line_is_success_by_itself_and_the_sentinel_is_looked_for_apart: "text-blocked-line" => "success",
    text_blocked_mid_sentence_is_success: "text-blocked-mid-sentence" => "success",
    text_multiline_complete_is_success: "text-multiline-complete" => "success",
    text_one_line_is_success: "text-one-line" => "success",
    text_two_text_blocks_is_success: "text-two-text-blocks" => "success",
    text_unicode_is_success: "text-unicode" => "success",
    tool_use_two_turns_is_success: "tool-use-two-turns" => "success",
    unknown_flag_is_a_crash_as_it_never_said_how_it_went: "unknown-flag" => "crash",
    unknown_tool_is_success_although_it_called_a_tool_that_is_not_there: "unknown-tool" => "success",
    whitespace_prompt_argv_is_an_error_as_a_clean_exit_without_a_result_asked_nothing: "whitespace-prompt-argv" => "agent_error no_result",
}

fn sentinel(case: &str) -> Option<Sentinel> {
    let mut scanner = Scanner::new(Some("ALL_TASKS_COMPLETE"));
    let mut parser = Parser::new(Dialect::Claude);
    parser.push(&load(case).stream, &mut |item| match item {
        Item::Text(text) => scanner.push(text),
        Item::TextEnd => scanner.end_block(),
        _ => {}
    });
    scanner.seen()
}

#[test]
fn a_sentinel_counts_in_the_agents_own_text_alone() {
    assert_eq!(sentinel("text-multiline-complete"), Some(Sentinel::Until));
    assert_eq!(sentinel("text-two-text-blocks"), Some(Sentinel::Until));
    assert_eq!(sentinel("partial-messages"), Some(Sentinel::Until), "whole although it came in pieces");
    assert_eq!(sentinel("text-blocked-line"), Some(Sentinel::Blocked));
    assert_eq!(sentinel("text-blocked-mid-sentence"), None);
    assert_eq!(sentinel("subagent"), None, "a sub-agent's text is a tool's result");
    assert_eq!(sentinel("subagent-with-tool"), None);
    assert_eq!(sentinel("slash-unknown-frobnicate"), None, "what the program makes up is not the agent's");
}

#[test]
fn texts_tools_and_usage_come_out_of_a_run_with_two_turns() {
    let (parser, items) = read(&load("tool-use-two-turns").stream, usize::MAX);
    let tools: Vec<&String> = items.iter().filter(|item| item.starts_with("Tool")).collect();
    assert_eq!(tools.len(), 1);
    assert!(
        tools[0].contains("name: \"Bash\"") && tools[0].contains("summary: Some(\"echo hi\")"),
        "{}",
        tools[0]
    );
    assert!(items[0].starts_with("Session") && items[0].contains("2.1.197"), "{}", items[0]);
    let usage = parser.usage().unwrap();
    assert_eq!((usage.input_tokens, usage.turns), (20, Some(2)));
    assert!(usage.cost_usd.unwrap() > 0.0);
}

#[test]
fn partial_messages_are_for_display_and_add_up_to_the_text() {
    let (mut partial, mut text) = (String::new(), String::new());
    let mut parser = Parser::new(Dialect::Claude);
    parser.push(&load("partial-messages").stream, &mut |item| match item {
        Item::Partial(piece) => partial.push_str(piece),
        Item::Text(piece) => text.push_str(piece),
        _ => {}
    });
    assert!(!text.is_empty());
    assert_eq!(partial, text);
}

#[test]
fn a_line_that_matters_and_is_too_long_is_counted() {
    let mut parser = Parser::new(Dialect::Claude);
    parser.push(br#"{"type":"assistant","message":{"content":[{"type":"text","text":""#, &mut |_| {});
    for _ in 0..20 {
        parser.push(&vec![b'x'; 1 << 20], &mut |_| {});
    }
    parser.push(b"\"}]}}\n", &mut |item| panic!("{item:?}"));
    assert_eq!(parser.dropped_lines(), 1);
}

#[test]
fn bytes_that_are_no_utf8_are_replaced_and_lose_no_line() {
    let mut parser = Parser::new(Dialect::Claude);
    let mut texts = Vec::new();
    let line =
        b"{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\xffb\"}]}}\n";
    parser.push(line, &mut |item| {
        if let Item::Text(text) = item {
            texts.push(text.to_owned());
        }
    });
    assert_eq!(texts, ["a\u{fffd}b"]);
}

#[test]
fn keys_in_another_order_and_unknown_fields_are_read_all_the_same() {
    let mut parser = Parser::new(Dialect::Claude);
    let lines = "{\"new\":[1],\"message\":{\"content\":[{\"text\":\"hi\",\"type\":\"text\"}]},\"type\":\"assistant\"}\n\
                 {\"num_turns\":1,\"is_error\":false,\"result\":\"hi\",\"subtype\":\"success\",\"type\":\"result\"}\n";
    let mut items = Vec::new();
    parser.push(lines.as_bytes(), &mut |item| items.push(format!("{item:?}")));
    assert_eq!(items, ["Text(\"hi\")", "TextEnd"]);
    assert_eq!(parser.verdict(Exit { code: Some(0), signal: None }, ""), Verdict::Success);
}

#[test]
fn one_odd_field_does_not_cost_a_line() {
    let mut parser = Parser::new(Dialect::Claude);
    let line = "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"num_turns\":1.0,\"duration_ms\":12.5,\
                \"total_cost_usd\":\"much\",\"result\":\"hi\",\"usage\":{\"input_tokens\":null,\"output_tokens\":3}}\n";
    parser.push(line.as_bytes(), &mut |_| {});
    assert_eq!(parser.verdict(Exit { code: Some(0), signal: None }, ""), Verdict::Success);
    let usage = parser.usage().unwrap();
    assert_eq!((usage.output_tokens, usage.agent_ms, usage.cost_usd), (3, Some(13), None));
}
