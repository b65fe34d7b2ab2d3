//! Each surface with a bounded number of inputs, the same in every run; more with `just fuzz`.
//!
//! | variable | |
//! | --- | --- |
//! | `OMNE_FUZZ_TIMES` | so many times as many inputs |
//! | `OMNE_FUZZ_SEED` | other inputs |
//! | `OMNE_FUZZ_FROM` | begin with the input of this number |
//! | `OMNE_FUZZ_INPUT` | try this file alone; the surface is the test that is asked for |

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]
#![expect(clippy::print_stdout, reason = "a long run says how far it came")]

mod large;
mod watch;

use std::{fs, panic, path::PathBuf};

use omne_fuzz::{Mutator, Surface, corpus};
use omne_pipe::{NoLookup, Source, check};

use watch::Watch;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} has to be a number")))
}

fn holds(name: &str) {
    let surface = omne_fuzz::all().into_iter().find(|surface| surface.name == name).unwrap();
    if let Some(path) = std::env::var_os("OMNE_FUZZ_INPUT") {
        return (surface.check)(&fs::read(path).unwrap());
    }
    let inputs = corpus::of(name, surface.most).unwrap();
    assert!(!inputs.is_empty(), "{name} has no corpus");
    let mutator = Mutator::new(&inputs, surface.words, surface.most);
    let seed = variable("OMNE_FUZZ_SEED").unwrap_or(1);
    let tries = surface.tries * variable("OMNE_FUZZ_TIMES").unwrap_or(1) + inputs.len() as u64;
    let watch = Watch::new(&surface, seed);
    for number in variable("OMNE_FUZZ_FROM").unwrap_or(0)..tries {
        let input = mutator.input(seed, number);
        watch.begin(number, &input);
        let outcome = panic::catch_unwind(|| (surface.check)(&input));
        watch.end();
        if outcome.is_err() {
            let path = keep(&surface, seed, number, &input);
            panic!(
                "{name}: the input numbered {number} of seed {seed} breaks the promise; {}",
                again(name, &path)
            );
        }
    }
    println!("{name}: {tries} inputs of seed {seed}, the slowest took {:?}", watch.slowest());
}

/// Stores an input for a second try.
fn keep(surface: &Surface, seed: u64, number: u64, input: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{seed}-{number}", surface.name));
    fs::write(&path, input).unwrap();
    path
}

fn again(name: &str, path: &std::path::Path) -> String {
    format!(
        "the input is {0}; try it alone by OMNE_FUZZ_INPUT={0} cargo test -p omne-fuzz --test bounded {name}",
        path.display()
    )
}

macro_rules! surfaces {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            holds(stringify!($name));
        })*

        #[test]
        fn every_surface_is_tried() {
            let tried = [$(stringify!($name)),*];
            assert_eq!(omne_fuzz::all().iter().map(|surface| surface.name).collect::<Vec<_>>(), tried);
        }
    };
}

surfaces! {
    pipe pipe_markdown command prompt when inputs duration event_line log index agent_stream hook_reply hooks_toml
    omne_toml outputs bundle
}

/// What takes time that grows with the square of a file's size does not end with a large one; the watch tells.
#[test]
fn large_pipes_are_checked_in_a_time_that_grows_with_their_size() {
    let surface = omne_fuzz::all().into_iter().find(|surface| surface.name == "pipe").unwrap();
    let watch = Watch::new(&surface, 0);
    for (number, (shape, text)) in (0..).zip(large::pipes()) {
        println!("{shape}: {} bytes", text.len());
        watch.begin(number, text.as_bytes());
        let source = Source::new("p.yaml", text.into_bytes()).unwrap();
        check(&source, &NoLookup);
        watch.end();
    }
    println!("the slowest took {:?}", watch.slowest());
}

/// Each has a target for coverage-guided fuzzing.
#[test]
fn every_surface_has_a_target() {
    let fuzz = corpus::fixtures().join("../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for surface in omne_fuzz::all() {
        let name = surface.name;
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let target = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("omne_fuzz::{name}(bytes)")), "{name}");
    }
}
