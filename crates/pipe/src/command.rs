//! Prompts by name: Markdown files whose body is the prompt, with a front
//! matter that other programs read, too, so that unknown keys are theirs.

use std::{collections::BTreeMap, sync::Arc};

use omne_events::Digest;
use smol_str::SmolStr;

use crate::{
    source::{MOST_BYTES, Source},
    template::{Name, Template, TemplateError},
    yaml,
};

/// The commands that a pipe names, by name.
pub type Commands = BTreeMap<SmolStr, Arc<Command>>;

/// A prompt by name.
#[derive(Debug, Clone)]
pub struct Command {
    template: Template,
    allowed_tools: Option<Vec<SmolStr>>,
    model: Option<SmolStr>,
    sha256: Digest,
    /// Its file, where its prompt is what is looked at.
    pub(crate) file: Arc<Source>,
    pub(crate) names: Vec<Name>,
}

/// Why the prompt in a command's file is no template, for people.
fn not_a_template(file: &Source, error: &TemplateError) -> String {
    match error.line.and_then(|line| u32::try_from(line).ok()) {
        Some(line) => {
            format!("its line {} is no template: {}", file.first_line() + line - 1, error.message)
        }
        None => format!("it is no template: {}", error.message),
    }
}

impl Command {
    /// Reads the file of a command, which is shown as `name`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MOST_BYTES {
            return Err("it is larger than 32 MiB, which no agent takes as its prompt".into());
        }
        let sha256 = Digest::of(bytes);
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (matter, body) = split(text)?;
        let fields = match matter {
            Some(matter) => {
                yaml::values(matter).map_err(|error| format!("its front matter is no YAML: {error}"))?
            }
            None => serde_json::Value::Null,
        };
        if !matches!(fields, serde_json::Value::Object(_) | serde_json::Value::Null) {
            return Err(
                "what stands between its two lines `---` is no map: front matter has keys, such as `model`, \
                        and a text that begins with a rule needs something before it"
                    .into(),
            );
        }
        let field = |names: [&str; 2]| names.into_iter().find_map(|name| fields.get(name));
        let allowed_tools = match field(["allowed_tools", "allowed-tools"]) {
            None | Some(serde_json::Value::Null) => None,
            Some(value) => Some(tools(value)?),
        };
        let model = match field(["model", "model"]) {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(model)) => Some(model.into()),
            Some(_) => return Err("`model` in its front matter has to be a text".into()),
        };
        if body.trim().is_empty() {
            return Err("it has no text besides its front matter".into());
        }
        let file = Source::command(name.to_owned(), text, body);
        let (template, names) = Template::text(body).map_err(|error| not_a_template(&file, &error))?;
        Ok(Self { template, allowed_tools, model, sha256, file: Arc::new(file), names })
    }

    /// The same; its file is shown under another name.
    pub fn shown_as(self, name: String) -> Self {
        let file = Arc::unwrap_or_clone(self.file).named(name);
        Self { file: Arc::new(file), ..self }
    }

    /// Its file's name as given.
    pub fn file_name(&self) -> &str {
        self.file.name()
    }

    /// Whether all filters and tests in its text are known.
    ///
    /// # Errors
    /// Which one is not, for people.
    pub(crate) fn knows_its_words(&self) -> Result<(), String> {
        self.template.knows_its_words().map_err(|error| not_a_template(&self.file, &error))
    }

    /// Its body.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The tools that the agent may use without asking, if its front matter says so.
    pub fn allowed_tools(&self) -> Option<&[SmolStr]> {
        self.allowed_tools.as_deref()
    }

    /// The model, if its front matter names one.
    pub fn model(&self) -> Option<&SmolStr> {
        self.model.as_ref()
    }

    /// The digest of the whole file.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }
}

/// A list, or names with commas between them.
fn tools(value: &serde_json::Value) -> Result<Vec<SmolStr>, String> {
    let wrong = || "`allowed_tools` in its front matter has to be a list of names".to_owned();
    match value {
        serde_json::Value::String(text) => {
            Ok(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect())
        }
        serde_json::Value::Array(list) => {
            list.iter().map(|name| name.as_str().map(Into::into).ok_or_else(wrong)).collect()
        }
        _ => Err(wrong()),
    }
}

/// The front matter, if there is one, and the body.
fn split(text: &str) -> Result<(Option<&str>, &str), String> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    if first.trim_end() != "---" {
        return Ok((None, text));
    }
    let mut offset = first.len();
    for line in lines {
        let after = offset + line.len();
        if line.trim_end() == "---" {
            return Ok((Some(&text[first.len()..offset]), text[after..].trim_start_matches(['\n', '\r'])));
        }
        offset = after;
    }
    Err("its front matter does not end: close it with a line `---`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_prompt_and_the_front_matter_gives_tools_and_model() {
        let file = b"---\ndescription: x\nallowed_tools: [Read, Bash]\nmodel: opus\n---\n\nPlan {{ inputs.what }}.\n";
        let command = Command::parse("c.md", file).unwrap();
        assert_eq!(command.template().source(), "Plan {{ inputs.what }}.\n");
        assert_eq!(command.allowed_tools().unwrap(), ["Read", "Bash"]);
        assert_eq!(command.model().unwrap(), "opus");
        assert_eq!(command.names, [Name::Input("what".into())]);
    }

    #[test]
    fn a_file_without_front_matter_is_all_body() {
        let command = Command::parse("c.md", b"Do it.\n---\nNow.\n").unwrap();
        assert_eq!(command.template().source(), "Do it.\n---\nNow.\n");
        assert_eq!(command.allowed_tools(), None);
    }

    #[test]
    fn tools_may_be_spelt_as_other_programs_do() {
        let command = Command::parse("c.md", b"---\nallowed-tools: Read, Bash(git log:*)\n---\nx").unwrap();
        assert_eq!(command.allowed_tools().unwrap(), ["Read", "Bash(git log:*)"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |bytes: &[u8]| Command::parse("c.md", bytes).unwrap_err();
        assert!(wrong(b"---\nmodel: x\n").contains("does not end"));
        assert!(wrong(b"---\nmodel: [x]\n---\ny").contains("`model`"));
        assert!(wrong(b"---\n\nIt begins with a rule.\n\n---\nmore").contains("no map"));
        assert!(wrong(b"---\nmodel: x\n---\n \n").contains("no text"));
        assert!(wrong(b"\xff").contains("UTF-8"));
        assert!(
            wrong(b"---\na: b\n---\n\nfine\n{{ inputs.x \n").contains("its line 6"),
            "{}",
            wrong(b"---\na: b\n---\n\nfine\n{{ inputs.x \n")
        );
    }
}
