//! Each limit says which one it is, its value, and how to raise it.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use crate::sandbox::{Output, Sandbox};

/// Runs `omne` under `ulimit` with these options.
fn limited(sandbox: &Sandbox, ulimit: &str, args: &str) -> Output {
    as_user(sandbox, &format!("ulimit {ulimit}"), args, None)
}

/// The same as another user, whose id this is.
fn as_user(sandbox: &Sandbox, ulimit: &str, args: &str, user: Option<u32>) -> Output {
    let omne = env!("CARGO_BIN_EXE_omne");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{ulimit} && exec '{omne}' {args}")]);
    // What a sandbox sets up besides.
    for (name, value) in sandbox.command(&[]).get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    if let Some(user) = user {
        shell.uid(user);
    }
    shell.current_dir(sandbox.root()).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    sandbox.finish(shell.output().unwrap())
}

fn message(sandbox: &Sandbox, node: &str) -> String {
    sandbox.node(node)["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn output_over_the_limit_names_the_setting_and_its_value() {
    let sandbox = Sandbox::new();
    sandbox.file(".omne/omne.toml", "[limits]\noutput_bytes = 1000\n").pipe("nodes: [{id: n, bash: 'yes'}]");
    assert_eq!(sandbox.omne(&["run", "p", "-q"]).code, 1);
    let message = message(&sandbox, "n");
    assert!(message.contains("1000 bytes") && message.contains("`limits.output_bytes`"), "{message}");
}

#[test]
fn outputs_that_would_not_fit_an_event_say_what_to_do_instead() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: n, bash: 'printf k=%040000d 1 > $OMNE_OUTPUT'}]");
    assert_eq!(sandbox.omne(&["run", "p", "-q"]).code, 1);
    let message = message(&sandbox, "n");
    assert!(message.contains("32 KiB") && message.contains("write a file and give its path"), "{message}");
}

#[test]
fn more_nodes_than_the_settings_allow_are_told_by_validate_and_by_run() {
    let sandbox = Sandbox::new();
    sandbox.file(".omne/omne.toml", "[limits]\nnodes = 2\n");
    sandbox.pipe("nodes:\n- {id: a, bash: 'true'}\n- {id: b, bash: 'true'}\n- {id: c, bash: 'true'}\n");
    for args in [&["validate", "p"][..], &["run", "p"]] {
        let told = sandbox.omne(args);
        assert_eq!(told.code, 2, "{told:?}");
        let text = told.stdout + &told.stderr;
        for part in ["E0007", "more than 2 nodes", "p.yaml:6:3", "`limits.nodes`"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    sandbox.file(".omne/omne.toml", "[limits]\nnodes = 3\n");
    assert_eq!(sandbox.omne(&["run", "p", "-q"]).code, 0);
    // What was allowed once can be resumed and replayed whatever the limit is now.
    sandbox.file(".omne/omne.toml", "[limits]\nnodes = 1\n");
    assert_eq!(sandbox.omne(&["resume", "@last", "--from", "c", "-q"]).code, 0);
}

#[test]
fn a_run_over_its_time_names_the_key_and_its_value() {
    let sandbox = Sandbox::new();
    sandbox.pipe("timeout: 200ms\nnodes: [{id: n, bash: 'sleep 60'}]");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("the run took longer than 200ms; the pipe's `timeout` sets the limit"),
        "{run:?}"
    );
}

#[test]
fn nodes_get_the_limit_of_open_files_that_omne_was_started_with() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: n, bash: 'ulimit -Sn; ulimit -Hn'}]");
    let run = limited(&sandbox, "-Sn 200 && ulimit -Hn 400", "run p -q");
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(sandbox.capture("n"), "200\n400\n");
}

#[test]
fn many_nodes_run_at_once_although_the_soft_limit_of_open_files_is_low() {
    let sandbox = Sandbox::new();
    // All wait for the last one, which waits for all of them.
    let nodes: String = (1..30)
        .map(|n| format!("- {{id: n{n}, bash: 'echo hi; echo ho >&2; touch seen.{n}; until [ -e go ]; do sleep 0.3; done'}}\n"))
        .collect();
    let last = "- {id: n0, bash: 'until [ $(ls seen.* | wc -l) = 29 ]; do sleep 0.3; done; touch go'}\n";
    sandbox.pipe(&format!("nodes:\n{nodes}{last}"));
    let run = limited(&sandbox, "-Sn 60 && ulimit -Hn 4096", "run p -q -j 30");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert_eq!(sandbox.events(&["pipe.started"])[0]["jobs"], 30);
}

#[test]
fn fewer_nodes_run_at_once_where_few_files_may_be_open_and_omne_says_so() {
    let sandbox = Sandbox::new();
    let nodes: String = (0..30).map(|n| format!("- {{id: n{n}, bash: 'echo hi; echo ho >&2'}}\n")).collect();
    sandbox.pipe(&format!("nodes:\n{nodes}"));
    let run = limited(&sandbox, "-n 100", "run p -j 30");
    assert_eq!(run.code, 0, "{run:?}");
    for part in ["3 nodes run at once instead of 30", "only 100 files", "`ulimit -Hn 424`"] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    assert_eq!(sandbox.events(&["pipe.started"])[0]["jobs"], 3);
}

#[test]
fn without_files_for_a_single_node_nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: n, bash: 'true'}]");
    let run = limited(&sandbox, "-n 50", "run p");
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("only 50 files may be open at once, and a run needs 76"), "{run:?}");
    assert!(run.stderr.contains("`ulimit -n 1024`"), "{run:?}");
    assert!(!sandbox.path(".omne/var/runs").exists());
}

#[test]
fn a_node_for_which_no_process_may_be_started_fails_with_the_limit_and_the_remedy() {
    // The limit is a user's, and root has none: another user is needed who has no process, and can read the program.
    const USER: u32 = 64_123;
    if !rustix::process::getuid().is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
    let owned = Command::new("chown").args(["-R", &USER.to_string()]).arg(sandbox.root()).status().unwrap();
    assert!(owned.success());
    if as_user(&sandbox, "true", "--version", Some(USER)).code != 0 {
        return;
    }
    // The runner itself has two threads.
    // Shells do not agree on the letter.
    let ulimit = "{ (ulimit -u 2) 2>/dev/null && ulimit -u 2 || ulimit -p 2; }";
    let run = as_user(&sandbox, ulimit, "run p", Some(USER));
    assert_eq!(run.code, 1, "{run:?}");
    let message = message(&sandbox, "a");
    assert!(message.contains("no more processes may be started (2 for this user)"), "{message}");
    assert!(message.contains("`ulimit -u`") && message.contains("`--jobs`"), "{message}");
}

/// Starts so many runs of the pipe at the same moment, and waits for all.
fn at_once(sandbox: &Sandbox, runs: usize, args: &[&str]) -> Vec<Output> {
    let start = || sandbox.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let children: Vec<Child> = (0..runs).map(|_| start()).collect();
    children.into_iter().map(|child| sandbox.finish(child.wait_with_output().unwrap())).collect()
}

#[test]
fn twenty_four_runs_at_once_in_one_volume_end_well_in_place_and_in_worktrees() {
    const RUNS: usize = 24;
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes:\n- {id: a, bash: 'echo $OMNE_RUN_ID'}\n- {id: b, depends_on: [a], bash: 'echo b > made.$OMNE_RUN_ID'}\n");
    sandbox.git(&["init", "-q"]).git(&["add", "-A"]).git(&["commit", "-q", "-m", "begin"]);
    let mut ids = std::collections::BTreeSet::new();
    for workspace in ["root", "worktree"] {
        let runs = at_once(&sandbox, RUNS, &["run", "p", "--workspace", workspace]);
        for run in &runs {
            assert_eq!(run.code, 0, "{workspace}: {run:?}");
            let id = run.run_id();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            let log = sandbox.omne(&["logs", id, "a"]);
            assert_eq!(log.stdout.trim(), id, "a run has its own output");
            let place = if workspace == "root" { String::new() } else { format!(".omne/wt/{id}/") };
            assert!(sandbox.path(&format!("{place}made.{id}")).exists(), "{workspace}");
        }
    }
    let synced = sandbox.omne(&["audit", "sync", "--json"]).json();
    assert_eq!(
        (synced["runs"].as_u64(), synced["notices"].as_array().map(Vec::len)),
        (Some(48), Some(0)),
        "{synced}"
    );
    let completed = sandbox.omne(&[
        "audit",
        "sql",
        "SELECT count(*) AS n FROM runs WHERE state = 'completed'",
        "--format",
        "csv",
    ]);
    assert_eq!(completed.stdout, "n\n48\n");
}

#[test]
fn twenty_four_syncs_of_the_index_at_once_agree() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
    for _ in 0..3 {
        assert_eq!(sandbox.omne(&["run", "p", "-q"]).code, 0);
    }
    for synced in at_once(&sandbox, 24, &["audit", "sync", "--json"]) {
        assert_eq!((synced.code, synced.json()["runs"].as_u64()), (0, Some(3)), "{synced:?}");
    }
}

#[test]
fn thousands_of_nodes_run_in_one_run() {
    let sandbox = Sandbox::new();
    // Played by conditions alone: what is tried is the runner, not the shell.
    let nodes: String = (0..5_000)
        .map(|n| match n {
            0 => "- {id: n0, bash: 'echo x=1 > $OMNE_OUTPUT'}\n".to_owned(),
            n if n % 100 == 0 => {
                format!("- {{id: n{n}, depends_on: [n{}], trigger_rule: all_done, bash: 'true'}}\n", n - 1)
            }
            n => format!("- {{id: n{n}, depends_on: [n0], when: nodes.n0.outputs.x == '2', bash: 'true'}}\n"),
        })
        .collect();
    sandbox.pipe(&format!("nodes:\n{nodes}"));
    assert_eq!(sandbox.omne(&["run", "p", "-q"]).code, 0);
    let status = sandbox.omne(&["status", "@last", "--json"]).json();
    let count = |state: &str| {
        status["nodes"].as_array().unwrap().iter().filter(|node| node["state"] == state).count()
    };
    assert_eq!((count("completed"), count("skipped")), (50, 4_950));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_may_not_grow_is_told_and_ends_what_runs() {
    let sandbox = Sandbox::new();
    sandbox.pipe("jobs: 2\nnodes: [{id: long, bash: 'sleep 300'}, {id: a, bash: 'yes | head -c 100000'}]");
    let script = format!("ulimit -f 8; exec {} run p", env!("CARGO_BIN_EXE_omne"));
    let run = sandbox.finish(sandbox.program("sh").args(["-c", &script]).output().unwrap());
    assert_eq!(run.code, 8, "{run:?}");
    assert!(run.stderr.contains("File too large") && run.stderr.contains("help: "), "{run:?}");
}

#[test]
fn a_umask_that_takes_rights_from_its_own_user_keeps_nobody_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: echo hi}]");
    let script = format!("umask 0777; exec {} run p", env!("CARGO_BIN_EXE_omne"));
    let run = sandbox.finish(sandbox.program("sh").args(["-c", &script]).output().unwrap());
    assert_eq!(run.code, 0, "{run:?}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let log = sandbox.log();
    assert_eq!((mode(&log), mode(log.parent().unwrap())), (0o600, 0o700));
}
