use std::{cell::RefCell, fs::File, rc::Rc};

use super::*;
use crate::*;

fn run_id() -> RunId {
    RunId::new("p-01kahj5zz0000000000000000a").unwrap()
}

fn noon() -> Timestamp {
    Timestamp::from_millisecond(1_795_168_800_000)
}

fn new_log(dir: &Path) -> LogWriter {
    let log = LockedLog::create(&dir.join("events.jsonl")).unwrap();
    LogWriter::begin(log, run_id(), Box::new(CountingIds::default()))
}

fn skipped(reason: &str) -> Event {
    NodeSkipped { node_id: NodeId::new("n").unwrap(), reason: reason.into() }.into()
}

/// Every line's faults, and the chain at the end.
fn follow(path: &Path) -> (Vec<ChainFault>, Chain, u64, Tail) {
    let mut reader = LogReader::open(path).unwrap();
    let (mut chain, mut decoder, mut faults) = (Chain::new(), Decoder::new(), Vec::new());
    while let Some(line) = reader.next_line().unwrap() {
        faults.extend(chain.follow(line, Digest::of(line), &decoder.decode(line).unwrap()));
    }
    (faults, chain, reader.offset(), reader.tail())
}

#[test]
fn lines_are_numbered_and_linked() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = new_log(dir.path());
    for n in 0..5 {
        writer.append(noon(), skipped(&n.to_string())).unwrap();
    }
    writer.flush().unwrap();
    let (faults, chain, _, tail) = follow(&dir.path().join("events.jsonl"));
    assert_eq!((faults, chain.seq(), tail), (vec![], 5, Tail::Clean));
}

#[test]
fn a_line_that_was_changed_is_found_by_the_link_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = new_log(dir.path());
    for reason in ["mine", "next"] {
        writer.append(noon(), skipped(reason)).unwrap();
    }
    writer.flush().unwrap();
    let path = dir.path().join("events.jsonl");
    let changed = std::fs::read_to_string(&path).unwrap().replace("mine", "ours");
    std::fs::write(&path, changed).unwrap();
    assert_eq!(follow(&path).0, [ChainFault::Prev]);
}

#[test]
fn nothing_is_in_the_file_before_the_flush() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = new_log(dir.path());
    writer.append(noon(), skipped("a")).unwrap();
    assert_eq!(std::fs::read(dir.path().join("events.jsonl")).unwrap(), b"");
}

#[test]
fn a_clock_that_goes_back_moves_neither_ts_nor_id_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = new_log(dir.path());
    writer.append(noon(), skipped("a")).unwrap();
    let second = writer.append(Timestamp::from_millisecond(5), skipped("b")).unwrap();
    writer.flush().unwrap();
    assert_eq!(second.at, noon());
    assert_eq!(follow(&dir.path().join("events.jsonl")).0, vec![]);
}

#[test]
fn a_second_owner_is_told_the_first_ones_pid() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let writer = new_log(dir.path());
    match LockedLog::open(&path) {
        Err(OpenError::Owned { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    assert!(LockedLog::owner(&path).unwrap().is_some());
    drop(writer);
    assert!(LockedLog::owner(&path).unwrap().is_none());
    LockedLog::open(&path).unwrap();
}

#[test]
fn a_log_cut_at_every_byte_can_be_gone_on_with_and_loses_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = new_log(dir.path());
    for n in 0..3 {
        writer.append(noon(), skipped(&n.to_string())).unwrap();
    }
    writer.flush().unwrap();
    drop(writer);
    let whole = std::fs::read(dir.path().join("events.jsonl")).unwrap();
    let first_line = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
    for cut in first_line..whole.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (faults, chain, length, tail) = follow(&path);
        assert_eq!(faults, vec![]);
        let log = LockedLog::open(&path).unwrap();
        let (mut writer, aside) =
            LogWriter::go_on(log, chain, length, tail, Box::new(CountingIds::default())).unwrap();
        writer.append(noon(), skipped("after")).unwrap();
        writer.flush().unwrap();
        let (faults, _, _, tail) = follow(&path);
        assert_eq!((faults, tail), (vec![], Tail::Clean), "cut at {cut}");
        let torn = aside.map_or(Vec::new(), |path| std::fs::read(path).unwrap());
        assert_eq!(torn, whole[usize::try_from(length).unwrap()..cut]);
    }
}

#[test]
fn torn_bytes_never_overwrite_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let mut writer = new_log(dir.path());
    writer.append(noon(), skipped("a")).unwrap();
    writer.flush().unwrap();
    drop(writer);
    for n in 1..=2 {
        std::io::Write::write_all(&mut File::options().append(true).open(&path).unwrap(), b"{\"se").unwrap();
        let (_, chain, length, tail) = follow(&path);
        let log = LockedLog::open(&path).unwrap();
        let (_, aside) =
            LogWriter::go_on(log, chain, length, tail, Box::new(CountingIds::default())).unwrap();
        assert!(aside.unwrap().ends_with(format!("events.jsonl.torn-{n}")));
    }
}

#[test]
fn an_event_too_large_for_a_line_is_refused_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = new_log(dir.path());
    assert!(matches!(writer.append(noon(), skipped(&"x".repeat(MAX_LINE))), Err(WriteError::TooLong { .. })));
    writer.append(noon(), skipped("small")).unwrap();
    writer.flush().unwrap();
    let (faults, chain, ..) = follow(&dir.path().join("events.jsonl"));
    assert_eq!((faults, chain.seq()), (vec![], 1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_closes_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    // Not by a link: that is no log.
    let file = File::options().append(true).open("/dev/full").unwrap();
    let log = LockedLog { file, path: dir.path().join("events.jsonl") };
    let mut writer = LogWriter::begin(log, run_id(), Box::new(CountingIds::default()));
    writer.append(noon(), skipped("a")).unwrap();
    let Err(WriteError::Write { source, .. }) = writer.flush() else { panic!("written to a full disk") };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert!(matches!(writer.append(noon(), skipped("b")), Err(WriteError::Closed { .. })));
}

#[test]
fn nothing_is_added_to_a_log_that_others_have_removed_or_changed() {
    type Deed = fn(&Path);
    let deeds: [Deed; 4] = [
        |log| std::fs::remove_file(log).unwrap(),
        |log| std::fs::rename(log.with_file_name("other"), log).unwrap(),
        |log| std::fs::write(log, "").unwrap(),
        |log| File::options().append(true).open(log).unwrap().write_all(b"garbage\n").unwrap(),
    ];
    for deed in deeds {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        std::fs::write(path.with_file_name("other"), "other").unwrap();
        let log = LockedLog::create(&path).unwrap();
        let mut writer = LogWriter::begin(log, run_id(), Box::new(CountingIds::default()));
        writer.append(noon(), skipped("a")).unwrap();
        writer.flush().unwrap();
        deed(&path);
        let before = std::fs::read(&path).ok();
        writer.append(noon(), skipped("b")).unwrap();
        assert!(matches!(writer.flush(), Err(WriteError::Changed { .. })));
        assert_eq!(std::fs::read(&path).ok(), before, "it stays as they left it");
        assert!(matches!(writer.append(noon(), skipped("c")), Err(WriteError::Closed { .. })));
    }
}

/// A disk that has room for half of what is written.
struct Half(Rc<RefCell<Vec<u8>>>);

impl Medium for Half {
    fn path(&self) -> &Path {
        Path::new("events.jsonl")
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().extend_from_slice(&bytes[..bytes.len() / 2]);
        Err(io::ErrorKind::StorageFull.into())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.borrow_mut().truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn sync_in_background(
        &mut self,
        _: Durability,
        _: &Path,
        _: usize,
        _: Box<dyn Fn() + Send>,
    ) -> Result<Option<Box<dyn Syncer>>, OpenError> {
        Ok(None)
    }
}

#[test]
fn what_a_failed_write_left_is_cut_off() {
    let bytes = Rc::new(RefCell::new(b"a whole line\n".to_vec()));
    let half = Box::new(Half(Rc::clone(&bytes)));
    let ids = Box::new(CountingIds::default());
    let mut writer = LogWriter::after(half, run_id(), Chain::of(run_id()), 13, ids);
    writer.append(noon(), skipped("a")).unwrap();
    assert!(matches!(writer.flush(), Err(WriteError::Write { .. })));
    assert_eq!(*bytes.borrow(), b"a whole line\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_does_not_confirm_is_told_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    // Takes every byte, and no sync.
    let file = File::options().append(true).open("/dev/null").unwrap();
    let log = LockedLog { file, path: dir.path().join("events.jsonl") };
    let mut writer = LogWriter::begin(log, run_id(), Box::new(CountingIds::default()));
    writer.sync_in_background(Durability::Auto, dir.path(), Box::new(|| {})).unwrap();
    writer.append(noon(), skipped("a")).unwrap();
    assert!(matches!(writer.flush_and_sync(), Err(WriteError::Sync { .. })));
    assert!(matches!(writer.durable(), Err(WriteError::Sync { .. })));
}

#[test]
fn a_link_in_the_place_of_a_log_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let (elsewhere, path) = (dir.path().join("elsewhere"), dir.path().join("events.jsonl"));
    std::fs::write(&elsewhere, "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(matches!(LockedLog::open(&path), Err(OpenError::Io { .. })));
    assert!(LockedLog::create(&path).is_err());
}

#[test]
fn what_was_waited_for_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    for durability in [Durability::Auto, Durability::Strict, Durability::None] {
        let _ = std::fs::remove_file(dir.path().join("events.jsonl"));
        let mut writer = new_log(dir.path());
        writer.sync_in_background(durability, dir.path(), Box::new(|| {})).unwrap();
        writer.append(noon(), skipped("a")).unwrap();
        writer.flush_and_sync().unwrap();
        assert_eq!(writer.durable().unwrap(), 1);
    }
}

#[test]
fn events_become_durable_without_anybody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let mut writer = new_log(dir.path());
    let wake = Box::new(move || tell.send(()).unwrap_or_default());
    writer.sync_in_background(Durability::Auto, dir.path(), wake).unwrap();
    writer.append(noon(), skipped("a")).unwrap();
    writer.flush().unwrap();
    told.recv().unwrap();
    assert_eq!(writer.durable().unwrap(), 1);
}
