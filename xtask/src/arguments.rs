//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::digesting::{Floor, Way};

pub(crate) const HELP: &str = "\
cargo xtask bench [--quick] [--only NAME]... [--rounds N] [--omne PATH] [--write]
    Compare whole processes with their floor and with other programs; print the tables.
    --quick   smaller sets, about two minutes instead of twelve
    --only    one part: runs, output, start, logs, hooks, growth; may be given again
    --rounds  how often what is quick is measured (default 5; with --quick 3)
    --omne    the program to measure (default: target/release/omne, built anew)
    --write   put the tables into docs/performance.md and the plots beside it
cargo xtask counts [--write] [--omne PATH]
    Count instructions under valgrind and compare them with xtask/counts.txt, or write that file.
cargo xtask log DIR [--events N] [--nodes N]
    Make a volume with one completed run whose log has exactly so many events.
cargo xtask floor N J BODY file|pipe DIR
    Start `sh -c BODY` N times, J in flight; keep the output of each in a file of DIR and digest it.";

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Bench(Options),
    Counts(Options),
    Floor(Floor),
    Log { volume: PathBuf, events: u64, nodes: u64 },
}

/// What both measurements take.
#[derive(Debug, Default, Clone)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) write: bool,
    pub(crate) only: Vec<String>,
    pub(crate) rounds: Option<usize>,
    pub(crate) omne: Option<PathBuf>,
}

/// Reads the arguments after the program's name.
pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Command> {
    let command = words.next().unwrap_or_default();
    if command == "floor" {
        return floor(&words.collect::<Vec<_>>());
    }
    let mut options = Options::default();
    let (mut events, mut nodes, mut volume) = (1_000_000, None, None);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("`{word}` needs a value"));
        match (command.as_str(), word.as_str()) {
            ("bench", "--quick") => options.quick = true,
            ("bench" | "counts", "--write") => options.write = true,
            ("bench", "--only") => {
                let name = value()?;
                if !crate::bench::PARTS.iter().any(|(part, _)| *part == name) {
                    bail!("there is no part `{name}`\n{HELP}");
                }
                options.only.push(name);
            }
            ("bench", "--rounds") => {
                let rounds = value()?.parse().context("`--rounds` is a number")?;
                if rounds == 0 {
                    bail!("`--rounds` is at least 1");
                }
                options.rounds = Some(rounds);
            }
            ("bench" | "counts", "--omne") => options.omne = Some(PathBuf::from(value()?)),
            ("log", "--events") => events = value()?.parse().context("`--events` is a number")?,
            ("log", "--nodes") => nodes = Some(value()?.parse().context("`--nodes` is a number")?),
            ("log", path) if volume.is_none() && !path.starts_with('-') => volume = Some(PathBuf::from(path)),
            _ => bail!("`{word}` is not known\n{HELP}"),
        }
    }
    Ok(match command.as_str() {
        "bench" if options.write && !options.only.is_empty() => {
            bail!("`--write` writes all parts; leave out `--only`")
        }
        "bench" => Command::Bench(options),
        "counts" => Command::Counts(options),
        "log" => {
            let volume = volume.context("where is the volume to be made?")?;
            Command::Log { volume, events, nodes: nodes.unwrap_or((events / 100).max(1)) }
        }
        "" | "help" | "--help" | "-h" => Command::Help,
        other => bail!("there is no command `{other}`\n{HELP}"),
    })
}

fn floor(words: &[String]) -> Result<Command> {
    let [nodes, jobs, body, way, directory] = words else { bail!("`floor` takes five arguments\n{HELP}") };
    let way = match way.as_str() {
        "file" => Way::File,
        "pipe" => Way::Pipe,
        other => bail!("`{other}` is no way of output\n{HELP}"),
    };
    let number = |word: &str| word.parse().with_context(|| format!("`{word}` is no number"));
    let (nodes, jobs) = (number(nodes)?, number(jobs)?);
    Ok(Command::Floor(Floor { nodes, jobs, body: body.clone(), way, directory: directory.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &str) -> Result<Command> {
        read(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_part_that_does_not_exist_is_an_error() {
        assert!(given("bench --only nothing").unwrap_err().to_string().contains("`nothing`"));
        assert!(matches!(given("bench --only logs").unwrap(), Command::Bench(o) if o.only == ["logs"]));
    }

    #[test]
    fn the_document_is_written_of_all_parts_only() {
        assert!(given("bench --write --only logs").is_err());
        assert!(matches!(given("bench --write --quick").unwrap(), Command::Bench(o) if o.write && o.quick));
    }

    #[test]
    fn a_flag_belongs_to_its_command() {
        assert!(given("counts --quick").is_err());
        assert!(given("bench --rounds 0").is_err());
    }
}
