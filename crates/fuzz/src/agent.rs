//! What agents print.

use omne_agent::{Dialect, Exit, Item, Parser, Scanner, Sentinel, Verdict};

/// Whatever an agent prints, in whatever dialect: the same comes out however the bytes are split, it is not much more
/// than went in, and a clean end is told from a failure.
pub fn agent_stream(bytes: &[u8]) {
    for dialect in Dialect::ALL {
        let whole = read(dialect, bytes, usize::MAX);
        // Large pieces first: a fuzzer's input is often shorter than these.
        for piece in [4096, 97, 7, 1] {
            if piece < bytes.len() {
                assert_eq!(read(dialect, bytes, piece), whole, "in pieces of {piece} bytes, {dialect:?}");
            }
        }
    }
}

/// All that a stream comes to.
#[derive(Debug, PartialEq)]
struct Heard {
    items: Vec<String>,
    said: Option<Sentinel>,
    verdicts: Vec<Verdict>,
    usage: String,
    denied: usize,
    dropped: u64,
}

fn read(dialect: Dialect, bytes: &[u8], piece: usize) -> Heard {
    let mut parser = Parser::new(dialect);
    let mut scanner = Scanner::new(Some("ALL_DONE"));
    // The pieces of one text may be cut elsewhere, so they are compared joined.
    let (mut items, mut text) = (Vec::new(), String::new());
    let mut take = |item: Item<'_>| match item {
        Item::Text(part) => {
            scanner.push(part);
            text.push_str(part);
        }
        other => {
            if other == Item::TextEnd {
                scanner.end_block();
            }
            if !text.is_empty() {
                items.push(std::mem::take(&mut text));
            }
            items.push(format!("{other:?}"));
        }
    };
    for part in bytes.chunks(piece.max(1)) {
        parser.push(part, &mut take);
    }
    parser.end(&mut take);
    if !text.is_empty() {
        items.push(text);
    }
    // Each byte may become a replacement character, and debug text has escapes.
    let much = items.iter().map(String::len).sum::<usize>();
    assert!(much <= 64 * bytes.len() + 4096, "{much} bytes came out of {}", bytes.len());
    let exits = [(Some(0), None), (Some(1), None), (Some(145), None), (None, Some(9))];
    let verdict = |(code, signal)| parser.verdict(Exit { code, signal }, "rate limit");
    let verdicts: Vec<Verdict> = exits.into_iter().map(verdict).collect();
    assert!(verdicts[3] != Verdict::Success, "an agent that was killed has not succeeded");
    Heard {
        items,
        said: scanner.seen(),
        verdicts,
        usage: format!("{:?}", parser.usage()),
        denied: parser.denied_tools().len(),
        dropped: parser.dropped_lines(),
    }
}
