//! How many files may be open at once. A runner needs several for each node, so
//! it takes all that it may have; what it starts gets the limit that it was
//! itself started with, for programs that use `select` break with more.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits before they were raised, and since then; empty where there was nothing to raise.
static RAISED: OnceLock<(Rlimit, Rlimit)> = OnceLock::new();

/// Raises this process's soft limit of open files to the hard one. Processes that are started from here on get the one
/// from before.
pub fn raise_open_files() {
    let before = getrlimit(Resource::Nofile);
    let since = Rlimit { current: before.maximum, ..before };
    if before.current != before.maximum
        && RAISED.get().is_none()
        && setrlimit(Resource::Nofile, since).is_ok()
    {
        // Whoever was first has raised it to the same.
        let _ = RAISED.set((before, since));
    }
}

/// The most files that this process may have open at once; `None` when there is no limit.
pub fn open_files_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The most processes that this user may have at once; `None` when there is no such limit.
pub fn processes_limit() -> Option<u64> {
    getrlimit(Resource::Nproc).current
}

/// The limit that children are to have, if it is not this process's.
#[cfg(all(target_os = "linux", not(omne_portable)))]
pub(crate) fn limit_before() -> Option<Rlimit> {
    RAISED.get().map(|(before, _)| *before)
}

/// Calls `spawn` under the limit that children are to have. Files that are open stay open meanwhile, but none can be
/// opened beyond it.
pub(crate) fn as_before<T>(spawn: impl FnOnce() -> T) -> T {
    let Some((before, since)) = RAISED.get() else { return spawn() };
    // A limit can always be lowered, and raised to what it was allowed to be.
    let _ = setrlimit(Resource::Nofile, *before);
    let spawned = spawn();
    let _ = setrlimit(Resource::Nofile, *since);
    spawned
}

/// Takes from the umask what would keep this process out of its own files; what it starts gets the same.
pub fn keep_own_rights() {
    use rustix::fs::Mode;
    // Reading it is setting it.
    let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(umask - Mode::RWXU);
}
