//! Where the boxes and edges of a drawn graph go: rows from top to bottom, few
//! crossings, nothing on top of each other.
//!
//! The way of Sugiyama: layers, dummy vertices for long edges, sweeps of
//! barycentres, then positions by least squares. Integers come out, so a
//! drawing is the same on every machine.

use omne_dag::Graph;

/// The width of a box.
pub(crate) const WIDTH: i32 = 212;
/// The height of a box.
pub(crate) const HEIGHT: i32 = 46;
const GAP: i32 = 24;
/// How far from a box edges go down beside it: those that end on the one side, those that begin on the other.
const GUTTER: i32 = GAP / 2 - 5;
const ROW_GAP: i32 = 44;
const DUMMY: i32 = 10;
const MARGIN: i32 = 16;
const SWEEPS: usize = 8;
/// If edges pass more rows than this in all, they go straight to their ends, behind boxes: lanes would fill the drawing.
const MOST_PASSES: usize = 10_000;

/// A drawing.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Layout {
    /// Of the whole.
    pub(crate) width: i32,
    /// Of the whole.
    pub(crate) height: i32,
    /// The upper left corner of each node's box, by place.
    pub(crate) boxes: Vec<(i32, i32)>,
    /// The edges.
    pub(crate) edges: Vec<Route>,
}

/// The way of an edge.
#[derive(Debug, PartialEq)]
pub(crate) struct Route {
    /// The place of the node that is depended on.
    pub(crate) from: usize,
    /// The place of the node that depends on it.
    pub(crate) to: usize,
    /// Where it passes rows between the two, and the tops of those.
    pub(crate) via: Vec<(i32, i32)>,
}

/// Lays `graph` out.
pub(crate) fn layout(graph: &Graph) -> Layout {
    if graph.is_empty() {
        return Layout::default();
    }
    let (mut sketch, chains) = Sketch::new(graph);
    sketch.reduce_crossings();
    let middles = sketch.place();
    let top = |row: usize| MARGIN + i32::try_from(row).unwrap_or(i32::MAX / 128) * (HEIGHT + ROW_GAP);
    let boxes: Vec<(i32, i32)> =
        (0..graph.len()).map(|v| (middles[v] - WIDTH / 2, top(sketch.row_of[v]))).collect();
    let gutter = |chain: &Chain, x: i32| {
        let (first, last) = (sketch.row_of[chain.from] + 1, sketch.row_of[chain.to] - 1);
        let mut via = vec![(x, top(first))];
        via.extend((last > first).then(|| (x, top(last))));
        via
    };
    let edges = chains
        .into_iter()
        .map(|chain| Route {
            from: chain.from,
            to: chain.to,
            via: match &chain.way {
                Way::Lane(dummies) => dummies.clone().map(|v| (middles[v], top(sketch.row_of[v]))).collect(),
                Way::Before => gutter(&chain, middles[chain.to] - WIDTH / 2 - GUTTER),
                Way::Behind => gutter(&chain, middles[chain.from] + WIDTH / 2 + GUTTER),
            },
        })
        .collect();
    let width = boxes.iter().map(|(x, _)| x + WIDTH).max().unwrap_or(0);
    let width = middles.iter().map(|x| x + DUMMY).fold(width, i32::max) + MARGIN;
    Layout { width, height: top(sketch.rows.len()) - ROW_GAP + MARGIN, boxes, edges }
}

/// An edge, and how it passes the rows between.
struct Chain {
    from: usize,
    to: usize,
    way: Way,
}

enum Way {
    /// By these dummies; straight to its end, if there are none.
    Lane(std::ops::Range<usize>),
    /// Down the gap to the left of its end, for the boxes above that end often stand in the same column.
    Before,
    /// Down the gap to the right of its beginning.
    Behind,
}

/// Vertices in rows: the nodes first, then the dummies.
struct Sketch {
    rows: Vec<Vec<usize>>,
    row_of: Vec<usize>,
    up: Vec<Vec<usize>>,
    down: Vec<Vec<usize>>,
    nodes: usize,
}

impl Sketch {
    fn new(graph: &Graph) -> (Self, Vec<Chain>) {
        let nodes = graph.len();
        let (mut row_of, parts) = rows(graph);
        // How many rows before each one are a part of a layer only.
        let parts_before: Vec<usize> = std::iter::once(0)
            .chain(parts.iter().scan(0, |sum, part| {
                *sum += usize::from(*part);
                Some(*sum)
            }))
            .collect();
        let edges: Vec<(usize, usize)> = graph
            .nodes()
            .flat_map(|to| graph.dependencies(to).iter().map(move |from| (from.place(), to.place())))
            .collect();
        // A lane through a layer that is wrapped would push its rows apart.
        let is_free = |from: usize, to: usize| parts_before[to] == parts_before[from + 1];
        let span = |&(from, to): &(usize, usize)| row_of[to] - row_of[from] - 1;
        let lanes = edges.iter().map(span).sum::<usize>() <= MOST_PASSES;
        let mut chains = Vec::with_capacity(edges.len());
        for (from, to) in edges {
            let (above, below) = (row_of[from], row_of[to]);
            let start = row_of.len();
            let way = if below == above + 1 || !lanes {
                Way::Lane(start..start)
            } else if is_free(above, below) {
                row_of.extend(above + 1..below);
                Way::Lane(start..row_of.len())
            } else if parts[above] && !parts[below] {
                Way::Behind
            } else {
                Way::Before
            };
            chains.push(Chain { from, to, way });
        }
        let mut rows = vec![Vec::new(); parts.len()];
        for (vertex, row) in row_of.iter().enumerate() {
            rows[*row].push(vertex);
        }
        let (mut up, mut down) = (vec![Vec::new(); row_of.len()], vec![Vec::new(); row_of.len()]);
        for chain in &chains {
            let mut above = chain.from;
            let dummies = match &chain.way {
                Way::Lane(dummies) => dummies.clone(),
                Way::Before | Way::Behind => 0..0,
            };
            for below in dummies.chain([chain.to]) {
                down[above].push(below);
                up[below].push(above);
                above = below;
            }
        }
        (Self { rows, row_of, up, down, nodes }, chains)
    }

    /// Orders each row by where its neighbours are, down and up again and again; the best order wins.
    fn reduce_crossings(&mut self) {
        let mut best = (self.crossings(), self.rows.clone());
        for sweep in 0..SWEEPS {
            let mut at = vec![0.0; self.row_of.len()];
            for row in &self.rows {
                note(row, &mut at);
            }
            let down = sweep % 2 == 0;
            let count = self.rows.len();
            for step in 0..count {
                let row = if down { step } else { count - 1 - step };
                let neighbours = if down { &self.up } else { &self.down };
                let mut keyed: Vec<(f64, usize)> = self.rows[row]
                    .iter()
                    .map(|&vertex| (mean(&neighbours[vertex], &at).unwrap_or(at[vertex]), vertex))
                    .collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.rows[row] = keyed.into_iter().map(|(_, vertex)| vertex).collect();
                note(&self.rows[row], &mut at);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.rows.clone());
            }
        }
        self.rows = best.1;
    }

    /// How often edges between neighbouring rows cross.
    fn crossings(&self) -> u64 {
        let mut place = vec![0; self.row_of.len()];
        for row in &self.rows {
            for (at, vertex) in row.iter().enumerate() {
                place[*vertex] = at;
            }
        }
        let mut sum = 0;
        for (number, row) in self.rows.iter().enumerate().skip(1) {
            // The ends above, in the order of the ends below: each pair that is out of order is a crossing.
            let mut counts = vec![0u64; self.rows[number - 1].len() + 1];
            let mut seen = 0;
            for vertex in row {
                let mut ends: Vec<usize> = self.up[*vertex]
                    .iter()
                    .filter(|above| self.row_of[**above] + 1 == number)
                    .map(|above| place[*above])
                    .collect();
                ends.sort_unstable();
                for end in &ends {
                    sum += seen - prefix(&counts, end + 1);
                }
                for end in ends {
                    seen += 1;
                    let mut at = end + 1;
                    while at < counts.len() {
                        counts[at] += 1;
                        at += at & at.wrapping_neg();
                    }
                }
            }
        }
        sum
    }

    fn width(&self, vertex: usize) -> i32 {
        if vertex < self.nodes { WIDTH } else { DUMMY }
    }

    /// The middle of each vertex: near its neighbours, in the row's order, with gaps.
    fn place(&self) -> Vec<i32> {
        let offsets: Vec<Vec<f64>> = self
            .rows
            .iter()
            .map(|row| {
                let mut at = 0;
                let mut before = None;
                let offset = |vertex: &usize| {
                    let half = self.width(*vertex) / 2;
                    at += before.replace(half).map_or(0, |before| before + GAP + half);
                    f64::from(at)
                };
                row.iter().map(offset).collect()
            })
            .collect();
        let mut x = vec![0.0; self.row_of.len()];
        for (row, offsets) in self.rows.iter().zip(&offsets) {
            let middle = offsets.last().copied().unwrap_or(0.0) / 2.0;
            for (vertex, offset) in row.iter().zip(offsets) {
                x[*vertex] = offset - middle;
            }
        }
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            for step in 0..self.rows.len() {
                let number = if down { step } else { self.rows.len() - 1 - step };
                let (row, offsets) = (&self.rows[number], &offsets[number]);
                let neighbours = if down { &self.up } else { &self.down };
                let wanted: Vec<f64> = row
                    .iter()
                    .zip(offsets)
                    .map(|(v, offset)| mean(&neighbours[*v], &x).unwrap_or(x[*v]) - offset)
                    .collect();
                for ((vertex, offset), y) in row.iter().zip(offsets).zip(nearest_ascending(&wanted)) {
                    x[*vertex] = y + offset;
                }
            }
        }
        let left = (0..x.len()).map(|v| x[v] - f64::from(self.width(v) / 2)).fold(f64::INFINITY, f64::min);
        #[expect(clippy::cast_possible_truncation, reason = "a drawing is far smaller than 2^31")]
        x.into_iter().map(|x| (x - left).round() as i32 + MARGIN).collect()
    }
}

/// Each node's row, and of each row whether it is a part of a layer: a layer is a row, a wide one several.
fn rows(graph: &Graph) -> (Vec<usize>, Vec<bool>) {
    let layers = graph.layers();
    let most = graph.len().isqrt().clamp(8, 24);
    let mut sizes = vec![0usize; layers.iter().max().map_or(0, |deepest| deepest + 1)];
    for layer in &layers {
        sizes[*layer] += 1;
    }
    let mut starts = Vec::with_capacity(sizes.len());
    let mut parts = Vec::new();
    for size in &sizes {
        starts.push(parts.len());
        let rows = size.div_ceil(most);
        parts.resize(parts.len() + rows, rows > 1);
    }
    let mut seen = vec![0; sizes.len()];
    let row = |layer: &usize| {
        let place: usize = seen[*layer];
        seen[*layer] += 1;
        let rows = sizes[*layer].div_ceil(most);
        // Even rows look better than full ones and a rest.
        starts[*layer] + place / sizes[*layer].div_ceil(rows)
    };
    (layers.iter().map(row).collect(), parts)
}

/// Writes down where each vertex of a row is, seen from the row's middle.
fn note(row: &[usize], at: &mut [f64]) {
    let place = |place: usize| u32::try_from(place).map_or(f64::MAX, f64::from);
    let middle = place(row.len().saturating_sub(1)) / 2.0;
    for (number, vertex) in row.iter().enumerate() {
        at[*vertex] = place(number) - middle;
    }
}

fn mean(vertices: &[usize], at: &[f64]) -> Option<f64> {
    let count = u32::try_from(vertices.len()).ok().filter(|count| *count > 0)?;
    Some(vertices.iter().map(|vertex| at[*vertex]).sum::<f64>() / f64::from(count))
}

fn prefix(counts: &[u64], mut at: usize) -> u64 {
    let mut sum = 0;
    while at > 0 {
        sum += counts[at];
        at &= at - 1;
    }
    sum
}

/// The ascending numbers that are nearest to `wanted` by least squares: neighbours that are out of order share their mean.
fn nearest_ascending(wanted: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, u32)> = Vec::new();
    for &wanted in wanted {
        let mut block = (wanted, 1);
        while let Some(&(mean, count)) = blocks.last()
            && mean > block.0
        {
            blocks.pop();
            let sum = mean * f64::from(count) + block.0 * f64::from(block.1);
            block = (sum / f64::from(count + block.1), count + block.1);
        }
        blocks.push(block);
    }
    blocks.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count as usize)).collect()
}

#[cfg(test)]
mod tests;
