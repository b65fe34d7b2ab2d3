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
    // A value may have blanks in it, so the rest of the line goes with it.
    let ends_a_name = |before: &str| before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    match line.match_indices('=').find(|(at, _)| ends_a_name(&line[..*at])) {
        Some((at, _)) => format!("{}=***", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn values_and_lines_with_secret_words_are_hidden() {
        assert_eq!(redact("run --opt=1 DB=hunter2"), "run --opt=***");
        let text = "all well\nHOME=/root and more\nexport A_B=c\nmy Token is 5\n2 == 2";
        assert_eq!(redact(text), "all well\nHOME=***\nexport A_B=***\n***\n2 == 2");
    }
}
