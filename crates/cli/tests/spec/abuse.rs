use crate::sandbox::{Sandbox, with_filters};

fn done() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: echo hi}]");
    sandbox.omne(&["run", "p", "-q"]);
    sandbox
}

/// Changes the log of the newest run.
fn damage(sandbox: &Sandbox, change: impl Fn(String) -> String) {
    sandbox.file("damaged-on-purpose", "");
    let log = sandbox.log();
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, change(text)).unwrap();
}

#[test]
fn the_log_of_another_run_is_told() {
    let sandbox = done();
    let (first, was) = (sandbox.log(), std::fs::read(sandbox.log()).unwrap());
    sandbox.omne(&["run", "p", "-q"]);
    sandbox.file("damaged-on-purpose", "");
    std::fs::write(sandbox.log(), was).unwrap();
    let first = first.parent().unwrap().file_name().unwrap();
    let verify = sandbox.omne(&["verify", "@last"]);
    let said = format!("line 1: the log is of the run `{}`", first.display());
    assert!(verify.code == 5 && verify.stdout.contains(&said), "{verify:?}");
}

#[test]
fn what_a_log_names_inputs_commands_no_terminal() {
    let sandbox = done();
    damage(&sandbox, |text| text.replace("\"inputs\":[]", r#""inputs":[{"key":"k\u001b[31m","value":1}]"#));
    let status = sandbox.omne(&["status", "@last"]);
    assert!(status.stdout.contains("input k") && !status.stdout.contains('\u{1b}'), "{status:?}");
}

#[test]
fn every_change_to_a_log_is_found() {
    let first = |text: &str, from: &str, to: &str| text.replacen(from, to, 1);
    type Change<'a> = (&'a str, &'a dyn Fn(String) -> String, &'a str);
    let changes: [Change<'_>; 11] = [
        (
            "a changed value",
            &|t| first(&t, "\"attempt\":1", "\"attempt\":2"),
            "line 2: attempt 2 of node `a`",
        ),
        ("a changed text", &|t| first(&t, "echo hi", "echo ho"), "line 1: `definition_sha256` is not"),
        ("a blank line", &|t| first(&t, "\n", "\n\n"), "line 2: the line is blank"),
        ("a carriage return", &|t| first(&t, "\n", "\r\n"), "line 1: the line has a carriage return"),
        (
            "numbers and links removed from the last line",
            &|t| {
                let (before, last) = t.trim_end().rsplit_once('\n').unwrap();
                let without = |text: &str, from: &str, to: &str| {
                    let (head, rest) = text.split_once(from).unwrap();
                    format!("{head}{}", rest.split_once(to).unwrap().1)
                };
                let last = without(&without(last, "\"seq\":", ","), "\"prev\":\"", "\",");
                format!("{before}\n{last}\n")
            },
            "line 5: `seq` is missing",
        ),
        (
            "an event of another version after the end",
            &|t| {
                let last = t.lines().last().unwrap();
                let id = last.split_once("\"id\":\"").unwrap().1.split_at(26).0;
                t.clone()
                    + &first(
                        &last.replace(id, "7zzzzzzzzzzzzzzzzzzzzzzzzz"),
                        "pipe.completed",
                        "pipe.praised",
                    )
                    + "\n"
            },
            "line 6: `pipe.praised` comes after `pipe.completed`",
        ),
        ("bytes after the end", &|t| t + "{}", "bytes follow the last whole line"),
        (
            "a line removed",
            &|t| t.lines().enumerate().filter(|(n, _)| *n != 2).map(|(_, l)| format!("{l}\n")).collect(),
            "line 3: `seq` is 4, it has to be 3",
        ),
        (
            "lines swapped",
            &|t| {
                let mut l: Vec<&str> = t.lines().collect();
                l.swap(1, 2);
                l.join("\n") + "\n"
            },
            "line 2: `seq` is 3",
        ),
        ("no JSON", &|t| first(&t, "{\"seq\":2", "{seq:2"), "line 2: the line is not an event"),
        (
            "another run",
            &|t| {
                let at = t.rfind("\"run_id\":\"p-").unwrap() + 12;
                format!("{}00000000000000000000000000{}", &t[..at], &t[at + 26..])
            },
            "`run_id` is p-0000",
        ),
    ];
    for (what, change, finding) in changes {
        let sandbox = done();
        let name = sandbox.log();
        damage(&sandbox, change);
        let verify = sandbox.omne(&["verify", name.to_str().unwrap()]);
        assert_eq!(verify.code, 5, "{what}: {}", verify.picture());
        assert!(verify.stdout.contains(finding), "{what}: {}", verify.picture());
        let json = sandbox.omne(&["verify", name.to_str().unwrap(), "--json"]).json();
        assert_eq!(json["valid"], false, "{what}");
        // What is damaged is never written to; a torn end alone is moved aside.
        if what != "bytes after the end" {
            let before = std::fs::read(&name).unwrap();
            let run = name.parent().unwrap().file_name().unwrap().to_str().unwrap();
            assert_eq!(sandbox.omne(&["resume", run, "--from", "a"]).code, 5, "{what}");
            assert_eq!(std::fs::read(&name).unwrap(), before, "{what}");
        }
    }
}

#[test]
fn a_log_cut_at_every_byte_is_read_and_resumed_or_refused_but_never_misread() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
    sandbox.omne(&["run", "p", "-q"]);
    let log = sandbox.log();
    let whole = std::fs::read(&log).unwrap();
    let first_line = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    // Every byte around the ends of lines, and some in between: each starts the binary.
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    let cuts =
        (first_line..whole.len()).filter(|at| at % 97 == 0 || ends.iter().any(|end| end.abs_diff(*at) <= 1));
    for cut in cuts {
        std::fs::write(&log, &whole[..cut]).unwrap();
        let name = log.to_str().unwrap();
        assert_eq!(sandbox.omne(&["replay", name]).code, 0, "cut at {cut}");
        let resume = sandbox.omne(&["resume", "@last", "-q"]);
        assert_eq!(resume.code, 0, "cut at {cut}: {resume:?}");
        assert_eq!(sandbox.omne(&["verify", name]).code, 0, "cut at {cut}");
    }
}

#[test]
fn what_does_not_exist_is_told_with_what_to_do() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
    with_filters(|| {
        insta::assert_snapshot!("no run", sandbox.omne(&["status", "nothing"]).picture());
        insta::assert_snapshot!("no last run", sandbox.omne(&["resume", "@last"]).picture());
        insta::assert_snapshot!("no pipe", sandbox.omne(&["run", "q"]).picture());
        insta::assert_snapshot!("no file", sandbox.omne(&["run", "./q.yaml"]).picture());
        insta::assert_snapshot!("no volume", Sandbox::bare().omne(&["status"]).picture());
    });
}

#[test]
fn a_wrong_flag_or_command_is_exit_2() {
    let sandbox = Sandbox::bare();
    for args in [
        &["--nope"][..],
        &["fly"],
        &["run"],
        &["run", "p", "-j", "0"],
        &["run", "p", "-j", "x"],
        &["graph", "p", "--format", "png"],
        &[],
    ] {
        assert_eq!(sandbox.omne(args).code, 2, "{args:?}");
    }
}

#[test]
fn wrong_settings_are_told_with_line_and_column() {
    let sandbox = Sandbox::new();
    sandbox.file(".omne/omne.toml", "jobs = 2\njbos = 3\n").pipe("nodes: [{id: a, bash: 'true'}]");
    let run = sandbox.omne(&["run", "p"]);
    insta::assert_snapshot!(run.picture());
}

#[test]
fn a_run_directory_without_a_log_hides_no_other_run() {
    let sandbox = done();
    sandbox.file(".omne/var/runs/p-7zzzzzzzzz0000000000000000/x", "");
    let list = sandbox.omne(&["status"]);
    assert_eq!(list.code, 0);
    assert!(list.stdout.contains("completed") && list.stderr.contains("warning: p-7zzz"), "{list:?}");
    assert_eq!(sandbox.omne(&["status", "7zzz"]).code, 3);
    let verify = sandbox.omne(&["verify", "--all"]);
    assert_eq!((verify.code, verify.stdout.lines().count()), (5, 3), "{verify:?}");
    std::fs::remove_dir_all(sandbox.path(".omne/var/runs/p-7zzzzzzzzz0000000000000000")).unwrap();
}

#[test]
fn a_log_of_omne_cli_0_2_is_read() {
    let sandbox = Sandbox::bare();
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/logs/omne-cli-0.2.jsonl");
    assert_eq!(sandbox.omne(&["verify", log]).code, 0);
    assert_eq!(sandbox.omne(&["replay", log, "--format", "json"]).json()["state"], "aborted");
    assert_eq!(sandbox.omne(&["graph", log]).code, 2);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let sandbox = done();
    let mut child = sandbox
        .command(&["events", "@last"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn after_a_line_that_can_not_be_read_only_that_line_is_blamed() {
    let sandbox = done();
    let name = sandbox.log();
    damage(&sandbox, |text| {
        text.replacen("{\"seq\":2,\"type\":\"node", "{\"seq\":2,\"type\":7,\"was\":\"node", 1)
    });
    let report = sandbox.omne(&["verify", name.to_str().unwrap(), "--json"]).json();
    let lines: Vec<u64> = report["logs"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["line"].as_u64().unwrap())
        .collect();
    // Line 3 is linked to line 2 as it was before the change.
    assert_eq!(lines, [2, 3], "{report}");
}

#[test]
fn a_run_whose_runner_died_before_its_first_event_is_no_damage() {
    let sandbox = done();
    let run = ".omne/var/runs/p-7zzzzzzzzz0000000000000000";
    // It had made its directory; its log; a part of the first line.
    for log in [None, Some(""), Some("{\"seq\":1,")] {
        std::fs::create_dir_all(sandbox.path(run).join("nodes")).unwrap();
        if let Some(log) = log {
            sandbox.file(&format!("{run}/events.jsonl"), log);
        }
        let verify = sandbox.omne(&["verify", "--all"]);
        assert_eq!(verify.code, 0, "{verify:?}");
        assert!(verify.stdout.contains("never began"), "{verify:?}");
        let out = sandbox.path("out");
        for args in [
            &["resume", "@last"][..],
            &["resume", "@last", "--dry-run"],
            &["cancel", "@last"],
            &["status", "@last"],
            &["logs", "@last"],
            &["events", "@last"],
            &["events", "@last", "-f"],
            &["replay", "@last"],
            &["graph", "@last"],
            &["why", "@last", "a"],
            &["export", "@last", "--format", "html"],
            &["export", "@last", "--format", "junit"],
            &["bundle", "@last", "-o", out.to_str().unwrap()],
            &["test", "--record", "@last"],
        ] {
            let refused = sandbox.omne(args);
            assert_eq!(refused.code, 3, "{refused:?}");
            assert!(
                refused.stderr.contains("never began") && refused.stderr.contains("help: "),
                "{refused:?}"
            );
        }
    }
    // Where a head is expected, or a node has left something, the log was there once.
    let head = "0".repeat(64);
    assert_eq!(sandbox.omne(&["verify", "@last", "--expect", &head]).code, 5);
    sandbox.file(&format!("{run}/nodes/a.out"), "");
    assert_eq!(sandbox.omne(&["verify", "--all"]).code, 5);
    std::fs::remove_dir_all(sandbox.path(run)).unwrap();
}

#[test]
fn a_pipe_in_place_of_a_file_of_the_volume_makes_nobody_wait() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'echo a; rm $OMNE_RUN_DIR/events.jsonl; mkfifo $OMNE_RUN_DIR/events.jsonl'}, {id: b, depends_on: [a], bash: 'true'}]");
    let run = sandbox.omne(&["run", "p"]);
    assert!(run.code == 8 && run.stderr.contains("laid hands"), "{run:?}");
    sandbox.file("damaged-on-purpose", "");
    let capture = format!(".omne/var/runs/{}/nodes/a.out", run.run_id());
    assert_eq!(sandbox.read(&capture), "a\n", "what was made is left");
    for args in [
        &["status"][..],
        &["status", "@last"],
        &["verify", "@last"],
        &["audit", "sync"],
        &["events", "@last"],
        &["resume", "@last"],
        &["cancel", "@last"],
        &["clean", "--older-than", "0", "--dry-run"],
    ] {
        sandbox.omne(args);
    }
    for name in ["dist/pipes/p.yaml", "dist/cmds/c.md", "omne.toml", "hooks.toml", "tests/t/case.yaml"] {
        let sandbox = Sandbox::new();
        let body = if name.ends_with("c.md") { "command: c" } else { "bash: 'true'" };
        sandbox.pipe(&format!("nodes: [{{id: a, {body}}}]")).file(".omne/dist/cmds/c.md", "go");
        sandbox.file(".omne/tests/t/snapshot.txt", "");
        let path = sandbox.path(&format!(".omne/{name}"));
        let _ = std::fs::remove_file(&path);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let args: &[&str] = if name.starts_with("tests") { &["test"] } else { &["run", "p"] };
        let tried = sandbox.omne(args);
        assert!([1, 2].contains(&tried.code), "{name}: {tried:?}");
        let told = format!("{}{}", tried.stdout, tried.stderr);
        assert!(told.contains("it is not a plain file"), "{name}: {tried:?}");
    }
}

#[test]
fn settings_behind_a_link_that_leads_nowhere_are_not_none() {
    for name in ["omne.toml", "hooks.toml"] {
        let sandbox = Sandbox::new();
        sandbox.pipe("nodes: [{id: a, bash: touch ran}]");
        std::os::unix::fs::symlink("nowhere", sandbox.path(&format!(".omne/{name}"))).unwrap();
        let run = sandbox.omne(&["run", "p"]);
        assert!(run.code == 2 && run.stderr.contains("a link that leads nowhere"), "{run:?}");
        assert!(!sandbox.path("ran").exists());
        // Blanked on purpose.
        std::fs::remove_file(sandbox.path(&format!(".omne/{name}"))).unwrap();
        std::os::unix::fs::symlink("/dev/null", sandbox.path(&format!(".omne/{name}"))).unwrap();
        assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    }
}
