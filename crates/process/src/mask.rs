//! What must not be shown: every form of a secret in a stream of bytes becomes
//! `***`, wherever the stream is cut. Pure: bytes come in, bytes come out.
//!
//! Matches may overlap, so not the first or longest one counts: each byte that
//! any of them covers is hidden.

use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc};

use aho_corasick::{
    Anchored, MatchKind,
    automaton::{Automaton as _, StateID},
    nfa::contiguous::NFA,
};
use rustc_hash::FxHashMap;

mod forms;

/// What stands where a secret was.
pub const HIDDEN: &str = "***";
/// The shortest value that can be hidden, in bytes: shorter ones occur everywhere.
pub const SHORTEST_SECRET: usize = 4;
/// The longest value that can be hidden, in bytes.
pub const LONGEST_SECRET: usize = 16 * 1024;

/// The secrets of a run in all their forms, brought into an automaton once.
pub struct Mask {
    automaton: NFA,
    start: StateID,
    /// How many of the last bytes may be the beginning of a form, by the state that they led to.
    depths: FxHashMap<StateID, usize>,
}

impl fmt::Debug for Mask {
    /// Not what it looks for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

/// Why values can't be hidden.
#[derive(Debug, thiserror::Error)]
#[error("the secrets are too much to be looked for")]
pub struct MaskError(#[from] aho_corasick::BuildError);

impl Mask {
    /// A mask for these values, in every form that [the module](self) knows. Blanks at a value's ends are no part of
    /// what is looked for; what is left has to be [`SHORTEST_SECRET`] bytes long, else it is not hidden.
    ///
    /// # Errors
    /// When there is too much to look for.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, MaskError> {
        let forms: BTreeSet<Vec<u8>> = values.into_iter().flat_map(forms::of).collect();
        let forms: Vec<Vec<u8>> = forms.into_iter().filter(|form| form.len() >= SHORTEST_SECRET).collect();
        let automaton = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&forms)?;
        // Unanchored searches are always possible; the anchored state would only begin anew less often.
        let start = automaton.start_state(Anchored::No).unwrap_or_default();
        let mut depths = FxHashMap::default();
        for form in &forms {
            let mut state = start;
            for (place, &byte) in form.iter().enumerate() {
                state = automaton.next_state(Anchored::No, state, byte);
                depths.insert(state, place + 1);
            }
        }
        Ok(Self { automaton, start, depths })
    }

    /// The text without secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Cow::Owned(text),
                Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
            },
        }
    }

    /// The bytes without secrets.
    pub fn bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        if !self.is_in(bytes) {
            return Cow::Borrowed(bytes);
        }
        let mut flow = Flow::new(self.start);
        let mut masked = Vec::with_capacity(bytes.len());
        flow.push(self, bytes, &mut masked);
        flow.flush(&mut masked);
        Cow::Owned(masked)
    }

    /// Whether a secret is in these bytes.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let mut state = self.start;
        bytes.iter().any(|&byte| {
            state = self.automaton.next_state(Anchored::No, state, byte);
            self.ends_at(state).is_some()
        })
    }

    /// The length of the longest form that ends in this state.
    fn ends_at(&self, state: StateID) -> Option<usize> {
        if !self.automaton.is_special(state) || !self.automaton.is_match(state) {
            return None;
        }
        let forms = 0..self.automaton.match_len(state);
        forms.map(|place| self.automaton.pattern_len(self.automaton.match_pattern(state, place))).max()
    }
}

/// A stream that is masked as it comes. It holds back what may be the beginning of a secret, and nothing else: at most as
/// many bytes as the longest form has.
pub struct Masker {
    mask: Arc<Mask>,
    flow: Flow,
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masker")
    }
}

impl Masker {
    /// A stream of which nothing has come yet.
    pub fn new(mask: Arc<Mask>) -> Self {
        let flow = Flow::new(mask.start);
        Self { mask, flow }
    }

    /// Takes the next bytes; what is surely to be shown is added to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.flow.push(&self.mask, bytes, out);
    }

    /// The stream ends here; what was held back is added to `out`. The beginning of a secret that is cut off here is
    /// hidden, too, if it has at least [`SHORTEST_SECRET`] bytes. What comes next begins a new stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.flow.hide_beginning(&self.mask);
        self.flow.flush(out);
        self.flow = Flow::new(self.mask.start);
    }

    /// [`Self::push`] for texts.
    pub fn push_text(&mut self, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        self.push(text.as_bytes(), &mut out);
        into_text(out)
    }

    /// [`Self::finish`] for texts.
    pub fn finish_text(&mut self) -> String {
        let mut out = Vec::new();
        self.finish(&mut out);
        into_text(out)
    }
}

/// Only a secret that is no text itself can make a cut within a character.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Where a stream stands. Places are counted from the first byte that is held back.
struct Flow {
    state: StateID,
    held: Vec<u8>,
    /// Parts of `held` that secrets cover: in order, none overlapping another.
    covered: Vec<(usize, usize)>,
    /// For the first of them its `***` has been given out.
    announced: bool,
}

impl Flow {
    fn new(start: StateID) -> Self {
        Self { state: start, held: Vec::new(), covered: Vec::new(), announced: false }
    }

    fn push(&mut self, mask: &Mask, bytes: &[u8], out: &mut Vec<u8>) {
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        for (place, &byte) in bytes.iter().enumerate() {
            self.state = mask.automaton.next_state(Anchored::No, self.state, byte);
            if let Some(length) = mask.ends_at(self.state) {
                let end = before + place + 1;
                self.cover(end - length, end);
            }
        }
        let depth = mask.depths.get(&self.state).copied().unwrap_or(0);
        self.give_out(self.held.len() - depth, out);
    }

    /// The part that ends now is covered, as far as it is still held.
    fn cover(&mut self, mut from: usize, to: usize) {
        while let Some(&(start, end)) = self.covered.last()
            && end > from
        {
            from = from.min(start);
            self.covered.pop();
        }
        self.covered.push((from, to));
    }

    /// Gives out what is before `safe`: no secret begins there that has not ended.
    fn give_out(&mut self, safe: usize, out: &mut Vec<u8>) {
        let mut done = 0;
        let mut whole = 0;
        for part in &mut self.covered {
            if part.0 >= safe {
                break;
            }
            out.extend_from_slice(&self.held[done..part.0]);
            if !std::mem::take(&mut self.announced) {
                out.extend_from_slice(HIDDEN.as_bytes());
            }
            if part.1 > safe {
                // It may become longer, but what it covers so far is not needed for that.
                self.announced = true;
                part.0 = safe;
                done = safe;
                break;
            }
            done = part.1;
            whole += 1;
        }
        self.covered.drain(..whole);
        out.extend_from_slice(&self.held[done..safe]);
        self.held.drain(..safe);
        for part in &mut self.covered {
            *part = (part.0 - safe, part.1 - safe);
        }
    }

    fn hide_beginning(&mut self, mask: &Mask) {
        let depth = mask.depths.get(&self.state).copied().unwrap_or(0);
        if depth >= SHORTEST_SECRET {
            self.cover(self.held.len() - depth, self.held.len());
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.give_out(self.held.len(), out);
    }
}

#[cfg(test)]
mod tests;
