//! Few file descriptors, and few processes.

use crate::{
    aftermath,
    chance::points,
    shapes::{self, Shape},
};

/// Runs a shape under a limit of the shell's `ulimit`, and looks at everything.
fn limited(shape: &Shape, limit: &str, number: usize) -> bool {
    let sandbox = shape.sandbox();
    let mut command = sandbox.program("timeout");
    command.args(["-k", "5", "60", "sh", "-c", &format!("ulimit {limit} {number}; exec \"$@\""), "sh"]);
    command.arg(env!("CARGO_BIN_EXE_omne")).args(["run", "p"]);
    let output = sandbox.finish(command.output().unwrap());
    aftermath::is_civil(output.code, &output.stderr);
    if output.code == 127 {
        // Not even the program could be loaded.
        return false;
    }
    assert!([shape.code, 1, 2, 3, 8].contains(&output.code), "{limit} {number}: {output:?}");
    aftermath::nobody_is_left(&sandbox);
    if output.code != 0 {
        assert!(output.stderr.contains("error: ") || output.stderr.contains("failed"), "{output:?}");
    }
    match aftermath::told(sandbox.root()) {
        Some(told) if output.code == 0 => aftermath::is_over(&sandbox, shape, &[told]),
        Some(told) => aftermath::resumes(&sandbox, shape, &[told]),
        None => assert_ne!(output.code, 0),
    }
    output.code != 0
}

#[test]
fn a_run_that_lacks_descriptors_goes_on_once_it_has_them() {
    // With three it can't be loaded; with thirty it lacks nothing.
    for shape in [shapes::FAN, shapes::LOOP, shapes::FLOOD] {
        let refused = points(29, 4).into_iter().filter(|at| limited(&shape, "-n", 4 + at)).count();
        assert!(refused > 0, "{} lacked nothing", shape.name);
        eprintln!("{}: {refused} limits were too low", shape.name);
    }
}
