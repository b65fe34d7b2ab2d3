//! Instructions that hot paths take, compared with what they took before: a guard that no busy machine disturbs.
//!
//! valgrind shows every program the same processor, so neither the SHA instructions nor the widest vectors of the
//! machine at hand are used, and a count of one machine holds on another one of its kind. Digests are computed in
//! software there, which makes them a greater part of a count than of a run. Other threads, wake-ups and random seeds
//! change a count by less than a percent; another compiler or C library may change it by more.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    arguments::Options,
    files::{Shape, file_log, volume},
    machine::first_line,
    table::{say, tell},
};

const FILE: &str = "xtask/counts.txt";

const HEAD: &str = "\
# Instructions of `omne` itself under valgrind, without those of the nodes: name, count, tolerance in percent.
# `cargo xtask counts` compares them, `cargo xtask counts --write` renews them; a tolerance stays as it is written here.
";

/// How much more is let through when nothing else is written.
const TOLERANCE: f64 = 3.0;

/// Which variants of `memcpy` and its like the C library takes, and from what sizes on, whatever the processor.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM,-RTM\
                        :glibc.cpu.x86_data_cache_size=32768\
                        :glibc.cpu.x86_shared_cache_size=1048576\
                        :glibc.cpu.x86_non_temporal_threshold=786432";

/// The middle one of so many counts is taken: a run's wake-ups differ from time to time.
const TIMES: usize = 3;

/// A hot path.
struct Case {
    name: &'static str,
    args: String,
    directory: PathBuf,
    times: usize,
}

/// What is written down about one.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    name: String,
    count: u64,
    tolerance: f64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Some(valgrind) = first_line("valgrind", &["--version"]) else {
        if options.write {
            bail!("`valgrind` is not installed: apt-get install valgrind");
        }
        tell("skipped: instruction counts need `valgrind` (apt-get install valgrind)");
        return Ok(());
    };
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        tell("skipped: the counts are those of x86-64 on Linux");
        return Ok(());
    }
    let omne = crate::bench::program(options)?;
    let path = crate::workspace().join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(_) if options.write => String::new(),
        read => {
            read.with_context(|| format!("cannot read `{FILE}`: `cargo xtask counts --write` makes it"))?
        }
    };
    let kept = parse(&text)?;
    let compiler = first_line("rustc", &["--version"]).unwrap_or_default();
    let scratch = tempfile::tempdir()?;
    let (mut renewed, mut worse) = (Vec::new(), Vec::new());
    for case in cases(scratch.path())? {
        let mut counts = (0..case.times).map(|_| count(&omne, &case)).collect::<Result<Vec<u64>>>()?;
        counts.sort_unstable();
        let count = counts[case.times / 2];
        let before = kept.iter().find(|kept| kept.name == case.name);
        let tolerance = before.map_or(TOLERANCE, |kept| kept.tolerance);
        say(&line(case.name, count, before))?;
        worse.extend(judge(case.name, count, before));
        renewed.push(Kept { name: case.name.to_owned(), count, tolerance });
    }
    if options.write {
        std::fs::write(&path, write(&renewed, &compiler, &valgrind))?;
        tell(&format!("wrote {FILE}"));
    } else if !worse.is_empty() {
        let then =
            text.lines().find_map(|line| line.strip_prefix("# with ")).unwrap_or("an unknown compiler");
        bail!(
            "{}\ncounted with {then}, now with {compiler}, {valgrind}; \
             if the change is meant, `cargo xtask counts --write`",
            worse.join("\n")
        );
    }
    Ok(())
}

/// The paths, each with what it works on.
fn cases(scratch: &Path) -> Result<Vec<Case>> {
    let directory = |name: &str, durability: &str| volume(&scratch.join(name), durability);
    let pipes = directory("pipes", "none")?;
    std::fs::write(pipes.join("wide.yaml"), Shape::Wide.pipe(200, "true"))?;
    std::fs::write(pipes.join("layered.yaml"), Shape::Layered.pipe(10_000, "true"))?;
    let many = scratch.join("many");
    for number in 0..100 {
        file_log(&many, number, 100, 10)?;
    }
    let (long, nodes) = (scratch.join("long"), scratch.join("nodes"));
    let (few, most) = (file_log(&long, 0, 100_000, 1_000)?, file_log(&nodes, 0, 30_002, 10_000)?);
    let case =
        |name, directory: &Path, args: String| Case { name, args, directory: directory.to_owned(), times: 1 };
    Ok(vec![
        Case { times: TIMES, ..case("run of 200 nodes", &pipes, "run wide.yaml -j 2 -q".to_owned()) },
        case("validate of 10000 nodes", &pipes, "validate layered.yaml".to_owned()),
        case("status of 100 runs", &many, "status".to_owned()),
        case("fold of 100000 events", &long, format!("status {}", few.run)),
        case("fold of 10000 nodes", &nodes, format!("status {}", most.run)),
        case("verify of 30002 events", &nodes, format!("verify {}", most.run)),
    ])
}

/// The instructions of one run.
fn count(omne: &Path, case: &Case) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--trace-children=no"])
        .arg(omne)
        .args(case.args.split_whitespace())
        .current_dir(&case.directory)
        // Nothing of whoever counts. The C library's choices are fixed where it offers to.
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", &case.directory)
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()
        .context("cannot start `valgrind`")?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("`omne {}` failed under valgrind:\n{}", case.args, told.trim());
    }
    collected(&told)
        .with_context(|| format!("valgrind told no count of `omne {}`:\n{}", case.args, told.trim()))
}

/// valgrind's line is `==PID== Collected : COUNT`.
fn collected(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

/// What is wrong with a count, if anything is.
fn judge(name: &str, count: u64, before: Option<&Kept>) -> Option<String> {
    match before {
        None => Some(format!("`{name}` is not in `{FILE}`")),
        Some(kept) if change(count, kept.count) > kept.tolerance => {
            Some(format!("`{name}` takes more than {} % above {}", kept.tolerance, kept.count))
        }
        Some(_) => None,
    }
}

/// In percent.
fn change(now: u64, before: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

fn line(name: &str, count: u64, before: Option<&Kept>) -> String {
    match before {
        None => format!("{name}: {count}"),
        Some(kept) => format!(
            "{name}: {count}, {:+.2} % (up to {:+} % is let through)",
            change(count, kept.count),
            kept.tolerance
        ),
    }
}

fn parse(text: &str) -> Result<Vec<Kept>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let mut fields = line.split('\t');
            let mut next = || fields.next().with_context(|| format!("`{FILE}`: {line:?} has too few fields"));
            let name = next()?.to_owned();
            let count = next()?.parse().with_context(|| format!("`{FILE}`: the count of `{name}`"))?;
            let tolerance =
                next()?.parse().with_context(|| format!("`{FILE}`: the tolerance of `{name}`"))?;
            Ok(Kept { name, count, tolerance })
        })
        .collect()
}

fn write(kept: &[Kept], compiler: &str, valgrind: &str) -> String {
    let mut text = format!("{HEAD}# with {compiler}, {valgrind}\n");
    for Kept { name, count, tolerance } in kept {
        text.push_str(&format!("{name}\t{count}\t{tolerance}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_with_its_tolerances() {
        let kept = vec![
            Kept { name: "a b".to_owned(), count: 7, tolerance: 3.0 },
            Kept { name: "c".to_owned(), count: 8, tolerance: 1.5 },
        ];
        assert_eq!(parse(&write(&kept, "rustc 1", "valgrind 2")).unwrap(), kept);
        assert!(parse("a\tx\t3\n").unwrap_err().to_string().contains("the count of `a`"));
    }

    #[test]
    fn a_count_is_what_valgrind_says() {
        assert_eq!(collected("==1== \n==1== Collected : 1234\n==1==\n"), Some(1234));
        assert_eq!(collected("==1== killed"), None);
    }

    #[test]
    fn a_count_above_its_tolerance_is_told_and_one_below_is_not() {
        let kept = Kept { name: "a".to_owned(), count: 1000, tolerance: 3.0 };
        assert!(judge("a", 1031, Some(&kept)).unwrap().contains("more than 3 %"));
        assert_eq!(judge("a", 1029, Some(&kept)), None);
        assert_eq!(judge("a", 500, Some(&kept)), None);
        assert!(judge("b", 1, None).is_some());
    }

    #[test]
    fn a_change_is_in_percent() {
        assert!((change(103, 100) - 3.0).abs() < 1e-9);
        assert!(
            line("a", 97, Some(&Kept { name: "a".to_owned(), count: 100, tolerance: 3.0 }))
                .contains("-3.00 %")
        );
    }
}
