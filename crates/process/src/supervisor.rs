//! One wait for everything that can happen to this process's children, and the
//! one place that ends a process tree.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    process::ExitStatus,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, WaitOptions, kill_process_group},
};

use crate::{
    Captured, Mark, Signal, Spec, Waker,
    capture::{Budget, Capture, Pumped},
    kin::Kin,
    launch::{Launched, Launcher, Loan, Until},
    signals::Signals,
};

/// From SIGINT to SIGTERM.
const PATIENCE: Duration = Duration::from_secs(5);
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// From SIGKILL until a process that does not even die of that (it hangs in the kernel) is given up.
const GIVE_UP: Duration = Duration::from_secs(10);
const BUFFER: usize = 64 * 1024;

/// Tells the children of one supervisor apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

/// How to end a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGINT to its process group; five seconds later, or once its own process is gone, as [`End::Gently`].
    Interrupt,
    /// SIGTERM, and SIGKILL five seconds later.
    Gently,
    /// SIGKILL.
    AtOnce,
}

/// A child that ended, with its whole tree.
#[derive(Debug)]
pub struct Ended {
    /// Which one.
    pub token: Token,
    /// How its own process ended.
    pub status: ExitStatus,
    /// What it printed to standard output.
    pub stdout: Captured,
    /// What it printed to standard error.
    pub stderr: Captured,
    /// It was ended because it printed more than its limit.
    pub over_limit: bool,
    /// Why it never became its program, if so: of those from [`Supervisor::spawn_unawaited`].
    pub start_error: Option<io::Error>,
    /// Why its output could not be kept, if so.
    pub capture_error: Option<io::Error>,
}

/// What a wait gives.
#[derive(Debug)]
pub enum Happening {
    /// A child whose output is relayed has printed this.
    Output(Token, Vec<u8>),
    /// A child and all that it started is gone.
    Ended(Box<Ended>),
    /// This process got a signal.
    Signal(Signal),
}

struct Child {
    pid: Pid,
    mark: Mark,
    stdout: Capture,
    stderr: Capture,
    over_limit: bool,
    /// What it may still use of this process's memory.
    loan: Option<Loan>,
    start_error: Option<io::Error>,
    capture_error: Option<io::Error>,
    status: Option<ExitStatus>,
    ending: Option<Ending>,
}

struct Ending {
    /// Until then it may end by itself after SIGINT.
    terminate_at: Option<Instant>,
    kill_at: Instant,
    give_up_at: Instant,
    killed: bool,
}

/// Reaping is the business of one supervisor a process, so there is only one at a time.
static ONLY: Mutex<()> = Mutex::new(());

/// Spawns children, copies their output, reaps them and ends their trees.
pub struct Supervisor {
    children: BTreeMap<Token, Box<Child>>,
    by_pid: FxHashMap<Pid, Token>,
    /// Those that were given out since the last wait. To close their pipes takes time, which there is when others run.
    #[expect(clippy::vec_box, reason = "a box is kept as it is")]
    gone: Vec<Box<Child>>,
    kin: Kin,
    /// The kernel has said that this process has no child, and none was started since.
    childless: bool,
    launcher: Launcher,
    signals: Signals,
    null: File,
    buffer: Box<[u8]>,
    next: u64,
    _only: MutexGuard<'static, ()>,
}

impl Supervisor {
    /// Takes over this process's signals and children. Waits while another supervisor of this process lives.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn new() -> io::Result<Self> {
        let only = ONLY.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            children: BTreeMap::new(),
            by_pid: FxHashMap::default(),
            gone: Vec::new(),
            kin: Kin::new()?,
            childless: false,
            launcher: Launcher::new(),
            signals: Signals::new()?,
            null: File::open("/dev/null")?,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            next: 0,
            _only: only,
        })
    }

    /// Something that ends a wait from another thread.
    ///
    /// # Errors
    /// When there are no file descriptors left.
    pub fn waker(&self) -> io::Result<Waker> {
        self.signals.waker()
    }

    /// Starts a process; its token and its process id, which is its process group, too.
    ///
    /// # Errors
    /// When it can't be started; then nothing is left of it.
    pub fn spawn(&mut self, spec: Spec) -> io::Result<(Token, u32)> {
        self.launch(spec, Until::Program)
    }

    /// The same without waiting until it is its program, which takes longer than all the rest: [`Ended::start_error`]
    /// tells whether it ever was.
    ///
    /// # Errors
    /// When there can't be such a process; then nothing is left of it.
    pub fn spawn_unawaited(&mut self, spec: Spec) -> io::Result<(Token, u32)> {
        self.launch(spec, Until::Process)
    }

    fn launch(&mut self, spec: Spec, until: Until) -> io::Result<(Token, u32)> {
        let stdin = spec.stdin.as_ref().unwrap_or(&self.null);
        let Launched { pid, stdout, stderr, loan } = self.launcher.launch(&spec, stdin, until)?;
        self.childless = false;
        let token = Token(self.next);
        self.next += 1;
        let budget = Budget::new(spec.output_limit);
        self.by_pid.insert(pid, token);
        self.children.insert(
            token,
            Box::new(Child {
                pid,
                mark: spec.mark,
                stdout: Capture::new(stdout, spec.stdout, spec.mask.as_ref(), budget.clone()),
                stderr: Capture::new(stderr, spec.stderr, spec.mask.as_ref(), budget),
                over_limit: false,
                loan,
                start_error: None,
                capture_error: None,
                status: None,
                ending: None,
            }),
        );
        Ok((token, pid.as_raw_nonzero().get().cast_unsigned()))
    }

    /// Ends a child with its whole tree. That it is gone, [`Self::wait`] tells.
    pub fn end(&mut self, token: Token, how: End) {
        let Some(child) = self.children.get_mut(&token) else { return };
        let now = Instant::now();
        let (terminate_at, kill_at) = match how {
            End::Interrupt => (Some(now + PATIENCE), now + PATIENCE + GRACE),
            End::Gently => (None, now + GRACE),
            End::AtOnce => (None, now),
        };
        let signal = match &mut child.ending {
            Some(ending) => {
                let sooner = ending.terminate_at.is_some() && terminate_at.is_none();
                if sooner {
                    ending.terminate_at = None;
                }
                ending.kill_at = ending.kill_at.min(kill_at);
                (sooner && how == End::Gently).then_some(rustix::process::Signal::TERM)
            }
            None => {
                let give_up_at = kill_at + GIVE_UP;
                child.ending = Some(Ending { terminate_at, kill_at, give_up_at, killed: false });
                match how {
                    End::Interrupt => {
                        // Its own children are its own business as long as it lives.
                        let _ = kill_process_group(child.pid, rustix::process::Signal::INT);
                        None
                    }
                    End::Gently => Some(rustix::process::Signal::TERM),
                    End::AtOnce => None,
                }
            }
        };
        if let Some(signal) = signal {
            self.signal_tree(token, signal);
        }
        self.enforce(token, now);
    }

    /// Whether a child's own process is gone, though something that it started may not be.
    pub fn has_exited(&self, token: Token) -> bool {
        self.children.get(&token).is_none_or(|child| child.status.is_some())
    }

    /// Waits until something happens, a [`Waker`] wakes, or `timeout` is over. `happenings` gets what happened.
    ///
    /// # Errors
    /// When the operating system refuses to wait.
    pub fn wait(&mut self, timeout: Option<Duration>, happenings: &mut Vec<Happening>) -> io::Result<()> {
        let now = Instant::now();
        let due = self.children.values().filter_map(|child| child.ending.as_ref()).map(Ending::due).min();
        let timeout = match (timeout, due.map(|due| due.saturating_duration_since(now))) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.gone.clear();
        self.launcher.prepare();
        let mut readable = self.poll(timeout)?;
        happenings.extend(self.signals.received().map(Happening::Signal));
        let is_back = |child: &Child| child.stdout.is_back() || child.stderr.is_back();
        let back = readable.len();
        readable.extend(self.children.iter().filter(|(_, child)| is_back(child)).map(|(token, _)| *token));
        let any_back = readable.len() > back;
        for token in readable {
            self.pump(token, happenings);
        }
        let mut unsettled = Vec::new();
        let ended = self.signals.child_ended();
        if ended {
            self.reap();
        }
        if ended || any_back {
            unsettled
                .extend(self.children.iter().filter(|(_, child)| child.status.is_some()).map(|(t, _)| *t));
        }
        let now = Instant::now();
        let ending: Vec<Token> =
            self.children.iter().filter(|(_, child)| child.ending.is_some()).map(|(t, _)| *t).collect();
        for token in ending {
            self.enforce(token, now);
            if !unsettled.contains(&token) {
                unsettled.push(token);
            }
        }
        for token in unsettled {
            let ended = self.settle(token, now, happenings);
            happenings.extend(ended.map(|ended| Happening::Ended(Box::new(ended))));
        }
        Ok(())
    }

    /// The children with output to be read. Signals are taken in.
    fn poll(&self, timeout: Option<Duration>) -> io::Result<Vec<Token>> {
        let timeout =
            timeout.map(|t| Timespec::try_from(t).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }));
        let mut fds: Vec<PollFd<'_>> =
            self.signals.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let signals = fds.len();
        let mut owners = Vec::new();
        for (token, child) in &self.children {
            for fd in [child.stdout.fd(), child.stderr.fd()].into_iter().flatten() {
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                owners.push(*token);
            }
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let mut readable: Vec<Token> = fds[signals..]
            .iter()
            .zip(owners)
            .filter(|(fd, _)| is_ready(fd))
            .map(|(_, owner)| owner)
            .collect();
        readable.dedup();
        (0..signals).filter(|place| is_ready(&fds[*place])).for_each(|place| self.signals.take_in(place));
        Ok(readable)
    }

    fn pump(&mut self, token: Token, happenings: &mut Vec<Happening>) {
        let Some(child) = self.children.get_mut(&token) else { return };
        let mut full = false;
        let mut relayed = Vec::new();
        for stream in [&mut child.stdout, &mut child.stderr] {
            match stream.pump(&mut self.buffer, &mut relayed, || self.signals.waker()) {
                Ok(Pumped::More | Pumped::Dry | Pumped::Closed) => {}
                Ok(Pumped::Full) => full = true,
                Err(error) => {
                    stream.close();
                    child.capture_error.get_or_insert(error);
                }
            }
        }
        if !relayed.is_empty() {
            happenings.push(Happening::Output(token, relayed));
        }
        if full || child.capture_error.is_some() {
            child.over_limit |= full;
            child.stdout.close();
            child.stderr.close();
            self.end(token, End::Gently);
        }
    }

    /// Takes the status of every child that ended, of adopted ones, too.
    fn reap(&mut self) {
        loop {
            let (pid, status) = match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(ended)) => ended,
                Ok(None) => return,
                Err(error) => {
                    self.childless = error == rustix::io::Errno::CHILD;
                    return;
                }
            };
            let status: ExitStatus = std::os::unix::process::ExitStatusExt::from_raw(status.as_raw());
            match self.by_pid.remove(&pid).and_then(|token| self.children.get_mut(&token)) {
                Some(child) => {
                    child.status = Some(status);
                    child.start_error = child.loan.take().and_then(|loan| self.launcher.take_back(loan));
                }
                None => self.kin.forget(pid),
            }
        }
    }

    /// Kills what has had its time.
    fn enforce(&mut self, token: Token, now: Instant) {
        let Some(ending) = self.children.get_mut(&token).and_then(|child| child.ending.as_mut()) else {
            return;
        };
        if ending.terminate_at.is_some_and(|at| now >= at) {
            ending.terminate_at = None;
            self.signal_tree(token, rustix::process::Signal::TERM);
        } else if now >= ending.kill_at {
            // Again and again until nothing is left: a process may have been made since the last time.
            ending.killed = true;
            self.signal_tree(token, rustix::process::Signal::KILL);
        }
    }

    /// Gives the child out once its own process is reaped and nothing that it started is left.
    fn settle(&mut self, token: Token, now: Instant, happenings: &mut Vec<Happening>) -> Option<Ended> {
        let child = self.children.get(&token)?;
        child.status?;
        let given_up = child.ending.as_ref().is_some_and(|ending| now >= ending.give_up_at);
        let group = child.pid;
        let alone = |ending: &Ending| ending.terminate_at.is_some();
        if !Kin::KNOWS_STRAYS && child.ending.as_ref().is_some_and(alone) {
            // It ended by itself after SIGINT; whoever it left is found by its mark.
            self.end(token, End::Gently);
        }
        self.look_for_strays(token);
        if self.kin.any_of(token, group) && !given_up {
            if self.children.get(&token).is_some_and(|child| child.ending.as_ref().is_none_or(alone)) {
                self.end(token, End::Gently);
            }
            return None;
        }
        if !self.pump_rest(token, happenings) {
            return None;
        }
        let mut child = self.children.remove(&token)?;
        self.kin.ended(token);
        let ended = Ended {
            token,
            status: child.status?,
            stdout: child.stdout.finish(),
            stderr: child.stderr.finish(),
            over_limit: child.over_limit,
            start_error: child.start_error.take(),
            capture_error: child.capture_error.take(),
        };
        self.gone.push(child);
        Some(ended)
    }

    /// Copies what is still in the pipes; nobody is left who could write more. Whether all of it is copied: a thread that
    /// does so wakes this one.
    fn pump_rest(&mut self, token: Token, happenings: &mut Vec<Happening>) -> bool {
        let Some(child) = self.children.get_mut(&token) else { return true };
        let mut relayed = Vec::new();
        let mut all = true;
        for stream in [&mut child.stdout, &mut child.stderr] {
            match stream.pump_rest(&mut self.buffer, &mut relayed) {
                Some(Ok(Pumped::More | Pumped::Dry | Pumped::Closed)) => {}
                Some(Ok(Pumped::Full)) => child.over_limit = true,
                Some(Err(error)) => drop(child.capture_error.get_or_insert(error)),
                None => all = false,
            }
        }
        if !relayed.is_empty() {
            happenings.push(Happening::Output(token, relayed));
        }
        all
    }

    /// Brings up to date who was left behind by whom.
    fn look_for_strays(&mut self, token: Token) {
        if self.childless {
            // Whoever is left behind becomes a child of this process, so there is nobody.
            return self.kin.nobody_is_left();
        }
        let (by_pid, children) = (&self.by_pid, &self.children);
        let is_child = |pid| by_pid.contains_key(&pid);
        self.kin.look(is_child, |pid| claim(children, pid), token, children.keys().copied());
    }

    fn signal_tree(&mut self, token: Token, signal: rustix::process::Signal) {
        let Some(child) = self.children.get(&token) else { return };
        let (pid, alive, mark) = (child.pid, child.status.is_none(), child.mark.clone());
        self.look_for_strays(token);
        let outside = self.kin.outside_group(token, alive.then_some(pid), pid, &mark);
        let _ = kill_process_group(pid, signal);
        for pid in outside {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Ending {
    /// When somebody has to look again.
    fn due(&self) -> Instant {
        match self.terminate_at {
            Some(at) => at,
            None if self.killed => self.give_up_at,
            None => self.kill_at,
        }
    }
}

/// The child that a process without known parent came from.
fn claim(children: &BTreeMap<Token, Box<Child>>, pid: Pid) -> Option<Token> {
    let kin = crate::kin::Stray::of(pid)?;
    children.iter().find(|(_, child)| kin.is_of(child.pid, &child.mark)).map(|(token, _)| *token)
}

impl Drop for Supervisor {
    /// Whatever still lives is killed: nothing that was started here outlives it.
    fn drop(&mut self) {
        let tokens: Vec<Token> = self.children.keys().copied().collect();
        for token in tokens {
            self.end(token, End::AtOnce);
        }
        let mut happenings = Vec::new();
        while !self.children.is_empty() && self.wait(Some(GIVE_UP), &mut happenings).is_ok() {}
        self.kin.kill_rest();
    }
}

#[cfg(test)]
mod tests;
