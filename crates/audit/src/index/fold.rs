//! The state of one run, and its rows.

use std::sync::Arc;

use omne_events::{Decoder, Digest, Event, EventRef, LineRef, NodeId, RunId};
use omne_pipe::Pipe;
use omne_replay::{RunPhase, RunState};
use rusqlite::{Connection, Result, params};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

/// A log as far as it is read.
#[derive(Default)]
pub(super) struct Fold {
    state: RunState,
    decoder: Decoder,
    agents: FxHashMap<NodeId, Agent>,
    /// How many attempts of each node failed.
    failures: FxHashMap<NodeId, u32>,
    /// Lines, those that were known before included.
    lines: u64,
    /// New events.
    pub(super) events: u64,
    /// The size of their lines, newlines included.
    pub(super) bytes: u64,
    /// The digest of the last new line.
    pub(super) head: Option<Digest>,
    /// Why it was read no further.
    pub(super) problem: Option<String>,
}

/// The program and model that a node used last.
#[derive(Default)]
struct Agent {
    name: Option<SmolStr>,
    model: Option<SmolStr>,
}

impl Fold {
    /// Nothing read yet; the definition is probably that of `pipe`.
    pub(super) fn expecting(pipe: Option<Arc<Pipe>>) -> Self {
        let mut fold = Self::default();
        if let Some(pipe) = pipe {
            fold.state.expect(pipe);
        }
        fold
    }

    pub(super) fn pipe(&self) -> Option<Arc<Pipe>> {
        self.state.pipe().cloned()
    }

    /// Takes in the next line; else why it is none.
    pub(super) fn take<'a>(
        &mut self,
        bytes: &'a [u8],
        run: &RunId,
    ) -> std::result::Result<LineRef<'a>, String> {
        let number = self.lines + 1;
        let at = |what: &dyn std::fmt::Display| format!("line {number}: {what}");
        let line = self.decoder.decode(bytes).map_err(|error| at(&error))?.line;
        if line.run() != run.as_str() {
            return Err(at(&format!("it is of the run {}", line.run())));
        }
        self.apply(&line).map_err(|error| at(&error))?;
        self.events += 1;
        self.bytes += bytes.len() as u64 + 1;
        Ok(line)
    }

    /// Takes in a line that was taken in before.
    pub(super) fn take_again(&mut self, bytes: &[u8]) {
        if let Ok(decoded) = self.decoder.decode(bytes) {
            // It did apply then.
            let _ = self.apply(&decoded.line);
        }
    }

    fn apply(&mut self, line: &LineRef<'_>) -> std::result::Result<(), omne_replay::Violation> {
        self.lines += 1;
        match line {
            LineRef::Borrowed(record) => match &record.event {
                EventRef::NodeStarted(started) => {
                    let (name, model) = (started.agent.map(Into::into), started.model.map(Into::into));
                    self.starts(&started.node_id, name, model);
                }
                EventRef::NodeSpawned(_) | EventRef::NodeCompleted(_) | EventRef::AgentTool(_) => {}
            },
            LineRef::Owned(_) => {
                if let Some(event) = line.owned_event() {
                    self.note(event);
                }
            }
        }
        self.state.apply_line(line)
    }

    fn starts(&mut self, node: &NodeId, name: Option<SmolStr>, model: Option<SmolStr>) {
        if name.is_some() || model.is_some() {
            self.agents.insert(node.clone(), Agent { name, model });
        }
    }

    /// What the state does not keep.
    fn note(&mut self, event: &Event) {
        match event {
            Event::NodeStarted(started) => {
                self.starts(&started.node_id, started.agent.clone(), started.model.clone());
            }
            Event::AgentStarted(started) => {
                let agent = self.agents.entry(started.node_id.clone()).or_default();
                agent.name = Some(started.agent.clone());
                agent.model = started.model.clone().or_else(|| agent.model.take());
            }
            Event::NodeFailed(failed) => *self.failures.entry(failed.node_id.clone()).or_default() += 1,
            _ => {}
        }
    }

    /// Whether the run has not ended by its log.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state.phase(), RunPhase::Unborn | RunPhase::Running)
    }

    /// Writes the rows of the run, its inputs and its nodes.
    pub(super) fn write(&self, db: &Connection, id: i64) -> Result<()> {
        let run = self.state.summary();
        let usage = run.usage;
        let sql = "UPDATE run SET pipe = ?, version = ?, state = ?, started_at = ?, ended_at = ?, duration_ms = ?,
            resumes = ?, reason = ?, input_tokens = ?, output_tokens = ?, cost_usd = ?, \"by\" = ? WHERE id = ?";
        db.prepare_cached(sql)?.execute(params![
            run.pipe,
            run.version,
            run.state,
            run.started_at.map(|at| at.to_string()),
            run.ended_at.map(|at| at.to_string()),
            run.duration_ms.map(count),
            run.resumes,
            run.reason,
            count(usage.input_tokens),
            count(usage.output_tokens),
            usage.cost_usd,
            self.state.by(),
            id,
        ])?;
        let mut insert = db.prepare_cached("INSERT INTO input (run, key, value) VALUES (?, ?, ?)")?;
        for (key, value) in &run.inputs {
            // A text as it is, everything else as JSON.
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            insert.execute(params![id, key, value])?;
        }
        let mut insert = db.prepare_cached(
            "INSERT INTO node (run, place, node_id, kind, state, attempt, error_kind, error_class, message, exit_code,
                started_at, ended_at, duration_ms, agent, model, input_tokens, output_tokens, cost_usd, output_sha256, failures)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for (place, (node, kind, record)) in self.state.nodes().enumerate() {
            let agent = self.agents.get(node);
            let usage = record.usage();
            insert.execute(params![
                id,
                i64::try_from(place).unwrap_or(i64::MAX),
                node.as_str(),
                kind.as_str(),
                self.state.standing(record).as_str(),
                record.attempt,
                record.error().map(|error| error.kind.as_str()),
                record.error().and_then(|error| error.class.as_deref()),
                record.message(),
                record.exit_code,
                record.started_at.map(|at| at.to_string()),
                record.ended_at.map(|at| at.to_string()),
                record.duration_ms.map(count),
                agent.and_then(|agent| agent.name.as_deref()),
                agent.and_then(|agent| agent.model.as_deref()),
                usage.map(|usage| count(usage.input_tokens)),
                usage.map(|usage| count(usage.output_tokens)),
                usage.and_then(|usage| usage.cost_usd),
                record.output_sha256.map(|digest| digest.to_string()),
                self.failures.get(node).copied().unwrap_or(0),
            ])?;
        }
        Ok(())
    }
}

/// A number as SQLite can hold it. What agents tell of themselves may be larger, and must not cost the whole index.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
