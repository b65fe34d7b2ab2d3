//! File systems that may not be written to, from the start or from some moment on.

use crate::{
    aftermath,
    chance::{points, sweep},
    disk::Mounted,
    shapes::{self, Shape},
    trace::{Call, Whose, numbered, strace, traced},
};

/// A node that ends its runner once.
const KILLED: Shape = Shape::new(
    "killed",
    "
- {id: a, bash: '. ./notes; begin; echo a; end'}
- {id: b, depends_on: [a], bash: '. ./notes; begin a; test -e calm || kill -9 $PPID; end'}",
    0,
    "completed: a completed, b completed",
);

/// What only looks at runs.
const LOOKS: [&str; 9] = [
    "status",
    "status @last --json",
    "events @last",
    "replay @last",
    "verify --all",
    "why @last b",
    "graph @last",
    "logs @last a",
    "export @last --format html",
];

#[test]
fn a_run_on_a_read_only_disk_is_read_and_goes_on_once_it_may_be_written() {
    let Some(mounted) = Mounted::new(&KILLED, 4096) else { return };
    assert_eq!(mounted.sh("$OMNE run p").code, 137);
    let told = aftermath::told(&mounted.volume).unwrap();
    mounted.remount("ro");
    for look in LOOKS {
        let output = mounted.sh(&format!("$OMNE {look}"));
        assert_eq!(output.code, 0, "{look}: {output:?}");
    }
    for args in ["run p", "resume @last"] {
        let refused = mounted.sh(&format!("$OMNE {args}"));
        assert_eq!(refused.code, 8, "{args}: {refused:?}");
        assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
        assert!(refused.stderr.contains("help: "), "{refused:?}");
    }
    mounted.remount("rw");
    mounted.sh("touch calm");
    mounted.resumes(&KILLED, told);
}

#[test]
fn a_disk_that_becomes_read_only_in_a_run_stops_it() {
    if strace().is_none() {
        return;
    }
    // From a call on, everything is refused that writes; only the last words still come out.
    let shape = &shapes::CHAIN;
    let (_, lines) = traced(&shape.sandbox(), Whose::Main, &["-y"], &["run", "p"]);
    let writes = |call: &Call| call.name == "write" && call.line.contains("/.omne/");
    let calls: Vec<Call> = numbered(&lines).into_iter().filter(writes).collect();
    let chosen: Vec<&Call> = points(calls.len(), 8).into_iter().map(|at| &calls[at]).collect();
    sweep("read-only", &chosen, |call| {
        let sandbox = shape.sandbox();
        let write = format!("inject=write:error=EROFS:when={}+", call.nth);
        let others = "inject=mkdir,unlink,ftruncate,rename:error=EROFS:when=3+";
        let (output, _) = traced(&sandbox, Whose::Main, &["-e", &write, "-e", others], &["run", "p"]);
        aftermath::is_civil(output.code, &output.stderr);
        assert_eq!(output.code, 8, "{output:?}");
        aftermath::nobody_is_left(&sandbox);
        match aftermath::told(sandbox.root()) {
            Some(told) => aftermath::resumes(&sandbox, shape, &[told]),
            None => assert_eq!(sandbox.omne(&["verify", "--all"]).code, 0),
        }
    });
}
