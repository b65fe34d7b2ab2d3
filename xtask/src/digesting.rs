//! A floor that does with the output of each process what a runner has to that keeps and digests it, and no more.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

/// How the output comes to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The process has the file as its standard output; it is read again when the process has ended.
    File,
    /// The process has a pipe; what it prints is written to the file as it comes.
    Pipe,
}

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) nodes: usize,
    pub(crate) jobs: usize,
    pub(crate) body: String,
    pub(crate) way: Way,
    pub(crate) directory: PathBuf,
}

impl Floor {
    /// Runs each node once, so many at a time.
    pub(crate) fn run(&self) -> Result<()> {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let work = || -> Result<()> {
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let node = next.fetch_add(1, Ordering::Relaxed);
                    if node >= self.nodes {
                        return Ok(());
                    }
                    self.node(&self.directory.join(node.to_string()), &mut buffer)?;
                }
            };
            let workers: Vec<_> = (0..self.jobs).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker failed")))
        })
    }

    fn node(&self, path: &Path, buffer: &mut [u8]) -> Result<()> {
        let open = || File::options().read(true).write(true).create(true).truncate(true).open(path);
        let mut file = open().with_context(|| format!("cannot make `{}`", path.display()))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &self.body]).stdin(Stdio::null());
        let mut digest = Sha256::new();
        let status = match self.way {
            Way::File => {
                let status = command.stdout(file.try_clone()?).status()?;
                file.rewind()?;
                loop {
                    match file.read(buffer)? {
                        0 => break status,
                        read => digest.update(&buffer[..read]),
                    }
                }
            }
            Way::Pipe => {
                let mut child = command.stdout(Stdio::piped()).spawn()?;
                let mut pipe = child.stdout.take().context("it has a pipe")?;
                loop {
                    match pipe.read(buffer)? {
                        0 => break child.wait()?,
                        read => {
                            digest.update(&buffer[..read]);
                            file.write_all(&buffer[..read])?;
                        }
                    }
                }
            }
        };
        std::hint::black_box(digest.finalize());
        if !status.success() {
            bail!("`{}` failed: {status}", self.body);
        }
        Ok(())
    }
}
