//! The binary under `strace`, which can refuse it any system call, or kill it there.

use std::{collections::HashMap, path::PathBuf, process::Command, sync::OnceLock};

use crate::{
    programs::find,
    sandbox::{Output, Sandbox},
};

/// Whose calls are counted and disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of the thread that does everything but what threads of their own do.
    Main,
    /// Those of each thread, and of all that it starts; each is counted for itself.
    Everybody,
}

/// `strace`, where it is there and may be used.
pub(crate) fn strace() -> Option<&'static PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let strace = find("strace")?;
        let works = Command::new(&strace).args(["-o", "/dev/null", "true"]).output();
        works.is_ok_and(|output| output.status.success()).then_some(strace)
    });
    if found.is_none() {
        eprintln!("skipped: processes can not be traced here");
    }
    found.as_ref()
}

/// Runs `omne` so; a call is a line of what is given beside its output. It is ended after a minute, with exit code 124.
pub(crate) fn traced(
    sandbox: &Sandbox,
    whose: Whose,
    options: &[&str],
    args: &[&str],
) -> (Output, Vec<String>) {
    let strace = strace().unwrap();
    let calls = sandbox.path("calls");
    let mut command = sandbox.program("timeout");
    command.args(["-k", "5", "60"]).arg(strace).arg("-qq").arg("-o").arg(&calls);
    if whose == Whose::Everybody {
        command.args(["-f", "--seccomp-bpf"]);
    }
    command.args(options).arg(env!("CARGO_BIN_EXE_omne")).args(args);
    let output = sandbox.finish(command.output().unwrap());
    let lines = String::from_utf8_lossy(&std::fs::read(&calls).unwrap()).lines().map(str::to_owned).collect();
    (output, lines)
}

/// A call of a thread: the how many-th of its kind, which is what `strace` counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) nth: usize,
    /// Its line.
    pub(crate) line: String,
}

/// The calls of a thread, in their order.
pub(crate) fn numbered(lines: &[String]) -> Vec<Call> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let calls = lines.iter().filter_map(|line| Some((line, line.split_once('(')?.0)));
    calls
        .filter(|(_, name)| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .map(|(line, name)| {
            let nth = counts.entry(name.to_owned()).and_modify(|nth| *nth += 1).or_insert(1);
            Call { name: name.to_owned(), nth: *nth, line: line.clone() }
        })
        .collect()
}
