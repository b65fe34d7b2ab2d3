//! A volume, an agent program, and an API that answers as scripted.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use crate::programs::find;

pub(crate) struct World {
    dir: tempfile::TempDir,
    port: u16,
    api: Option<Child>,
}

impl World {
    /// A volume whose agents talk to a scripted API; `None` when `claude` or Python is not there.
    pub(crate) fn with_claude(replies: &Value) -> Option<Self> {
        find("claude")?;
        let python = find("python3")?;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".omne/dist/pipes")).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        let (script, port_file) = (dir.path().join("replies.json"), dir.path().join("port"));
        std::fs::write(&script, replies.to_string()).unwrap();
        let server =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/claude-stream/fake_anthropic_api.py");
        let api = Command::new(python)
            .args([Path::new(server), "--script".as_ref(), &script, "--port-file".as_ref(), &port_file])
            .args(["--log".as_ref(), dir.path().join("api.log").as_os_str()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut world = Self { dir, port: 0, api: Some(api) };
        world.wait_for(|| port_file.exists());
        world.port = std::fs::read_to_string(&port_file).unwrap().trim().parse().unwrap();
        Some(world)
    }

    /// A volume without agents.
    pub(crate) fn without_api() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".omne/dist/pipes")).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir, port: 0, api: None }
    }

    /// A volume whose agents get `body` as the answer to every request.
    pub(crate) fn with_answer(body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let _ = answer(&mut stream, body);
                });
            }
        });
        let mut world = Self::without_api();
        world.port = port;
        world
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Makes a file a program.
    pub(crate) fn executable(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Copies a directory into the volume.
    pub(crate) fn copy(&self, from: &Path) -> &Self {
        let status = Command::new("cp").arg("-R").arg(from.join(".")).arg(self.dir.path()).status().unwrap();
        assert!(status.success());
        self
    }

    pub(crate) fn pipe(&self, nodes: &str) -> &Self {
        self.file(".omne/dist/pipes/p.yaml", &format!("name: p\nversion: 1\n{nodes}"))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omne"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("USER", "tester")
            .env("GIT_CEILING_DIRECTORIES", self.dir.path().parent().unwrap())
            // No key is needed, and nothing beyond loopback is asked.
            .env("ANTHROPIC_API_KEY", "none")
            .env("ANTHROPIC_BASE_URL", self.url())
            .env("CLAUDE_CODE_MAX_RETRIES", "0")
            .env("DISABLE_TELEMETRY", "1")
            .env("DISABLE_ERROR_REPORTING", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn omne(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The exit code; what was printed goes to the test's own output.
    pub(crate) fn code(&self, args: &[&str]) -> i32 {
        let output = self.omne(args);
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        output.status.code().unwrap()
    }

    pub(crate) fn stdout(&self, args: &[&str]) -> String {
        String::from_utf8(self.omne(args).stdout).unwrap()
    }

    pub(crate) fn wait_for(&self, until: impl Fn() -> bool) {
        let since = std::time::Instant::now();
        while !until() {
            assert!(since.elapsed().as_secs() < 60, "it does not happen");
            std::thread::yield_now();
        }
    }

    fn log(&self) -> Option<PathBuf> {
        let mut runs: Vec<PathBuf> = std::fs::read_dir(self.path(".omne/var/runs"))
            .ok()?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        runs.sort();
        Some(runs.pop()?.join("events.jsonl"))
    }

    /// The events of the newest run, of this type.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let log = self.log().and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["type"] == kind).collect()
    }

    pub(crate) fn capture(&self, node: &str) -> String {
        std::fs::read_to_string(self.log().unwrap().with_file_name(format!("nodes/{node}.out"))).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(api) = &mut self.api {
            let _ = api.kill();
            let _ = api.wait();
        }
        if !std::thread::panicking() && self.path(".omne/var/runs").exists() {
            assert_eq!(self.code(&["verify", "--all"]), 0);
        }
    }
}

/// Reads one request, whatever it is, and answers it.
fn answer(stream: &mut std::net::TcpStream, body: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let header = loop {
        let read = stream.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..read]);
        if let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if read == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&request[..header]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    while request.len() < header + length {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        request.extend_from_slice(&buffer[..read]);
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    if request.starts_with(b"POST") {
        stream.write_all(body.as_bytes())?;
    }
    stream.flush()
}
