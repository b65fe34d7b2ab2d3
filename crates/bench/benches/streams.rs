//! What agents print, read by the parser of each dialect in pieces as they come out of a pipe.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use omne_agent::{Dialect, Parser};

/// What a pipe holds at most.
const PIECE: usize = 64 * 1024;

/// At least this many bytes are read.
const BYTES: usize = 1 << 20;

const CLAUDE: &str = include_str!("../../../fixtures/claude-stream/tool-use-two-turns.jsonl");

/// The same, but the tool printed about a screenful, as tools do: most of what `claude` prints are their results.
fn claude_with_results() -> String {
    let result = r"error[E0308]: mismatched types\n  --> src/main.rs:4:18\n".repeat(60);
    let session = CLAUDE.replace(r#""content":"hi""#, &format!(r#""content":"{result}""#));
    assert!(session.len() > CLAUDE.len() + 3000, "the recording holds the result of a tool");
    session
}

const CODEX: &str = r#"{"type":"thread.started","thread_id":"0199a213-81c0-7800-8aa1-bbab2a035a53"}
{"type":"turn.started"}
{"type":"item.started","item":{"id":"item_1","type":"command_execution","command":"bash -lc ls","aggregated_output":"","status":"in_progress"}}
{"type":"item.completed","item":{"id":"item_1","type":"command_execution","command":"bash -lc ls","aggregated_output":"Cargo.toml\nsrc\n","exit_code":0,"status":"completed"}}
{"type":"item.completed","item":{"id":"item_3","type":"agent_message","text":"There is a crate with one directory."}}
{"type":"turn.completed","usage":{"input_tokens":24763,"cached_input_tokens":24448,"output_tokens":122}}
"#;

const GEMINI: &str = r#"{"type":"init","timestamp":"2025-10-10T12:00:00.000Z","session_id":"abc123","model":"gemini-2.0-flash-exp"}
{"type":"message","role":"user","content":"List files","timestamp":"2025-10-10T12:00:01.000Z"}
{"type":"tool_use","tool_name":"Bash","tool_id":"bash-123","parameters":{"command":"ls -la"},"timestamp":"2025-10-10T12:00:02.000Z"}
{"type":"tool_result","tool_id":"bash-123","status":"success","output":"file1.txt\nfile2.txt","timestamp":"2025-10-10T12:00:03.000Z"}
{"type":"message","role":"assistant","content":"Here are the files...","delta":true,"timestamp":"2025-10-10T12:00:04.000Z"}
{"type":"result","status":"success","stats":{"total_tokens":250,"input_tokens":50,"output_tokens":200,"duration_ms":3000,"tool_calls":1},"timestamp":"2025-10-10T12:00:05.000Z"}
"#;

const TEXT: &str = "Working on it.\nThe tests pass; nothing is left to do.\n";

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    let with_results = claude_with_results();
    for (name, dialect, session) in [
        ("claude", Dialect::Claude, CLAUDE),
        ("claude, with results of tools", Dialect::Claude, with_results.as_str()),
        ("codex", Dialect::Codex, CODEX),
        ("gemini", Dialect::Gemini, GEMINI),
        ("text", Dialect::Text, TEXT),
    ] {
        let stream = session.repeat(BYTES.div_ceil(session.len()));
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut parser = Parser::new(dialect);
                for piece in stream.as_bytes().chunks(PIECE) {
                    parser.push(piece, &mut |item| {
                        black_box(item);
                    });
                }
                parser.end(&mut |item| {
                    black_box(item);
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, streams);
criterion_main!(benches);
