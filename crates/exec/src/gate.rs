//! The gate after a node: a script of the volume that says yes by ending well.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use omne_events::ErrorKind;

use crate::node::verdict::{Failure, of_spawn};

/// The exit code by which a gate asks people, with its output as the question: `EX_TEMPFAIL` of sysexits.
pub(crate) const ASKS: i32 = 75;

/// How long a gate may take.
pub const GATE_TIMEOUT: Duration = Duration::from_secs(60);

/// The script of the gate `name`, if it is a plain file where gates are.
///
/// # Errors
/// Why it can't be used, for people.
pub fn gate_path(volume: &Path, name: &str) -> Result<PathBuf, String> {
    let path = volume.join(".omne/dist/hooks").join(format!("{name}.sh"));
    let shown = shown(name);
    match std::fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(found) if found.is_symlink() => {
            Err(format!("`{shown}` is a symbolic link; a gate has to be a plain file"))
        }
        Ok(_) => Err(format!("`{shown}` is not a file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("`{shown}` does not exist"))
        }
        Err(error) => Err(format!("`{shown}` can not be read: {error}")),
    }
}

/// What people call the script of the gate `name`.
fn shown(name: &str) -> String {
    format!(".omne/dist/hooks/{name}.sh")
}

/// Why the gate `name` could not be started, by what its first line names or by `shell`.
pub(crate) fn not_started(volume: &Path, name: &str, shell: &Path, error: &io::Error) -> Failure {
    let shown = shown(name);
    let is_its_own = gate_path(volume, name).is_ok_and(|script| names_its_interpreter(&script));
    match (is_its_own, error.kind()) {
        (true, io::ErrorKind::NotFound) => {
            let message =
                format!("cannot start `{shown}`: the program that its first line names does not exist");
            Failure::new(ErrorKind::SpawnFailed, message)
        }
        (true, _) => of_spawn(error, volume, Path::new(&shown)),
        (false, _) => of_spawn(error, volume, shell),
    }
}

/// The program and arguments by which the gate `name` is run; `shell` runs a script that does not say what runs it.
///
/// # Errors
/// Why it can't be used, for people.
pub fn gate_command(
    volume: &Path,
    name: &str,
    shell: impl Into<PathBuf>,
) -> Result<(PathBuf, Vec<OsString>), String> {
    let script = gate_path(volume, name)?;
    Ok(match names_its_interpreter(&script) {
        true => (script, Vec::new()),
        false => (shell.into(), vec![script.into()]),
    })
}

/// Whether a script is executable and begins with `#!`: then it is run by what it names, else by `sh`.
fn names_its_interpreter(script: &Path) -> bool {
    use std::{io::Read, os::unix::fs::PermissionsExt};
    let mut begin = [0; 2];
    omne_events::open_plain(script).is_ok_and(|mut file| {
        let executable = file.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
        executable && file.read_exact(&mut begin).is_ok() && begin == *b"#!"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_script_says_what_runs_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.sh");
        for (text, mode, names) in
            [("#!/bin/sh\n", 0o755, true), ("#!/bin/sh\n", 0o644, false), ("exit 0", 0o755, false)]
        {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(names_its_interpreter(&path), names);
        }
    }

    #[test]
    fn only_a_plain_file_is_a_gate() {
        let volume = tempfile::tempdir().unwrap();
        let hooks = volume.path().join(".omne/dist/hooks");
        std::fs::create_dir_all(hooks.join("dir.sh")).unwrap();
        std::fs::write(hooks.join("ok.sh"), "exit 0").unwrap();
        std::os::unix::fs::symlink("/bin/true", hooks.join("link.sh")).unwrap();
        assert!(gate_path(volume.path(), "ok").is_ok());
        for (name, why) in [("link", "symbolic link"), ("dir", "not a file"), ("none", "does not exist")] {
            assert!(gate_path(volume.path(), name).unwrap_err().contains(why));
        }
    }
}
