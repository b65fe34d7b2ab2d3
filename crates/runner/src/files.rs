//! How many nodes can run at once with the files that may be open.

use omne_process::{open_files_limit, raise_open_files};

use crate::RunError;

/// What a run has open besides its nodes: its log, signals, hooks, the places it works in.
const OF_THE_RUN: u64 = 64;
/// What a node may take: two pipes, two captures, what threads that copy much output need, an agent's prompt and stream.
const OF_A_NODE: u64 = 12;

/// As many of `jobs` nodes as may run at once, and what people should know if they are fewer than the `nodes` of the
/// pipe would need. Takes all files that this process may have.
///
/// # Errors
/// When there is not even room for one.
pub(crate) fn room(jobs: usize, nodes: usize) -> Result<(usize, Option<String>), RunError> {
    raise_open_files();
    match open_files_limit() {
        Some(limit) => room_with(limit, jobs, nodes),
        None => Ok((jobs, None)),
    }
}

fn room_with(limit: u64, jobs: usize, nodes: usize) -> Result<(usize, Option<String>), RunError> {
    let room = usize::try_from(limit.saturating_sub(OF_THE_RUN) / OF_A_NODE).unwrap_or(usize::MAX);
    if room == 0 {
        let needed = OF_THE_RUN + OF_A_NODE;
        let message = format!(
            "only {limit} files may be open at once, and a run needs {needed}: raise the limit, `ulimit -n 1024`"
        );
        return Err(RunError::System(message, None));
    }
    if jobs.min(nodes) <= room {
        return Ok((jobs, None));
    }
    let files = OF_THE_RUN + OF_A_NODE * jobs.min(nodes) as u64;
    let warning = format!(
        "{room} node{} at once instead of {jobs}, for only {limit} files may be open: raise the limit, \
         `ulimit -Hn {files}`",
        if room == 1 { " runs" } else { "s run" }
    );
    Ok((room, Some(warning)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_jobs_than_files_for_them() {
        assert_eq!(room_with(1024, 8, 100).unwrap(), (8, None));
        assert_eq!(room_with(1024, 1000, 50).unwrap(), (1000, None), "a pipe of 50 nodes needs no more");
        let (jobs, warning) = room_with(1024, 1000, 1000).unwrap();
        let warning = warning.unwrap();
        assert_eq!(jobs, 80);
        assert!(warning.contains("80 nodes") && warning.contains("ulimit -Hn 12064"), "{warning}");
        assert!(room_with(75, 1, 1).unwrap_err().to_string().contains("a run needs 76"));
    }
}
