//! Standard streams whose readers may stop reading: a run goes on without them.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// So much fits a pipe that has room at all.
const PIECE: usize = 4096;
/// How much is kept for a reader at most, in bytes; then the run waits for it after all.
const MOST_KEPT: usize = 64 * 1024 * 1024;
/// How often it is looked whether a reader goes on.
const LOOK: Duration = Duration::from_millis(10);

/// A stream that is written to at once while its reader keeps up, else by a thread.
pub(crate) struct Stream {
    /// `None` where it is closed.
    file: Option<File>,
    behind: Option<Behind>,
}

/// What the reader has not taken yet.
struct Behind {
    sender: mpsc::Sender<Vec<u8>>,
    /// Its bytes.
    kept: Arc<AtomicUsize>,
    thread: JoinHandle<io::Result<()>>,
}

impl Stream {
    pub(crate) fn stdout() -> Self {
        Self::of(io::stdout().as_fd())
    }

    pub(crate) fn stderr() -> Self {
        Self::of(io::stderr().as_fd())
    }

    fn of(fd: BorrowedFd<'_>) -> Self {
        Self { file: fd.try_clone_to_owned().ok().map(File::from), behind: None }
    }

    /// Writes, or keeps what can't be written now.
    ///
    /// # Errors
    /// When nothing can be written any more. An error of something that was kept is told by a later call.
    pub(crate) fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut rest = bytes;
        if self.behind.as_ref().is_none_or(Behind::has_caught_up) {
            while !rest.is_empty() && has_room(file) {
                let (piece, after) = rest.split_at(rest.len().min(PIECE));
                file.write_all(piece)?;
                rest = after;
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        let behind = match self.behind.take() {
            Some(behind) if behind.thread.is_finished() => return behind.end(),
            Some(behind) => behind,
            None => Behind::start(file.try_clone()?)?,
        };
        while behind.kept.load(Ordering::Acquire) > MOST_KEPT && !behind.thread.is_finished() {
            std::thread::sleep(LOOK);
        }
        behind.kept.fetch_add(rest.len(), Ordering::AcqRel);
        // A thread that has ended is found out by the next call.
        let _ = behind.sender.send(rest.to_vec());
        self.behind = Some(behind);
        Ok(())
    }

    /// Waits until the reader has taken everything; no longer than `patience` if that is given.
    pub(crate) fn drain(&mut self, patience: Option<Duration>) {
        let since = Instant::now();
        let is_over = || patience.is_some_and(|patience| since.elapsed() >= patience);
        while let Some(behind) = &self.behind
            && !behind.has_caught_up()
            && !behind.thread.is_finished()
        {
            if is_over() {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Behind {
    fn start(mut file: File) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Vec<u8>>();
        let kept = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&kept);
        let work = move || {
            for bytes in receiver {
                write_whole(&mut file, &bytes)?;
                left.fetch_sub(bytes.len(), Ordering::AcqRel);
            }
            Ok(())
        };
        let spawn = || std::thread::Builder::new().name("print".into()).spawn(work);
        let thread = omne_process::without_signals(spawn)?;
        Ok(Self { sender, kept, thread })
    }

    fn has_caught_up(&self) -> bool {
        self.kept.load(Ordering::Acquire) == 0
    }

    fn end(self) -> io::Result<()> {
        drop(self.sender);
        self.thread.join().unwrap_or(Ok(()))
    }
}

/// Writes everything, also where a write gives up instead of waiting.
fn write_whole(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(file, PollFlags::OUT)];
                poll(&mut fds, None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a piece can be written without waiting, or fails at once.
fn has_room(file: &File) -> bool {
    let mut fds = [PollFd::new(file, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Where that can't be asked, a write has to tell.
    poll(&mut fds, Some(&at_once)).is_err() || !fds[0].revents().is_empty()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn pipe() -> (io::PipeReader, Stream) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, Stream::of(writer.as_fd()))
    }

    #[test]
    fn what_nobody_reads_is_kept_in_order() {
        let (mut reader, mut stream) = pipe();
        let text: String = (0..100_000).map(|n| format!("{n}\n")).collect();
        for piece in text.as_bytes().chunks(30_000) {
            stream.print(piece).unwrap();
        }
        let reading = std::thread::spawn(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).map(|_| all)
        });
        stream.drain(None);
        drop(stream);
        assert_eq!(reading.join().unwrap().unwrap(), text);
    }

    #[test]
    fn a_reader_that_is_gone_is_told() {
        let (reader, mut stream) = pipe();
        drop(reader);
        assert_eq!(stream.print(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn nobody_waits_longer_than_asked_for_a_reader_that_never_reads() {
        let (_reader, mut stream) = pipe();
        stream.print(&vec![b'x'; 1 << 20]).unwrap();
        stream.drain(Some(Duration::ZERO));
        assert!(stream.behind.is_some());
    }
}
