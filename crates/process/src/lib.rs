//! The one door to processes: it spawns them, copies what they print into
//! files, and ends them with all that they started.
//!
//! It knows nothing of nodes, logs or pipes. On Linux it is the subreaper of
//! its descendants and asks the kernel which of them were left behind; the
//! portable form knows process groups and `ps` alone.

mod capture;
mod directory;
mod files;
mod mask;
mod memory;
mod signals;
mod spawn;
mod supervisor;

#[cfg_attr(all(target_os = "linux", not(omne_portable)), path = "arrivals_linux.rs")]
#[cfg_attr(not(all(target_os = "linux", not(omne_portable))), path = "arrivals_portable.rs")]
mod arrivals;

#[cfg_attr(all(target_os = "linux", not(omne_portable)), path = "kin_linux.rs")]
#[cfg_attr(not(all(target_os = "linux", not(omne_portable))), path = "kin_portable.rs")]
mod kin;

#[cfg_attr(all(target_os = "linux", not(omne_portable)), path = "launch_linux.rs")]
#[cfg_attr(not(all(target_os = "linux", not(omne_portable))), path = "launch_portable.rs")]
mod launch;

#[cfg_attr(all(target_os = "linux", not(omne_portable)), path = "sigchld_linux.rs")]
#[cfg_attr(not(all(target_os = "linux", not(omne_portable))), path = "sigchld_portable.rs")]
mod sigchld;

pub use arrivals::Arrivals;
pub use capture::{Captured, Sink};
pub use directory::Directory;
pub use files::{keep_own_rights, open_files_limit, processes_limit, raise_open_files};
pub use kin::end_marked;
pub use mask::{HIDDEN, LONGEST_SECRET, Mask, MaskError, Masker, SHORTEST_SECRET};
pub use memory::give_back_large_memory;
pub use signals::{Interruptible, Signal, Waker, outlive_file_size_limit, without_signals};
pub use spawn::{
    BaseEnvironment, Environment, Mark, Output, Spec, Started, find_program, is_program, run_to_end,
};
pub use supervisor::{End, Ended, Happening, Supervisor, Token};

/// The user that this process belongs to.
pub fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}
