//! Where a node of some id is. The ids themselves are kept with the nodes alone:
//! there may be 100,000 of them.

use std::hash::BuildHasher as _;

use hashbrown::{HashTable, hash_table::Entry};
use omne_dag::NodeIx;
use rustc_hash::FxBuildHasher;

/// Nodes by their ids. Whoever asks says what the id of a node is, and always the same.
#[derive(Debug, Clone)]
pub(crate) struct Index(HashTable<NodeIx>);

impl Index {
    /// Without any, with room for so many.
    pub(crate) fn with_capacity(nodes: usize) -> Self {
        Self(HashTable::with_capacity(nodes))
    }

    /// The node called `id`.
    pub(crate) fn find<'a>(&self, id: &str, id_of: impl Fn(NodeIx) -> &'a str) -> Option<NodeIx> {
        self.0.find(hash(id), |node| id_of(*node) == id).copied()
    }

    /// Adds a node, unless another one has its id.
    pub(crate) fn insert<'a>(&mut self, node: NodeIx, id_of: impl Fn(NodeIx) -> &'a str) -> bool {
        let id = id_of(node);
        match self.0.entry(hash(id), |other| id_of(*other) == id, |other| hash(id_of(*other))) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(node);
                true
            }
        }
    }
}

fn hash(id: &str) -> u64 {
    FxBuildHasher.hash_one(id)
}
