//! A run that was recorded, to be played instead of its programs.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use omne_events::{
    Digest, ErrorKind, Event, Hasher, IterationOutcome, NodeId, Placeholders, PlanAction, Recorded,
};
use omne_process::Directory;

use super::files::{Names, TryEnd};

/// What happens to bash nodes when a recording is played.
#[derive(Debug, Clone)]
pub enum Bash {
    /// They run.
    Real,
    /// They are played, but for these, which run.
    Played {
        /// Nodes that run for real.
        real: Vec<NodeId>,
    },
}

/// Why a recording can't be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the recording `{}`", path.display())]
pub struct RecordingError {
    /// The file.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// A recorded run: its attempts in their order, and where their files are.
#[derive(Debug)]
pub struct Recording {
    nodes: PathBuf,
    bash: Bash,
    attempts: HashMap<NodeId, Vec<Played>>,
    open: HashMap<NodeId, Open>,
    placeholders: Placeholders,
    of_prompts: Placeholders,
}

/// An attempt that ended by itself. What a resume went on with is one with what came before.
#[derive(Debug, Clone, Default)]
struct Played {
    tries: Vec<Take>,
    events: Vec<Event>,
}

/// An attempt as far as it is known.
#[derive(Debug, Default)]
struct Open {
    number: u32,
    /// Tries of attempts that this one goes on with, and of itself.
    tries: Vec<Take>,
    /// Tries of this attempt.
    begun: usize,
    events: Vec<Event>,
}

/// A recorded try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Take {
    attempt: u32,
    /// Which try of its attempt.
    place: usize,
    iteration: Option<u32>,
    completed: bool,
}

impl Recording {
    /// Nothing known yet; `nodes` is the directory of the recorded files.
    pub fn new(nodes: PathBuf, bash: Bash) -> Self {
        let (attempts, open) = Default::default();
        let (placeholders, of_prompts) = Default::default();
        Self { nodes, bash, attempts, open, placeholders, of_prompts }
    }

    /// Takes the next event of the recorded run.
    pub fn push(&mut self, record: &Recorded) {
        let event = &record.event;
        match event {
            Event::PipeStarted(started) => {
                let run = record.run.as_str();
                self.placeholders = Placeholders::new(run, started.workspace.as_ref(), started.host.as_ref());
                self.of_prompts = Placeholders::new(run, started.workspace.as_ref(), None);
            }
            Event::PipeResumed(resumed) => {
                // What a resume runs again did not happen, for what comes after.
                for step in &resumed.plan {
                    if matches!(step.action, PlanAction::Rerun | PlanAction::Run) {
                        self.attempts.remove(&step.node_id);
                        self.open.remove(&step.node_id);
                    }
                }
            }
            Event::NodeStarted(started) => {
                // One that was cut off, or stopped by people, is no end: what goes on with it is.
                let mut tries = self.open.remove(&started.node_id).map(|open| open.tries).unwrap_or_default();
                tries.retain(|take| take.completed);
                let open = Open { number: started.attempt, tries, ..Open::default() };
                self.open.insert(started.node_id.clone(), open);
            }
            Event::IterationStarted(started) => {
                let Some(open) = self.open.get_mut(&started.node_id) else { return };
                if started.iteration == 1 && open.begun == 0 {
                    open.tries.clear();
                }
                open.tries.push(Take {
                    attempt: open.number,
                    place: open.begun,
                    iteration: Some(started.iteration),
                    completed: false,
                });
                open.begun += 1;
            }
            Event::IterationCompleted(completed) => {
                if let Some(take) =
                    self.open.get_mut(&completed.node_id).and_then(|open| open.tries.last_mut())
                {
                    take.completed = completed.outcome != IterationOutcome::Failed;
                }
            }
            Event::GatePassed(passed) => {
                if let Some(open) = self.open.get_mut(&passed.node_id) {
                    open.events.push(event.clone());
                }
            }
            Event::NodeCompleted(completed) => self.close(&completed.node_id, event),
            Event::NodeFailed(failed) => {
                let stopped = matches!(failed.error.kind, ErrorKind::Interrupted | ErrorKind::Cancelled);
                if !stopped {
                    self.close(&failed.node_id, event);
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, node: &NodeId, event: &Event) {
        let Some(mut open) = self.open.remove(node) else { return };
        if open.begun == 0 {
            // No loop: the attempt is the try.
            let take = Take { attempt: open.number, place: 0, iteration: None, completed: true };
            open.tries = vec![take];
        }
        open.events.push(event.clone());
        let played = Played { tries: open.tries, events: open.events };
        self.attempts.entry(node.clone()).or_default().push(played);
    }

    /// The id and the places of the recorded run, which stand in texts of the one that plays it.
    pub fn placeholders(&self) -> &Placeholders {
        &self.placeholders
    }

    /// The same without the host: its name may be a word of any prompt.
    pub fn placeholders_of_prompts(&self) -> &Placeholders {
        &self.of_prompts
    }

    /// Whether a bash node is played.
    pub fn plays_bash(&self, node: &NodeId) -> bool {
        match &self.bash {
            Bash::Real => false,
            Bash::Played { real } => !real.contains(node),
        }
    }

    fn attempt(&self, node: &NodeId, attempt: u32) -> Option<&Played> {
        self.attempts.get(node)?.get(attempt.checked_sub(1)? as usize)
    }

    /// What happened in an attempt, from its gate on.
    pub(crate) fn events(&self, node: &NodeId, attempt: u32) -> Option<&[Event]> {
        Some(&self.attempt(node, attempt)?.events)
    }

    /// The tries of an attempt.
    pub(crate) fn tries(&self, node: &NodeId, attempt: u32) -> Option<Vec<Take>> {
        Some(self.attempt(node, attempt)?.tries.clone())
    }

    /// How a try ended. `None` when it was not kept.
    pub(crate) fn end_of(&self, node: &NodeId, take: &Take) -> Result<Option<TryEnd>, RecordingError> {
        let names = Names { node: node.as_str(), attempt: take.attempt };
        let path = self.nodes.join(names.tries());
        let failed = |source| RecordingError { path: path.clone(), source };
        let file = match self.open(&names.tries()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let Some(line) = BufReader::new(file).lines().nth(take.place) else { return Ok(None) };
        serde_json::from_str(&line.map_err(failed)?).map(Some).map_err(|error| failed(error.into()))
    }

    /// The bytes of a try, piece by piece. What `hear` says against one ends it.
    pub(crate) fn stream(
        &self,
        node: &NodeId,
        take: &Take,
        end: &TryEnd,
        hear: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<io::Result<()>, RecordingError> {
        if end.to <= end.from {
            return Ok(Ok(()));
        }
        let names = Names { node: node.as_str(), attempt: take.attempt };
        let path = self.nodes.join(names.stream());
        let mut read = || -> io::Result<io::Result<()>> {
            let mut file = self.open(&names.stream())?;
            file.seek(SeekFrom::Start(end.from))?;
            let mut rest = file.take(end.to - end.from);
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let heard = match rest.read(&mut buffer)? {
                    0 => return Ok(Ok(())),
                    read => hear(&buffer[..read]),
                };
                if heard.is_err() {
                    return Ok(heard);
                }
            }
        };
        read().map_err(|source| RecordingError { path: path.clone(), source })
    }

    fn open(&self, name: &str) -> io::Result<File> {
        Directory::open(&self.nodes)?.read(name)
    }

    /// Copies a capture, if there is one. Its size in bytes, and its digest.
    pub(crate) fn copy(&self, name: &str, to: &Directory) -> io::Result<(u64, Digest)> {
        let mut hasher = Hasher::new();
        let mut from = match self.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, hasher.finish())),
            opened => opened?,
        };
        let mut to = to.create(name)?;
        let mut buffer = vec![0; 64 * 1024];
        let mut bytes = 0;
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok((bytes, hasher.finish())),
                read => {
                    hasher.update(&buffer[..read]);
                    to.write_all(&buffer[..read])?;
                    bytes += read as u64;
                }
            }
        }
    }

    /// The names of the files that playing needs.
    pub fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for (node, attempts) in &self.attempts {
            for take in attempts.iter().flat_map(|played| &played.tries) {
                let names = Names { node: node.as_str(), attempt: take.attempt };
                files.extend([names.stream(), names.tries()]);
            }
            files.extend(["out", "err"].map(|ending| format!("{node}.{ending}")));
        }
        files.sort();
        files.dedup();
        files
    }
}
