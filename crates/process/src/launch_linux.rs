//! Linux: `posix_spawn` with an environment block of which only a process's own
//! part is made anew. The standard library would copy and sort all of it for
//! each process, which costs more than the spawn itself.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    ptr,
};

use libc::{c_char, c_int, c_short};
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::Pid,
};

use crate::{Spec, files::as_before};

/// A process that was started, and the reading ends of its standard output and error.
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Starts the process in a group of its own, with `stdin` as its standard input and pipes for its output.
pub(crate) fn launch(spec: &Spec, stdin: &File) -> io::Result<Launched> {
    let program = text(spec.program.as_os_str().as_bytes())?;
    let cwd = text(spec.cwd.as_os_str().as_bytes())?;
    let mut args = vec![program.clone()];
    for arg in &spec.args {
        args.push(text(arg.as_bytes())?);
    }
    let mut own: Vec<CString> = Vec::with_capacity(spec.environment.own.len());
    for (name, value) in &spec.environment.own {
        let entry = text(&[name.as_bytes(), b"=", value.as_bytes()].concat())?;
        let length = name.as_bytes().len() + 1;
        // The later one of two counts.
        own.retain(|other| !other.as_bytes().starts_with(&entry.as_bytes()[..length]));
        own.push(entry);
    }
    let is_own = |entry: &&CString| {
        let bytes = entry.as_bytes();
        let name = bytes.iter().position(|&b| b == b'=').map_or(bytes, |end| &bytes[..=end]);
        own.iter().any(|own| own.as_bytes().starts_with(name))
    };
    let base = spec.environment.base.entries.iter().filter(|entry| !is_own(entry));
    let environment = pointers(base.chain(&own));
    let arguments = pointers(&args);
    let (stdout, out) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, err) = pipe_with(PipeFlags::CLOEXEC)?;
    let streams = [stdin.as_raw_fd(), out.as_raw_fd(), err.as_raw_fd()];
    let pid = spawn(&program, &cwd, &arguments, &environment, streams)?;
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("the child has no process id"))?;
    Ok(Launched { pid, stdout, stderr })
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "there is a NUL character in it"))
}

/// The null-terminated array that the kernel wants; valid as long as the texts are.
fn pointers<'a>(texts: impl IntoIterator<Item = &'a CString>) -> Vec<*mut c_char> {
    texts.into_iter().map(|text| text.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

#[expect(unsafe_code, reason = "no safe interface to posix_spawn takes an environment that is made already")]
fn spawn(
    program: &CString,
    cwd: &CString,
    arguments: &[*mut c_char],
    environment: &[*mut c_char],
    streams: [c_int; 3],
) -> io::Result<c_int> {
    const FLAGS: c_int =
        libc::POSIX_SPAWN_SETPGROUP | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
    let ok = |code: c_int| if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) };
    let (mut attributes, mut actions) = (Attributes::new()?, Actions::new()?);
    let mut signals = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut pid = 0;
    // SAFETY: `attributes` and `actions` were initialised by their constructors and are destroyed by their drops;
    // the signal set is initialised by sigemptyset before it is read; both arrays end with a null pointer, and all
    // that they and the two paths point to is borrowed from the caller for longer than these calls.
    unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        ok(libc::posix_spawnattr_setsigmask(&raw mut attributes.0, signals.as_ptr()))?;
        // The runtime ignores SIGPIPE for this process; a child has the usual behaviour.
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGPIPE);
        ok(libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, signals.as_ptr()))?;
        ok(libc::posix_spawnattr_setpgroup(&raw mut attributes.0, 0))?;
        ok(libc::posix_spawnattr_setflags(&raw mut attributes.0, FLAGS as c_short))?;
        for (number, stream) in (0..).zip(streams) {
            ok(libc::posix_spawn_file_actions_adddup2(&raw mut actions.0, stream, number))?;
        }
        ok(libc::posix_spawn_file_actions_addchdir_np(&raw mut actions.0, cwd.as_ptr()))?;
        // The child has the limits that hold while it is made. This call opens nothing itself; those before it compare
        // file descriptors with the limit.
        ok(as_before(|| {
            libc::posix_spawnp(
                &raw mut pid,
                program.as_ptr(),
                &raw const actions.0,
                &raw const attributes.0,
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        }))?;
    }
    Ok(pid)
}

struct Attributes(libc::posix_spawnattr_t);

struct Actions(libc::posix_spawn_file_actions_t);

#[expect(unsafe_code, reason = "C initialises these in place")]
impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: the call initialises what it is given a pointer to, or says that it has not.
        match unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) } {
            // SAFETY: it has.
            0 => Ok(Self(unsafe { attributes.assume_init() })),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

#[expect(unsafe_code, reason = "C initialises these in place")]
impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = std::mem::MaybeUninit::uninit();
        // SAFETY: the call initialises what it is given a pointer to, or says that it has not.
        match unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) } {
            // SAFETY: it has.
            0 => Ok(Self(unsafe { actions.assume_init() })),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

#[expect(unsafe_code, reason = "what C initialised, C destroys")]
impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and this is the only place that destroys it.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

#[expect(unsafe_code, reason = "what C initialised, C destroys")]
impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and this is the only place that destroys it.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}
