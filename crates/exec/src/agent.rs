//! One attempt at an AI node: a prompt, or the rounds of a loop, each a try of
//! the agent's program. It knows no process: bytes and ends come in, events
//! and what to do next come out, so that a recording is played through the
//! very same code.

mod ask;
mod files;
mod heard;
mod pieces;
mod recording;
mod under_way;

use std::io;

use omne_agent::{
    Call, CommandLine, Exit, Failure as AgentFailure, Item, Parser, Scanner, Sentinel, Session, Verdict,
    class,
};
use omne_events::{
    AgentStarted, AgentTool, Digest, ErrorKind, IterationCompleted, IterationOutcome, IterationStarted,
    NodeId, Usage,
};
use omne_pipe::{Node, Rounds};
use omne_process::Directory;
use smol_str::SmolStr;

use crate::{Emitted, node::verdict::Failure};

pub use ask::{Ask, ChangedPrompt, Funds, GoesOn};
pub(crate) use files::{Ended, Names, TryEnd, write_whole};
use files::{Lazy, Text, add_line};
pub(crate) use heard::clip;
use heard::{Heard, MOST_DENIED};
use pieces::Hiding;
pub use recording::{Bash, Recording, RecordingError};
use under_way::Try;

/// What follows from the end of a try.
pub(crate) enum Next {
    /// Another try.
    Again,
    /// The attempt succeeded.
    Done(Done),
    /// It failed.
    Failed(Failure),
}

/// A success before it is an event.
pub(crate) struct Done {
    pub(crate) bytes: u64,
    pub(crate) sha256: Digest,
    pub(crate) exit_code: Option<i32>,
    pub(crate) usage: Option<Usage>,
    pub(crate) denied: Vec<SmolStr>,
}

/// A try that is to be started.
pub(crate) struct Start {
    pub(crate) line: CommandLine,
    pub(crate) prompt: String,
    pub(crate) iteration: Option<u32>,
}

/// How far an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is nothing to be done about it.
    GoesOn,
    /// It has now said that it is done or blocked.
    HasSaid,
    /// It has said so, and does something more.
    BeginsAnew,
}

/// An attempt at an AI node.
pub(crate) struct AgentRun {
    pub(crate) ask: Box<Ask>,
    id: NodeId,
    attempt: u32,
    rounds: Option<Rounds>,
    budget_usd: Option<f64>,
    max_turns: Option<u32>,
    args: Vec<String>,
    directory: Directory,
    hiding: Option<Box<Hiding>>,
    text: Text,
    stream: Lazy,
    /// Of a loop; from 1.
    iteration: u32,
    session: Option<String>,
    is_resumed: bool,
    usage: Option<Usage>,
    denied: Vec<SmolStr>,
    tries: usize,
    /// Of the run's money, when the try began.
    budget_left: Option<f64>,
    this: Try,
}

/// Where the session ids of agents come from.
pub(crate) type Sessions<'a> = &'a mut dyn FnMut() -> String;

impl AgentRun {
    pub(crate) fn new(ask: Box<Ask>, node: &Node, attempt: u32, directory: &Directory) -> io::Result<Self> {
        let ai = node.ai();
        let capture = format!("{}.out", node.id);
        let text = match ask.goes_on {
            Some(_) => Text::go_on(directory.clone(), capture)?,
            None => Text::new(directory.clone(), capture),
        };
        let names = Names { node: node.id.as_str(), attempt };
        let parser = Parser::new(ask.agent.dialect);
        Ok(Self {
            id: node.id.clone(),
            attempt,
            rounds: node.rounds().cloned(),
            budget_usd: ai.and_then(|ai| ai.budget_usd),
            max_turns: ai.and_then(|ai| ai.max_turns).map(std::num::NonZeroU32::get),
            args: ai.map(|ai| ai.agent_args.clone()).unwrap_or_default(),
            stream: Lazy::new(directory.clone(), names.stream()),
            directory: directory.clone(),
            hiding: ask.mask.as_ref().map(Hiding::new),
            text,
            iteration: ask.first_iteration(node).unwrap_or(0),
            session: ask.goes_on.as_ref().and_then(|goes_on| goes_on.session.clone()),
            is_resumed: false,
            usage: None,
            denied: Vec::new(),
            tries: 0,
            budget_left: None,
            this: Try::new(parser, Scanner::default(), 0),
            ask,
        })
    }

    fn iteration(&self) -> Option<u32> {
        self.rounds.as_ref().map(|_| self.iteration)
    }

    /// Begins a try: its session, its mark in the capture, its event. The program is started once that is in the log.
    pub(crate) fn begin_try(
        &mut self,
        funds: &Funds,
        sessions: Sessions<'_>,
        emitted: &mut Vec<Emitted>,
    ) -> Result<Start, Failure> {
        if let Some(over) = funds.over().or_else(|| self.over_budget()) {
            return Err(Failure::new(ErrorKind::BudgetExceeded, over));
        }
        let fresh = self.rounds.as_ref().is_none_or(|rounds| rounds.fresh_context);
        let known = self.session.take().filter(|_| !fresh && self.ask.agent.resumes());
        self.is_resumed = known.is_some();
        self.session = known.or_else(|| self.ask.agent.names_sessions().then(sessions));
        let iteration = self.iteration();
        let prompt = self
            .ask
            .render(iteration)
            .map_err(|error| Failure::new(ErrorKind::SpawnFailed, format!("the prompt: {error}")))?;
        self.budget_left = funds.left();
        let line = self.command_line(&prompt)?;
        let scanner = Scanner::new(self.rounds.as_ref().map(|rounds| rounds.until.as_str()));
        self.this = Try::new(Parser::new(self.ask.agent.dialect), scanner, self.stream.bytes);
        self.tries += 1;
        if let Some(iteration) = iteration {
            let mark = format!("=== omne:iteration:{iteration} ===\n");
            self.text.end_line().and_then(|()| self.text.write(&mark)).map_err(|e| Failure::capture(&e))?;
            let started = IterationStarted {
                node_id: self.id.clone(),
                attempt: self.attempt,
                iteration,
                byte_offset: self.text.bytes(),
                session_id: self.session.clone(),
            };
            emitted.push(Emitted::Event(started.into()));
        }
        Ok(Start { line, prompt, iteration })
    }

    /// How the program is called with this prompt, in the session of the try.
    pub(crate) fn command_line(&self, prompt: &str) -> Result<CommandLine, Failure> {
        let session = match &self.session {
            None => Session::Unnamed,
            Some(session) if self.is_resumed => Session::Resumed(session),
            Some(session) => Session::New(session),
        };
        let own_left = self.budget_usd.map(|budget| (budget - self.spent()).max(0.0));
        let budget = [own_left, self.budget_left].into_iter().flatten().reduce(f64::min);
        let call = Call {
            prompt,
            session,
            model: self.ask.model.as_deref(),
            tools: self.ask.tools.as_deref(),
            turns: self.max_turns,
            budget,
            args: &self.args,
        };
        let line = self.ask.agent.command_line(&call);
        line.map_err(|error| Failure::new(ErrorKind::SpawnFailed, error.to_string()))
    }

    /// The round under way does not begin.
    pub(crate) fn refuse_round(&self, emitted: &mut Vec<Emitted>) {
        if let Some(iteration) = self.iteration() {
            let completed = IterationCompleted {
                node_id: self.id.clone(),
                attempt: self.attempt,
                iteration,
                outcome: IterationOutcome::Failed,
                usage: None,
            };
            emitted.push(Emitted::Event(completed.into()));
        }
    }

    fn over_budget(&self) -> Option<String> {
        let budget = self.budget_usd.filter(|budget| self.spent() > *budget)?;
        Some(format!("the node cost {:.4} USD, over its budget of {budget} USD", self.spent()))
    }

    fn spent(&self) -> f64 {
        self.ask.spent_usd + self.usage.and_then(|usage| usage.cost_usd).unwrap_or(0.0)
    }

    /// The program runs. One whose stream does not tell who it is, is told of here.
    pub(crate) fn spawned(&self, emitted: &mut Vec<Emitted>) {
        if self.ask.agent.dialect == omne_agent::Dialect::Text {
            emitted.push(Emitted::Event(self.started(None, self.ask.model.as_deref(), None).into()));
        }
    }

    fn started(&self, version: Option<&str>, model: Option<&str>, session: Option<&str>) -> AgentStarted {
        AgentStarted {
            node_id: self.id.clone(),
            attempt: self.attempt,
            agent: self.ask.agent.name.clone(),
            agent_version: version.map(Into::into),
            model: model.map(Into::into),
            session_id: session.map(str::to_owned).or_else(|| self.session.clone()),
        }
    }

    /// Takes what the program printed.
    pub(crate) fn hear(&mut self, bytes: &[u8], emitted: &mut Vec<Emitted>) -> io::Result<Progress> {
        match &mut self.hiding {
            None => self.stream.write(bytes)?,
            Some(hiding) => self.stream.write(&hiding.lines.push(bytes))?,
        }
        self.read(Some(bytes), emitted)
    }

    fn read(&mut self, bytes: Option<&[u8]>, emitted: &mut Vec<Emitted>) -> io::Result<Progress> {
        let mut items = Vec::new();
        let mut keep = |item: Item<'_>| items.push(Heard::from(item));
        match bytes {
            Some(bytes) => self.this.parser.push(bytes, &mut keep),
            None => self.this.parser.end(&mut keep),
        }
        let was_over = self.this.scanner.seen().is_some();
        let mut begins_anew = false;
        for heard in items {
            begins_anew |= matches!(heard, Heard::Tool(_)) && self.this.scanner.seen().is_some();
            self.take(heard, emitted)?;
        }
        Ok(match self.this.scanner.seen() {
            Some(_) if begins_anew => Progress::BeginsAnew,
            Some(_) if !was_over => Progress::HasSaid,
            _ => Progress::GoesOn,
        })
    }

    fn take(&mut self, heard: Heard, emitted: &mut Vec<Emitted>) -> io::Result<()> {
        match heard {
            Heard::Session { id, model, version } => {
                let event = self.started(version.as_deref(), model.as_deref(), id.as_deref());
                emitted.push(Emitted::Event(event.into()));
                self.session = id.or_else(|| self.session.take());
            }
            // The rest is no part of it: what still comes depends on when it is stopped.
            Heard::Text(_) | Heard::TextEnd if self.this.is_over => {}
            Heard::Text(text) => {
                let text = match &mut self.hiding {
                    None => text,
                    Some(hiding) => hiding.text.push_text(&text),
                };
                self.said(text, emitted)?;
            }
            Heard::TextEnd => {
                self.say_rest(emitted)?;
                self.text.end_line()?;
                self.this.end_block(self.ask.agent.dialect);
                emitted.push(Emitted::Live { node: self.id.clone(), text: "\n".to_owned() });
            }
            Heard::Partial(text) => {
                self.this.heard_partial = true;
                let text = match &mut self.hiding {
                    None => text,
                    Some(hiding) => hiding.live.push_text(&text),
                };
                emitted.push(Emitted::Live { node: self.id.clone(), text });
            }
            Heard::Tool(call) => {
                let event = AgentTool {
                    node_id: self.id.clone(),
                    attempt: self.attempt,
                    tool: call.name,
                    tool_use_id: call.id,
                    input_sha256: call.input_sha256,
                    summary: call.summary,
                };
                emitted.push(Emitted::Event(event.into()));
            }
        }
        Ok(())
    }

    fn said(&mut self, text: String, emitted: &mut Vec<Emitted>) -> io::Result<()> {
        self.text.write(&text)?;
        self.this.remember(&text);
        self.this.scanner.push(&text);
        if !self.this.heard_partial {
            emitted.push(Emitted::Live { node: self.id.clone(), text });
        }
        Ok(())
    }

    /// Says what was held back, because it could have been the beginning of a secret.
    fn say_rest(&mut self, emitted: &mut Vec<Emitted>) -> io::Result<()> {
        let Some(hiding) = &mut self.hiding else { return Ok(()) };
        let (text, live) = (hiding.text.finish_text(), hiding.live.finish_text());
        if !live.is_empty() {
            emitted.push(Emitted::Live { node: self.id.clone(), text: live });
        }
        if text.is_empty() { Ok(()) } else { self.said(text, emitted) }
    }

    /// The program has ended: what that means, for `cause` if it was ended from outside.
    pub(crate) fn end_try(
        &mut self,
        mut end: TryEnd,
        cause: Option<Failure>,
        funds: &mut Funds,
        emitted: &mut Vec<Emitted>,
    ) -> Result<Next, io::Error> {
        if let Some(hiding) = &mut self.hiding {
            self.stream.write(&hiding.lines.end())?;
        }
        self.read(None, emitted)?;
        self.say_rest(emitted)?;
        self.text.end_line()?;
        (end.iteration, end.from, end.to) = (self.iteration(), self.this.from, self.stream.bytes);
        let names = Names { node: self.id.as_str(), attempt: self.attempt };
        add_line(&self.directory, &names.tries(), &end)?;

        let usage = self.this.parser.usage();
        if let Some(usage) = usage {
            *self.usage.get_or_insert_default() += usage;
            funds.spent_usd += usage.cost_usd.unwrap_or(0.0);
        }
        for tool in self.this.parser.denied_tools() {
            let tool: SmolStr = clip(tool).into();
            if !self.denied.contains(&tool) && self.denied.len() < MOST_DENIED {
                self.denied.push(tool);
            }
        }
        if self.this.parser.dropped_lines() > 0 {
            emitted.push(Emitted::Notice(format!(
                "{} line(s) of the agent of `{}` were over 16 MiB and were not read",
                self.this.parser.dropped_lines(),
                self.id
            )));
        }
        let verdict = self.judge(&end, cause);
        let over = funds.over().or_else(|| self.over_budget());
        let over = over.map(|message| Failure::new(ErrorKind::BudgetExceeded, message));
        let (outcome, mut next) = match (verdict, over) {
            (Judged::Forgotten, None) => {
                let notice = format!(
                    "the agent does not know the session of `{}` any more: iteration {} goes on in a new one",
                    self.id, self.iteration
                );
                emitted.push(Emitted::Notice(notice));
                self.session = None;
                (IterationOutcome::Failed, Next::Again)
            }
            (Judged::Failed(failure), Some(over)) if !failure.was_asked_for() => {
                // There is no money for another try.
                let why = if failure.message.is_empty() { failure.kind.as_str() } else { &failure.message };
                let message = format!("{}; it had failed: {why}", over.message);
                (IterationOutcome::Failed, Next::Failed(Failure { message, ..over }))
            }
            (Judged::Failed(failure), _) => (IterationOutcome::Failed, Next::Failed(failure)),
            (Judged::Blocked(failure), _) => (IterationOutcome::Blocked, Next::Failed(failure)),
            (Judged::Until, over) => (IterationOutcome::Until, self.done_unless(over, None)),
            (Judged::Forgotten, Some(over)) => (IterationOutcome::Failed, Next::Failed(over)),
            (Judged::Success, Some(over)) => (IterationOutcome::Continue, Next::Failed(over)),
            (Judged::Success, None) => (IterationOutcome::Continue, self.next_round(&end)),
        };
        if let Some(iteration) = self.iteration() {
            let completed = IterationCompleted {
                node_id: self.id.clone(),
                attempt: self.attempt,
                iteration,
                outcome,
                usage,
            };
            emitted.push(Emitted::Event(completed.into()));
        }
        match &mut next {
            Next::Again if outcome == IterationOutcome::Continue => self.iteration += 1,
            Next::Failed(failure) => failure.usage = self.usage.map(Box::new),
            Next::Again | Next::Done(_) => {}
        }
        Ok(next)
    }

    fn judge(&self, end: &TryEnd, cause: Option<Failure>) -> Judged {
        // What it said counts, even if it was ended in the same moment.
        match self.this.scanner.seen() {
            Some(Sentinel::Blocked) => {
                let reason = self.this.last_text.replace(omne_agent::BLOCKED, "");
                let message = match reason.trim() {
                    "" => format!("the agent said `{}`", omne_agent::BLOCKED),
                    reason => format!("the agent said `{}`: {reason}", omne_agent::BLOCKED),
                };
                return Judged::Blocked(Failure::new(ErrorKind::Blocked, message));
            }
            Some(Sentinel::Until) => return Judged::Until,
            None => {}
        }
        if let Some(cause) = cause {
            return Judged::Failed(cause);
        }
        match self.this.parser.verdict(end.exit(), &end.stderr) {
            Verdict::Success => Judged::Success,
            Verdict::Failure(failure) if self.is_resumed && is(&failure, class::SESSION_NOT_FOUND) => {
                Judged::Forgotten
            }
            Verdict::Failure(AgentFailure { kind, class, message }) => {
                let Exit { code, signal } = end.exit();
                let class = class.map(|class| clip(&class).into());
                Judged::Failed(Failure { class, code, signal, ..Failure::new(kind, message) })
            }
        }
    }

    fn next_round(&mut self, end: &TryEnd) -> Next {
        match &self.rounds {
            None => self.done_unless(None, end.exit_code),
            Some(rounds) if self.iteration >= rounds.max_iterations => {
                let message =
                    format!("{} iterations without a line `{}`", rounds.max_iterations, rounds.until);
                Next::Failed(Failure::new(ErrorKind::MaxIterationsExceeded, message))
            }
            Some(_) => Next::Again,
        }
    }

    fn done_unless(&mut self, over: Option<Failure>, exit_code: Option<i32>) -> Next {
        match over {
            Some(over) => Next::Failed(over),
            None => Next::Done(Done { exit_code, ..self.done() }),
        }
    }

    /// The success of a loop that has nothing left to do.
    pub(crate) fn done(&mut self) -> Done {
        Done {
            bytes: self.text.bytes(),
            sha256: self.text.digest(),
            exit_code: None,
            usage: self.usage,
            denied: std::mem::take(&mut self.denied),
        }
    }

    /// How many tries have begun.
    pub(crate) fn tries_begun(&self) -> usize {
        self.tries
    }

    /// What it used so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

fn is(failure: &AgentFailure, class: &str) -> bool {
    failure.class.as_deref() == Some(class)
}

/// What a try came to.
enum Judged {
    Success,
    Until,
    Blocked(Failure),
    /// It was to go on with a session that the agent does not know any more.
    Forgotten,
    Failed(Failure),
}
