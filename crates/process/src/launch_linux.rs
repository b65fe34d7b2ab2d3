//! Linux: a process by `clone`, with the memory of this one lent to it until it
//! is another program, as `vfork` and `posix_spawn` do it.
//!
//! What the C library's `posix_spawn` makes anew for each process is kept here:
//! the stack that the child stands on for a moment (to unmap one interrupts
//! every other processor), the room for its arguments and environment, and the
//! knowledge which signals have handlers. And `vfork` stops the parent until the
//! child is another program, which is longer than all that the parent has to do
//! for a node: where there is another processor, both can go on.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    ptr::NonNull,
};

use rustix::{
    fs::{OFlags, fcntl_setfl},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{Pid, WaitOptions, setpgid, waitpid},
};

use self::child::{Lent, clone};
use crate::{Spec, capture::Outlet};

#[path = "launch/block.rs"]
mod block;
#[path = "launch/child.rs"]
mod child;

/// Where more processes than that end at once, memory is made anew for those that follow.
const MOST_AT_HOME: usize = 16;

/// How long to wait for a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// It exists. Why it did not become its program is told when its [`Loan`] is given back.
    Process,
    /// It is the program.
    Program,
}

/// A process that was started, and where its standard output and error come out.
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) stdout: Outlet,
    pub(crate) stderr: Outlet,
    /// To be given back once the process is reaped.
    pub(crate) loan: Option<Loan>,
}

/// Memory that a process may still read and write. It stays what it is until [`Launcher::take_back`] gets it, and for
/// ever if that never happens.
pub(crate) struct Loan(NonNull<Lent>);

/// Starts processes.
pub(crate) struct Launcher {
    /// What is not lent at the moment.
    #[expect(clippy::vec_box, reason = "a box is lent as it is")]
    at_home: Vec<Box<Lent>>,
    /// For the process that comes next.
    spare: Option<[Outlet; 2]>,
    /// Whether a process may go on in this one's memory while this one does so, too.
    may_share: bool,
}

fn outlet() -> io::Result<Outlet> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // A new pipe has no other flags that could be lost.
    fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    Ok(Outlet { reader: reader.into(), writer: Some(writer) })
}

/// For standard output and error.
fn outlets() -> io::Result<[Outlet; 2]> {
    Ok([outlet()?, outlet()?])
}

impl Launcher {
    pub(crate) fn new() -> Self {
        let preloaded = env::var_os("LD_PRELOAD");
        let may_share = !preloaded.is_some_and(|libraries| is_of_valgrind(&libraries));
        Self { at_home: Vec::new(), spare: None, may_share }
    }

    /// Does what can be done for the next process before it is known: while others run there is time, and between the end
    /// of one and the start of another there is not.
    pub(crate) fn prepare(&mut self) {
        if self.spare.is_none() {
            // What goes wrong is told when they are needed.
            self.spare = outlets().ok();
        }
    }

    /// Starts the process in a group of its own, with `stdin` as its standard input and pipes for its output. Where a
    /// process can't be left to itself, it is waited for in any case.
    pub(crate) fn launch(&mut self, spec: &Spec, stdin: &File, until: Until) -> io::Result<Launched> {
        let mut lent = self.at_home.pop().unwrap_or_default();
        lent.fill(spec)?;
        // Before there is a process: what can fail must not leave one that nobody knows of.
        let [stdout, stderr] = self.spare.take().map_or_else(outlets, Ok)?;
        let into = |outlet: &Outlet| outlet.writer.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        lent.streams = [stdin.as_raw_fd(), into(&stdout), into(&stderr)];
        let mut until = if self.may_share { until } else { Until::Program };
        let loan = Loan(NonNull::from(Box::leak(lent)));
        let mut pid = clone(loan.0, until);
        if pid == Err(Errno::INVAL) && until == Until::Process {
            // An emulator, or a C library, whose processes are waited for or threads.
            (self.may_share, until) = (false, Until::Program);
            pid = clone(loan.0, until);
        }
        let launched = |pid, loan| Launched { pid, stdout, stderr, loan };
        match (pid, until) {
            (Ok(pid), Until::Process) => {
                // It does so itself, but who knows when, and a signal to its group has to find it there. What is the
                // program by now has done so.
                let _ = setpgid(Some(pid), Some(pid));
                Ok(launched(pid, Some(loan)))
            }
            (Ok(pid), Until::Program) => match self.take_back(loan) {
                None => Ok(launched(pid, None)),
                Some(error) => {
                    // It is dead: nobody else has to know that it lived.
                    while let Err(Errno::INTR) = waitpid(Some(pid), WaitOptions::empty()) {}
                    Err(error)
                }
            },
            (Err(error), _) => {
                self.take_back(loan);
                Err(error.into())
            }
        }
    }

    /// Takes back what a process had that is reaped, or is its program: why it never was, if so.
    #[expect(unsafe_code, reason = "a box that somebody else had a pointer to")]
    pub(crate) fn take_back(&mut self, Loan(lent): Loan) -> Option<io::Error> {
        // SAFETY: it was a box, and whoever else had the pointer is gone.
        let mut lent = unsafe { Box::from_raw(lent.as_ptr()) };
        let error = lent.take_back();
        if self.at_home.len() < MOST_AT_HOME {
            self.at_home.push(lent);
        }
        error
    }
}

/// Whether these libraries were preloaded by valgrind, which ends where it sees a process that shares memory and is not
/// waited for.
fn is_of_valgrind(libraries: &OsStr) -> bool {
    libraries.as_bytes().split(|&byte| matches!(byte, b':' | b' ')).any(|path| {
        let name = path.rsplit(|&byte| byte == b'/').next();
        name.is_some_and(|name| name.starts_with(b"vgpreload_"))
    })
}
