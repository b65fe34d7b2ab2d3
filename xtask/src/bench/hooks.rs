//! How long hooks take, by the example program of their crate, which has its own floors beside it.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Bench;
use crate::table::Table;

pub(super) fn tables(_: &Bench) -> Result<Vec<Table>> {
    let note = "2000 fires of a hook that allows everything, by turns with what the system alone takes for the same: a \
                line to a process and back, or a process from start to end.";
    let mut table = Table::new("A fire of a hook", note, &["what", "p50", "p99"]);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--release", "--quiet", "-p", "omne-hooks", "--example", "fire"])
        .current_dir(crate::workspace())
        .output()?;
    if !output.status.success() {
        bail!("the example `fire` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        table.row(cells(line).with_context(|| format!("the example `fire` said {line:?}"))?);
    }
    Ok(vec![table])
}

/// Its line is `WHAT: p50 TIME, p99 TIME`.
fn cells(line: &str) -> Option<[String; 3]> {
    let (what, times) = line.split_once(": p50 ")?;
    let (p50, p99) = times.split_once(", p99 ")?;
    let what = match what {
        "daemon" => "a fire, `mode = \"daemon\"`",
        "exec" => "a fire, `mode = \"exec\"`",
        "bare line" => "floor: a line and back",
        "bare spawn" => "floor: a process",
        other => other,
    };
    Some([what.to_owned(), p50.to_owned(), p99.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::cells;

    #[test]
    fn a_line_of_the_example_becomes_a_row() {
        assert_eq!(
            cells("bare line: p50 7 µs, p99 20 µs").unwrap(),
            ["floor: a line and back", "7 µs", "20 µs"]
        );
        assert!(cells("anything else").is_none());
    }
}
