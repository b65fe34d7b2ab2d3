//! What the runs of a volume come to, pipe by pipe.

use std::collections::BTreeMap;

use omne_events::Timestamp;
use rusqlite::{Connection, Result};
use serde::Serialize;

use crate::{Index, IndexError};

/// How many nodes of a pipe are named as its flakiest and slowest.
const NAMED: usize = 5;

/// A pipe's runs.
#[derive(Debug, Default, Serialize)]
pub struct PipeReport {
    /// The pipe.
    pub pipe: String,
    /// How many runs there are.
    pub runs: u64,
    /// How many of them completed.
    pub completed: u64,
    /// How many ended without completing.
    pub failed: u64,
    /// Of those that ended, the part that completed; from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<f64>,
    /// Half of the completed runs took at most so many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<u64>,
    /// Nineteen of twenty took at most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<u64>,
    /// What the agents cost, in US dollars.
    pub cost_usd: f64,
    /// Tokens that agents were given.
    pub input_tokens: u64,
    /// Tokens that they made.
    pub output_tokens: u64,
    /// Nodes that completed in some runs, and of which attempts failed in some.
    pub flakiest: Vec<Flaky>,
    /// Nodes that take longest.
    pub slowest: Vec<Slow>,
}

/// A node that does not always succeed at once.
#[derive(Debug, Serialize)]
pub struct Flaky {
    /// The node.
    pub node_id: String,
    /// In how many runs it ran.
    pub runs: u64,
    /// In how many of them it failed.
    pub failed: u64,
    /// In how many it completed after attempts that failed.
    pub retried: u64,
}

/// A node and its time.
#[derive(Debug, Serialize)]
pub struct Slow {
    /// The node.
    pub node_id: String,
    /// Half of its completed attempts took at most so many milliseconds.
    pub p50_ms: u64,
    /// Nineteen of twenty took at most so many.
    pub p95_ms: u64,
}

impl Index {
    /// The report of all runs that began at or after `since`.
    ///
    /// # Errors
    /// When the index can't be read.
    pub fn report(&self, since: Option<Timestamp>) -> Result<Vec<PipeReport>, IndexError> {
        report(self.reader()?, since).map_err(|source| self.trouble(source))
    }
}

fn report(db: &Connection, since: Option<Timestamp>) -> Result<Vec<PipeReport>> {
    let since = since.map_or_else(String::new, |at| at.to_string());
    let mut pipes: BTreeMap<String, PipeReport> = BTreeMap::new();
    let mut durations: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut runs = db.prepare(
        "SELECT pipe, state, duration_ms, coalesce(cost_usd, 0), coalesce(input_tokens, 0), coalesce(output_tokens, 0)
        FROM runs WHERE pipe IS NOT NULL AND started_at >= ? ORDER BY pipe",
    )?;
    let mut rows = runs.query([&since])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let pipe = pipes.entry(name.clone()).or_default();
        pipe.runs += 1;
        match row.get_ref(1)?.as_str()? {
            "completed" => {
                pipe.completed += 1;
                durations.entry(name).or_default().extend(row.get::<_, Option<u64>>(2)?);
            }
            "aborted" | "interrupted" => pipe.failed += 1,
            _ => {}
        }
        pipe.cost_usd += row.get::<_, f64>(3)?;
        pipe.input_tokens = pipe.input_tokens.saturating_add(row.get(4)?);
        pipe.output_tokens = pipe.output_tokens.saturating_add(row.get(5)?);
    }
    let mut flaky = db.prepare(
        "SELECT node_id, count(*), sum(nodes.state = 'failed'), sum(nodes.state = 'completed' AND failures > 0)
        FROM nodes JOIN runs USING (run_id) WHERE runs.pipe = ? AND runs.started_at >= ? AND nodes.attempt > 0
        GROUP BY node_id
        HAVING sum(nodes.state = 'completed') > 0 AND sum(failures > 0) > 0
        ORDER BY sum(failures > 0) * 1.0 / count(*) DESC,
            count(*) DESC, node_id
        LIMIT ?",
    )?;
    let mut times = db.prepare(
        "SELECT node_id, nodes.duration_ms FROM nodes JOIN runs USING (run_id)
        WHERE runs.pipe = ? AND runs.started_at >= ? AND nodes.state = 'completed' AND nodes.duration_ms IS NOT NULL",
    )?;
    for (name, pipe) in &mut pipes {
        pipe.pipe.clone_from(name);
        let ended = pipe.completed + pipe.failed;
        #[expect(clippy::cast_precision_loss, reason = "nobody has that many runs")]
        if ended > 0 {
            pipe.success_rate = Some(pipe.completed as f64 / ended as f64);
        }
        if let Some(durations) = durations.get_mut(name) {
            durations.sort_unstable();
            (pipe.p50_ms, pipe.p95_ms) = (percentile(durations, 50), percentile(durations, 95));
        }
        let found = flaky.query_map(rusqlite::params![name, since, NAMED], |row| {
            let (node_id, runs) = (row.get(0)?, row.get(1)?);
            Ok(Flaky { node_id, runs, failed: row.get(2)?, retried: row.get(3)? })
        })?;
        pipe.flakiest = found.collect::<Result<_>>()?;
        let mut of_nodes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut rows = times.query(rusqlite::params![name, since])?;
        while let Some(row) = rows.next()? {
            of_nodes.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
        let mut slow: Vec<Slow> = of_nodes
            .into_iter()
            .filter_map(|(node_id, mut times)| {
                times.sort_unstable();
                Some(Slow { node_id, p50_ms: percentile(&times, 50)?, p95_ms: percentile(&times, 95)? })
            })
            .collect();
        slow.sort_by(|a, b| b.p50_ms.cmp(&a.p50_ms).then_with(|| a.node_id.cmp(&b.node_id)));
        slow.truncate(NAMED);
        pipe.slowest = slow;
    }
    Ok(pipes.into_values().collect())
}

/// The value below or at which so many of a hundred are; by the nearest rank, so that it is one of them.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(percentile(&[7], 95), Some(7));
        let ten: Vec<u64> = (1..=10).collect();
        assert_eq!((percentile(&ten, 50), percentile(&ten, 95)), (Some(5), Some(10)));
    }
}
