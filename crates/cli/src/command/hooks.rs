//! `hooks`: what there is, whether it works, and what it says.

mod backtest;

use std::{
    io::Write as _,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use omne_events::{HookVerdict, NodeId};
use omne_hooks::{Config, FailMode, Fired, HookEvent, Host, Mode, Place, Subject, Verdict};
use omne_process::{Happening, Signal, Supervisor, find_program, is_program};
use omne_runner::{RunError, Settings, Volume};
use serde_json::{Map, Value};

use crate::{
    args::{self, Hooks},
    failure::{Exit, Failure, Result},
    render::{table, visible},
    wire::Context,
};

pub(super) fn hooks(command: &Hooks, context: &Context) -> Result<ExitCode> {
    let volume = context.volume()?;
    let config = Config::load(&volume.place("hooks.toml"))
        .map_err(|error| Failure::from(omne_runner::RunError::from(error)))?;
    match command {
        Hooks::List => list(&config, context),
        Hooks::Check => check(&config, &volume, context),
        Hooks::Fire(args) => fire(args, config, &volume, context),
        Hooks::Backtest(args) => backtest::backtest(args, config, &volume, context),
        Hooks::Doctor => doctor(config, &volume, context),
    }
}

fn list(config: &Config, context: &Context) -> Result<ExitCode> {
    let paint = context.paint();
    let mut stdout = std::io::stdout().lock();
    if config.is_empty() {
        writeln!(stdout, "there are no hooks and no rules; `.omne/hooks.toml` would have them")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        ["EVENT", "HOOK", "MODE", "PRIORITY", "TIMEOUT", "FAILS", "NAMESPACE"].map(str::to_owned).to_vec(),
    ];
    let mut places: Vec<usize> = (0..config.hooks.len()).collect();
    places.sort_by_key(|place| {
        let hook = &config.hooks[*place];
        (hook.event, std::cmp::Reverse(hook.priority), *place)
    });
    for place in places {
        let hook = &config.hooks[place];
        let off = if hook.enabled { "" } else { " (off)" };
        rows.push(vec![
            format!("{}{off}", hook.event.as_str()),
            format!("{} {}", hook.command, hook.args.join(" ")).trim_end().to_owned(),
            if hook.mode == Mode::Daemon { "daemon" } else { "exec" }.to_owned(),
            hook.priority.to_string(),
            format!("{} ms", hook.timeout.as_millis()),
            if hook.fail_mode == FailMode::Closed { "closed" } else { "open" }.to_owned(),
            hook.namespace.clone(),
        ]);
    }
    if rows.len() > 1 {
        let text = table(&rows, |row, _, cell| if row == 0 { paint.dim(cell) } else { cell.into() });
        stdout.write_all(text.as_bytes())?;
    }
    for rule in &config.rules {
        writeln!(stdout, "rule: {} ({})", visible(&rule.describe()), visible(&rule.namespace))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a hook's program is, if it is there.
fn program(command: &str, volume: &Volume) -> Option<std::path::PathBuf> {
    if command.contains('/') {
        let path = volume.root().join(command);
        return is_program(&path).then_some(path);
    }
    find_program(command, &std::env::var_os("PATH").unwrap_or_default())
}

fn check(config: &Config, volume: &Volume, context: &Context) -> Result<ExitCode> {
    let paint = context.paint();
    let mut stdout = std::io::stdout().lock();
    let mut is_well = true;
    for hook in &config.hooks {
        let name = visible(&hook.command);
        match program(&hook.command, volume) {
            Some(_) => writeln!(stdout, "{} {} {name}", paint.green("✓"), hook.event.as_str())?,
            None if hook.command.contains('/') && volume.root().join(&hook.command).exists() => {
                is_well = false;
                let why = "is not a program: make it executable (`chmod +x`)";
                writeln!(stdout, "{} {} {name} {why}", paint.red("✗"), hook.event.as_str())?;
            }
            None => {
                is_well = false;
                writeln!(stdout, "{} {} {name} is not there", paint.red("✗"), hook.event.as_str())?;
            }
        }
    }
    writeln!(stdout, "{} hook(s), {} rule(s)", config.hooks.len(), config.rules.len())?;
    Ok(if is_well { ExitCode::SUCCESS } else { Exit::Aborted.into() })
}

fn event_of(word: &str) -> Result<HookEvent> {
    HookEvent::ALL.into_iter().find(|event| event.as_str() == word).ok_or_else(|| {
        let known = HookEvent::ALL.map(HookEvent::as_str).join(", ");
        Failure::message(Exit::Input, format!("`{word}` is no event of hooks"))
            .help(format!("there are {known}"))
    })
}

/// Hooks on their own, without a run.
struct Bench {
    host: Host,
    supervisor: Supervisor,
}

impl Bench {
    fn new(config: Config, volume: &Volume) -> Result<Self> {
        let settings = Settings::load(&volume.place("omne.toml")).map_err(RunError::from)?;
        let place = Place {
            volume: volume.root().to_owned(),
            path: std::env::var_os("PATH").unwrap_or_default(),
            environment: Arc::new(settings.environment(std::env::vars_os())),
            run_id: "try".to_owned(),
            log: None,
            mask: None,
        };
        let supervisor = Supervisor::new().map_err(|error| {
            let error = anyhow::Error::new(error).context("cannot take care of child processes");
            Failure::new(Exit::Aborted, error)
        })?;
        let mut bench = Self { host: Host::new(config, place), supervisor };
        bench.host.start(&mut bench.supervisor);
        Ok(bench)
    }

    /// What came of a fire; `None` when a signal came first.
    fn fire(
        &mut self,
        event: HookEvent,
        subject: Subject,
        payload: Map<String, Value>,
    ) -> Result<Option<Fired>> {
        self.host.fire(event, subject, payload, &mut self.supervisor);
        let mut happenings = Vec::new();
        loop {
            self.host.tick(&mut self.supervisor);
            if let Some(fired) = self.host.take().pop() {
                return Ok(Some(fired));
            }
            let due = self.host.due().map(|due| due.saturating_duration_since(Instant::now()));
            self.supervisor.wait(due.or(Some(Duration::from_secs(1))), &mut happenings)?;
            for happening in happenings.drain(..) {
                match happening {
                    Happening::Output(token, bytes) => {
                        self.host.output(token, &bytes, &mut self.supervisor);
                    }
                    Happening::Ended(ended) => {
                        self.host.ended(&ended, &mut self.supervisor);
                    }
                    Happening::Signal(Signal::Message | Signal::Reload) => {}
                    Happening::Signal(_) => return Ok(None),
                }
            }
        }
    }
}

fn fire(args: &args::Fire, config: Config, volume: &Volume, context: &Context) -> Result<ExitCode> {
    let event = event_of(&args.event)?;
    let payload: Map<String, Value> = serde_json::from_str(&args.payload).map_err(|error| {
        let error = anyhow::Error::new(error).context("the payload is no JSON object");
        Failure::new(Exit::Input, error).help("such as `--payload '{\"prompt\": \"hello\"}'`")
    })?;
    let node = args.node.as_ref().map(NodeId::new).transpose();
    let node_id = node.map_err(|error| Failure::message(Exit::Input, error.to_string()))?;
    let subject = Subject { run_id: "try".to_owned(), pipe: args.pipe.clone(), node_id };
    let namespace = subject.namespace();
    if config.chain(event, &namespace).is_empty() {
        let text = format!("no hook is asked about {} of {namespace}", event.as_str());
        writeln!(std::io::stdout().lock(), "{}", visible(&text))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(fired) = Bench::new(config, volume)?.fire(event, subject, payload)? else {
        return Ok(ExitCode::from(130));
    };
    let paint = context.paint();
    let mut stdout = std::io::stdout().lock();
    for decided in &fired.decided {
        let word = match decided.decision {
            HookVerdict::Allow => paint.green("allow"),
            HookVerdict::Modify => paint.blue("modify"),
            HookVerdict::Deny => paint.red("deny"),
            HookVerdict::AskUser => paint.yellow("ask_user"),
            HookVerdict::Error => paint.red("error"),
        };
        let reason = decided.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let delta = decided.delta.as_ref().map(|delta| format!(" {delta}")).unwrap_or_default();
        let text = visible(&format!("{delta}{reason}")).replace('\n', " ");
        writeln!(
            stdout,
            "{} {word}{text}  {}",
            visible(&decided.hook),
            paint.dim(&format!("{} µs", decided.latency_us))
        )?;
    }
    let (text, is_allowed) = match &fired.outcome.verdict {
        Verdict::Allow if fired.outcome.delta.is_empty() => ("it may go on".to_owned(), true),
        Verdict::Allow => {
            (format!("it may go on, changed: {}", Value::Object(fired.outcome.delta.clone())), true)
        }
        Verdict::Deny { reason, code } => (format!("it may not go on ({code}): {reason}"), false),
        Verdict::Ask(question) => {
            (format!("people are asked: {} ({})", question.prompt, question.options.join(", ")), true)
        }
    };
    writeln!(stdout, "{}", visible(&text))?;
    Ok(if is_allowed { ExitCode::SUCCESS } else { Exit::Aborted.into() })
}

/// Asks each hook a question of its own kind, so that its health can be told.
fn doctor(config: Config, volume: &Volume, context: &Context) -> Result<ExitCode> {
    const ASKED: usize = 5;
    let paint = context.paint();
    let mut is_well = true;
    let hooks = config.hooks.clone();
    for hook in hooks.iter().filter(|hook| hook.enabled) {
        let name = visible(&hook.command);
        let event = hook.event;
        let namespace = hook.namespace.replace(['*', '?'], "x");
        let (pipe, node) = namespace.split_once('/').unwrap_or((&namespace, "x"));
        let subject =
            Subject { run_id: "try".to_owned(), pipe: pipe.to_owned(), node_id: NodeId::new(node).ok() };
        let mut bench = Bench::new(Config { hooks: vec![hook.clone()], rules: Vec::new() }, volume)?;
        let mut trouble = None;
        for _ in 0..ASKED {
            let Some(fired) = bench.fire(event, subject.clone(), Map::new())? else {
                return Ok(ExitCode::from(130));
            };
            let error = fired.decided.iter().find(|decided| decided.decision == HookVerdict::Error);
            trouble = trouble.or_else(|| error.and_then(|decided| decided.reason.clone()));
        }
        let mut stdout = std::io::stdout().lock();
        match (trouble, &bench.host.counters()[0]) {
            (None, counters) => {
                let p50 = counters.percentile(50).unwrap_or(0);
                let p99 = counters.percentile(99).unwrap_or(0);
                let text = format!(
                    "fired {}, {} dropped, {} errors, mean {} µs, p50 {p50} µs, p99 {p99} µs",
                    counters.fired,
                    counters.dropped,
                    counters.errors,
                    counters.mean().unwrap_or(0)
                );
                writeln!(stdout, "{} {} {name}  {}", paint.green("✓"), event.as_str(), paint.dim(&text))?;
            }
            (Some(why), counters) => {
                is_well = false;
                let text = format!("{} of {} failed: {why}", counters.errors, counters.fired);
                writeln!(stdout, "{} {} {name}  {}", paint.red("✗"), event.as_str(), visible(&text))?;
            }
        }
    }
    Ok(if is_well { ExitCode::SUCCESS } else { Exit::Aborted.into() })
}

/// Hands an agent's tool call on to its run. Exit code 2 tells the agent that it may not.
pub(super) fn tool() -> Result<ExitCode> {
    use std::io::Read as _;
    const REFUSED: u8 = 2;
    let mut call = Vec::new();
    std::io::stdin().lock().read_to_end(&mut call)?;
    let variable = |name: &str| std::env::var_os(name).unwrap_or_default();
    let (socket, token) = (variable("OMNE_TOOL_SOCKET"), variable("OMNE_TOOL_TOKEN"));
    match omne_exec::ask_back(&call, Path::new(&socket), &token.to_string_lossy()) {
        Ok(answer) => {
            std::io::stdout().lock().write_all(&answer)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let text = format!("the run that this call belongs to can not be asked: {error}\n");
            std::io::stderr().lock().write_all(text.as_bytes())?;
            Ok(ExitCode::from(REFUSED))
        }
    }
}
