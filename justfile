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

# So many times as many inputs as the test suite tries, of another seed if you name one: `just fuzz 1000 7`.
fuzz TIMES="100" SEED="1":
    OMNE_FUZZ_TIMES={{TIMES}} OMNE_FUZZ_SEED={{SEED}} cargo test --release -p omne-fuzz --test bounded -- --nocapture

# Coverage-guided fuzzing of one surface for so many seconds; needs `cargo install cargo-fuzz`.
cover SURFACE SECONDS="60":
    cargo run -q -p omne-fuzz --example corpus
    RUSTC_BOOTSTRAP=1 cargo fuzz run {{SURFACE}} fuzz/corpus/{{SURFACE}} -- -max_total_time={{SECONDS}} -timeout=10 -rss_limit_mb=2048 -dict=fuzz/dictionaries/{{SURFACE}}

# So many simulated runs with everything that may happen to them; a failure names its seed. `seed` is the first one.
simulate runs seed="1":
    OMNE_SIM_RUNS={{runs}} OMNE_SIM_SEED={{seed}} cargo test --profile simulate -p omne-runner --lib sim:: -- --nocapture

# Whole processes against their floor and other programs: `just bench --quick` takes two minutes, without it twelve.
bench *arguments:
    cargo xtask bench {{arguments}}

# The pure parts by criterion; a word picks some, as in `just micro codec`.
micro *arguments:
    cargo bench -p omne-bench -- {{arguments}}

# Instructions of hot paths, compared with xtask/counts.txt; `--write` renews it.
counts *arguments:
    cargo xtask counts {{arguments}}

# Plants defects in a copy, one at a time, and tells which check finds each: all of them, or those that are named.
mutants *names:
    tests/mutants/run.sh {{names}}
