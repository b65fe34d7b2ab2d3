//! What goes wrong in shell: templates in it, inputs without quotes.

use super::{locate, locate_nth, top};
use crate::{
    codes::Code,
    fields::{Faults, Spanned},
    source::Source,
    template::{Name, Template},
};

pub(super) fn check(script: Spanned<&str>, source: &Source, faults: &mut Faults) {
    if let Some(at) = script.value.find("{{") {
        let rest = &script.value[at..];
        let whole = rest.find("}}").map_or("{{", |end| &rest[..end + 2]);
        let place = locate(source, script.at, whole.lines().next().unwrap_or("{{"));
        let fault = faults.add(Code::TemplateInBash, place, "bash is never templated");
        fault.with_help(match variable(whole) {
            Some(variable) => format!("use the environment variable: \"${variable}\""),
            None => "values arrive as environment variables, such as \"$OMNE_INPUT_NAME\"; to give `{{` to a program, build it: '{''{'".to_owned(),
        });
    }
    if let Some((name, offset)) = unquoted_input(script.value) {
        let brace = if script.value[offset + 1..].starts_with('{') { "{" } else { "" };
        let needle = format!("${brace}{name}");
        // Others before it may be quoted.
        let before = script.value[..offset].matches(&needle).count();
        let at = locate_nth(source, top(script.at), &needle, before);
        let fault = faults.add(Code::UnquotedInput, at, format!("`${name}` stands without quotes"));
        fault.with_help(format!("write \"${name}\", so that blanks and `*` in it mean nothing to the shell"));
    }
}

/// The variable that carries what `{{ … }}` names.
fn variable(template: &str) -> Option<String> {
    let (_, names) = Template::text(template).ok()?;
    match &names[..] {
        [Name::Input(key)] => Some(crate::input_variable(key)),
        [Name::Node { id, field: Some(field) }] if field == "outputs" => {
            let key = template.split("outputs.").nth(1)?;
            let key: String = key.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            Some(crate::output_variable(id, &key))
        }
        [Name::RunId] => Some("OMNE_RUN_ID".into()),
        _ => None,
    }
}

/// The first `$OMNE_INPUT_…` outside quotes where the shell splits words, and where it stands.
fn unquoted_input(script: &str) -> Option<(&str, usize)> {
    const PREFIX: &str = "OMNE_INPUT_";
    let bytes = script.as_bytes();
    let (mut double, mut at, mut word_start) = (false, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'\'' if !double => at += 1 + script[at + 1..].find('\'')?,
            b'"' => double = !double,
            b'#' if !double && (at == 0 || bytes[at - 1].is_ascii_whitespace()) => {
                at += script[at..].find('\n')?;
                word_start = at + 1;
            }
            b'$' if !double => {
                let rest = script[at + 1..].strip_prefix('{').unwrap_or(&script[at + 1..]);
                // The value of an assignment is not split.
                let assigned = script[word_start..at].contains('=');
                if rest.starts_with(PREFIX) && !assigned {
                    let length =
                        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                    return Some((&rest[..length], at));
                }
            }
            b if b.is_ascii_whitespace() || b";|&(".contains(&b) => word_start = at + 1,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inputs_that_the_shell_would_split_are_found() {
        for script in
            ["rm $OMNE_INPUT_F", "rm ${OMNE_INPUT_F}", "rm \"a\" $OMNE_INPUT_F", "# x\nrm -- $OMNE_INPUT_F"]
        {
            assert_eq!(unquoted_input(script).map(|(name, _)| name), Some("OMNE_INPUT_F"), "{script}");
        }
        for script in [
            "rm \"$OMNE_INPUT_F\"",
            "echo '$OMNE_INPUT_F'",
            "f=$OMNE_INPUT_F; rm \"$f\"",
            "# $OMNE_INPUT_F",
            "rm \\$OMNE_INPUT_F",
            "it's",
        ] {
            assert_eq!(unquoted_input(script), None, "{script}");
        }
    }

    #[test]
    fn the_variable_for_a_template_is_named() {
        assert_eq!(variable("{{ inputs.feature_name }}").as_deref(), Some("OMNE_INPUT_FEATURE_NAME"));
        assert_eq!(variable("{{ nodes.plan.outputs.risk }}").as_deref(), Some("OMNE_OUTPUTS_PLAN_RISK"));
        assert_eq!(variable("{{ run.id }}").as_deref(), Some("OMNE_RUN_ID"));
        assert_eq!(variable("{{ .State }}"), None);
    }
}
