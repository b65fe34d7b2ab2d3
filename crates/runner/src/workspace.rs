//! Where nodes run: a detached git worktree, or in place.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use omne_events::{RunId, Workspace, WorkspaceMode};
use omne_process::run_to_end;

use crate::Volume;

/// Why a workspace can't be had.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A worktree was asked for where there can be none.
    #[error("a worktree is not possible: {0}")]
    Impossible(String),
    /// The volume's path has no text.
    #[error("the path of the volume, `{}`, is not UTF-8", .0.display())]
    NotText(PathBuf),
    /// Git refused.
    #[error("git can not make the worktree: {0}")]
    Git(String),
    /// Git could not be run.
    #[error("cannot run git")]
    Run(#[source] io::Error),
    /// The worktree of a run is gone, and completed nodes had worked in it.
    #[error("the worktree `{}` of this run is gone, and with it what its completed nodes made", .0.display())]
    Gone(PathBuf),
}

/// What can be said of the git repository that a directory is in.
struct Repository {
    top: PathBuf,
    head: Option<String>,
}

/// Which workspace a run gets, and what people should know about that choice.
pub(crate) struct Choice {
    pub(crate) mode: WorkspaceMode,
    pub(crate) top: PathBuf,
    pub(crate) head: Option<String>,
    /// A warning, if the choice is not what one would expect.
    pub(crate) warning: Option<String>,
}

/// The workspace for a run in `volume`: what is asked for, else a worktree where that is possible.
pub(crate) fn choose(volume: &Volume, asked: Option<WorkspaceMode>) -> Result<Choice, WorkspaceError> {
    let root = |warning: Option<&str>| Choice {
        mode: WorkspaceMode::Root,
        top: volume.root().to_owned(),
        head: None,
        warning: warning.map(str::to_owned),
    };
    if asked == Some(WorkspaceMode::Root) {
        return Ok(root(None));
    }
    let wanted = asked == Some(WorkspaceMode::Worktree);
    let why = match repository(volume.root()) {
        Some(Ok(Repository { top, head: Some(head) })) => {
            return Ok(Choice { mode: WorkspaceMode::Worktree, top, head: Some(head), warning: None });
        }
        Some(Ok(Repository { head: None, .. })) => "the git repository has no commit yet".to_owned(),
        Some(Err(error)) => format!("git can not use the repository: {error}"),
        None if wanted => return Err(WorkspaceError::Impossible("there is no git repository".to_owned())),
        None => return Ok(root(None)),
    };
    match wanted {
        true => Err(WorkspaceError::Impossible(why)),
        false => Ok(root(Some(&format!("{why}, so nodes run in place")))),
    }
}

/// What git sets for its hooks, and what would lead it to another repository or index than that of the directory.
pub(crate) const LOCAL_TO_A_REPOSITORY: [&str; 10] = [
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_WORK_TREE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_CONFIG_PARAMETERS",
];

pub(crate) fn git(directory: &Path, args: &[&OsStr]) -> io::Result<omne_process::Output> {
    git_without(directory, args, &[])
}

/// The same without further variables: those that hold secrets, where git may run hooks of the repository.
pub(crate) fn git_without(
    directory: &Path,
    args: &[&OsStr],
    withheld: &[&str],
) -> io::Result<omne_process::Output> {
    run_to_end("git", args, directory, &[&LOCAL_TO_A_REPOSITORY, withheld].concat())
}

/// The repository that a directory is in, if it seems to be in one, or what git says against it.
fn repository(directory: &Path) -> Option<Result<Repository, String>> {
    // Asking git costs milliseconds; without a `.git` above there is nothing to ask.
    directory.ancestors().find(|above| above.join(".git").exists())?;
    let line = |args: &[&str]| {
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        let output = git(directory, &args).map_err(|error| error.to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(said.lines().next().unwrap_or("it says nothing").to_owned());
        }
        let text = String::from_utf8(output.stdout).map_err(|_| "its path is not UTF-8".to_owned())?;
        // A path may have line breaks, even at its end.
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    };
    // Both in one call where there is a commit.
    let both = line(&["rev-parse", "--show-toplevel", "--verify", "HEAD^{commit}"]);
    Some(match both.as_deref().ok().and_then(|text| text.rsplit_once('\n')) {
        Some((top, head)) => Ok(Repository { top: top.into(), head: Some(head.to_owned()) }),
        None => match (line(&["rev-parse", "--show-toplevel"]), line(&["rev-parse", "--verify", "HEAD"])) {
            // There is a commit, but not all of it.
            (Ok(_), Ok(_)) => Err(both.err().unwrap_or_default()),
            (Ok(top), Err(_)) => Ok(Repository { top: top.into(), head: None }),
            (Err(error), _) => Err(error),
        },
    })
}

/// The top of the git repository that `directory` is in.
pub(crate) fn repository_top(directory: &Path) -> Option<PathBuf> {
    repository(directory)?.ok().map(|repository| repository.top)
}

impl Choice {
    /// Makes the workspace of a run.
    pub(crate) fn make(
        &self,
        volume: &Volume,
        run: &RunId,
        withheld: &[&str],
    ) -> Result<Workspace, WorkspaceError> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let Some(head) = &self.head else {
            return Ok(Workspace { mode: self.mode, path: text(volume.root()), base_commit: None });
        };
        let tree = volume.place("wt").join(run.as_str());
        add_worktree(volume, &tree, head, withheld)?;
        // The volume may lie below the repository's top: then nodes run at the same place in the worktree.
        let root = volume.root().canonicalize().unwrap_or_else(|_| volume.root().to_owned());
        let top = self.top.canonicalize().unwrap_or_else(|_| self.top.clone());
        let place = inside(&tree, root.strip_prefix(&top).unwrap_or(Path::new("")));
        Ok(Workspace { mode: self.mode, path: text(&place), base_commit: Some(head.clone()) })
    }
}

/// The place `below` in the worktree `tree`, if it is there; else the whole.
fn inside(tree: &Path, below: &Path) -> PathBuf {
    let place = tree.join(below);
    // A link in the commit may stand where the volume has a directory.
    let is_inside = || Some(place.canonicalize().ok()?.starts_with(tree.canonicalize().ok()?));
    // Joining nothing would leave a slash at the end.
    if below.as_os_str().is_empty() || !place.is_dir() || is_inside() != Some(true) {
        tree.to_owned()
    } else {
        place
    }
}

/// Lets one process at a time change the worktrees of a volume: git reads the entries of all others meanwhile, and fails
/// on one that is not whole yet. The lock goes with what is returned.
fn alone(volume: &Volume) -> Option<File> {
    let directory = volume.place("wt");
    std::fs::create_dir_all(&directory).ok()?;
    let directory = File::open(directory).ok()?;
    // Where there are no locks git is asked all the same.
    directory.lock().ok()?;
    Some(directory)
}

fn add_worktree(volume: &Volume, tree: &Path, commit: &str, withheld: &[&str]) -> Result<(), WorkspaceError> {
    let _alone = alone(volume);
    let args = [OsStr::new("worktree"), OsStr::new("add"), OsStr::new("--detach"), OsStr::new("--quiet")];
    let args: Vec<&OsStr> = args.into_iter().chain([tree.as_os_str(), OsStr::new(commit)]).collect();
    let output = git_without(volume.root(), &args, withheld).map_err(WorkspaceError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    Err(WorkspaceError::Git(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// What a worktree holds for a run that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// What nodes made that do not run again.
    Work,
    /// Nothing that is missed.
    Nothing,
}

/// The worktree of a run, and where in it the run worked, also if the volume was moved since.
fn tree_of<'r>(volume: &Volume, run: &RunId, recorded: &'r Workspace) -> (PathBuf, &'r str) {
    let marker = format!("/.omne/wt/{run}");
    let below = recorded.path.rsplit_once(&marker).map_or("", |(_, below)| below.trim_matches('/'));
    (volume.place("wt").join(run.as_str()), below)
}

/// Whether the workspace of a run that would go on is there.
///
/// # Errors
/// When it is not, and what nodes made in it would be missed.
pub(crate) fn has_what_it_held(
    volume: &Volume,
    run: &RunId,
    recorded: &Workspace,
    what_it_holds: Held,
) -> Result<bool, WorkspaceError> {
    let (tree, below) = tree_of(volume, run, recorded);
    // Joining nothing would leave a slash at the end.
    let place = if below.is_empty() { tree } else { tree.join(below) };
    match recorded.base_commit.is_none() || place.is_dir() {
        false if what_it_holds == Held::Work => Err(WorkspaceError::Gone(place)),
        is_there => Ok(is_there),
    }
}

/// The workspace of a run that goes on. A worktree that is gone is made anew only if nothing in it is missed.
pub(crate) fn reopen(
    volume: &Volume,
    run: &RunId,
    recorded: &Workspace,
    what_it_holds: Held,
    withheld: &[&str],
) -> Result<PathBuf, WorkspaceError> {
    let Some(commit) = &recorded.base_commit else { return Ok(volume.root().to_owned()) };
    let (tree, below) = tree_of(volume, run, recorded);
    if !has_what_it_held(volume, run, recorded, what_it_holds)? {
        // Something may be left, and git may still list what was deleted by hand.
        remove(volume, run)?;
        let _ = git(volume.root(), &["worktree", "prune"].map(OsStr::new));
        add_worktree(volume, &tree, commit, withheld)?;
    }
    Ok(inside(&tree, Path::new(below)))
}

/// Whether git seems to know of a worktree of a run, which may have been deleted by hand.
fn is_registered(volume: &Volume, run: &RunId) -> bool {
    let git = volume.root().ancestors().map(|above| above.join(".git")).find(|git| git.exists());
    // In a worktree itself, only git knows where the repository is.
    git.is_some_and(|git| !git.is_dir() || git.join("worktrees").join(run.as_str()).exists())
}

/// Removes the worktree of a run, if it has one.
///
/// # Errors
/// What git says, or why it could not be asked.
pub(crate) fn remove(volume: &Volume, run: &RunId) -> Result<(), WorkspaceError> {
    let tree = volume.place("wt").join(run.as_str());
    if !tree.exists() && !is_registered(volume, run) {
        return Ok(());
    }
    let args = [OsStr::new("worktree"), OsStr::new("remove"), OsStr::new("--force"), OsStr::new("--force")];
    let args: Vec<&OsStr> = args.into_iter().chain([tree.as_os_str()]).collect();
    let _alone = alone(volume);
    match git(volume.root(), &args) {
        Ok(output) if output.status.success() => Ok(()),
        // A repository that is gone or was moved has nothing to say about it.
        _ if !tree.exists() => Ok(()),
        _ => std::fs::remove_dir_all(&tree).map_err(WorkspaceError::Run),
    }
}
