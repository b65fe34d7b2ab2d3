//! What a bash node runs.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use omne_events::ErrorKind;
use omne_pipe::Node;
use omne_process::{Directory, Environment, Mark, Sink, Spec};

use crate::{local::Places, node::verdict::Failure};

/// `sh -c` with the script as it is: nothing is ever put into it.
pub(crate) fn spec(
    places: &Places,
    nodes: &Directory,
    node: &Node,
    script: &str,
    environment: Environment,
    mark: Mark,
) -> Result<Spec, Failure> {
    let capture = |ending: &str| Sink::File(nodes.clone(), format!("{}.{ending}", node.id));
    Ok(Spec {
        program: places.shell.clone(),
        args: vec![OsString::from("-c"), OsString::from(script)],
        cwd: working_directory(&places.workspace, node)?,
        environment,
        mark,
        stdin: None,
        stdout: capture("out"),
        stderr: capture("err"),
        mask: None,
        output_limit: places.output_limit,
    })
}

/// Where a node runs. A link that leads out of the workspace is not followed.
pub(crate) fn working_directory(workspace: &Path, node: &Node) -> Result<PathBuf, Failure> {
    let Some(cwd) = node.cwd() else { return Ok(workspace.to_owned()) };
    let place = workspace.join(cwd);
    if let (Ok(real), Ok(top)) = (place.canonicalize(), workspace.canonicalize())
        && !real.starts_with(top)
    {
        let message = format!("`cwd` leads out of the workspace by a link: `{cwd}` is `{}`", real.display());
        return Err(Failure::new(ErrorKind::SpawnFailed, message));
    }
    Ok(place)
}
