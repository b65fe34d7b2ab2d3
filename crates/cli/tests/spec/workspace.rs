use crate::sandbox::Sandbox;

#[test]
fn a_repository_with_a_commit_gives_a_worktree_of_it() {
    let sandbox = Sandbox::new();
    sandbox
        .file("tracked", "committed")
        .pipe("nodes: [{id: n, bash: 'cat tracked; pwd; echo changed > tracked'}]");
    sandbox.git(&["init"]).git(&["add", "tracked"]).git(&["commit", "-m", "x"]);
    sandbox.file("tracked", "not committed");
    let run = sandbox.omne(&["run", "p"]);
    let id = run.run_id();
    assert_eq!(sandbox.omne(&["logs", "@last", "n"]).stdout, format!("committed<root>/.omne/wt/{id}\n"));
    assert_eq!(sandbox.read("tracked"), "not committed");
    let snapshot = sandbox.omne(&["replay", "@last", "--format", "snapshot"]).stdout;
    assert!(!snapshot.contains("<root>"), "{snapshot}");
    let head = std::fs::read_to_string(sandbox.path(".git/refs/heads/main")).unwrap();
    let log = std::fs::read_to_string(sandbox.log()).unwrap();
    assert!(log.contains(&format!("\"base_commit\":\"{}\"", head.trim())));
    // Cleaning removes the worktree through git, which then knows of none.
    assert_eq!(sandbox.omne(&["clean", "--older-than", "0"]).code, 0);
    assert!(!sandbox.path(&format!(".omne/wt/{id}")).exists());
    assert!(!sandbox.path(&format!(".git/worktrees/{id}")).exists());
}

#[test]
fn a_repository_without_a_commit_gets_a_warning_and_runs_in_place() {
    let sandbox = Sandbox::new();
    sandbox.git(&["init"]).pipe("nodes: [{id: n, bash: pwd}]");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("warning: the git repository has no commit yet"), "{run:?}");
    assert_eq!(sandbox.omne(&["logs", "@last", "n"]).stdout, "<root>\n");
}

#[test]
fn a_repository_that_git_can_not_use_runs_in_place_with_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.file("f", "").pipe("nodes: [{id: n, bash: pwd}]");
    sandbox.git(&["init"]).git(&["add", "f"]).git(&["commit", "-m", "x"]);
    sandbox.file(".git/HEAD", "garbage");
    let run = sandbox.omne(&["run", "p"]);
    assert!(run.code == 0 && run.stderr.contains("warning: git can not use the repository: "), "{run:?}");
    assert_eq!(sandbox.omne(&["run", "p", "--workspace", "worktree"]).code, 2);
    assert!(sandbox.omne(&["doctor"]).stdout.contains("it can not use the repository here"));
}

#[test]
fn a_worktree_that_is_asked_for_and_not_possible_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: n, bash: pwd}]");
    let run = sandbox.omne(&["run", "p", "--workspace", "worktree"]);
    insta::assert_snapshot!(run.picture());
    assert!(
        !sandbox.path(".omne/var/runs").exists()
            || sandbox.path(".omne/var/runs").read_dir().unwrap().next().is_none()
    );
}

#[test]
fn a_volume_below_the_top_of_its_repository_runs_at_the_same_place_in_the_worktree() {
    let sandbox = Sandbox::bare();
    sandbox.file("sub/.omne/dist/pipes/p.yaml", "name: p\nversion: 1\nnodes: [{id: n, bash: ls}]");
    sandbox.file("sub/here", "").file("above", "");
    sandbox.git(&["init"]).git(&["add", "sub/here", "above"]).git(&["commit", "-m", "x"]);
    let volume = sandbox.path("sub");
    let run = sandbox.omne(&["--volume", volume.to_str().unwrap(), "run", "p"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(sandbox.omne(&["--volume", volume.to_str().unwrap(), "logs", "@last", "n"]).stdout, "here\n");
    // Also when the worktree has to be made anew.
    std::fs::remove_dir_all(sandbox.path("sub/.omne/wt")).unwrap();
    assert_eq!(
        sandbox.omne(&["--volume", volume.to_str().unwrap(), "resume", "@last", "--from", "n"]).code,
        0
    );
    assert_eq!(sandbox.omne(&["--volume", volume.to_str().unwrap(), "logs", "@last", "n"]).stdout, "here\n");
}

#[test]
fn a_worktree_that_is_gone_takes_its_completed_nodes_with_it() {
    let sandbox = Sandbox::new();
    sandbox
        .file("f", "")
        .pipe("nodes: [{id: a, bash: touch made}, {id: b, depends_on: [a], bash: test -e nothing}]");
    sandbox.git(&["init"]).git(&["add", "f"]).git(&["commit", "-m", "x"]);
    sandbox.omne(&["run", "p"]);
    std::fs::remove_dir_all(sandbox.path(".omne/wt")).unwrap();
    let resume = sandbox.omne(&["resume", "@last"]);
    assert_eq!(resume.code, 2, "{resume:?}");
    assert!(resume.stderr.contains("is gone"), "{resume:?}");
    let plan = sandbox.omne(&["resume", "@last", "--dry-run"]);
    assert!(plan.code == 2 && plan.stderr.contains("is gone"), "{plan:?}");
    // With nothing to be kept it is made anew.
    assert_eq!(sandbox.omne(&["resume", "@last", "--from", "a"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a completed, b failed(crash)");
}

#[test]
fn cleaning_tells_git_of_a_worktree_that_was_deleted_by_hand() {
    let sandbox = Sandbox::new();
    sandbox.file("f", "").pipe("nodes: [{id: a, bash: 'true'}]");
    sandbox.git(&["init"]).git(&["add", "f"]).git(&["commit", "-m", "x"]);
    let run = sandbox.omne(&["run", "p"]);
    let id = run.run_id();
    std::fs::remove_dir_all(sandbox.path(".omne/wt")).unwrap();
    assert!(sandbox.path(&format!(".git/worktrees/{id}")).exists());
    assert_eq!(sandbox.omne(&["clean", "--older-than", "0"]).code, 0);
    assert!(!sandbox.path(&format!(".git/worktrees/{id}")).exists());
}

#[test]
fn a_repository_with_line_breaks_in_its_path_is_found_whole() {
    let sandbox = Sandbox::bare();
    let text = "name: p\nversion: 1\nnodes: [{id: a, bash: 'true'}]";
    sandbox.file("a\nb/p.yaml", text);
    let inside = sandbox.path("a\nb");
    let git = |args: &[&str]| {
        let at = ["-C", inside.to_str().unwrap(), "-c", "user.name=x", "-c", "user.email=x@x"];
        let done = std::process::Command::new("git").args(at).args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "x"]);
    let run = sandbox.command(&["run", "./p.yaml"]).current_dir(&inside).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    assert!(inside.join(".omne/wt").is_dir());
    assert!(!sandbox.path("a").exists());
}

#[test]
fn a_place_in_a_worktree_that_is_gone_is_not_another_place() {
    let sandbox = Sandbox::bare();
    sandbox.file(
        "sub/.omne/dist/pipes/p.yaml",
        "name: p\nversion: 1\nnodes: [{id: a, bash: 'rm -r \"$OMNE_WORKTREE\"'}, {id: b, depends_on: [a], bash: ls}]",
    );
    sandbox.file("sub/here", "").file("above", "");
    sandbox.git(&["init"]).git(&["add", "sub/here", "above"]).git(&["commit", "-m", "x"]);
    let volume = sandbox.path("sub");
    let omne = |args: &[&str]| sandbox.omne(&[&["--volume", volume.to_str().unwrap()], args].concat());
    assert_eq!(omne(&["run", "p"]).code, 1);
    let resume = omne(&["resume", "@last"]);
    assert!(resume.code == 2 && resume.stderr.contains("is gone"), "{resume:?}");
    // With nothing to be kept it is made anew.
    assert_eq!(omne(&["resume", "@last", "--from", "a"]).code, 1);
}

#[test]
fn a_run_from_a_git_hook_leaves_the_index_alone() {
    let sandbox = Sandbox::new();
    sandbox.file("f", "").pipe("nodes: [{id: n, bash: 'true'}]");
    sandbox.git(&["init"]).git(&["add", "f"]).git(&["commit", "-m", "x"]);
    sandbox.file("staged", "").git(&["add", "staged"]);
    let index = std::fs::read(sandbox.path(".git/index")).unwrap();
    let mut run = sandbox.command(&["run", "p", "-q"]);
    let run = run
        .env("GIT_INDEX_FILE", ".git/index")
        .env("GIT_DIR", ".git")
        .env("GIT_PREFIX", "")
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    assert_eq!(std::fs::read(sandbox.path(".git/index")).unwrap(), index);
}
