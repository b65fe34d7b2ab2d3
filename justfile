# Everything that has to hold before a change is proposed.
verify:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace

# The process crate as it is on a Unix other than Linux, in a target directory of its own.
portable:
    RUSTFLAGS="--cfg omne_portable" cargo test -p omne-process --target-dir target/portable

# The pipe of the README.
run-hello:
    cargo run --release -- run fixtures/pipes/hello.yaml

# Whole processes against their floor and other programs: `just bench --quick` takes two minutes, without it twelve.
bench *arguments:
    cargo xtask bench {{arguments}}

# The pure parts by criterion; a word picks some, as in `just micro codec`.
micro *arguments:
    cargo bench -p omne-bench -- {{arguments}}

# Instructions of hot paths, compared with xtask/counts.txt; `--write` renews it.
counts *arguments:
    cargo xtask counts {{arguments}}
