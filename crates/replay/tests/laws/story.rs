//! A log told event by event, with a clock and ids that stand still.

use std::{sync::Arc, time::Duration};

use omne_events::*;
use omne_pipe::{Identities, NoLookup, Pipe, Source, check};
use omne_replay::{Folded, RunState, fold};

pub(crate) struct Story {
    pub(crate) pipe: Arc<Pipe>,
    dir: tempfile::TempDir,
    log: LogWriter,
    clock: ManualClock,
    pub(crate) state: RunState,
}

pub(crate) fn pipe(nodes: &str) -> Arc<Pipe> {
    let text = format!("name: story\nversion: 1\ninputs: {{name: {{default: you}}}}\nnodes:\n{nodes}");
    let checked = check(&Source::new("story.yaml", text.into_bytes()).unwrap(), &NoLookup);
    Arc::new(checked.pipe.unwrap_or_else(|| panic!("{:?}", checked.diagnostics)))
}

pub(crate) fn id(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

pub(crate) fn host() -> Host {
    Host { name: "host".into(), pid: 1, omne_version: "0.3.0".into() }
}

impl Story {
    pub(crate) fn of(nodes: &str) -> Self {
        let pipe = pipe(nodes);
        let dir = tempfile::tempdir().unwrap();
        let mut ids = CountingIds::default();
        let noon = Timestamp::from_millisecond(1_795_168_800_000);
        let run = ids.run_id(pipe.name(), noon);
        let log = LockedLog::create(&dir.path().join("events.jsonl")).unwrap();
        let log = LogWriter::begin(log, run, Box::new(ids));
        let clock = ManualClock::at(noon);
        let mut story = Self { dir, log, clock, state: RunState::new(), pipe: Arc::clone(&pipe) };
        let workspace = Workspace { mode: WorkspaceMode::Root, path: "/volume".into(), base_commit: None };
        story.say(PipeStarted {
            pipe: pipe.name().as_str().into(),
            version: Some(pipe.version()),
            definition: Some(pipe.definition_text()),
            definition_sha256: Some(pipe.definition_sha256()),
            inputs: vec![Input { key: "name".into(), value: "you".into() }],
            jobs: Some(2),
            workspace: Some(workspace),
            host: Some(host()),
            by: Some("somebody".into()),
            distro_version: None,
        });
        story
    }

    /// Writes an event, which has to obey the rules.
    pub(crate) fn say(&mut self, event: impl Into<Event>) -> &mut Self {
        self.clock.advance(Duration::from_millis(10));
        let record = self.log.append(self.clock.now(), event.into()).unwrap();
        self.log.flush().unwrap();
        self.state.apply(&record).unwrap_or_else(|violation| panic!("{violation}: {record:?}"));
        self
    }

    /// Writes an event whatever the rules say, and gives what they say.
    pub(crate) fn blurt(&mut self, event: impl Into<Event>) -> Option<omne_replay::Violation> {
        let record = self.log.append(self.clock.now(), event.into()).unwrap();
        self.log.flush().unwrap();
        self.state.apply(&record).err()
    }

    pub(crate) fn started(&self, node: &str, attempt: u32) -> NodeStarted {
        let ix = self.pipe.find(node).unwrap();
        let inputs = self.state.inputs().clone();
        NodeStarted {
            node_id: id(node),
            kind: self.pipe.node(ix).kind(),
            attempt,
            node_sha256: Some(
                Identities::new(&self.pipe, omne_pipe::Commands::new()).of(&self.pipe, &inputs, ix),
            ),
            prompt_sha256: None,
            prompt_stable_sha256: None,
            name: None,
            model: None,
            agent: None,
        }
    }

    pub(crate) fn start(&mut self, node: &str, attempt: u32) -> &mut Self {
        let started = self.started(node, attempt);
        self.say(started);
        self.say(NodeSpawned { node_id: id(node), attempt, pid: 100, program: "/bin/sh".into() })
    }

    pub(crate) fn complete(&mut self, node: &str) -> &mut Self {
        let attempt = self.state.node(self.pipe.find(node).unwrap()).attempt;
        self.say(completed(node, attempt))
    }

    pub(crate) fn fail(&mut self, node: &str, retry_in_ms: Option<u64>) -> &mut Self {
        let attempt = self.state.node(self.pipe.find(node).unwrap()).attempt;
        self.say(NodeFailed { retry_in_ms, ..failed(node, attempt, ErrorKind::Crash) })
    }

    /// The node begins and asks, and the run is parked.
    pub(crate) fn park(&mut self, node: &str) -> &mut Self {
        self.start(node, 1).say(asked(node)).say(PipeParked { waiting: vec![id(node)] })
    }

    pub(crate) fn resume(&mut self, plan: Vec<PlanStep>) -> &mut Self {
        let resume = self.state.resumes() + 1;
        self.say(PipeResumed {
            resume,
            definition: None,
            definition_sha256: None,
            inputs: None,
            plan,
            host: Some(host()),
            by: Some("somebody".into()),
        })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("events.jsonl")).unwrap()
    }
}

pub(crate) fn completed(node: &str, attempt: u32) -> NodeCompleted {
    let output = format!("{node}\n");
    NodeCompleted {
        node_id: id(node),
        attempt,
        output_path: Some(format!(".omne/var/runs/story/nodes/{node}.out")),
        output_bytes: output.len() as u64,
        output_sha256: Some(Digest::of(output)),
        duration_ms: 10,
        exit_code: Some(0),
        outputs: Some([("key".into(), format!("of {node}"))].into()),
        usage: None,
        denied_tools: None,
    }
}

pub(crate) fn failed(node: &str, attempt: u32, kind: ErrorKind) -> NodeFailed {
    NodeFailed {
        node_id: id(node),
        attempt,
        error: kind.into(),
        message: Some("no such luck".into()),
        exit_code: Some(1),
        signal: None,
        duration_ms: 10,
        retry_in_ms: None,
        usage: None,
    }
}

/// People are asked at a gate of the node.
pub(crate) fn asked(node: &str) -> GateWaiting {
    GateWaiting {
        node_id: id(node),
        gate: "g".into(),
        prompt: "ship it?".into(),
        options: vec!["yes".into(), "no".into()],
        default: None,
        usage: None,
    }
}

/// They say yes or no.
pub(crate) fn answered(node: &str, option: &str) -> GateDecided {
    GateDecided {
        node_id: id(node),
        gate: "g".into(),
        option: option.into(),
        approved: option == "yes",
        by: "ann".into(),
        comment: None,
    }
}

/// The log in `bytes`, folded.
pub(crate) fn folded(bytes: &[u8]) -> Folded {
    let mut reader = LogReader::new(bytes, "log".as_ref());
    fold(RunState::new(), &mut reader, None, &mut |_, _| {}).unwrap()
}

/// Everything that can be seen of a state.
pub(crate) fn seen(state: &RunState) -> String {
    serde_json::to_string_pretty(&state.view()).unwrap()
}
