//! Any Unix: whether a file is there is known by looking for it.

use crate::Directory;

/// Which names with a certain ending are in a directory, as far as it is known without looking.
pub struct Arrivals;

impl Arrivals {
    /// What comes from now on, and what is there already.
    pub fn new(_: &Directory, _: &'static str) -> Self {
        Self
    }

    /// Whether a file of that name may be there. If not, no process that has ended by now has made it.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "elsewhere there is something to ask"
    )]
    pub fn may_have(&mut self, _: &str) -> bool {
        true
    }

    /// It was removed.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "elsewhere there is something to forget"
    )]
    pub fn forget(&mut self, _: &str) {}
}
