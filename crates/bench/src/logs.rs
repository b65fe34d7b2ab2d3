//! Logs of any length, written by the writer that runs use, so that they obey every rule.

use std::{
    error::Error,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use omne_events::{
    AgentTool, Chain, DefinitionText, Digest, Durability, Event, IdGen, LockedLog, LogWriter, Medium,
    NodeCompleted, NodeId, NodeKind, NodeSpawned, NodeStarted, OpenError, PipeCompleted, PipeName,
    PipeStarted, RunId, Syncer, Timestamp,
};

/// When each made run began, in milliseconds since 1970.
const BEGAN: i64 = 1_780_000_000_000;

/// Events between two writes.
const BATCH: u64 = 512;

/// What was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The run.
    pub run: RunId,
    /// How many events its log has.
    pub events: u64,
}

/// Ids in order, so that a log is the same each time it is made.
struct Ordered(u128);

impl IdGen for Ordered {
    fn random(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

/// A log in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// The bytes so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Medium for Memory {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).truncate(length);
        Ok(())
    }

    fn sync_in_background(
        &mut self,
        _: Durability,
        _: &Path,
        _: usize,
        _: Box<dyn Fn() + Send>,
    ) -> Result<Option<Box<dyn Syncer>>, OpenError> {
        Ok(None)
    }
}

/// A completed run's log in memory, with exactly `events` events about `nodes` nodes.
///
/// # Errors
/// When there are fewer events than the nodes need: three each, and two for the run.
pub fn memory_log(events: u64, nodes: u64) -> Result<Vec<u8>, Box<dyn Error>> {
    let memory = Memory::default();
    let run = run_id(0)?;
    let mut writer = LogWriter::after(Box::new(memory.clone()), run, Chain::new(), 0, Box::new(Ordered(0)));
    write(&mut writer, events, nodes)?;
    Ok(memory.bytes())
}

/// The same in a volume, as its run number `number`.
///
/// # Errors
/// As [`memory_log`], and when the log can't be written.
pub fn file_log(volume: &Path, number: u64, events: u64, nodes: u64) -> Result<Made, Box<dyn Error>> {
    let run = run_id(number)?;
    let directory = volume.join(".omne/var/runs").join(run.as_str());
    std::fs::create_dir_all(directory.join("nodes"))?;
    let log = LockedLog::create(&directory.join("events.jsonl"))?;
    let mut writer = LogWriter::begin(log, run.clone(), Box::new(Ordered(0)));
    write(&mut writer, events, nodes)?;
    Ok(Made { run, events })
}

fn run_id(number: u64) -> Result<RunId, Box<dyn Error>> {
    let began = BEGAN + i64::try_from(number)?;
    Ok(Ordered(0).run_id(&PipeName::new("made")?, Timestamp::from_millisecond(began)))
}

/// The events beyond three a node are tools of its agent.
fn write(writer: &mut LogWriter, events: u64, nodes: u64) -> Result<(), Box<dyn Error>> {
    let spare = (nodes > 0)
        .then(|| events.checked_sub(2 + 3 * nodes))
        .flatten()
        .ok_or("a log has at least one node, and three events a node besides two for the run")?;
    let mut log = Log { writer, events: 0 };
    log.add(started(nodes)?)?;
    for node in 0..nodes {
        let tools = spare / nodes + u64::from(node < spare % nodes);
        log.node(&NodeId::new(format!("n{node}"))?, tools)?;
    }
    log.add(PipeCompleted { duration_ms: events })?;
    log.writer.flush()?;
    Ok(())
}

struct Log<'a> {
    writer: &'a mut LogWriter,
    events: u64,
}

impl Log<'_> {
    fn add(&mut self, event: impl Into<Event>) -> Result<(), Box<dyn Error>> {
        let at = Timestamp::from_millisecond(BEGAN + i64::try_from(self.events)?);
        self.writer.append(at, event.into())?;
        self.events += 1;
        if self.events.is_multiple_of(BATCH) {
            self.writer.flush()?;
        }
        Ok(())
    }

    fn node(&mut self, node: &NodeId, tools: u64) -> Result<(), Box<dyn Error>> {
        let digest = Digest::of(node.as_str());
        self.add(NodeStarted {
            node_id: node.clone(),
            kind: NodeKind::Prompt,
            attempt: 1,
            node_sha256: Some(digest),
            prompt_sha256: Some(digest),
            prompt_stable_sha256: None,
            name: None,
            model: None,
            agent: Some("claude".into()),
        })?;
        self.add(NodeSpawned { node_id: node.clone(), attempt: 1, pid: 4711, program: "claude".into() })?;
        for tool in 0..tools {
            self.add(AgentTool {
                node_id: node.clone(),
                attempt: 1,
                tool: "Bash".into(),
                tool_use_id: format!("toolu_{tool}"),
                input_sha256: digest,
                summary: Some("cargo test --workspace".to_owned()),
            })?;
        }
        self.add(NodeCompleted {
            node_id: node.clone(),
            attempt: 1,
            output_path: None,
            output_bytes: 0,
            output_sha256: Some(Digest::of("")),
            duration_ms: 5,
            exit_code: Some(0),
            outputs: None,
            usage: None,
            denied_tools: None,
        })
    }
}

fn started(nodes: u64) -> Result<PipeStarted, Box<dyn Error>> {
    let all: Vec<String> = (0..nodes).map(|node| format!(r#"{{"id":"n{node}","prompt":"x"}}"#)).collect();
    let definition = format!(r#"{{"version":1,"name":"made","nodes":[{}]}}"#, all.join(","));
    Ok(PipeStarted {
        pipe: "made".into(),
        version: Some(1),
        definition_sha256: Some(Digest::of(&definition)),
        definition: Some(DefinitionText::new(definition)),
        inputs: Vec::new(),
        jobs: Some(2),
        workspace: None,
        host: None,
        by: None,
        distro_version: None,
    })
}
