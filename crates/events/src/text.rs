//! Texts that have to fit: events are lines, and lines have an end.

/// The beginning of a text: at most `most` bytes, cut at a character.
pub fn beginning(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::beginning;

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(beginning("äöü", 3), "ä");
        assert_eq!(beginning("äöü", 6), "äöü");
        assert_eq!(beginning("äöü", 1), "");
    }
}
