//! One attempt at a node: what it runs, and what its end means.

pub(crate) mod bash;
pub(crate) mod verdict;
