//! What people say to a node that asks them: through its runner, or into the
//! log where there is none.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use omne_events::{Clock, GateDecided, IdGen, LockedLog, NodeId, OpenError, read_private, write_private};
use omne_exec::Decision;
use omne_replay::{Gate, NodePhase, RunState};

use crate::{RunDir, RunError, cancel::signal, resume::OwnedLog};

/// How long a runner may take to take an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest comment, in bytes.
const MOST_COMMENT: usize = 4096;
/// What an option that lets a node go on begins with.
const YES: [&str; 13] = [
    "y", "yes", "yep", "yeah", "ok", "okay", "sure", "true", "approve", "approved", "accept", "allow",
    "confirm",
];
/// What lets it go on alone, and may be the opposite with more words (`go back`).
const YES_ALONE: [&str; 9] = ["on", "go", "continue", "proceed", "ship", "run", "merge", "deploy", "resume"];
/// What one begins with that does not.
const NO: [&str; 30] = [
    "n",
    "no",
    "nope",
    "not",
    "never",
    "none",
    "false",
    "off",
    "deny",
    "denied",
    "reject",
    "rejected",
    "refuse",
    "decline",
    "disapprove",
    "dismiss",
    "cancel",
    "abort",
    "stop",
    "halt",
    "quit",
    "exit",
    "skip",
    "later",
    "wait",
    "hold",
    "don",
    "dont",
    "block",
    "fail",
];

/// An answer to a node.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The node; else the only one that waits.
    pub node: Option<String>,
    /// One of its options; else the first that fits.
    pub option: Option<String>,
    /// Whether it may go on.
    pub approved: bool,
    /// Who says so.
    pub by: String,
    /// What they say about it.
    pub comment: Option<String>,
}

/// Who wrote a decision down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// The runner, which goes on.
    ByOwner,
    /// This process: the run has no runner.
    Here,
}

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// The run has no such node.
    #[error("the run has no node `{0}`")]
    NoNode(String),
    /// No node was named, and none waits.
    #[error("no node of the run waits for a decision")]
    NobodyWaits,
    /// No node was named, and several wait.
    #[error("several nodes wait for a decision: {}", .0.join(", "))]
    SeveralWait(Vec<String>),
    /// It asks nothing.
    #[error("`{node}` does not wait for a decision: it is {state}")]
    NotWaiting {
        /// The node.
        node: String,
        /// Where it stands.
        state: String,
    },
    /// The option says the opposite of the command.
    #[error("`{option}` is no answer for that: `omne {}` takes it", if approves(option) { "approve" } else { "reject" })]
    Contradiction {
        /// What was said.
        option: String,
    },
    /// The comment does not fit an event.
    #[error("the comment has {0} bytes; 4096 are the most")]
    LongComment(usize),
    /// It has no such option.
    #[error("`{option}` is no answer to `{node}`; there are: {}", options.join(", "))]
    NoOption {
        /// The node.
        node: String,
        /// What was said.
        option: String,
        /// What can be.
        options: Vec<String>,
    },
}

/// What an option says by its first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Yes,
    No,
    /// Neither: who takes it says whether the node may go on.
    Either,
}

fn meaning(option: &str) -> Meaning {
    let mut words = option.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let second = words.next();
    let is_one_of = |all: &[&str]| all.iter().any(|word| first.eq_ignore_ascii_case(word));
    let is_do_not =
        first.eq_ignore_ascii_case("do") && second.is_some_and(|word| word.eq_ignore_ascii_case("not"));
    if is_one_of(&NO) || is_do_not {
        Meaning::No
    } else if is_one_of(&YES) || second.is_none() && is_one_of(&YES_ALONE) {
        Meaning::Yes
    } else {
        Meaning::Either
    }
}

/// Whether an option lets a node go on when somebody picks it.
pub fn approves(option: &str) -> bool {
    meaning(option) != Meaning::No
}

/// The event of an answer.
fn decided(state: &RunState, answer: &Answer) -> Result<GateDecided, DecisionError> {
    let node = match &answer.node {
        Some(node) => node.as_str(),
        None => only_one_that_waits(state)?,
    };
    let index = state.find(node).ok_or_else(|| DecisionError::NoNode(node.to_owned()))?;
    let record = state.node(index);
    let gate = record.gate().filter(|gate| record.phase == NodePhase::Waiting && gate.is_waiting());
    let Some(gate) = gate else {
        let decision = record.gate().and_then(Gate::decision);
        let state = match decision {
            Some(true) => "approved already",
            Some(false) => "rejected already",
            None => record.phase.as_str(),
        };
        return Err(DecisionError::NotWaiting { node: node.to_owned(), state: state.to_owned() });
    };
    if let Some(bytes) = answer.comment.as_ref().map(String::len).filter(|bytes| *bytes > MOST_COMMENT) {
        return Err(DecisionError::LongComment(bytes));
    }
    let option = match &answer.option {
        Some(option)
            if gate.options.contains(option)
                && meaning(option) == if answer.approved { Meaning::No } else { Meaning::Yes } =>
        {
            return Err(DecisionError::Contradiction { option: option.clone() });
        }
        Some(option) if gate.options.contains(option) => option.clone(),
        Some(option) => {
            let options = gate.options.clone();
            return Err(DecisionError::NoOption { node: node.to_owned(), option: option.clone(), options });
        }
        None => {
            let said = |meant: Meaning| gate.options.iter().find(|option| meaning(option) == meant);
            let fitting = match answer.approved {
                true => said(Meaning::Yes).or_else(|| said(Meaning::Either)),
                false => said(Meaning::No),
            };
            let usual = if answer.approved { "approve" } else { "reject" };
            fitting.cloned().unwrap_or_else(|| usual.to_owned())
        }
    };
    Ok(GateDecided {
        node_id: NodeId::new(node).map_err(|_| DecisionError::NoNode(node.to_owned()))?,
        gate: gate.gate.clone(),
        option,
        approved: answer.approved,
        by: answer.by.clone(),
        comment: answer.comment.clone(),
    })
}

fn only_one_that_waits(state: &RunState) -> Result<&str, DecisionError> {
    let waiting = state.nodes().filter(|(_, _, record)| record.phase == NodePhase::Waiting);
    let ids: Vec<&str> = waiting.map(|(id, _, _)| id.as_str()).collect();
    match ids[..] {
        [id] => Ok(id),
        [] => Err(DecisionError::NobodyWaits),
        _ => Err(DecisionError::SeveralWait(ids.into_iter().map(str::to_owned).collect())),
    }
}

/// The answer that counts when nobody gave one in time.
pub(crate) fn expired(node_id: &NodeId, gate: &Gate) -> GateDecided {
    let refusal = || gate.options.iter().find(|option| meaning(option) == Meaning::No).cloned();
    let option = gate.default.clone().or_else(refusal).unwrap_or_else(|| "reject".to_owned());
    // Silence is no approval: a default that is neither yes nor no is one only where it is the first option.
    let approved = gate.default.as_ref().is_some_and(|default| match meaning(default) {
        Meaning::Yes => true,
        Meaning::No => false,
        Meaning::Either => gate.options.first() == Some(default),
    });
    GateDecided {
        node_id: node_id.clone(),
        gate: gate.gate.clone(),
        approved,
        option,
        by: "ask_timeout".to_owned(),
        comment: Some("nobody answered in time".to_owned()),
    }
}

/// What a decision in the log means for its node.
pub(crate) fn of(decided: &GateDecided) -> Decision {
    Decision { approved: decided.approved, by: decided.by.clone(), comment: decided.comment.clone() }
}

fn directory(run: &RunDir) -> PathBuf {
    run.path.join("decisions")
}

/// The answers that others left for the runner of this run; each is given once.
pub(crate) fn take_answers(run: &RunDir) -> Vec<GateDecided> {
    let entries = fs::read_dir(directory(run)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    paths.sort();
    let mut answers = Vec::new();
    for path in paths {
        if let Some(answer) = read_private(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            answers.push(answer);
        }
        // Whoever left it sees by this that it was taken.
        let _ = fs::remove_file(&path);
    }
    answers
}

/// Answers a node that waits. Which one it was, and who wrote it down.
pub fn decide(
    run: &RunDir,
    answer: &Answer,
    clock: &dyn Clock,
    ids: Box<dyn IdGen>,
) -> Result<(NodeId, Decided), RunError> {
    match OwnedLog::take(run) {
        Err(RunError::Open(OpenError::Owned { path, pid })) => {
            let Some(owner) = pid else { return Err(OpenError::Owned { path, pid }.into()) };
            Ok((leave(run, answer, owner)?, Decided::ByOwner))
        }
        Err(error) => Err(error),
        Ok((log, mut state)) => {
            let event = decided(&state, answer)?;
            let node = event.node_id.clone();
            let (mut log, _) = log.go_on(ids)?;
            let record = log.append(clock.now(), event.into())?;
            state.apply(&record).map_err(|violation| RunError::System(violation.to_string(), None))?;
            log.flush_and_sync()?;
            Ok((node, Decided::Here))
        }
    }
}

/// Leaves an answer where the runner finds it, and waits until it is taken.
fn leave(run: &RunDir, answer: &Answer, owner: u32) -> Result<NodeId, RunError> {
    let folded = omne_events::LogReader::open(&run.log())
        .map_err(omne_replay::FoldError::Read)
        .and_then(|mut reader| omne_replay::fold(RunState::new(), &mut reader, None, &mut |_, _| {}))
        .map_err(|source| RunError::of_log(&run.id, source))?;
    let event = decided(&folded.state, answer)?;
    let directory = directory(run);
    let path = directory.join(format!("{}.json", event.node_id));
    let new = directory.join(format!("{}.new", event.node_id));
    let write = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        write_private(&new, &serde_json::to_vec(&event)?)?;
        fs::rename(&new, &path)
    };
    write().map_err(|source| RunError::Io { verb: "write", path: path.clone(), source })?;
    signal(owner)?;
    let until = Instant::now() + PATIENCE;
    while path.exists() && Instant::now() < until {
        if matches!(LockedLog::owner(&run.log()), Ok(None)) {
            let _ = fs::remove_file(&path);
            let gone = "the runner ended before it took the answer; give it again";
            return Err(RunError::System(gone.into(), None));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if fs::remove_file(&path).is_ok() {
        // Left there, it would look like a decision, and be lost with its runner.
        let late =
            format!("its runner, process {owner}, did not take the answer; give it again when that goes on");
        return Err(RunError::System(late, Some(io::ErrorKind::TimedOut.into())));
    }
    Ok(event.node_id)
}

#[cfg(test)]
mod tests {
    use omne_events::NodeId;

    use super::*;

    #[test]
    fn an_option_says_yes_or_no_by_its_first_word() {
        for no in
            ["n", "No", "NO WAY", "not now", "never", "decline", "skip it", "don't", "do not ship", "stop!"]
        {
            assert_eq!(meaning(no), Meaning::No, "{no}");
        }
        for yes in ["y", "YES", "yes, ship it", "go", "Approve", "ok"] {
            assert_eq!(meaning(yes), Meaning::Yes, "{yes}");
        }
        for either in ["staging", "norway", "do it", "", "okra", "go back", "on hold", "continue later"] {
            assert_eq!(meaning(either), Meaning::Either, "{either}");
        }
    }

    #[test]
    fn silence_approves_only_by_a_default_that_says_so() {
        let expired = |options: &[&str], default: Option<&str>| {
            let gate = Gate {
                gate: "g".into(),
                state: "waiting",
                prompt: None,
                options: options.iter().map(|option| (*option).to_owned()).collect(),
                default: default.map(str::to_owned),
                by: None,
                comment: None,
                since: None,
                by_people: false,
            };
            let decided = super::expired(&NodeId::new("a").unwrap(), &gate);
            (decided.option, decided.approved)
        };
        assert_eq!(expired(&["y", "n"], Some("n")), ("n".into(), false));
        assert_eq!(expired(&["proceed", "decline"], Some("decline")), ("decline".into(), false));
        assert_eq!(expired(&["yes", "no"], Some("yes")), ("yes".into(), true));
        assert_eq!(expired(&["staging", "production"], Some("production")), ("production".into(), false));
        assert_eq!(expired(&["staging", "production"], Some("staging")), ("staging".into(), true));
        assert_eq!(expired(&["go ahead", "go back"], Some("go back")), ("go back".into(), false));
        assert_eq!(expired(&["go ahead", "go back"], Some("go ahead")), ("go ahead".into(), true));
        assert_eq!(expired(&["yes", "no"], None), ("no".into(), false));
        assert_eq!(expired(&["a", "b"], None), ("reject".into(), false));
    }
}
