use super::*;

fn bindings() -> Bindings {
    let inputs = json!({ "level": 3, "name": "x" });
    let pairs: Vec<_> = inputs.as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v)).collect();
    let mut bindings = Bindings::new("p-1", pairs);
    let outputs = Outputs::from([("risk".into(), "low".into())]);
    bindings.node("plan", Some(&outputs), "the plan".into());
    bindings.node("a-b", None, "text".into());
    bindings
}

fn holds(expression: &str) -> bool {
    Template::expression(expression).unwrap().0.holds(&bindings()).unwrap()
}

#[test]
fn a_chain_of_operators_is_as_long_as_the_stack_allows() {
    for link in ["+1", " or 1", " and 1", "~1", "|upper", ".a", "[0]", " is string"] {
        for (links, is_fine) in [(600, true), (100_000, false)] {
            let chain = format!("1{}", link.repeat(links));
            assert_eq!(Template::expression(&chain).is_ok(), is_fine, "{link}");
            assert_eq!(Template::text(&format!("{{{{ {chain} }}}}")).is_ok(), is_fine, "{link}");
            let block = format!("{{% if {chain} %}}{{% endif %}}");
            assert_eq!(Template::text(&block).is_ok(), is_fine, "{link}");
        }
    }
    let hidden = format!("{{{{ '}}}}' {} }}}}", "+1".repeat(100_000));
    assert!(Template::text(&hidden).is_err());
    assert!(Template::text(&"{{ \"".repeat(100_000)).is_err(), "and soon so");
    let words = "word ".repeat(2500);
    for text in [
        format!("Use {{% raw %}}{{{{{{% endraw %}} as it is. {words}"),
        format!("{{# a comment with {{% in it #}}{words}"),
        format!("{{% raw %}}\\textbf{{{{a}} b}}{{% endraw %}}\n{}", "-".repeat(120)),
        format!("{{{{ '{{%' }}}} {words}"),
    ] {
        assert!(Template::text(&text).is_ok(), "{}", &text[..40]);
    }
    assert!(Template::text(&format!("{{{{ {}1 }}}}", "-".repeat(100_000))).is_err());
    assert!(Template::text(&format!("{{{{ {}1", "-".repeat(100_000))).is_err());
    let chain = format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(100_000));
    assert!(Template::text(&chain).is_err());
    let list = format!("'x' in ['{}']", "', '".repeat(900));
    assert!(Template::expression(&list).is_ok(), "no chain");
    assert!(Template::expression(&format!("inputs.x == '{}'", "+1".repeat(100_000))).is_ok(), "one text");
}

#[test]
fn unknown_filters_and_tests_are_told_before_anything_runs() {
    let expression = |source: &str| Template::expression(source).unwrap().0.knows_its_words();
    let text = |source: &str| Template::text(source).unwrap().0.knows_its_words();
    for unknown in ["1|uper", "1 is strng", "1 is not strng", "[1, 2]|join(',')|uper", "'\\'|x'|uper"] {
        assert!(expression(unknown).is_err(), "{unknown}");
        assert!(text(&format!("a {{{{ {unknown} }}}} b")).is_err(), "{unknown}");
    }
    assert!(text("{% if 1|uper %}{% endif %}").is_err());
    assert!(text("{%- filter uper -%}x{% endfilter %}").is_err());
    for known in
        ["1|string|upper", "1 is not none", "'a|uper' == 'is odd'", "inputs.is.x or inputs.a|d(1) is in [1]"]
    {
        assert!(expression(known).is_ok(), "{known}");
    }
    assert!(text("a | b is c {{ 1 }} | {% filter upper|trim %}x{% endfilter %}").is_ok());
    assert!(text("{% raw %}{{ 1|uper }}{% endraw %}{# 1|uper #}").is_ok());
    let error = expression("run.id|uper").unwrap_err();
    assert_eq!(error.message, "unknown filter: filter uper is unknown");
}

#[test]
fn a_text_without_braces_names_nothing() {
    let (template, names) = Template::text("nodes.plan, inputs.level } and %}\n").unwrap();
    assert_eq!(names, []);
    assert_eq!(template.render(&bindings()).unwrap(), "nodes.plan, inputs.level } and %}");
}

#[test]
fn conditions_compare_typed_inputs_and_outputs() {
    assert!(holds("inputs.level > 2 and nodes.plan.outputs.risk == 'low'"));
    assert!(!holds("inputs.level > 3"));
    assert!(holds("nodes['a-b'].output == 'text'"));
    assert!(!holds("nodes.plan.outputs.missing == 'x'"));
    assert!(!holds("nodes.plan.outputs.missing"));
}

#[test]
fn prompts_are_filled_in_and_a_missing_value_is_an_error() {
    let render = |source| Template::text(source).unwrap().0.render(&bindings());
    assert_eq!(render("{{ inputs.name }}: {{ nodes.plan.output }}").unwrap(), "x: the plan");
    let error = render("{{ inputs.name }}\n{{ nodes.plan.outputs.missing|upper }}").unwrap_err();
    assert_eq!(error.message, "`nodes.plan.outputs.missing` has no value");
    assert_eq!(error.line, Some(2));
}

#[test]
fn a_truth_value_is_written_as_in_environments() {
    let rendered = Template::text("{{ 1 < 2 }} {{ 1 > 2 }} {{ 1 }}").unwrap().0.render(&bindings());
    assert_eq!(rendered.unwrap(), "true false 1");
}

#[test]
fn a_template_that_never_ends_is_stopped() {
    let endless = "{% for i in range(90000) %}{% for j in range(90000) %}x{% endfor %}{% endfor %}";
    assert!(Template::text(endless).unwrap().0.render(&bindings()).is_err());
}

#[test]
fn the_names_in_use_are_known_beforehand() {
    let (template, names) =
        Template::expression("inputs.a and nodes.b.outputs.c and nodes['d-e'].output and odd").unwrap();
    assert!(names.contains(&Name::Unknown("odd".into())));
    assert_eq!(template.uses().inputs, Some(vec!["a".into()]));
    assert_eq!(template.uses().nodes, Some(vec!["b".into(), "d-e".into()]));
    let (template, _) = Template::expression("nodes[inputs.which].output").unwrap();
    assert_eq!(template.uses().nodes, None);
}

#[test]
fn a_condition_without_names_is_constant() {
    assert_eq!(Template::expression("false").unwrap().0.constant(), Some(false));
    assert_eq!(Template::expression("1 < 2").unwrap().0.constant(), Some(true));
    assert_eq!(Template::expression("inputs.x").unwrap().0.constant(), None);
}

#[test]
fn a_text_without_end_is_refused_in_bounded_memory() {
    let (template, _) = Template::text("{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}").unwrap();
    let error = template.render(&Bindings::default()).unwrap_err();
    assert!(error.message.contains("longer than 32 MiB"), "{error}");
    let (template, _) = Template::text("{{ 'x' * 1000000 }}").unwrap();
    assert_eq!(template.render(&Bindings::default()).unwrap().len(), 1_000_000);
}

#[test]
fn a_condition_that_could_make_much_of_little_is_not_looked_into_beforehand() {
    let constant = |source: &str| Template::expression(source).unwrap().0.constant();
    assert_eq!(constant("1 > 2"), Some(false));
    assert_eq!(constant("'x' * 99999999 == 'y'"), None);
    assert_eq!(constant("'a'|replace('a', 'b') == 'c'"), None);
}

#[test]
fn signs_without_end_do_not_use_up_the_stack() {
    for sign in ["-", "- ", "not "] {
        let much = format!("{}1", sign.repeat(100_000));
        assert!(Template::expression(&much).is_err(), "{sign}");
        assert!(Template::text(&format!("a {{{{ {much} }}}}")).is_err(), "{sign}");
    }
    assert!(Template::text(&format!("{} {{{{ - -1 }}}}", "-".repeat(5000))).is_ok());
}
