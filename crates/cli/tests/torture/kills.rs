//! SIGKILL of the runner, again and again, until a run has ended.

use std::process::Stdio;

use rustix::process::Signal;

use crate::{
    aftermath::{self, Told},
    chance::{Chance, points, rounds, sweep},
    sandbox::Sandbox,
    shapes::{self, Shape},
    trace::{Call, Whose, numbered, strace, traced},
};

/// Kills the runner as it makes this call; whether it came so far.
fn kill_at(sandbox: &Sandbox, call: &str, nth: usize, args: &[&str]) -> bool {
    let kill = format!("inject={call}:signal=KILL:when={nth}");
    let (output, _) = traced(sandbox, Whose::Main, &["-e", &kill], args);
    aftermath::is_civil(output.code, &output.stderr);
    if let Some(id) = output.stdout.lines().next().and_then(|line| line.strip_prefix("run_id=")) {
        assert!(aftermath::told(sandbox.root()).is_some(), "{id} was promised, and is not in a log");
    }
    // The tracer ends by the signal that ended the runner; a run that was over has an exit code.
    output.code == -1
}

/// Runs a shape, kills it at the call `at`, and resumes at some others. How many kills that were.
fn dies_at(shape: &Shape, at: &Call, chance: &mut Chance) -> usize {
    let sandbox = shape.sandbox();
    let mut told: Vec<Told> = Vec::new();
    if !kill_at(&sandbox, &at.name, at.nth, &["run", "p"]) {
        // It came to its end before.
        aftermath::is_over(&sandbox, shape, &told);
        return 0;
    }
    let mut kills = 1;
    let Some(first) = aftermath::told(sandbox.root()) else {
        // Nothing had begun, what is left of that is told from damage, and nothing is in the way of a new run.
        aftermath::nobody_is_left(&sandbox);
        let verify = sandbox.omne(&["verify", "--all"]);
        assert_eq!(verify.code, 0, "{verify:?}");
        let resume = sandbox.omne(&["resume", "@last"]);
        assert!(resume.code == 3 && resume.stderr.contains("help: "), "{resume:?}");
        let _ = std::fs::remove_dir_all(sandbox.path(".omne/var/runs"));
        let run = sandbox.omne(&["run", "p"]);
        assert_eq!(run.code, shape.code, "{run:?}");
        aftermath::is_over(&sandbox, shape, &told);
        return kills;
    };
    told.push(first);
    for _ in 0..chance.below(3) {
        let call = ["write", "write", "close", "openat", "ppoll", "read"][chance.below(6)];
        if !kill_at(&sandbox, call, 2 + chance.below(14), &["resume", "@last"]) {
            break;
        }
        kills += 1;
        told.extend(aftermath::told(sandbox.root()));
    }
    aftermath::resumes(&sandbox, shape, &told);
    kills
}

fn dies_everywhere(shape: &Shape, most: usize) {
    if strace().is_none() {
        return;
    }
    let calm = shape.sandbox();
    let (output, calls) = traced(&calm, Whose::Main, &[], &["run", "p"]);
    assert_eq!(output.code, shape.code, "{output:?}");
    aftermath::is_over(&calm, shape, &[]);
    // Before it makes anything there is nothing to lose.
    let calls = numbered(&calls);
    let from = calls.iter().position(|call| call.name == "mkdir").unwrap();
    let mut chance = Chance::new(shape.name.len() as u64);
    let chosen: Vec<&Call> =
        points(calls.len() - from, most).into_iter().map(|at| &calls[from + at]).collect();
    let mut kills = 0;
    sweep(shape.name, &chosen, |at| kills += dies_at(shape, at, &mut chance));
    eprintln!("{}: {kills} kills, first at {} of {} calls", shape.name, chosen.len(), calls.len() - from);
}

#[test]
fn a_chain_survives_its_runner_at_any_call() {
    dies_everywhere(&shapes::CHAIN, 12);
}

#[test]
fn a_fan_survives_its_runner_at_any_call() {
    dies_everywhere(&shapes::FAN, 6);
}

#[test]
fn retries_survive_their_runner_at_any_call() {
    dies_everywhere(&shapes::RETRY, 8);
}

#[test]
fn gates_survive_their_runner_at_any_call() {
    dies_everywhere(&shapes::GATE, 6);
}

#[test]
fn loops_survive_their_runner_at_any_call() {
    dies_everywhere(&shapes::LOOP, 8);
}

#[test]
fn floods_survive_their_runner_at_any_call() {
    dies_everywhere(&shapes::FLOOD, 6);
}

/// Starts a command and kills it once the log has grown by so many bytes, or it has ended.
fn kill_when_grown(sandbox: &Sandbox, args: &[&str], bytes: u64) -> bool {
    let length = || {
        let log = aftermath::log(sandbox.root());
        log.and_then(|log| Some(std::fs::metadata(log).ok()?.len())).unwrap_or(0)
    };
    let before = length();
    let mut child = sandbox.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while length() < before + bytes {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
    sandbox.signal(&child, Signal::KILL);
    child.wait().unwrap().code().is_none()
}

#[test]
fn a_run_that_is_killed_again_and_again_comes_to_its_end() {
    let mut chance = Chance::new(7);
    let mut kills = 0;
    for shape in shapes::ALL {
        for round in 0..rounds(1, 40) {
            let sandbox = shape.sandbox();
            let mut told = Vec::new();
            let mut args = ["run", "p"].as_slice();
            // Each time it comes some way, so it ends.
            while kill_when_grown(&sandbox, args, 900 + chance.below(3000) as u64) {
                kills += 1;
                told.extend(aftermath::told(sandbox.root()));
                args = &["resume", "@last"];
            }
            if shape.code == 0 && sandbox.states().starts_with("completed") {
                aftermath::is_over(&sandbox, &shape, &told);
            } else {
                aftermath::resumes(&sandbox, &shape, &told);
            }
            assert!(told.len() < 100, "{} in round {round} makes no way", shape.name);
        }
    }
    eprintln!("{kills} kills by the length of the log");
}
