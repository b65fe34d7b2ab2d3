//! An agent that does as it is told: it speaks the stream of `claude`, and
//! misbehaves where its script says so. Tests use it as an agent's program.
//!
//! The script of a node is `agent.NODE` in its directory; calls are separated
//! by lines `---`, and the last one is used again and again. What it was given
//! is added to `agent.NODE.calls`, one JSON object a call.

#![expect(clippy::disallowed_methods, reason = "it stands for a program of somebody else")]

use std::{
    fs::OpenOptions,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let directory = PathBuf::from(std::env::var("OMNE_VOLUME_ROOT")?);
    let node = std::env::var("OMNE_NODE_ID")?;
    let mut prompt = String::new();
    std::io::stdin().read_to_string(&mut prompt)?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let calls = directory.join(format!("agent.{node}.calls"));
    let number = std::fs::read_to_string(&calls).unwrap_or_default().lines().count();
    let iteration = std::env::var("OMNE_ITERATION").ok();
    let call = json!({ "args": args, "prompt": prompt, "iteration": iteration });
    writeln!(OpenOptions::new().create(true).append(true).open(&calls)?, "{call}")?;

    let script = std::fs::read_to_string(directory.join(format!("agent.{node}")))?;
    let parts: Vec<&str> = script.split("---\n").collect();
    let mut agent = Agent { directory, session: session(&args), cost: 0.01 };
    for line in parts[number.min(parts.len() - 1)].lines() {
        agent.act(line)?;
    }
    Ok(())
}

/// The session that the arguments name.
fn session(args: &[String]) -> Value {
    let mut pairs = args.windows(2).filter(|pair| pair[0] == "--session-id" || pair[0] == "--resume");
    pairs.next().map_or(Value::Null, |pair| pair[1].as_str().into())
}

struct Agent {
    directory: PathBuf,
    session: Value,
    cost: f64,
}

impl Agent {
    fn act(&mut self, line: &str) -> Result<()> {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let text = rest.replace("\\n", "\n");
        match word {
            "" => Ok(()),
            "init" => print(&json!({"type": "system", "subtype": "init", "session_id": self.session,
                "model": "scripted", "claude_code_version": "1.0"})),
            "say" => print(&json!({"type": "assistant", "message": {"model": "scripted",
                "content": [{"type": "text", "text": text}]}, "parent_tool_use_id": null})),
            "partial" => print(&json!({"type": "stream_event", "event": {"type": "content_block_delta",
                "delta": {"type": "text_delta", "text": text}}, "parent_tool_use_id": null})),
            "tool" => print(&json!({"type": "assistant", "message": {"model": "scripted", "content": [
                {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": text}}]}})),
            "cost" => {
                self.cost = rest.parse()?;
                Ok(())
            }
            "result" => self.result(&text),
            "raw" => write(text.as_bytes()),
            "flood" => {
                let megabyte = vec![b'x'; 1 << 20];
                (0..rest.parse::<usize>()?).try_for_each(|_| write(&megabyte))
            }
            "stderr" => Ok(writeln!(std::io::stderr(), "{text}")?),
            "output" => Ok(writeln!(append(Path::new(&std::env::var("OMNE_OUTPUT")?))?, "{text}")?),
            "touch" => Ok(std::fs::write(self.directory.join(rest), std::process::id().to_string())?),
            "wait" => {
                while !self.directory.join(rest).exists() {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(())
            }
            "stay" => {
                // A tool that outlives the agent, in a session of its own.
                let script = format!("echo $$ > {rest}.new; mv {rest}.new {rest}; while :; do sleep 1; done");
                let mut command = std::process::Command::new("setsid");
                command.args(["sh", "-c", &script]).current_dir(&self.directory).spawn()?;
                self.act(&format!("wait {rest}"))
            }
            "close" => Ok(rustix::stdio::dup2_stdout(std::fs::File::create("/dev/null")?)?),
            "hang" => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            "exit" => std::process::exit(rest.parse()?),
            other => Err(format!("`{other}` is no action").into()),
        }
    }

    fn result(&self, error: &str) -> Result<()> {
        let unknown = error == "unknown_session";
        let is_error = !error.is_empty();
        if is_error && !unknown {
            print(&json!({"type": "assistant", "error": error, "message": {"model": "<synthetic>",
                "content": [{"type": "text", "text": "API Error"}]}}))?;
        }
        print(&json!({"type": "result",
            "subtype": if unknown { "error_during_execution" } else { "success" },
            "is_error": is_error, "num_turns": 1, "total_cost_usd": self.cost, "duration_ms": 5,
            "errors": if unknown { vec!["No conversation found with session ID: x"] } else { vec![] },
            "result": match error {
                "" => Value::from("done"),
                "unknown_session" => Value::Null,
                error => Value::from(format!("API Error: {error}")),
            },
            "usage": {"input_tokens": 10, "output_tokens": 2}}))
    }
}

fn append(path: &Path) -> Result<std::fs::File> {
    Ok(OpenOptions::new().create(true).append(true).open(path)?)
}

fn print(line: &Value) -> Result<()> {
    write(format!("{line}\n").as_bytes())
}

fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}
