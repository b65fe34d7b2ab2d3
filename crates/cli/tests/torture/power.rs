//! Power cuts: what the runner asked of the disk is recorded, and the log is put together as it may be found after a cut
//! at each point. What was not synced is lost, or kept, or partly so, by sectors of 512 bytes.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::Range,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    aftermath::{self, Told, text},
    chance::{Chance, points, rounds, sweep},
    sandbox::Sandbox,
    shapes::Shape,
    trace::{Whose, strace, traced},
};

const SECTOR: usize = 512;

/// `b` and `d` take long enough to be waited for. Once there is a file `calm`, they are quick.
const SHAPE: Shape = Shape::new(
    "power",
    "
- {id: a, bash: '. ./notes; begin; echo a; end'}
- {id: b, depends_on: [a], bash: '. ./notes; begin a; test -e calm || sleep 0.11; echo b; end'}
- {id: c, depends_on: [b], bash: '. ./notes; begin b; end'}
- {id: d, depends_on: [c], bash: '. ./notes; begin c; test -e calm || sleep 0.11; end'}
- {id: e, depends_on: [d], bash: '. ./notes; begin d; end'}",
    0,
    "completed: a completed, b completed, c completed, d completed, e completed",
);

/// What the runner asked for, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// So many more bytes at the end of the log.
    Write(usize),
    /// The log is that long from now on.
    Truncate(usize),
    /// What the log was when the sync began is on disk.
    Synced { since: usize },
    /// An entry was made in this directory.
    Made(PathBuf),
    /// The entries that this directory had when the sync began are on disk.
    Listed { directory: PathBuf, since: usize },
}

/// The path of the first descriptor in a call's line.
fn path_of(call: &str) -> PathBuf {
    call.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0)).unwrap_or_default().into()
}

/// The first path that a call names.
fn quoted(call: &str) -> PathBuf {
    call.split('"').nth(1).unwrap_or_default().into()
}

fn is_log(path: &Path) -> bool {
    path.ends_with("events.jsonl")
}

fn starts(call: &str, name: &str) -> bool {
    call.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
}

/// Runs a command and gives what it asked for.
fn record(sandbox: &Sandbox, args: &[&str]) -> Vec<Asked> {
    let trace = "trace=openat,mkdir,write,ftruncate,fdatasync,fsync,syncfs";
    let (output, lines) = traced(sandbox, Whose::Everybody, &["-y", "-e", trace], args);
    assert_eq!(output.code, 0, "{output:?}");
    let mut begun: HashMap<String, String> = HashMap::new();
    let mut since: HashMap<String, usize> = HashMap::new();
    let mut asked: Vec<Asked> = Vec::new();
    for line in lines {
        let (pid, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        // A write may be on disk as soon as it is asked for. A sync has an end, and what was asked for before its beginning
        // counts.
        if starts(call, "write") && is_log(&path_of(call)) {
            let (arguments, _) =
                call.rsplit_once(if call.contains("<unfinished") { " <unfinished" } else { ") " }).unwrap();
            asked.push(Asked::Write(arguments.rsplit_once(", ").unwrap().1.trim().parse().unwrap()));
        } else if starts(call, "ftruncate") && is_log(&path_of(call)) {
            let length = call.split_once(", ").unwrap().1;
            let length: String = length.chars().take_while(char::is_ascii_digit).collect();
            asked.push(Asked::Truncate(length.parse().unwrap()));
        }
        let makes_log = starts(call, "openat") && call.contains("O_CREAT") && is_log(&quoted(call));
        if makes_log || (starts(call, "mkdir") && call.ends_with("= 0")) {
            asked.push(Asked::Made(quoted(call).parent().unwrap().to_owned()));
        }
        let is_sync = ["fdatasync", "fsync", "syncfs"].iter().any(|name| starts(call, name));
        if is_sync && call.contains("<unfinished") {
            begun.insert(pid.to_owned(), call.to_owned());
            since.insert(pid.to_owned(), asked.len());
            continue;
        }
        let (sync, since) = match call.contains("sync resumed>") || call.contains("syncfs resumed>") {
            true => (begun.remove(pid).unwrap(), since[pid]),
            false if is_sync => (call.to_owned(), asked.len()),
            false => continue,
        };
        assert!(call.ends_with("= 0"), "{call}");
        if is_log(&path_of(&sync)) && !starts(&sync, "syncfs") {
            asked.push(Asked::Synced { since });
        } else if starts(&sync, "fsync") && path_of(&sync).is_dir() {
            asked.push(Asked::Listed { directory: path_of(&sync), since });
        }
    }
    asked
}

/// All that the log may be, from what is surely on disk to what was asked for last.
struct Disk {
    versions: Vec<Vec<u8>>,
}

impl Disk {
    /// After the first `cut` steps, from a log that was `before` and became `after`.
    fn at(asked: &[Asked], cut: usize, before: &[u8], after: &[u8]) -> Self {
        let mut versions = vec![before.to_vec()];
        let mut steps = vec![0];
        for (step, asked) in asked[..cut].iter().enumerate() {
            let mut next = versions.last().unwrap().clone();
            match asked {
                Asked::Write(bytes) => next.extend_from_slice(&after[next.len()..next.len() + bytes]),
                Asked::Truncate(length) => next.truncate(*length),
                Asked::Synced { since } => {
                    let durable = steps.iter().rposition(|step| step <= since).unwrap();
                    versions.drain(..durable);
                    steps.drain(..durable);
                    continue;
                }
                Asked::Made(_) | Asked::Listed { .. } => continue,
            }
            versions.push(next);
            steps.push(step + 1);
        }
        Self { versions }
    }

    /// The log with the length of one version, and each sector as it is in one.
    fn image(&self, length: usize, mut sector: impl FnMut() -> usize) -> Vec<u8> {
        let mut image = vec![0; self.versions[length].len()];
        for (number, bytes) in image.chunks_mut(SECTOR).enumerate() {
            let from = self.versions[sector()].get(number * SECTOR..).unwrap_or_default();
            let kept = from.len().min(bytes.len());
            bytes[..kept].copy_from_slice(&from[..kept]);
        }
        image
    }

    /// What may be found: all lost, all kept, cut between sectors, and with sectors of different ages.
    fn images(&self, chance: &mut Chance) -> BTreeSet<Vec<u8>> {
        let last = self.versions.len() - 1;
        let mut images: BTreeSet<Vec<u8>> = [0, last].iter().map(|all| self.image(*all, || *all)).collect();
        let (least, most) = (self.versions[0].len(), self.versions[last].len());
        if most > least {
            images.insert(self.versions[last][..least + chance.below(most - least)].to_vec());
            images.insert(self.versions[last][..(least / SECTOR + 1).min(most / SECTOR) * SECTOR].to_vec());
        }
        for _ in 0..3 {
            let length = chance.below(last + 1);
            images.insert(self.image(length, || chance.below(last + 1)));
            images.insert(self.image(last, || [0, last][chance.below(2)]));
        }
        images
    }
}

/// How many bytes of whole lines `image` has in common with the log that it is an image of.
fn valid(image: &[u8], log: &[u8]) -> usize {
    let same = image.iter().zip(log).take_while(|(a, b)| a == b).count();
    log[..same].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1)
}

/// For each line its bytes, and how many bytes of the log must be on disk before they may be written.
fn promises(log: &[u8], waits: impl Fn(&Value) -> bool) -> Vec<(Range<usize>, usize)> {
    let mut needs: HashMap<String, Vec<String>> = HashMap::new();
    let mut ended: HashMap<String, usize> = HashMap::new();
    let mut at = 0;
    aftermath::events(log)
        .into_iter()
        .map(|event| {
            let length = log[at..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
            let line = at..at + length;
            at += length;
            for node in event["definition"]["nodes"].as_array().into_iter().flatten() {
                let on = node["depends_on"].as_array().into_iter().flatten();
                needs.insert(text(node, "id").into(), on.map(|id| id.as_str().unwrap().into()).collect());
            }
            let node = text(&event, "node_id").to_owned();
            if event["type"] == "node.completed" && waits(&event) {
                ended.insert(node.clone(), line.end);
            }
            let promised = match event["type"] == "node.started" {
                true => needs[&node].iter().filter_map(|need| ended.get(need)).max().copied().unwrap_or(0),
                false => 0,
            };
            (line, promised)
        })
        .collect()
}

/// Makes the volume what it may be after a power cut: this log, and the traces of what completed in it.
fn restore(sandbox: &Sandbox, log: &Path, image: &[u8]) -> Option<Told> {
    std::fs::write(log, image).unwrap();
    for entry in std::fs::read_dir(log.parent().unwrap()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains(".torn-") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    std::fs::remove_dir_all(sandbox.path("effects")).unwrap();
    std::fs::create_dir(sandbox.path("effects")).unwrap();
    let lines = image.split_inclusive(|&byte| byte == b'\n');
    for event in lines.map_while(|line| serde_json::from_slice::<Value>(line).ok()) {
        if event["type"] == "node.completed" {
            let attempt = &event["attempt"];
            let notes = format!("start {attempt}\nend {attempt}\n");
            std::fs::write(sandbox.path("effects").join(text(&event, "node_id")), notes).unwrap();
        }
    }
    aftermath::told_by(image)
}

/// One image of a log that is `whole` otherwise: what is in it is enough to go on.
fn comes_back(sandbox: &Sandbox, log: &Path, image: &[u8], whole: &[u8]) {
    let valid = valid(image, whole);
    let told = restore(sandbox, log, image);
    let verify = sandbox.omne(&["verify", log.to_str().unwrap()]);
    assert_eq!(verify.code == 0, valid == image.len() && valid > 0, "{verify:?}");
    if valid == 0 {
        // Not even the run's beginning is there.
        let resume = sandbox.omne(&["resume", "@last"]);
        assert!([3, 5].contains(&resume.code), "{resume:?}");
        return;
    }
    aftermath::resumes(sandbox, &SHAPE, &told.into_iter().collect::<Vec<_>>());
}

/// A cut at each point of a command that made the log `after` from `before`.
fn cuts(
    what: &str,
    sandbox: &Sandbox,
    asked: &[Asked],
    (before, after): (&[u8], &[u8]),
    waits: impl Fn(&Value) -> bool,
    most: usize,
) {
    let log = aftermath::log(sandbox.root()).unwrap();
    sandbox.file("calm", "");
    let promises = promises(after, waits);
    let mut chance = Chance::new(11);
    let mut seen = HashSet::new();
    let mut images = Vec::new();
    for cut in 0..=asked.len() {
        let disk = Disk::at(asked, cut, before, after);
        let issued = disk.versions.last().unwrap().len();
        // The runner ends after its last sync, so with it the whole log is promised.
        let promised = promises.iter().filter(|(line, _)| line.end <= issued).map(|(_, promised)| *promised);
        let promised = if cut == asked.len() { after.len() } else { promised.max().unwrap_or(0) };
        for _ in 0..rounds(1, 6) {
            for image in disk.images(&mut chance) {
                assert!(
                    valid(&image, after) >= promised.min(issued),
                    "{what}: a cut after step {cut} of {asked:#?} loses what was acknowledged: {} of {promised} bytes",
                    valid(&image, after)
                );
                if seen.insert(image.clone()) {
                    images.push((cut, image));
                }
            }
        }
    }
    let chosen: Vec<usize> = points(images.len(), most);
    eprintln!("{what}: {} of {} images, {} steps", chosen.len(), images.len(), asked.len());
    sweep(what, &chosen, |at| comes_back(sandbox, &log, &images[*at].1, after));
}

/// What a run of `SHAPE` asks for, and the log that it leaves.
fn run(settings: &str) -> (Sandbox, Vec<Asked>, Vec<u8>) {
    let sandbox = SHAPE.sandbox();
    sandbox.file(".omne/omne.toml", settings);
    let asked = record(&sandbox, &["run", "p"]);
    let whole = std::fs::read(aftermath::log(sandbox.root()).unwrap()).unwrap();
    (sandbox, asked, whole)
}

#[test]
fn a_power_cut_costs_at_most_a_suffix_of_the_log() {
    if strace().is_none() {
        return;
    }
    let (sandbox, asked, whole) = run("");
    let waits = |event: &Value| event["duration_ms"].as_u64().unwrap() >= 100;
    cuts("auto", &sandbox, &asked, (b"", &whole), waits, 18);
}

#[test]
fn a_power_cut_costs_no_end_that_something_followed_when_durability_is_strict() {
    if strace().is_none() {
        return;
    }
    let (sandbox, asked, whole) = run("durability = \"strict\"\n");
    cuts("strict", &sandbox, &asked, (b"", &whole), |_| true, 10);
}

#[test]
fn a_power_cut_leaves_a_run_that_goes_on_even_when_nothing_was_synced() {
    if strace().is_none() {
        return;
    }
    let (sandbox, mut asked, whole) = run("durability = \"none\"\n");
    // Some time after its end the system has written all of it.
    asked.push(Asked::Synced { since: asked.len() });
    cuts("none", &sandbox, &asked, (b"", &whole), |_| false, 8);
}

#[test]
fn a_power_cut_after_a_torn_line_was_moved_aside_mixes_no_old_bytes_with_new_ones() {
    if strace().is_none() {
        return;
    }
    let (sandbox, _, whole) = run("");
    let log = aftermath::log(sandbox.root()).unwrap();
    let line = |n| -> usize { whole.split_inclusive(|&byte| byte == b'\n').take(n).map(<[u8]>::len).sum() };
    // Most of the end of `b` was written when the runner died.
    let torn = &whole[..line(8) - 7];
    restore(&sandbox, &log, torn);
    sandbox.file("calm", "");
    let asked = record(&sandbox, &["resume", "@last"]);
    let after = std::fs::read(&log).unwrap();
    cuts("torn", &sandbox, &asked, (torn, &after), |_| false, 12);
}

#[test]
fn the_workspace_is_synced_before_the_log_when_durability_is_strict() {
    if strace().is_none() {
        return;
    }
    let sandbox = SHAPE.sandbox();
    sandbox.file(".omne/omne.toml", "durability = \"strict\"\n");
    let options = ["-y", "-e", "trace=fdatasync,syncfs"];
    let (output, lines) = traced(&sandbox, Whose::Everybody, &options, &["run", "p"]);
    assert_eq!(output.code, 0, "{output:?}");
    let calls = lines.iter().filter_map(|line| Some(line.split_once(' ')?.1.trim_start()));
    let of_log = |call: &str| starts(call, "fdatasync") && is_log(&path_of(call));
    let syncs: Vec<&str> = calls.filter(|call| starts(call, "syncfs") || of_log(call)).collect();
    assert!(!syncs.is_empty());
    for pair in syncs.chunks(2) {
        assert!(starts(pair[0], "syncfs") && pair.get(1).is_some_and(|call| of_log(call)), "{syncs:#?}");
    }
}

#[test]
fn every_directory_on_the_way_to_a_new_log_is_synced() {
    if strace().is_none() {
        return;
    }
    let (_sandbox, asked, _) = run("");
    let first = asked.iter().position(|asked| matches!(asked, Asked::Synced { .. })).unwrap();
    let made: BTreeSet<&PathBuf> = asked
        .iter()
        .filter_map(|asked| if let Asked::Made(directory) = asked { Some(directory) } else { None })
        .collect();
    let made_by = asked.iter().rposition(|asked| matches!(asked, Asked::Made(_))).unwrap();
    for directory in made {
        // The entries of captures are no way to the log.
        if directory.join("nodes").exists() && !directory.join("events.jsonl").exists() {
            continue;
        }
        let listed = |asked: &Asked| matches!(asked, Asked::Listed { directory: listed, since } if listed == directory && *since > made_by);
        let at = asked.iter().position(listed);
        assert!(at.is_some_and(|at| at < asked.len()), "{} is not synced: {asked:#?}", directory.display());
        assert!(at > Some(first), "the log comes first");
    }
}
