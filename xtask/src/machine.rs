//! What was measured on.

use std::process::Command;

/// The first line that a program prints, if it can be started.
pub(crate) fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// Processor, memory, kernel, system and compiler in one line.
pub(crate) fn description() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<f64>().ok())
        .map_or_else(String::new, |kib| format!(", {:.0} GiB", kib / 1024.0 / 1024.0));
    let system = read("/etc/os-release")
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME=").map(|name| name.trim_matches('"').to_owned()))
        .unwrap_or_else(|| "unknown system".to_owned());
    let kernel = first_line("uname", &["-sr"]).unwrap_or_else(|| "unknown kernel".to_owned());
    let compiler = first_line("rustc", &["--version"]).unwrap_or_else(|| "unknown compiler".to_owned());
    format!("{cpus} × {model}{memory}; {kernel}; {system}; {compiler}")
}

/// The commit, with `+` when the work tree differs from it.
pub(crate) fn commit() -> String {
    let root = crate::workspace();
    let root = root.to_string_lossy();
    let Some(commit) = first_line("git", &["-C", &root, "rev-parse", "--short", "HEAD"]) else {
        return "an unknown commit".to_owned();
    };
    match first_line("git", &["-C", &root, "status", "--porcelain", "--untracked-files=no"]) {
        Some(_) => format!("commit {commit} with changes"),
        None => format!("commit {commit}"),
    }
}

/// Today, in UTC.
pub(crate) fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
