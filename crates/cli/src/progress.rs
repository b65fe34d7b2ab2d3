//! What is shown while a run is under way.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Read as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use omne_events::{Clock, Event, NodeId, Recorded, SystemClock};
use omne_pipe::format_duration;
use omne_process::Interruptible;
use omne_replay::{NodePhase, RunPhase, RunState};
use omne_runner::{Observer, RunDir};

use crate::{
    args::Show,
    command::captures,
    render::{self, Paint, sign},
    stream::Stream,
};

/// How often the live display changes.
const FRAME: Duration = Duration::from_millis(100);
/// How long a run that was interrupted waits for whoever reads what it printed.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many running nodes it names.
const NAMED: usize = 8;

/// Shows a run on standard error, and its events on standard output if wanted.
pub(crate) struct Progress {
    run: RunDir,
    json: bool,
    /// The line with the run's id, until it is printed: once the first event is in the log, there is such a run.
    announcement: Option<String>,
    display: Display,
    paint: Paint,
    clock: SystemClock,
    stdout: Stream,
    stderr: Stream,
}

enum Display {
    Quiet,
    /// One line an event.
    Lines,
    /// What runs, for how long, and how much is done.
    Live(Box<Live>),
}

struct Live {
    bar: ProgressBar,
    drawn: Option<Instant>,
    done: usize,
    total: usize,
    running: Vec<Running>,
}

/// A node that runs.
struct Running {
    node: String,
    since: Instant,
    /// The round that it is in.
    iteration: Option<u32>,
    /// What its agent said or did last: the line that is being written.
    saying: String,
}

impl Progress {
    pub(crate) fn new(show: Show, run: RunDir, paint: Paint) -> Self {
        let display = match show.quiet {
            true => Display::Quiet,
            false if can_be_drawn_on() => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(20));
                bar.set_style(
                    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                let running = Vec::new();
                Display::Live(Box::new(Live { bar, drawn: None, done: 0, total: 0, running }))
            }
            false => Display::Lines,
        };
        let announcement = (!show.json).then(|| format!("run_id={}\n", run.id));
        let (stdout, stderr) = (Stream::stdout(), Stream::stderr());
        Self { run, json: show.json, announcement, display, paint, clock: SystemClock::new(), stdout, stderr }
    }

    /// The run was announced before.
    pub(crate) fn continued(self) -> Self {
        Self { announcement: None, ..self }
    }

    /// Says how it ended.
    pub(crate) fn finish(mut self, state: &RunState) {
        if let Display::Live(live) = &self.display {
            live.bar.finish_and_clear();
        }
        if !matches!(self.display, Display::Quiet) {
            let text = self.results(state) + &render::summary(state, self.paint);
            self.eprint(&text);
        }
        // Who wants an end waits for no reader.
        let is_stopped = state.phase() == RunPhase::Interrupted
            || state.reason().is_some_and(|reason| reason.starts_with("cancelled by"));
        self.drain(is_stopped.then_some(PATIENCE));
    }

    /// Waits until everything that was to be read is. Ctrl-C ends that.
    fn drain(&mut self, patience: Option<Duration>) {
        let _interruptible = Interruptible::new();
        self.stdout.drain(patience);
        self.stderr.drain(patience);
    }

    /// What the last nodes of a run that completed printed: its result, if it is short enough to be one.
    fn results(&self, state: &RunState) -> String {
        const MOST_NODES: usize = 3;
        const MOST_BYTES: u64 = 2000;
        let (Some(pipe), RunPhase::Completed) = (state.pipe(), state.phase()) else { return String::new() };
        let completed = |node| state.node(node).phase == NodePhase::Completed;
        let mut text = String::new();
        for node in pipe.graph().nodes().filter(|node| completed(*node)) {
            let bytes = state.node(node).output_bytes;
            let is_last = !pipe.graph().dependents(node).iter().any(|dependent| completed(*dependent));
            if !is_last || bytes == 0 || bytes > MOST_BYTES || text.matches("══ ").count() == MOST_NODES {
                continue;
            }
            let id = &pipe.node(node).id;
            let mut bytes = Vec::new();
            let read = captures::open(&self.run.path.join(format!("nodes/{id}.out")))
                .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
            if read.is_ok() {
                let printed = String::from_utf8_lossy(&bytes);
                let (title, shown) = (format!("══ {id}"), render::visible(printed.trim_end()));
                let _ = writeln!(text, "\n{}\n{shown}", self.paint.bold(&title));
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }

    /// Takes the live display away, so that an error can be shown.
    pub(crate) fn clear(mut self) {
        if let Display::Live(live) = &self.display {
            live.bar.finish_and_clear();
        }
        self.drain(None);
    }

    /// A reader that is gone is no reason to stop a run.
    fn eprint(&mut self, text: &str) {
        let _ = self.stderr.print(text.as_bytes());
    }
}

/// Whether standard error is a terminal on which lines can be written anew.
fn can_be_drawn_on() -> bool {
    let is_able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    let has_size = || {
        let size = terminal_size::terminal_size_of(std::io::stderr());
        size.is_some_and(|(width, height)| width.0 > 0 && height.0 > 0)
    };
    is_able && std::io::stderr().is_terminal() && has_size()
}

/// How many characters fit a line.
fn console_width() -> u16 {
    const USUAL: u16 = 80;
    terminal_size::terminal_size_of(std::io::stderr()).map_or(USUAL, |(width, _)| width.0)
}

impl Observer for Progress {
    fn wrote(&mut self, records: &[Recorded], lines: &[u8], state: &RunState) {
        // A reader that is gone is no reason to stop a run.
        if let Some(line) = self.announcement.take()
            && let Err(error) = self.stdout.print(line.as_bytes())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            self.warn(&format!("standard output can not be written ({error}): {}", line.trim_end()));
        }
        if self.json
            && let Err(error) = self.stdout.print(lines)
        {
            // The run itself goes on, and its log has them.
            self.json = false;
            // Whoever read them and is gone has seen enough.
            if error.kind() != std::io::ErrorKind::BrokenPipe {
                self.warn(&format!("the events can not be printed any more ({error}); the log has them"));
            }
        }
        match &mut self.display {
            Display::Quiet => {}
            Display::Lines => {
                let mut text = String::new();
                let since = self.clock.monotonic().as_millis();
                for record in records {
                    let (seconds, ms) = (since / 1000, since % 1000);
                    let _ = writeln!(text, "[{seconds:>4}.{ms:03}] {}", render::describe(&record.event));
                }
                self.eprint(&text);
            }
            Display::Live(live) => live.take(records, state, self.paint),
        }
    }

    fn tick(&mut self, _: &RunState) -> Option<Duration> {
        match &mut self.display {
            Display::Live(live) => {
                live.draw(self.paint);
                (!live.running.is_empty()).then_some(FRAME)
            }
            Display::Quiet | Display::Lines => None,
        }
    }

    fn live(&mut self, node: &NodeId, text: &str) {
        if let Display::Live(live) = &mut self.display {
            live.hear(node.as_str(), text);
        }
    }

    fn warn(&mut self, message: &str) {
        let text = format!("{}: {}", self.paint.yellow("warning"), render::visible(message));
        match &self.display {
            Display::Live(live) => live.bar.println(text),
            Display::Quiet | Display::Lines => self.eprint(&format!("{text}\n")),
        }
    }
}

impl Live {
    fn take(&mut self, records: &[Recorded], state: &RunState, paint: Paint) {
        let mut lines = Vec::new();
        for record in records {
            match &record.event {
                Event::PipeStarted(_) | Event::PipeResumed(_) => {
                    self.total = state.nodes().count();
                    self.done = state.nodes().filter(|(_, _, r)| r.phase == NodePhase::Completed).count();
                }
                Event::NodeStarted(e) => self.running.push(Running {
                    node: e.node_id.to_string(),
                    since: Instant::now(),
                    iteration: None,
                    saying: String::new(),
                }),
                Event::IterationStarted(e) => {
                    if let Some(running) = self.find(e.node_id.as_str()) {
                        running.iteration = Some(e.iteration);
                    }
                }
                Event::AgentTool(e) => {
                    let saying = format!("{} {}", e.tool, e.summary.as_deref().unwrap_or_default());
                    if let Some(running) = self.find(e.node_id.as_str()) {
                        running.saying = format!("{saying}\n");
                    }
                }
                Event::NodeCompleted(e) => {
                    lines.push(self.end(e.node_id.as_str(), &record.event, "completed", paint));
                    self.done += 1;
                }
                Event::NodeFailed(e) => {
                    lines.push(self.end(e.node_id.as_str(), &record.event, "failed", paint));
                    self.done += usize::from(e.retry_in_ms.is_none());
                }
                Event::NodeSkipped(e) => {
                    lines.push(self.end(e.node_id.as_str(), &record.event, "skipped", paint));
                    self.done += 1;
                }
                Event::GatePassed(_) | Event::GateWaiting(_) | Event::GateDecided(_) => {
                    lines.push(format!("  {}", render::describe(&record.event)));
                }
                Event::PipeCompleted(_)
                | Event::PipeAborted(_)
                | Event::PipeInterrupted(_)
                | Event::PipeParked(_)
                | Event::NodeSpawned(_)
                | Event::IterationCompleted(_)
                | Event::AgentStarted(_)
                | Event::HookDecided(_) => {}
            }
        }
        if !lines.is_empty() {
            // The bar first: what is printed above it brings the bar along as it was last set.
            self.bar.set_message(self.message(paint));
            self.bar.println(lines.join("\n"));
        }
    }

    fn end(&mut self, node: &str, event: &Event, state: &str, paint: Paint) -> String {
        self.running.retain(|running| running.node != node);
        format!("{} {}", paint.state(state, sign(state)), render::describe(event))
    }

    fn find(&mut self, node: &str) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.node == node)
    }

    /// Keeps the line that an agent is at.
    fn hear(&mut self, node: &str, text: &str) {
        const MOST: usize = 2000;
        let Some(running) = self.find(node) else { return };
        for piece in text.split_inclusive('\n') {
            // A line that is whole stays until the next one begins.
            if running.saying.ends_with('\n') && !piece.trim().is_empty() {
                running.saying.clear();
            }
            if running.saying.len() < MOST && !running.saying.ends_with('\n') {
                running.saying.push_str(piece);
            }
        }
    }

    fn draw(&mut self, paint: Paint) {
        if self.drawn.is_some_and(|at| at.elapsed() < FRAME) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.bar.set_message(self.message(paint));
        self.bar.tick();
    }

    fn message(&self, paint: Paint) -> String {
        let mut text = String::new();
        let width = usize::from(console_width());
        for Running { node, since, iteration, saying } in self.running.iter().take(NAMED) {
            let took = format_duration(since.elapsed());
            let round = iteration.map(|n| format!(" #{n}")).unwrap_or_default();
            let room = width.saturating_sub(node.chars().count() + round.len() + took.len() + 6);
            let saying: String = render::visible(saying.trim()).chars().take(room).collect();
            let times = format!("{round} {took}");
            let (times, saying) = (paint.dim(&times), paint.dim(&saying));
            let _ = writeln!(text, "{} {node}{times}  {saying}", paint.blue("▶"));
        }
        if self.running.len() > NAMED {
            let _ = writeln!(text, "  and {} more", self.running.len() - NAMED);
        }
        let _ = write!(text, "{}", paint.dim(&format!("{}/{} done", self.done, self.total)));
        text
    }
}
