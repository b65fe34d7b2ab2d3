//! Whole processes against their floor and against other programs, in one run, by turns.

mod document;
mod graphs;
mod growth;
mod hooks;
mod logs;
mod start;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    arguments::Options,
    files,
    measure::{Entry, Helper, Measured, Standing, contest},
    table::{Table, multiple, say, tell, time},
    tools::{self, Tool},
};

type Part = fn(&Bench) -> Result<Vec<Table>>;

/// The parts in the order of the document.
pub(crate) const PARTS: &[(&str, Part)] = &[
    ("runs", graphs::runs),
    ("output", graphs::output),
    ("start", start::tables),
    ("logs", logs::tables),
    ("hooks", hooks::tables),
    ("growth", growth::tables),
];

/// How many nodes are in flight everywhere.
const JOBS: usize = 2;

/// How long a contest begins new rounds.
const ENOUGH: Duration = Duration::from_secs(110);
const ENOUGH_QUICK: Duration = Duration::from_secs(10);

/// What every part needs.
pub(crate) struct Bench {
    helper: Helper,
    omne: PathBuf,
    tools: Vec<Tool>,
    scratch: tempfile::TempDir,
    rounds: usize,
    quick: bool,
}

/// Measures what is asked for and prints it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let began = Instant::now();
    let omne = program(options)?;
    let version = crate::machine::first_line(&omne.to_string_lossy(), &["--version"])
        .with_context(|| format!("cannot start `{}`", omne.display()))?;
    // Beside the build and not in a directory of the system, which may be in memory, where a sync costs nothing.
    let target = crate::workspace().join("target");
    std::fs::create_dir_all(&target)?;
    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(&target)?;
    let (tools, missing) = tools::find();
    for reason in &missing {
        tell(&format!("skipped {reason}"));
    }
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 5 });
    let helper = Helper::compile(scratch.path())?;
    let bench = Bench { helper, omne, tools, scratch, rounds, quick: options.quick };
    let (mut tables, mut failed) = (Vec::new(), Vec::new());
    for (name, part) in PARTS {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            tell(&format!("── {name} ({:.0} s so far)", began.elapsed().as_secs_f64()));
            match part(&bench) {
                Ok(measured) => tables.extend(measured),
                // The others are measured all the same.
                Err(error) => failed.push(format!("part `{name}`: {error:#}")),
            }
        }
    }
    let text = document::measured(&bench, &version, &missing, &tables, began.elapsed());
    say(&text)?;
    if !failed.is_empty() {
        bail!("not all could be measured, and nothing is written\n{}", failed.join("\n"));
    }
    if options.write {
        document::write(&text, &tables)?;
    }
    Ok(())
}

/// The program to measure, built if none is named.
pub(crate) fn program(options: &Options) -> Result<PathBuf> {
    if let Some(path) = &options.omne {
        return path.canonicalize().with_context(|| format!("there is no `{}`", path.display()));
    }
    let root = crate::workspace();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "omne"])
        .current_dir(&root)
        .status()?;
    if !built.success() {
        bail!("`omne` could not be built");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(root.join(target).join("release/omne"))
}

impl Bench {
    /// Lets all run by turns; a busy machine gets fewer rounds.
    fn contest(&self, rounds: usize, entries: &[Entry]) -> Result<Vec<Standing>> {
        contest(&self.helper, rounds, if self.quick { ENOUGH_QUICK } else { ENOUGH }, entries)
    }

    /// A new directory of that name.
    fn directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.scratch.path().join(name);
        std::fs::create_dir_all(&directory)?;
        Ok(directory)
    }

    /// `omne` with these arguments in a volume of its own.
    fn omne(&self, name: &str, volume: &Path, args: &str) -> Entry {
        Entry { name: name.to_owned(), what: Measured::new(&self.omne, volume, args) }
    }

    /// `omne run` of that pipe; what it leaves is put aside before the next round.
    fn omne_run(&self, directory: &Path, durability: &str, pipe: &str) -> Result<Entry> {
        let volume = files::volume(&directory.join(durability), durability)?;
        std::fs::write(volume.join("x.yaml"), pipe)?;
        let what =
            Measured::new(&self.omne, &volume, &format!("run x.yaml -j{JOBS} -q")).leaving(&[".omne/var"]);
        Ok(Entry { name: format!("omne, durability {durability}"), what })
    }

    /// A floor: `how` is what stands after the body in `floor.c`.
    fn floor(&self, name: &str, directory: &Path, graph: (&str, usize), body: &str, how: &str) -> Entry {
        let (shape, nodes) = graph;
        let mut what =
            Measured::new(self.helper.program(), directory, &format!("run {nodes} {JOBS} {shape}"));
        what.args.push(body.into());
        what.args.extend(how.split_whitespace().map(Into::into));
        Entry { name: name.to_owned(), what }
    }
}

/// A row a standing: what it took, and how that compares with the floor.
fn rows(table: &mut Table, label: &[&str], standings: &[Standing]) {
    for standing in standings {
        let mut cells: Vec<String> = label.iter().map(|cell| (*cell).to_owned()).collect();
        cells.push(standing.name.clone());
        match &standing.failure {
            Some(failure) if standing.runs.is_empty() => {
                cells.push(format!("failed: {}", failure.replace('|', "/").replace('\n', " ")));
                cells.extend(["", "", "", ""].map(String::from));
            }
            _ => cells.extend([
                time(standing.median(|usage| usage.wall)),
                multiple(&standing.wall),
                multiple(&standing.cpu),
                format!("{:.1}", standing.median(|usage| usage.memory)),
                standing.runs.len().to_string(),
            ]),
        }
        table.row(cells);
    }
}
