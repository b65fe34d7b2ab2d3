//! Test cases: a recorded run that is played through the real runner, and the
//! snapshot that has to come out.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use omne_events::{
    Clock, Decoder, Digest, Event, IdGen, Line, LogReader, NodeId, PipeName, PipeStarted, Recorded,
    WorkspaceMode, encode, read_optional, read_plain,
};
use omne_exec::{Bash, Recording};
use omne_pipe::{Pipe, Values, from_definition};
use omne_process::Signal;
use omne_replay::{FoldError, RunPhase, RunState, Snapshot, fold};
use serde::{Deserialize, Serialize};

use crate::{
    NewRun, Observer, Options, Outcome, RunDir, RunError, Volume, begin::begin, begin::execute, recording,
    workspace,
};

/// A test case on disk: a directory below `.omne/tests/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
}

/// `case.yaml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// The pipe; the volume's of that name is run as it is now.
    pipe: String,
    #[serde(default)]
    inputs: serde_json::Map<String, serde_json::Value>,
    /// Bash nodes that run instead of being played.
    #[serde(default)]
    real: Vec<NodeId>,
    /// The pipe as it was, for when the volume has none of that name.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    definition: serde_json::Value,
}

/// What a case gave.
#[derive(Debug)]
pub struct Played {
    /// The snapshot of the run.
    pub snapshot: String,
    /// The stored one; `None` when there is none yet.
    pub stored: Option<String>,
}

/// Why a case can't be made or played.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The run has not ended.
    #[error("`{0}` has not ended, so it is no example yet")]
    NotOver(String),
    /// There is one of that name.
    #[error("there is a case `{0}` already")]
    Exists(String),
    /// There is none of that name.
    #[error("there is no case `{0}`")]
    Unknown(String),
    /// The name is none for a directory.
    #[error("`{0}` is no name for a case")]
    BadName(String),
    /// `case.yaml` is not what it has to be.
    #[error("`{}` is not a test case: {why}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file can't be read or written.
    #[error("cannot {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A signal ended it.
    #[error("interrupted")]
    Interrupted(Signal),
    /// The run could not be begun or brought to its end.
    #[error(transparent)]
    Run(#[from] RunError),
}

fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CaseError {
    let path = path.to_owned();
    move |source| CaseError::Io { verb, path, source }
}

impl Case {
    /// All cases of a volume, by name.
    pub fn all(volume: &Volume) -> Result<Vec<Self>, CaseError> {
        let directory = volume.place("tests");
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io_error("read", &directory))?,
        };
        let mut cases: Vec<Self> = entries
            .flatten()
            // One that lost its description is told, not passed over.
            .filter(|entry| {
                let has = |name| entry.path().join(name).exists();
                ["case.yaml", "recording.jsonl", "snapshot.txt"].into_iter().any(has)
            })
            .filter_map(|entry| {
                Some(Self { name: entry.file_name().into_string().ok()?, path: entry.path() })
            })
            .collect();
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(cases)
    }

    /// The case called `name`.
    pub fn find(volume: &Volume, name: &str) -> Result<Self, CaseError> {
        let known = Self::all(volume)?.into_iter().find(|case| case.name == name);
        known.ok_or_else(|| CaseError::Unknown(name.to_owned()))
    }

    /// Makes a case of a run that has ended; it has no snapshot yet.
    pub fn record(volume: &Volume, run: &RunDir, name: Option<&str>) -> Result<Self, CaseError> {
        let state = LogReader::open(&run.log())
            .map_err(FoldError::Read)
            .and_then(|mut reader| fold(RunState::new(), &mut reader, None, &mut |_, _| {}))
            .map_err(|source| RunError::of_log(&run.id, source))?
            .state;
        let over = matches!(state.phase(), RunPhase::Completed | RunPhase::Aborted);
        let Some(pipe) = state.pipe().filter(|_| over) else {
            return Err(CaseError::NotOver(run.id.to_string()));
        };
        let name = name.unwrap_or(pipe.name().as_str());
        NodeId::new(name).map_err(|_| CaseError::BadName(name.to_owned()))?;
        let case = Self { name: name.to_owned(), path: volume.place("tests").join(name) };
        if case.path.exists() {
            return Err(CaseError::Exists(name.to_owned()));
        }
        let nodes = case.path.join("nodes");
        fs::create_dir_all(&nodes).map_err(io_error("make", &nodes))?;
        let written = case.write(run, &state, pipe, &nodes);
        if written.is_err() {
            // Half a case is none; why there is none is told.
            let _ = fs::remove_dir_all(&case.path);
        }
        written.map(|()| case)
    }

    fn write(&self, run: &RunDir, state: &RunState, pipe: &Pipe, nodes: &Path) -> Result<(), CaseError> {
        let recording = recording(run, Bash::Real)?;
        for name in recording.files() {
            let from = run.path.join("nodes").join(&name);
            match fs::copy(&from, nodes.join(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("copy", &from)(error));
                }
                _ => {}
            }
        }
        let path = self.path.join("recording.jsonl");
        let mut lines = Vec::new();
        let log = run.log();
        let read = |error: omne_events::ReadError| RunError::Damaged {
            run: run.id.to_string(),
            source: FoldError::Read(error),
        };
        let mut reader = LogReader::open(&log).map_err(read)?;
        let mut decoder = Decoder::new();
        while let Some(line) = reader.next_line().map_err(read)? {
            if let Ok(decoded) = decoder.decode(line)
                && let Line::Known(record) = decoded.line.into_line()
            {
                if let Event::PipeStarted(started) = &record.event {
                    let places = Recorded { event: only_places(started).into(), ..record };
                    encode(&places, Digest::ZERO, &mut lines)
                        .map_err(|error| self.wrong(error.to_string()))?;
                    lines.push(b'\n');
                } else if is_played(&record.event) {
                    lines.extend_from_slice(line);
                    lines.push(b'\n');
                }
            }
        }
        fs::write(&path, lines).map_err(io_error("write", &path))?;
        let description = Description {
            pipe: pipe.name().to_string(),
            inputs: state.inputs().iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
            real: Vec::new(),
            definition: serde_json::from_str(pipe.definition()).unwrap_or_default(),
        };
        let path = self.path.join("case.yaml");
        let yaml = omne_pipe::to_yaml(&description).map_err(|why| self.wrong(why))?;
        let head = "# A recorded run. `real: [ids]` lets bash nodes run instead of playing them.\n";
        fs::write(&path, format!("{head}{yaml}")).map_err(io_error("write", &path))
    }

    fn wrong(&self, why: impl Into<String>) -> CaseError {
        CaseError::Description { path: self.path.join("case.yaml"), why: why.into() }
    }

    fn description(&self) -> Result<Description, CaseError> {
        let path = self.path.join("case.yaml");
        let text = read_plain(&path).map_err(io_error("read", &path))?;
        let text = String::from_utf8(text).map_err(|_| self.wrong("it is not UTF-8"))?;
        let value = omne_pipe::from_yaml(&text).map_err(|why| self.wrong(why))?;
        if !value.is_object() {
            return Err(self.wrong("it has to have keys: `pipe`, `inputs`, `real`, `definition`"));
        }
        serde_json::from_value(value).map_err(|error| self.wrong(error.to_string()))
    }

    /// The name of the pipe that it runs.
    pub fn pipe(&self) -> Result<PipeName, CaseError> {
        let name = self.description()?.pipe;
        PipeName::new(&name).map_err(|error| self.wrong(format!("`pipe`: {error}")))
    }

    fn snapshot_path(&self) -> PathBuf {
        self.path.join("snapshot.txt")
    }

    /// Runs the case: its pipe as `now` is, or else as it was recorded.
    pub fn play(
        &self,
        volume: &Volume,
        now: Option<Arc<Pipe>>,
        options: &Options,
        clock: &dyn Clock,
        ids: Box<dyn IdGen>,
    ) -> Result<Played, CaseError> {
        let description = self.description()?;
        let pipe = match now {
            Some(pipe) => pipe,
            None => {
                let pipe = from_definition(&description.definition.to_string());
                let first = |faults: &[omne_pipe::Diagnostic]| {
                    faults.first().map_or_else(|| "it has no definition".to_owned(), |f| f.message.clone())
                };
                Arc::new(pipe.map_err(|faults| self.wrong(format!("its definition: {}", first(&faults))))?)
            }
        };
        let given: Vec<(String, serde_json::Value)> = description.inputs.into_iter().collect();
        let known =
            |(key, _): &(String, serde_json::Value)| pipe.inputs().iter().any(|i| i.key == key.as_str());
        // An input that the pipe has no more is part of how it changed.
        let given: Vec<_> = given.into_iter().filter(known).collect();
        let inputs: Values = omne_pipe::resolve(pipe.inputs(), &given).map_err(|errors| {
            let why = errors.first().map(ToString::to_string).unwrap_or_default();
            self.wrong(format!("{why}; give it under `inputs`"))
        })?;
        for id in &description.real {
            let why = match pipe.find(id.as_str()) {
                Some(node) if pipe.node(node).ai().is_none() => continue,
                Some(_) => "an agent's node: agents are always played",
                None => "which the pipe does not have",
            };
            return Err(self.wrong(format!("`real` names `{id}`, {why}")));
        }
        let in_place = description.real.is_empty();
        let recording = self.recording(description.real)?;
        let mut placeholders = recording.placeholders().clone();
        let place = tempfile::tempdir().map_err(io_error("make", &std::env::temp_dir()))?;
        let new = NewRun {
            volume: volume.clone(),
            pipe,
            inputs,
            workspace: in_place.then_some(WorkspaceMode::Root),
            recording: Some(recording),
            runs: Some(place.path().to_owned()),
        };
        let beginning = begin(new, options, clock, ids)?;
        let run = beginning.run().clone();
        // Nodes that run find it elsewhere than in a run.
        let at = if beginning.workspace == volume.root() { "<workspace>" } else { "<volume>" };
        placeholders.add(&run.path.to_string_lossy(), format!("{at}/.omne/var/runs/<run>"));
        let mut taken = Silent(Snapshot::with_placeholders(placeholders));
        let ended = execute(beginning, options, clock, &mut taken);
        workspace::remove(volume, &run.id).map_err(RunError::from)?;
        let (outcome, state) = ended?;
        if let Outcome::Interrupted(signal) = outcome {
            return Err(CaseError::Interrupted(signal));
        }
        let snapshot = taken.0.finish(&state);
        let stored = read_optional(&self.snapshot_path()).map_err(io_error("read", &self.snapshot_path()))?;
        Ok(Played { snapshot, stored })
    }

    fn recording(&self, real: Vec<NodeId>) -> Result<Recording, CaseError> {
        let mut recording = Recording::new(self.path.join("nodes"), Bash::Played { real });
        let path = self.path.join("recording.jsonl");
        let text = read_plain(&path).map_err(io_error("read", &path))?;
        let mut decoder = Decoder::new();
        for (number, line) in text.split(|&b| b == b'\n').filter(|line| !line.is_empty()).enumerate() {
            match decoder.decode(line) {
                Ok(decoded) => {
                    if let Line::Known(record) = decoded.line.into_line() {
                        recording.push(&record);
                    }
                }
                Err(error) => {
                    return Err(self.wrong(format!("line {} of recording.jsonl: {error}", number + 1)));
                }
            }
        }
        Ok(recording)
    }

    /// Stores a snapshot as the one that has to come out.
    pub fn accept(&self, snapshot: &str) -> Result<(), CaseError> {
        let path = self.snapshot_path();
        let new = self.path.join("snapshot.txt.new");
        let write = || {
            let mut file = fs::File::create(&new)?;
            file.write_all(snapshot.as_bytes())?;
            fs::rename(&new, &path)
        };
        write().map_err(io_error("write", &path))
    }
}

/// What of a run's first event stands in what its nodes said: where it ran. The rest is in `case.yaml`.
fn only_places(started: &PipeStarted) -> PipeStarted {
    PipeStarted {
        pipe: started.pipe.clone(),
        version: started.version,
        definition: None,
        definition_sha256: None,
        inputs: Vec::new(),
        jobs: None,
        workspace: started.workspace.clone(),
        host: started.host.clone(),
        by: None,
        distro_version: None,
    }
}

/// Whether an event is needed to play a run.
fn is_played(event: &Event) -> bool {
    matches!(
        event,
        Event::PipeResumed(_)
            | Event::NodeStarted(_)
            | Event::NodeCompleted(_)
            | Event::NodeFailed(_)
            | Event::IterationStarted(_)
            | Event::IterationCompleted(_)
            | Event::GatePassed(_)
    )
}

/// Takes the snapshot, and shows nothing.
struct Silent(Snapshot);

impl Observer for Silent {
    fn wrote(&mut self, records: &[Recorded], _: &[u8], _: &RunState) {
        for record in records {
            self.0.push(&Line::Known(record.clone()));
        }
    }

    fn tick(&mut self, _: &RunState) -> Option<std::time::Duration> {
        None
    }

    fn live(&mut self, _: &NodeId, _: &str) {}

    fn warn(&mut self, _: &str) {}
}
