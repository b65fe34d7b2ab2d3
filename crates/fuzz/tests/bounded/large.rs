//! Large files of one shape each.

/// How often a shape repeats: with the square of it, a test of either build would take minutes.
const MANY: usize = if cfg!(debug_assertions) { 8_000 } else { 100_000 };

pub(crate) fn pipes() -> Vec<(&'static str, String)> {
    let many = |one: &dyn Fn(usize) -> String| (0..MANY).map(one).collect::<String>();
    let node = "nodes: [{id: a, bash: make}]\n";
    let keys = many(&|n| format!("K{n}: v, "));
    let shapes = [
        ("merged maps", format!("env: {{<<: {{{keys}}}, {keys}}}\n{node}")),
        ("inputs", format!("inputs:\n{}{node}", many(&|n| format!("  k{n}:\n")))),
        ("unknown keys", format!("{}{node}", many(&|n| format!("k{n}: v\n")))),
        (
            "names that do not exist",
            format!(
                "nodes:\n{}",
                many(&|n| format!("- {{id: n{n}, bash: make, when: nodes.m{n}.output}}\n"))
            ),
        ),
        (
            "dependencies that do not exist",
            format!("nodes:\n{}", many(&|n| format!("- {{id: n{n}, bash: make, depends_on: [m{n}]}}\n"))),
        ),
        (
            "a name far above",
            format!(
                "nodes:\n- {{id: n0, bash: make}}\n{}",
                many(&|n| format!(
                    "- {{id: n{}, depends_on: [n{n}], bash: make, when: nodes.n0.output}}\n",
                    n + 1
                ))
            ),
        ),
        (
            "a ring",
            format!(
                "nodes:\n{}",
                many(&|n| format!("- {{id: n{n}, depends_on: [n{}], bash: make}}\n", (n + 1) % MANY))
            ),
        ),
        (
            "keys before nodes",
            format!(
                "{}nodes:\n{}",
                many(&|n| format!("k{n}: v\n")),
                many(&|n| format!("- {{id: n{n}, bash: make}}\n"))
            ),
        ),
        (
            "one dependency many times",
            format!(
                "nodes: [{{id: a, bash: make}}, {{id: b, bash: make, depends_on: [{}]}}]\n",
                "a, ".repeat(MANY)
            ),
        ),
        ("faults on one line", format!("nodes: [{}]\n", many(&|n| format!("{{id: n{n}, bsh: make}}, ")))),
    ];
    shapes.map(|(shape, text)| (shape, format!("name: p\nversion: 1\n{text}"))).into()
}
