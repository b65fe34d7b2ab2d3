//! Any Unix: that a child has ended, the handler of its signal tells.

use std::{io, os::fd::BorrowedFd};

/// What there is besides the handler: nothing.
pub(crate) struct ChildSignal;

impl ChildSignal {
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Readable when a child has ended.
    #[expect(clippy::unused_self, reason = "elsewhere there is something to wait for")]
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Takes the signal, if it was sent.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "elsewhere there is something to read"
    )]
    pub(crate) fn take(&mut self) -> bool {
        false
    }
}
