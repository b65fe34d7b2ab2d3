//! Where the values of secrets come from. They are read when a run begins or
//! goes on, before anything is written, and only those that a node names.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::Read as _,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use omne_exec::Secrets;
use omne_pipe::{Node, Pipe, Values, is_variable};
use omne_process::{
    BaseEnvironment, End, Ended, Environment, Happening, LONGEST_SECRET, Mark, Mask, SHORTEST_SECRET, Signal,
    Sink, Spec, Supervisor, Token, find_program,
};
use rustix::fs::OFlags;
use serde::Deserialize;

use crate::{Options, RunError, Volume};

/// How long the programs that tell secrets may take in all.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name of a secret: that of the variable in which nodes find it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct SecretName(String);

impl SecretName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SecretName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if !is_variable(&name) {
            return Err(format!(
                "`{name}` is no name of a variable: use letters, digits and `_`, and begin with a letter or `_`"
            ));
        }
        if name.starts_with("OMNE_") {
            return Err(format!("`{name}` begins with `OMNE_`, which is reserved: use another name"));
        }
        Ok(Self(name))
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawSource")]
pub enum SecretSource {
    /// A variable of the environment that `omne` was started in.
    Env(String),
    /// A file, absolute or from the volume's root.
    File(PathBuf),
    /// What a program prints.
    Command(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `env`, `file` or `command`")]
struct RawSource {
    env: Option<String>,
    file: Option<PathBuf>,
    command: Option<Vec<String>>,
}

impl TryFrom<RawSource> for SecretSource {
    type Error = &'static str;

    fn try_from(raw: RawSource) -> Result<Self, &'static str> {
        match raw {
            RawSource { env: Some(name), file: None, command: None } => match name.contains(['=', '\0']) {
                _ if name.is_empty() => Err("`env` is empty: name a variable"),
                true => Err("`env` is no name of a variable"),
                false => Ok(Self::Env(name)),
            },
            RawSource { env: None, file: Some(path), command: None } => match path.as_os_str().is_empty() {
                true => Err("`file` is empty: give a path"),
                false => Ok(Self::File(path)),
            },
            RawSource { env: None, file: None, command: Some(words) } => match words.first() {
                Some(program) if !program.is_empty() => Ok(Self::Command(words)),
                _ => Err("`command` is empty: give a program and its arguments, as a list"),
            },
            _ => Err("a secret comes from exactly one of `env`, `file` and `command`"),
        }
    }
}

impl SecretSource {
    /// Whether it would give a value that can be used; of a command, whether there is such a program: it is not run.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn look(&self, root: &Path, environment: &[(OsString, OsString)]) -> Result<(), String> {
        let value = match self {
            Self::Env(name) => of_environment(name, environment)?,
            Self::File(path) => of_file(&root.join(path))?,
            Self::Command(words) => return spec(words, root, environment, &Arc::default()).map(|_| ()),
        };
        usable(&value)
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "the file `{}`", path.display()),
            Self::Command(words) => write!(f, "the command `{}`", words.join(" ")),
        }
    }
}

/// Why a secret can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFault {
    name: String,
    /// A node that names it.
    node: String,
    /// What is wrong, with its source, and what to do.
    why: String,
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret `{}`, which node `{}` names: {}", self.name, self.node, self.why)
    }
}

/// The faults, each in a line.
pub(crate) fn lines(faults: &[SecretFault]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n       ")
}

/// The names of the variables that only nodes get that name their secret.
pub(crate) fn withheld(sources: &BTreeMap<SecretName, SecretSource>) -> Vec<&str> {
    sources
        .values()
        .filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.as_str()),
            SecretSource::File(_) | SecretSource::Command(_) => None,
        })
        .collect()
}

impl Options {
    /// The environment of the process that asked, without what is secret in it.
    pub(crate) fn environment_without_secrets(&self) -> impl Iterator<Item = &(OsString, OsString)> {
        let withheld = self.settings.withheld();
        self.environment.iter().filter(move |(name, _)| !withheld.iter().any(|other| name == other))
    }
}

/// The secrets that the nodes of `pipe` name for which `needs` holds; `None` when there are none.
///
/// # Errors
/// With all that can't be had.
pub(crate) fn read(
    pipe: &Pipe,
    volume: &Volume,
    options: &Options,
    needs: &dyn Fn(&Node) -> bool,
) -> Result<Option<Arc<Secrets>>, RunError> {
    let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
    for node in pipe.nodes().iter().filter(|node| !node.secrets().is_empty() && needs(node)) {
        for name in node.secrets() {
            wanted.entry(name).or_insert(node.id.as_str());
        }
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut faults = Vec::new();
    let mut sources = Vec::new();
    for (name, node) in wanted {
        match options.settings.secrets.iter().find(|(known, _)| known.as_str() == name) {
            Some((_, source)) => sources.push((name, node, source)),
            None => {
                let why = undefined(&options.settings.secrets, name);
                faults.push(SecretFault { name: name.into(), node: node.into(), why });
            }
        }
    }
    let commands: BTreeSet<&[String]> = sources
        .iter()
        .filter_map(|(_, _, source)| match source {
            SecretSource::Command(words) => Some(words.as_slice()),
            SecretSource::Env(_) | SecretSource::File(_) => None,
        })
        .collect();
    let printed = match commands.is_empty() {
        true => BTreeMap::new(),
        false => run_all(&commands, volume.root(), options)?,
    };
    let mut values = Vec::new();
    for (name, node, source) in sources {
        let value = match source {
            SecretSource::Env(variable) => of_environment(variable, &options.environment),
            SecretSource::File(path) => of_file(&volume.root().join(path)),
            SecretSource::Command(words) => {
                printed.get(words.as_slice()).cloned().unwrap_or_else(|| Err("it was not asked".into()))
            }
        };
        match value.and_then(|value| usable(&value).map(|()| value)) {
            Ok(value) => values.push((name.to_owned(), OsString::from_vec(value))),
            Err(why) => {
                let why = format!("{source}: {why}");
                faults.push(SecretFault { name: name.into(), node: node.into(), why });
            }
        }
    }
    if !faults.is_empty() {
        faults.sort_by(|a, b| a.name.cmp(&b.name));
        return Err(RunError::Secrets(faults));
    }
    let mask = mask(values.iter().map(|(_, value)| value.as_bytes()))?;
    Ok(Some(Arc::new(Secrets::new(values, mask))))
}

/// What to do about a name that the settings do not have.
pub(crate) fn undefined(sources: &BTreeMap<SecretName, SecretSource>, name: &str) -> String {
    let known: Vec<&str> = sources.keys().map(SecretName::as_str).collect();
    let known = match known[..] {
        [] => String::new(),
        _ => format!("; there are: {}", known.join(", ")),
    };
    format!(
        "say in `.omne/omne.toml` where it comes from: `[secrets]` with `{name} = {{ env = \"{name}\" }}`{known}"
    )
}

fn mask<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Mask, RunError> {
    Mask::new(values).map_err(|error| RunError::System(error.to_string(), None))
}

/// Nothing that the log has to carry as it is may hold a secret.
pub(crate) fn check_sight(
    secrets: Option<&Secrets>,
    pipe: Option<&Pipe>,
    inputs: &Values,
    volume: &Volume,
) -> Result<(), RunError> {
    let Some(secrets) = secrets else { return Ok(()) };
    let is_in = |text: &[u8]| secrets.mask().is_in(text);
    let mut places = Vec::new();
    if pipe.is_some_and(|pipe| is_in(pipe.definition().as_bytes())) {
        places.push("the pipe".to_owned());
    }
    for (key, value) in inputs {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if is_in(text.as_bytes()) || is_in(key.as_bytes()) {
            places.push(format!("the input `{key}`"));
        }
    }
    if is_in(volume.root().as_os_str().as_bytes()) {
        places.push("the path of the volume".to_owned());
    }
    if places.is_empty() { Ok(()) } else { Err(RunError::SecretInSight { places }) }
}

fn of_environment(name: &str, environment: &[(OsString, OsString)]) -> Result<Vec<u8>, String> {
    let found = environment.iter().find(|(other, _)| other == name);
    let (_, value) = found.ok_or_else(|| format!("it is not set; run `export {name}=…` before `omne`"))?;
    Ok(value.as_bytes().to_vec())
}

fn of_file(path: &Path) -> Result<Vec<u8>, String> {
    let failed =
        |error: std::io::Error| format!("it can not be read ({error}); make it, or mend its permissions");
    // Nobody waits for a pipe that nobody writes to.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err("it is not a file; give the path of one".into());
    }
    let mut value = Vec::new();
    file.take(LONGEST_SECRET as u64 + 2).read_to_end(&mut value).map_err(failed)?;
    Ok(without_newlines(value))
}

/// As a shell takes what a command prints.
fn without_newlines(mut value: Vec<u8>) -> Vec<u8> {
    while value.last() == Some(&b'\n') {
        value.pop();
        value.pop_if(|byte| *byte == b'\r');
    }
    value
}

fn usable(value: &[u8]) -> Result<(), String> {
    if value.is_empty() {
        return Err("its value is empty; give it one".into());
    }
    if value.contains(&0) {
        return Err("its value has a NUL byte in it, which no variable can hold; encode it".into());
    }
    if value.trim_ascii().len() < SHORTEST_SECRET {
        return Err(format!(
            "its value is shorter than {SHORTEST_SECRET} bytes and would be found everywhere; use a longer one"
        ));
    }
    if value.len() > LONGEST_SECRET {
        return Err(format!(
            "its value is longer than {} KiB; let the node read a file instead",
            LONGEST_SECRET / 1024
        ));
    }
    Ok(())
}

type Printed = Result<Vec<u8>, String>;

/// What each command prints; all of them run at the same time.
fn run_all<'c>(
    commands: &BTreeSet<&'c [String]>,
    root: &Path,
    options: &Options,
) -> Result<BTreeMap<&'c [String], Printed>, RunError> {
    let no_children = |error| RunError::System("cannot take care of child processes".into(), Some(error));
    let mut supervisor = Supervisor::new().map_err(no_children)?;
    let base = Arc::new(BaseEnvironment::new(options.environment.iter().cloned()));
    let mut printed: BTreeMap<&[String], Printed> = BTreeMap::new();
    let mut running: BTreeMap<Token, (&[String], Vec<u8>)> = BTreeMap::new();
    for &words in commands {
        match spec(words, root, &options.environment, &base).and_then(|spec| {
            supervisor.spawn(spec).map_err(|error| format!("it can not be started ({error}); mend it"))
        }) {
            Ok((token, _)) => drop(running.insert(token, (words, Vec::new()))),
            Err(why) => drop(printed.insert(words, Err(why))),
        }
    }
    let until = Instant::now() + PATIENCE;
    let mut is_late = false;
    let mut happenings = Vec::new();
    while !running.is_empty() {
        if !is_late && Instant::now() >= until {
            is_late = true;
            running.keys().for_each(|token| supervisor.end(*token, End::AtOnce));
        }
        let left = (!is_late).then(|| until.saturating_duration_since(Instant::now()));
        supervisor.wait(left, &mut happenings).map_err(no_children)?;
        for happening in happenings.drain(..) {
            match happening {
                Happening::Output(token, bytes) => {
                    if let Some((_, said)) = running.get_mut(&token) {
                        said.extend(bytes);
                    }
                }
                // Its children end with the supervisor.
                Happening::Signal(signal @ (Signal::Interrupt | Signal::Terminate)) => {
                    return Err(RunError::Interrupted(signal));
                }
                Happening::Signal(Signal::Message | Signal::Reload) => {}
                Happening::Ended(ended) => {
                    if let Some((words, said)) = running.remove(&ended.token) {
                        let late = || {
                            format!("it took longer than {} s; it must not ask anybody", PATIENCE.as_secs())
                        };
                        let told = if is_late { Err(late()) } else { what_it_told(&ended, said) };
                        printed.insert(words, told);
                    }
                }
            }
        }
    }
    Ok(printed)
}

fn spec(
    words: &[String],
    root: &Path,
    environment: &[(OsString, OsString)],
    base: &Arc<BaseEnvironment>,
) -> Result<Spec, String> {
    let (program, args) = words.split_first().ok_or("it is empty")?;
    let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let path = path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    let found = match program.contains('/') {
        true => Some(root.join(program)).filter(|path| path.is_file()),
        false => find_program(program, path),
    };
    let program =
        found.ok_or_else(|| format!("there is no program `{program}`; install it, or give its path"))?;
    Ok(Spec {
        program,
        args: args.iter().map(Into::into).collect(),
        cwd: root.to_owned(),
        environment: Environment { base: Arc::clone(base), own: Vec::new() },
        mark: Mark::default(),
        stdin: None,
        stdout: Sink::Relay,
        stderr: Sink::Tail,
        mask: None,
        output_limit: LONGEST_SECRET as u64 + 2,
    })
}

fn what_it_told(ended: &Ended, said: Vec<u8>) -> Printed {
    if ended.over_limit {
        return Err(format!("it printed more than {} KiB; print the value alone", LONGEST_SECRET / 1024));
    }
    if !ended.status.success() {
        let stderr = ended.stderr.tail_text();
        let stderr = stderr.trim();
        let said = if stderr.is_empty() { String::new() } else { format!(": {stderr}") };
        return Err(format!("it failed ({}){said}; run it by hand", ended.status));
    }
    Ok(without_newlines(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_exactly_one_of_three() {
        let source = |text: &str| toml::from_str::<BTreeMap<SecretName, SecretSource>>(text);
        for good in ["A = { env = 'X' }", "a_1 = { file = 'x/y' }", "_A = { command = ['x', 'y'] }"] {
            assert!(source(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("A = {}", "exactly one"),
            ("A = { env = 'X', file = 'y' }", "exactly one"),
            ("A = { env = '' }", "empty"),
            ("A = { env = 'X=Y' }", "no name"),
            ("A = { file = '' }", "empty"),
            ("A = { command = [] }", "empty"),
            ("A = { command = 'x y' }", "sequence"),
            ("A = { value = 'x' }", "value"),
            ("A = 'x'", "string"),
            ("1A = { env = 'X' }", "no name of a variable"),
            ("OMNE_A = { env = 'X' }", "reserved"),
        ] {
            let error = source(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn values_that_can_not_be_hidden_are_refused() {
        for (value, why) in [
            (&b""[..], "empty"),
            (b"abc", "shorter than 4"),
            (b" abc\t", "shorter than 4"),
            (b"ab\0cd", "NUL"),
            (&[b'x'; LONGEST_SECRET + 1], "longer than 16 KiB"),
        ] {
            assert!(usable(value).unwrap_err().contains(why));
        }
        assert!(usable(b"abcd").is_ok() && usable(&[b'x'; LONGEST_SECRET]).is_ok());
        assert_eq!(without_newlines(b"a\nb\r\n\n".to_vec()), b"a\nb");
    }
}
