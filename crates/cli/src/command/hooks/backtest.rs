//! `hooks backtest`: what hooks, as they are configured now, would have said to
//! the nodes of past runs.

use std::{collections::HashMap, io::Write as _, path::Path, process::ExitCode};

use omne_events::{ErrorKind, Event, HookVerdict, Line, NodeId, NodeStarted};
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

/// What was said to an attempt, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    word: &'static str,
    why: String,
}

/// An attempt of a past run.
struct Asked {
    started: NodeStarted,
    said: Said,
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
    let (mut steps, mut others) = (0, 0);
    for run in &runs {
        let (pipe, asked) = past(run)?;
        let Some(pipe) = pipe else { continue };
        for Asked { started, said } in asked {
            steps += 1;
            let Some(now) = now(&mut bench, run, &pipe, &started)? else { return Ok(ExitCode::from(130)) };
            if now.word != said.word {
                others += 1;
                let why = if now.why.is_empty() { said.why } else { now.why };
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                let text = format!("was {}, would be {}{why}", said.word, now.word);
                let (node, attempt) = (&started.node_id, started.attempt);
                writeln!(
                    std::io::stdout().lock(),
                    "{} {node} #{attempt}  {}",
                    paint.dim(run.id.as_str()),
                    visible(&text).replace('\n', " ")
                )?;
            }
        }
    }
    let text = format!("{steps} step(s) of {} run(s), {others} would be decided otherwise", runs.len());
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(if others == 0 { ExitCode::SUCCESS } else { Exit::Aborted.into() })
}

/// The attempts of a run, with what was said to them.
fn past(run: &RunDir) -> Result<(Option<std::sync::Arc<Pipe>>, Vec<Asked>)> {
    let mut asked: Vec<Asked> = Vec::new();
    let mut last: HashMap<NodeId, usize> = HashMap::new();
    let folded = LogSource::Run(run.clone()).fold(None, |_, line| {
        let Line::Known(record) = line else { return };
        match &record.event {
            Event::NodeStarted(started) => {
                last.insert(started.node_id.clone(), asked.len());
                let said = Said { word: "allow", why: String::new() };
                asked.push(Asked { started: started.clone(), said });
            }
            Event::HookDecided(decided) if decided.event == HookEvent::PreNode.as_str() => {
                let place = decided.node_id.as_ref().and_then(|node| last.get(node));
                let Some(asked) = place.and_then(|place| asked.get_mut(*place)) else { return };
                let word = match decided.decision {
                    HookVerdict::Modify if asked.said.word == "allow" => "modify",
                    HookVerdict::AskUser if asked.said.word != "deny" => "ask_user",
                    HookVerdict::Deny => "deny",
                    HookVerdict::Modify | HookVerdict::AskUser | HookVerdict::Allow | HookVerdict::Error => {
                        return;
                    }
                };
                asked.said = Said { word, why: decided.reason.clone().unwrap_or_default() };
            }
            Event::NodeFailed(failed) if failed.error.kind == ErrorKind::Denied => {
                if let Some(asked) = last.get(&failed.node_id).and_then(|place| asked.get_mut(*place))
                    && asked.said.word != "ask_user"
                {
                    asked.said = Said { word: "deny", why: failed.message.clone().unwrap_or_default() };
                }
            }
            _ => {}
        }
    })?;
    Ok((folded.state.pipe().cloned(), asked))
}

/// What would be said now; `None` when a signal came first.
fn now(bench: &mut Bench, run: &RunDir, pipe: &Pipe, started: &NodeStarted) -> Result<Option<Said>> {
    let Some(index) = pipe.find(started.node_id.as_str()) else {
        return Ok(Some(Said { word: "allow", why: String::new() }));
    };
    let node = pipe.node(index);
    let env: Map<String, Value> =
        node.env.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let mut payload = json!({
        "node": serde_json::from_str::<Value>(pipe.node_definition(index)).unwrap_or_default(),
        "attempt": started.attempt,
        "env": env,
        "timeout": node.timeout.as_secs(),
    });
    if node.ai.is_some() {
        let prompt = ["", "-1"].iter().find_map(|round| {
            let name = format!("nodes/{}.{}.prompt{round}.md", node.id, started.attempt);
            std::fs::read_to_string(run.path.join(name)).ok()
        });
        payload["prompt"] = prompt.unwrap_or_default().into();
        if let Some(model) = &started.model {
            payload["model"] = model.as_str().into();
        }
    }
    let subject =
        Subject { run_id: run.id.to_string(), pipe: pipe.name().to_string(), node_id: Some(node.id.clone()) };
    let namespace = subject.namespace();
    let payload = payload.as_object().cloned().unwrap_or_default();
    let Some(fired) = bench.fire(HookEvent::PreNode, subject, payload)? else { return Ok(None) };
    let said = match fired.outcome.verdict {
        Verdict::Deny { reason, code } => Said { word: "deny", why: format!("({code}) {reason}") },
        Verdict::Ask(question) => Said { word: "ask_user", why: question.prompt },
        Verdict::Allow if fired.outcome.delta.is_empty() => Said { word: "allow", why: String::new() },
        Verdict::Allow => Said { word: "modify", why: Value::Object(fired.outcome.delta).to_string() },
    };
    let by_rule = match &node.body {
        Body::Bash(script) => bench.host.rule(&namespace, Path::new("/bin/sh"), &["-c", script]),
        _ => {
            let name = started.agent.as_deref().unwrap_or("claude");
            let args = node.ai.as_ref().map(|ai| ai.agent_args.as_slice()).unwrap_or_default();
            bench.host.rule(&namespace, Path::new(name), args)
        }
    };
    Ok(Some(match by_rule.map(|rule| (rule.effect, rule.describe())) {
        Some((Effect::Deny, why)) if said.word != "deny" => Said { word: "deny", why },
        Some((Effect::Ask, why)) if matches!(said.word, "allow" | "modify") => Said { word: "ask_user", why },
        _ => said,
    }))
}
