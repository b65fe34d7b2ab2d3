//! A directory, a cleared environment, and the binary.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A world of its own; it is gone with its owner.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Output {
    /// All of it in one picture, with what changes from run to run replaced.
    pub(crate) fn picture(&self) -> String {
        format!("exit {}\n── stdout\n{}── stderr\n{}", self.code, self.stdout, self.stderr)
    }

    pub(crate) fn run_id(&self) -> &str {
        self.stdout
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("run_id="))
            .unwrap_or_else(|| panic!("{self:?}"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Sandbox {
    /// An empty volume.
    pub(crate) fn new() -> Self {
        let sandbox = Self::bare();
        std::fs::create_dir(sandbox.path(".omne")).unwrap();
        sandbox
    }

    /// A directory that is no volume.
    pub(crate) fn bare() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// A file that can be run.
    pub(crate) fn executable(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        use std::os::unix::fs::PermissionsExt;
        self.file(name, text);
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A pipe of the volume, called `p`, with these nodes.
    pub(crate) fn pipe(&self, nodes: &str) -> &Self {
        self.file(".omne/dist/pipes/p.yaml", format!("name: p\nversion: 1\n{nodes}"))
    }

    pub(crate) fn gate(&self, name: &str, script: &str) -> &Self {
        self.file(&format!(".omne/dist/hooks/{name}.sh"), script)
    }

    /// An agent that does what `script` says when `node` asks it.
    pub(crate) fn agent(&self, node: &str, script: &str) -> &Self {
        let program = Path::new(env!("CARGO_BIN_EXE_omne")).with_file_name("examples/scripted_agent");
        assert!(program.exists(), "`cargo test` builds it; else `cargo build --examples`");
        self.file(".omne/omne.toml", format!("[agents.claude]\nprogram = {program:?}\n"));
        self.file(&format!("agent.{node}"), script)
    }

    /// What an agent was given, call by call.
    pub(crate) fn calls(&self, node: &str) -> Vec<serde_json::Value> {
        let calls = std::fs::read_to_string(self.path(&format!("agent.{node}.calls"))).unwrap_or_default();
        calls.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The events of the newest run, of these types.
    pub(crate) fn events(&self, types: &[&str]) -> Vec<serde_json::Value> {
        let log = std::fs::read_to_string(self.log()).unwrap();
        let events = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        events.filter(|event| types.contains(&event["type"].as_str().unwrap())).collect()
    }

    /// A node of the newest run, as its status tells it.
    pub(crate) fn node(&self, id: &str) -> serde_json::Value {
        let status = self.omne(&["status", "@last", "--json"]).json();
        status["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id).unwrap().clone()
    }

    /// What a node of the newest run printed.
    pub(crate) fn capture(&self, node: &str) -> String {
        std::fs::read_to_string(self.log().with_file_name(format!("nodes/{node}.out"))).unwrap_or_default()
    }

    pub(crate) fn git(&self, args: &[&str]) -> &Self {
        let status = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"])
            .args(args)
            .current_dir(self.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "git {args:?}");
        self
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_omne"));
        command.args(args);
        command
    }

    /// Any program, with the same environment.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.root())
            .env("USER", "tester")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            // The search for a repository ends here, wherever the temporary directory is.
            .env("GIT_CEILING_DIRECTORIES", self.root().parent().unwrap())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn omne(&self, args: &[&str]) -> Output {
        self.finish(self.command(args).output().unwrap())
    }

    pub(crate) fn finish(&self, output: std::process::Output) -> Output {
        Output {
            stdout: self.stable(&String::from_utf8_lossy(&output.stdout)),
            stderr: self.stable(&String::from_utf8_lossy(&output.stderr)),
            code: output.status.code().unwrap_or(-1),
        }
    }

    fn stable(&self, text: &str) -> String {
        text.replace(self.root().to_str().unwrap(), "<root>")
    }

    /// Starts a command and waits until `sign` exists: the sign that it has come that far.
    pub(crate) fn start(&self, args: &[&str], sign: &str) -> Child {
        let child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.wait_for(sign);
        child
    }

    pub(crate) fn wait_for(&self, sign: &str) {
        while !self.path(sign).exists() {
            std::thread::yield_now();
        }
    }

    /// Waits until the log of the only run tells of an event of this type.
    pub(crate) fn wait_for_event(&self, kind: &str) {
        let sign = format!("\"type\":\"{kind}\"");
        let tells = |dir: std::fs::DirEntry| {
            std::fs::read_to_string(dir.path().join("events.jsonl")).is_ok_and(|log| log.contains(&sign))
        };
        let runs = || std::fs::read_dir(self.path(".omne/var/runs")).into_iter().flatten().flatten();
        while !runs().any(tells) {
            std::thread::yield_now();
        }
    }

    pub(crate) fn signal(&self, child: &Child, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The log of the newest run.
    pub(crate) fn log(&self) -> PathBuf {
        let id = self.omne(&["status", "@last", "--json"]).json()["run_id"].as_str().unwrap().to_owned();
        self.path(&format!(".omne/var/runs/{id}/events.jsonl"))
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The state of each node of the newest run.
    pub(crate) fn states(&self) -> String {
        let status = self.omne(&["status", "@last", "--json"]).json();
        let nodes = status["nodes"].as_array().unwrap().iter();
        let states: Vec<String> = nodes
            .map(|node| {
                let error =
                    node["error"]["kind"].as_str().map_or_else(String::new, |kind| format!("({kind})"));
                format!("{} {}{error}", node["id"].as_str().unwrap(), node["state"].as_str().unwrap())
            })
            .collect();
        format!("{}: {}", status["state"].as_str().unwrap(), states.join(", "))
    }
}

impl Drop for Sandbox {
    /// Every test's logs obey the rules, whatever else it looks at.
    fn drop(&mut self) {
        if !std::thread::panicking()
            && self.path(".omne/var/runs").exists()
            && !self.path("damaged-on-purpose").exists()
        {
            let verify = self.omne(&["verify", "--all"]);
            assert_eq!(verify.code, 0, "{}", verify.picture());
        }
    }
}

/// Replaces ids, times and durations.
pub(crate) fn with_filters(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"[0-9a-hjkmnp-tv-z]{26}", "<ulid>");
    settings.add_filter(r"\[ *\d+\.\d{3}\]", "[<time>]");
    settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>");
    settings.add_filter(r"\d+[smhd] ago", "<ago>");
    settings.add_filter(r"\b(\d+(\.\d+)?(ms|s)|\d+m\d\ds)\b", "<duration>");
    // What fills up columns of them.
    settings.add_filter(r"(<duration>|<ago>|TOOK|STARTED) +", "$1 ");
    settings.add_filter(r"process \d+", "process <pid>");
    settings.add_filter(r"pid \d+", "pid <pid>");
    settings.bind(check);
}
