//! XML 1.0 as far as reports use it: strict about what they write, ignorant of the rest.

/// Elements, with what may be in them and the attributes that they may have, as `junit-10.xsd` says.
const SCHEMA: [(&str, &[&str], &[&str]); 14] = [
    ("testsuites", &["testsuite"], &["name", "time", "tests", "failures", "errors"]),
    (
        "testsuite",
        &["properties", "testcase"],
        &["name", "id", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"],
    ),
    ("properties", &["property"], &[]),
    ("property", &[], &["name", "value"]),
    (
        "testcase",
        &[
            "skipped",
            "error",
            "failure",
            "rerunFailure",
            "rerunError",
            "flakyFailure",
            "flakyError",
            "system-out",
        ],
        &["name", "classname", "time"],
    ),
    ("skipped", &[], &["message"]),
    ("error", &[], &["type", "message"]),
    ("failure", &[], &["type", "message"]),
    ("rerunFailure", &["stackTrace"], &["type", "message"]),
    ("rerunError", &["stackTrace"], &["type", "message"]),
    ("flakyFailure", &["stackTrace"], &["type", "message"]),
    ("flakyError", &["stackTrace"], &["type", "message"]),
    ("stackTrace", &[], &[]),
    ("system-out", &[], &[]),
];

fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Text with its references resolved.
fn resolve(text: &str) -> String {
    assert!(!text.contains('<') && !text.contains("]]>"), "markup in `{text}`");
    let mut parts = text.split('&');
    let mut resolved = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(';').unwrap_or_else(|| panic!("a bare `&` in `{text}`"));
        let c = match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            code => char::from_u32(code.strip_prefix('#').unwrap().parse().unwrap()).unwrap(),
        };
        assert!(is_allowed(c), "a reference to {c:?}");
        resolved.push(c);
        resolved.push_str(rest);
    }
    resolved
}

/// Checks a report and its counts; gives all its texts and attribute values.
pub(super) fn check_xml(report: &str) -> Vec<String> {
    assert!(report.chars().all(is_allowed));
    let mut rest = report.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let mut open: Vec<&str> = Vec::new();
    let mut texts = Vec::new();
    let mut counts = [0; 4];
    let mut told: Vec<[usize; 4]> = Vec::new();
    while let Some((text, tag)) = rest.split_once('<') {
        let resolved = resolve(text);
        let blank = resolved.trim().is_empty();
        assert!(blank || !matches!(open.last(), None | Some(&("testsuites" | "testsuite" | "properties"))));
        texts.extend(Some(resolved).filter(|_| !blank));
        if let Some(tag) = tag.strip_prefix('/') {
            let (name, after) = tag.split_once('>').unwrap();
            assert_eq!(open.pop(), Some(name));
            rest = after;
            continue;
        }
        let end = tag.find([' ', '>', '/']).unwrap();
        let (name, mut after) = tag.split_at(end);
        let (_, _, attributes) = SCHEMA.iter().find(|(known, ..)| *known == name).unwrap();
        match open.last() {
            None => assert!(name == "testsuites" && told.is_empty()),
            Some(parent) => {
                let (_, children, _) = SCHEMA.iter().find(|(known, ..)| known == parent).unwrap();
                assert!(children.contains(&name), "<{name}> in <{parent}>");
            }
        }
        let mut values: Vec<(&str, String)> = Vec::new();
        while let Some(more) = after.strip_prefix(' ') {
            let (key, more) = more.split_once("=\"").unwrap();
            let (value, more) = more.split_once('"').unwrap();
            assert!(!value.contains(['\n', '\t', '\r']), "a reader would turn these into spaces");
            assert!(attributes.contains(&key), "`{key}` in <{name}>");
            assert!(values.iter().all(|(other, _)| *other != key), "`{key}` twice in <{name}>");
            values.push((key, resolve(value)));
            after = more;
        }
        let value = |key: &str| {
            let value = values.iter().find(|(other, _)| *other == key);
            value.map_or(0, |(_, value)| value.parse::<usize>().unwrap())
        };
        match name {
            "testsuites" | "testsuite" => {
                told.push(["tests", "failures", "errors", "skipped"].map(value));
            }
            "testcase" => counts[0] += 1,
            "failure" => counts[1] += 1,
            "error" => counts[2] += 1,
            "skipped" => counts[3] += 1,
            _ => {}
        }
        texts.extend(values.into_iter().map(|(_, value)| value));
        rest = match after.strip_prefix("/>") {
            Some(after) => after,
            None => {
                open.push(name);
                after.strip_prefix('>').unwrap()
            }
        };
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    let [tests, failures, errors, _] = counts;
    assert_eq!(told, [[tests, failures, errors, 0], counts]);
    texts
}
