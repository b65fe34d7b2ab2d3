//! The append-only event log: ids, time, the event vocabulary, its one-line
//! form, the hash chain, and the only writer and reader of `events.jsonl`.
//!
//! Nothing here knows what an event means for a run; that is `omne-replay`.

mod chain;
mod codec;
mod digest;
mod digits;
mod event;
mod id;
mod log;
mod placeholders;
mod private;
mod text;
mod time;

pub use chain::{Chain, ChainFault, Redactions, mark_redacted};
pub use codec::{
    AgentToolRef, DecodeError, Decoded, Decoder, DigestRef, EventRef, Line, LineRef, MAX_LINE,
    NodeCompletedRef, NodeSpawnedRef, NodeStartedRef, RecordRef, encode,
};
pub use digest::{Digest, Hasher};
pub use event::*;
pub use id::{EventId, IdGen, NameError, NodeId, PipeName, RandomIds, RunId};
pub use log::{
    Durability, LockedLog, LogReader, LogWriter, Medium, OpenError, ReadError, Syncer, Tail, WriteError,
    lock_within, read_ahead,
};
pub use placeholders::Placeholders;
pub use private::{open_plain, private_file, read_optional, read_plain, read_private, write_private};
pub use text::beginning;
pub use time::{Clock, SystemClock, Timestamp, milliseconds};

#[cfg(any(test, feature = "testing"))]
pub use {id::CountingIds, time::ManualClock};

/// The JSON schema of a line of a log.
pub const SCHEMA: &str = include_str!("event.schema.json");
