-- What is kept. Runs have numbers here, so that 300 bytes of a long id are not
-- written with each event; the views have the names and columns that users rely on.
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    pipe TEXT, version INTEGER, state TEXT, started_at TEXT, ended_at TEXT, duration_ms INTEGER,
    resumes INTEGER, reason TEXT, input_tokens INTEGER, output_tokens INTEGER, cost_usd REAL, "by" TEXT,
    -- How far its log is read, and what stood there.
    length INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, head TEXT NOT NULL,
    -- What is wrong with the log behind that.
    problem TEXT
);
CREATE TABLE input (run INTEGER NOT NULL, key TEXT NOT NULL, value TEXT, PRIMARY KEY (run, key)) WITHOUT ROWID;
CREATE TABLE node (
    run INTEGER NOT NULL, place INTEGER NOT NULL,
    node_id TEXT NOT NULL, kind TEXT, state TEXT, attempt INTEGER, error_kind TEXT, error_class TEXT, message TEXT,
    exit_code INTEGER, started_at TEXT, ended_at TEXT, duration_ms INTEGER, agent TEXT, model TEXT,
    input_tokens INTEGER, output_tokens INTEGER, cost_usd REAL, output_sha256 TEXT, failures INTEGER NOT NULL,
    PRIMARY KEY (run, place)
) WITHOUT ROWID;
-- The id is the run's number shifted by 32 bits, and the event's: one run's events stand together, in order.
CREATE TABLE event (id INTEGER PRIMARY KEY, type TEXT NOT NULL, at_ms INTEGER NOT NULL, node_id TEXT, json TEXT NOT NULL);
CREATE TABLE hook (
    id INTEGER PRIMARY KEY, event TEXT NOT NULL, hook TEXT NOT NULL, decision TEXT NOT NULL, latency_us INTEGER NOT NULL
);

CREATE VIEW runs AS
SELECT run_id, pipe, version, state, started_at, ended_at, duration_ms, resumes, reason, input_tokens, output_tokens,
    cost_usd, "by"
FROM run;
CREATE VIEW inputs AS SELECT run.run_id, input.key, input.value FROM input JOIN run ON run.id = input.run;
CREATE VIEW nodes AS
SELECT run.run_id, node.node_id, node.kind, node.state, node.attempt, node.error_kind, node.error_class, node.message,
    node.exit_code, node.started_at, node.ended_at, node.duration_ms, node.agent, node.model, node.input_tokens,
    node.output_tokens, node.cost_usd, node.output_sha256, node.failures
FROM node JOIN run ON run.id = node.run;
CREATE VIEW events AS
SELECT run.run_id, event.id & 4294967295 AS seq, event.type,
    strftime('%Y-%m-%dT%H:%M:%fZ', event.at_ms / 1000.0, 'unixepoch') AS ts, event.node_id, event.json
FROM run JOIN event ON event.id BETWEEN (run.id << 32) AND (run.id << 32) + 4294967295;
CREATE VIEW hooks AS
SELECT run.run_id, hook.id & 4294967295 AS seq, hook.event, hook.hook, hook.decision, hook.latency_us
FROM run JOIN hook ON hook.id BETWEEN (run.id << 32) AND (run.id << 32) + 4294967295;
