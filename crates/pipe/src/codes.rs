//! Every fault that can be found in a pipe file, with a stable code and an explanation.

use crate::diagnostic::Severity;

/// What `omne explain` tells of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// Such as `E0103`.
    pub code: &'static str,
    /// The fault in a few words.
    pub title: &'static str,
    /// Why it is one, and what is allowed.
    pub text: &'static str,
    /// An example that has it.
    pub bad: &'static str,
    /// The same without.
    pub good: &'static str,
}

macro_rules! codes {
    ($($variant:ident $code:literal $title:literal { $text:literal bad: $bad:literal good: $good:literal })*) => {
        /// The kind of a fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant),*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// What there is to say about it.
            pub fn explanation(self) -> Explanation {
                match self {
                    $(Code::$variant => {
                        Explanation { code: $code, title: $title, text: $text, bad: $bad, good: $good }
                    })*
                }
            }
        }
    };
}

impl Code {
    /// Such as `E0103`.
    pub fn as_str(self) -> &'static str {
        self.explanation().code
    }

    /// Codes with `E` are errors, those with `W` warnings.
    pub fn severity(self) -> Severity {
        if self.as_str().starts_with('W') { Severity::Warning } else { Severity::Error }
    }
}

/// The explanation of the code written `text`, in any case.
pub fn explain(text: &str) -> Option<Explanation> {
    let found = |code: &&Code| code.as_str().eq_ignore_ascii_case(text);
    Code::ALL.iter().find(found).map(|code| code.explanation())
}

codes! {
    Syntax "E0001" "the file is not YAML" {
        "The parser stops at the place shown. Texts that hold `: ` or ` #`, or begin with one of `[{*&!|>%@`, need quotes."
        bad: "description: build: the fast way"
        good: "description: \"build: the fast way\""
    }
    TooLarge "E0002" "the file is too large" {
        "A pipe has at most 32 MiB; nothing of a larger file is read. A node has at most a million values, and so has what is around the nodes."
        bad: "# a file of 100 MB"
        good: "# a file of a few KB"
    }
    NotText "E0003" "the file is not text" {
        "A pipe file is UTF-8 without NUL bytes."
        bad: "# bytes of an image"
        good: "# text saved as UTF-8"
    }
    Depth "E0004" "the file is nested too deep" {
        "Lists and maps nest at most 64 deep; a pipe needs five."
        bad: "[[[[[[…]]]]]]"
        good: "nodes: [{id: a, bash: \"true\"}]"
    }
    Aliases "E0005" "the aliases stand for too much" {
        "Anchors and aliases may be used, but all aliases together stand for at most 10,000 values with 32 MiB of text, and none for a value that holds it. Anchors within anchors may not name much more than the file holds."
        bad: "a: &a [*a]"
        good: "a: &a [1]\nb: *a"
    }
    FrontMatter "E0006" "a Markdown pipe has no front matter" {
        "In a `.md` file the pipe is the YAML between two lines `---` at the very top; the rest is documentation."
        bad: "# My pipe\nname: x"
        good: "---\nname: x\n…\n---\n# My pipe"
    }
    TooManyNodes "E0007" "the pipe has too many nodes" {
        "A pipe has at most as many nodes as the setting `limits.nodes` says, which is 1,000,000 unless `.omne/omne.toml` says otherwise."
        bad: "nodes: […] # a million and one"
        good: "nodes: [{id: a, bash: \"true\"}]"
    }
    TooManyFaults "E0008" "the file has too many faults" {
        "The first 10,000 faults are told one by one, and of further errors only how many there are."
        bad: "# ten thousand lines with a fault each, and one more"
        good: "nodes: [{id: a, bash: \"true\"}]"
    }
    UnknownKey "E0101" "a key is not known" {
        "Keys that `omne` does not know are errors, so that a misspelt one is not silently without effect."
        bad: "- id: a\n  bassh: make"
        good: "- id: a\n  bash: make"
    }
    DuplicateKey "E0102" "a key stands twice" {
        "Only one of the values could count, so neither does."
        bad: "- id: a\n  bash: make\n  bash: make test"
        good: "- id: a\n  bash: make && make test"
    }
    UnknownDependency "E0103" "a dependency does not exist" {
        "`depends_on` names ids of nodes of the same pipe."
        bad: "- id: build\n- id: test\n  depends_on: [biuld]"
        good: "- id: build\n- id: test\n  depends_on: [build]"
    }
    MissingKey "E0104" "a required key is missing" {
        "A pipe needs `name`, `version` and `nodes`; a node needs `id`."
        bad: "name: x\nnodes: […]"
        good: "name: x\nversion: 1\nnodes: […]"
    }
    WrongType "E0105" "a value has the wrong type" {
        "The message says what is needed and what stands there."
        bad: "- id: a\n  depends_on: b"
        good: "- id: a\n  depends_on: [b]"
    }
    BadValue "E0106" "a value is not one of those possible" {
        "The message lists them."
        bad: "trigger_rule: all_succes"
        good: "trigger_rule: all_success"
    }
    BadName "E0107" "a name is not allowed" {
        "Names become file names: a pipe's is `[a-z0-9][a-z0-9_-]*`, a node's `[A-Za-z0-9_][A-Za-z0-9_.-]*` without `..`; commands and gates likewise."
        bad: "- id: ../../etc/passwd"
        good: "- id: passwd"
    }
    DuplicateId "E0108" "two nodes have the same id" {
        "Ids are unique within a pipe."
        bad: "- id: a\n- id: a"
        good: "- id: a\n- id: b"
    }
    NoNodes "E0109" "the pipe has no nodes" {
        "A pipe that does nothing is a mistake."
        bad: "nodes: []"
        good: "nodes:\n  - id: a\n    bash: make"
    }
    NoKind "E0110" "a node does nothing" {
        "A node has exactly one of `bash`, `prompt`, `command` and `loop`."
        bad: "- id: a"
        good: "- id: a\n  bash: make"
    }
    SeveralKinds "E0111" "a node does several things" {
        "A node has exactly one of `bash`, `prompt`, `command` and `loop`."
        bad: "- id: a\n  bash: make\n  prompt: fix it"
        good: "- id: a\n  bash: make\n- id: b\n  depends_on: [a]\n  prompt: fix it"
    }
    SelfDependency "E0112" "a node depends on itself" {
        "It could never start."
        bad: "- id: a\n  depends_on: [a]"
        good: "- id: a"
    }
    Cycle "E0113" "nodes depend on each other in a ring" {
        "None of them could ever start. The message names the whole ring."
        bad: "- id: a\n  depends_on: [b]\n- id: b\n  depends_on: [a]"
        good: "- id: a\n- id: b\n  depends_on: [a]"
    }
    LoopBody "E0114" "a loop has no body, or two" {
        "A loop has exactly one of `prompt` and `command`, and an `until`."
        bad: "loop:\n  until: DONE"
        good: "loop:\n  prompt: Fix one test, then say DONE when none is left.\n  until: DONE"
    }
    BadUntil "E0115" "a loop's `until` can not be used" {
        "`until` is a line of its own in the agent's text: not empty, on one line, and not `BLOCKED`, which means failure."
        bad: "until: BLOCKED"
        good: "until: ALL_TESTS_PASS"
    }
    IterationBounds "E0116" "a loop's `max_iterations` is out of bounds" {
        "It is a number from 1 to 1000."
        bad: "max_iterations: 0"
        good: "max_iterations: 10"
    }
    AgentKeyOnBash "E0117" "a key for agents stands on a bash node" {
        "`model`, `agent`, `allowed_tools`, `max_turns`, `idle_timeout`, `agent_args` and `budget_usd` mean nothing to a shell."
        bad: "- id: a\n  bash: make\n  model: sonnet"
        good: "- id: a\n  bash: make"
    }
    BadDuration "E0118" "a duration can not be read" {
        "A duration is a number of seconds, or parts with the units `d`, `h`, `m`, `s` and `ms`."
        bad: "timeout: 5 minutes"
        good: "timeout: 5m"
    }
    MissingCommand "E0119" "a command file is missing" {
        "`command: NAME` needs `NAME.md` in `dist/cmds`, `dist/skills`, `core/cmds` or `core/skills` below `.omne`."
        bad: "command: plam"
        good: "command: plan"
    }
    MissingGate "E0120" "a gate script is missing or not a plain file" {
        "`gate: NAME` needs `.omne/dist/hooks/NAME.sh`; a link is not followed."
        bad: "gate: aproval"
        good: "gate: approval"
    }
    BadInputKey "E0121" "an input's key is not allowed" {
        "Keys of inputs become environment variables: letters, digits and `_`, not beginning with a digit, and different in upper case."
        bad: "inputs:\n  feature-name: {}"
        good: "inputs:\n  feature_name: {}"
    }
    BadInput "E0122" "an input's declaration does not fit together" {
        "The default has to be of the type, a `choice` needs `values`, a `pattern` is for strings and has to be a regular expression."
        bad: "level: { type: integer, default: high }"
        good: "level: { type: integer, default: 3 }"
    }
    TemplateSyntax "E0123" "a template or `when` can not be read" {
        "Prompts are minijinja templates, `when` is a minijinja expression. Filters (`x|upper`) and tests (`x is defined`) are those that minijinja brings along."
        bad: "when: \"inputs.level >\""
        good: "when: \"inputs.level > 2\""
    }
    UnknownName "E0124" "a template names something that does not exist" {
        "Templates know `inputs.<key>`, `nodes.<id>.output`, `nodes.<id>.outputs.<key>`, `run.id` and, in loops, `iteration`. An id with `-` or `.` is written `nodes['my-id']`."
        bad: "when: \"input.level > 2\""
        good: "when: \"inputs.level > 2\""
    }
    NotAnAncestor "E0125" "a template names a node that may not have run" {
        "Only nodes that this one depends on, directly or not, have surely ended before it."
        bad: "- id: b\n- id: a\n  when: \"nodes.b.outputs.ok == 'yes'\""
        good: "- id: b\n- id: a\n  depends_on: [b]\n  when: \"nodes.b.outputs.ok == 'yes'\""
    }
    TemplateInBash "E0126" "`{{` stands in a bash body" {
        "Bash is never templated, so that no input can become shell. Values arrive as environment variables; put them in double quotes."
        bad: "bash: echo {{ inputs.name }}"
        good: "bash: echo \"$OMNE_INPUT_NAME\""
    }
    BadEnvironment "E0127" "an environment variable is not allowed" {
        "A name has letters, digits and `_` and does not begin with a digit; those beginning with `OMNE_` are set by `omne`. A value is a text, number or truth value."
        bad: "env: { OMNE_RUN_ID: x }"
        good: "env: { MY_RUN: x }"
    }
    BadPath "E0128" "`cwd` leads out of the workspace" {
        "It is a relative path without `..`."
        bad: "cwd: ../other"
        good: "cwd: sub/dir"
    }
    OutOfRange "E0129" "a number is out of range" {
        "The message says what is possible."
        bad: "jobs: 0"
        good: "jobs: 4"
    }
    UndefinedSecret "E0130" "a secret is not defined" {
        "`secrets` names what `[secrets]` in `.omne/omne.toml` defines: there stands where each value comes from."
        bad: "secrets: [DEPLOY_TOKEN]"
        good: "secrets: [DEPLOY_TOKEN]\n# in .omne/omne.toml:\n# [secrets]\n# DEPLOY_TOKEN = { env = \"DEPLOY_TOKEN\" }"
    }
    UnquotedInput "W0201" "an input stands in bash without quotes" {
        "The shell splits it at blanks and expands `*`; with double quotes it stays whole."
        bad: "bash: rm $OMNE_INPUT_FILE"
        good: "bash: rm \"$OMNE_INPUT_FILE\""
    }
    NeverRuns "W0202" "nothing can ever start this node" {
        "Its `when` is always false, or what it needs is always skipped."
        bad: "when: \"false\""
        good: "when: \"inputs.deploy\""
    }
    DuplicateDependency "W0203" "a dependency stands twice" {
        "Once is enough."
        bad: "depends_on: [a, a]"
        good: "depends_on: [a]"
    }
    EnvironmentClash "W0204" "the outputs of two nodes share their variables" {
        "`-` and `.` become `_` and letters upper case, so the outputs of `a-b` and `a.b` have the same names."
        bad: "- id: a-b\n- id: a.b"
        good: "- id: a-b\n- id: a-c"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
    }

    #[test]
    fn a_code_is_found_in_any_case() {
        assert_eq!(explain("e0103").unwrap().title, "a dependency does not exist");
        assert_eq!(explain("E9999"), None);
    }
}
