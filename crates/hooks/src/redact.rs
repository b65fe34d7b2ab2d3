//! What hooks print to standard error, without what may be a secret in it.

/// Words that make a line one that is not shown.
const SECRET: [&str; 8] =
    ["secret", "token", "password", "passwd", "api_key", "apikey", "authorization", "bearer"];

/// The text with each line that may hold a secret replaced, and the values of `NAME=value`, too.
pub(crate) fn redact(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn line(line: &str) -> String {
    let lower = line.to_lowercase();
    if SECRET.iter().any(|word| lower.contains(word)) {
        return "***".to_owned();
    }
    let is_name =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match line.split_once('=') {
        // A value may have blanks in it, so the rest of the line goes with it.
        Some((before, _)) if is_name(before.rsplit([' ', '\t']).next().unwrap_or_default()) => {
            format!("{before}=***")
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn values_and_lines_with_secret_words_are_hidden() {
        let text = "all well\nHOME=/root and more\nexport A_B=c\nmy Token is 5\n2 == 2";
        assert_eq!(redact(text), "all well\nHOME=***\nexport A_B=***\n***\n2 == 2");
    }
}
