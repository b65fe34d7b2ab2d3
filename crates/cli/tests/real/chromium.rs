//! Chromium without a window, spoken to over pipes: no port, no web socket.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::{Value, json};

use crate::programs::find_one_of;

/// A browser asks for much by itself, whatever it is told; here it finds no host.
const FLAGS: [&str; 9] = [
    "--headless",
    "--remote-debugging-pipe",
    // Root and containers can't do with it, and what is opened here is made here.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
];

/// One browser with one tab, and what the tab's page did.
pub(crate) struct Browser {
    process: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Value,
    last: u64,
    loaded: Vec<Value>,
    requests: Vec<(Value, String)>,
    /// What a script of a page said in a window of its own.
    pub(crate) dialogs: Vec<String>,
    /// What the browser complained of: exceptions, and what the policy forbade.
    pub(crate) complaints: Vec<String>,
    /// Deleted last.
    _home: tempfile::TempDir,
}

impl Browser {
    /// `None`, with the reason printed, when there is no Chromium.
    pub(crate) fn start() -> Option<Self> {
        let program = find_one_of(&["chromium", "chromium-browser", "google-chrome"])?;
        let home = tempfile::tempdir().unwrap();
        let mut process = Command::new("sh")
            // It reads from 3 and writes to 4; those are the pipes that we have at 0 and 1.
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", home.path().display()))
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let texts = output.split(0).map_while(Result::ok);
            for message in texts.filter_map(|text| serde_json::from_slice(&text).ok()) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            process,
            input,
            messages,
            session: Value::Null,
            last: 0,
            loaded: Vec::new(),
            requests: Vec::new(),
            dialogs: Vec::new(),
            complaints: Vec::new(),
            _home: home,
        };
        let tab = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].take();
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": tab, "flatten": true }))["sessionId"]
                .take();
        browser.session = attached;
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }));
        Some(browser)
    }

    /// Lets markup do what the page's own policy forbids.
    pub(crate) fn without_policy(&mut self) {
        self.call("Page.setBypassCSP", json!({ "enabled": true }));
    }

    /// Runs no script of a page; [`Browser::value`] still looks at it.
    pub(crate) fn without_scripts(&mut self) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    }

    pub(crate) fn width(&mut self, width: u32) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Opens a page, with all that it asks for; a `fragment` begins with `#`.
    pub(crate) fn open(&mut self, page: &Path, fragment: &str) {
        let url = format!("{}{fragment}", address(page));
        let document = self.call("Page.navigate", json!({ "url": url }))["loaderId"].take();
        while !self.loaded.contains(&document) {
            self.hear();
        }
    }

    /// What an expression comes to in the page; promises are waited for.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let question = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", question);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    #[track_caller]
    pub(crate) fn text(&mut self, expression: &str) -> String {
        self.value(expression).as_str().unwrap().to_owned()
    }

    /// The addresses that pages asked for, their own among them.
    pub(crate) fn requests(&self) -> Vec<&str> {
        self.requests.iter().map(|(_, url)| url.as_str()).collect()
    }

    /// A picture of what is in sight: a PNG in base 64.
    pub(crate) fn picture(&mut self) -> String {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        picture["data"].as_str().unwrap().to_owned()
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        loop {
            let mut message = self.hear();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
        }
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        self.last
    }

    /// The next message, noted if it tells what the page does.
    fn hear(&mut self) -> Value {
        let message = self.messages.recv_timeout(Duration::from_secs(60)).expect("the browser is silent");
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                let url = params["request"]["url"].as_str().unwrap().to_owned();
                self.requests.push((params["requestId"].clone(), url));
            }
            // What the policy forbids is announced like any request, and then not made.
            Some("Network.loadingFailed") if params["blockedReason"] == "csp" => {
                self.requests.retain(|(id, _)| *id != params["requestId"]);
            }
            Some("Page.lifecycleEvent") if params["name"] == "load" => {
                self.loaded.push(params["loaderId"].clone());
            }
            Some("Page.javascriptDialogOpening") => {
                self.dialogs.push(params["message"].as_str().unwrap().to_owned());
                // The page stands still until it is closed.
                self.send("Page.handleJavaScriptDialog", json!({ "accept": true }));
            }
            Some("Runtime.exceptionThrown") => self.complaints.push(params["exceptionDetails"].to_string()),
            Some("Log.entryAdded") => self.complaints.push(params["entry"]["text"].to_string()),
            _ => {}
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its children itself, and its pipe with them.
        self.session = Value::Null;
        let close = json!({ "id": 0, "method": "Browser.close" });
        let _ = self.input.write_all(format!("{close}\0").as_bytes());
        while self.messages.recv_timeout(Duration::from_secs(10)).is_ok() {}
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address of a file; the names of temporary directories need no escapes.
pub(crate) fn address(file: &Path) -> String {
    format!("file://{}", file.display())
}
