//! `*` and `?` over bytes, for programs and arguments need not be text.

/// Whether all of `text` fits `pattern`: `*` is any number of bytes, `?` one.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*`, if what follows it does not fit.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((after, from)) => {
                    (p, t) = (after, from + 1);
                    back = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Whether what happens in `namespace` is meant: `<pipe>/<node>`, or `<pipe>` for what is about a whole run, which
/// patterns for all nodes of a pipe mean, too.
pub(crate) fn is_within(pattern: &str, namespace: &str) -> bool {
    let fits = |text: &[u8]| matches(pattern.as_bytes(), text);
    fits(namespace.as_bytes()) || (!namespace.contains('/') && fits(format!("{namespace}/").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{is_within, matches};

    #[test]
    fn what_is_about_a_run_is_within_all_nodes_of_its_pipe() {
        for (pattern, namespace, is_meant) in [
            ("feature/*", "feature/plan", true),
            ("feature/*", "feature", true),
            ("feature", "feature", true),
            ("*", "feature", true),
            ("feature/plan", "feature", false),
            ("feature", "feature/plan", false),
            ("other/*", "feature", false),
        ] {
            assert_eq!(is_within(pattern, namespace), is_meant, "{pattern} {namespace}");
        }
    }

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "feature/plan", true),
            ("node.*", "node.started", true),
            ("n?de.*ed", "node.completed", true),
            ("node", "node.started", false),
            ("feature/*", "feature/plan", true),
            ("feature/*", "feat/plan", false),
            ("*/plan", "feature/plan", true),
            ("a*b*c", "aXXbYYbc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
        let stars = "*a".repeat(40) + "b";
        assert!(!matches(stars.as_bytes(), "a".repeat(400).as_bytes()), "and it ends");
    }
}
