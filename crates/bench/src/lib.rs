//! Pipes and logs of any size, the same on every machine, for measurements.
//!
//! Nothing here measures; that is done by `benches/` and by the package `xtask`.

mod logs;
mod shapes;

pub use logs::{Made, Memory, file_log, memory_log};
pub use shapes::Shape;
