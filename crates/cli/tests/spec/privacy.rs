//! What is kept is for its user alone, nothing leaves its place, and nothing that others wrote commands a terminal.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use crate::sandbox::{Output, Sandbox};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// Everything below a directory.
fn below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(below(&path)) } else { found.push(path) }
    }
    found
}

/// Runs the binary with a umask that hides nothing.
fn open_to_all(sandbox: &Sandbox, args: &str) -> i32 {
    let omne = env!("CARGO_BIN_EXE_omne");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("umask 0; exec '{omne}' {args}")]).current_dir(sandbox.root());
    command.output().unwrap().status.code().unwrap()
}

#[test]
fn what_a_run_keeps_is_for_its_user_alone() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes:\n- {id: a, prompt: x}\n- {id: b, bash: 'echo out; echo err >&2; exit 1', retry: {max: 1}}\n- {id: c, gate: g, bash: 'true'}")
        .gate("g", "exit 75")
        .agent("a", "init\nsay hi\nstderr oh\nresult")
        .executable("hook.sh", "#!/bin/sh\ncat > /dev/null; echo told >&2\n");
    sandbox.file(".omne/hooks.toml", "[[hook]]\nevent = 'pre_node'\ncommand = './hook.sh'\n");
    sandbox.file(".omne/omne.toml", format!("ask_timeout = '1h'\n{}", sandbox.read(".omne/omne.toml")));
    assert_eq!(open_to_all(&sandbox, "run p"), 6);
    assert_eq!(open_to_all(&sandbox, "pin @last"), 0);
    // A torn line is set aside.
    let log = sandbox.log();
    fs::write(&log, [fs::read(&log).unwrap(), b"{\"torn".to_vec()].concat()).unwrap();
    assert_eq!(open_to_all(&sandbox, "approve @last c"), 0);
    assert_eq!(open_to_all(&sandbox, "resume @last"), 1);
    assert_eq!(open_to_all(&sandbox, "audit sync"), 0);
    let paths = below(&sandbox.path(".omne/var"));
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    for name in [
        "events.jsonl",
        "torn-1",
        "hooks.log",
        "pinned",
        "b.out",
        "b.err",
        "stream.jsonl",
        "prompt.md",
        "index.db",
    ] {
        assert!(names.iter().any(|path| path.ends_with(name)), "{name} is in {names:#?}");
    }
    for path in &paths {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(format!("{:o}", mode(path)), format!("{expected:o}"), "{}", path.display());
    }
}

#[test]
fn the_owner_of_a_run_is_told_to_its_user_alone() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'stat -c %a \"$OMNE_RUN_DIR/owner\" \"$OMNE_RUN_DIR\"'}]");
    assert_eq!(open_to_all(&sandbox, "run p"), 0);
    assert_eq!(sandbox.capture("a"), "600\n700\n");
}

#[test]
fn captures_stay_in_their_directory_when_a_node_puts_a_link_in_its_place() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes:\n- {id: a, bash: 'mv \"$OMNE_RUN_DIR/nodes\" \"$OMNE_RUN_DIR/moved\"; ln -s \"$OMNE_VOLUME_ROOT/elsewhere\" \"$OMNE_RUN_DIR/nodes\"'}\n\
         - {id: b, depends_on: [a], bash: 'echo out; echo x=y >> \"$OMNE_RUN_DIR/moved/b.1.output\"'}\n\
         - {id: c, depends_on: [b], when: \"nodes.b.output|trim == 'out'\", bash: 'echo \"$OMNE_OUTPUTS_B_X\"'}",
    );
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    sandbox.file("elsewhere/b.out", "not mine");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 0, "{}", run.picture());
    assert_eq!(below(&sandbox.path("elsewhere")).len(), 2, "nothing was added");
    assert_eq!(sandbox.read("elsewhere/b.out"), "not mine");
    let moved = sandbox.log().with_file_name("moved");
    assert_eq!(fs::read_to_string(moved.join("c.out")).unwrap(), "y\n");
    // Nobody looks through the link either, and the moved files are none of the run's.
    assert!(!sandbox.omne(&["logs", "@last", "b"]).stdout.contains("not mine"));
    assert!(!run.stderr.contains("not mine"));
    sandbox.file("damaged-on-purpose", "");
}

#[test]
fn what_a_node_puts_in_the_place_of_a_capture_is_replaced() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe(
            "nodes:\n- id: a\n  bash: |\n    cd \"$OMNE_RUN_DIR/nodes\"; V=\"$OMNE_VOLUME_ROOT/victim\"\n\
             \x20   ln -s \"$V\" link.out; ln \"$V\" hard.out; mkfifo fifo.out; ln -s \"$V\" ai.1.stream.jsonl; ln -s \"$V\" ai.1.prompt.md\n\
             - {id: link, depends_on: [a], bash: echo one}\n- {id: hard, depends_on: [a], bash: echo two}\n\
             - {id: fifo, depends_on: [a], bash: echo three}\n- {id: ai, depends_on: [a], prompt: x}",
        )
        .agent("ai", "init\nsay four\nresult")
        .file("victim", "mine");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.read("victim"), "mine");
    let captures = ["link", "hard", "fifo", "ai"].map(|node| sandbox.capture(node));
    assert_eq!(captures, ["one\n", "two\n", "three\n", "four\n"]);
}

#[test]
fn a_link_among_the_runs_is_no_run() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'exit 1'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let run = sandbox.log().parent().unwrap().to_owned();
    let elsewhere = sandbox.path("elsewhere");
    fs::rename(&run, &elsewhere).unwrap();
    symlink(&elsewhere, &run).unwrap();
    let id = run.file_name().unwrap().to_str().unwrap();
    for args in
        [&["status", id][..], &["resume", id], &["logs", id], &["cancel", id], &["verify", id], &["pin", id]]
    {
        assert_eq!(sandbox.omne(args).code, 3, "{args:?}");
    }
    assert_eq!(sandbox.omne(&["clean", "--older-than", "0s"]).code, 0);
    assert!(elsewhere.join("events.jsonl").exists());
}

#[test]
fn a_link_in_the_place_of_a_log_is_not_written_to() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'exit 1'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    let log = sandbox.log();
    fs::rename(&log, sandbox.path("elsewhere.jsonl")).unwrap();
    symlink(sandbox.path("elsewhere.jsonl"), &log).unwrap();
    let before = sandbox.read("elsewhere.jsonl");
    assert_eq!(sandbox.omne(&["resume", "@last"]).code, 8);
    assert_eq!(sandbox.read("elsewhere.jsonl"), before);
}

#[test]
fn no_name_of_a_run_leads_out_of_the_volume() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'true'}]");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    let id = sandbox.log().parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    for name in
        ["../../../elsewhere", "..", ".", "/", "../runs", &format!("../runs/{id}"), &format!("{id}/.."), "\0"]
    {
        for command in ["status", "resume", "logs", "cancel", "pin", "graph"] {
            if name != "\0" {
                let code = sandbox.omne(&[command, name]).code;
                assert!((2..=3).contains(&code), "{command} {name}: {code}");
            }
        }
    }
}

#[test]
fn no_cwd_leads_out_of_the_workspace_by_a_link() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("inside/deep")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), sandbox.path("out")).unwrap();
    symlink("inside", sandbox.path("in")).unwrap();
    sandbox
        .pipe("nodes: [{id: a, cwd: out, bash: 'touch here'}, {id: b, cwd: in/deep, bash: 'touch here'}, {id: c, cwd: out, prompt: x}]")
        .agent("c", "init\nsay x\nresult");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 1);
    assert_eq!(sandbox.states(), "aborted: a failed(spawn_failed), b completed, c failed(spawn_failed)");
    let message = sandbox.node("a")["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("`cwd` leads out of the workspace by a link: `out` is `"), "{message}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(sandbox.path("inside/deep/here").exists());
}

#[test]
fn messages_to_a_runner_are_not_waited_for_where_a_pipe_stands() {
    let sandbox = Sandbox::new();
    sandbox.pipe(
        "nodes: [{id: a, bash: 'cd \"$OMNE_RUN_DIR\"; mkfifo cancel; mkdir decisions; mkfifo decisions/a.json; kill -USR1 \"$(cat owner)\"; sleep 0.2'}]",
    );
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
}

/// The characters that could command a terminal: all but newlines and tabs, and colours that omne makes itself.
fn commands_in(text: &str) -> Vec<char> {
    let is_bad = |c: &char| {
        (c.is_control() && *c != '\n' && *c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(is_bad).collect()
}

/// Sets the title, moves the cursor, rings, returns, as C1 too, and writes from right to left.
const EVIL: &str = "\x1b]0;owned\x07\x1b[2J\r\u{9b}31m\u{202e}evil\u{2066}\x7f\x08";

#[test]
fn nothing_that_others_wrote_commands_a_terminal() {
    let sandbox = Sandbox::new();
    let nodes = "inputs: {x: {default: y}}\nnodes:\n\
         - {id: a, bash: 'cat evil; cat evil >&2; printf \"k=%s\\n\" \"$(tr -d \"\\r\" < evil)\" >> \"$OMNE_OUTPUT\"'}\n\
         - {id: b, bash: 'cat evil evil >&2; exit 1'}\n- {id: c, gate: g, bash: 'true'}\n- {id: d, prompt: x}\n\
         - {id: e, depends_on: [a], when: \"inputs.x == 'z'\", bash: 'true'}\n- {id: f, depends_on: [b], bash: 'true'}\n\
         - {id: h, bash: 'true'}\n- {id: last, bash: 'cat evil'}";
    sandbox
        .pipe(nodes)
        .file("evil", EVIL)
        .gate("g", "cat evil; exit 75")
        .agent("d", &format!("init\nsay {0}\ntool {0}\nstderr {0}\nresult {0}\nexit 1", EVIL.replace('\r', "")))
        .executable("hook.sh", "#!/bin/sh\ncat > /dev/null\nprintf '%s' '{\"action\":\"deny\",\"reason\":\"\\u001b[2J\\u009b\\u202e\\u0007\"}'\n");
    sandbox
        .file(".omne/hooks.toml", "[[hook]]\nevent = 'pre_node'\ncommand = './hook.sh'\nnamespace = '*/h'\n");
    let safe = |args: &[&str], output: &Output| {
        assert_eq!(commands_in(&output.picture()), [], "{args:?}: {}", output.picture().escape_debug());
    };
    let input = format!("x={}", EVIL.replace('\0', ""));
    let run =
        sandbox.finish(sandbox.command(&["run", "p", "-i", &input]).env("USER", EVIL).output().unwrap());
    assert_eq!(run.code, 6, "{}", run.picture());
    safe(&["run"], &run);
    assert_eq!(sandbox.omne(&["bundle", "@last", "-o", "run.omne"]).code, 0);
    let log = sandbox.log();
    // A log of somebody else, and one that is damaged.
    let foreign = fs::read_to_string(&log).unwrap();
    let event = "{\"seq\":1,\"type\":\"\\u001b[2J\\u009b\",\"id\":\"\\u001b\",\"ts\":\"\\u001b\",\"run_id\":\"\\u001b\"}\n";
    sandbox.file("damaged.jsonl", format!("{}{event}", foreign.replace("node.skipped", "\\u001b[2J\\u009b")));
    // Names of files that nodes and volumes may have.
    sandbox.file(
        &format!(".omne/dist/pipes/{}.yaml", EVIL.replace('/', "")),
        "name: q\nversion: 1\nnodes: [{id: \x1b]0;x\x07, bash: 'true'}]",
    );
    sandbox.file(
        ".omne/dist/pipes/bad.yaml",
        format!(
            "name: bad\nversion: 1\nnodes: [{{id: a, bash: 'x', depends_on: [\"{}\"]}}]",
            EVIL.escape_default()
        ),
    );
    for args in [
        &["status"][..],
        &["status", "@last"],
        &["status", "nothing\x1b[2J"],
        &["why", "@last", "b"],
        &["why", "@last", "d"],
        &["why", "@last", "c"],
        &["why", "@last", "e"],
        &["why", "@last", "h"],
        &["why", "@last", "f"],
        &["events", "@last"],
        &["events", "damaged.jsonl"],
        &["replay", "@last"],
        &["replay", "damaged.jsonl"],
        &["replay", "@last", "--format", "snapshot"],
        &["verify", "@last"],
        &["verify", "damaged.jsonl"],
        &["verify", "--all"],
        &["diff", "@last", "run.omne"],
        &["graph", "@last"],
        &["graph", "@last", "--format", "dot"],
        &["graph", "@last", "--format", "mermaid"],
        &["audit", "sync"],
        &["audit", "report"],
        &["audit", "sql", "SELECT json, type FROM events"],
        &["audit", "sql", "SELECT message, node_id FROM nodes"],
        &["audit", "sql", "SELECT key, value FROM inputs"],
        &["validate"],
        &["validate", "bad"],
        &["hooks", "list"],
        &["hooks", "check"],
        &["hooks", "fire", "pre_node"],
        &["hooks", "backtest", "@last"],
        &["resume", "@last", "--dry-run"],
        &["run", "bad"],
        &["doctor"],
        &["bundle", "@last", "-o", "again.omne", "--redact", "evil"],
        &["test", "--record", "@last"],
        &["test"],
        &["clean", "--dry-run"],
        &["approve", "@last", "c", "--option", "\x1b[2J"],
        &["resume", "@last"],
    ] {
        safe(args, &sandbox.omne(args));
    }
    sandbox.file("damaged-on-purpose", "");
}

#[test]
fn captures_are_given_as_they_are_to_files_and_made_safe_on_terminals() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, bash: 'cat evil'}]").file("evil", EVIL);
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert_eq!(sandbox.omne(&["logs", "@last", "a"]).stdout, EVIL);
    // `script` gives a program a terminal; without it this can not be looked at.
    let omne = env!("CARGO_BIN_EXE_omne");
    let command = format!("'{omne}' --color never logs @last a");
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(sandbox.root());
    let Ok(output) = script.stdin(std::process::Stdio::null()).output() else { return };
    let shown = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    assert!(shown.contains("evil"), "{shown:?}");
    assert_eq!(commands_in(&shown), [], "{}", shown.escape_debug());
}
