//! Programs that belong to others, and may not be there.

use std::path::PathBuf;

/// Where a program is; `None`, with the reason printed, when it is not there.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    find_one_of(&[program])
}

/// The same for a program that has several names.
pub(crate) fn find_one_of(programs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut paths = programs.iter().flat_map(|program| dirs.iter().map(move |dir| dir.join(program)));
    let found = paths.find(|path| path.is_file());
    let names = programs.join("`, `");
    // Where they were installed on purpose, a missing one is a fault and no reason to skip.
    assert!(found.is_some() || std::env::var_os("OMNE_REAL_PROGRAMS").is_none(), "`{names}` is missing");
    if found.is_none() {
        eprintln!("skipped: there is no `{names}` in PATH");
    }
    found
}
