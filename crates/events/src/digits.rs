//! Digits read by a table, so that a wrong one need not be asked for at each.

/// A bit that no digit's value has.
pub(crate) const NO_DIGIT: u8 = 0x80;

/// The value of each byte as one of `digits`, of which there are fewer than 128.
pub(crate) const fn values(digits: &[u8]) -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < digits.len() {
        values[digits[value] as usize] = value as u8;
        value += 1;
    }
    values
}
