//! A whole log read into its state.

use std::ops::ControlFlow;

use omne_events::{DecodeError, Decoded, Decoder, Line, LineRef, LogReader, ReadError, Tail, read_ahead};

use crate::{RunState, Violation};

/// A log as far as it goes.
#[derive(Debug)]
pub struct Folded {
    /// The state after its last whole line.
    pub state: RunState,
    /// The number of that line's event.
    pub seq: u64,
    /// How the log ends.
    pub tail: Tail,
    /// Types of events that are not known, each once.
    pub unknown: Vec<String>,
}

/// Why a log gives no state.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A line is no event.
    #[error("line {line}")]
    Decode {
        /// From 1.
        line: u64,
        /// What is wrong.
        source: DecodeError,
    },
    /// An event breaks a rule.
    #[error("line {line}")]
    Violation {
        /// From 1.
        line: u64,
        /// Which.
        source: Violation,
    },
    /// A line breaks a rule of the chain, or another one that only a full check looks at.
    #[error("line {line}: {message}")]
    Finding {
        /// From 1.
        line: u64,
        /// Which.
        message: String,
    },
    /// There is no whole line in it.
    #[error("the log holds no event")]
    Empty,
}

/// Folds a log into `state` up to the event numbered `until`, or to its end. `each` sees every line before it is
/// applied. Lines of a long log are decoded by several threads; `each` is called by one at a time, in their order.
///
/// # Errors
/// At the first line that is no event or breaks a rule. Links and numbers are [`crate::verify`]'s business.
pub fn fold(
    mut state: RunState,
    reader: &mut LogReader<'_>,
    until: Option<u64>,
    each: &mut (dyn FnMut(&[u8], &LineRef<'_>) + Send),
) -> Result<Folded, FoldError> {
    let mut unknown: Vec<String> = Vec::new();
    let (mut number, mut seq) = (0, 0);
    let mut failed = None;
    let wanted = |number| until.is_none_or(|until| number < until);
    let mut take = |bytes: &[u8], decoded: Result<Decoded<'_>, DecodeError>| {
        number += 1;
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(source) => {
                failed = Some(FoldError::Decode { line: number, source });
                return ControlFlow::Break(());
            }
        };
        each(bytes, &decoded.line);
        if let LineRef::Owned(line) = &decoded.line
            && let Line::Unknown { kind, .. } = &**line
            && !unknown.contains(kind)
        {
            unknown.push(kind.clone());
        }
        if let Err(source) = state.apply_line(&decoded.line) {
            failed = Some(FoldError::Violation { line: number, source });
            return ControlFlow::Break(());
        }
        seq = decoded.line.seq();
        if wanted(number) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    if until.is_none() {
        read_ahead(reader, |_| (), |bytes, (), decoded| take(bytes, decoded))?;
    } else {
        // What is behind the last event that is wanted need not even be readable.
        let mut decoder = Decoder::new();
        while wanted(decoder.lines())
            && let Some(bytes) = reader.next_line()?
            && take(bytes, decoder.decode(bytes)).is_continue()
        {}
    }
    if let Some(failed) = failed {
        return Err(failed);
    }
    if number == 0 {
        return Err(FoldError::Empty);
    }
    state.fired.shrink_to_fit();
    Ok(Folded { state, seq, tail: reader.tail(), unknown })
}
