//! What parsers hold. A process of its own: other tests would be measured, too.

use omne_agent::{Dialect, Parser};

#[test]
fn a_line_of_any_length_does_not_grow_the_process() {
    let mut parser = Parser::new(Dialect::Claude);
    let mut items = 0;
    let mut push = |bytes: &[u8]| parser.push(bytes, &mut |_| items += 1);
    push(br#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result","content":""#);
    let piece = vec![b'x'; 1 << 20];
    let before = resident();
    for _ in 0..256 {
        push(&piece);
    }
    assert!(resident() < before + 16 * 1024, "kB resident: {before} before, {} after", resident());
    push(b"\"}]}}\n");
    push(include_bytes!("../../../fixtures/claude-stream/text-one-line.jsonl"));
    assert_eq!(items, 3, "a session, a text and its end");
    assert_eq!(parser.dropped_lines(), 0);
}

/// The memory of this process in kB; 0 where nobody tells.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}
