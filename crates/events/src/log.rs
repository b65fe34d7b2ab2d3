//! `events.jsonl` on disk: one writer, which owns it by an exclusive lock, and
//! any number of readers.

mod ahead;
mod lock;
mod medium;
mod reader;
mod sync;
mod writer;

pub use ahead::read_ahead;
pub use lock::{LockedLog, OpenError, lock_within};
pub use medium::{Medium, Syncer};
pub use reader::{LogReader, ReadError, Tail};
pub use sync::Durability;
pub use writer::{LogWriter, WriteError};
