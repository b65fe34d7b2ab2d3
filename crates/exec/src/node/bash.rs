//! What a bash node runs.

use std::{ffi::OsString, path::Path};

use omne_pipe::Node;
use omne_process::{Directory, Environment, Mark, Sink, Spec};

use crate::local::Places;

/// `sh -c` with the script as it is: nothing is ever put into it.
pub(crate) fn spec(
    places: &Places,
    nodes: &Directory,
    node: &Node,
    script: &str,
    environment: Environment,
    mark: Mark,
) -> Spec {
    let capture = |ending: &str| Sink::File(nodes.clone(), format!("{}.{ending}", node.id));
    Spec {
        program: places.shell.clone(),
        args: vec![OsString::from("-c"), OsString::from(script)],
        cwd: working_directory(&places.workspace, node),
        environment,
        mark,
        stdin: None,
        stdout: capture("out"),
        stderr: capture("err"),
        mask: None,
        output_limit: places.output_limit,
    }
}

pub(crate) fn working_directory(workspace: &Path, node: &Node) -> std::path::PathBuf {
    match &node.cwd {
        Some(cwd) => workspace.join(&**cwd),
        None => workspace.to_owned(),
    }
}
