//! Questions about past runs.

use rustix::process::Signal;

use crate::sandbox::{Sandbox, with_filters};

/// A volume with a run that completed, and one that failed for another input.
pub(crate) fn two_runs() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "inputs: {mode: {default: ok}}\nnodes:\n\
        - {id: a, bash: 'echo hello; echo k=$OMNE_INPUT_MODE >> $OMNE_OUTPUT'}\n\
        - {id: b, depends_on: [a], bash: 'test $OMNE_INPUT_MODE = ok || { echo boom >&2; exit 3; }'}\n\
        - {id: c, depends_on: [b], bash: 'true'}\n\
        - {id: d, when: \"inputs.mode == 'never'\", bash: 'true'}\n\
        - {id: e, depends_on: [d], bash: 'true'}\n",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.omne(&["run", "p", "-i", "mode=bad"]).code, 1);
    sandbox
}

pub(crate) fn sql(sandbox: &Sandbox, select: &str) -> String {
    let output = sandbox.omne(&["audit", "sql", select, "--format", "csv"]);
    assert_eq!(output.code, 0, "{output:?}");
    output.stdout
}

pub(crate) fn runs(sandbox: &Sandbox) -> Vec<String> {
    let mut runs: Vec<String> = std::fs::read_dir(sandbox.path(".omne/var/runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    runs.sort();
    runs
}

#[test]
fn the_index_holds_what_the_logs_say() {
    let sandbox = two_runs();
    assert_eq!(
        sql(&sandbox, "SELECT pipe, state, resumes, \"by\" FROM runs ORDER BY run_id"),
        "pipe,state,resumes,by\np,completed,0,tester\np,aborted,0,tester\n"
    );
    assert_eq!(
        sql(
            &sandbox,
            "SELECT node_id, kind, nodes.state, attempt, error_kind, message, exit_code FROM nodes JOIN runs USING (run_id) \
             WHERE runs.state = 'aborted' ORDER BY node_id"
        ),
        "node_id,kind,state,attempt,error_kind,message,exit_code\n\
         a,bash,completed,1,,,0\n\
         b,bash,failed,1,crash,boom,3\n\
         c,bash,blocked,0,,,\nd,bash,skipped,0,,,\ne,bash,skipped,0,,,\n"
    );
    assert_eq!(
        sql(&sandbox, "SELECT key, value FROM inputs ORDER BY value"),
        "key,value\nmode,bad\nmode,ok\n"
    );
    assert_eq!(
        sql(&sandbox, "SELECT seq, type, node_id FROM events WHERE run_id LIKE '%' AND seq < 4 GROUP BY seq"),
        "seq,type,node_id\n1,pipe.started,\n2,node.skipped,d\n3,node.skipped,e\n"
    );
    let event =
        sandbox.omne(&["audit", "sql", "SELECT ts, json FROM events LIMIT 1", "--format", "json"]).json();
    let json: serde_json::Value = serde_json::from_str(event["json"].as_str().unwrap()).unwrap();
    assert_eq!(event["ts"], json["ts"]);
}

#[test]
fn a_sync_reads_only_what_was_appended() {
    let sandbox = two_runs();
    let sync = || sandbox.omne(&["audit", "sync", "--json"]).json();
    assert_eq!(sync()["read"], 2);
    assert_eq!(sync()["read"], 0);
    let before = std::fs::metadata(sandbox.log()).unwrap().len();
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    let again = sync();
    assert_eq!((&again["read"], &again["notices"]), (&1.into(), &serde_json::json!([])));
    assert_eq!(again["bytes"], std::fs::metadata(sandbox.log()).unwrap().len() - before);
    assert_eq!(sql(&sandbox, "SELECT max(resumes) AS n FROM runs"), "n\n1\n");
    assert_eq!(
        sql(&sandbox, "SELECT count(DISTINCT seq) = count(*) AS ok FROM events GROUP BY run_id"),
        "ok\n1\n1\n"
    );
}

#[test]
fn logs_that_were_changed_shortened_or_removed_are_told() {
    let sandbox = two_runs();
    sandbox.omne(&["audit", "sync"]);
    let path = sandbox.log();
    let log = std::fs::read_to_string(&path).unwrap();
    let notice = || {
        let synced = sandbox.omne(&["audit", "sync", "--json"]).json();
        synced["notices"][0]["message"].as_str().unwrap_or("none").to_owned()
    };
    std::fs::write(&path, log.replace(r#""message":"boom"#, r#""message":"bang"#)).unwrap();
    assert_eq!(notice(), "its log was changed where it had been read before");
    assert_eq!(sql(&sandbox, "SELECT message FROM nodes WHERE message IS NOT NULL"), "message\nbang\n");
    let half: String = log.split_inclusive('\n').take(3).collect();
    std::fs::write(&path, &half).unwrap();
    assert!(notice().starts_with("its log is shorter than it was"));
    assert_eq!(sql(&sandbox, "SELECT state FROM runs ORDER BY run_id"), "state\ncompleted\ninterrupted\n");
    std::fs::write(&path, half + "{nonsense\n").unwrap();
    assert!(notice().starts_with("its log is damaged: line 4"));
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert_eq!(notice(), "its log is gone");
    assert_eq!(sql(&sandbox, "SELECT count(*) AS n FROM runs"), "n\n1\n");
}

#[test]
fn an_index_that_is_damaged_or_of_another_version_is_made_again() {
    let sandbox = two_runs();
    let count = || sql(&sandbox, "SELECT count(*) AS n FROM runs");
    assert_eq!(count(), "n\n2\n");
    sandbox
        .file(".omne/var/index.db", "this is no database, and long enough to be taken for one".repeat(100));
    let synced = sandbox.omne(&["audit", "sync"]);
    assert!(synced.stderr.contains("the index was damaged"), "{synced:?}");
    assert_eq!(count(), "n\n2\n");
    // The version stands in bytes 60 to 63 of the file.
    let mut bytes = std::fs::read(sandbox.path(".omne/var/index.db")).unwrap();
    bytes[63] = 99;
    sandbox.file(".omne/var/index.db", bytes);
    let synced = sandbox.omne(&["audit", "sync"]);
    assert!(synced.stderr.contains("the index was of version 99"), "{synced:?}");
    assert_eq!(count(), "n\n2\n");
}

#[test]
fn questions_can_only_read() {
    let sandbox = two_runs();
    for question in [
        "DELETE FROM run",
        "DROP TABLE run",
        "SELECT 1; SELECT 2",
        "",
        "ATTACH 'x.db' AS x",
        "SELECT nope FROM runs",
    ] {
        let output = sandbox.omne(&["audit", "sql", question]);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{question}: {output:?}");
    }
    assert!(!sandbox.path("x.db").exists());
    assert_eq!(sql(&sandbox, "SELECT count(*) AS n FROM runs"), "n\n2\n");
}

#[test]
fn nothing_in_an_answer_can_command_a_terminal() {
    let sandbox = two_runs();
    let output =
        sandbox.omne(&["audit", "sql", "SELECT char(27) || '[31m' AS a, 'x' || char(10) || 'y' AS b"]);
    assert_eq!(output.stdout, "a      b\n␛[31m  x y\n");
}

#[test]
fn a_run_whose_runner_died_is_interrupted() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'touch here; sleep 60'}]");
    let mut child = sandbox.start(&["run", "p"], "here");
    assert_eq!(sql(&sandbox, "SELECT state FROM runs"), "state\nrunning\n");
    sandbox.signal(&child, Signal::KILL);
    child.wait().unwrap();
    assert_eq!(sql(&sandbox, "SELECT state FROM runs"), "state\ninterrupted\n");
    sandbox.omne(&["cancel", "@last"]);
}

#[test]
fn a_report_tells_what_the_runs_of_a_pipe_come_to() {
    let sandbox = two_runs();
    let report = sandbox.omne(&["audit", "report", "--json"]).json();
    let pipe = &report["pipes"][0];
    assert_eq!(
        (&pipe["runs"], &pipe["completed"], &pipe["success_rate"]),
        (&2.into(), &1.into(), &0.5.into())
    );
    assert_eq!(pipe["flakiest"], serde_json::json!([{"node_id": "b", "runs": 2, "failed": 1, "retried": 0}]));
    let text = sandbox.omne(&["audit", "report"]).stdout;
    assert!(text.contains("p/b  failed in 1 of 2 runs"), "{text}");
    assert_eq!(sandbox.omne(&["audit", "report", "--since", "soon"]).code, 2);
}

#[test]
fn captures_are_checked_against_their_digests() {
    let sandbox = two_runs();
    assert_eq!(sandbox.omne(&["verify", "--all"]).code, 0);
    let capture = sandbox.log().with_file_name("nodes/a.out");
    std::fs::write(&capture, "other\n").unwrap();
    let verify = sandbox.omne(&["verify", "@last"]);
    assert!(verify.code == 1 && verify.stdout.contains("a: its capture was changed"), "{verify:?}");
    std::fs::remove_file(&capture).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &capture).unwrap();
    assert!(sandbox.omne(&["verify", "@last"]).stdout.contains("a: its capture can not be read"));
    std::fs::remove_file(&capture).unwrap();
    let json = sandbox.omne(&["verify", "@last", "--json"]).json();
    assert_eq!(json["logs"][0]["captures"]["differences"][0]["message"], "its capture is missing");
    // Captures that were not kept at all are no difference: nothing but the log is needed.
    std::fs::remove_dir_all(capture.parent().unwrap()).unwrap();
    assert_eq!(sandbox.omne(&["verify", "@last"]).code, 0);
}

#[test]
fn a_head_proves_that_nothing_was_cut_off_or_changed_since() {
    let sandbox = two_runs();
    let head = sandbox.omne(&["verify", "@last", "--head"]).stdout.trim().to_owned();
    let expect = || sandbox.omne(&["verify", "@last", "--expect", &head]).code;
    assert_eq!((head.len(), expect()), (64, 0));
    sandbox.omne(&["resume", "@last"]);
    assert_eq!(expect(), 0, "a log that has grown is the same log");
    let log = std::fs::read_to_string(sandbox.log()).unwrap();
    let cut: String = log.split_inclusive('\n').take(5).collect();
    std::fs::write(sandbox.log(), cut).unwrap();
    assert_eq!(sandbox.omne(&["verify", "@last"]).code, 0, "what is left is a valid log");
    assert_eq!(expect(), 5);
    assert_eq!(sandbox.omne(&["verify", "@last", "--expect", "abc"]).code, 2);
}

#[test]
fn heads_in_git_keep_logs_from_being_rewritten_alone() {
    let sandbox = Sandbox::new();
    sandbox.git(&["init", "-q"]).file(".omne/omne.toml", "anchor = \"git\"\n");
    sandbox.pipe("nodes: [{id: a, bash: 'true'}, {id: b, bash: 'false'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.omne(&["verify", "--all"]).code, 0);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    assert_eq!(sandbox.omne(&["verify", "--all"]).code, 0);
    let log = std::fs::read_to_string(sandbox.log()).unwrap();
    let cut: String = log.split_inclusive('\n').take(4).collect();
    sandbox.file("damaged-on-purpose", "");
    std::fs::write(sandbox.log(), cut).unwrap();
    let verify = sandbox.omne(&["verify", "@last"]);
    assert!(verify.code == 5 && verify.stdout.contains("the head in git"), "{verify:?}");
}

#[test]
fn an_anchor_without_a_repository_is_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.file(".omne/omne.toml", "anchor = \"git\"\n").pipe("nodes: [{id: a, bash: 'true'}]");
    let run = sandbox.omne(&["run", "p"]);
    assert!(run.code == 0 && run.stderr.contains("the head of the log is not anchored"), "{run:?}");
}

#[test]
fn why_walks_back_to_what_made_it_so() {
    let sandbox = two_runs();
    let why = |node: &str| sandbox.omne(&["why", "@last", node]);
    with_filters(|| {
        insta::assert_snapshot!("blocked", why("c").picture());
        insta::assert_snapshot!("skipped", why("e").picture());
    });
    assert!(why("a").stdout.contains("attempt 1 completed"));
    assert_eq!(why("nobody").code, 3);
    let json = sandbox.omne(&["why", "@last", "c", "--json"]).json();
    assert_eq!((&json["causes"][0]["from"][0], &json["causes"][1]["state"]), (&"b".into(), &"failed".into()));
}

#[test]
fn why_names_the_hook_the_person_and_the_attempts_before() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, retry: {max: 1, delay: 0}, bash: 'echo no >&2; exit 1'}, {id: b, bash: 'true', gate: ok}]");
    sandbox.gate("ok", "echo 'ship it?'; exit 75");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 6);
    let a = sandbox.omne(&["why", "@last", "a"]).stdout;
    assert!(a.contains("attempt 1 failed with crash: no"), "{a}");
    assert!(sandbox.omne(&["why", "@last", "b"]).stdout.contains("it waits for people: ship it?"));
    sandbox.omne(&["reject", "@last", "b", "--comment", "not today"]);
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 1);
    let b = sandbox.omne(&["why", "@last", "b"]).stdout;
    assert!(b.contains("rejected by tester: not today"), "{b}");
    assert!(b.contains("tester rejected it: not today (event "), "{b}");
    assert!(b.contains("attempt 1 waited for people"), "{b}");
}

#[test]
fn a_difference_is_exit_1_and_times_are_none() {
    let sandbox = two_runs();
    let [a, b] = runs(&sandbox).try_into().unwrap();
    let diff = sandbox.omne(&["diff", &a, &b]);
    with_filters(|| insta::assert_snapshot!("diff", diff.picture()));
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let same = sandbox.omne(&["diff", &a, "@last"]);
    assert!(same.code == 0 && same.stdout.contains("differs"), "{same:?}");
    assert_eq!(sandbox.omne(&["diff", &a, &b, "--json"]).json()["differ"], true);
    assert_eq!(sandbox.omne(&["diff", &a, "nobody"]).code, 3);
}

#[test]
fn runs_are_exported_for_other_programs() {
    let sandbox = two_runs();
    let export = |format: &str| sandbox.omne(&["export", "@last", "--format", format]);
    assert!(export("chrome-trace").json()["traceEvents"].as_array().unwrap().len() > 5);
    assert_eq!(export("otlp-json").json()["resourceSpans"].as_array().unwrap().len(), 1);
    let junit = export("junit").stdout;
    assert!(junit.contains(r#"<testsuites name="p" tests="5" failures="1""#), "{junit}");
    assert!(junit.contains("hello"), "what nodes printed is in it: {junit}");
    let html = export("html").stdout;
    for sign in ["<!doctype html>", "boom", "hello", "Content-Security-Policy"] {
        assert!(html.contains(sign), "{sign}");
    }
    for network in ["<script src", "<link", "@import", "url(http"] {
        assert!(!html.contains(network), "{network}");
    }
    assert_eq!(sandbox.omne(&["export", "@last", "--format", "html", "-o", "page.html"]).code, 0);
    assert!(sandbox.read("page.html").ends_with("</html>\n"));
    let left = std::fs::read_dir(sandbox.root())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".new"));
    assert_eq!(left.count(), 0);
    assert_eq!(sandbox.omne(&["export", "@last", "--format", "html", "-o", "no/page.html"]).code, 8);
    let to = |place: &str| sandbox.omne(&["export", "@last", "--format", "junit", "-o", place]);
    sandbox.file("real.xml", "before");
    std::os::unix::fs::symlink("real.xml", sandbox.path("link.xml")).unwrap();
    std::os::unix::fs::symlink("missing.xml", sandbox.path("dangling.xml")).unwrap();
    for place in ["link.xml", "dangling.xml"] {
        assert_eq!(to(place).code, 0);
        assert!(sandbox.path(place).is_symlink(), "{place} is still a link");
    }
    assert_eq!([sandbox.read("real.xml"), sandbox.read("missing.xml")], [junit.clone(), junit.clone()]);
    assert_eq!(to("-").stdout, junit);
    assert!(!sandbox.path("-").exists());
    // A link, for what is done to the device itself would be done to everybody.
    std::os::unix::fs::symlink("/dev/full", sandbox.path("full")).unwrap();
    let full = to("full");
    assert!(full.code == 8 && sandbox.path("full").is_symlink(), "{full:?}");
}

#[test]
fn every_view_shows_any_moment() {
    let sandbox = two_runs();
    let status = sandbox.omne(&["status", "@last", "--at", "4", "--json"]).json();
    assert_eq!((&status["seq"], &status["nodes"][0]["state"]), (&4.into(), &"running".into()));
    let graph = sandbox.omne(&["graph", "@last", "--at", "4"]).stdout;
    assert!(graph.contains("▶") && graph.contains('a'), "{graph}");
    for beyond in ["0", "99"] {
        assert_eq!(sandbox.omne(&["status", "@last", "--at", beyond]).code, 2);
    }
    assert_eq!(sandbox.omne(&["graph", "p", "--at", "1"]).code, 2);
    assert_eq!(sandbox.omne(&["replay", "@last", "--step"]).code, 2, "without a terminal");
}

#[test]
fn lists_are_filtered_and_tell_sizes() {
    let sandbox = two_runs();
    let list = |args: &[&str]| {
        let list = sandbox.omne(&[&["status", "--json"], args].concat()).json();
        list.as_array()
            .unwrap()
            .iter()
            .map(|run| run["state"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), ["aborted", "completed"]);
    assert_eq!(list(&["--state", "completed"]), ["completed"]);
    assert_eq!(list(&["--since", "1h"]).len(), 2);
    assert_eq!(list(&["--pipe", "q"]).len(), 0);
    let sizes = sandbox.omne(&["status", "--sizes", "--json"]).json();
    assert!(sizes[0]["size_bytes"].as_u64().unwrap() > 1000, "{sizes}");
}

#[test]
fn a_watched_run_is_shown_until_it_ends() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'touch here; until test -e go; do sleep 0.01; done'}]");
    let run = sandbox.start(&["run", "p"], "here");
    let mut watch = sandbox.command(&["status", "@last", "--watch"]);
    let watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    sandbox.file("go", "");
    assert_eq!(sandbox.finish(run.wait_with_output().unwrap()).code, 0);
    let watched = sandbox.finish(watch.wait_with_output().unwrap());
    assert!(watched.code == 0 && watched.stdout.contains("✓ completed"), "{watched:?}");
}

#[test]
fn clean_keeps_a_number_a_size_and_what_is_pinned() {
    let sandbox = two_runs();
    let [first, second] = runs(&sandbox).try_into().unwrap();
    assert_eq!(sandbox.omne(&["pin", &first]).code, 0);
    assert_eq!(sandbox.omne(&["clean", "--keep", "1"]).stdout, "nothing to remove\n");
    assert!(sandbox.omne(&["status"]).stdout.contains("pinned"));
    assert_eq!(sandbox.omne(&["pin", &first, "--off"]).code, 0);
    let dry = sandbox.omne(&["clean", "--max-size", "1K", "--dry-run"]).stdout;
    assert!(dry.contains(&first) && dry.contains(&second), "{dry}");
    assert!(sandbox.omne(&["clean", "--keep", "1"]).stdout.contains(&format!("removed {first}")));
    assert_eq!(runs(&sandbox), [second]);
    assert_eq!(sandbox.omne(&["clean", "--max-size", "1X"]).code, 2);
}

#[test]
fn a_bundle_is_read_elsewhere_like_the_run_itself() {
    let sandbox = two_runs();
    let bundle = sandbox.omne(&["bundle", "@last", "-o", "run.omne"]);
    assert_eq!(bundle.code, 0, "{bundle:?}");
    let status = |name: &str| {
        let mut status = sandbox.omne(&["status", name, "--json"]).json();
        status.as_object_mut().unwrap().remove("alive");
        status
    };
    assert_eq!(status("run.omne"), status("@last"));
    assert_eq!(
        sandbox.omne(&["replay", "run.omne", "--format", "snapshot"]).stdout,
        sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout
    );
    let verify = sandbox.omne(&["verify", "run.omne"]);
    assert!(verify.code == 0 && verify.stdout.contains(", 1 capture"), "{verify:?}");
    assert!(sandbox.omne(&["why", "run.omne", "c"]).stdout.contains("boom"));
    assert!(sandbox.omne(&["export", "run.omne", "--format", "junit"]).stdout.contains("hello"));
    assert_eq!(sandbox.omne(&["diff", "run.omne", "@last"]).code, 0);
    assert_eq!(sandbox.omne(&["graph", "run.omne"]).code, 0);
    assert_eq!(sandbox.omne(&["bundle", "@last", "-o", "no/run.omne"]).code, 8);
}

#[test]
fn what_is_removed_from_a_bundle_is_told_and_the_chain_still_verifies() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "inputs: {token: {default: tk-1234}}\nnodes:\n\
        - {id: a, env: {T: tk-9999}, bash: 'echo \"the token is $OMNE_INPUT_TOKEN\"; echo k=$OMNE_INPUT_TOKEN >> $OMNE_OUTPUT'}\n\
        - {id: b, bash: 'echo fine'}\n",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let head = sandbox.omne(&["verify", "@last", "--head"]).stdout.trim().to_owned();
    let bundle =
        sandbox.omne(&["bundle", "@last", "-o", "run.omne", "--redact", "tk-[0-9]+", "--json"]).json();
    let events = bundle["redactions"]["events"].as_array().unwrap();
    assert_eq!(
        (events.len(), &events[0]["count"]),
        (2, &3.into()),
        "the first event, and the outputs of a: {bundle}"
    );
    assert_eq!(bundle["redactions"]["files"][0]["name"], "a.out");
    for view in [&["replay", "run.omne", "--format", "json"][..], &["events", "run.omne", "--json"]] {
        let view = sandbox.omne(view);
        assert!(view.code == 0 && view.stdout.contains("***") && !view.stdout.contains("tk-"), "{view:?}");
    }
    let html = sandbox.omne(&["export", "run.omne", "--format", "html"]).stdout;
    assert!(html.contains("the token is ***") && !html.contains("tk-"));
    let verify = sandbox.omne(&["verify", "run.omne", "--expect", &head]);
    assert_eq!(verify.code, 0, "{verify:?}");
    assert!(verify.stdout.contains("(2 redacted, known by their digests alone)"), "{verify:?}");
    assert!(verify.stdout.contains("2 capture(s) (1 redacted)"), "{verify:?}");
}

#[test]
fn a_log_that_says_of_itself_that_something_was_removed_is_damaged() {
    let sandbox = two_runs();
    sandbox.omne(&["bundle", "@last", "-o", "run.omne", "--redact", "boom"]);
    let log = sandbox.omne(&["events", "run.omne", "--json"]).stdout;
    sandbox.file("forged.jsonl", log);
    let verify = sandbox.omne(&["verify", "forged.jsonl"]);
    assert!(verify.code == 5 && verify.stdout.contains("something was removed"), "{verify:?}");
}

#[test]
fn a_pattern_that_would_break_the_log_is_refused() {
    let sandbox = two_runs();
    let bundle = sandbox.omne(&["bundle", "@last", "-o", "run.omne", "--redact", "."]);
    assert!(bundle.code == 2 && !sandbox.path("run.omne").exists(), "{bundle:?}");
    assert_eq!(sandbox.omne(&["bundle", "@last", "-o", "run.omne", "--redact", "("]).code, 2);
}

#[test]
fn names_and_words_of_a_pipe_are_not_redacted_and_its_defaults_may_be() {
    let sandbox = Sandbox::new();
    sandbox.gate("review", "true").pipe(
        "workspace: root\ndescription: about root\ninputs: {tok: {pattern: '^tk-[0-9]+$', default: tk-123}}\nnodes: [{id: a, bash: 'echo \"$OMNE_INPUT_TOK\"', timeout: 7m, gate: review, retry: {max: 1, on: [crash]}, env: {name: tk-9}}]",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    for (pattern, in_events) in [("tk-[0-9]+", true), ("root", true), ("review", false), ("7m|crash", false)]
    {
        let bundle = sandbox.omne(&["bundle", "@last", "-o", "b.omne", "--redact", pattern, "--json"]);
        assert_eq!(bundle.code, 0, "{pattern}: {bundle:?}");
        let removed = bundle.json()["redactions"]["events"].as_array().unwrap().len();
        assert_eq!(removed > 0, in_events, "{pattern}: {bundle:?}");
        assert_eq!(sandbox.omne(&["verify", "b.omne"]).code, 0, "{pattern}");
        let log = sandbox.omne(&["events", "b.omne", "--json"]).stdout;
        assert!(!log.contains("tk-1") && !log.contains("tk-9") || pattern != "tk-[0-9]+", "{log}");
    }
}

#[test]
fn what_an_agent_tells_of_itself_may_be_too_much_for_the_index() {
    let sandbox = Sandbox::new();
    let result = r#"{"type":"result","subtype":"success","is_error":false,"num_turns":1e30,"result":"x","total_cost_usd":1e308,"duration_ms":1e300,"usage":{"input_tokens":1e30,"output_tokens":18446744073709551615}}"#;
    sandbox.pipe("nodes: [{id: a, prompt: x}, {id: b, prompt: x, depends_on: [a]}]");
    for node in ["a", "b"] {
        sandbox.agent(node, &format!("init\nsay x\nraw {result}"));
    }
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let rows =
        sandbox.omne(&["audit", "sql", "SELECT input_tokens, cost_usd > 1e308 FROM runs", "--format", "csv"]);
    assert_eq!((rows.code, rows.stdout.lines().last()), (0, Some("9223372036854775807,1")), "{rows:?}");
    assert_eq!(sandbox.omne(&["audit", "report"]).code, 0);
}
