//! `init`: a volume with a pipe that runs at once.

use std::{fs, io::Write, path::Path, process::ExitCode};

use omne_runner::Volume;

use crate::{
    args,
    failure::{Exit, Failure, Result},
    wire::Context,
};

struct Example {
    name: &'static str,
    about: &'static str,
    pipe: &'static str,
    gate: Option<(&'static str, &'static str)>,
}

const EXAMPLES: [Example; 3] = [
    Example {
        name: "hello",
        about: "fan-out, outputs, a gate, a retry",
        pipe: include_str!("../../../../fixtures/pipes/hello.yaml"),
        gate: Some(("hello-review.sh", include_str!("../../../../.omne/dist/hooks/hello-review.sh"))),
    },
    Example {
        name: "inputs",
        about: "typed inputs and conditions",
        pipe: include_str!("../../../../fixtures/pipes/inputs.yaml"),
        gate: None,
    },
    Example {
        name: "trigger-rules",
        about: "what runs after a failure",
        pipe: include_str!("../../../../fixtures/pipes/trigger-rules.yaml"),
        gate: None,
    },
];

const SETTINGS: &str = "\
# Settings of this volume; all of them are optional.

# Most nodes at once (default: the number of processors).
# jobs = 4

# How soon events survive a power cut: \"auto\" (within 50 ms), \"strict\" or \"none\".
# durability = \"auto\"

# [limits]
# The most bytes that one attempt may print.
# output_bytes = 1073741824
# The most nodes that a pipe may have.
# nodes = 1000000
";

pub(super) fn init(args: &args::Init, context: &Context) -> Result<ExitCode> {
    let Some(example) = EXAMPLES.iter().find(|example| example.name == args.example) else {
        let known: Vec<String> = EXAMPLES.iter().map(|e| format!("{} ({})", e.name, e.about)).collect();
        return Err(Failure::message(Exit::Input, format!("there is no example `{}`", args.example))
            .help(format!("there are: {}", known.join(", "))));
    };
    let root = context.root_for_init()?;
    let volume = Volume::make(&root).map_err(|(path, error)| cannot_write(&path, error))?;
    let mut made = Vec::new();
    make(&volume.place("omne.toml"), SETTINGS, &mut made)?;
    make(&volume.place("dist/pipes").join(format!("{}.yaml", example.name)), example.pipe, &mut made)?;
    if let Some((name, script)) = example.gate {
        make(&volume.place("dist/hooks").join(name), script, &mut made)?;
    }
    let mut stdout = std::io::stdout().lock();
    for path in &made {
        writeln!(stdout, "made {}", context.shown(Path::new(path)))?;
    }
    if made.is_empty() {
        writeln!(stdout, "everything was there already")?;
    }
    writeln!(stdout, "\ntry it:  omne run {}", example.name)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that is not there yet; what is there is never changed.
fn make(path: &Path, text: &str, made: &mut Vec<std::path::PathBuf>) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let write = || {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, text)
    };
    write().map_err(|error| cannot_write(path, error))?;
    made.push(path.to_owned());
    Ok(())
}

fn cannot_write(path: &Path, error: std::io::Error) -> Failure {
    let error = anyhow::Error::new(error).context(format!("cannot write `{}`", path.display()));
    Failure::new(Exit::Write, error).help("mend the permissions, or go to another directory")
}
