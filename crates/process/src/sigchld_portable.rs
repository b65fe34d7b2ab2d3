//! Any Unix: that a child has ended, the handler of its signal tells.

use std::os::fd::BorrowedFd;

/// What there is besides the handler: nothing.
pub(crate) struct ChildSignal;

impl ChildSignal {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Readable when a child has ended.
    #[expect(clippy::unused_self, reason = "elsewhere there is something to wait for")]
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Takes the signal, if it was sent.
    #[expect(clippy::unused_self, reason = "elsewhere there is something to read")]
    pub(crate) fn take(&self) -> bool {
        false
    }
}
