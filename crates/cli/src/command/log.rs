//! Logs as commands name them: a run of the volume, a file, or standard input.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use omne_audit::{BundleError, RedactedFile, Story, Unpacked, is_bundle, unpack};
use omne_events::{Digest, Line, LineRef, LockedLog, LogReader, Redactions, Tail, open_plain};
use omne_replay::{FoldError, Folded, Report, RunPhase, RunState, Terms, fold};
use omne_runner::{RunDir, RunError};

use crate::{
    failure::{Exit, Failure, Result},
    wire::Context,
};

/// Where a log is.
pub(super) enum LogSource {
    Run(RunDir),
    File(PathBuf),
    Bundle(PathBuf, Box<Unpacked>),
    Stdin,
}

impl LogSource {
    /// A file if it looks like one, else a run.
    pub(super) fn find(name: &str, context: &Context) -> Result<Self> {
        if name == "-" {
            return Ok(LogSource::Stdin);
        }
        let path = Path::new(name);
        // A run that goes by the name is meant, whatever lies here under it.
        let is_run = || context.volume().is_ok_and(|volume| volume.resolve(name).is_ok());
        if name.contains('/') || name.ends_with(".jsonl") || path.is_file() && !is_run() {
            let path = context.absolute(path)?;
            if is_bundle(&path) {
                let unpacked = unpack(&path)?;
                return Ok(LogSource::Bundle(path, Box::new(unpacked)));
            }
            // A run's directory stands for its log.
            return Ok(LogSource::File(if path.is_dir() { path.join("events.jsonl") } else { path }));
        }
        let volume = context.volume()?;
        let run = volume.resolve(name)?;
        Ok(LogSource::Run(run))
    }

    /// What to call it.
    pub(super) fn name(&self) -> String {
        match self {
            LogSource::Run(run) => run.id.to_string(),
            LogSource::File(path) | LogSource::Bundle(path, _) => path.display().to_string(),
            LogSource::Stdin => "standard input".to_owned(),
        }
    }

    /// Where its captures are, if they were kept.
    pub(super) fn nodes(&self) -> Option<PathBuf> {
        match self {
            LogSource::Run(run) => Some(run.path.join("nodes")),
            // A log alone, such as one that was sent, says nothing of captures.
            LogSource::File(path) => {
                path.parent().map(|run| run.join("nodes")).filter(|nodes| nodes.is_dir())
            }
            // Nor does a bundle of such a one.
            LogSource::Bundle(_, unpacked) => {
                let nodes = unpacked.nodes();
                let is_empty = nodes.read_dir().is_ok_and(|mut entries| entries.next().is_none());
                (!is_empty).then_some(nodes)
            }
            LogSource::Stdin => None,
        }
    }

    /// Files from which something was removed.
    pub(super) fn redacted_files(&self) -> &[RedactedFile] {
        match self {
            LogSource::Bundle(_, unpacked) => &unpacked.redactions.files,
            LogSource::Run(_) | LogSource::File(_) | LogSource::Stdin => &[],
        }
    }

    /// Whether a runner is at it now.
    pub(super) fn life(&self) -> Life {
        match self {
            LogSource::Run(run) => Life::of(run),
            LogSource::File(path) => Life::of_log(path),
            LogSource::Bundle(..) | LogSource::Stdin => Life::Gone,
        }
    }

    /// Checks it by every rule; a bundle may lack what was removed from it.
    pub(super) fn verify(&self, head: Option<Digest>) -> Result<Report> {
        let redactions = match self {
            LogSource::Bundle(..) => Redactions::Accepted,
            LogSource::Run(_) | LogSource::File(_) | LogSource::Stdin => Redactions::Refused,
        };
        let mut report = omne_replay::verify(&mut self.open()?, Terms { head, redactions })
            .map_err(|error| Failure::new(Exit::Damaged, error))?;
        if let LogSource::Run(run) = self {
            report.has_to_be_of(&run.id);
        }
        Ok(report)
    }

    /// Its lines. A run that never began has none, which is no damage.
    pub(super) fn reader(&self) -> Result<LogReader<'_>> {
        if let LogSource::Run(run) = self {
            begun(run)?;
        }
        self.open()
    }

    fn open(&self) -> Result<LogReader<'_>> {
        let open = |path: &Path, opened: io::Result<File>| -> Result<LogReader<'_>> {
            let file = opened.map_err(|error| {
                let exit =
                    if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Damaged };
                let help = "the directory of a run holds its log, `events.jsonl`";
                Failure::new(
                    exit,
                    anyhow::Error::new(error).context(format!("cannot read the log `{}`", path.display())),
                )
                .help(help)
            })?;
            Ok(LogReader::new(file, path))
        };
        match self {
            LogSource::Run(run) => open(&run.log(), open_plain(&run.log())),
            // What somebody names may be a pipe: `<(…)`.
            LogSource::File(path) => open(path, File::open(path)),
            LogSource::Bundle(_, unpacked) => open(&unpacked.log(), File::open(unpacked.log())),
            LogSource::Stdin => Ok(LogReader::new(io::stdin(), Path::new("standard input"))),
        }
    }

    /// The whole log with its times.
    pub(super) fn story(&self, each: impl FnMut(&[u8], &Line) + Send) -> Result<Story> {
        let mut reader = self.reader()?;
        let story = Story::read(&mut reader, each).map_err(|error| damaged(&self.name(), error))?;
        self.tell(reader.tail());
        Ok(story)
    }

    /// Tells of a torn end that nobody is about to complete.
    pub(super) fn tell(&self, tail: Tail) {
        if let Tail::Torn { bytes, .. } = tail
            && self.life() == Life::Gone
        {
            anstream::eprintln!("warning: {}", torn(bytes));
        }
    }

    /// The log folded up to `until`.
    pub(super) fn fold(
        &self,
        until: Option<u64>,
        mut each: impl FnMut(&[u8], &LineRef<'_>) + Send,
    ) -> Result<Folded> {
        let beyond = |what: String| {
            Err(Failure::message(Exit::Input, what).help("`omne events` shows them with their numbers"))
        };
        if until == Some(0) {
            return beyond("events are numbered from 1".to_owned());
        }
        let folded = fold(RunState::new(), &mut self.reader()?, until, &mut each)
            .map_err(|error| damaged(&self.name(), error))?;
        if until.is_none() {
            self.tell(folded.tail);
        }
        match until {
            Some(until) if until > folded.seq => beyond(format!("the log has {} events", folded.seq)),
            _ => Ok(folded),
        }
    }
}

/// What is said of a torn end of a log.
pub(super) fn torn(bytes: u64) -> String {
    format!("the log ends in a torn line of {bytes} bytes, which is passed over")
}

/// Whether a run has a log that can be read.
pub(super) fn begun(run: &RunDir) -> Result<()> {
    match run.has_begun() {
        Err(RunError::NeverBegan(id)) if Life::of(run) == Life::Alive => {
            let message = format!("the run `{id}` is about to begin, and has recorded nothing yet");
            Err(Failure::message(Exit::NotFound, message).help("ask again in a moment"))
        }
        begun => Ok(begun?),
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        let exit = match &error {
            BundleError::Io { .. } => Exit::Write,
            BundleError::Foreign { .. } | BundleError::Log(_) => Exit::Damaged,
            BundleError::Essential { .. } => Exit::Input,
        };
        let failure = Self::new(exit, error);
        match exit {
            Exit::Input => failure.help("write patterns that match less"),
            _ => failure,
        }
    }
}

pub(super) fn damaged(name: &str, error: FoldError) -> Failure {
    let help = match &error {
        FoldError::Empty => "nothing was recorded in it",
        FoldError::Read(_)
        | FoldError::Decode { .. }
        | FoldError::Violation { .. }
        | FoldError::Finding { .. } => "`omne verify` tells everything that is wrong with it",
    };
    Failure::new(Exit::Damaged, anyhow::Error::new(error).context(format!("the log of `{name}` is damaged")))
        .help(help)
}

/// Whether a runner is at a run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Gone,
}

impl Life {
    pub(super) fn of(run: &RunDir) -> Self {
        Self::of_log(&run.log())
    }

    pub(super) fn of_log(log: &Path) -> Self {
        match LockedLog::owner(log) {
            Ok(Some(_)) => Life::Alive,
            Ok(None) | Err(_) => Life::Gone,
        }
    }
}

/// The state to show: a run that says it is running, and has no runner, was interrupted without a word.
pub(super) fn shown_state(state: &RunState, life: Life) -> &'static str {
    match state.phase() {
        RunPhase::Unborn | RunPhase::Running if life == Life::Gone => RunPhase::Interrupted.as_str(),
        phase => phase.as_str(),
    }
}
