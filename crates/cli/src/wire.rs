//! Where the parts come together: the clock, ids, the environment, the volume.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env,
    ffi::OsString,
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use omne_events::{IdGen, RandomIds, SystemClock};
use omne_pipe::{Colour, Lookup, Pipe, Source, check};
use omne_runner::{Options, Settings, Volume};

use crate::{
    args::{Arguments, When},
    failure::{Exit, Failure, Result},
    render::{self, Paint},
};

/// What all commands need to know.
pub(crate) struct Context {
    volume: Option<PathBuf>,
    color: When,
    pub(crate) clock: SystemClock,
}

impl Context {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self { volume: arguments.volume.clone(), color: arguments.color, clock: SystemClock::new() }
    }

    pub(crate) fn paint(&self) -> Paint {
        Paint::new(self.colour(&std::io::stdout()))
    }

    pub(crate) fn paint_errors(&self) -> Paint {
        Paint::new(self.colour(&std::io::stderr()))
    }

    fn colour(&self, stream: &impl IsTerminal) -> Colour {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = || env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self.color {
            When::Always => Colour::Yes,
            When::Auto if stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb() => Colour::Yes,
            When::Auto | When::Never => Colour::No,
        }
    }

    /// The directory that the command was given in.
    pub(crate) fn directory(&self) -> Result<PathBuf> {
        env::current_dir().map_err(|error| {
            Failure::new(Exit::NotFound, anyhow::Error::new(error).context("the current directory is gone"))
        })
    }

    /// The volume given, or the nearest one above.
    pub(crate) fn volume(&self) -> Result<Volume> {
        match &self.volume {
            Some(root) => Ok(Volume::open(&self.absolute(root)?)?),
            None => Ok(Volume::find(&self.directory()?)?),
        }
    }

    /// The directory that is to become a volume.
    pub(crate) fn root_for_init(&self) -> Result<PathBuf> {
        match &self.volume {
            Some(root) => self.absolute(root),
            None => self.directory(),
        }
    }

    /// The volume for a pipe file: the usual one, else the place where one would be made.
    pub(crate) fn volume_for_file(&self) -> Result<(Volume, Exists)> {
        match self.volume() {
            Ok(volume) => Ok((volume, Exists::Yes)),
            Err(error) if self.volume.is_some() => Err(error),
            Err(_) => Ok((Volume::at(omne_runner::home_for(&self.directory()?)), Exists::No)),
        }
    }

    pub(crate) fn absolute(&self, path: &Path) -> Result<PathBuf> {
        Ok(self.directory()?.join(path))
    }

    pub(crate) fn ids(&self) -> Box<dyn IdGen> {
        Box::new(RandomIds)
    }

    /// Who is asking.
    pub(crate) fn user(&self) -> String {
        let named = ["USER", "LOGNAME"]
            .into_iter()
            .find_map(|name| env::var(name).ok().filter(|user| !user.is_empty()));
        let uid = omne_process::user_id().to_string();
        // Containers and timers start programs without `USER`.
        let listed = || {
            let list = std::fs::read_to_string("/etc/passwd").ok()?;
            let mut entries = list.lines().map(|line| line.split(':').collect::<Vec<_>>());
            entries.find(|entry| entry.get(2) == Some(&uid.as_str())).map(|entry| entry[0].to_owned())
        };
        named.or_else(listed).unwrap_or_else(|| format!("uid {uid}"))
    }

    /// The settings of a volume.
    pub(crate) fn settings(&self, volume: &Volume) -> Result<Settings> {
        Settings::load(&volume.place("omne.toml"))
            .map_err(|error| Failure::from(omne_runner::RunError::from(error)))
    }

    /// An agent by its name.
    pub(crate) fn agent(&self, volume: &Volume, name: &str) -> Result<omne_agent::Agent> {
        let agent = omne_agent::Agent::find(name, &self.settings(volume)?.agents);
        Ok(agent.map_err(omne_runner::RunError::from)?)
    }

    pub(crate) fn options(
        &self,
        volume: &Volume,
        jobs: Option<u32>,
        fail_fast: FailFast,
        budget_usd: Option<f64>,
    ) -> Result<Options> {
        let settings = self.settings(volume)?;
        Ok(Options {
            jobs: jobs.map(|jobs| jobs as usize),
            fail_fast: fail_fast == FailFast::Yes,
            budget_usd,
            settings,
            environment: env::vars_os().collect::<Vec<(OsString, OsString)>>(),
            by: self.user(),
            omne: env::current_exe().unwrap_or_else(|_| PathBuf::from("omne")),
            omne_version: env!("CARGO_PKG_VERSION"),
        })
    }

    /// Reads and checks a pipe file; its diagnostics go to standard error.
    pub(crate) fn load_pipe(&self, path: &Path, volume: &Volume) -> Result<Arc<Pipe>> {
        let (source, checked) = self.check_pipe(path, volume)?;
        let colour = if self.paint_errors().is_on() { Colour::Yes } else { Colour::No };
        // `omne validate` shows all; here the first ones tell enough.
        const SHOWN: usize = 50;
        for diagnostic in checked.diagnostics.iter().take(SHOWN) {
            let text = omne_pipe::render(diagnostic, &source, colour);
            anstream::eprintln!("{text}\n");
        }
        if checked.diagnostics.len() > SHOWN {
            anstream::eprintln!(
                "and {} more; `omne validate` shows all\n",
                checked.diagnostics.len() - SHOWN
            );
        }
        let errors = checked.errors();
        checked.pipe.map(Arc::new).ok_or_else(|| {
            let faults = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
            Failure::message(Exit::Input, format!("`{}` has {faults}", source.name()))
                .help("`omne explain CODE` tells more about an error")
        })
    }

    /// Reads and checks a pipe file.
    pub(crate) fn check_pipe(&self, path: &Path, volume: &Volume) -> Result<(Source, omne_pipe::Checked)> {
        let name = self.shown(path);
        let mut bytes = Vec::new();
        // What somebody names may be a pipe, `<(…)`; of the volume's own files none has to be waited for.
        let is_own = path.starts_with(volume.place(""));
        let opened = if is_own { omne_events::open_plain(path) } else { std::fs::File::open(path) };
        let read = opened.and_then(|file| {
            if file.metadata()?.is_dir() {
                return Err(std::io::ErrorKind::IsADirectory.into());
            }
            file.take(Source::READ_LIMIT).read_to_end(&mut bytes)
        });
        read.map_err(|error| {
            let exit =
                if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Input };
            let failure = Failure::new(
                exit,
                anyhow::Error::new(error).context(format!("cannot read the pipe file `{name}`")),
            );
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let pipes = volume.pipes().unwrap_or_default();
            match pipes.iter().any(|found| found.name.as_str() == stem) && exit == Exit::NotFound {
                true => failure.help(format!("the volume has a pipe of that name: `{stem}`")),
                false => failure,
            }
        })?;
        Ok(match Source::new(&name, bytes) {
            Ok(source) => {
                // Settings that are wrong are told by whoever runs it.
                let limits = Settings::load(&volume.place("omne.toml")).unwrap_or_default().limits;
                let checked = check(
                    &source,
                    &VolumeLookup {
                        context: self,
                        volume,
                        most_nodes: limits.nodes,
                        commands: RefCell::default(),
                    },
                );
                (source, checked)
            }
            Err(refused) => {
                let (source, fault) = *refused;
                (source, omne_pipe::Checked { pipe: None, diagnostics: vec![fault] })
            }
        })
    }

    /// A path as people may see it: relative where that is shorter.
    pub(crate) fn shown(&self, path: &Path) -> String {
        let here = env::current_dir().unwrap_or_default();
        render::visible(&path.strip_prefix(&here).unwrap_or(path).to_string_lossy()).into_owned()
    }
}

/// Whether a volume is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exists {
    Yes,
    No,
}

/// Whether the first failure stops everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailFast {
    Yes,
    No,
}

/// Gates and commands of a volume.
struct VolumeLookup<'a> {
    context: &'a Context,
    volume: &'a Volume,
    most_nodes: usize,
    /// Many nodes may name one.
    commands: RefCell<BTreeMap<String, CommandFound>>,
}

/// A command; else why it can't be had.
type CommandFound = std::result::Result<Arc<omne_pipe::Command>, String>;

impl Lookup for VolumeLookup<'_> {
    fn gate(&self, name: &str) -> std::result::Result<(), String> {
        omne_exec::gate_path(self.volume.root(), name)
            .map(|_| ())
            .map_err(|why| format!("{why}; make it, or remove `gate`"))
    }

    fn command(&self, name: &str) -> std::result::Result<Option<Arc<omne_pipe::Command>>, String> {
        let look = || {
            let command = self.volume.command(name)?;
            let shown = self.context.shown(command.file_name().as_ref());
            Ok(Arc::new(command.shown_as(shown)))
        };
        self.commands.borrow_mut().entry(name.to_owned()).or_insert_with(look).clone().map(Some)
    }

    fn most_nodes(&self) -> usize {
        self.most_nodes
    }

    fn secret(&self, name: &str) -> std::result::Result<(), String> {
        let settings =
            Settings::load(&self.volume.place("omne.toml")).map_err(|error| format!("mend it: {error}"))?;
        settings.secret(name)
    }
}
