//! Any Unix: process groups, and `ps` for whoever left its group. The kernel
//! gives no hint that somebody was left behind, so `ps` is asked only when a
//! tree is ended by force and when the supervisor ends.

use std::{
    ffi::OsStr,
    io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getpid, kill_process, test_kill_process_group};

use crate::{Mark, Started, Token, spawn::run_to_end};

/// Nothing is known of strays until somebody asks `ps`.
pub(crate) struct Kin {
    marks: Vec<Mark>,
}

impl Kin {
    /// Whether it is known who was left behind without asking.
    pub(crate) const KNOWS_STRAYS: bool = false;

    #[expect(clippy::unnecessary_wraps, reason = "the same shape as on Linux, where it can fail")]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { marks: Vec::new() })
    }

    pub(crate) fn look(
        &mut self,
        _: impl Fn(Pid) -> bool,
        _: impl Fn(Pid) -> Option<Token>,
        _: Token,
        _: impl Iterator<Item = Token> + Clone,
    ) {
    }

    /// This process has no child; whoever was left behind has another parent.
    #[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "the same shape as on Linux")]
    pub(crate) fn nobody_is_left(&mut self) {}

    #[expect(clippy::unused_self, reason = "the same shape as on Linux")]
    pub(crate) fn any_of(&self, _: Token, group: Pid) -> bool {
        test_kill_process_group(group) != Err(rustix::io::Errno::SRCH)
    }

    /// The processes that wear the mark or descend from the child, outside its group.
    pub(crate) fn outside_group(
        &mut self,
        _: Token,
        alive: Option<Pid>,
        group: Pid,
        mark: &Mark,
    ) -> Vec<Pid> {
        if !self.marks.contains(mark) {
            self.marks.push(mark.clone());
        }
        let all = processes();
        let mut found: Vec<Pid> = alive.into_iter().collect();
        found.extend(all.iter().filter(|process| process.wears(mark)).map(|process| process.pid));
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            let children =
                all.iter().filter(|process| process.parent == Some(pid)).map(|process| process.pid);
            let new: Vec<Pid> = children.filter(|child| !found.contains(child)).collect();
            found.extend(new);
            next += 1;
        }
        found.retain(|pid| all.iter().any(|process| process.pid == *pid && process.group != Some(group)));
        found
    }

    pub(crate) fn ended(&mut self, _: Token) {}

    pub(crate) fn forget(&mut self, _: Pid) {}

    pub(crate) fn kill_rest(&mut self) {
        for mark in self.marks.drain(..) {
            end_marked(&mark, &[], Duration::ZERO);
        }
    }
}

/// Nobody is adopted here, so nobody has to be told apart.
pub(crate) struct Stray;

impl Stray {
    pub(crate) fn of(_: Pid) -> Option<Self> {
        None
    }

    #[expect(clippy::unused_self, reason = "the same shape as on Linux")]
    pub(crate) fn is_of(&self, _: Pid, _: &Mark) -> bool {
        false
    }
}

struct Process {
    pid: Pid,
    parent: Option<Pid>,
    group: Option<Pid>,
    /// Its command line and, where `ps` shows it, its environment, divided by blanks.
    words: Vec<u8>,
}

impl Process {
    fn wears(&self, mark: &Mark) -> bool {
        mark.is_in(&self.words, b' ')
    }
}

fn processes() -> Vec<Process> {
    let show_environment = if cfg!(target_os = "macos") { "-axEww" } else { "axeww" };
    let args = [show_environment, "-o", "pid=,ppid=,pgid=,command="].map(OsStr::new);
    let Ok(output) = run_to_end("ps", &args, Path::new("/"), &[]) else { return Vec::new() };
    output.stdout.split(|&b| b == b'\n').filter_map(parse).collect()
}

fn parse(line: &[u8]) -> Option<Process> {
    let mut words = line.split(|&b| b == b' ').filter(|word| !word.is_empty());
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
    let (pid, parent, group) = (number()?, number()?, number()?);
    Some(Process {
        pid: Pid::from_raw(pid)?,
        parent: Pid::from_raw(parent),
        group: Pid::from_raw(group),
        words: line.to_vec(),
    })
}

/// Ends every process on this machine that wears `mark`: what a runner that is dead now left behind.
/// How many there were. They get SIGTERM, and SIGKILL when `grace` is over. What one of them starts to clean up has until
/// then.
pub fn end_marked(mark: &Mark, _started: &[Started], grace: Duration) -> usize {
    let until = Instant::now() + grace;
    let mut ended: Vec<Pid> = Vec::new();
    loop {
        let kill = Instant::now() >= until;
        let all = processes();
        let mut spared = vec![getpid()];
        while let Some(above) = all.iter().find(|p| Some(&p.pid) == spared.last()).and_then(|p| p.parent) {
            spared.push(above);
        }
        let marked = all.iter().filter(|process| process.wears(mark) && !spared.contains(&process.pid));
        let marked: Vec<Pid> = marked.map(|process| process.pid).collect();
        if marked.is_empty() || Instant::now() > until + Duration::from_secs(5) {
            return ended.len();
        }
        let is_first = ended.is_empty();
        for &pid in &marked {
            let parent = all.iter().find(|process| process.pid == pid).and_then(|process| process.parent);
            let is_of = |one: &Pid| parent == Some(*one);
            let cleans_up = !is_first && !kill && ended.iter().any(is_of) && marked.iter().any(is_of);
            let new = !ended.contains(&pid) && !cleans_up;
            if new {
                ended.push(pid);
            }
            if kill || new {
                let _ = kill_process(pid, if kill { Signal::KILL } else { Signal::TERM });
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
