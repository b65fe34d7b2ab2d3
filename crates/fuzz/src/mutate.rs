//! Inputs out of other inputs. The same seed and number give the same input on
//! every machine, without any state between them, so that one that failed can
//! be made again by itself.

/// A small generator of numbers that look random: SplitMix64 by Steele, Lea and Flood.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins with `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound.max(1) as u64).unwrap_or(0)
    }

    /// One of at most `bits` bits; small ones more often.
    fn skewed(&mut self, bits: usize) -> usize {
        let bound = 1 << self.below(bits);
        self.below(bound)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// Numbers around which mistakes are made.
const EDGES: &[&str] = &[
    "0",
    "-0",
    "-1",
    "1",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "65535",
    "65536",
    "99999",
    "100001",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    "1e308",
    "1e309",
    "-1e400",
    "0.1",
    "1e-400",
    "00",
    "+1",
    "0x7f",
    "123456789012345678",
    "1234567890123456789",
    "999999999999999999999999999999999999999",
];

/// Brackets that can be opened many times.
const NESTS: &[(&str, &str)] = &[
    ("[", "]"),
    ("{\"a\":", "}"),
    ("{a: ", "}"),
    ("(", ")"),
    ("{{", "}}"),
    ("{% if x %}", "{% endif %}"),
    ("- ", ""),
    ("\"", "\""),
    ("not ", ""),
    ("-", ""),
    ("!", ""),
    ("&a [", "]"),
    ("  ", ""),
    ("? ", ""),
    ("[[", "]]"),
    ("{\"definition\":", "}"),
];

/// Makes inputs of those that are there.
#[derive(Debug)]
pub struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    words: &'a [&'a str],
    most: usize,
}

impl<'a> Mutator<'a> {
    /// Inputs of at most `most` bytes.
    pub fn new(corpus: &'a [Vec<u8>], words: &'a [&'a str], most: usize) -> Self {
        Self { corpus, words, most }
    }

    /// The input numbered `number` of this seed. The first ones are the corpus as it is.
    pub fn input(&self, seed: u64, number: u64) -> Vec<u8> {
        if let Some(input) = usize::try_from(number).ok().and_then(|place| self.corpus.get(place)) {
            return input[..input.len().min(self.most)].to_vec();
        }
        let mut random = Random::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let mut input = random.pick(self.corpus).cloned().unwrap_or_default();
        let changes = 1 << random.below(5);
        for _ in 0..changes {
            self.change(&mut input, &mut random);
            input.truncate(self.most);
        }
        input
    }

    fn change(&self, input: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(input.len() + 1);
        let length = 1 + random.skewed(10);
        let end = input.len().min(at + length);
        match random.below(18) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => {
                input[at] = *random.pick(b"\0\n\r\t\"'\\{}[]<>&*!|%@`#:-,= \x7f\xff\xc3").unwrap_or(&0)
            }
            2 | 3 => {
                let word = random.pick(self.words).copied().unwrap_or_default();
                splice(input, at..at, word.as_bytes());
            }
            4 => {
                let word = random.pick(self.words).copied().unwrap_or_default();
                splice(input, at..end, word.as_bytes());
            }
            5 => splice(input, at..end, b""),
            6 => {
                let part = input[at..end].repeat(1 + random.skewed(9));
                splice(input, at..at, &part);
            }
            7 => input.truncate(at),
            8 | 9 => {
                let Some(other) = random.pick(self.corpus) else { return };
                let from = random.below(other.len() + 1);
                let part = &other[from..other.len().min(from + length * 4)];
                splice(input, at..end, part);
            }
            10 | 11 => {
                let digit = |byte: &u8| byte.is_ascii_digit();
                let Some(from) = input[at..].iter().position(digit).map(|skip| at + skip) else { return };
                let to = input[from..]
                    .iter()
                    .position(|byte| !digit(byte))
                    .map_or(input.len(), |skip| from + skip);
                splice(input, from..to, random.pick(EDGES).copied().unwrap_or_default().as_bytes());
            }
            12 => {
                let (open, close) = random.pick(NESTS).copied().unwrap_or_default();
                let deep = 1 << random.below(13);
                let inner =
                    [open.repeat(deep).as_bytes(), &input[at..end], close.repeat(deep).as_bytes()].concat();
                splice(input, at..end, &inner);
            }
            13..=15 => self.change_lines(input, random),
            16 => {
                let text: String =
                    (0..length.min(64)).filter_map(|_| char::from_u32(random.below(0x2100) as u32)).collect();
                splice(input, at..at, text.as_bytes());
            }
            _ => {
                let bytes: Vec<u8> = (0..length.min(64)).map(|_| random.number() as u8).collect();
                splice(input, at..at, &bytes);
            }
        }
    }

    fn change_lines(&self, input: &mut Vec<u8>, random: &mut Random) {
        let mut lines: Vec<&[u8]> = input.split_inclusive(|&byte| byte == b'\n').collect();
        let (a, b) = (random.below(lines.len()), random.below(lines.len()));
        let Some(&line) = lines.get(a) else { return };
        match random.below(5) {
            0 => lines.swap(a, b),
            1 => lines.insert(b, line),
            2 => drop(lines.remove(a)),
            3 => {
                let times = 1 << random.below(7);
                lines.splice(b..b, std::iter::repeat_n(line, times));
            }
            _ => {
                let Some(other) = random.pick(self.corpus) else { return };
                let others: Vec<&[u8]> = other.split_inclusive(|&byte| byte == b'\n').collect();
                if let Some(line) = random.pick(&others).copied() {
                    lines.insert(b, line);
                }
            }
        }
        *input = lines.concat();
    }
}

fn splice(input: &mut Vec<u8>, range: std::ops::Range<usize>, with: &[u8]) {
    input.splice(range, with.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_depends_on_its_seed_and_number_alone() {
        let corpus = [b"nodes: [1, 2, 3]\n".to_vec(), b"- id: 7\n".to_vec()];
        let mutator = Mutator::new(&corpus, &["id: "], 100);
        let inputs: Vec<Vec<u8>> = (0..500).map(|number| mutator.input(7, number)).collect();
        let again: Vec<Vec<u8>> = (0..500).rev().map(|number| mutator.input(7, number)).collect();
        assert!(inputs.iter().eq(again.iter().rev()));
        assert_eq!(inputs[..2], corpus);
        let distinct: std::collections::BTreeSet<&Vec<u8>> = inputs.iter().collect();
        assert!(distinct.len() > 400, "{} of 500 differ", distinct.len());
        assert!(inputs.iter().all(|input| input.len() <= 100));
    }
}
