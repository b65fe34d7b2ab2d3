//! Pipe files.

use omne_pipe::{
    Checked, Colour, Commands, Diagnostic, Identities, NoLookup, Pipe, Severity, Source, Values, check,
    from_definition, render,
};

/// A pipe in YAML or JSON.
pub fn pipe(bytes: &[u8]) {
    checked("p.yaml", bytes);
}

/// A pipe as the front matter of a Markdown file; also with the bytes as the front matter alone.
pub fn pipe_markdown(bytes: &[u8]) {
    checked("p.md", bytes);
    checked("p.md", &[b"---\n", bytes, b"\n---\n# A pipe\n"].concat());
}

/// Each fault has a place inside the file and can be shown; there is a pipe exactly if there is no error; and the
/// definition that goes into a log is the same pipe.
fn checked(name: &str, bytes: &[u8]) {
    let source = match Source::new(name, bytes.to_vec()) {
        Ok(source) => source,
        Err(refused) => {
            let (source, fault) = *refused;
            return shown(&fault, &source, &String::from_utf8_lossy(bytes));
        }
    };
    let text = String::from_utf8_lossy(bytes);
    let Checked { pipe, diagnostics } = check(&source, &NoLookup);
    for fault in &diagnostics {
        shown(fault, &source, &text);
    }
    let failed = diagnostics.iter().any(|fault| fault.severity() == Severity::Error);
    assert_eq!(pipe.is_none(), failed, "{diagnostics:?}");
    if let Some(pipe) = pipe {
        same_in_a_log(&pipe);
    }
}

fn shown(fault: &Diagnostic, source: &Source, text: &str) {
    assert!(!fault.message.is_empty() && !fault.advice().is_empty());
    for colour in [Colour::No, Colour::Yes] {
        assert!(render(fault, source, colour).contains(fault.code.as_str()));
    }
    let plain = render(fault, source, Colour::No);
    let commands = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!plain.contains(commands), "a control character reaches the terminal: {plain:?}");
    fault.to_json(source.name());
    let Some(at) = fault.at else { return };
    // What YAML takes for the end of a line.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let line = text.split('\n').nth(at.line as usize - 1);
    let line = line.unwrap_or_else(|| panic!("line {} of {}: {fault:?}", at.line, text.split('\n').count()));
    let most = line.chars().count() + 1;
    assert!((1..=most).contains(&(at.column as usize)), "column {} of {most}: {fault:?}", at.column);
}

fn same_in_a_log(pipe: &Pipe) {
    let again = match from_definition(pipe.definition()) {
        Ok(again) => again,
        Err(faults) => panic!("the definition has faults that the file had not: {faults:?}"),
    };
    assert_eq!(again.definition(), pipe.definition());
    assert_eq!(again.definition_sha256(), pipe.definition_sha256());
    let values = Values::new();
    let (mut of, mut of_again) =
        (Identities::new(pipe, Commands::new()), Identities::new(&again, Commands::new()));
    for node in pipe.graph().nodes() {
        assert_eq!(again.node_definition(node), pipe.node_definition(node));
        assert_eq!(format!("{:?}", again.node(node)), format!("{:?}", pipe.node(node)));
        assert_eq!(of_again.of(&again, &values, node), of.of(pipe, &values, node));
        serde_json::from_str::<serde_json::Value>(pipe.node_definition(node))
            .expect("a node's definition is JSON");
        assert_eq!(pipe.find(pipe.node(node).id.as_str()), Some(node));
    }
    let omne_audit_svg = omne_audit::svg(pipe, None);
    assert!(omne_audit_svg.starts_with("<svg"));
}
