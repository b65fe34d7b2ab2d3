//! The rules of the Trace Event Format.

use std::collections::BTreeMap;

use serde_json::Value;

/// Reserved names of trace-viewer's color scheme.
const COLORS: [&str; 5] = ["good", "bad", "terrible", "grey", "yellow"];

fn number(event: &Value, key: &str) -> u64 {
    event[key].as_u64().unwrap_or_else(|| panic!("no `{key}` in {event}"))
}

pub(super) fn check_trace(text: &str) {
    let trace: Value = serde_json::from_str(text).unwrap();
    assert_eq!(trace["displayTimeUnit"], "ms");
    assert!(trace["otherData"].is_object());
    let mut slices: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
    let mut flows: BTreeMap<u64, (u64, Option<(u64, u64)>)> = BTreeMap::new();
    let mut bound: Vec<(u64, u64, u64)> = Vec::new();
    let mut named = Vec::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        assert!(event["name"].as_str().is_some_and(|name| !name.is_empty()), "{event}");
        let track = (number(event, "pid"), number(event, "tid"));
        let at = number(event, "ts");
        let only = |keys: &[&str]| {
            let known = ["name", "cat", "ph", "pid", "tid", "ts", "args"];
            for key in event.as_object().unwrap().keys() {
                assert!(known.contains(&key.as_str()) || keys.contains(&key.as_str()), "`{key}` in {event}");
            }
        };
        match event["ph"].as_str().unwrap() {
            "M" => {
                only(&[]);
                match event["name"].as_str().unwrap() {
                    "process_name" | "thread_name" => assert!(event["args"]["name"].is_string()),
                    "thread_sort_index" => assert!(event["args"]["sort_index"].is_u64()),
                    other => panic!("metadata `{other}`"),
                }
                named.push(track);
                continue;
            }
            "X" => {
                only(&["dur", "cname"]);
                let long = number(event, "dur");
                assert!(long > 0, "nothing is seen of {event}");
                assert!(COLORS.contains(&event["cname"].as_str().unwrap()));
                slices.entry(track).or_default().push((at, at + long));
            }
            "i" => {
                only(&["s"]);
                match event["s"].as_str().unwrap() {
                    "t" => bound.push((track.0, track.1, at)),
                    "p" => {}
                    other => panic!("scope `{other}`"),
                }
            }
            "s" => {
                only(&["id"]);
                assert!(flows.insert(number(event, "id"), (at, None)).is_none(), "a second {event}");
                bound.push((track.0, track.1, at));
            }
            "f" => {
                only(&["id", "bp"]);
                assert_eq!(event["bp"], "e");
                let (from, end) = flows.get_mut(&number(event, "id")).unwrap();
                assert!(*from <= at && end.replace(track).is_none(), "{event}");
                bound.push((track.0, track.1, at));
            }
            other => panic!("phase `{other}`"),
        }
        assert!(event["cat"].is_string() && named.contains(&track), "{event}");
    }
    assert!(flows.values().all(|(_, end)| end.is_some()), "a flow without an end");

    for (track, slices) in &mut slices {
        slices.sort_by_key(|(from, to)| (*from, u64::MAX - to));
        let mut open: Vec<u64> = Vec::new();
        for (from, to) in &*slices {
            while open.last().is_some_and(|end| end <= from) {
                open.pop();
            }
            assert!(open.last().is_none_or(|end| to <= end), "{from}..{to} sticks out on {track:?}");
            open.push(*to);
            assert!(open.len() <= 2, "more than rounds in attempts on {track:?}");
        }
    }
    for (pid, tid, at) in bound {
        let slices = slices.get(&(pid, tid)).map(Vec::as_slice).unwrap_or_default();
        let before = slices.partition_point(|(from, _)| *from <= at);
        let found = slices[..before].iter().rev().any(|(_, to)| at < *to);
        assert!(found, "nothing on {tid} at {at}");
    }
}
