//! What would run, and why.

use omne_dag::NodeIx;
use omne_events::{PlanAction, PlanStep};
use omne_pipe::{Body, Pipe};
use serde_json::json;

use super::{Paint, table, visible};

/// A node of a new run: when it comes, and why not before.
struct Step {
    node: NodeIx,
    number: usize,
    why: String,
}

fn steps(pipe: &Pipe) -> Vec<Step> {
    let layers = pipe.graph().layers();
    let mut order: Vec<NodeIx> = pipe.graph().nodes().collect();
    order.sort_by_key(|node| (layers[node.place()], *node));
    let step = |node: NodeIx| {
        let model = pipe.node(node);
        let needs: Vec<&str> =
            pipe.graph().dependencies(node).iter().map(|d| pipe.node(*d).id.as_str()).collect();
        let mut why = match needs[..] {
            [] => "nothing has to come before".to_owned(),
            _ => format!("after {} ({})", needs.join(", "), model.trigger_rule.as_str()),
        };
        if let Some(when) = model.when() {
            why += &format!(", when {}", when.source());
        }
        if let Some(gate) = model.gate() {
            why += &format!(", then the gate {gate}");
        }
        Step { node, number: layers[node.place()] + 1, why }
    };
    order.into_iter().map(step).collect()
}

/// The plan of a new run: the order, and what each node waits for.
pub(crate) fn dry_run(pipe: &Pipe, paint: Paint) -> String {
    let mut rows = vec![["STEP", "NODE", "DOES", "WHY"].map(str::to_owned).to_vec()];
    for Step { node, number, why } in steps(pipe) {
        let model = pipe.node(node);
        let text = match &model.body {
            Body::Bash(script) => script,
            Body::Prompt(prompt) => prompt.source(),
            Body::Command(command) => command.as_str(),
            Body::Loop(rounds) => rounds.until.as_str(),
        };
        rows.push(vec![
            number.to_string(),
            model.id.to_string(),
            format!("{}: {}", model.kind().as_str(), first_line(text)),
            why.replace('\n', " "),
        ]);
    }
    table(&rows, |row, column, cell| if row == 0 || column != 1 { paint.dim(cell) } else { cell.into() })
}

/// The same for programs.
pub(crate) fn dry_run_json(pipe: &Pipe) -> serde_json::Value {
    let step = |step: Step| {
        let node = pipe.node(step.node);
        json!({ "node_id": node.id, "kind": node.kind(), "action": PlanAction::Run, "step": step.number, "why": step.why })
    };
    json!({ "pipe": pipe.name(), "plan": steps(pipe).into_iter().map(step).collect::<Vec<_>>() })
}

fn first_line(text: &str) -> String {
    const MOST: usize = 40;
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let mut shown: String = visible(line).chars().take(MOST).collect();
    if shown.chars().count() < text.trim().chars().count() {
        shown.push('…');
    }
    shown
}

/// What a resume does with each node, and why.
pub(crate) fn resume_plan(plan: &[PlanStep], paint: Paint) -> String {
    let mut rows = vec![["NODE", "ACTION", "WHY"]];
    for step in plan {
        rows.push([step.node_id.as_str(), step.action.as_str(), &step.why]);
    }
    table(&rows, |row, column, cell| match (row, column) {
        (0, _) | (_, 2) => paint.dim(cell),
        (_, 1) if plan[row - 1].action == PlanAction::Keep => paint.green(cell),
        (_, 1) => paint.yellow(cell),
        _ => cell.into(),
    })
}
