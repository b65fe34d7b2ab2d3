//! A disk that is full: at the start, by what a node prints, and as the log grows.

use std::{
    io::{BufRead, BufReader, Read as _},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::{
    aftermath,
    programs::find,
    sandbox::{Output, Sandbox},
    shapes::{self, Shape},
};

/// A volume in a file system of its own, which nobody else sees, and which is gone with this.
pub(crate) struct Mounted {
    pub(crate) sandbox: Sandbox,
    /// Its root, by a path that leads there from outside.
    pub(crate) volume: PathBuf,
    holder: Child,
    /// Its end ends the holder.
    _stdin: ChildStdin,
}

impl Mounted {
    /// The volume of a shape on a `tmpfs` of so many KiB; `None`, with the reason printed, where that is not allowed.
    pub(crate) fn new(shape: &Shape, kib: usize) -> Option<Self> {
        let unshare = find("unshare")?;
        find("nsenter")?;
        let sandbox = shape.sandbox();
        let mut command = Command::new(unshare);
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        let script = "mkdir disk && mount -t tmpfs -o size=\"$1\"k,mode=700 omne-torture disk &&
            cp -R .omne notes effects disk && echo mounted && exec cat > /dev/null";
        command.args(["--mount", "sh", "-c", script, "sh", &kib.to_string()]).current_dir(sandbox.root());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.trim() != "mounted" {
            let mut why = String::new();
            holder.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            holder.wait().unwrap();
            eprintln!("skipped: nothing can be mounted here: {}", why.trim());
            return None;
        }
        let stdin = holder.stdin.take().unwrap();
        let root = sandbox.root().strip_prefix("/").unwrap();
        let volume = PathBuf::from(format!("/proc/{}/root", holder.id())).join(root).join("disk");
        Some(Self { sandbox, volume, holder, _stdin: stdin })
    }

    /// Runs a shell command in the volume; `$OMNE` is the binary.
    pub(crate) fn sh(&self, script: &str) -> Output {
        let mut command = self.sandbox.program("nsenter");
        command.arg(format!("--target={}", self.holder.id())).arg("--mount");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["timeout", "-k", "5", "60", "sh", "-c", &format!("cd \"$1\" && {script}"), "sh"]);
        command.arg(self.sandbox.path("disk")).env("OMNE", env!("CARGO_BIN_EXE_omne")).current_dir("/");
        let output = self.sandbox.finish(command.output().unwrap());
        aftermath::is_civil(output.code, &output.stderr);
        output
    }

    /// Makes it read-only, or writable.
    pub(crate) fn remount(&self, mode: &str) {
        let remount = self.sh(&format!("cd / && mount -o remount,{mode} \"$1\""));
        assert_eq!(remount.code, 0, "{remount:?}");
    }

    /// Fills the disk but for so many KiB.
    pub(crate) fn fill(&self, but: usize) {
        self.sh(&format!(
            "head -c {} /dev/zero > spare; cat /dev/zero > ballast 2> /dev/null; rm spare",
            but * 1024
        ));
    }

    /// Makes room, resumes, and looks at everything.
    pub(crate) fn resumes(&self, shape: &Shape, told: aftermath::Told) {
        self.sh("rm -f ballast");
        let resume = self.sh("$OMNE resume @last");
        assert_eq!(resume.code, shape.code, "{resume:?}");
        let verify = self.sh("$OMNE verify --all");
        assert_eq!(verify.code, 0, "{verify:?}");
        aftermath::log_is_over(&self.volume, &[told]);
        aftermath::nobody_is_left(&self.sandbox);
        let status = self.sh("$OMNE status @last --json").json();
        assert_eq!(status["state"], if shape.code == 0 { "completed" } else { "aborted" });
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Nothing of it is seen by anybody else, so nothing has to be unmounted.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What a write that failed is to look like.
fn is_told(output: &Output) {
    assert_eq!(output.code, 8, "{output:?}");
    assert!(output.stderr.contains("No space left on device"), "{output:?}");
    assert!(output.stderr.contains("help: free some disk space"), "{output:?}");
}

#[test]
fn a_run_on_a_full_disk_does_not_begin_and_leaves_nothing() {
    let Some(mounted) = Mounted::new(&shapes::CHAIN, 256) else { return };
    mounted.fill(0);
    is_told(&mounted.sh("$OMNE run p"));
    assert!(aftermath::told(&mounted.volume).is_none());
    mounted.sh("rm ballast");
    let run = mounted.sh("$OMNE run p");
    assert_eq!(run.code, 0, "{run:?}");
    aftermath::log_is_over(&mounted.volume, &[]);
}

#[test]
fn a_disk_that_a_node_fills_stops_the_run_until_there_is_room() {
    let Some(mounted) = Mounted::new(&shapes::FLOOD, 1024) else { return };
    mounted.fill(200);
    let run = mounted.sh("$OMNE run p");
    is_told(&run);
    aftermath::nobody_is_left(&mounted.sandbox);
    let told = aftermath::told(&mounted.volume).unwrap();
    mounted.resumes(&shapes::FLOOD, told);
}

#[test]
fn a_disk_that_is_full_before_the_log_is_stops_the_run_until_there_is_room() {
    // In pages of 4 KiB: the log is one after the other.
    let mut stopped = 0;
    for free in [16, 20, 24, 28, 32, 40, 48, 64] {
        let Some(mounted) = Mounted::new(&shapes::FAN, 512) else { return };
        mounted.fill(free);
        let run = mounted.sh("$OMNE run p");
        aftermath::nobody_is_left(&mounted.sandbox);
        let Some(told) = aftermath::told(&mounted.volume) else { continue };
        if run.code != 0 {
            stopped += 1;
            assert!([1, 8].contains(&run.code), "{run:?}");
            mounted.resumes(&shapes::FAN, told);
        }
    }
    assert!(stopped > 0, "there was always room");
}
