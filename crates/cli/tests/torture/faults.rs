//! Every system call of the runner refused, one in each run.

use std::{collections::BTreeMap, path::Path};

use crate::{
    aftermath,
    chance::{points, sweep},
    sandbox::{Output, Sandbox},
    shapes::{self, Shape},
    trace::{Call, Whose, numbered, strace, traced},
};

/// What a call can be refused with. An interrupted one is made again, and nothing comes of it.
const ERRORS: [(&str, &[&str]); 19] = [
    ("write", &["ENOSPC", "EIO", "EDQUOT", "EROFS", "EINTR"]),
    ("openat", &["EACCES", "EMFILE", "EIO", "EINTR"]),
    ("open", &["EACCES", "EMFILE", "EIO"]),
    ("mkdir", &["ENOSPC", "EACCES", "EROFS"]),
    ("unlink", &["EIO", "EACCES"]),
    ("rename", &["EIO", "ENOSPC"]),
    ("ftruncate", &["EIO", "ENOSPC", "EINTR"]),
    ("close", &["EIO", "EINTR"]),
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("clone", &["EAGAIN", "ENOMEM"]),
    ("vfork", &["EAGAIN", "ENOMEM"]),
    ("pipe2", &["EMFILE", "ENFILE"]),
    ("socketpair", &["EMFILE"]),
    ("fcntl", &["EMFILE"]),
    ("flock", &["ENOLCK"]),
    ("ppoll", &["ENOMEM", "EINTR"]),
    ("poll", &["ENOMEM", "EINTR"]),
    ("read", &["EIO", "EINTR"]),
    ("lseek", &["EIO"]),
];

/// The same for what the thread does that syncs the log.
const SYNC_ERRORS: [(&str, &[&str]); 3] = [
    ("fdatasync", &["EIO", "ENOSPC", "EDQUOT", "EINTR"]),
    ("fsync", &["EIO", "ENOSPC", "EINTR"]),
    ("syncfs", &["EIO", "ENOSPC", "EINTR"]),
];

/// A call to be refused, and how.
#[derive(Debug, Clone)]
struct Fault {
    call: Call,
    error: &'static str,
    whose: Whose,
}

impl Fault {
    fn is_of_log(&self, line: &str) -> bool {
        ["fdatasync", "write"].contains(&&*self.call.name) && line.contains("/events.jsonl>")
    }

    /// Whether the system may do so to the call of that line. The standard library takes it for granted that a
    /// directory's stream can be closed, and that nothing interrupts it as it is opened; so it is.
    fn is_fair(&self, line: &str, sandbox: &Sandbox) -> bool {
        let path =
            line.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0)).unwrap_or_default();
        // Runs of the sandbox before have other names.
        let is_dir = Path::new(path).is_dir()
            || path.starts_with(sandbox.root().to_str().unwrap()) && !path.contains(".jsonl");
        match &*self.call.name {
            // Of a process that is gone by now, too.
            "close" => !is_dir && !path.starts_with("/proc"),
            "openat" => self.error != "EINTR" || !line.contains("O_DIRECTORY"),
            _ => true,
        }
    }
}

/// All faults of a command in a world that `make` makes.
fn faults(shape: &Shape, make: &dyn Fn() -> Sandbox, args: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (whose, errors) in [(Whose::Main, &ERRORS[..]), (Whose::Everybody, &SYNC_ERRORS[..])] {
        let calm = make();
        let mut options = vec!["-y".to_owned()];
        if whose == Whose::Everybody {
            let names: Vec<&str> = errors.iter().map(|(name, _)| *name).collect();
            options.extend(["-e".to_owned(), format!("trace={}", names.join(","))]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (output, lines) = traced(&calm, whose, &options, args);
        assert_eq!(output.code, shape.code, "{output:?}");
        // Lines of several threads begin with whose they are; only one thread syncs.
        let lines: Vec<String> = lines
            .iter()
            .map(|line| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').to_owned())
            .collect();
        let calls = numbered(&lines);
        // What comes before is the loader's.
        let own = calls.iter().position(|call| call.line.contains("/.omne")).unwrap_or(0);
        // What other processes there are is asked of `/proc`, and differs from time to time.
        for call in calls[own..].iter().filter(|call| !call.line.contains("/proc/")) {
            let errors =
                errors.iter().find(|(name, _)| *name == call.name).map_or(&[][..], |(_, errors)| errors);
            let each = errors.iter().map(|error| Fault { call: call.clone(), error, whose });
            faults.extend(each.filter(|fault| fault.is_fair(&fault.call.line, &calm)));
        }
    }
    faults
}

/// The line of the call that was refused, if there was one.
fn inject(sandbox: &Sandbox, fault: &Fault, args: &[&str]) -> (Output, Option<String>) {
    let inject = format!("inject={}:error={}:when={}", fault.call.name, fault.error, fault.call.nth);
    let (output, lines) = traced(sandbox, fault.whose, &["-y", "-e", &inject], args);
    (output, lines.into_iter().find(|line| line.contains("(INJECTED)")))
}

/// Refuses one call of a command and looks at what comes of it. Whether there was such a call.
fn refuse(shape: &Shape, make: &dyn Fn() -> Sandbox, args: &[&str], fault: &Fault) -> bool {
    let sandbox = make();
    let (output, injected) = inject(&sandbox, fault, args);
    if injected.as_deref().is_some_and(|line| !fault.is_fair(line, &sandbox)) {
        // What else runs on this machine changes the numbers of calls: it was another one.
        sandbox.file("damaged-on-purpose", "");
        return false;
    }
    aftermath::is_civil(output.code, &output.stderr);
    assert!([shape.code, 1, 2, 3, 8].contains(&output.code), "{output:?}");
    aftermath::nobody_is_left(&sandbox);
    if fault.error == "EINTR" {
        assert_eq!(output.code, shape.code, "{output:?}");
    } else if injected.as_deref().is_some_and(|line| fault.is_of_log(line)) {
        assert_eq!(output.code, 8, "{output:?}");
    }
    if output.code == 8 {
        assert!(output.stderr.contains("error: ") && output.stderr.contains("\nhelp: "), "{output:?}");
    }
    if output.code != 0 {
        assert!(output.stderr.contains("error: ") || output.stderr.contains("failed"), "{output:?}");
    }
    match aftermath::told(sandbox.root()) {
        Some(told) if output.code == 0 => aftermath::is_over(&sandbox, shape, &[told]),
        Some(told) => aftermath::resumes(&sandbox, shape, &[told]),
        None => {
            // Nothing had begun, so nothing is left; and a new run finds nothing in its way.
            let runs = std::fs::read_dir(sandbox.path(".omne/var/runs")).into_iter().flatten().count();
            assert_eq!(runs, 0, "{output:?}");
            let run = sandbox.omne(&["run", "p"]);
            assert_eq!(run.code, shape.code, "{run:?}");
            aftermath::is_over(&sandbox, shape, &[]);
        }
    }
    injected.is_some()
}

/// Refuses all calls, or so many of them.
fn refuse_each(what: &str, shape: &Shape, make: &dyn Fn() -> Sandbox, args: &[&str], most: usize) {
    if strace().is_none() {
        return;
    }
    let faults = faults(shape, make, args);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let chosen: Vec<&Fault> = points(faults.len(), most).into_iter().map(|at| &faults[at]).collect();
    sweep(what, &chosen, |fault| {
        let injected = refuse(shape, make, args, fault);
        *counts.entry(&fault.call.name).or_default() += usize::from(injected);
    });
    eprintln!("{what}: {} of {} faults, {counts:?}", chosen.len(), faults.len());
}

#[test]
fn any_call_of_a_run_may_be_refused() {
    refuse_each("a run", &shapes::CHAIN, &|| shapes::CHAIN.sandbox(), &["run", "p"], 44);
}

#[test]
fn any_call_of_a_run_with_a_gate_may_be_refused() {
    refuse_each("a gate", &shapes::GATE, &|| shapes::GATE.sandbox(), &["run", "p"], 12);
}

#[test]
fn any_call_of_a_run_with_an_agent_may_be_refused() {
    refuse_each("a loop", &shapes::LOOP, &|| shapes::LOOP.sandbox(), &["run", "p"], 14);
}

#[test]
fn any_call_of_a_durable_run_may_be_refused() {
    let strict = || {
        let sandbox = shapes::CHAIN.sandbox();
        sandbox.file(".omne/omne.toml", "durability = \"strict\"\n");
        sandbox
    };
    refuse_each("a strict run", &shapes::CHAIN, &strict, &["run", "p"], 12);
}

/// A run whose runner died as it wrote the end of `b`.
fn torn() -> Sandbox {
    let sandbox = shapes::CHAIN.sandbox();
    assert_eq!(sandbox.omne(&["run", "p", "-q"]).code, 0);
    let log = aftermath::log(sandbox.root()).unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    let end =
        text.lines().position(|line| line.contains("\"node.completed\",") && line.contains("\"b\"")).unwrap();
    let length: usize = text.lines().take(end).map(|line| line.len() + 1).sum();
    std::fs::write(&log, &text[..length + 40]).unwrap();
    // As it was then.
    std::fs::write(sandbox.path("effects/b"), "start 1\n").unwrap();
    std::fs::remove_file(sandbox.path("effects/c")).unwrap();
    sandbox
}

#[test]
fn any_call_of_a_resume_may_be_refused() {
    refuse_each("a resume", &shapes::CHAIN, &torn, &["resume", "@last"], 24);
}

/// Refuses the last call of a run whose line has all of `parts`.
fn refused(error: &'static str, name: &str, parts: &[&str]) -> Option<(Sandbox, Output)> {
    refused_in(&|| shapes::CHAIN.sandbox(), &["run", "p"], error, name, parts, Which::Last)
}

/// Which of several calls.
enum Which {
    First,
    Last,
    /// The first one after the first call of that name on the same file. How often a pipe is read depends on when its
    /// bytes come, so that reads behind one have no number.
    After(&'static str),
}

/// The same for any command.
fn refused_in(
    make: &dyn Fn() -> Sandbox,
    args: &[&str],
    error: &'static str,
    name: &str,
    parts: &[&str],
    which: Which,
) -> Option<(Sandbox, Output)> {
    strace()?;
    let (_, lines) = traced(&make(), Whose::Main, &["-y"], args);
    let calls = numbered(&lines);
    let is_it = |call: &&Call| call.name == name && parts.iter().all(|part| call.line.contains(part));
    let call = match which {
        Which::First => calls.iter().find(is_it),
        Which::Last => calls.iter().rfind(is_it),
        Which::After(name) => {
            let is_on_it = |call: &&Call| parts.iter().all(|part| call.line.contains(part));
            calls.iter().skip_while(|call| call.name != name || !is_on_it(call)).find(is_it)
        }
    };
    let call = call.unwrap().clone();
    let sandbox = make();
    let (output, injected) = inject(&sandbox, &Fault { call, error, whose: Whose::Main }, args);
    assert!(parts.iter().all(|part| injected.as_ref().unwrap().contains(part)), "{injected:?}");
    Some((sandbox, output))
}

#[test]
fn a_run_whose_first_event_can_not_be_recorded_leaves_nothing() {
    for (error, name, part) in [
        ("ENOSPC", "write", "pipe.started"),
        ("ENOSPC", "mkdir", "/nodes"),
        ("EMFILE", "openat", "/dev/null"),
        ("EAGAIN", "clone3", "CLONE_THREAD"),
    ] {
        let Some((sandbox, output)) = refused(error, name, &[part]) else { return };
        assert_ne!(output.code, 0, "{output:?}");
        let left = std::fs::read_dir(sandbox.path(".omne/var/runs")).into_iter().flatten().count();
        assert_eq!(left, 0, "{name}: {output:?}");
    }
}

#[test]
fn an_interrupted_look_at_what_a_node_gave_is_made_again() {
    let Some((sandbox, output)) = refused("EINTR", "openat", &["b.1.output"]) else { return };
    assert_eq!(output.code, 0, "{output:?}");
    aftermath::is_over(&sandbox, &shapes::CHAIN, &[]);
}

/// The call that makes the pipe of a node's output one that is read without waiting.
const PIPE: (&str, &[&str]) = ("fcntl", &["F_SETFL", "O_NONBLOCK"]);

#[test]
fn a_node_whose_output_could_not_be_read_is_never_started() {
    let make = || shapes::CHAIN.sandbox();
    let (name, parts) = PIPE;
    let refused = refused_in(&make, &["run", "p"], "ENOMEM", name, parts, Which::First);
    let Some((sandbox, output)) = refused else { return };
    assert_eq!(output.code, 1, "{output:?}");
    assert!(!sandbox.path("effects/a").exists());
}

#[test]
fn a_pipe_that_can_not_be_made_beforehand_is_no_failure() {
    let (name, parts) = PIPE;
    let Some((sandbox, output)) = refused("ENOMEM", name, parts) else { return };
    assert_eq!(output.code, 0, "{output:?}");
    aftermath::is_over(&sandbox, &shapes::CHAIN, &[]);
}

#[test]
fn a_log_that_can_not_be_read_is_not_told_to_be_damaged() {
    for (name, which) in [("read", Which::After("lseek")), ("lseek", Which::Last)] {
        let resumed = refused_in(&torn, &["resume", "@last"], "EIO", name, &["/events.jsonl>"], which);
        let Some((sandbox, output)) = resumed else { return };
        assert_eq!(output.code, 8, "{output:?}");
        assert!(!output.stderr.contains("damaged"), "{output:?}");
        aftermath::resumes(&sandbox, &shapes::CHAIN, &[]);
    }
}
