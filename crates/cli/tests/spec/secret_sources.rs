//! Where the values of secrets come from, and what is said when they can not be had.

use crate::{
    sandbox::Sandbox,
    secrets::{executable, volume},
};

#[test]
fn a_command_tells_its_value_without_the_newline() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, secrets: [T], bash: 'test \"$T\" = \"$(cat value)\" && echo \"<$T>\"'}]")
        .file(".omne/omne.toml", "secrets.T = { command = ['./tell', 'x y'] }");
    sandbox.file("value", "from tell x y");
    executable(&sandbox, "tell", "echo \"from tell $1\"; echo noise >&2");
    let run = sandbox.omne(&["run", "p"]);
    assert_eq!(run.code, 0, "{}", run.picture());
    assert_eq!(sandbox.capture("a"), "<***>\n");
}

#[test]
fn only_commands_of_secrets_that_a_node_names_are_run() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, bash: 'true'}]")
        .file(".omne/omne.toml", "secrets.T = { command = ['touch', 'asked'] }");
    assert_eq!(sandbox.omne(&["run", "p"]).code, 0);
    assert!(!sandbox.path("asked").exists());
}

#[test]
fn all_that_can_not_be_had_is_told_at_once_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.pipe("nodes: [{id: a, secrets: [A, B, C], bash: 'true'}, {id: b, secrets: [D, E, F, G], bash: 'true'}]").file(
        ".omne/omne.toml",
        "[secrets]\nA = { env = 'NOT_SET' }\nB = { file = 'none' }\nC = { command = ['sh', '-c', 'echo locked >&2; exit 3'] }\n\
         D = { command = ['no-such-program'] }\nE = { file = 'short' }\nF = { file = 'empty' }\nG = { file = 'nul' }\n",
    );
    sandbox.file("short", "abc\n").file("empty", "\n").file("nul", "abcd\0efgh");
    insta::assert_snapshot!(sandbox.omne(&["run", "p"]).picture(), @r"
    exit 2
    ── stdout
    ── stderr
    error: the secret `A`, which node `a` names: the environment variable `NOT_SET`: it is not set; run `export NOT_SET=…` before `omne`
           the secret `B`, which node `a` names: the file `none`: it can not be read (No such file or directory (os error 2)); make it, or mend its permissions
           the secret `C`, which node `a` names: the command `sh -c echo locked >&2; exit 3`: it failed (exit status: 3): locked; run it by hand
           the secret `D`, which node `b` names: the command `no-such-program`: there is no program `no-such-program`; install it, or give its path
           the secret `E`, which node `b` names: the file `short`: its value is shorter than 4 bytes and would be found everywhere; use a longer one
           the secret `F`, which node `b` names: the file `empty`: its value is empty; give it one
           the secret `G`, which node `b` names: the file `nul`: its value has a NUL byte in it, which no variable can hold; encode it
    help: `[secrets]` in `.omne/omne.toml` says where each value comes from; nothing was written
    ");
    assert!(!sandbox.path(".omne/var").exists());
    // A dry run and a check need no values.
    assert_eq!(sandbox.omne(&["run", "p", "--dry-run"]).code, 0);
    assert_eq!(sandbox.omne(&["validate", "p"]).code, 0);
}

#[test]
fn a_command_that_does_not_end_is_ended_with_the_run() {
    let sandbox = Sandbox::new();
    sandbox
        .pipe("nodes: [{id: a, secrets: [T], bash: 'true'}]")
        .file(".omne/omne.toml", "secrets.T = { command = ['sh', '-c', 'echo > here; sleep 60'] }");
    let mut run = sandbox.start(&["run", "p"], "here");
    sandbox.signal(&run, rustix::process::Signal::INT);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert!(!sandbox.path(".omne/var").exists());
}

#[test]
fn a_name_that_the_settings_do_not_have_is_an_error_of_the_pipe() {
    let sandbox = volume(
        "nodes:\n- id: a\n  secrets: [TOKEM, OMNE_X, 1a]\n  bash: 'true'\n- {id: b, secrets: [TOKEN, TOKEN], env: {TOKEN: x}, bash: 'true'}",
    );
    insta::assert_snapshot!(sandbox.omne(&["validate", "p"]).stdout, @r#"
    error[E0130]: the secret `TOKEM` is not defined
     --> .omne/dist/pipes/p.yaml:5:13
      |
    5 |   secrets: [TOKEM, OMNE_X, 1a]
      |             ^^^^^
      |
      = help: say in `.omne/omne.toml` where it comes from: `[secrets]` with `TOKEM = { env = "TOKEM" }`; there are: TOKEN

    error[E0127]: `OMNE_X` is set by omne itself
     --> .omne/dist/pipes/p.yaml:5:20
      |
    5 |   secrets: [TOKEM, OMNE_X, 1a]
      |                    ^^^^^^
      |
      = help: names that begin with `OMNE_` are reserved: use another one

    error[E0127]: `1a` is no name of a variable
     --> .omne/dist/pipes/p.yaml:5:28
      |
    5 |   secrets: [TOKEM, OMNE_X, 1a]
      |                            ^^
      |
      = help: use letters, digits and `_`, and begin with a letter or `_`

    error[E0127]: `TOKEN` is a secret and a variable of `env` at once
     --> .omne/dist/pipes/p.yaml:7:21
      |
    7 | - {id: b, secrets: [TOKEN, TOKEN], env: {TOKEN: x}, bash: 'true'}
      |                     ^^^^^
      |
      = help: keep one of the two

    error[E0102]: the secret `TOKEN` stands twice
     --> .omne/dist/pipes/p.yaml:7:28
      |
    7 | - {id: b, secrets: [TOKEN, TOKEN], env: {TOKEN: x}, bash: 'true'}
      |                            ^^^^^
      |
      = help: once is enough

    ✗ .omne/dist/pipes/p.yaml: 5 error(s)
    "#);
    assert_eq!(sandbox.omne(&["run", "p"]).code, 2);
}

#[test]
fn settings_that_define_a_secret_wrongly_are_told() {
    let sandbox = volume("nodes: [{id: a, bash: 'true'}]");
    for (settings, why) in [
        ("secrets.A = { env = 'X', file = 'y' }", "exactly one of `env`, `file` and `command`"),
        ("secrets.OMNE_A = { env = 'X' }", "reserved"),
        ("secrets.A-B = { env = 'X' }", "is no name of a variable"),
        ("secrets.A = { value = 'x' }", "unknown field `value`"),
    ] {
        sandbox.file(".omne/omne.toml", settings);
        let run = sandbox.omne(&["run", "p"]);
        assert_eq!(run.code, 2);
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
}

#[test]
fn a_value_that_stands_where_the_log_needs_it_is_refused() {
    let nodes = "inputs: {x: {default: y}}\nnodes: [{id: a, secrets: [TOKEN], bash: 'echo plain-password'}]";
    let sandbox = volume(nodes);
    let run = |value: &str, args: &[&str]| {
        sandbox.finish(sandbox.command(args).env("SOURCE", value).output().unwrap())
    };
    insta::assert_snapshot!(run("plain-password", &["run", "p"]).picture(), @r"
    exit 2
    ── stdout
    ── stderr
    error: the value of a secret stands in the pipe
    help: the log carries it as it is: take the value out, and let the node that needs it name the secret in `secrets`; nothing was written
    ");
    let input = run("other-password", &["run", "p", "-i", "x=other-password"]);
    assert_eq!(input.code, 2);
    assert!(input.stderr.contains("the input `x`"), "{}", input.stderr);
    assert!(!sandbox.path(".omne/var").exists());
}
