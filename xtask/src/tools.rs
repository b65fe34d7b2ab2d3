//! Other programs that run graphs of shell steps: found where they are installed, and each given the same work.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{files::Shape, machine::first_line, measure::Measured};

/// A program that others would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Ninja,
    Make,
    Xargs,
    Parallel,
    Seed,
    Doit,
    Luigi,
    Snakemake,
    Dagu,
}

impl Peer {
    const ALL: [Peer; 9] = [
        Peer::Ninja,
        Peer::Make,
        Peer::Xargs,
        Peer::Parallel,
        Peer::Seed,
        Peer::Doit,
        Peer::Luigi,
        Peer::Snakemake,
        Peer::Dagu,
    ];

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Ninja => "ninja",
            Peer::Make => "GNU make",
            Peer::Xargs => "xargs",
            Peer::Parallel => "GNU parallel",
            Peer::Seed => "omne-cli 0.2",
            Peer::Doit => "doit",
            Peer::Luigi => "luigi",
            Peer::Snakemake => "snakemake",
            Peer::Dagu => "dagu",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Peer::Ninja => "ninja",
            Peer::Make => "make",
            Peer::Xargs => "xargs",
            Peer::Parallel => "parallel",
            Peer::Seed => "omne",
            Peer::Doit => "doit",
            Peer::Luigi => "luigi",
            Peer::Snakemake => "snakemake",
            Peer::Dagu => "dagu",
        }
    }

    /// How it comes onto a machine.
    fn install(self) -> &'static str {
        match self {
            Peer::Ninja => "apt-get install ninja-build",
            Peer::Make => "apt-get install make",
            Peer::Xargs => "apt-get install findutils",
            Peer::Parallel => "apt-get install parallel",
            Peer::Seed => "cargo install omne-cli --version 0.2.1 --root target/peers",
            Peer::Doit | Peer::Luigi | Peer::Snakemake => {
                "python3 -m venv target/peers && target/peers/bin/pip install doit luigi snakemake"
            }
            Peer::Dagu => "see its own site",
        }
    }

    /// The most nodes of that shape that it is given; beyond that it takes minutes.
    pub(crate) fn most(self, shape: Shape) -> usize {
        match (self, shape) {
            (Peer::Ninja | Peer::Make, _) => 10_000,
            (Peer::Xargs | Peer::Parallel | Peer::Doit, Shape::Wide) | (Peer::Seed, _) => 1_000,
            (Peer::Luigi | Peer::Snakemake | Peer::Dagu, Shape::Wide) | (Peer::Doit, _) => 100,
            // They know no dependencies, or take seconds to say what they say of a wide graph.
            (Peer::Xargs | Peer::Parallel | Peer::Luigi | Peer::Snakemake | Peer::Dagu, _) => 0,
        }
    }
}

/// A peer that is installed.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) peer: Peer,
    pub(crate) program: PathBuf,
    pub(crate) version: String,
}

/// All that are installed in `PATH` or in `target/peers/bin`, and for each other one why it is left out.
pub(crate) fn find() -> (Vec<Tool>, Vec<String>) {
    let mut directories = vec![crate::workspace().join("target/peers/bin")];
    directories.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for peer in Peer::ALL {
        let tool = directories
            .iter()
            .map(|directory| directory.join(peer.program()))
            .filter(|program| program.is_file())
            .find_map(|program| version(peer, &program).map(|version| Tool { peer, program, version }));
        match tool {
            Some(tool) => found.push(tool),
            None => missing.push(format!("{}: not installed ({})", peer.name(), peer.install())),
        }
    }
    (found, missing)
}

fn version(peer: Peer, program: &Path) -> Option<String> {
    let program = program.to_string_lossy();
    match peer {
        Peer::Luigi => {
            let python = Path::new(&*program).with_file_name("python3");
            let code = "import importlib.metadata as m; print(m.version('luigi'))";
            first_line(&python.to_string_lossy(), &["-c", code])
        }
        Peer::Dagu => first_line(&program, &["version"]),
        // This program has the same name in its later versions, which are no peers.
        Peer::Seed => first_line(&program, &["--version"]).filter(|version| version.contains(" 0.2.")),
        _ => first_line(&program, &["--version"]),
    }
}

impl Tool {
    /// What runs the graph in `directory`, `jobs` at once.
    pub(crate) fn prepare(
        &self,
        directory: &Path,
        shape: Shape,
        nodes: usize,
        body: &str,
        jobs: usize,
    ) -> Result<Measured> {
        std::fs::create_dir_all(directory)?;
        let write = |name: &str, text: &str| -> Result<()> {
            let path = directory.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
        };
        let run = |args: &str| Measured::new(&self.program, directory, args);
        Ok(match self.peer {
            Peer::Ninja => {
                write("build.ninja", &ninja(shape, nodes, body))?;
                run(&format!("-j{jobs} --quiet")).leaving(&[".ninja_log", ".ninja_deps"])
            }
            Peer::Make => {
                write("Makefile", &make(shape, nodes, body))?;
                run(&format!("-j{jobs} -s"))
            }
            Peer::Xargs => {
                write("items", &(0..nodes).fold(String::new(), |text, node| text + &format!("{node}\n")))?;
                let mut what = run(&format!("-a items -n1 -P{jobs} sh -c"));
                what.args.push(body.into());
                what
            }
            Peer::Parallel => {
                write("commands", &format!("{body}\n").repeat(nodes))?;
                run(&format!("--will-cite -j{jobs} -a commands"))
            }
            Peer::Seed => {
                write(".omne/dist/pipes/x.md", &format!("---\n{}---\n", seed(shape, nodes, body)))?;
                repository(directory)?;
                run("run x").leaving(&[".omne/var", ".omne/wt", ".git/worktrees"])
            }
            Peer::Doit => {
                write("dodo.py", &doit(shape, nodes, body))?;
                run(&format!("-n {jobs} -v 0 --db-file state.db")).leaving(&["state.db"])
            }
            Peer::Luigi => {
                write("graph.py", &luigi(shape, nodes, body))?;
                let mut what = run(&format!(
                    "-m luigi --module graph All --local-scheduler --workers {jobs} --log-level ERROR"
                ))
                .with_fresh(&["done"]);
                what.program = self.program.with_file_name("python3");
                what
            }
            Peer::Snakemake => {
                write("Snakefile", &snakemake(shape, nodes, body))?;
                run(&format!("-c{jobs} --quiet all")).leaving(&[".snakemake"]).with_fresh(&["done"])
            }
            Peer::Dagu => {
                write("x.yaml", &dagu(shape, nodes, body, jobs))?;
                run("start x.yaml")
            }
        })
    }
}

fn names(shape: Shape, node: usize) -> Vec<String> {
    shape.dependencies(node).into_iter().map(|node| format!("n{node}")).collect()
}

fn ninja(shape: Shape, nodes: usize, body: &str) -> String {
    let mut text = format!("rule r\n  command = {body}\n");
    for node in 0..nodes {
        let _ = writeln!(text, "build n{node}: r {}", names(shape, node).join(" "));
    }
    text
}

/// The semicolon makes it start a shell for each, as the others do.
fn make(shape: Shape, nodes: usize, body: &str) -> String {
    let all: Vec<String> = (0..nodes).map(|node| format!("n{node}")).collect();
    let mut text = format!(".PHONY: all {0}\nall: {0}\n", all.join(" "));
    for node in 0..nodes {
        let _ = writeln!(text, "n{node}: {}\n\t@{body} ;", names(shape, node).join(" "));
    }
    text
}

fn seed(shape: Shape, nodes: usize, body: &str) -> String {
    shape.pipe(nodes, body).replace("workspace: root\n", "")
}

/// It works in a git worktree alone.
fn repository(directory: &Path) -> Result<()> {
    if directory.join(".git").exists() {
        return Ok(());
    }
    let author = ["-c", "user.name=x", "-c", "user.email=x@localhost"];
    for args in [&["init", "-q"][..], &["commit", "-q", "--allow-empty", "-m", "x"]] {
        if !Command::new("git").args(author).args(args).current_dir(directory).status()?.success() {
            bail!("`git` could not make a repository in `{}`", directory.display());
        }
    }
    Ok(())
}

fn doit(shape: Shape, nodes: usize, body: &str) -> String {
    let mut text = String::from("def task_x():\n");
    for node in 0..nodes {
        let before: Vec<String> = names(shape, node).iter().map(|name| format!("x:{name}")).collect();
        let _ =
            writeln!(text, "    yield {{'name': 'n{node}', 'actions': [{body:?}], 'task_dep': {before:?}}}");
    }
    text
}

fn luigi(shape: Shape, nodes: usize, body: &str) -> String {
    let all: Vec<Vec<usize>> = (0..nodes).map(|node| shape.dependencies(node)).collect();
    format!(
        "import luigi, subprocess\nD = {all:?}\nclass N(luigi.Task):\n    i = luigi.IntParameter()\n    \
         def requires(self):\n        return [N(i=d) for d in D[self.i]]\n    \
         def output(self):\n        return luigi.LocalTarget('done/%d' % self.i)\n    \
         def run(self):\n        subprocess.run(['sh', '-c', {body:?}], check=True)\n        \
         self.output().open('w').close()\n\
         class All(luigi.WrapperTask):\n    def requires(self):\n        return [N(i=i) for i in range({nodes})]\n"
    )
}

fn snakemake(shape: Shape, nodes: usize, body: &str) -> String {
    let all: Vec<Vec<usize>> = (0..nodes).map(|node| shape.dependencies(node)).collect();
    format!(
        "D = {all:?}\nrule all:\n    input: ['done/%d' % i for i in range({nodes})]\n\
         rule n:\n    input: lambda w: ['done/%d' % d for d in D[int(w.i)]]\n    \
         output: touch('done/{{i}}')\n    shell: {body:?}\n"
    )
}

fn dagu(shape: Shape, nodes: usize, body: &str, jobs: usize) -> String {
    let mut text = format!("type: graph\nmaxActiveSteps: {jobs}\nsteps:\n");
    for node in 0..nodes {
        let before = names(shape, node);
        let _ = writeln!(text, "  - name: n{node}\n    command: sh -c {body:?}\n    depends: {before:?}");
    }
    text
}
