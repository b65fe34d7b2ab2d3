//! How fast a recorded stream is read: `cargo run --release -p omne-agent --example throughput -- FILE…`.

use std::{io::Write as _, time::Instant};

use omne_agent::{Dialect, Parser};

/// How much is read, in bytes.
const TOTAL: usize = 1 << 30;

fn main() -> std::io::Result<()> {
    let mut stream = Vec::new();
    for file in std::env::args().skip(1) {
        stream.extend(std::fs::read(file)?);
    }
    let mut parser = Parser::new(Dialect::Claude);
    let (mut items, mut read) = (0u64, 0usize);
    let since = Instant::now();
    while !stream.is_empty() && read < TOTAL {
        for piece in stream.chunks(256 * 1024) {
            parser.push(piece, &mut |_| items += 1);
        }
        read += stream.len();
    }
    let seconds = since.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{:.0} MB/s, {items} items", read as f64 / 1e6 / seconds)
}
