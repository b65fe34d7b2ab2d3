//! Any Unix: a process by the standard library.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    process::Stdio,
};

use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::Pid,
};

use crate::{Spec, capture::Outlet, files::as_before, spawn::command};

/// How long to wait for a process: always until it is its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Less would do.
    Process,
    /// It is the program.
    Program,
}

/// A process that was started, and where its standard output and error come out.
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) stdout: Outlet,
    pub(crate) stderr: Outlet,
    /// Nothing is ever lent.
    pub(crate) loan: Option<Loan>,
}

/// What a process has of this one: it can't be.
pub(crate) enum Loan {}

/// Starts processes.
pub(crate) struct Launcher;

impl Launcher {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Does what can be done for the next process before it is known: nothing.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "elsewhere there is something to keep"
    )]
    pub(crate) fn prepare(&mut self) {}

    /// Starts the process in a group of its own, with `stdin` as its standard input and pipes for its output.
    #[expect(clippy::unused_self, reason = "elsewhere there is something to keep")]
    pub(crate) fn launch(&mut self, spec: &Spec, stdin: &File, _: Until) -> io::Result<Launched> {
        // They are made beforehand, because the limit of open files is lower while the child is.
        let (stdout, out) = io::pipe()?;
        let (stderr, err) = io::pipe()?;
        // A new pipe has no other flags that could be lost.
        fcntl_setfl(&stdout, OFlags::NONBLOCK)?;
        fcntl_setfl(&stderr, OFlags::NONBLOCK)?;
        let mut command = command(&spec.program);
        command
            .args(&spec.args)
            .current_dir(&spec.cwd)
            .env_clear()
            .stdin(Stdio::from(stdin.try_clone()?))
            .stdout(out)
            .stderr(err)
            .process_group(0);
        for entry in &spec.environment.base.entries {
            let mut parts = entry.as_bytes().splitn(2, |&b| b == b'=');
            let mut part = || OsStr::from_bytes(parts.next().unwrap_or_default());
            command.env(part(), part());
        }
        for (name, value) in &spec.environment.own {
            command.env(name, value);
        }
        let child = as_before(|| command.spawn())?;
        let missing = || io::Error::other("the child has no process id");
        Ok(Launched {
            pid: Pid::from_raw(child.id().cast_signed()).ok_or_else(missing)?,
            stdout: Outlet { reader: File::from(OwnedFd::from(stdout)), writer: None },
            stderr: Outlet { reader: File::from(OwnedFd::from(stderr)), writer: None },
            loan: None,
        })
    }

    /// Takes back what a process had that is reaped.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "elsewhere there is something to keep"
    )]
    pub(crate) fn take_back(&mut self, loan: Loan) -> Option<io::Error> {
        match loan {}
    }
}
