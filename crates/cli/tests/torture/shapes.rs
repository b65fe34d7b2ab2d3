//! Pipes of several shapes whose nodes leave a trace of each attempt, in files that no runner knows of.

use crate::sandbox::Sandbox;

/// A pipe, and what comes of it when nobody disturbs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    nodes: &'static str,
    /// What its loop's agent says.
    agent: Option<(&'static str, &'static str)>,
    pub(crate) code: i32,
    pub(crate) states: &'static str,
}

/// Written with the built-ins of the shell alone, so that a node is quick. `begin` takes the node's dependencies.
const NOTES: &str = r#"
begin() {
  for d in "$@"; do
    last=none
    while read -r line; do last=$line; done < "effects/$d"
    case $last in end*) ;; *) echo "$OMNE_NODE_ID began before $d had ended: $last" >> violations ;; esac
  done
  echo "start $OMNE_ATTEMPT" >> "effects/$OMNE_NODE_ID"
}
end() { echo "end $OMNE_ATTEMPT" >> "effects/$OMNE_NODE_ID"; }
"#;

pub(crate) const CHAIN: Shape = Shape {
    name: "chain",
    nodes: "
- {id: a, bash: '. ./notes; begin; echo a; end'}
- {id: b, depends_on: [a], bash: '. ./notes; begin a; echo b; echo k=v >> \"$OMNE_OUTPUT\"; end'}
- {id: c, depends_on: [b], bash: '. ./notes; begin b; echo \"$OMNE_OUTPUTS_B_K\"; end'}",
    agent: None,
    code: 0,
    states: "completed: a completed, b completed, c completed",
};

pub(crate) const FAN: Shape = Shape {
    name: "fan",
    nodes: "
- {id: a, bash: '. ./notes; begin; end'}
- {id: b, depends_on: [a], bash: '. ./notes; begin a; echo b; end'}
- {id: c, depends_on: [a], bash: '. ./notes; begin a; echo c >&2; end'}
- {id: d, depends_on: [a], bash: '. ./notes; begin a; end'}
- {id: e, depends_on: [b, c, d], bash: '. ./notes; begin b c d; end'}",
    agent: None,
    code: 0,
    states: "completed: a completed, b completed, c completed, d completed, e completed",
};

pub(crate) const RETRY: Shape = Shape {
    name: "retry",
    nodes: "
- {id: a, retry: {max: 2, delay: 5ms}, bash: '. ./notes; begin; test \"$OMNE_ATTEMPT\" -ge 2 || exit 3; end'}
- {id: b, depends_on: [a], bash: '. ./notes; begin a; end'}
- {id: bad, depends_on: [b], retry: {max: 1, delay: 5ms}, bash: 'echo no >&2; exit 4'}
- {id: after, depends_on: [bad], bash: '. ./notes; begin bad; end'}",
    agent: None,
    code: 1,
    states: "aborted: a completed, b completed, bad failed(crash), after blocked",
};

pub(crate) const GATE: Shape = Shape {
    name: "gate",
    nodes: "
- {id: a, gate: fine, bash: '. ./notes; begin; echo a; end'}
- {id: b, depends_on: [a], gate: fine, bash: '. ./notes; begin a; end'}",
    agent: None,
    code: 0,
    states: "completed: a completed, b completed",
};

pub(crate) const LOOP: Shape = Shape {
    name: "loop",
    nodes: "
- {id: first, bash: '. ./notes; begin; end'}
- {id: a, depends_on: [first], loop: {prompt: 'round {{ iteration }}', until: DONE, max_iterations: 9}}
- {id: b, depends_on: [a], bash: '. ./notes; begin; end'}",
    agent: Some(("a", "init\nsay one\nresult\n---\ninit\nsay two\nresult\n---\ninit\nsay DONE\nresult")),
    code: 0,
    states: "completed: first completed, a completed, b completed",
};

pub(crate) const FLOOD: Shape = Shape {
    name: "flood",
    nodes: "
- {id: a, bash: '. ./notes; begin; head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2; end'}
- {id: b, depends_on: [a], bash: '. ./notes; begin a; head -c 100000 /dev/zero; end'}",
    agent: None,
    code: 0,
    states: "completed: a completed, b completed",
};

/// All of them.
pub(crate) const ALL: [Shape; 6] = [CHAIN, FAN, RETRY, GATE, LOOP, FLOOD];

impl Shape {
    pub(crate) const fn new(
        name: &'static str,
        nodes: &'static str,
        code: i32,
        states: &'static str,
    ) -> Self {
        Self { name, nodes, agent: None, code, states }
    }

    /// A volume with this pipe.
    pub(crate) fn sandbox(&self) -> Sandbox {
        let sandbox = Sandbox::new();
        self.furnish(&sandbox);
        sandbox
    }

    pub(crate) fn furnish(&self, sandbox: &Sandbox) {
        std::fs::create_dir_all(sandbox.path("effects")).unwrap();
        sandbox
            .file("notes", NOTES)
            .gate("fine", "echo fine")
            .pipe(&format!("jobs: 2\nnodes:{}", self.nodes));
        if let Some((node, script)) = self.agent {
            sandbox.agent(node, script);
        }
    }
}
