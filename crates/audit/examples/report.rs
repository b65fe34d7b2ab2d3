//! A log as a report: `cargo run -p omne-audit --example report -- RUN/events.jsonl report.html`

use std::{
    error::Error,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use omne_audit::{Events, Excerpt, Report, Story, Stream, html};
use omne_events::{LogReader, NodeId};
use omne_replay::verify;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, page] = &arguments[..] else { return Err("LOG and PAGE are needed".into()) };
    let log = Path::new(log);
    let checked = verify(&mut LogReader::new(File::open(log)?, log))?;
    let chain = match checked.damage() {
        Some(finding) => Err(format!("line {}: {}", finding.line, finding.message)),
        None if checked.legacy => Ok(None),
        None => Ok(Some(checked.chain.head())),
    };
    let mut events = Events::default();
    let story =
        Story::read(&mut LogReader::new(File::open(log)?, log), |bytes, line| events.take(bytes, line))?;
    let nodes = log.with_file_name("nodes");
    let capture = |node: &NodeId, stream: Stream| {
        let ending = if stream == Stream::Stdout { "out" } else { "err" };
        Excerpt::read(&mut File::open(nodes.join(format!("{node}.{ending}"))).ok()?, 4096).ok()
    };
    let mut out = BufWriter::new(File::create(page)?);
    html(&Report { story: &story, chain, capture: &capture, events: &events }, &mut out)?;
    out.flush()?;
    Ok(())
}
