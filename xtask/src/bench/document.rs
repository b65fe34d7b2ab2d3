//! The document that the tables are put into.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Bench;
use crate::{
    machine,
    table::{Table, tell},
};

const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- measured: from here to the end `cargo xtask bench --write` writes -->";

/// Everything that was measured, with what it was measured on.
pub(super) fn measured(
    bench: &Bench,
    version: &str,
    missing: &[String],
    tables: &[Table],
    took: Duration,
) -> String {
    let mut text = String::from("## Measured\n\n");
    let set = if bench.quick { "the quick set" } else { "the full set" };
    text.push_str(&format!(
        "- {}, {set} in {:.0} s, {} rounds unless a row says otherwise\n- {}\n- {version}, {}\n",
        machine::today(),
        took.as_secs_f64(),
        bench.rounds,
        machine::description(),
        machine::commit(),
    ));
    let tools: Vec<String> =
        bench.tools.iter().map(|tool| format!("{} ({})", tool.peer.name(), tool.version)).collect();
    text.push_str(&format!("- compared with {}\n", tools.join(", ")));
    if !missing.is_empty() {
        text.push_str(&format!("- left out: {}\n", missing.join("; ")));
    }
    text.push_str("- again: `cargo xtask bench`, which `--write` lets replace what stands here\n");
    for table in tables {
        text.push('\n');
        text.push_str(&table.markdown());
    }
    text
}

/// Puts them into the document, after what people wrote, and the plots beside it.
pub(super) fn write(text: &str, tables: &[Table]) -> Result<()> {
    let root = crate::workspace();
    let path = root.join(DOCUMENT);
    let old = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{DOCUMENT}`"))?;
    let (kept, _) = old.split_once(BEGIN).with_context(|| format!("`{DOCUMENT}` has no line `{BEGIN}`"))?;
    std::fs::write(&path, format!("{kept}{BEGIN}\n\n{text}"))?;
    let plots = root.join("docs/performance");
    std::fs::create_dir_all(&plots)?;
    for plot in tables.iter().flat_map(|table| &table.plots) {
        std::fs::write(plots.join(plot.file), &plot.svg)?;
    }
    tell(&format!("wrote {DOCUMENT}"));
    Ok(())
}
