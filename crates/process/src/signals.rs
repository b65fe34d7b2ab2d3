//! Signals and wake-ups, as bytes in one pipe that the supervisor waits on.

use std::{
    io::{self, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{SigId, consts, low_level};

use crate::sigchld::ChildSignal;

/// The signals that this process has handlers for.
pub(crate) const HANDLED: [i32; 5] =
    [consts::SIGCHLD, consts::SIGINT, consts::SIGTERM, consts::SIGUSR1, consts::SIGHUP];

/// A signal to this process that the runner answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A polite request to end.
    Terminate,
    /// Somebody left a message in the run's directory.
    Message,
    /// Settings may have changed. A terminal that is gone says the same, and ends nothing.
    Reload,
}

/// From now on, a write beyond the limit of a file's size (`ulimit -f`) fails, instead of ending this process without a
/// word. What it starts is ended by that as ever.
///
/// # Errors
/// When the operating system refuses.
pub fn outlive_file_size_limit() -> io::Result<()> {
    // A handler, for unlike an ignored signal it does not go on to another program.
    signal_hook::flag::register(consts::SIGXFSZ, Arc::new(AtomicBool::new(false))).map(|_| ())
}

/// While this lives, Ctrl-C ends this process with 130, and SIGTERM with 143: for what waits when no supervisor takes care of
/// signals yet, or none does any more. A message is kept for the supervisor that takes care of them next.
#[derive(Debug)]
pub struct Interruptible {
    ids: [SigId; 3],
    message: Arc<AtomicBool>,
}

impl Interruptible {
    /// From now on.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn new() -> io::Result<Self> {
        let ends_with = |signal, code| {
            let always = Arc::new(AtomicBool::new(true));
            signal_hook::flag::register_conditional_shutdown(signal, code, always)
        };
        let message = Arc::new(AtomicBool::new(false));
        let kept = signal_hook::flag::register(consts::SIGUSR1, Arc::clone(&message))?;
        Ok(Self { ids: [ends_with(consts::SIGINT, 130)?, ends_with(consts::SIGTERM, 143)?, kept], message })
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        for id in self.ids {
            low_level::unregister(id);
        }
        if self.message.load(Ordering::Acquire) {
            // Without a supervisor it is dropped: what took it stays the signal's handler, and does nothing any more.
            let _ = low_level::raise(consts::SIGUSR1);
        }
    }
}

/// Does `work` while no signal reaches this thread. Threads that begin meanwhile never get one: a signal that is answered
/// by a thread which waits for something else would wake two instead of one.
pub fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    let _mask = SignalMask::set(libc::SIG_BLOCK, &all());
    work()
}

/// Does `work` while SIGCHLD reaches this thread: what is started meanwhile gets it, too.
pub(crate) fn with_child_signal<T>(work: impl FnOnce() -> T) -> T {
    let _mask = SignalMask::set(libc::SIG_UNBLOCK, &only(libc::SIGCHLD));
    work()
}

#[expect(unsafe_code, reason = "no safe interface makes a set of signals")]
fn all() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the call initialises the set.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// The set of one signal.
#[expect(unsafe_code, reason = "no safe interface makes a set of signals")]
pub(crate) fn only(signal: libc::c_int) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call initialises the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        set.assume_init()
    }
}

/// While this lives, some signals are kept from the thread that made it, or reach it; then all is as before, also when
/// that thread panics.
pub(crate) struct SignalMask {
    before: libc::sigset_t,
}

impl SignalMask {
    /// Keeps the signals of `set` from this thread or lets them in, as `how` says.
    #[expect(unsafe_code, reason = "no safe interface sets the mask of a thread")]
    pub(crate) fn set(how: libc::c_int, set: &libc::sigset_t) -> Self {
        let mut before = MaybeUninit::uninit();
        // SAFETY: the set is initialised, and the call initialises the other one.
        let before = unsafe {
            libc::pthread_sigmask(how, ptr::from_ref(set), before.as_mut_ptr());
            before.assume_init()
        };
        Self { before }
    }
}

impl Drop for SignalMask {
    #[expect(unsafe_code, reason = "no safe interface sets the mask of a thread")]
    fn drop(&mut self) {
        // SAFETY: the set is initialised, and the old one is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

/// Wakes the supervisor's wait from any thread.
#[derive(Debug)]
pub struct Waker(UnixStream);

impl Waker {
    /// Ends the present or the next wait.
    pub fn wake(&self) {
        // A full pipe wakes just as well.
        let _ = (&self.0).write(&[0]);
    }
}

pub(crate) struct Signals {
    reader: UnixStream,
    writer: UnixStream,
    child: Arc<AtomicBool>,
    child_signal: ChildSignal,
    others: Vec<(Signal, Arc<AtomicBool>)>,
    registered: Vec<SigId>,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let (child, child_signal) = (Arc::default(), ChildSignal::new());
        let mut signals =
            Self { reader, writer, child, child_signal, others: Vec::new(), registered: Vec::new() };
        let child = Arc::clone(&signals.child);
        let [ended, others @ ..] = HANDLED;
        signals.register(ended, child)?;
        for (number, signal) in
            others.into_iter().zip([Signal::Interrupt, Signal::Terminate, Signal::Message, Signal::Reload])
        {
            let flag = Arc::new(AtomicBool::new(false));
            signals.register(number, Arc::clone(&flag))?;
            signals.others.push((signal, flag));
        }
        Ok(signals)
    }

    fn register(&mut self, number: i32, flag: Arc<AtomicBool>) -> io::Result<()> {
        // In this order: whoever reads the byte has to see the flag.
        self.registered.push(signal_hook::flag::register(number, flag)?);
        self.registered.push(low_level::pipe::register(number, self.writer.try_clone()?)?);
        Ok(())
    }

    pub(crate) fn waker(&self) -> io::Result<Waker> {
        Ok(Waker(self.writer.try_clone()?))
    }

    /// What to wait for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.reader.as_fd()).chain(self.child_signal.fd())
    }

    /// Takes in what one of [`Self::fds`] has to say: it is that one that is readable.
    pub(crate) fn take_in(&self, place: usize) {
        if place > 0 {
            if self.child_signal.take() {
                self.child.store(true, Ordering::Relaxed);
            }
            return;
        }
        let mut bytes = [0; 64];
        while matches!((&self.reader).read(&mut bytes), Ok(64)) {}
    }

    pub(crate) fn child_ended(&self) -> bool {
        self.child.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> impl Iterator<Item = Signal> {
        self.others.iter().filter(|(_, flag)| flag.swap(false, Ordering::Relaxed)).map(|(signal, _)| *signal)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            low_level::unregister(id);
        }
    }
}
