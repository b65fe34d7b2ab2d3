//! Volumes to measure in.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
pub(crate) use omne_bench::{Made, Shape};

/// A volume of `omne` at `directory` with that setting.
pub(crate) fn volume(directory: &Path, durability: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(directory.join(".omne"))
        .with_context(|| format!("cannot make `{}`", directory.display()))?;
    std::fs::write(directory.join(".omne/omne.toml"), format!("durability = \"{durability}\"\n"))?;
    Ok(directory.to_owned())
}

/// A run of exactly that many events in the volume.
pub(crate) fn file_log(volume: &Path, number: u64, events: u64, nodes: u64) -> Result<Made> {
    self::volume(volume, "auto")?;
    omne_bench::file_log(volume, number, events, nodes).map_err(|error| anyhow!("cannot make a log: {error}"))
}
