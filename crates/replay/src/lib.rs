//! A log folded into the state of its run. The live runner and every reader of
//! a past run use the same [`RunState::apply`], so they can not disagree.
//!
//! Pure: records come in, nothing goes out but values.

mod apply;
mod fold;
mod gate;
mod resume;
mod snapshot;
mod state;
mod verify;
mod view;

pub use apply::Violation;
pub use fold::{FoldError, Folded, fold};
pub use gate::Gate;
pub use resume::{PlanError, Request, plan};
pub use snapshot::Snapshot;
pub use state::{NodePhase, NodeRecord, NodeRecordRare, RunPhase, RunState};
pub use verify::{Finding, Report, Terms, verify};
pub use view::{NodeView, RunView};
