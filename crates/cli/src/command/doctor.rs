//! `doctor`: what runs need, what is wrong with it, and how to mend it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use omne_agent::Agent;
use omne_process::{
    End, Environment, Happening, Mark, Signal, Sink, Spec, Supervisor, find_program, run_to_end,
};
use omne_runner::{Settings, Volume};
use serde::Serialize;

use crate::{
    args,
    failure::{Exit, Result, stopped_by},
    render::{Paint, visible},
    wire::Context,
};

/// How long a program may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(20);
/// Less free space than this is worth a word, in bytes.
const LITTLE_SPACE: u64 = 1 << 30;
/// Fewer open files than this are worth a word: a running node takes three.
const FEW_FILES: u64 = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Ok,
    Warning,
    Error,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    health: Health,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

pub(super) fn doctor(args: &args::Doctor, context: &Context) -> Result<ExitCode> {
    let mut doctor = Doctor { findings: Vec::new(), path: std::env::var_os("PATH").unwrap_or_default() };
    doctor.add("omne", Health::Ok, env!("CARGO_PKG_VERSION"), None);
    doctor.programs(context);
    let volume = context.volume().ok();
    let settings = doctor.volume(volume.as_ref(), context);
    let wanted = doctor.pipes(volume.as_ref(), &settings, context);
    let root = volume.as_ref().map_or_else(|| PathBuf::from("."), |volume| volume.root().to_owned());
    doctor.secrets(&settings, &root);
    if let Some(signal) = doctor.agents(&settings, &wanted, &root) {
        return Ok(stopped_by(signal));
    }
    doctor.machine(volume.as_ref());
    doctor.print(args, context.paint())
}

struct Doctor {
    findings: Vec<Finding>,
    path: std::ffi::OsString,
}

impl Doctor {
    fn add(&mut self, check: &str, health: Health, detail: impl Into<String>, help: Option<&str>) {
        let help = help.map(str::to_owned);
        self.findings.push(Finding { check: check.to_owned(), health, detail: detail.into(), help });
    }

    fn programs(&mut self, context: &Context) {
        match find_program("sh", &self.path) {
            Some(path) => self.add("sh", Health::Ok, path.display().to_string(), None),
            None => self.add(
                "sh",
                Health::Error,
                "there is no `sh` in PATH",
                Some("bash nodes and gates need it"),
            ),
        }
        let here = context.directory().unwrap_or_else(|_| PathBuf::from("/"));
        let git = |args: &[&str]| {
            let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
            let output = run_to_end("git", &args, &here, &[]).ok()?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            output.status.success().then_some(text)
        };
        let Some(version) = git(&["--version"]) else {
            let help = "install git, or run pipes with `--workspace root`";
            self.add("git", Health::Warning, "there is no `git` in PATH: no worktrees", Some(help));
            return;
        };
        let version = version.trim_start_matches("git version ").to_owned();
        let is_unusable = git(&["rev-parse", "--git-dir"]).is_none();
        if is_unusable && here.ancestors().any(|above| above.join(".git").exists()) {
            let message = format!("{version}; it can not use the repository here: runs happen in place");
            return self.add("git", Health::Warning, message, Some("`git status` says why"));
        }
        let state = match (git(&["rev-parse", "--show-toplevel"]), git(&["rev-parse", "--verify", "HEAD"])) {
            (None, _) => "no repository here: runs happen in place",
            (Some(_), None) => "the repository has no commit yet: runs happen in place",
            (Some(_), Some(_)) => "runs get a worktree of HEAD",
        };
        self.add("git", Health::Ok, format!("{version}; {state}"), None);
    }

    fn volume(&mut self, volume: Option<&Volume>, context: &Context) -> Settings {
        let Some(volume) = volume else {
            self.add("volume", Health::Warning, "no `.omne/` here or above", Some("`omne init` makes one"));
            return Settings::default();
        };
        let runs = volume.runs().map_or(0, |runs| runs.len());
        self.add("volume", Health::Ok, format!("{}, {runs} run(s)", volume.root().display()), None);
        match Settings::load(&volume.place("omne.toml")) {
            Ok(settings) => settings,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                let shown = context.shown(&volume.place("omne.toml"));
                self.add("settings", Health::Error, format!("`{shown}` is wrong: {}", cause.trim()), None);
                Settings::default()
            }
        }
    }

    /// Checks the pipes; gives the agents that they and the settings name.
    fn pipes(&mut self, volume: Option<&Volume>, settings: &Settings, context: &Context) -> BTreeSet<String> {
        let mut wanted: BTreeSet<String> = settings.agent.iter().cloned().collect();
        let pipes = volume.and_then(|volume| Some((volume, volume.pipes().ok()?)));
        let Some((volume, pipes)) = pipes else { return wanted };
        let mut broken = Vec::new();
        for found in &pipes {
            match context.check_pipe(&found.path, volume).map(|(_, checked)| checked.pipe) {
                Ok(Some(pipe)) => {
                    let default = pipe.agent().map(ToString::to_string).or_else(|| settings.agent.clone());
                    let default = default.unwrap_or_else(|| "claude".to_owned());
                    for ai in pipe.nodes().iter().filter_map(|node| node.ai()) {
                        wanted.insert(ai.agent.as_ref().map_or_else(|| default.clone(), ToString::to_string));
                    }
                }
                _ => broken.push(found.name.as_str()),
            }
        }
        if broken.is_empty() {
            self.add("pipes", Health::Ok, format!("{}, all valid", pipes.len()), None);
        } else {
            let detail = format!("{} of {} have errors: {}", broken.len(), pipes.len(), broken.join(", "));
            self.add("pipes", Health::Error, detail, Some("`omne validate` shows all of them"));
        }
        self.gates(volume);
        wanted
    }

    fn gates(&mut self, volume: &Volume) {
        let entries = std::fs::read_dir(volume.place("dist/hooks")).into_iter().flatten().flatten();
        let scripts: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some(OsStr::new("sh")))
            .collect();
        let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let faults: Vec<String> = scripts
            .iter()
            .filter_map(|path| omne_exec::gate_path(volume.root(), &name(path)).err())
            .collect();
        match faults.first() {
            Some(fault) => self.add("gates", Health::Error, fault.clone(), Some("make it a plain file")),
            None if scripts.is_empty() => {}
            None => self.add("gates", Health::Ok, format!("{} script(s)", scripts.len()), None),
        }
    }

    /// Looks for agents; gives the signal that ended the search, if one did.
    /// Whether each secret of the settings can be had; programs that tell them are not run.
    fn secrets(&mut self, settings: &Settings, root: &Path) {
        let environment: Vec<_> = std::env::vars_os().collect();
        for (name, source) in &settings.secrets {
            let check = format!("secret {}", name.as_str());
            match source.look(root, &environment) {
                Ok(()) => self.add(&check, Health::Ok, format!("from {source}"), None),
                // Only runs whose nodes name it need it.
                Err(why) => self.add(&check, Health::Warning, format!("{source}: {why}"), None),
            }
        }
    }

    fn agents(&mut self, settings: &Settings, wanted: &BTreeSet<String>, root: &Path) -> Option<Signal> {
        let mut names: BTreeSet<String> = Agent::BUILT_IN.map(str::to_owned).into();
        names.extend(settings.agents.keys().cloned());
        names.extend(wanted.iter().cloned());
        for name in names {
            let check = format!("agent {name}");
            let is_wanted = wanted.contains(&name);
            let agent = match Agent::find(&name, &settings.agents) {
                Ok(agent) => agent,
                Err(error) => {
                    let help = format!("describe it in `omne.toml`: `[agents.{name}]`");
                    self.add(&check, Health::Error, error.to_string(), Some(&help));
                    continue;
                }
            };
            match omne_runner::agent_program(&agent, &self.path, root) {
                Some(program) => match version(&program, settings) {
                    Err(signal) => return Some(signal),
                    Ok(Some(version)) => {
                        let detail = format!("{version} ({})", program.display());
                        self.add(&check, Health::Ok, detail, None);
                    }
                    Ok(None) => {
                        let detail = format!("{} does not tell its version", program.display());
                        self.add(&check, Health::Warning, detail, Some("does it run by itself?"));
                    }
                },
                None if is_wanted => {
                    let help = match agent.install.as_str() {
                        "" => format!("say where it is: `program` in `[agents.{name}]`"),
                        install => format!("install it: `{install}`"),
                    };
                    let detail = format!("there is no program `{}`, and pipes want it", agent.program);
                    self.add(&check, Health::Error, detail, Some(&help));
                }
                None => self.add(&check, Health::Ok, "not installed, and no pipe wants it", None),
            }
        }
        if std::env::var_os("HOME").is_none_or(|home| home.is_empty()) && !wanted.is_empty() {
            let help = "set HOME: agents keep their sessions there";
            self.add("HOME", Health::Warning, "is not set", Some(help));
        }
        None
    }

    fn machine(&mut self, volume: Option<&Volume>) {
        if let Some(volume) = volume
            && let Ok(space) = rustix::fs::statvfs(volume.root())
        {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let detail = format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64);
            let health = if free < LITTLE_SPACE { Health::Warning } else { Health::Ok };
            let help = (health != Health::Ok).then_some("`omne clean` removes old runs");
            self.add("disk", health, detail, help);
            if rustix::fs::access(volume.place(""), rustix::fs::Access::WRITE_OK).is_err() {
                let help = "runs are written there: mend the permissions";
                self.add("volume", Health::Error, "`.omne/` can not be written", Some(help));
            }
        }
        // A run takes all that it may have.
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        if let Some(files) = files.filter(|files| *files < FEW_FILES) {
            let detail = format!("{files} files may be open at once");
            self.add("limits", Health::Warning, detail, Some("raise it: `ulimit -Hn 1024`"));
        }
    }

    fn print(self, args: &args::Doctor, paint: Paint) -> Result<ExitCode> {
        let is_ill = self.findings.iter().any(|finding| finding.health == Health::Error);
        let mut stdout = std::io::stdout().lock();
        if args.json {
            let report = serde_json::json!({ "healthy": !is_ill, "findings": self.findings });
            writeln!(stdout, "{report}")?;
        } else {
            let width = self.findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
            for Finding { check, health, detail, help } in &self.findings {
                let sign = match health {
                    Health::Ok => paint.green("✓"),
                    Health::Warning => paint.yellow("!"),
                    Health::Error => paint.red("✗"),
                };
                writeln!(stdout, "{sign} {check:width$}  {}", visible(detail).replace('\n', "\n    "))?;
                if let Some(help) = help {
                    writeln!(stdout, "  {:width$}  {}", "", paint.dim(&visible(help)))?;
                }
            }
        }
        Ok(if is_ill { Exit::Aborted.into() } else { ExitCode::SUCCESS })
    }
}

/// The first line that a program prints when it is asked for its version, or the signal that ended the wait.
fn version(program: &Path, settings: &Settings) -> std::result::Result<Option<String>, Signal> {
    let Ok(mut supervisor) = Supervisor::new() else { return Ok(None) };
    let base = Arc::new(settings.environment(std::env::vars_os()));
    let spec = Spec {
        program: program.to_owned(),
        args: vec!["--version".into()],
        cwd: PathBuf::from("/"),
        environment: Environment { base, own: Vec::new() },
        mark: Mark::default(),
        stdin: None,
        stdout: Sink::Tail,
        stderr: Sink::Tail,
        mask: None,
        output_limit: 1 << 20,
    };
    let Ok((token, _)) = supervisor.spawn(spec) else { return Ok(None) };
    let until = Instant::now() + PATIENCE;
    let mut happenings = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            supervisor.end(token, End::AtOnce);
        }
        if supervisor.wait(Some(left.max(Duration::from_millis(10))), &mut happenings).is_err() {
            return Ok(None);
        }
        for happening in happenings.drain(..) {
            match happening {
                // Its children end with the supervisor.
                Happening::Signal(signal @ (Signal::Interrupt | Signal::Terminate)) => return Err(signal),
                Happening::Ended(ended) => {
                    let text = ended.stdout.tail_text();
                    let line = text.lines().next().unwrap_or_default().trim().to_owned();
                    return Ok((ended.status.success() && !line.is_empty()).then_some(line));
                }
                Happening::Output(..) | Happening::Signal(Signal::Message | Signal::Reload) => {}
            }
        }
    }
}
