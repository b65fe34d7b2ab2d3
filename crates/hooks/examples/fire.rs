//! How long fires take: `cargo run --release -p omne-hooks --example fire`. The hook is this program itself, which
//! answers each line with `{}`. Beside each figure stands its floor, what the system alone takes: a line to such a program
//! and back for a daemon, a bare spawn for a program. A fire and its floor take turns, so that both see the same minutes.

#![expect(clippy::disallowed_methods, reason = "the bare spawn is what a fire is compared with")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use omne_hooks::{Config, HookEvent, Host, Place, Subject};
use omne_process::{BaseEnvironment, Happening, Supervisor};
use serde_json::Map;

type Failure = Box<dyn std::error::Error>;

const FIRES: usize = 2000;

fn main() -> Result<(), Failure> {
    if std::env::args().nth(1).as_deref() == Some("answer") {
        let mut stdout = std::io::stdout().lock();
        for line in std::io::stdin().lock().lines() {
            line?;
            stdout.write_all(b"{}\n")?;
            stdout.flush()?;
        }
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let mut lines = Lines::new(&program)?;
    compare("daemon", &program, "bare line", || lines.turn())?;
    compare("exec", &program, "bare spawn", || spawn(&program))
}

/// Measures fires in that mode by turns with their floor.
fn compare(
    mode: &str,
    program: &Path,
    floor: &str,
    mut turn: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let text = format!(
        "[[hook]]\nevent = 'pre_node'\ncommand = {:?}\nargs = ['answer']\nmode = '{mode}'\n",
        program.display().to_string()
    );
    let mut fires = Fires::new(toml::from_str(&text)?)?;
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..FIRES {
        let since = Instant::now();
        fires.fire()?;
        times.push(since.elapsed());
        let since = Instant::now();
        turn()?;
        floors.push(since.elapsed());
    }
    report(mode, times)?;
    report(floor, floors)
}

fn spawn(program: &Path) -> Result<(), Failure> {
    let mut child =
        Command::new(program).arg("answer").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no pipe")?.write_all(b"{}\n")?;
    child.wait_with_output()?;
    Ok(())
}

/// A program that answers lines, without anything between it and us.
struct Lines {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    answer: String,
}

impl Lines {
    fn new(program: &Path) -> Result<Self, Failure> {
        let mut child =
            Command::new(program).arg("answer").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().ok_or("no pipe")?;
        let stdout = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        Ok(Self { stdin, stdout, answer: String::new() })
    }

    fn turn(&mut self) -> Result<(), Failure> {
        self.answer.clear();
        self.stdin.write_all(b"{}\n")?;
        self.stdout.read_line(&mut self.answer)?;
        Ok(())
    }
}

struct Fires {
    host: Host,
    supervisor: Supervisor,
    subject: Subject,
    happenings: Vec<Happening>,
}

impl Fires {
    fn new(config: Config) -> Result<Self, Failure> {
        let place = Place {
            volume: std::env::current_dir()?,
            path: std::env::var_os("PATH").unwrap_or_default(),
            environment: Arc::new(BaseEnvironment::new(std::env::vars_os())),
            run_id: "try".to_owned(),
            log: None,
            mask: None,
        };
        let mut supervisor = Supervisor::new()?;
        let mut host = Host::new(config, place);
        host.start(&mut supervisor);
        let subject = Subject { run_id: "try".to_owned(), pipe: "p".to_owned(), node_id: None };
        Ok(Self { host, supervisor, subject, happenings: Vec::new() })
    }

    fn fire(&mut self) -> Result<(), Failure> {
        let Self { host, supervisor, subject, happenings } = self;
        host.fire(HookEvent::PreNode, subject.clone(), Map::new(), supervisor);
        while host.take().is_empty() {
            supervisor.wait(Some(Duration::from_secs(5)), happenings)?;
            for happening in happenings.drain(..) {
                match happening {
                    Happening::Output(token, bytes) => {
                        host.output(token, &bytes, supervisor);
                    }
                    Happening::Ended(ended) => {
                        host.ended(&ended, supervisor);
                    }
                    Happening::Signal(_) => {}
                }
            }
            host.tick(supervisor);
        }
        Ok(())
    }
}

fn report(what: &str, mut times: Vec<Duration>) -> Result<(), Failure> {
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2].as_micros(), times[times.len() * 99 / 100].as_micros());
    Ok(writeln!(std::io::stdout(), "{what}: p50 {p50} µs, p99 {p99} µs")?)
}
