//! SIGKILL of nodes, of what they started, and of the runner at the same time.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{aftermath, sandbox::Sandbox};

/// A node with a daemon of its own session. Each says who it is; the second attempt is left in peace.
const NODES: &str = "
- id: a
  retry: {max: 2, delay: 5ms}
  bash: |
    echo start $OMNE_ATTEMPT >> effects/a
    test -e calm || {
      setsid sh -c 'echo $$ > daemon.new; mv daemon.new daemon; while :; do sleep 1; done' &
      echo $$ > node.new; mv node.new node
      while :; do sleep 1; done
    }
    echo end $OMNE_ATTEMPT >> effects/a
- {id: b, depends_on: [a], bash: 'echo start $OMNE_ATTEMPT >> effects/b; echo end $OMNE_ATTEMPT >> effects/b'}";

const SHAPE: crate::shapes::Shape =
    crate::shapes::Shape::new("tree", NODES, 0, "completed: a completed, b completed");

fn pid(sandbox: &Sandbox, name: &str) -> Pid {
    sandbox.wait_for(name);
    Pid::from_raw(sandbox.read(name).trim().parse().unwrap()).unwrap()
}

#[test]
fn a_killed_node_is_tried_again_and_its_daemon_is_gone() {
    let sandbox = SHAPE.sandbox();
    let child = sandbox.start(&["run", "p"], "node");
    let (node, daemon) = (pid(&sandbox, "node"), pid(&sandbox, "daemon"));
    sandbox.file("calm", "");
    kill_process_group(node, Signal::KILL).unwrap();
    let output = sandbox.finish(child.wait_with_output().unwrap());
    assert_eq!(output.code, 0, "{output:?}");
    assert!(kill_process(daemon, Signal::KILL).is_err(), "the daemon outlived its node");
    aftermath::is_over(&sandbox, &SHAPE, &[]);
    assert_eq!(sandbox.events(&["node.failed"])[0]["signal"], 9);
}

#[test]
fn a_killed_daemon_changes_nothing() {
    let sandbox = SHAPE.sandbox();
    let child = sandbox.start(&["run", "p"], "node");
    let (node, daemon) = (pid(&sandbox, "node"), pid(&sandbox, "daemon"));
    kill_process(daemon, Signal::KILL).unwrap();
    sandbox.file("calm", "");
    kill_process_group(node, Signal::KILL).unwrap();
    assert_eq!(sandbox.finish(child.wait_with_output().unwrap()).code, 0);
    aftermath::is_over(&sandbox, &SHAPE, &[]);
}

#[test]
fn a_runner_and_its_node_that_die_together_leave_a_daemon_that_resume_ends() {
    let sandbox = SHAPE.sandbox();
    let mut child = sandbox.start(&["run", "p"], "node");
    let node = pid(&sandbox, "node");
    sandbox.wait_for("daemon");
    sandbox.signal(&child, Signal::KILL);
    child.wait().unwrap();
    kill_process_group(node, Signal::KILL).unwrap();
    let told = aftermath::told(sandbox.root()).unwrap();
    assert!(!aftermath::left(&sandbox).is_empty());
    sandbox.file("calm", "");
    aftermath::resumes(&sandbox, &SHAPE, &[told]);
}

#[test]
fn a_runner_that_dies_alone_leaves_a_tree_that_resume_ends_before_it_starts_anything() {
    let sandbox = SHAPE.sandbox();
    let mut child = sandbox.start(&["run", "p"], "node");
    sandbox.wait_for("daemon");
    sandbox.signal(&child, Signal::KILL);
    child.wait().unwrap();
    let told = aftermath::told(sandbox.root()).unwrap();
    // The node, its `sleep`, the daemon and its own.
    assert!(aftermath::left(&sandbox).len() >= 2);
    sandbox.file("calm", "");
    aftermath::resumes(&sandbox, &SHAPE, &[told]);
}

#[test]
fn a_resume_that_dies_as_it_cleans_up_is_cleaned_up_after() {
    let sandbox = SHAPE.sandbox();
    let mut told = Vec::new();
    let mut args = ["run", "p"].as_slice();
    for _ in 0..4 {
        let mut child = sandbox.start(args, "node");
        sandbox.wait_for("daemon");
        sandbox.signal(&child, Signal::KILL);
        child.wait().unwrap();
        told.extend(aftermath::told(sandbox.root()));
        for name in ["node", "daemon"] {
            std::fs::remove_file(sandbox.path(name)).unwrap();
        }
        args = &["resume", "@last"];
    }
    sandbox.file("calm", "");
    aftermath::resumes(&sandbox, &SHAPE, &told);
}
