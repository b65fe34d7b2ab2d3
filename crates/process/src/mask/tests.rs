use super::*;

fn mask(values: &[&str]) -> Arc<Mask> {
    Arc::new(Mask::new(values.iter().map(|value| value.as_bytes())).unwrap())
}

/// The same, whatever the stream is cut into.
fn masked(mask: &Arc<Mask>, bytes: &[u8]) -> String {
    let whole = cut(mask, bytes, bytes.len().max(1));
    for size in 1..bytes.len().min(40) {
        assert_eq!(cut(mask, bytes, size), whole, "in pieces of {size}");
    }
    String::from_utf8_lossy(&whole).into_owned()
}

fn cut(mask: &Arc<Mask>, bytes: &[u8], size: usize) -> Vec<u8> {
    let mut masker = Masker::new(Arc::clone(mask));
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        masker.push(piece, &mut out);
    }
    masker.finish(&mut out);
    out
}

#[test]
fn a_value_is_hidden_wherever_it_stands() {
    let mask = mask(&["hunter2!"]);
    assert_eq!(masked(&mask, b"a hunter2! b"), "a *** b");
    assert_eq!(masked(&mask, b"hunter2!hunter2!"), "******");
    assert_eq!(masked(&mask, b"hunter2 hunter2"), "hunter2 ***");
    assert_eq!(mask.text("hunter2! and hunter2"), "*** and hunter2");
    assert!(matches!(mask.text("nothing"), Cow::Borrowed("nothing")));
}

#[test]
fn all_that_overlapping_values_cover_is_hidden() {
    let mask = mask(&["abcdef", "defghi", "xabcdefghiy"]);
    assert_eq!(masked(&mask, b"-abcdefghi-"), "-***-");
    assert_eq!(masked(&mask, b"-xabcdefghiy-"), "-***-");
    assert_eq!(masked(&mask, b"-xabcdefghi-"), "-x***-");
    assert_eq!(masked(&mask, b"-abcde-defghi"), "-abcde-***");
}

#[test]
fn a_value_that_overlaps_itself_holds_nothing_back_for_ever() {
    let mask = mask(&["aaaa"]);
    let mut masker = Masker::new(Arc::clone(&mask));
    let mut out = Vec::new();
    for _ in 0..1000 {
        masker.push(&[b'a'; 1000], &mut out);
        assert!(masker.flow.held.len() <= 1000);
    }
    masker.push(b"b", &mut out);
    masker.finish(&mut out);
    assert_eq!(out, b"***b");
    assert_eq!(masked(&mask, b"baaaaaaaab"), "b***b");
}

#[test]
fn only_what_may_be_a_beginning_is_held_back() {
    let mask = mask(&["hunter2!"]);
    let mut masker = Masker::new(mask);
    let mut out = Vec::new();
    masker.push(b"line\nhunt", &mut out);
    assert_eq!(out, b"line\n");
    masker.push(b"ing\n", &mut out);
    assert_eq!(out, b"line\nhunting\n");
}

#[test]
fn a_value_that_is_cut_at_the_end_is_hidden() {
    let mask = mask(&["hunter2!"]);
    assert_eq!(masked(&mask, b"it is hunter2"), "it is ***");
    assert_eq!(masked(&mask, b"it is hunt"), "it is ***");
    // Three bytes tell next to nothing, and are the end of many words.
    assert_eq!(masked(&mask, b"it is hun"), "it is hun");
    assert_eq!(mask.text("it is hunter2"), "it is hunter2", "a whole text is not cut");
}

#[test]
fn encoded_forms_are_hidden() {
    let mask = mask(&["p/w \"ä\"?&<x>*~"]);
    for form in [
        // JSON, as most encoders write it; with escaped slashes; for HTML; in ASCII; within JSON.
        r#"p/w \"ä\"?&<x>*~"#,
        r#"p\/w \"ä\"?&<x>*~"#,
        r#"p/w \"ä\"?\u0026\u003cx\u003e*~"#,
        r#"p/w \"\u00e4\"?&<x>*~"#,
        r#"p/w \\\"ä\\\"?&<x>*~"#,
        // URLs: everything; `encodeURIComponent`; a path; a form.
        "p%2Fw%20%22%C3%A4%22%3F%26%3Cx%3E%2A~",
        "p%2fw%20%22%c3%a4%22%3f%26%3cx%3e%2a~",
        "p%2Fw%20%22%C3%A4%22%3F%26%3Cx%3E*~",
        "p/w%20%22%C3%A4%22%3F%26%3Cx%3E%2A~",
        "p%2Fw+%22%C3%A4%22%3F%26%3Cx%3E*~",
    ] {
        assert_eq!(masked(&mask, format!("[{form}]").as_bytes()), "[***]", "{form}");
    }
}

#[test]
fn base64_is_hidden_at_each_alignment() {
    // What `base64` prints for the value after none, one and two other bytes, and with more after it.
    let mask = mask(&["subjects?_d=1>>"]);
    for (text, expected) in [
        ("c3ViamVjdHM/X2Q9MT4+", "***"),
        ("c3ViamVjdHM_X2Q9MT4-", "***"),
        ("c3ViamVjdHM/X2Q9MT4+Cg==", "***"),
        ("YXN1YmplY3RzP19kPTE+Pg==", "YX***"),
        ("YXN1YmplY3RzP19kPTE-Pg", "YX***"),
        ("YWFzdWJqZWN0cz9fZD0xPj4=", "YWF***"),
        ("YWFzdWJqZWN0cz9fZD0xPj5i", "YWF***5i"),
    ] {
        assert_eq!(masked(&mask, text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn base64_in_lines_is_hidden() {
    let value = "0123456789".repeat(12);
    let mask = mask(&[&value]);
    let encoded = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2\n\
                   Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\nNDU2Nzg5\n";
    assert_eq!(masked(&mask, encoded.as_bytes()), "***\n");
}

#[test]
fn long_lines_of_a_value_are_hidden_by_themselves() {
    let mask = mask(&["-- begin\n  first-line\nshort\nsecond-line\r\n"]);
    assert_eq!(masked(&mask, b"> second-line\n> first-line\n> short\n"), "> ***\n> ***\n> short\n");
    assert_eq!(masked(&mask, b"-- begin\n  first-line\nshort\nsecond-line\r\n"), "***\r\n");
}

#[test]
fn bytes_that_are_no_text_are_hidden() {
    let mask = Arc::new(Mask::new([&b"\xff\xfe\x00\x01"[..]]).unwrap());
    assert_eq!(masked(&mask, b"a\xff\xfe\x00\x01b"), "a***b");
}
