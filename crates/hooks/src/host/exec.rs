//! A hook that is a process a fire.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use omne_process::{Ended, Environment, Mark, Sink, Spec, Supervisor, Token, find_program};

use super::{Current, FireId, Host, MOST_REPLY, State};
use crate::{Timing, decision, redact::redact};

/// How much of what a hook printed last to standard error is kept, in bytes.
const RING: usize = 4096;
/// What fits a pipe at once on every system, in bytes.
const PIPE: usize = 60 * 1024;
/// After which times a spawn is tried again that failed for want of something that comes back.
const SPAWN_RETRIES: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
];

impl Host {
    pub(super) fn spec(&self, hook: usize, stdin: Option<File>, namespace: &str) -> Result<Spec, String> {
        let config = &self.config.hooks[hook];
        let program = if config.command.contains('/') {
            self.place.volume.join(&config.command)
        } else {
            find_program(&config.command, &self.place.path)
                .ok_or_else(|| format!("there is no program `{}` in PATH", config.command))?
        };
        // Whatever it says: nobody stands between a hook and its answer who could be asked.
        if let Some(rule) = self.rule(namespace, &program, &config.args) {
            return Err(rule.describe());
        }
        let number = hook.to_string();
        let mut environment = Environment { base: Arc::clone(&self.place.environment), own: Vec::new() };
        environment.set("OMNE_RUN_ID", self.place.run_id.as_str());
        environment.set("OMNE_HOOK", number.as_str());
        let entries = [("OMNE_RUN_ID", self.place.run_id.as_str()), ("OMNE_HOOK", number.as_str())];
        Ok(Spec {
            program,
            args: config.args.iter().map(Into::into).collect(),
            cwd: self.place.volume.clone(),
            environment,
            mark: Mark::new(entries.map(|(name, value)| (name, std::ffi::OsStr::new(value)))),
            stdin,
            stdout: Sink::Relay,
            stderr: Sink::Ring(RING),
            mask: self.place.mask.clone(),
            output_limit: u64::MAX,
        })
    }

    pub(super) fn start_exec(&mut self, id: FireId, supervisor: &mut Supervisor) {
        let Some(fire) = self.fires.get(&id) else { return };
        let Some(Current { hook, request, state: State::Starting { failures, .. }, .. }) = &fire.current
        else {
            return;
        };
        let (hook, failures) = (*hook, *failures);
        let spawned = stdin_of(request)
            .map_err(|error| (error.to_string(), false))
            .and_then(|stdin| {
                self.spec(hook, Some(stdin), &fire.subject.namespace()).map_err(|why| (why, false))
            })
            .and_then(|spec| {
                let program = spec.program.clone();
                supervisor.spawn(spec).map_err(|error| {
                    (format!("cannot start `{}`: {error}", program.display()), comes_back(&error))
                })
            });
        let Some(current) = self.fires.get_mut(&id).and_then(|fire| fire.current.as_mut()) else { return };
        match spawned {
            Ok((token, _)) => {
                current.state = State::Running { token, said: Vec::new() };
                self.execs.insert(token, id);
            }
            Err((_, true)) if failures < SPAWN_RETRIES.len() => {
                let at = Instant::now() + SPAWN_RETRIES[failures];
                current.state = State::Starting { at, failures: failures + 1 };
            }
            Err((why, _)) => self.answer(id, Err((why, Timing::InTime)), supervisor),
        }
    }

    /// A process said something. `false` when it is none of these.
    pub fn output(&mut self, token: Token, bytes: &[u8], supervisor: &mut Supervisor) -> bool {
        if self.dying.contains_key(&token) {
            return true;
        }
        if let Some(id) = self.execs.get(&token).copied() {
            let current = self.fires.get_mut(&id).and_then(|fire| fire.current.as_mut());
            let Some(Current { hook, state: State::Running { said, .. }, .. }) = current else { return true };
            said.extend_from_slice(bytes);
            if said.len() > MOST_REPLY {
                let command = self.config.hooks[*hook].command.clone();
                self.execs.remove(&token);
                self.kill(command, token, supervisor);
                self.answer(id, Err(("its reply is over 1 MiB".into(), Timing::InTime)), supervisor);
            }
            return true;
        }
        self.daemon_said(token, bytes, supervisor)
    }

    /// A process ended. `false` when it is none of these.
    pub fn ended(&mut self, ended: &Ended, supervisor: &mut Supervisor) -> bool {
        if let Some(command) = self.dying.remove(&ended.token) {
            self.tell_errors(&command, ended);
            return true;
        }
        let Some(id) = self.execs.remove(&ended.token) else { return self.daemon_ended(ended, supervisor) };
        let Some(fire) = self.fires.get(&id) else { return true };
        let Some(Current { hook, state: State::Running { said, .. }, .. }) = &fire.current else {
            return true;
        };
        let command = self.config.hooks[*hook].command.clone();
        let answer = if ended.status.success() {
            let mut lines = said.split(|&byte| byte == b'\n');
            let last = lines.rfind(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
            decision::parse(last, fire.event, None).map_err(|error| (error.to_string(), Timing::InTime))
        } else {
            Err((format!("it ended with {}", ended.status), Timing::InTime))
        };
        self.tell_errors(&command, ended);
        self.answer(id, answer, supervisor);
        true
    }

    /// What a hook printed as errors goes to the diagnostic log, redacted, and nowhere else.
    pub(super) fn tell_errors(&self, command: &str, ended: &Ended) {
        let text = ended.stderr.tail_text();
        // Of a line whose beginning is gone nobody knows what it speaks of.
        let is_cut = ended.stderr.bytes > ended.stderr.tail.len() as u64;
        let text = if is_cut { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        let Some((directory, file)) = self.place.log.as_ref().filter(|_| !text.trim().is_empty()) else {
            return;
        };
        let text = format!("── {command}\n{}\n", redact(text));
        // Nobody depends on it.
        let _ = directory.append(file).and_then(|mut file| file.write_all(text.as_bytes()));
    }
}

/// Whether a spawn failed for want of something that comes back.
fn comes_back(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let transient = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::TXTBSY];
    transient.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Standard input with these bytes in it, which ends after them.
fn stdin_of(bytes: &[u8]) -> io::Result<File> {
    use std::io::Seek as _;
    if bytes.len() <= PIPE {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(bytes)?;
        return Ok(File::from(std::os::fd::OwnedFd::from(reader)));
    }
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
