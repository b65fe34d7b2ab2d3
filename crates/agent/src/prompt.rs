//! Prompts that an agent would not take as a prompt.

use crate::{Dialect, program::PromptBy};

/// The longest prompt on standard input, in bytes.
pub const MOST_STDIN: usize = 10_000_000;
/// The longest prompt as an argument, in bytes: the kernel takes no longer one.
pub const MOST_ARGUMENT: usize = 131_071;

/// Why a prompt is not given to an agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// There is nothing in it.
    #[error("the prompt is blank")]
    Blank,
    /// It is longer than the program takes.
    #[error("the prompt has {bytes} bytes, the agent takes {most}; give large texts by file")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// The program would run a command of its own instead of asking the model.
    #[error(
        "the prompt begins with `{0}`, which the agent would take for a slash command; begin it with another word"
    )]
    SlashCommand(String),
    /// No argument can hold it.
    #[error("the prompt has a NUL character in it")]
    Nul,
}

pub(crate) fn check(prompt: &str, by: PromptBy, dialect: Dialect) -> Result<(), PromptError> {
    if prompt.trim().is_empty() {
        return Err(PromptError::Blank);
    }
    let most = match by {
        PromptBy::Stdin => MOST_STDIN,
        PromptBy::Argument => MOST_ARGUMENT,
    };
    if prompt.len() > most {
        return Err(PromptError::TooLong { bytes: prompt.len(), most });
    }
    if by == PromptBy::Argument && prompt.contains('\0') {
        return Err(PromptError::Nul);
    }
    let takes_commands = matches!(dialect, Dialect::Claude | Dialect::Gemini);
    let first = prompt.split(char::is_whitespace).next().unwrap_or_default();
    // A path such as `/docs/plan.md` is ordinary text: a second slash tells them apart.
    if takes_commands && first.len() > 1 && first.starts_with('/') && !first[1..].contains('/') {
        return Err(PromptError::SlashCommand(first.chars().take(60).collect()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_stdin(prompt: &str) -> Result<(), PromptError> {
        check(prompt, PromptBy::Stdin, Dialect::Claude)
    }

    #[test]
    fn what_would_be_a_slash_command_is_refused_and_a_path_is_not() {
        assert_eq!(on_stdin("/plan the work"), Err(PromptError::SlashCommand("/plan".into())));
        assert_eq!(on_stdin("/frobnicate"), Err(PromptError::SlashCommand("/frobnicate".into())));
        assert_eq!(on_stdin("/workspace/a.md is the plan"), Ok(()));
        assert_eq!(on_stdin(" /plan is only mentioned"), Ok(()));
        assert_eq!(check("/plan x", PromptBy::Stdin, Dialect::Codex), Ok(()));
    }

    #[test]
    fn blank_and_too_long_prompts_are_refused() {
        assert_eq!(on_stdin(" \n\t"), Err(PromptError::Blank));
        assert!(matches!(on_stdin(&"x".repeat(MOST_STDIN + 1)), Err(PromptError::TooLong { .. })));
        let long = "x".repeat(MOST_ARGUMENT + 1);
        assert!(check(&long, PromptBy::Argument, Dialect::Text).is_err());
        assert_eq!(on_stdin(&long), Ok(()));
    }
}
