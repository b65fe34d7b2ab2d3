//! `hooks backtest`: what hooks, as they are configured now, would have said to
//! past runs.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use omne_agent::{Dialect, Item, Parser};
use omne_events::{
    AgentTool, ErrorKind, Event, HookDecided, HookVerdict, IterationStarted, Line, NodeId, NodeStarted,
};
use omne_exec::Asker;
use omne_hooks::{Config, Effect, HookEvent, Subject, Verdict};
use omne_pipe::{Body, Pipe};
use omne_runner::{RunDir, Volume};
use serde_json::{Map, Value, json};

use super::Bench;
use crate::{
    args,
    command::log::LogSource,
    failure::{Exit, Result},
    render::visible,
    wire::Context,
};

/// Where the shell of scripts usually is.
const SHELL: &str = "/bin/sh";

/// What was said to a step, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    word: &'static str,
    why: String,
}

impl Said {
    fn allow() -> Self {
        Self { word: "allow", why: String::new() }
    }

    /// Takes in one hook's word.
    fn hear(&mut self, decided: &HookDecided) {
        let word = match decided.decision {
            HookVerdict::Modify if self.word == "allow" => "modify",
            HookVerdict::AskUser if self.word != "deny" => "ask_user",
            HookVerdict::Deny => "deny",
            HookVerdict::Modify | HookVerdict::AskUser | HookVerdict::Allow | HookVerdict::Error => return,
        };
        *self = Self { word, why: decided.reason.clone().unwrap_or_default() };
    }
}

/// A step of a past run that hooks may be asked about.
struct Step {
    what: What,
    said: Said,
}

enum What {
    Run,
    Node(NodeStarted),
    Iteration(IterationStarted),
    Gate { node: NodeId, attempt: u32 },
    Tool(AgentTool),
}

impl What {
    fn node(&self) -> Option<&NodeId> {
        match self {
            What::Run => None,
            What::Node(started) => Some(&started.node_id),
            What::Iteration(started) => Some(&started.node_id),
            What::Gate { node, .. } => Some(node),
            What::Tool(call) => Some(&call.node_id),
        }
    }

    fn event(&self) -> HookEvent {
        match self {
            What::Run => HookEvent::PreRun,
            What::Node(_) => HookEvent::PreNode,
            What::Iteration(_) => HookEvent::PreIteration,
            What::Gate { .. } => HookEvent::PreGate,
            What::Tool(_) => HookEvent::PreTool,
        }
    }

    /// For people.
    fn describe(&self) -> String {
        match self {
            What::Run => "the run".to_owned(),
            What::Node(started) => format!("{} #{}", started.node_id, started.attempt),
            What::Iteration(e) => format!("{} #{}, round {}", e.node_id, e.attempt, e.iteration),
            What::Gate { node, attempt } => format!("{node} #{attempt}, its gate"),
            What::Tool(call) => format!("{} #{}, its tool {}", call.node_id, call.attempt, call.tool),
        }
    }
}

pub(super) fn backtest(
    args: &args::Backtest,
    config: Config,
    volume: &Volume,
    context: &Context,
) -> Result<ExitCode> {
    let runs = match args.runs.as_slice() {
        [] => volume.runs()?,
        names => names.iter().map(|name| volume.resolve(name)).collect::<std::result::Result<Vec<_>, _>>()?,
    };
    let paint = context.paint();
    let mut bench = Bench::new(config, volume)?;
    let (mut steps, mut others, mut gone, mut passed_over) = (0, 0, 0, 0);
    for run in &runs {
        let past = match Past::of(run) {
            // Of all runs there are, one that can't be read is no reason to tell nothing of the others.
            Err(failure) if args.runs.is_empty() => {
                if !run.never_began() {
                    let warning = context.paint_errors().yellow("warning");
                    write!(
                        std::io::stderr().lock(),
                        "{warning}: {} is passed over\n{}",
                        run.id,
                        failure.describe()
                    )?;
                }
                passed_over += 1;
                continue;
            }
            past => past?,
        };
        let Some(pipe) = &past.pipe else { continue };
        let mut now = Now { volume: volume.root(), run, pipe, inputs: &past.inputs, calls: None };
        for Step { what, said } in &past.steps {
            let Some(payload) = now.payload(what) else {
                gone += 1;
                continue;
            };
            steps += 1;
            let Some(now) = now.ask(&mut bench, what, payload)? else { return Ok(ExitCode::from(130)) };
            if now.word != said.word {
                others += 1;
                let why = if now.why.is_empty() { &said.why } else { &now.why };
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                let text = format!("{}  was {}, would be {}{why}", what.describe(), said.word, now.word);
                let text = visible(&text).replace('\n', " ");
                writeln!(std::io::stdout().lock(), "{} {text}", paint.dim(run.id.as_str()))?;
            }
        }
    }
    let mut text = format!(
        "{steps} step(s) of {} run(s), {others} would be decided otherwise",
        runs.len() - passed_over
    );
    if gone > 0 {
        text += &format!("; {gone} tool call(s) can not be asked about: their recordings are gone");
    }
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(if others == 0 { ExitCode::SUCCESS } else { Exit::Aborted.into() })
}

/// The steps of a run, with what was said to them.
#[derive(Default)]
struct Past {
    pipe: Option<Arc<Pipe>>,
    inputs: Map<String, Value>,
    steps: Vec<Step>,
    /// Each node's newest step, but for tool calls.
    last: HashMap<NodeId, usize>,
    /// What was said to tool calls, which the log may tell of later.
    calls: HashMap<String, Said>,
}

impl Past {
    fn of(run: &RunDir) -> Result<Self> {
        let mut past = Self::default();
        let folded = LogSource::Run(run.clone()).fold(None, |_, line| {
            if let Line::Known(record) = &*line.to_line() {
                past.take(&record.event);
            }
        })?;
        past.pipe = folded.state.pipe().cloned();
        let inputs = folded.state.inputs().iter();
        past.inputs = inputs.map(|(key, value)| (key.to_string(), value.clone())).collect();
        for step in &mut past.steps {
            if let What::Tool(call) = &step.what
                && let Some(said) = past.calls.remove(&call.tool_use_id)
            {
                step.said = said;
            }
        }
        Ok(past)
    }

    fn push(&mut self, what: What) {
        if let Some(node) = what.node().filter(|_| !matches!(what, What::Tool(_))) {
            self.last.insert(node.clone(), self.steps.len());
        }
        self.steps.push(Step { what, said: Said::allow() });
    }

    fn last(&mut self, node: &NodeId) -> Option<&mut Step> {
        self.last.get(node).and_then(|place| self.steps.get_mut(*place))
    }

    /// That a node has come to its gate shows in what the gate, or a hook before it, said.
    fn at_gate(&mut self, node: &NodeId) {
        let attempt = match self.last(node).map(|step| &step.what) {
            None | Some(What::Run | What::Tool(_) | What::Gate { .. }) => return,
            Some(What::Node(started)) => started.attempt,
            Some(What::Iteration(started)) => started.attempt,
        };
        self.push(What::Gate { node: node.clone(), attempt });
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::PipeStarted(_) => self.push(What::Run),
            Event::NodeStarted(started) => self.push(What::Node(started.clone())),
            Event::IterationStarted(started) => self.push(What::Iteration(started.clone())),
            Event::AgentTool(call) => self.push(What::Tool(call.clone())),
            Event::GatePassed(passed) => self.at_gate(&passed.node_id),
            Event::GateWaiting(waiting) => {
                let asked = match Asker::of(&waiting.gate) {
                    Asker::Gate => return self.at_gate(&waiting.node_id),
                    Asker::Step => self.last(&waiting.node_id),
                    Asker::Run => self.steps.first_mut(),
                };
                if let Some(step) = asked {
                    step.said = Said { word: "ask_user", why: waiting.prompt.clone() };
                }
            }
            Event::HookDecided(decided) => self.decided(decided),
            Event::NodeFailed(failed) => {
                if matches!(failed.error.kind, ErrorKind::GateFailed | ErrorKind::GateTimeout) {
                    self.at_gate(&failed.node_id);
                }
                let denied = failed.error.kind == ErrorKind::Denied;
                let last = self.last(&failed.node_id).filter(|step| denied && step.said.word != "ask_user");
                if let Some(step) = last {
                    step.said = Said { word: "deny", why: failed.message.clone().unwrap_or_default() };
                }
            }
            _ => {}
        }
    }

    fn decided(&mut self, decided: &HookDecided) {
        if let Some(call) = &decided.tool_use_id {
            if decided.event == HookEvent::PreTool.as_str() {
                self.calls.entry(call.clone()).or_insert_with(Said::allow).hear(decided);
            }
            return;
        }
        let step = match &decided.node_id {
            None => self.steps.first_mut(),
            Some(node) => {
                if decided.event == HookEvent::PreGate.as_str() {
                    self.at_gate(node);
                }
                self.last(node)
            }
        };
        if let Some(step) = step.filter(|step| step.what.event().as_str() == decided.event) {
            step.said.hear(decided);
        }
    }
}

/// A past run as hooks are asked about it now.
struct Now<'a> {
    volume: &'a Path,
    run: &'a RunDir,
    pipe: &'a Pipe,
    inputs: &'a Map<String, Value>,
    /// The tool calls of the attempt that was asked about last.
    calls: Option<(NodeId, u32, HashMap<String, Value>)>,
}

impl Now<'_> {
    /// What hooks are told; `None` when it is not known any more.
    fn payload(&mut self, what: &What) -> Option<Value> {
        Some(match what {
            What::Run => json!({ "inputs": self.inputs }),
            What::Node(started) => self.node(started)?,
            What::Iteration(started) => json!({
                "iteration": started.iteration,
                "attempt": started.attempt,
                "prompt": self.prompt(&started.node_id, started.attempt, &[started.iteration]),
            }),
            What::Gate { node, attempt } => {
                let gate = self.pipe.node(self.pipe.find(node.as_str())?).gate();
                json!({ "gate": gate.map(|gate| gate.as_str()), "attempt": attempt })
            }
            What::Tool(call) => {
                let input = self.input(call)?;
                json!({
                    "tool": call.tool, "input": input, "attempt": call.attempt,
                    "tool_use_id": call.tool_use_id,
                })
            }
        })
    }

    fn node(&self, started: &NodeStarted) -> Option<Value> {
        let index = self.pipe.find(started.node_id.as_str())?;
        let node = self.pipe.node(index);
        let env: Map<String, Value> =
            node.env().iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let mut payload = json!({
            "node": serde_json::from_str::<Value>(self.pipe.node_definition(index)).unwrap_or_default(),
            "attempt": started.attempt,
            "env": env,
            "timeout": node.timeout.as_secs(),
        });
        if let Some(ai) = node.ai() {
            payload["prompt"] = self.prompt(&started.node_id, started.attempt, &[1]).into();
            if let Some(model) = &started.model {
                payload["model"] = model.as_str().into();
            }
            if let Some(tools) = &ai.allowed_tools {
                payload["allowed_tools"] = tools.iter().map(|tool| Value::from(tool.as_str())).collect();
            }
        }
        Some(payload)
    }

    /// The prompt as it was sent, in one of these rounds or in none.
    fn prompt(&self, node: &NodeId, attempt: u32, rounds: &[u32]) -> String {
        let names = rounds.iter().map(|round| format!("-{round}")).chain([String::new()]);
        let mut paths =
            names.map(|round| self.run.path.join(format!("nodes/{node}.{attempt}.prompt{round}.md")));
        let text = |path: std::path::PathBuf| String::from_utf8(omne_events::read_plain(&path).ok()?).ok();
        paths.find_map(text).unwrap_or_default()
    }

    /// The input of a tool call, from the recording of its attempt.
    fn input(&mut self, call: &AgentTool) -> Option<Value> {
        let is_read =
            |(node, attempt, _): &(NodeId, u32, _)| *node == call.node_id && *attempt == call.attempt;
        if !self.calls.as_ref().is_some_and(is_read) {
            let calls = self.calls_of(&call.node_id, call.attempt).unwrap_or_default();
            self.calls = Some((call.node_id.clone(), call.attempt, calls));
        }
        self.calls.as_ref()?.2.get(&call.tool_use_id).cloned()
    }

    fn calls_of(&self, node: &NodeId, attempt: u32) -> std::io::Result<HashMap<String, Value>> {
        let mut file =
            omne_events::open_plain(&self.run.path.join(format!("nodes/{node}.{attempt}.stream.jsonl")))?;
        // Only claude asks back about its tools.
        let mut parser = Parser::new(Dialect::Claude);
        let mut calls = HashMap::new();
        let mut take = |item: Item<'_>| {
            if let Item::Tool(call) = item {
                calls.insert(call.id, call.input);
            }
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => parser.push(&buffer[..read], &mut take),
            }
        }
        parser.end(&mut take);
        Ok(calls)
    }

    /// What would be said now; `None` when a signal came first.
    fn ask(&self, bench: &mut Bench, what: &What, payload: Value) -> Result<Option<Said>> {
        let subject = Subject {
            run_id: self.run.id.to_string(),
            pipe: self.pipe.name().to_string(),
            node_id: what.node().cloned(),
        };
        let namespace = subject.namespace();
        let payload = payload.as_object().cloned().unwrap_or_default();
        let Some(fired) = bench.fire(what.event(), subject, payload)? else { return Ok(None) };
        let said = match fired.outcome.verdict {
            Verdict::Deny { reason, code } => Said { word: "deny", why: format!("({code}) {reason}") },
            Verdict::Ask(question) => Said { word: "ask_user", why: question.prompt },
            Verdict::Allow if fired.outcome.delta.is_empty() => Said::allow(),
            Verdict::Allow => Said { word: "modify", why: Value::Object(fired.outcome.delta).to_string() },
        };
        Ok(Some(match self.rule(bench, what, &namespace) {
            Some((Effect::Deny, why)) if said.word != "deny" => Said { word: "deny", why },
            Some((Effect::Ask, why)) if matches!(said.word, "allow" | "modify") => {
                Said { word: "ask_user", why }
            }
            _ => said,
        }))
    }

    /// The rule about the process of a step, if it has one.
    fn rule(&self, bench: &Bench, what: &What, namespace: &str) -> Option<(Effect, String)> {
        let node = self.pipe.node(self.pipe.find(what.node()?.as_str())?);
        let rule = match (what, &node.body) {
            (What::Node(_), Body::Bash(script)) => {
                bench.host.rule(namespace, Path::new(SHELL), &["-c", script])
            }
            (What::Node(started), _) => {
                let name = started.agent.as_deref().unwrap_or("claude");
                let args = node.ai().map(|ai| ai.agent_args.as_slice()).unwrap_or_default();
                bench.host.rule(namespace, Path::new(name), args)
            }
            (What::Gate { .. }, _) => {
                // A gate that is gone is started no more.
                let gate = omne_exec::gate_command(self.volume, node.gate()?.as_str(), SHELL).ok()?;
                bench.host.rule(namespace, &gate.0, &gate.1)
            }
            (What::Run | What::Iteration(_) | What::Tool(_), _) => None,
        };
        rule.map(|rule| (rule.effect, rule.describe()))
    }
}
