//! `export`: a run in a form that other programs read.

use std::{
    fs::File,
    io::{self, Read as _, Write},
    path::Path,
    process::ExitCode,
};

use omne_audit::{Story, chrome_trace, junit, otlp_json};
use omne_events::NodeId;

use super::{captures, log::LogSource};
use crate::{
    args::{self, ExportFormat},
    failure::{Exit, Failure, Result},
    wire::Context,
};

/// How much of a capture goes into a report, in bytes.
const MOST_CAPTURE: u64 = 16 * 1024;

pub(super) fn export(args: &args::Export, context: &Context) -> Result<ExitCode> {
    let source = LogSource::find(&args.run, context)?;
    let story = source.story(|_, _| {})?;
    match &args.output {
        None => write(args.format, &source, &story, &mut std::io::stdout().lock())?,
        Some(path) => to_file(path, |out| write(args.format, &source, &story, out))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write(format: ExportFormat, source: &LogSource, story: &Story, out: &mut dyn Write) -> io::Result<()> {
    match format {
        ExportFormat::ChromeTrace => chrome_trace(story, out),
        ExportFormat::OtlpJson => otlp_json(story, out),
        ExportFormat::Junit => {
            let nodes = source.nodes();
            let capture = |node: &NodeId| text_of(&nodes.as_deref()?.join(format!("{node}.out")));
            junit(story, &capture, out)
        }
        ExportFormat::Html => Ok(()),
    }
}

/// Writes a file whole or not at all: what stood there before stays when something fails.
fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let made = File::create(&name).and_then(|mut file| {
        write(&mut file)?;
        file.sync_data()?;
        std::fs::rename(&name, path)
    });
    made.map_err(|error| {
        // What is half written is of no use.
        let _ = std::fs::remove_file(&name);
        Failure::new(
            Exit::Write,
            anyhow::Error::new(error).context(format!("cannot write `{}`", path.display())),
        )
    })
}

/// The beginning of a capture.
fn text_of(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    captures::open(path).ok()?.take(MOST_CAPTURE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
