//! A hook that stays: one request in flight, in order. Whoever owns the
//! connection ends it, so that a late reply never answers the next question.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use omne_process::{Ended, Supervisor, Token};

use super::{Current, FireId, Host, MOST_REPLY, State};
use crate::{Timing, decision};

/// Before the first new connection; doubles up to [`MOST_DELAY`].
const FIRST_DELAY: Duration = Duration::from_millis(100);
const MOST_DELAY: Duration = Duration::from_secs(5);
/// How often it is started anew before it is given up.
const TRIES: u32 = 5;
/// How often it is looked whether a daemon that does not read has room again.
const LOOK: Duration = Duration::from_millis(5);

pub(super) struct Daemon {
    pub(super) command: String,
    token: Option<Token>,
    stdin: Option<File>,
    /// Of the request in flight, what the daemon has not taken yet.
    unsent: Vec<u8>,
    line: Vec<u8>,
    busy: Option<FireId>,
    pub(super) waiting: VecDeque<FireId>,
    /// In a row, without an answer between them.
    failures: u32,
    not_before: Instant,
}

impl Daemon {
    pub(super) fn new(command: &str, now: Instant) -> Self {
        Self {
            command: command.to_owned(),
            token: None,
            stdin: None,
            unsent: Vec::new(),
            line: Vec::new(),
            busy: None,
            waiting: VecDeque::new(),
            failures: 0,
            not_before: now,
        }
    }

    pub(super) fn token(&self) -> Option<Token> {
        self.token
    }

    /// Whether others come first.
    pub(super) fn is_occupied(&self) -> bool {
        self.busy.is_some() || !self.waiting.is_empty()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        if !self.unsent.is_empty() {
            return Some(Instant::now() + LOOK);
        }
        (self.token.is_none() && !self.waiting.is_empty()).then_some(self.not_before)
    }

    /// Forgets a fire; whether it was the one in flight.
    pub(super) fn drop_fire(&mut self, id: FireId) -> bool {
        self.waiting.retain(|waiting| *waiting != id);
        self.busy == Some(id)
    }

    fn has_failed(&mut self) {
        self.failures += 1;
        let delay = FIRST_DELAY * 2u32.saturating_pow(self.failures.saturating_sub(1).min(10));
        self.not_before = Instant::now() + delay.min(MOST_DELAY);
        (self.token, self.stdin, self.busy) = (None, None, None);
        self.unsent.clear();
        self.line.clear();
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        while !self.unsent.is_empty() {
            match stdin.write(&self.unsent) {
                Ok(written) => {
                    self.unsent.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Host {
    /// Starts a daemon.
    pub(super) fn connect(&mut self, place: usize, supervisor: &mut Supervisor, now: Instant) {
        let connected = (|| {
            let (reader, writer) = io::pipe().map_err(|error| error.to_string())?;
            rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK)
                .map_err(|error| error.to_string())?;
            let spec = self.spec(place, Some(File::from(OwnedFd::from(reader))), "")?;
            let program = spec.program.clone();
            let (token, _) = supervisor
                .spawn(spec)
                .map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
            Ok::<_, String>((token, File::from(OwnedFd::from(writer))))
        })();
        let Some(daemon) = self.daemons.get_mut(&place) else { return };
        match connected {
            Ok((token, stdin)) => (daemon.token, daemon.stdin) = (Some(token), Some(stdin)),
            Err(why) => {
                daemon.has_failed();
                daemon.not_before = daemon.not_before.max(now);
                let waiting: Vec<FireId> = daemon.waiting.drain(..).collect();
                for id in waiting {
                    self.answer(id, Err((why.clone(), Timing::InTime)), supervisor);
                }
            }
        }
    }

    /// The time of who waited for others begins.
    fn begin_time(&mut self, id: FireId, now: Instant) {
        let Some(fire) = self.fires.get_mut(&id) else { return };
        let Some(current) = fire.current.as_mut().filter(|current| matches!(current.state, State::Queued))
        else {
            return;
        };
        let waited = now.saturating_duration_since(current.since);
        (current.since, current.until) = (now, current.until + waited);
        current.state = State::Daemon;
        fire.deadline += waited;
    }

    /// Hands a daemon its next request, if it is free and there is one.
    pub(super) fn serve(&mut self, place: usize, supervisor: &mut Supervisor, now: Instant) {
        loop {
            let Some(daemon) = self.daemons.get_mut(&place) else { return };
            if daemon.busy.is_some() {
                if daemon.send().is_err() {
                    self.lost(place, supervisor, "it does not read what it is asked");
                }
                return;
            }
            let Some(&id) = daemon.waiting.front() else { return };
            self.begin_time(id, now);
            let Some(daemon) = self.daemons.get_mut(&place) else { return };
            if daemon.token.is_none() {
                if daemon.failures >= TRIES {
                    daemon.waiting.pop_front();
                    let why = format!("it ended {TRIES} times in a row, and is not started again");
                    self.answer(id, Err((why, Timing::InTime)), supervisor);
                    continue;
                }
                if now < daemon.not_before {
                    return;
                }
                self.connect(place, supervisor, now);
                if self.daemons.get(&place).is_none_or(|daemon| daemon.token.is_none()) {
                    return;
                }
                continue;
            }
            daemon.waiting.pop_front();
            let request = match self.fires.get(&id).and_then(|fire| fire.current.as_ref()) {
                Some(Current { request, .. }) => request.clone(),
                None => continue,
            };
            daemon.busy = Some(id);
            daemon.unsent = request;
        }
    }

    /// A daemon said something. `false` when it is none.
    pub(super) fn daemon_said(&mut self, token: Token, bytes: &[u8], supervisor: &mut Supervisor) -> bool {
        let Some((&place, daemon)) = self.daemons.iter_mut().find(|(_, daemon)| daemon.token == Some(token))
        else {
            return false;
        };
        daemon.line.extend_from_slice(bytes);
        let Some(end) = daemon.line.iter().position(|&byte| byte == b'\n') else {
            if daemon.line.len() > MOST_REPLY {
                self.lost(place, supervisor, "its reply is over 1 MiB");
            }
            return true;
        };
        let rest = daemon.line.split_off(end + 1);
        let line = std::mem::take(&mut daemon.line);
        let (Some(id), true) = (daemon.busy, rest.is_empty()) else {
            self.lost(place, supervisor, "it said more than it was asked");
            return true;
        };
        let Some(fire) = self.fires.get(&id) else { return true };
        let id_of_request = fire.current.as_ref().map(|current| current.number.as_str());
        match decision::parse(&line, fire.event, id_of_request) {
            Ok(decision) => {
                daemon.busy = None;
                daemon.failures = 0;
                self.answer(id, Ok(decision), supervisor);
                self.serve(place, supervisor, Instant::now());
            }
            Err(error) => self.lost(place, supervisor, &error.to_string()),
        }
        true
    }

    /// A daemon ended. `false` when it is none.
    pub(super) fn daemon_ended(&mut self, ended: &Ended, supervisor: &mut Supervisor) -> bool {
        let found = self.daemons.values_mut().find(|daemon| daemon.token == Some(ended.token));
        let Some(daemon) = found else { return false };
        let busy = daemon.busy;
        daemon.has_failed();
        let command = daemon.command.clone();
        self.tell_errors(&command, ended);
        if let Some(id) = busy {
            let why = format!("it ended ({}) before it answered", ended.status);
            self.answer(id, Err((why, Timing::InTime)), supervisor);
        }
        true
    }

    /// Ends a connection, and tells whoever waited for an answer.
    fn lost(&mut self, place: usize, supervisor: &mut Supervisor, why: &str) {
        let busy = self.daemons.get(&place).and_then(|daemon| daemon.busy);
        self.reset(place, supervisor);
        if let Some(id) = busy {
            self.answer(id, Err((why.to_owned(), Timing::InTime)), supervisor);
        }
        self.serve(place, supervisor, Instant::now());
    }

    /// Ends a connection: what the daemon still says is for nobody.
    pub(super) fn reset(&mut self, place: usize, supervisor: &mut Supervisor) {
        let Some(daemon) = self.daemons.get_mut(&place) else { return };
        let (token, command) = (daemon.token, daemon.command.clone());
        daemon.has_failed();
        if let Some(token) = token {
            self.kill(command, token, supervisor);
        }
    }
}
