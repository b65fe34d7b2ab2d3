use std::path::Path;

use omne_events::LogReader;

use super::*;
use crate::testing;

/// A run with agents, hooks, people, a runner that died, and markup in every text of it.
const HOSTILE: &[u8] = include_bytes!("hostile.jsonl");

fn report(log: &[u8], chain: Result<Option<Digest>, String>, printed: &[u8]) -> String {
    let mut events = Events::default();
    let mut reader = LogReader::new(log, Path::new("log"));
    let story = Story::read(&mut reader, |bytes, line| events.take(bytes, line)).unwrap();
    let capture = |_: &NodeId, _: Stream| {
        Some(Excerpt { head: printed.to_vec(), tail: Vec::new(), total: printed.len() as u64 })
    };
    let mut out = Vec::new();
    html(&Report { story: &story, chain, capture: &capture, events: &events }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What stands between `<` and `>`, without texts.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).filter_map(|part| part.split('>').next()).collect()
}

#[test]
fn a_report_has_its_parts() {
    let page = report(HOSTILE, Ok(Some(Digest::ZERO)), b"");
    for id in ["failures", "graph", "timeline", "nodes", "details", "decisions", "events"] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id} is missing");
        assert!(page.contains(&format!("href=\"#{id}\"")), "no way leads to {id}");
    }
    for text in
        ["The log verifies", "resume 1", "never `rm -rf`", "(rate_limit), again in 5.0s", "claude · 2.1.0"]
    {
        assert!(page.contains(text), "{text} is missing");
    }
    assert!(
        report(HOSTILE, Err("line 7: <b>".into()), b"").contains("does not verify.</b> line 7: &lt;b&gt;")
    );
}

#[test]
fn every_kind_of_log_has_a_report() {
    for name in ["completed", "aborted", "interrupted", "resumed", "torn", "omne-cli-0.2"] {
        let page = report(&testing::log(name), Ok(None), b"printed");
        assert!(page.contains("The log is not linked") && page.ends_with("</html>\n"), "{name}");
        assert_eq!(
            page.contains("<section id=\"failures\">"),
            ["aborted", "interrupted", "omne-cli-0.2"].contains(&name),
            "{name}"
        );
    }
}

#[test]
fn nothing_hostile_becomes_markup() {
    let clean = report(HOSTILE, Ok(None), b"");
    let page =
        report(HOSTILE, Ok(None), b"</pre></script><img src=x onerror=alert(1)>\x1b[31m\xff\x1b]0;x\x07");
    assert!(clean.contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"));
    let script = |tag: &&&str| tag.starts_with("script") || tag.starts_with("/script");
    assert_eq!(tags(&page).iter().filter(script).count(), 2);
    assert!(tags(&page).iter().all(|tag| !tag.starts_with("img") && !tag.contains("onerror")));
    assert!(!page.contains(['\x1b', '\x07', '\u{202e}']), "a control character got through");
    assert!(page.contains("\u{27e6}U+202E\u{27e7}"));
}

#[test]
fn a_report_asks_no_network() {
    let page = report(HOSTILE, Ok(None), b"");
    for word in ["<script src", "<link", "@import", "http://", "https://", "url(http", "<iframe", " src=\""] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn addresses_within_the_page_lead_somewhere() {
    let page = report(HOSTILE, Ok(None), b"");
    for part in page.split("href=\"#").skip(1) {
        let id = part.split('"').next().unwrap();
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
}

#[test]
fn the_script_is_the_one_that_the_policy_allows() {
    let source = script_source();
    assert!(source.starts_with("sha256-") && source.ends_with('=') && source.len() == 51, "{source}");
    // A script that has the end tag in it would end early.
    assert!(!SCRIPT.contains("</"));
}

#[test]
fn of_many_events_the_first_and_last_are_shown() {
    let first = HOSTILE.split(|byte| *byte == b'\n').next().unwrap();
    let mut decoder = omne_events::Decoder::new();
    let line = decoder.decode(first).unwrap().line.into_line();
    let mut events = Events::default();
    for _ in 0..5000 {
        events.take(first, &line);
    }
    let story = testing::told("completed");
    let capture = |_: &NodeId, _: Stream| None;
    let mut out = Vec::new();
    html(&Report { story: &story, chain: Ok(None), capture: &capture, events: &events }, &mut out).unwrap();
    let page = String::from_utf8(out).unwrap();
    assert!(page.contains("1000 events left out; all of them: <code>omne events story-"));
}
