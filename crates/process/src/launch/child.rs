//! The child, until it is another program.

use std::{
    borrow::Cow,
    env,
    ffi::CString,
    io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr::{self, NonNull},
    sync::atomic::{AtomicI32, Ordering},
};

use libc::{c_int, c_void};
use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit, setrlimit},
};
use syscalls::{Sysno, syscall};

use super::{Until, block::Block};
use crate::{Spec, files, find_program, signals::HANDLED, without_signals};

/// The child makes a dozen system calls on it, and no signal reaches it there: some hundred bytes would do.
const STACK: usize = 16 * 1024;

/// All that the child needs of this process's memory: what it reads, the stack, and the one thing that it writes for
/// others.
pub(super) struct Lent {
    /// In pieces that keep its end aligned as calls demand.
    stack: Box<[u128]>,
    program: CString,
    cwd: CString,
    arguments: Block,
    environment: Block,
    pub(super) streams: [c_int; 3],
    /// The limit of open files, if it is not this process's.
    open_files: Option<Rlimit>,
    /// Why it could not become the program; 0 if it has, or may yet.
    error: AtomicI32,
}

impl Default for Lent {
    fn default() -> Self {
        Self {
            stack: vec![0; STACK / size_of::<u128>()].into_boxed_slice(),
            program: CString::default(),
            cwd: CString::default(),
            arguments: Block::default(),
            environment: Block::default(),
            streams: [-1; 3],
            open_files: None,
            error: AtomicI32::new(0),
        }
    }
}

impl Lent {
    pub(super) fn fill(&mut self, spec: &Spec) -> io::Result<()> {
        self.program = CString::new(locate(&spec.program)?.as_os_str().as_bytes())?;
        self.cwd = CString::new(spec.cwd.as_os_str().as_bytes())?;
        self.arguments.fill_with_arguments(&spec.program, &spec.args)?;
        self.environment.fill_with_environment(&spec.environment)?;
        self.open_files = files::limit_before();
        Ok(())
    }

    /// To be lent again: why the child that had it did not become its program, if so.
    pub(super) fn take_back(&mut self) -> Option<io::Error> {
        self.arguments.clear();
        self.environment.clear();
        match std::mem::take(self.error.get_mut()) {
            0 => None,
            code => Some(io::Error::from_raw_os_error(code)),
        }
    }
}

#[expect(
    unsafe_code,
    reason = "no safe interface starts a process on a stack and with a block that are made already"
)]
pub(super) fn clone(lent: NonNull<Lent>, until: Until) -> Result<Pid, Errno> {
    let wait = match until {
        Until::Process => 0,
        Until::Program => libc::CLONE_VFORK,
    };
    // SAFETY: nobody has it but this function.
    let stack = unsafe { (*lent.as_ptr()).stack.as_mut_ptr_range().end };
    without_signals(|| {
        // SAFETY: the child has what is lent for itself until it has left this memory, and the lender takes nothing back
        // before that; the stack's end is aligned to 16 bytes, and the child uses a fraction of it. All threads of this
        // process may go on, and the child touches nothing that they use: it makes system calls only, without the C
        // library where they may fail (what would be this thread's `errno` is the child's, too), and all signals are
        // blocked in it while handlers of this process could run.
        let pid = unsafe {
            libc::clone(
                become_program,
                stack.cast::<c_void>(),
                libc::CLONE_VM | wait | libc::SIGCHLD,
                lent.as_ptr().cast::<c_void>(),
            )
        };
        // No process has the number 0 or a negative one.
        Pid::from_raw(pid.max(0))
            .ok_or_else(|| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::AGAIN))
    })
}

/// The child, in the memory of its parent.
#[expect(unsafe_code, reason = "what is lent comes as a pointer")]
extern "C" fn become_program(lent: *mut c_void) -> c_int {
    /// What a shell says of a program that it could not start.
    const NOT_STARTED: usize = 127;
    // SAFETY: the lender leaves it alone, and everybody else does not know of it.
    let lent = unsafe { &*lent.cast::<Lent>() };
    if let Err(error) = try_become_program(lent) {
        lent.error.store(error.into_raw(), Ordering::Relaxed);
    }
    loop {
        // SAFETY: it ends the child alone.
        let _ = unsafe { syscall!(Sysno::exit_group, NOT_STARTED) };
    }
}

/// Returns only if it is not the program, with the reason.
#[expect(unsafe_code, reason = "the system calls between clone and exec")]
fn try_become_program(lent: &Lent) -> Result<usize, syscalls::Errno> {
    // SAFETY: everything called here is async-signal-safe and allocates nothing, and what is of the C library can't fail.
    // The pointers are to what is lent.
    unsafe {
        // Before signals are let in: a handler would run in the parent's memory. The runtime ignores SIGPIPE for this
        // process; a child has the usual behaviour.
        for signal in HANDLED.into_iter().chain([libc::SIGPIPE, libc::SIGXFSZ]) {
            libc::signal(signal, libc::SIG_DFL);
        }
        if let Some(limit) = lent.open_files {
            // It is one that this process had: where it can't be had any more, more files do little harm.
            let _ = setrlimit(Resource::Nofile, limit);
        }
        syscall!(Sysno::setpgid, 0, 0)?;
        for (number, stream) in (0..).zip(lent.streams) {
            hand_over(stream, number)?;
        }
        syscall!(Sysno::chdir, lent.cwd.as_ptr())?;
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        let (arguments, environment) = (lent.arguments.as_ptr(), lent.environment.as_ptr());
        syscall!(Sysno::execve, lent.program.as_ptr(), arguments, environment)
    }
}

/// Makes `stream` the file of that number, which stays open in the program.
#[expect(unsafe_code, reason = "the system calls between clone and exec")]
fn hand_over(stream: c_int, number: c_int) -> Result<usize, syscalls::Errno> {
    // SAFETY: both are numbers; what they mean is up to the kernel.
    unsafe {
        match stream == number {
            true => syscall!(Sysno::fcntl, stream, libc::F_SETFD, 0),
            false => syscall!(Sysno::dup3, stream, number, 0),
        }
    }
}

/// A name without a directory is looked for in this process's `PATH`.
fn locate(program: &Path) -> io::Result<Cow<'_, Path>> {
    let bytes = program.as_os_str().as_bytes();
    match (std::str::from_utf8(bytes), bytes.contains(&b'/')) {
        (Ok(name), false) => env::var_os("PATH")
            .and_then(|path| find_program(name, &path))
            .map(Cow::Owned)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT)),
        _ => Ok(Cow::Borrowed(program)),
    }
}
