//! Writes the corpus and the dictionary of each surface to where `cargo fuzz` looks for them:
//! `cargo run -p omne-fuzz --example corpus` makes `fuzz/corpus/<surface>/` and `fuzz/dictionaries/<surface>`.

use std::{fmt::Write, fs, io, path::Path};

fn main() -> io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for surface in omne_fuzz::all() {
        let corpus = fuzz.join("corpus").join(surface.name);
        fs::create_dir_all(&corpus)?;
        for (place, input) in omne_fuzz::corpus::of(surface.name, surface.most)?.iter().enumerate() {
            fs::write(corpus.join(format!("fixture-{place:03}")), input)?;
        }
        let mut words = String::new();
        for word in surface.words {
            let escaped: String = word.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            writeln!(words, "\"{escaped}\"").map_err(io::Error::other)?;
        }
        fs::create_dir_all(fuzz.join("dictionaries"))?;
        fs::write(fuzz.join("dictionaries").join(surface.name), words)?;
    }
    Ok(())
}
