use rustix::process::Signal;

use crate::sandbox::Sandbox;

/// A node that says when it is up, and whose tree does not end by itself.
const STUBBORN: &str = "nodes:\n- {id: n, bash: 'setsid sleep 300 & sleep 300 & echo $! > pid.new; mv pid.new up; wait'}\n- {id: after, depends_on: [n], bash: 'true'}";

fn lives(sandbox: &Sandbox) -> bool {
    let pid = sandbox.read("up");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn an_interrupt_ends_the_tree_and_leaves_a_run_that_can_be_resumed() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let sandbox = Sandbox::new();
        sandbox.pipe(STUBBORN);
        let child = sandbox.start(&["run", "p"], "up");
        sandbox.signal(&child, signal);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(code));
        assert!(!lives(&sandbox));
        assert_eq!(sandbox.states(), "interrupted: n failed(interrupted), after blocked");
        sandbox.file(".omne/dist/pipes/p.yaml", "name: p\nversion: 2\nnodes:\n- {id: n, bash: 'true'}\n- {id: after, depends_on: [n], bash: 'true'}");
        assert_eq!(sandbox.omne(&["resume", "@last", "--pipe", "@current"]).code, 0);
        assert_eq!(sandbox.states(), "completed: n completed, after completed");
    }
}

#[test]
fn a_second_interrupt_does_not_wait_for_who_ignores_the_first() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: n, bash: 'trap \"touch asked\" TERM INT; touch up; while :; do sleep 0.01; done'}]",
    );
    let child = sandbox.start(&["run", "p"], "up");
    sandbox.signal(&child, Signal::INT);
    sandbox.wait_for("asked");
    sandbox.signal(&child, Signal::INT);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(sandbox.states(), "interrupted: n failed(interrupted)");
}

#[test]
fn cancel_asks_the_owner() {
    let sandbox = Sandbox::new();
    sandbox.pipe(STUBBORN);
    let child = sandbox.start(&["run", "p"], "up");
    let cancel = sandbox.omne(&["cancel", "@last"]);
    assert_eq!(cancel.code, 0, "{cancel:?}");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));
    assert!(!lives(&sandbox));
    assert_eq!(sandbox.states(), "aborted: n failed(cancelled), after blocked");
    assert_eq!(
        sandbox.omne(&["status", "@last", "--json"]).json()["reason"],
        "cancelled by tester; failed: n; blocked: after"
    );
}

#[test]
fn cancel_ends_what_a_dead_owner_left() {
    let sandbox = Sandbox::new();
    sandbox.pipe(STUBBORN);
    let mut child = sandbox.start(&["run", "p"], "up");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lives(&sandbox));
    let status = sandbox.omne(&["status", "@last", "--json"]).json();
    assert_eq!((&status["state"], &status["alive"]), (&"interrupted".into(), &false.into()));
    assert_eq!(sandbox.omne(&["cancel", "@last"]).code, 0);
    assert!(!lives(&sandbox));
    assert_eq!(sandbox.states(), "aborted: n failed(cancelled), after blocked");
    assert!(sandbox.omne(&["cancel", "@last"]).stdout.contains("was over already"));
}

#[test]
fn what_a_dead_runner_left_may_clean_up() {
    let sandbox = Sandbox::new();
    let cleans_up =
        "exec 2>/dev/null; trap \"sh -c \\\"touch cleaning; read word < go; touch cleaned\\\"; exit\" TERM";
    sandbox.pipe(&format!(
        "jobs: 2\nnodes:\n- {{id: first, bash: 'mkfifo go; touch here; exec sleep 300'}}\n- {{id: n, bash: 'until test -e here; do sleep 0.01; done; {cleans_up}; touch up; while :; do sleep 0.01; done'}}"
    ));
    let mut child = sandbox.start(&["run", "p"], "up");
    child.kill().unwrap();
    child.wait().unwrap();
    let cancel = sandbox.start(&["cancel", "@last"], "cleaning");
    std::fs::write(sandbox.path("go"), "word\n").unwrap();
    assert_eq!(cancel.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(sandbox.read("cleaned"), "");
}

#[test]
fn a_signal_ends_a_resume_that_waits_for_what_a_dead_runner_left() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: n, bash: 'exec 2>/dev/null; trap \"touch asked\" TERM; touch up; until test -e go; do sleep 0.01; done'}]",
    );
    let mut child = sandbox.start(&["run", "p"], "up");
    child.kill().unwrap();
    child.wait().unwrap();
    let resume = sandbox.start(&["resume", "@last"], "asked");
    sandbox.signal(&resume, Signal::TERM);
    assert_eq!(resume.wait_with_output().unwrap().status.code(), Some(143));
    assert!(sandbox.events(&["pipe.resumed"]).is_empty());
    sandbox.file("go", "");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 0);
}

#[test]
fn cancel_reaches_a_resume_that_waits_for_what_a_dead_runner_left() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: n, bash: 'exec 2>/dev/null; trap \"touch asked; test $OMNE_ATTEMPT = 1 || exit 1\" TERM; touch up; until test -e go && test $OMNE_ATTEMPT = 1; do sleep 0.01; done'}]",
    );
    let mut child = sandbox.start(&["run", "p"], "up");
    child.kill().unwrap();
    child.wait().unwrap();
    let resume = sandbox.start(&["resume", "@last"], "asked");
    let cancel = sandbox.command(&["cancel", "@last"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    // It has asked once its request is there.
    let id = sandbox.omne(&["status", "@last", "--json"]).json()["run_id"].as_str().unwrap().to_owned();
    sandbox.wait_for(&format!(".omne/var/runs/{id}/cancel"));
    sandbox.file("go", "");
    assert_eq!(cancel.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(resume.wait_with_output().unwrap().status.code(), Some(1));
    let reason = sandbox.omne(&["status", "@last", "--json"]).json()["reason"].to_string();
    assert!(reason.contains("cancelled by tester"), "{reason}");
}

#[test]
fn a_signal_ends_a_resume_that_makes_its_worktree_anew() {
    let sandbox = Sandbox::new();
    sandbox.file("f", "").pipe("nodes: [{id: a, bash: exit 1}]");
    sandbox.git(&["init"]).git(&["add", "f"]).git(&["commit", "-m", "x"]);
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    std::fs::remove_dir_all(sandbox.path(".omne/wt")).unwrap();
    let real = String::from_utf8(
        std::process::Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout,
    );
    let (root, real) = (sandbox.root().display().to_string(), real.unwrap());
    sandbox.executable(
        "bin/git",
        format!(
            "#!/bin/sh\ncase \"$*\" in 'worktree add'*) touch {root}/adding; until test -e {root}/go || ! test -e {root}/.omne; do sleep 0.01; done;; esac\nexec {} \"$@\"\n",
            real.trim()
        ),
    );
    let path = format!("{root}/bin:{}", std::env::var("PATH").unwrap());
    let resume = sandbox.command(&["resume", "@last"]).env("PATH", path).spawn().unwrap();
    sandbox.wait_for("adding");
    sandbox.signal(&resume, Signal::TERM);
    assert_eq!(resume.wait_with_output().unwrap().status.code(), Some(143));
    sandbox.file("go", "");
    assert!(sandbox.events(&["pipe.resumed"]).is_empty());
}

#[test]
fn two_runners_never_share_a_run() {
    let sandbox = Sandbox::new();
    sandbox.pipe(STUBBORN);
    let child = sandbox.start(&["run", "p"], "up");
    let resume = sandbox.omne(&["resume", "@last"]);
    assert_eq!(resume.code, 4);
    assert!(resume.stderr.contains(&format!("pid {}", child.id())), "{resume:?}");
    assert_eq!(sandbox.omne(&["status", "@last", "--json"]).json()["alive"], true);
    sandbox.signal(&child, Signal::INT);
    child.wait_with_output().unwrap();
}

#[test]
fn a_run_killed_at_any_moment_is_resumed_to_the_same_end() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes:\n- {id: a, bash: echo a}\n- {id: b, depends_on: [a], bash: 'touch up-b; test -e go || sleep 300'}\n- {id: c, depends_on: [b], bash: echo c}");
    let mut child = sandbox.start(&["run", "p"], "up-b");
    child.kill().unwrap();
    child.wait().unwrap();
    sandbox.file("go", "");
    let resume = sandbox.omne(&["resume", "@last"]);
    assert_eq!(resume.code, 0, "{resume:?}");
    assert!(resume.stderr.contains("keep") && resume.stderr.contains("it was cut off"), "{resume:?}");
    assert_eq!(sandbox.states(), "completed: a completed, b completed, c completed");
    assert_eq!(
        sandbox.omne(&["events", "@last", "--type", "node.started", "--node", "a"]).stdout.lines().count(),
        1
    );
}

#[test]
fn a_second_signal_waits_for_no_hook() {
    let sandbox = crate::hooks::hooked("post_run", "touch told; sleep 60", "timeout_ms = 30000");
    sandbox.pipe("nodes: [{id: a, bash: 'touch here; sleep 60'}]");
    let child = sandbox.start(&["run", "p"], "here");
    sandbox.signal(&child, rustix::process::Signal::INT);
    sandbox.wait_for("told");
    sandbox.signal(&child, rustix::process::Signal::INT);
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 130);
    // Had it been waited for, it would have been told of as late.
    assert_eq!(sandbox.events(&["hook.decided"])[0]["reason"], "it was cut off before it answered");
    assert_eq!(sandbox.states(), "interrupted: a failed(interrupted)");
}

#[test]
fn a_run_waits_for_no_reader_that_has_stopped_reading() {
    let sandbox = Sandbox::new();
    let nodes: String = (0..200).map(|n| format!("- {{id: n{n}, bash: 'true'}}\n")).collect();
    let all: Vec<String> = (0..200).map(|n| format!("n{n}")).collect();
    let last =
        |bash: &str| format!("nodes:\n{nodes}- {{id: z, depends_on: [{}], bash: {bash}}}\n", all.join(", "));
    let start = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    sandbox.pipe(&last("touch end"));
    // Neither of the pipes is read before the last node has run; what was printed is all there then.
    for args in [["run", "p", "--json"], ["run", "p", "--color=never"]] {
        let child = start(&args);
        sandbox.wait_for("end");
        let run = sandbox.finish(child.wait_with_output().unwrap());
        let printed = if args[2] == "--json" { &run.stdout } else { &run.stderr };
        assert!(run.code == 0 && printed.lines().count() > 600, "{run:?}");
        std::fs::remove_file(sandbox.path("end")).unwrap();
    }
    sandbox.pipe(&last("'touch here; sleep 300'"));
    let mut child = start(&["run", "p", "--json"]);
    sandbox.wait_for("here");
    sandbox.signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    std::fs::remove_file(sandbox.path("here")).unwrap();
    let mut child = start(&["run", "p", "--json"]);
    sandbox.wait_for("here");
    assert_eq!(sandbox.omne(&["cancel", "@last"]).code, 0);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn events_that_can_not_be_printed_are_missed_aloud_and_stop_no_run() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let run = sandbox.command(&["run", "p", "--json"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("the events can not be printed any more"), "{said}");
    assert_eq!(sandbox.states(), "completed: a completed");
}

#[test]
fn a_cancelled_run_whose_runner_died_in_a_retry_names_the_node_that_failed() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: a, bash: exit 1, retry: {max: 3, delay: 1h}}, {id: b, depends_on: [a], bash: 'true'}]",
    );
    let mut child = sandbox.start(&["run", "p"], ".omne/var/runs");
    sandbox.wait_for_event("node.failed");
    sandbox.signal(&child, rustix::process::Signal::KILL);
    child.wait().unwrap();
    assert_eq!(sandbox.omne(&["cancel", "@last"]).code, 0);
    let aborted = &sandbox.events(&["pipe.aborted"])[0];
    assert_eq!(
        [&aborted["failed"], &aborted["blocked"]],
        [&serde_json::json!(["a"]), &serde_json::json!(["b"])]
    );
}
