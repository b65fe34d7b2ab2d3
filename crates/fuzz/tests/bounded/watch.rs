//! Sees to it that an execution that does not end, or takes all memory, is told
//! with its input: such a one can not tell itself.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use omne_fuzz::Surface;

/// The longest that one execution may take. A debug build is slow, and machines stop now and then.
const PATIENCE: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(60) } else { Duration::from_secs(10) };
/// The most memory that this process may take in KiB: all tests of it together.
const MOST_MEMORY: u64 = 2 << 20;

/// Watches the executions of one surface.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    /// Where the number and the input of the current execution are.
    file: File,
    path: PathBuf,
    slowest: std::cell::Cell<Duration>,
    /// Dropped with this, which ends the watcher.
    _alive: mpsc::Sender<()>,
}

struct Shared {
    began: Instant,
    /// When the current execution began, in milliseconds after `began`, and one more; 0 when there is none.
    since: AtomicU64,
    number: AtomicU64,
}

impl Watch {
    pub(crate) fn new(surface: &Surface, seed: u64) -> Self {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{seed}.current", surface.name));
        let file = File::create(&path).unwrap();
        let shared =
            Arc::new(Shared { began: Instant::now(), since: AtomicU64::new(0), number: AtomicU64::new(0) });
        let (alive, ended) = mpsc::channel::<()>();
        let (watched, name, kept) = (Arc::clone(&shared), surface.name, path.clone());
        std::thread::spawn(move || {
            while ended.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
                let Some(why) = watched.trouble() else { continue };
                let number = watched.number.load(Ordering::Relaxed);
                println!(
                    "{name}: the input numbered {number} of seed {seed} {why}; it is in {}",
                    kept.display()
                );
                // Nothing else ends an execution that does not end.
                std::process::abort();
            }
        });
        Self { shared, file, path, slowest: std::cell::Cell::default(), _alive: alive }
    }

    /// Before an execution. The input is stored first, for one that overflows the stack ends the process at once.
    pub(crate) fn begin(&self, number: u64, input: &[u8]) {
        self.file.set_len(0).unwrap();
        self.file.write_all_at(input, 0).unwrap();
        self.shared.number.store(number, Ordering::Relaxed);
        self.shared.since.store(self.shared.now() + 1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        let since = self.shared.since.swap(0, Ordering::Relaxed);
        let took = Duration::from_millis((self.shared.now() + 1).saturating_sub(since));
        self.slowest.set(self.slowest.get().max(took));
    }

    pub(crate) fn slowest(&self) -> Duration {
        self.slowest.get()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // What is left behind is of an execution that ended this process.
        if !std::thread::panicking() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn trouble(&self) -> Option<String> {
        let since = self.since.load(Ordering::Relaxed);
        let took = Duration::from_millis(self.now().saturating_sub(since.saturating_sub(1)));
        if since > 0 && took > PATIENCE {
            return Some(format!("takes longer than {PATIENCE:?}"));
        }
        let memory = resident();
        (since > 0 && memory > MOST_MEMORY).then(|| format!("or one beside it takes {memory} KiB of memory"))
    }
}

/// The memory of this process in KiB; 0 where nobody tells.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
