//! An agent's own tool calls: its program asks back through a Unix socket in
//! the run's directory, and hooks answer.

use std::{
    collections::HashMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::Shutdown,
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use omne_dag::NodeIx;
use omne_events::beginning;
use omne_hooks::{HookEvent, Outcome, Verdict};
use omne_process::{Waker, without_signals};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LocalExecutor, hooked::Pending};
use crate::agent::clip;

/// The longest request, in bytes: a tool's input may be a whole file.
const MOST_REQUEST: u64 = 64 << 20;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest path of a socket on every system, in bytes.
const MOST_PATH: usize = 100;
/// How much of a tool's result hooks are told, in bytes.
const MOST_RESULT: usize = 4096;

/// Where agents knock.
pub(super) struct Door {
    path: PathBuf,
    knocks: Receiver<Knock>,
    /// Whose token is whose.
    tokens: HashMap<String, (NodeIx, u32)>,
}

/// Somebody who waits for an answer.
struct Knock {
    request: Request,
    stream: UnixStream,
}

/// What an agent's program is asked to say, by the hook that it was given.
#[derive(Deserialize)]
struct Request {
    token: String,
    hook: Call,
}

#[derive(Deserialize)]
struct Call {
    hook_event_name: String,
    #[serde(default)]
    tool_name: String,
    #[serde(default)]
    tool_input: Value,
    #[serde(default)]
    tool_response: Value,
    tool_use_id: Option<String>,
}

impl Door {
    /// Opens it in a directory that nobody else can read.
    pub(super) fn open(directory: &Path, waker: Waker) -> io::Result<Self> {
        let path = directory.join("tools.sock");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&*reachable(&path)?.1)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let (sender, knocks) = channel();
        let waker = Arc::new(waker);
        // One thread waits for agents, and one for each that speaks: the run itself waits for none of them.
        let door = move || {
            for stream in listener.incoming().flatten() {
                let (sender, waker) = (sender.clone(), Arc::clone(&waker));
                let heard = std::thread::Builder::new().name("tool".into()).spawn(move || {
                    // Whoever says nothing that can be read gets no answer.
                    let _ = hear(stream, &sender, &waker);
                });
                if heard.is_err() {
                    break;
                }
            }
        };
        without_signals(|| std::thread::Builder::new().name("tools".into()).spawn(door))?;
        Ok(Self { path, knocks, tokens: HashMap::new() })
    }

    /// A door for one attempt: its token, and where it is.
    pub(super) fn token(&mut self, token: String, node: NodeIx, attempt: u32) -> (String, PathBuf) {
        self.tokens.insert(token.clone(), (node, attempt));
        (token, self.path.clone())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // It leads nowhere any more.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The path of a socket in a form that is short enough, with what keeps it valid.
fn reachable(path: &Path) -> io::Result<(Option<std::fs::File>, PathBuf)> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if path.as_os_str().len() <= MOST_PATH {
        return Ok((None, path.to_owned()));
    }
    let directory = std::fs::File::open(directory)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((Some(directory), path))
}

fn hear(stream: UnixStream, sender: &Sender<Knock>, waker: &Waker) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new((&stream).take(MOST_REQUEST)).read_until(b'\n', &mut line)?;
    let request = serde_json::from_slice(&line)?;
    if sender.send(Knock { request, stream }).is_ok() {
        waker.wake();
    }
    Ok(())
}

impl LocalExecutor {
    /// Whether hooks look at what agents do with tools.
    pub(super) fn looks_at_tools(&self) -> bool {
        self.hooks.as_ref().is_some_and(|host| host.config().looks_at_tools())
    }

    /// Takes in what agents ask about their tools.
    pub(super) fn open_the_door(&mut self) {
        let knocks: Vec<Knock> = match &self.door {
            Some(door) => door.knocks.try_iter().collect(),
            None => return,
        };
        for Knock { request, mut stream } in knocks {
            let known = self.door.as_ref().and_then(|door| door.tokens.get(&request.token)).copied();
            let Some((node, attempt)) = known else {
                // Nobody of this run.
                let refusal = refusal("this call is of no node of the run");
                let _ = stream.write_all(refusal.to_string().as_bytes());
                continue;
            };
            let id = self.pipe.node(node).id.clone();
            let Call { hook_event_name, tool_name, tool_input, tool_response, tool_use_id } = request.hook;
            let mut payload = json!({ "tool": tool_name, "input": tool_input, "attempt": attempt });
            let tool_use_id = tool_use_id.map(|id| clip(&id).to_owned());
            if let Some(tool_use_id) = &tool_use_id {
                payload["tool_use_id"] = tool_use_id.as_str().into();
            }
            let event = match hook_event_name.as_str() {
                "PreToolUse" => HookEvent::PreTool,
                _ => {
                    payload["result"] = summary(&tool_response).into();
                    HookEvent::PostTool
                }
            };
            let pending = Pending::Tool(tool_use_id, stream);
            if let Some(Pending::Tool(_, mut stream)) = self.fire(event, Some(&id), || payload, pending) {
                // Nobody is asked about this one.
                answer_with(&mut stream, b"{}");
            }
        }
    }
}

/// What an agent's program is answered.
pub(super) fn reply(mut stream: UnixStream, event: HookEvent, outcome: &Outcome) {
    let answer = match (event, &outcome.verdict) {
        (HookEvent::PreTool, Verdict::Deny { reason, code }) => {
            refusal(&format!("denied ({code}): {reason}"))
        }
        (HookEvent::PreTool, Verdict::Ask(question)) => {
            refusal(&format!("people would have to decide, and can not be asked here: {}", question.prompt))
        }
        (HookEvent::PreTool, Verdict::Allow) => match outcome.delta.get("input") {
            Some(input) => json!({ "hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": "allow",
                "permissionDecisionReason": "changed by a hook",
                "updatedInput": input,
            }}),
            // The agent's own permissions still count.
            None => json!({}),
        },
        _ => json!({}),
    };
    answer_with(&mut stream, answer.to_string().as_bytes());
}

/// The whole answer, and its end.
fn answer_with(stream: &mut UnixStream, answer: &[u8]) {
    // An agent that is gone needs no answer. To close the stream would not end it for a process that has it, too, and is not
    // its program yet.
    let _ = stream.write_all(answer).and_then(|()| stream.shutdown(Shutdown::Write));
}

fn refusal(why: &str) -> Value {
    json!({ "hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "permissionDecision": "deny",
        "permissionDecisionReason": why,
    }})
}

/// The beginning of a tool's result.
fn summary(result: &Value) -> String {
    let text = match result {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    beginning(&text, MOST_RESULT).to_owned()
}

/// The settings by which `claude` asks back before and after each tool call.
pub(super) fn settings(omne: &Path) -> Value {
    let quoted = format!("'{}' tool-hook", omne.display().to_string().replace('\'', r"'\''"));
    let hook =
        json!([{ "matcher": "*", "hooks": [{ "type": "command", "command": quoted, "timeout": 30 }] }]);
    json!({ "hooks": { "PreToolUse": hook, "PostToolUse": hook } })
}

/// What the program that an agent calls does: it hands the call on, and gives back the answer.
///
/// # Errors
/// When the run can't be reached: then the call should not happen.
pub fn ask_back(call: &[u8], socket: &Path, token: &str) -> io::Result<Vec<u8>> {
    let hook: Value = serde_json::from_slice(call)?;
    let (_directory, path) = reachable(socket)?;
    let mut stream = UnixStream::connect(path)?;
    let mut line = json!({ "token": token, "hook": hook }).to_string();
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}
