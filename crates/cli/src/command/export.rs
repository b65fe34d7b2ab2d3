//! `export`: a run in a form that other programs read.

use std::{
    fs::File,
    io::{self, BufWriter, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use omne_audit::{Events, Excerpt, Report, Story, Stream, chrome_trace, html, junit, otlp_json};
use omne_events::{Digest, NodeId};

use super::{
    captures,
    log::{LogSource, begun},
};
use crate::{
    args::{self, ExportFormat},
    failure::{Exit, Failure, Result},
    wire::Context,
};

/// How much of a capture goes into a report, in bytes.
const MOST_CAPTURE: u64 = 16 * 1024;

pub(super) fn export(args: &args::Export, context: &Context) -> Result<ExitCode> {
    let source = LogSource::find(&args.run, context)?;
    let told = Told::read(args.format, &source)?;
    match &args.output {
        None => told.write(args.format, &mut BufWriter::new(std::io::stdout().lock()))?,
        Some(path) => to_file(path, |out| Ok(told.write(args.format, out)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What there is to be written.
struct Told {
    story: Story,
    events: Events,
    chain: std::result::Result<Option<Digest>, String>,
    nodes: Option<PathBuf>,
}

impl Told {
    fn read(format: ExportFormat, source: &LogSource) -> Result<Self> {
        if matches!((format, source), (ExportFormat::Html, LogSource::Stdin)) {
            let message = "a log that is read twice has to be a file";
            return Err(Failure::message(Exit::Input, message).help("write standard input to a file first"));
        }
        if let LogSource::Run(run) = source {
            begun(run)?;
        }
        let mut events = Events::default();
        let mut chain = Ok(None);
        let story = match format {
            ExportFormat::Html => {
                let report = source.verify(None)?;
                chain = match report.findings.first() {
                    Some(finding) => Err(format!("line {}: {}", finding.line, finding.message)),
                    None => Ok((!report.legacy).then(|| report.chain.head())),
                };
                source.story(|bytes, line| events.take(bytes, line))?
            }
            ExportFormat::ChromeTrace | ExportFormat::OtlpJson | ExportFormat::Junit => {
                source.story(|_, _| {})?
            }
        };
        Ok(Self { story, events, chain, nodes: source.nodes() })
    }

    fn write(&self, format: ExportFormat, out: &mut dyn Write) -> io::Result<()> {
        match format {
            ExportFormat::ChromeTrace => chrome_trace(&self.story, out)?,
            ExportFormat::OtlpJson => otlp_json(&self.story, out)?,
            ExportFormat::Junit => junit(&self.story, &|node| self.beginning(node), out)?,
            ExportFormat::Html => {
                let capture = |node: &NodeId, stream: Stream| {
                    let ending = match stream {
                        Stream::Stdout => "out",
                        Stream::Stderr => "err",
                    };
                    Excerpt::read(&mut self.capture(node, ending)?, MOST_CAPTURE).ok()
                };
                let chain = self.chain.clone();
                html(&Report { story: &self.story, chain, capture: &capture, events: &self.events }, out)?;
            }
        }
        out.flush()
    }

    fn capture(&self, node: &NodeId, ending: &str) -> Option<File> {
        captures::open(&self.nodes.as_ref()?.join(format!("{node}.{ending}"))).ok()
    }

    /// The beginning of what a node printed.
    fn beginning(&self, node: &NodeId) -> Option<String> {
        let mut bytes = Vec::new();
        self.capture(node, "out")?.take(MOST_CAPTURE).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Writes a file whole or not at all: what stood there before stays when something fails. A link is followed, and what is
/// no file, such as a device or a pipe, is written to as it is; so is the standard output, for `-`.
pub(super) fn to_file<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let failed = |error: io::Error| {
        let what = format!("cannot write `{}`", path.display());
        Failure::new(Exit::Write, anyhow::Error::new(error).context(what))
    };
    if is_stdout(path) {
        return straight(std::io::stdout().lock(), write, failed);
    }
    let target = match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {
            let target = std::fs::canonicalize(path).map_err(failed)?;
            // Where it may not be changed, it is not to be replaced either.
            File::options().write(true).open(&target).map_err(failed)?;
            target
        }
        Ok(_) => return straight(File::options().write(true).open(path).map_err(failed)?, write, failed),
        Err(_) if path.is_symlink() => return straight(File::create(path).map_err(failed)?, write, failed),
        Err(_) => path.to_owned(),
    };
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let mut out = BufWriter::new(File::create_new(&name).map_err(failed)?);
    let made = write(&mut out).and_then(|made| {
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        if let Ok(found) = std::fs::metadata(&target) {
            // A file system without permissions has none to keep.
            let _ = file.set_permissions(found.permissions());
        }
        file.sync_data().and_then(|()| std::fs::rename(&name, &target)).map_err(failed)?;
        Ok(made)
    });
    if made.is_err() {
        // What is half written is of no use.
        let _ = std::fs::remove_file(&name);
    }
    made
}

/// Whether `-o` means the standard output.
pub(super) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

fn straight<T>(
    to: impl Write,
    write: impl FnOnce(&mut dyn Write) -> Result<T>,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<T> {
    let mut out = BufWriter::new(to);
    let made = write(&mut out)?;
    out.flush().map_err(failed)?;
    Ok(made)
}
