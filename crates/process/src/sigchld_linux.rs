//! Linux: the end of a child is something to read. A handler for it would run
//! once for each child, interrupt a wait and write to a pipe to end the next.

use std::{
    fs::File,
    io::{self, Read},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

/// While this lives, SIGCHLD does not reach the thread that made it, which reads it instead. Another thread that lets it
/// in may get it first: a handler has to be there as well.
pub(crate) struct ChildSignal {
    /// Where the kernel gives none, the handler is all there is.
    queue: Option<(File, libc::sigset_t)>,
}

impl ChildSignal {
    #[expect(unsafe_code, reason = "no safe interface makes a signal readable")]
    pub(crate) fn new() -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the sets are initialised before they are read, and the descriptor is new and nobody else's.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
            let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Ok(Self { queue: None });
            }
            let queue = OwnedFd::from_raw_fd(fd).into();
            match libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr()) {
                0 => Ok(Self { queue: Some((queue, before.assume_init())) }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Readable when a child has ended.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.queue.as_ref().map(|(queue, _)| queue.as_fd())
    }

    /// Takes the signal, if it was sent.
    pub(crate) fn take(&mut self) -> bool {
        let mut information = [0; size_of::<libc::signalfd_siginfo>()];
        self.queue.as_mut().is_some_and(|(queue, _)| matches!(queue.read(&mut information), Ok(1..)))
    }
}

impl Drop for ChildSignal {
    #[expect(unsafe_code, reason = "no safe interface sets the mask of a thread")]
    fn drop(&mut self) {
        if let Some((_, before)) = &self.queue {
            // SAFETY: the set is initialised, and the old one is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::from_ref(before), ptr::null_mut()) };
        }
    }
}
