//! The graphs that are measured.

/// How wide a layer of [`Shape::Layered`] is, in nodes.
const LAYER: usize = 100;

/// A family of graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Nothing depends on anything.
    Wide,
    /// Each node depends on the one before.
    Chain,
    /// Layers of 100 nodes; each node depends on three of the layer before.
    Layered,
    /// One node, two side by side, one that joins them, and again.
    Diamond,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 4] = [Shape::Wide, Shape::Chain, Shape::Layered, Shape::Diamond];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Shape::Wide => "wide",
            Shape::Chain => "chain",
            Shape::Layered => "layered",
            Shape::Diamond => "diamond",
        }
    }

    /// What node `node` depends on; all of it stands before the node.
    pub fn dependencies(self, node: usize) -> Vec<usize> {
        match self {
            Shape::Wide => Vec::new(),
            Shape::Chain => node.checked_sub(1).into_iter().collect(),
            Shape::Layered => match node / LAYER {
                0 => Vec::new(),
                layer => {
                    let (before, place) = ((layer - 1) * LAYER, node % LAYER);
                    [0, 1, 7].map(|step| before + (place + step) % LAYER).to_vec()
                }
            },
            Shape::Diamond => {
                let base = node - node % 4;
                match node % 4 {
                    0 => base.checked_sub(1).into_iter().collect(),
                    1 | 2 => vec![base],
                    _ => vec![base + 1, base + 2],
                }
            }
        }
    }

    /// The pipe of `nodes` bash nodes with this body, in the volume's root.
    pub fn pipe(self, nodes: usize, body: &str) -> String {
        let mut text = String::from("version: 1\nname: x\nworkspace: root\nnodes:\n");
        for node in 0..nodes {
            text.push_str(&format!("  - id: n{node}\n    bash: \"{body}\"\n"));
            let dependencies = self.dependencies(node);
            if !dependencies.is_empty() {
                let names: Vec<String> = dependencies.iter().map(|node| format!("n{node}")).collect();
                text.push_str(&format!("    depends_on: [{}]\n", names.join(", ")));
            }
        }
        text
    }
}
