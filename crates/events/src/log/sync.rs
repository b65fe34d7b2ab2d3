//! Group commit: one thread syncs the log for all events written meanwhile, so
//! that the runner never waits for the disk unless it wants to.

use std::{
    fs::File,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::Syncer;

/// How soon an event survives a power cut. The death of the runner it survives at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Within 50 ms, and waited for where waiting is cheap.
    #[default]
    Auto,
    /// The end of every node is waited for, after a sync of the workspace's file system.
    Strict,
    /// When the operating system likes.
    None,
}

/// From the first event that is not on disk to the sync that puts it there; the rest of the 50 ms is the sync's own.
const WINDOW: Duration = Duration::from_millis(40);

#[derive(Debug, Default)]
struct State {
    written: u64,
    synced: u64,
    /// Somebody waits for this one: sync without further delay.
    wanted: u64,
    dirty_since: Option<Instant>,
    failed: Option<io::ErrorKind>,
    failure: Option<io::Error>,
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is synced, and in what order.
pub(super) struct Targets {
    pub(super) log: File,
    /// Directories whose entries lead to the log: synced once.
    pub(super) directories: Vec<File>,
    /// A file of the workspace's file system, synced first in strict mode.
    pub(super) workspace: Option<File>,
}

/// The sync thread of one log.
#[derive(Debug)]
pub(super) struct SyncHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl SyncHandle {
    /// Starts the thread; it calls `wake` whenever more has become durable, or syncing failed.
    pub(super) fn start(mut targets: Targets, wake: Box<dyn Fn() + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("omne-sync".into())
            .stack_size(64 * 1024)
            .spawn(move || run(&theirs, &mut targets, &*wake))?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Syncer for SyncHandle {
    fn wrote(&self, seq: u64) {
        let mut state = self.shared.lock();
        state.written = seq;
        if state.dirty_since.is_none() {
            state.dirty_since = Some(Instant::now());
            self.shared.changed.notify_all();
        }
    }

    fn want(&self, seq: u64) {
        let mut state = self.shared.lock();
        if seq > state.wanted {
            state.wanted = seq;
            self.shared.changed.notify_all();
        }
    }

    fn synced(&self) -> io::Result<u64> {
        let mut state = self.shared.lock();
        take_failure(&mut state)?;
        Ok(state.synced)
    }

    fn wait(&self, seq: u64) -> io::Result<()> {
        self.want(seq);
        let mut state = self.shared.lock();
        while state.synced < seq {
            take_failure(&mut state)?;
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

fn take_failure(state: &mut State) -> Result<(), io::Error> {
    match state.failed {
        Some(kind) => Err(state.failure.take().unwrap_or_else(|| kind.into())),
        None => Ok(()),
    }
}

impl Drop for SyncHandle {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, targets: &mut Targets, wake: &dyn Fn()) {
    let mut state = shared.lock();
    loop {
        let due = state.dirty_since.map(|since| since + WINDOW);
        let urgent = state.wanted > state.synced || state.stop;
        state = match due {
            Some(due) if !urgent && Instant::now() < due => {
                let wait = due.saturating_duration_since(Instant::now());
                shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
            }
            Some(_) => {
                let upto = state.written;
                state.dirty_since = None;
                drop(state);
                let result = sync(targets);
                let mut state = shared.lock();
                match result {
                    Ok(()) => state.synced = upto,
                    Err(error) => {
                        state.failed = Some(error.kind());
                        state.failure = Some(error);
                    }
                }
                shared.changed.notify_all();
                let over = state.failed.is_some();
                drop(state);
                wake();
                if over {
                    return;
                }
                shared.lock()
            }
            None if state.stop => return,
            None => shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

fn sync(targets: &mut Targets) -> io::Result<()> {
    if let Some(workspace) = &targets.workspace {
        sync_file_system(workspace)?;
    }
    targets.log.sync_data()?;
    for directory in targets.directories.drain(..) {
        directory.sync_all()?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::syncfs(file))?)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as on Linux, where it can fail")]
fn sync_file_system(_: &File) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}
