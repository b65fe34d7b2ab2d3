//! One process from start to end, measured by a small C program that starts it, and contests of several.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// What a process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Wall time in seconds.
    pub(crate) wall: f64,
    /// CPU time in seconds, with all descendants that were waited for.
    pub(crate) cpu: f64,
    /// The largest resident set among them, in MiB.
    pub(crate) memory: f64,
}

/// A command that is measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) directory: PathBuf,
    /// Where its output goes.
    pub(crate) out: PathBuf,
    /// What it left in its directory, put aside before each run.
    pub(crate) leavings: Vec<String>,
    /// Directories that have to be there, empty, before each run.
    pub(crate) fresh: Vec<String>,
}

impl Measured {
    pub(crate) fn new(program: &Path, directory: &Path, args: &str) -> Self {
        Self {
            program: program.to_owned(),
            args: args.split_whitespace().map(OsString::from).collect(),
            directory: directory.to_owned(),
            out: PathBuf::from("/dev/null"),
            leavings: Vec::new(),
            fresh: Vec::new(),
        }
    }

    pub(crate) fn leaving(mut self, names: &[&str]) -> Self {
        self.leavings.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    pub(crate) fn with_fresh(mut self, names: &[&str]) -> Self {
        self.fresh.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }
}

/// The compiled `floor.c`.
#[derive(Debug)]
pub(crate) struct Helper {
    program: PathBuf,
    /// Where that goes which is in the way of a run.
    aside: PathBuf,
}

impl Helper {
    /// Compiles it into `directory`.
    pub(crate) fn compile(directory: &Path) -> Result<Self> {
        let (source, program) = (directory.join("floor.c"), directory.join("floor"));
        std::fs::write(&source, include_str!("floor.c"))?;
        let done = Command::new("cc")
            .args(["-O2", "-pthread", "-o"])
            .args([&program, &source])
            .status()
            .context("cannot start `cc`, the C compiler: install one")?;
        if !done.success() {
            bail!("`cc` could not compile `{}`", source.display());
        }
        let aside = directory.join("aside");
        std::fs::create_dir_all(&aside)?;
        Ok(Self { program, aside })
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Takes a file or a directory out of the way, if it is there.
    ///
    /// It is not removed: for some minutes, ext4 makes new files more slowly where many were removed, and who comes
    /// next would pay for that.
    pub(crate) fn put_aside(&self, path: &Path) -> Result<()> {
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        let moved = || {
            empty(path);
            std::fs::rename(path, tempfile::tempdir_in(&self.aside)?.keep().join("was"))
        };
        moved().with_context(|| format!("cannot put `{}` aside", path.display()))
    }

    /// Runs it once; it has to end with exit code 0.
    pub(crate) fn run(&self, what: &Measured) -> Result<Usage> {
        for name in what.leavings.iter().chain(&what.fresh) {
            self.put_aside(&what.directory.join(name))?;
        }
        for name in &what.fresh {
            std::fs::create_dir_all(what.directory.join(name))?;
        }
        let output = Command::new(&self.program)
            .arg("measure")
            .args([&what.out, &what.program])
            .args(&what.args)
            .current_dir(&what.directory)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [wall, cpu, memory, code] = numbers[..] else {
            bail!("`{}`: {}", what.program.display(), String::from_utf8_lossy(&output.stderr).trim());
        };
        if code != 0.0 {
            bail!(
                "`{}` ended with {code}: {}",
                what.program.display(),
                omitted(&String::from_utf8_lossy(&output.stderr))
            );
        }
        Ok(Usage { wall: wall / 1e9, cpu: cpu / 1e6, memory: memory / 1024.0 })
    }
}

/// The last lines alone.
fn omitted(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}

/// Empties what may be large, so that only names and inodes remain; what may not be written stays as it is.
fn empty(path: &Path) {
    let Ok(found) = path.symlink_metadata() else { return };
    if found.is_dir() {
        for entry in path.read_dir().into_iter().flatten().flatten() {
            empty(&entry.path());
        }
    } else if found.is_file() {
        let _ = std::fs::File::options().write(true).open(path).and_then(|file| file.set_len(0));
    }
}

/// Who takes part in a contest.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) what: Measured,
}

/// How one did.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) runs: Vec<Usage>,
    /// Wall and CPU time, as multiples of what the floor took in the same round.
    pub(crate) wall: Vec<f64>,
    pub(crate) cpu: Vec<f64>,
    /// Why it has no runs.
    pub(crate) failure: Option<String>,
}

impl Standing {
    pub(crate) fn median(&self, of: impl Fn(&Usage) -> f64) -> f64 {
        median(&self.runs.iter().map(of).collect::<Vec<_>>())
    }
}

/// Seconds after which one run has to be enough.
const SLOW: f64 = 3.0;

/// Lets all run by turns, `rounds` times, the first one being the floor. One that is slow and takes more than twice
/// what the floor takes runs once, and no round begins after `enough`.
pub(crate) fn contest(
    helper: &Helper,
    rounds: usize,
    enough: Duration,
    entries: &[Entry],
) -> Result<Vec<Standing>> {
    let mut standings: Vec<Standing> = entries
        .iter()
        .map(|entry| Standing {
            name: entry.name.clone(),
            runs: Vec::new(),
            wall: Vec::new(),
            cpu: Vec::new(),
            failure: None,
        })
        .collect();
    let Some((floor, others)) = entries.split_first() else { return Ok(standings) };
    let began = Instant::now();
    for round in 0..rounds {
        if round > 0 && began.elapsed() > enough {
            break;
        }
        let least = helper.run(&floor.what)?;
        enter(&mut standings[0], least, least);
        // In turn, so that nobody always comes after the same one.
        let order: Vec<usize> =
            if round % 2 == 0 { (0..others.len()).collect() } else { (0..others.len()).rev().collect() };
        for place in order {
            let standing = &mut standings[place + 1];
            let slow = standing.runs.first().is_some_and(|run| run.wall > SLOW && standing.wall[0] > 2.0);
            if slow || standing.failure.is_some() {
                continue;
            }
            match helper.run(&others[place].what) {
                Ok(usage) => enter(standing, usage, least),
                Err(error) => standing.failure = Some(format!("{error:#}")),
            }
        }
    }
    Ok(standings)
}

fn enter(standing: &mut Standing, usage: Usage, floor: Usage) {
    standing.runs.push(usage);
    standing.wall.push(usage.wall / floor.wall);
    standing.cpu.push(usage.cpu / floor.cpu.max(1e-6));
}

/// The middle one, or the mean of the two in the middle; not a number when there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, middle) if n % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_program_that_fails_has_no_figures() {
        let directory = tempfile::tempdir().unwrap();
        let helper = Helper::compile(directory.path()).unwrap();
        let mut what = Measured::new(Path::new("sh"), directory.path(), "-c");
        what.args.push("exit 3".into());
        assert!(helper.run(&what).unwrap_err().to_string().contains("ended with 3"));
        what.args[1] = "exit 0".into();
        assert!(helper.run(&what).unwrap().wall > 0.0);
    }

    #[test]
    fn what_is_in_the_way_is_emptied_and_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let helper = Helper::compile(directory.path()).unwrap();
        for _ in 0..2 {
            std::fs::create_dir(directory.path().join("left")).unwrap();
            std::fs::write(directory.path().join("left/file"), "much").unwrap();
            let what = Measured::new(Path::new("true"), directory.path(), "").leaving(&["left", "never"]);
            helper.run(&what).unwrap();
            assert!(!directory.path().join("left").exists());
        }
        let aside: Vec<_> = directory.path().join("aside").read_dir().unwrap().collect();
        assert_eq!(aside.len(), 2);
        for entry in aside {
            assert_eq!(std::fs::read(entry.unwrap().path().join("was/file")).unwrap(), b"");
        }
    }

    #[test]
    fn all_run_in_every_round_and_are_compared_with_its_floor() {
        let directory = tempfile::tempdir().unwrap();
        let helper = Helper::compile(directory.path()).unwrap();
        let entry = |name: &str, program: &str| Entry {
            name: name.to_owned(),
            what: Measured::new(Path::new(program), directory.path(), ""),
        };
        let entries = [entry("floor", "true"), entry("same", "true"), entry("bad", "false")];
        let standings = contest(&helper, 3, Duration::MAX, &entries).unwrap();
        assert_eq!(standings[0].wall, [1.0; 3]);
        assert_eq!(standings[1].wall.len(), 3);
        assert!(standings[2].failure.is_some() && standings[2].runs.is_empty());
    }

    #[test]
    fn no_round_begins_when_it_is_enough() {
        let directory = tempfile::tempdir().unwrap();
        let helper = Helper::compile(directory.path()).unwrap();
        let what = Measured::new(Path::new("true"), directory.path(), "");
        let floor = [Entry { name: "floor".to_owned(), what }];
        assert_eq!(contest(&helper, 3, Duration::ZERO, &floor).unwrap()[0].runs.len(), 1);
    }
}
