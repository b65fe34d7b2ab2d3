//! A run as an OpenTelemetry trace in OTLP/JSON, as `POST /v1/traces` takes it.
//!
//! Spans: the run, in it each node that began, in it each attempt, in it each
//! round. Ids follow from the run's id, so exporting twice sends the same trace.
//! `gen_ai.*` stands on the innermost span in which an agent was asked, once, so
//! that sums over spans count nothing twice; sums stand as `omne.usage.*`.

mod attributes;

use std::io::{self, Write};

use omne_dag::NodeIx;
use omne_events::{Digest, IterationOutcome, NodeId, NodeKind, Timestamp};
use omne_replay::{NodePhase, NodeRecord, RunPhase};
use serde::Serialize;

use self::attributes::{Attributes, event, resource, retry};
use super::{Elements, End, go_ends, place, round_times};
use crate::{Attempt, Go, Mark, Story};

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u32 = 1;

/// Writes `story` as an `ExportTraceServiceRequest`.
///
/// # Errors
/// When `out` cannot be written.
pub fn otlp_json(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let scope = Scope { name: "omne", version: story.state.host().map(|host| host.omne_version.as_str()) };
    let head = format!(
        "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":{}}},\"scopeSpans\":[{{\"scope\":{},\"spans\":[",
        serde_json::to_string(&resource(story))?,
        serde_json::to_string(&scope)?
    );
    let run = story.state.run().map_or("", |run| run.as_str());
    let times = node_times(story);
    let trace =
        Trace { story, run, trace_id: hex(&Digest::of(run), 32), marks: owners(story, &times), times };
    let mut spans = Elements::new(out, &head)?;
    trace.run(&mut spans)?;
    for (number, node) in story.state.nodes().enumerate() {
        trace.node(number, node, &mut spans)?;
    }
    for (number, attempt) in story.attempts.iter().enumerate() {
        trace.attempt(number, attempt, &mut spans)?;
    }
    spans.finish("\n]}]}]}\n")
}

#[derive(Serialize)]
struct Scope<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a, E: Serialize> {
    trace_id: &'a str,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'a str,
    kind: u32,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Attributes,
    events: E,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link<'a>>,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    time_unix_nano: String,
    name: &'static str,
    attributes: Attributes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Link<'a> {
    trace_id: &'a str,
    span_id: String,
    attributes: Attributes,
}

#[derive(Serialize, Default)]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl<'a> Status<'a> {
    const OK: Self = Status { code: Some(1), message: None };

    fn error(message: Option<&'a str>) -> Self {
        Status { code: Some(2), message }
    }
}

/// Events that are made as they are written.
struct Events<F>(F);

impl<I: Iterator<Item = Event>, F: Fn() -> I> Serialize for Events<F> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// A span that a mark may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Run,
    Node(usize),
    Attempt(usize),
}

/// When a node's span begins and ends; `None` for nodes that never began.
type Times = Option<(Timestamp, Timestamp)>;

fn node_times(story: &Story) -> Vec<Times> {
    let mut times: Vec<Times> = vec![None; story.state.nodes().count()];
    for attempt in &story.attempts {
        let end = End::of(story, attempt).at;
        if let Some(time) = place(story, &attempt.node).and_then(|node| times.get_mut(node)) {
            let (from, to) = time.get_or_insert((attempt.started, end));
            (*from, *to) = ((*from).min(attempt.started), (*to).max(end));
        }
    }
    for mark in &story.marks {
        let node = mark.node.as_ref().and_then(|node| place(story, node));
        if let Some((from, to)) = node.and_then(|node| times.get_mut(node)?.as_mut()) {
            (*from, *to) = ((*from).min(mark.at), (*to).max(mark.at));
        }
    }
    times
}

/// The mark numbers in the order of the spans that they belong to.
fn owners(story: &Story, times: &[Times]) -> Vec<(Owner, usize)> {
    let mut last: Vec<Option<(usize, Timestamp)>> = vec![None; times.len()];
    let mut attempts = story.attempts.iter().enumerate().peekable();
    let mut owners = Vec::with_capacity(story.marks.len());
    for (number, mark) in story.marks.iter().enumerate() {
        while let Some((number, attempt)) = attempts.next_if(|(_, attempt)| attempt.seq < mark.seq) {
            if let Some(node) = place(story, &attempt.node) {
                last[node] = Some((number, End::of(story, attempt).at));
            }
        }
        let node = mark.node.as_ref().and_then(|node| place(story, node));
        let owner = match node.filter(|node| times[*node].is_some()) {
            None => Owner::Run,
            Some(node) => match last[node].filter(|(_, end)| mark.at <= *end) {
                Some((attempt, _)) => Owner::Attempt(attempt),
                None => Owner::Node(node),
            },
        };
        owners.push((owner, number));
    }
    owners.sort_unstable();
    owners
}

struct Trace<'a> {
    story: &'a Story,
    run: &'a str,
    trace_id: String,
    times: Vec<Times>,
    marks: Vec<(Owner, usize)>,
}

impl<'a> Trace<'a> {
    fn span_id(&self, path: &str) -> String {
        hex(&Digest::of(format!("{}/{path}", self.run)), 16)
    }

    fn node_id(&self, node: &str) -> String {
        self.span_id(&format!("node/{node}"))
    }

    fn marks(&self, owner: Owner) -> impl Iterator<Item = &'a Mark> {
        let from = self.marks.partition_point(|(other, _)| *other < owner);
        let to = self.marks.partition_point(|(other, _)| *other <= owner);
        self.marks[from..to].iter().map(|(_, number)| &self.story.marks[*number])
    }

    fn run(&self, spans: &mut Elements<'_>) -> io::Result<()> {
        let story = self.story;
        let state = &story.state;
        let from = story.started().unwrap_or_default();
        let status = match state.phase() {
            RunPhase::Completed => Status::OK,
            RunPhase::Aborted | RunPhase::Interrupted => Status::error(state.reason()),
            RunPhase::Unborn | RunPhase::Running | RunPhase::Parked => Status::default(),
        };
        let ends = go_ends(story);
        let goes = || story.goes.iter().zip(&ends).flat_map(|(go, end)| go_events(go, *end));
        let events = || goes().chain(self.marks(Owner::Run).map(event));
        spans.push(&Span {
            trace_id: &self.trace_id,
            span_id: self.span_id("run"),
            parent_span_id: None,
            name: &format!("run {}", state.name()),
            kind: INTERNAL,
            start_time_unix_nano: nanos(from),
            end_time_unix_nano: nanos(story.last().unwrap_or(from).max(from)),
            attributes: attributes::run(story),
            events: Events(events),
            links: Vec::new(),
            status,
        })
    }

    fn node(
        &self,
        number: usize,
        (id, kind, record): (&NodeId, NodeKind, &NodeRecord),
        spans: &mut Elements<'_>,
    ) -> io::Result<()> {
        let Some((from, to)) = self.times[number] else { return Ok(()) };
        let (story, id) = (self.story, id.as_str());
        let status = match record.phase {
            NodePhase::Completed => Status::OK,
            NodePhase::Failed => {
                Status::error(record.message().or(record.error().map(|error| error.kind.as_str())))
            }
            NodePhase::Pending
            | NodePhase::Running
            | NodePhase::Retrying
            | NodePhase::Blocked
            | NodePhase::Skipped
            | NodePhase::Waiting => Status::default(),
        };
        let dependencies = story.state.pipe().map(|pipe| {
            let needs = pipe.graph().dependencies(NodeIx::new(number)).iter();
            needs.filter(|need| self.times[need.place()].is_some()).map(|need| pipe.node(*need).id.as_str())
        });
        let link = |node| Link {
            trace_id: &self.trace_id,
            span_id: self.node_id(node),
            attributes: Attributes::default().text("omne.link", "depends_on").text("omne.node.id", node),
        };
        spans.push(&Span {
            trace_id: &self.trace_id,
            span_id: self.node_id(id),
            parent_span_id: Some(self.span_id("run")),
            name: &format!("node {id}"),
            kind: INTERNAL,
            start_time_unix_nano: nanos(from),
            end_time_unix_nano: nanos(to),
            attributes: attributes::node(story, id, kind, record),
            events: Events(|| self.marks(Owner::Node(number)).map(event)),
            links: dependencies.into_iter().flatten().map(link).collect(),
            status,
        })
    }

    fn attempt(&self, number: usize, attempt: &Attempt, spans: &mut Elements<'_>) -> io::Result<()> {
        let story = self.story;
        let end = End::of(story, attempt);
        let status = match end.outcome {
            "completed" => Status::OK,
            "failed" => Status::error(end.message.or(end.error.map(|error| error.kind.as_str()))),
            _ => Status::default(),
        };
        let path = format!("attempt/{}", attempt.seq);
        let events = || self.marks(Owner::Attempt(number)).map(event).chain(retry(attempt, &end));
        spans.push(&Span {
            trace_id: &self.trace_id,
            span_id: self.span_id(&path),
            parent_span_id: Some(self.node_id(attempt.node.as_str())),
            name: &format!("{} attempt {}", attempt.node, attempt.number),
            kind: INTERNAL,
            start_time_unix_nano: nanos(attempt.started),
            end_time_unix_nano: nanos(end.at),
            attributes: attributes::attempt(story, attempt, &end),
            events: Events(events),
            links: Vec::new(),
            status,
        })?;
        for (place, (round, (from, to))) in
            attempt.rounds.iter().zip(round_times(attempt, end.at)).enumerate()
        {
            let status = match round.outcome {
                Some(IterationOutcome::Until | IterationOutcome::Continue) => Status::OK,
                Some(IterationOutcome::Blocked) => Status::error(Some("blocked")),
                Some(IterationOutcome::Failed) => Status::error(Some("failed")),
                None => Status::default(),
            };
            spans.push(&Span {
                trace_id: &self.trace_id,
                span_id: self.span_id(&format!("{path}/{place}")),
                parent_span_id: Some(self.span_id(&path)),
                name: &format!("{} iteration {}", attempt.node, round.number),
                kind: INTERNAL,
                start_time_unix_nano: nanos(from),
                end_time_unix_nano: nanos(to),
                attributes: attributes::round(story, attempt, round),
                events: [(); 0],
                links: Vec::new(),
                status,
            })?;
        }
        Ok(())
    }
}

/// How a go began and ended.
fn go_events(go: &Go, ended: Timestamp) -> impl Iterator<Item = Event> {
    let (began, ends) = attributes::go(go);
    let name = if go.resume == 0 { "omne.run.started" } else { "omne.run.resumed" };
    let began = Event { time_unix_nano: nanos(go.at), name, attributes: began };
    let ended = Event { time_unix_nano: nanos(ended), name: "omne.run.stopped", attributes: ends };
    [began, ended].into_iter()
}

fn nanos(at: Timestamp) -> String {
    (i128::from(at.as_millisecond()) * 1_000_000).to_string()
}

/// The first hex digits of a digest.
fn hex(digest: &Digest, digits: usize) -> String {
    let mut text = digest.to_string();
    text.truncate(digits);
    text
}
