//! `logs`: what nodes printed.

mod agent;

use std::{
    io::{self, IsTerminal, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use omne_events::{Event, Line};
use omne_runner::RunDir;

use super::{
    captures,
    log::{Life, LogSource},
};
use crate::{
    args,
    failure::{Exit, Failure, Result},
    render,
    wire::Context,
};

/// How often a file is looked at that is still being written.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn logs(args: &args::Logs, context: &Context) -> Result<ExitCode> {
    let volume = context.volume()?;
    let run = volume.resolve(&args.run)?;
    let source = LogSource::Run(run.clone());
    let mut rounds: Vec<(String, u32, u64)> = Vec::new();
    let state = source
        .fold(None, |_, line| {
            if let Line::Known(record) = &*line.to_line()
                && let Event::IterationStarted(started) = &record.event
            {
                if started.iteration == 1 {
                    // The loop begins anew, and its capture with it.
                    rounds.retain(|(id, ..)| id != started.node_id.as_str());
                }
                rounds.push((started.node_id.to_string(), started.iteration, started.byte_offset));
            }
        })?
        .state;
    let nodes: Vec<String> = match &args.node {
        Some(node) => match state.find(node) {
            Some(_) => vec![node.clone()],
            None => {
                let known: Vec<&str> = state.nodes().map(|(id, _, _)| id.as_str()).collect();
                return Err(Failure::message(Exit::NotFound, format!("`{}` has no node `{node}`", run.id))
                    .help(format!("its nodes: {}", known.join(", "))));
            }
        },
        None => state.nodes().map(|(id, _, _)| id.to_string()).collect(),
    };
    let ending = if args.stderr { "err" } else { "out" };
    let capture = |node: &str| run.path.join(format!("nodes/{node}.{ending}"));
    let mut out = Output::new();
    if let (Some(node), Some(iteration)) = (&args.node, args.iteration) {
        let of = |wanted: u32| {
            rounds.iter().rev().find(|(id, n, _)| id == node && *n == wanted).map(|(.., at)| *at)
        };
        let Some(from) = of(iteration) else {
            return Err(Failure::message(
                Exit::NotFound,
                format!("node `{node}` has no iteration {iteration}"),
            )
            .help("`omne events` shows the iterations"));
        };
        // It ends where the mark of the next one begins.
        let next = rounds.iter().find(|(id, _, at)| id == node && *at > from);
        let until = next.map(|(_, n, at)| at - format!("=== omne:iteration:{n} ===\n").len() as u64);
        if args.stderr {
            let message = "what an agent prints as errors is not told apart by iterations";
            return Err(Failure::message(Exit::Input, message).help("leave out `--iteration`, or `--stderr`"));
        }
        let path = capture(node);
        let from = match args.tail {
            Some(lines) => tail_offset(&path, lines, from, until)?,
            None => from,
        };
        out.copy(&path, from, until)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let (true, Some(node), false) = (args.follow, &args.node, args.stderr)
        && let Some(agent) = agent::Attempts::of(&run, node)?.agent
    {
        let dialect = context.agent(&volume, &agent).map(|agent| agent.dialect);
        // Others tell nothing before it is in the capture.
        if args.tail.is_none() && matches!(dialect, Ok(omne_agent::Dialect::Claude)) {
            agent::follow(&run, node, omne_agent::Dialect::Claude, &mut out)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let several = nodes.len() > 1;
    let mut shown = false;
    for node in &nodes {
        let path = capture(node);
        let comes_later = args.follow && !several;
        if !path.exists() && !comes_later {
            continue;
        }
        if several {
            writeln!(out.to, "{}==> {node} <==", if shown { "\n" } else { "" })?;
            shown = true;
        }
        let from = match args.tail {
            Some(lines) => tail_offset(&path, lines, 0, None)?,
            None => 0,
        };
        let read = out.copy(&path, from, None)?;
        if args.follow && !several {
            follow(&run, &path, from + read, &mut out)?;
        }
    }
    if args.follow && several {
        follow_all(&run, &nodes, &capture, &mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Standard output; on a terminal nothing that a node printed can command it.
struct Output {
    to: io::StdoutLock<'static>,
    terminal: bool,
    /// The beginning of a character whose end has not come yet.
    held: Vec<u8>,
}

impl Output {
    fn new() -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self { to: stdout.lock(), terminal, held: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.terminal {
            self.held.extend_from_slice(bytes);
            let cut = self.held.len() - unfinished(&self.held);
            let rest = self.held.split_off(cut);
            let text = std::mem::replace(&mut self.held, rest);
            self.to.write_all(render::visible(&String::from_utf8_lossy(&text)).as_bytes())?;
        } else {
            self.to.write_all(bytes)?;
        }
        self.to.flush()
    }

    /// Copies a part of a file; how much there was.
    fn copy(&mut self, path: &Path, from: u64, until: Option<u64>) -> Result<u64> {
        let mut file = match captures::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!("cannot read `{}`", path.display()));
                return Err(Failure::new(Exit::NotFound, error));
            }
        };
        if from >= file.metadata()?.len() {
            return Ok(0);
        }
        file.seek(SeekFrom::Start(from))?;
        let mut left = until.map_or(u64::MAX, |until| until.saturating_sub(from));
        let mut buffer = vec![0; 64 * 1024];
        let mut copied = 0;
        loop {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = file.read(&mut buffer[..most])?;
            if read == 0 {
                return Ok(copied);
            }
            self.write(&buffer[..read])?;
            copied += read as u64;
            left -= read as u64;
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            // It stays a beginning; whoever is gone does not miss it.
            let _ = self.to.write_all(String::from_utf8_lossy(&self.held).as_bytes());
        }
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    const LONGEST: usize = 4;
    let tail = &bytes[bytes.len().saturating_sub(LONGEST - 1)..];
    let begins = |at: &usize| str::from_utf8(&tail[*at..]).is_err_and(|error| error.error_len().is_none());
    let whole = |at: &usize| str::from_utf8(&tail[*at..]).is_err_and(|error| error.valid_up_to() == 0);
    (0..tail.len()).find(|at| begins(at) && whole(at)).map_or(0, |at| tail.len() - at)
}

/// Goes on with one file until the run ends.
fn follow(run: &RunDir, path: &Path, mut from: u64, out: &mut Output) -> Result<()> {
    loop {
        // Asked before the last look, so that nothing printed in between is missed.
        let alive = Life::of(run) == Life::Alive;
        from += out.copy(path, from, None)?;
        if !alive {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

/// Goes on with all files until the run ends, naming the one that a part is from.
fn follow_all(
    run: &RunDir,
    nodes: &[String],
    capture: &dyn Fn(&str) -> PathBuf,
    out: &mut Output,
) -> Result<()> {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    let mut known: Vec<u64> = nodes.iter().map(|node| length(&capture(node))).collect();
    let mut last = None;
    loop {
        let alive = Life::of(run) == Life::Alive;
        for (place, node) in nodes.iter().enumerate() {
            let path = capture(node);
            let now = length(&path);
            if now > known[place] {
                if last != Some(place) {
                    writeln!(out.to, "\n==> {node} <==")?;
                    last = Some(place);
                }
                known[place] += out.copy(&path, known[place], None)?;
            }
        }
        if !alive {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

/// Where the last `lines` lines of a part of a file begin; it is read from its end.
fn tail_offset(path: &Path, lines: usize, from: u64, until: Option<u64>) -> Result<u64> {
    let mut file = match captures::open(path) {
        Ok(file) => file,
        Err(_) => return Ok(from),
    };
    let length = file.seek(SeekFrom::End(0))?.min(until.unwrap_or(u64::MAX));
    let mut buffer = vec![0; 64 * 1024];
    let (mut end, mut left) = (length, lines);
    if lines == 0 {
        return Ok(length);
    }
    while end > from {
        let start = end.saturating_sub(buffer.len() as u64).max(from);
        let part = usize::try_from(end - start).unwrap_or(buffer.len());
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut buffer[..part])?;
        for at in (0..part).rev() {
            // The newline at the very end closes the last line and opens none.
            if buffer[at] == b'\n' && start + at as u64 + 1 < length {
                left -= 1;
                if left == 0 {
                    return Ok(start + at as u64 + 1);
                }
            }
        }
        end = start;
    }
    Ok(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_character_waits_for_its_end() {
        for (bytes, expected) in [
            (&b"abc"[..], 0),
            ("aä".as_bytes(), 0),
            (b"a\xc3", 1),
            (b"\xe2\x82", 2),
            (b"a\xf0\x9f\x98", 3),
            (b"a\xff", 0),
            (b"\x80\x80\x80", 0),
            (b"\xff\xc2", 1),
        ] {
            assert_eq!(unfinished(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_tail_begins_after_the_right_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let tail = |text: &str, lines| {
            std::fs::write(&path, text).unwrap();
            text[usize::try_from(tail_offset(&path, lines, 0, None).unwrap()).unwrap()..].to_owned()
        };
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail("a\nb\nc", 1), "c");
        assert_eq!(tail("a\nb\n", 9), "a\nb\n");
        assert_eq!(tail("a\n", 0), "");
        assert_eq!(tail("", 3), "");
    }
}
