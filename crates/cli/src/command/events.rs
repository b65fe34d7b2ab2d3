//! `events`: the events of a run.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
    time::Duration,
};

use omne_events::{Decoder, Line, LogReader};
use omne_replay::FoldError;
use omne_runner::RunDir;

use super::log::{Life, LogSource, begun, damaged};
use crate::{
    args,
    failure::{Exit, Failure, Result},
    render::{self, Paint},
    wire::Context,
};

const LOOK: Duration = Duration::from_millis(50);

pub(super) fn events(args: &args::Events, context: &Context) -> Result<ExitCode> {
    let source = LogSource::find(&args.run, context)?;
    if let Some(glob) = args.types.iter().find(|glob| glob.contains(['[', ']', '{', '}'])) {
        let message = format!("`{glob}` has brackets, which mean nothing in a pattern of types");
        return Err(Failure::message(Exit::Input, message)
            .help("`*` stands for any text and `?` for one character; give `--type` several times"));
    }
    let mut decoder = Decoder::new();
    let paint = context.paint();
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let mut has_shown = false;
    let mut show = |line: &[u8]| -> Result<()> {
        has_shown |= show(line, args, &mut decoder, paint, &mut stdout)?;
        Ok(())
    };
    match (&source, args.follow) {
        (LogSource::Run(run), true) => {
            if Life::of(run) == Life::Gone {
                begun(run)?;
            }
            let mut reader = LogReader::new(Growing { file: open(run)?, run }, &run.log());
            while let Some(line) = reader.next_line().map_err(|error| Failure::new(Exit::Damaged, error))? {
                show(line)?;
            }
        }
        (LogSource::File(_) | LogSource::Bundle(..) | LogSource::Stdin, true) => {
            return Err(Failure::message(Exit::Input, "only a run of the volume can be followed")
                .help("give the id of a run"));
        }
        (_, false) => {
            let mut reader = source.reader()?;
            while let Some(line) = reader.next_line().map_err(|error| Failure::new(Exit::Damaged, error))? {
                show(line)?;
            }
            if reader.lines() == 0 {
                return Err(damaged(&source.name(), FoldError::Empty));
            }
            source.tell(reader.tail());
        }
    }
    stdout.flush()?;
    if !args.nodes.is_empty() && !has_shown && !matches!(source, LogSource::Stdin) {
        let state = source.fold(None, |_, _| {})?.state;
        if let Some(unknown) = args.nodes.iter().find(|node| state.find(node).is_none()) {
            let known: Vec<&str> = state.nodes().map(|(id, _, _)| id.as_str()).collect();
            let message = format!("the run has no node `{unknown}`");
            return Err(
                Failure::message(Exit::NotFound, message).help(format!("its nodes: {}", known.join(", ")))
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(run: &RunDir) -> Result<std::fs::File> {
    omne_events::open_plain(&run.log()).map_err(|error| {
        Failure::new(Exit::NotFound, anyhow::Error::new(error).context(format!("`{}` has no log", run.id)))
    })
}

/// A log that is still being written: its end is the run's.
struct Growing<'a> {
    file: std::fs::File,
    run: &'a RunDir,
}

impl Read for Growing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let alive = Life::of(self.run) == Life::Alive;
            match self.file.read(buffer)? {
                0 if alive => std::thread::sleep(LOOK),
                read => return Ok(read),
            }
        }
    }
}

/// Prints a line if it is wanted. Whether it is.
fn show(
    line: &[u8],
    args: &args::Events,
    decoder: &mut Decoder,
    paint: Paint,
    out: &mut impl Write,
) -> Result<bool> {
    let decoded = decoder.decode(line).map_err(|error| {
        Failure::new(Exit::Damaged, anyhow::Error::new(error).context("the log is damaged"))
            .help("`omne verify` tells everything that is wrong with it")
    })?;
    let kind = decoded.line.kind();
    if !args.types.is_empty()
        && !args.types.iter().any(|glob| omne_hooks::matches(glob.as_bytes(), kind.as_bytes()))
    {
        return Ok(false);
    }
    let node = decoded.line.node().map(|node| node.as_str());
    if !args.nodes.is_empty() && !node.is_some_and(|node| args.nodes.iter().any(|wanted| wanted == node)) {
        return Ok(false);
    }
    if args.json {
        out.write_all(line)?;
        out.write_all(b"\n")?;
    } else {
        let text = match &*decoded.line.to_line() {
            Line::Known(record) => render::describe(&record.event),
            Line::Unknown { .. } => "an event of a later version".to_owned(),
        };
        let kind = render::visible(kind).replace('\n', " ");
        let at = decoded.line.at().to_string();
        let at = paint.dim(&at);
        writeln!(out, "{:>5} {at} {} {text}", decoded.line.seq(), paint.blue(&format!("{kind:<18}")))?;
    }
    if args.follow {
        out.flush()?;
    }
    Ok(true)
}
