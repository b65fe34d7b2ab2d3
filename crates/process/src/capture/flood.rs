//! A stream of much output, copied by a thread of its own.

use std::{
    io::{self, PipeReader, PipeWriter, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use rustix::event::{PollFd, PollFlags, poll};

use super::{Budget, Pumped, Stream};
use crate::{Waker, without_signals};

/// What is read at once: few calls, and it stays in the processor's own cache until it is written and digested.
const BUFFER: usize = 128 * 1024;
const STACK: usize = 128 * 1024;

/// What a thread gives back.
type Copied = (Stream, io::Result<Pumped>);

/// The thread, as seen from outside.
#[derive(Debug)]
pub(super) struct Flood {
    copied: Receiver<Copied>,
    done: Arc<AtomicBool>,
    /// Written to when nothing more is to be waited for. That it is closed tells the thread nothing as long as a process
    /// has it, too, that is not its program yet.
    stop: Option<PipeWriter>,
}

impl Flood {
    /// Takes over `stream`, which is left empty; not on an error. `waker` wakes whoever waits for the thread.
    pub(super) fn new(stream: &mut Stream, budget: &Budget, waker: Waker) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let done = Arc::new(AtomicBool::new(false));
        let (give, taken) = sync_channel::<Stream>(1);
        let (give_back, copied) = sync_channel::<Copied>(1);
        let (budget, finished) = (budget.clone(), Arc::clone(&done));
        // Nobody joins it: what it gives back is its last word, and its end need not be waited for.
        let builder = thread::Builder::new().name("omne-capture".into()).stack_size(STACK);
        let body = move || {
            let _end = End { done: finished, waker };
            let Ok(mut stream) = taken.recv() else { return };
            let pumped = copy(&mut stream, &budget, &stopped);
            stream.close();
            // Whoever is gone wants nothing.
            let _ = give_back.send((stream, pumped));
        };
        without_signals(|| builder.spawn(body))?;
        if let Some(outlet) = &mut stream.outlet {
            // The thread waits for nothing but the pipe's end.
            outlet.writer = None;
        }
        // The thread waits for it, so it is taken.
        let _ = give.send(std::mem::take(stream));
        Ok(Self { copied, done, stop: Some(stop) })
    }

    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// What is there by now is still copied, but no more.
    pub(super) fn stop(&mut self) {
        if let Some(mut stop) = self.stop.take() {
            // Who does not read it any more is done.
            let _ = stop.write(&[0]);
        }
    }

    /// The stream, and how it ended. Waits for the thread.
    pub(super) fn take_back(&mut self) -> Copied {
        let lost = || (Stream::default(), Err(io::Error::other("the thread that copied its output is gone")));
        self.copied.recv().unwrap_or_else(|_| lost())
    }
}

/// Says that the thread is done, also when it panics.
struct End {
    done: Arc<AtomicBool>,
    waker: Waker,
}

impl Drop for End {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// Copies until the stream ends or is to be stopped.
fn copy(stream: &mut Stream, budget: &Budget, stopped: &PipeReader) -> io::Result<Pumped> {
    let mut buffer = vec![0; BUFFER];
    let mut relayed = Vec::new();
    loop {
        let Some(outlet) = &stream.outlet else { return Ok(Pumped::Closed) };
        let mut fds = [PollFd::new(&outlet.reader, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if !fds[1].revents().is_empty() {
            return stream.pump_rest(&mut buffer, budget, &mut relayed);
        }
        match stream.pump(&mut buffer, budget, &mut relayed)? {
            Pumped::More | Pumped::Dry => {}
            pumped @ (Pumped::Closed | Pumped::Full) => return Ok(pumped),
        }
    }
}
