//! Linux: a process by `clone`, with the memory of this one lent to it until it
//! is another program, as `vfork` and `posix_spawn` do it.
//!
//! What the C library's `posix_spawn` makes anew for each process is kept here:
//! the stack that the child stands on for a moment (to unmap one interrupts
//! every other processor), the room for its arguments and environment, and the
//! knowledge which signals have handlers.

use std::{
    borrow::Cow,
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use libc::{c_char, c_int, c_void};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Resource, Rlimit, setrlimit},
};

use crate::{Environment, Spec, files, find_program, signals::HANDLED, without_signals};

/// The child makes a dozen system calls on it, and no signal reaches it there: some hundred bytes would do.
const STACK: usize = 32 * 1024;

/// A process that was started, and the reading ends of its standard output and error, which
/// never block.
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Starts processes.
pub(crate) struct Launcher {
    /// In pieces that keep its end aligned as calls demand.
    stack: Box<[u128]>,
    arguments: Block,
    environment: Block,
    /// For the process that comes next.
    spare: Option<Pipes>,
}

/// For standard output and error, each with its reading end, which never blocks, before its writing end.
struct Pipes([(OwnedFd, OwnedFd); 2]);

impl Pipes {
    fn new() -> io::Result<Self> {
        let pipe = || {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            // A new pipe has no other flags that could be lost.
            fcntl_setfl(&reader, OFlags::NONBLOCK)?;
            Ok::<_, io::Error>((reader, writer))
        };
        Ok(Self([pipe()?, pipe()?]))
    }
}

impl Launcher {
    pub(crate) fn new() -> Self {
        Self {
            stack: vec![0; STACK / size_of::<u128>()].into_boxed_slice(),
            arguments: Block::default(),
            environment: Block::default(),
            spare: None,
        }
    }

    /// Does what can be done for the next process before it is known: while others run there is time, and between the end
    /// of one and the start of another there is not.
    pub(crate) fn prepare(&mut self) {
        if self.spare.is_none() {
            // What goes wrong is told when they are needed.
            self.spare = Pipes::new().ok();
        }
    }

    /// Starts the process in a group of its own, with `stdin` as its standard input and pipes for its output.
    pub(crate) fn launch(&mut self, spec: &Spec, stdin: &File) -> io::Result<Launched> {
        let program = CString::new(locate(&spec.program)?.as_os_str().as_bytes())?;
        let cwd = CString::new(spec.cwd.as_os_str().as_bytes())?;
        self.arguments.clear();
        self.arguments.push(&[spec.program.as_os_str().as_bytes()])?;
        for arg in &spec.args {
            self.arguments.push(&[arg.as_bytes()])?;
        }
        let (arguments, environment) = (self.arguments.pointers(), self.environment.of(&spec.environment)?);
        // Before there is a process: what can fail must not leave one that nobody knows of.
        let Pipes([(stdout, out), (stderr, err)]) = self.spare.take().map_or_else(Pipes::new, Ok)?;
        let plan = Plan {
            program: program.as_ptr(),
            cwd: cwd.as_ptr(),
            arguments: arguments.as_ptr(),
            environment: environment.as_ptr(),
            streams: [stdin.as_raw_fd(), out.as_raw_fd(), err.as_raw_fd()],
            open_files: files::limit_before(),
            error: 0,
        };
        let pid = spawn(&mut self.stack, plan)?;
        let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("the child has no process id"))?;
        Ok(Launched { pid, stdout, stderr })
    }
}

/// A name without a directory is looked for in this process's `PATH`.
fn locate(program: &Path) -> io::Result<Cow<'_, Path>> {
    let bytes = program.as_os_str().as_bytes();
    match (std::str::from_utf8(bytes), bytes.contains(&b'/')) {
        (Ok(name), false) => std::env::var_os("PATH")
            .and_then(|path| find_program(name, &path))
            .map(Cow::Owned)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT)),
        _ => Ok(Cow::Borrowed(program)),
    }
}

/// Texts that end with a NUL each, one behind the other, and the array of pointers to them that ends with a null.
#[derive(Default)]
struct Block {
    texts: Vec<u8>,
    starts: Vec<usize>,
    pointers: Vec<*const c_char>,
    hidden: Vec<bool>,
}

impl Block {
    fn clear(&mut self) {
        self.texts.clear();
        self.starts.clear();
        self.pointers.clear();
    }

    /// Adds a text that is made of `parts`.
    fn push(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.starts.push(self.texts.len());
        for part in parts {
            if part.contains(&0) {
                let message = "there is a NUL character in it";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            self.texts.extend_from_slice(part);
        }
        self.texts.push(0);
        Ok(())
    }

    /// The array, as long as nothing is added.
    fn pointers(&mut self) -> &[*const c_char] {
        let texts = &self.texts;
        self.pointers.extend(self.starts.iter().map(|start| texts[*start..].as_ptr().cast::<c_char>()));
        self.pointers.push(ptr::null());
        &self.pointers
    }

    /// The array of an environment: what all have in common is pointed to where it is.
    fn of(&mut self, environment: &Environment) -> io::Result<&[*const c_char]> {
        let (base, own) = (&environment.base, &environment.own);
        self.clear();
        self.hidden.clear();
        self.hidden.resize(base.entries.len(), false);
        for (at, (name, value)) in own.iter().enumerate() {
            // The later one of two counts.
            if own[at + 1..].iter().all(|(other, _)| other != name) {
                self.push(&[name.as_bytes(), b"=", value.as_bytes()])?;
                if let Some(place) = base.find(name.as_bytes()) {
                    self.hidden[place] = true;
                }
            }
        }
        let shown = base.entries.iter().zip(&self.hidden).filter(|(_, hidden)| !**hidden);
        self.pointers.extend(shown.map(|(entry, _)| entry.as_ptr()));
        Ok(self.pointers())
    }
}

/// What the child reads, and the one thing that it writes. All pointers are valid until it is another program or gone.
struct Plan {
    program: *const c_char,
    cwd: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    streams: [c_int; 3],
    /// The limit of open files, if it is not this process's.
    open_files: Option<Rlimit>,
    /// Why it could not become the program; 0 if it has.
    error: c_int,
}

#[expect(
    unsafe_code,
    reason = "no safe interface starts a process on a stack and with a block that are made already"
)]
fn spawn(stack: &mut [u128], mut plan: Plan) -> io::Result<c_int> {
    let (pid, failed) = without_signals(|| {
        // SAFETY: the stack is this function's alone until the child has left it, as with CLONE_VFORK this thread goes on
        // only then; its end is aligned to 16 bytes and the child uses a fraction of it. `plan` outlives that, too. Other
        // threads go on, and the child touches nothing that they use: it makes system calls only, and all signals are
        // blocked in it while handlers of this process could run.
        let pid = unsafe {
            libc::clone(
                become_program,
                stack.as_mut_ptr_range().end.cast::<c_void>(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                (&raw mut plan).cast::<c_void>(),
            )
        };
        (pid, if pid < 0 { io::Error::last_os_error().raw_os_error() } else { None })
    });
    // SAFETY: `plan` is a local of this function; the child wrote it through the pointer, which the compiler can't see.
    let error = unsafe { (&raw const plan.error).read_volatile() };
    match failed.or((error != 0).then_some(error)) {
        None => Ok(pid),
        Some(code) => {
            if let Some(pid) = Pid::from_raw(pid.max(0)) {
                // It is dead: nobody else has to know that it lived.
                while let Err(rustix::io::Errno::INTR) =
                    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
                {
                }
            }
            Err(io::Error::from_raw_os_error(code))
        }
    }
}

/// The child, in the memory of its parent.
#[expect(unsafe_code, reason = "the system calls between clone and exec")]
extern "C" fn become_program(plan: *mut c_void) -> c_int {
    /// What a shell says of a program that it could not start; nobody sees it.
    const NOT_STARTED: c_int = 127;
    let plan = plan.cast::<Plan>();
    // SAFETY: `plan` is the parent's, which waits. Everything called here is async-signal-safe and allocates nothing.
    unsafe {
        let Plan { program, cwd, arguments, environment, streams, open_files, .. } = &*plan;
        let prepared = || {
            // Before signals are let in: a handler would run in the parent's memory. The runtime ignores SIGPIPE for this
            // process; a child has the usual behaviour.
            for signal in HANDLED.into_iter().chain([libc::SIGPIPE]) {
                if libc::signal(signal, libc::SIG_DFL) == libc::SIG_ERR {
                    return false;
                }
            }
            if let Some(limit) = open_files {
                // It is one that this process had: where it can't be had any more, more files do little harm.
                let _ = setrlimit(Resource::Nofile, *limit);
            }
            let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            libc::setpgid(0, 0) == 0
                && (0..).zip(streams).all(|(number, stream)| hand_over(*stream, number))
                && libc::chdir(*cwd) == 0
                && libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) == 0
        };
        if prepared() {
            libc::execve(*program, *arguments, *environment);
        }
        (&raw mut (*plan).error).write_volatile(*libc::__errno_location());
        libc::_exit(NOT_STARTED)
    }
}

/// Makes `stream` the file of that number, which stays open in the program.
#[expect(unsafe_code, reason = "the system calls between clone and exec")]
fn hand_over(stream: c_int, number: c_int) -> bool {
    // SAFETY: both are numbers; what they mean is up to the kernel.
    unsafe {
        match stream == number {
            true => libc::fcntl(stream, libc::F_SETFD, 0) == 0,
            false => libc::dup2(stream, number) >= 0,
        }
    }
}
