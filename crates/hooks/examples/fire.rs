//! How long fires take: `cargo run --release -p omne-hooks --example fire`. The hook is this program itself, which
//! answers each line with `{}`.

#![expect(clippy::disallowed_methods, reason = "the bare spawn is what a fire is compared with")]

use std::{
    io::{BufRead as _, Write as _},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use omne_hooks::{Config, HookEvent, Host, Place, Subject};
use omne_process::{BaseEnvironment, Happening, Supervisor};
use serde_json::Map;

const FIRES: usize = 2000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
    for mode in ["daemon", "exec"] {
        let text = format!(
            "[[hook]]\nevent = 'pre_node'\ncommand = {:?}\nargs = ['answer']\nmode = '{mode}'\n",
            program.display().to_string()
        );
        let times = fires(toml::from_str(&text)?)?;
        report(mode, times)?;
    }
    let mut times = Vec::new();
    for _ in 0..FIRES {
        let since = Instant::now();
        let mut child = std::process::Command::new(&program)
            .arg("answer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        child.stdin.take().ok_or("no pipe")?.write_all(b"{}\n")?;
        child.wait_with_output()?;
        times.push(since.elapsed());
    }
    report("bare spawn", times)
}

fn fires(config: Config) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let place = Place {
        volume: std::env::current_dir()?,
        path: std::env::var_os("PATH").unwrap_or_default(),
        environment: Arc::new(BaseEnvironment::new(std::env::vars_os())),
        run_id: "try".to_owned(),
        log: None,
    };
    let mut supervisor = Supervisor::new()?;
    let mut host = Host::new(config, place);
    host.start(&mut supervisor);
    let subject = Subject { run_id: "try".to_owned(), pipe: "p".to_owned(), node_id: None };
    let (mut times, mut happenings) = (Vec::new(), Vec::new());
    for _ in 0..FIRES {
        let since = Instant::now();
        host.fire(HookEvent::PreNode, subject.clone(), Map::new(), &mut supervisor);
        while host.take().is_empty() {
            supervisor.wait(Some(Duration::from_secs(5)), &mut happenings)?;
            for happening in happenings.drain(..) {
                match happening {
                    Happening::Output(token, bytes) => {
                        host.output(token, &bytes, &mut supervisor);
                    }
                    Happening::Ended(ended) => {
                        host.ended(&ended, &mut supervisor);
                    }
                    Happening::Signal(_) => {}
                }
            }
            host.tick(&mut supervisor);
        }
        times.push(since.elapsed());
    }
    Ok(times)
}

fn report(what: &str, mut times: Vec<Duration>) -> Result<(), Box<dyn std::error::Error>> {
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2].as_micros(), times[times.len() * 99 / 100].as_micros());
    Ok(writeln!(std::io::stdout(), "{what}: p50 {p50} µs, p99 {p99} µs")?)
}
