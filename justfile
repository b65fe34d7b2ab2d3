# Everything that has to hold before a change is proposed.
verify:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace

# The process crate as it is on a Unix other than Linux, in a target directory of its own.
portable:
    RUSTFLAGS="--cfg omne_portable" cargo test -p omne-process --target-dir target/portable

# Every point of every sweep that a plain `cargo test` visits some of: some ten minutes.
torture:
    OMNE_TORTURE=full cargo test -p omne --test torture -- --nocapture --test-threads 2

# The pipe of the README.
run-hello:
    cargo run --release -- run fixtures/pipes/hello.yaml
