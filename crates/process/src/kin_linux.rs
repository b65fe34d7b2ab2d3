//! Linux: this process is the subreaper of its descendants, so whoever loses
//! its parent becomes its child. The kernel's list of children then shows at
//! the cost of one read whether anybody was left behind; `/proc` tells whose.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    time::{Duration, Instant},
};

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, getpgid, getpid, getppid, kill_process, pidfd_open, pidfd_send_signal,
        test_kill_process_group,
    },
};

use crate::{Mark, Started, Token};

/// The processes that were left to this one by their parents.
pub(crate) struct Kin {
    /// The kernel's lists of this process's children: of the main thread, which adopts, and of this one, which spawns.
    lists: Vec<File>,
    /// Children that were there before: a shell's background jobs, when it became this process by `exec`.
    before: FxHashSet<Pid>,
    strays: FxHashMap<Pid, Whose>,
}

enum Whose {
    Known(Token),
    /// It wears no mark: it is of one of these, which lived when it was first seen.
    OneOf(Vec<Token>),
}

impl Kin {
    /// Whether it is known who was left behind without asking.
    pub(crate) const KNOWS_STRAYS: bool = true;

    pub(crate) fn new() -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(getpid()))?;
        let (main, own) = (getpid(), rustix::thread::gettid());
        let mut lists = Vec::new();
        for thread in if main == own { vec![main] } else { vec![main, own] } {
            let path = format!("/proc/self/task/{}/children", thread.as_raw_nonzero());
            // Without that list (another `/proc`, an old kernel) groups and marks are all there is.
            lists.extend(File::open(path));
        }
        let mut kin = Self { lists, before: FxHashSet::default(), strays: FxHashMap::default() };
        kin.before = kin.children().into_iter().collect();
        Ok(kin)
    }

    fn children(&self) -> Vec<Pid> {
        /// More than the longest process id takes, with the space behind it.
        const LONGEST: usize = 16;
        let mut pids = Vec::new();
        let mut buffer = [0; 1024];
        for list in &self.lists {
            let mut text = Vec::new();
            while let Ok(read @ 1..) = list.read_at(&mut buffer, text.len() as u64) {
                text.extend_from_slice(&buffer[..read]);
                if read + LONGEST < buffer.len() {
                    // There was room for another one, so there is none.
                    break;
                }
            }
            pids.extend(parse_pids(&text));
        }
        pids
    }

    /// Looks for strays; called when `token`'s own process has ended or its tree is to end.
    pub(crate) fn look(
        &mut self,
        is_child: impl Fn(Pid) -> bool,
        claim: impl Fn(Pid) -> Option<Token>,
        token: Token,
        live: impl Iterator<Item = Token> + Clone,
    ) {
        let children = self.children();
        if children.len() > 64 {
            let present: FxHashSet<Pid> = children.iter().copied().collect();
            self.strays.retain(|pid, _| present.contains(pid));
        } else {
            self.strays.retain(|pid, _| children.contains(pid));
        }
        for pid in children {
            if is_child(pid) || self.before.contains(&pid) || self.strays.contains_key(&pid) || is_zombie(pid)
            {
                continue;
            }
            let whose = claim(pid).map_or_else(|| Whose::OneOf(live.clone().collect()), Whose::Known);
            self.strays.insert(pid, whose);
        }
        // Who could be of this one alone, is.
        for whose in self.strays.values_mut() {
            if matches!(whose, Whose::OneOf(tokens) if tokens.as_slice() == [token]) {
                *whose = Whose::Known(token);
            }
        }
    }

    /// This process has no child.
    pub(crate) fn nobody_is_left(&mut self) {
        self.strays.clear();
        self.before.clear();
    }

    /// Whether anybody of `token` is left, now that its own process is gone. Whoever is left in its group has lost its
    /// parent, too, and shows in the list; without the list the group has to be asked.
    pub(crate) fn any_of(&self, token: Token, group: Pid) -> bool {
        let group_lives = || test_kill_process_group(group) != Err(rustix::io::Errno::SRCH);
        self.of(token).next().is_some() || (self.lists.is_empty() && group_lives())
    }

    fn of(&self, token: Token) -> impl Iterator<Item = Pid> {
        self.strays
            .iter()
            .filter(move |(_, whose)| matches!(whose, Whose::Known(t) if *t == token))
            .map(|(p, _)| *p)
    }

    /// The living processes of `token` that a signal to its group does not reach.
    pub(crate) fn outside_group(&self, token: Token, alive: Option<Pid>, group: Pid, _: &Mark) -> Vec<Pid> {
        let mut found: Vec<Pid> = alive.into_iter().chain(self.of(token)).collect();
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            found.extend(children_of(pid));
            next += 1;
        }
        found.retain(|&pid| getpgid(Some(pid)).is_ok_and(|of| of != group));
        found
    }

    /// `token` is over: who might have been of it, is not.
    pub(crate) fn ended(&mut self, token: Token) {
        for whose in self.strays.values_mut() {
            if let Whose::OneOf(tokens) = whose {
                tokens.retain(|t| *t != token);
            }
        }
    }

    /// `pid` was reaped.
    pub(crate) fn forget(&mut self, pid: Pid) {
        self.strays.remove(&pid);
        self.before.remove(&pid);
    }

    /// Kills everybody who was left to this process.
    pub(crate) fn kill_rest(&mut self) {
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            while let Ok(Some((pid, _))) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
                self.forget(pid);
            }
            let rest: Vec<Pid> =
                self.children().into_iter().filter(|pid| !self.before.contains(pid)).collect();
            if rest.is_empty() {
                return;
            }
            for pid in rest {
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What `/proc` tells of a process.
pub(crate) struct Stray {
    pid: Pid,
    environ: Vec<u8>,
}

impl Stray {
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        let environ = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
        Some(Self { pid, environ })
    }

    pub(crate) fn is_of(&self, group: Pid, mark: &Mark) -> bool {
        mark.is_in(&self.environ, 0) || getpgid(Some(self.pid)).is_ok_and(|of| of == group)
    }
}

fn parse_pids(text: &[u8]) -> impl Iterator<Item = Pid> {
    text.split(|b| b.is_ascii_whitespace())
        .filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
        .filter_map(Pid::from_raw)
}

fn children_of(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else {
        return Vec::new();
    };
    let lists = threads.flatten().filter_map(|thread| std::fs::read(thread.path().join("children")).ok());
    lists.flat_map(|text| parse_pids(&text).collect::<Vec<_>>()).collect()
}

/// What the kernel tells of a process from its state on.
fn stat(pid: Pid) -> Option<String> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // Before it is the name, in parentheses, which may hold anything, also bytes that are no text.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    String::from_utf8(stat[after_name..].trim_ascii_start().to_vec()).ok()
}

fn is_zombie(pid: Pid) -> bool {
    stat(pid).is_some_and(|stat| stat.starts_with('Z'))
}

/// Ends every process on this machine that wears `mark`: what a runner that is dead now left behind. How many there were.
/// They get SIGTERM, and SIGKILL when `grace` is over.
///
/// Some clear their environment, and with it the mark: what is one of `started`, in the group of one that still lived, or
/// a child of one that is ended, is ended as well. What one of them starts to clean up has until then.
pub fn end_marked(mark: &Mark, started: &[Started], grace: Duration) -> usize {
    let boot = boot();
    let (mut groups, mut is_first) = (Vec::new(), true);
    let mut spared = vec![getpid()];
    let mut above = getppid();
    while let Some(pid) = above {
        spared.push(pid);
        above = parent_of(pid);
    }
    let until = Instant::now() + grace;
    let mut count = 0;
    let mut dying: Vec<(Pid, OwnedFd)> = Vec::new();
    loop {
        let kill = Instant::now() >= until;
        // A descriptor is readable once its process has ended. Numbers of those that have may be others' by now.
        let ended = |process: &OwnedFd, wait: Duration| {
            let mut fds = [PollFd::new(process, PollFlags::IN)];
            poll(&mut fds, Timespec::try_from(wait).ok().as_ref()) == Ok(1)
        };
        dying.retain(|(_, process)| !ended(process, Duration::ZERO));
        let (mut found, mut spares) = (Vec::new(), false);
        for pid in everybody().filter(|pid| !spared.contains(pid)) {
            if dying.iter().any(|(known, _)| *known == pid) {
                continue;
            }
            let Some(known) = Known::of(pid) else { continue };
            let began = boot.map(|boot| boot + known.since_boot);
            let is_recorded = |one: &Started| one.pid == pid && began.is_some_and(|began| one.may_be(began));
            let is_left = Stray::of(pid).is_some_and(|stray| mark.is_in(&stray.environ, 0))
                || started.iter().any(is_recorded);
            // While the first process of a group lives, nobody else has a group of that number.
            if is_first && is_left && started.iter().any(|one| one.pid == pid) {
                groups.push(pid);
            }
            found.push((pid, known, is_left));
        }
        let mut left = found.len();
        loop {
            let mut others = Vec::new();
            for (pid, known, is_left) in found {
                let is_of_one_that_dies = dying.iter().any(|(one, _)| *one == known.parent);
                let is_kin = groups.contains(&known.group) || is_of_one_that_dies;
                let cleans_up = is_of_one_that_dies && !is_first && !kill;
                spares |= cleans_up && (is_left || is_kin);
                if cleans_up || !(is_left || is_kin) {
                    others.push((pid, known, is_left));
                    continue;
                }
                // The descriptor first, the look second: then it is surely the process looked at that gets the signal.
                let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
                if Known::of(pid).is_some_and(|now| now.since_boot == known.since_boot) {
                    let _ = pidfd_send_signal(&process, Signal::TERM);
                    dying.push((pid, process));
                    count += 1;
                }
            }
            // A child may stand before its parent.
            if others.len() == left {
                break;
            }
            (left, found) = (others.len(), others);
        }
        is_first = false;
        dying.retain(|(_, process)| !ended(process, Duration::ZERO));
        let Some((_, first)) = dying.first() else {
            if spares {
                // Who was to clean up has lost whom it did that for.
                continue;
            }
            return count;
        };
        if kill {
            if Instant::now() > until + Duration::from_secs(5) {
                return count;
            }
            for (_, process) in &dying {
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        ended(first, if left.is_zero() { Duration::from_millis(100) } else { left });
    }
}

fn everybody() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| OsStr::to_str(&entry.file_name())?.parse().ok()).filter_map(Pid::from_raw)
}

fn parent_of(pid: Pid) -> Option<Pid> {
    Known::of(pid).map(|known| known.parent)
}

/// What the kernel tells of a process.
struct Known {
    parent: Pid,
    group: Pid,
    since_boot: Duration,
}

impl Known {
    fn of(pid: Pid) -> Option<Self> {
        const TICKS_A_SECOND: u64 = 100;
        let stat = stat(pid)?;
        let words: Vec<&str> = stat.split_ascii_whitespace().collect();
        // One that has ended and that nobody has asked about yet is none any more.
        if matches!(words.first(), Some(&("Z" | "X"))) {
            return None;
        }
        let number = |place: usize| words.get(place)?.parse::<u64>().ok();
        let pid = |place: usize| Pid::from_raw(number(place)?.try_into().ok()?);
        let since_boot = Duration::from_millis(number(19)?.saturating_mul(1000 / TICKS_A_SECOND));
        Some(Self { parent: pid(1)?, group: pid(2)?, since_boot })
    }
}

/// When this machine was started, since 1970.
fn boot() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(Duration::from_secs(line.trim().parse().ok()?))
}

impl Started {
    /// Whether it may be a process that began then: numbers of processes come again. The start of the machine is told in
    /// whole seconds, and clocks are set.
    fn may_be(&self, began: Duration) -> bool {
        const TOLERANCE: Duration = Duration::from_secs(2);
        began.abs_diff(self.at) <= TOLERANCE
    }
}
