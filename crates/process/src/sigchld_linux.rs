//! Linux: the end of a child is something to read. A handler for it would run
//! once for each child, interrupt a wait and write to a pipe to end the next.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

use crate::signals::{SignalMask, only};

/// While this lives, SIGCHLD does not reach the thread that made it, which reads it instead. Another thread that lets it
/// in may get it first: a handler has to be there as well.
pub(crate) struct ChildSignal {
    /// Where the kernel gives none, the handler is all there is.
    queue: Option<(File, SignalMask)>,
}

impl ChildSignal {
    #[expect(unsafe_code, reason = "no safe interface makes a signal readable")]
    pub(crate) fn new() -> Self {
        let set = only(libc::SIGCHLD);
        // SAFETY: the set is initialised; the descriptor is new and nobody else's.
        let queue = unsafe {
            let fd = libc::signalfd(-1, ptr::from_ref(&set), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
        };
        Self { queue: queue.map(|queue| (queue.into(), SignalMask::set(libc::SIG_BLOCK, &set))) }
    }

    /// Readable when a child has ended.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.queue.as_ref().map(|(queue, _)| queue.as_fd())
    }

    /// Takes the signal, if it was sent.
    pub(crate) fn take(&self) -> bool {
        let mut information = [0; size_of::<libc::signalfd_siginfo>()];
        self.queue.as_ref().is_some_and(|(queue, _)| matches!((&*queue).read(&mut information), Ok(1..)))
    }
}
