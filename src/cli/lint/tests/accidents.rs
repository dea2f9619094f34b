//! Files with signs and lines that are there by accident, and with text that is not rendered.

use proptest::prelude::*;

use super::repaired;
use crate::cli::document::read;
use crate::cli::lint::check;
use crate::model::legacy::Code;

const CLEAN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n  namespace: kube-system\ndata:\n  service-account: default\n  watch-namespace: \"shop, pay\"\n  acr-registry-info: |\n    - instanceId: cri-a1b2c3\n      regionId: cn-beijing\n      domains: \"a.com,b.com\"\n  rrsa: ''\n";

proptest! {
    /// What does not show is found wherever it is, and the edits leave the file without it.
    #[test]
    fn signs_that_do_not_show_are_taken_out_of_any_place(
        places in prop::collection::vec((1_usize..CLEAN.len(), prop::sample::select(vec!['\u{200b}', '\u{feff}', '\u{ad}', '\u{202a}', '\u{2060}'])), 1..5)
    ) {
        let mut file = CLEAN.to_owned();
        let mut places = places;
        places.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        places.iter().for_each(|(at, c)| file.insert(*at, *c));
        let before = check(&read("a", &file));
        prop_assert!(before.diagnostics.iter().any(|d| d.code == Code::InvisibleCharacter), "{:?}", file);
        let (text, after) = repaired(&file).map_err(|text| TestCaseError::fail(format!("{file:?} never rests: {text:?}")))?;
        prop_assert_eq!(text.as_str(), CLEAN, "{:?}", file);
        prop_assert_eq!(&after.diagnostics, &[]);
    }

    /// A space of another kind is read as a space wherever it is.
    #[test]
    fn a_space_of_another_kind_is_replaced_in_any_place(
        nth in 0_usize..40, c in prop::sample::select(vec!['\u{a0}', '\u{2007}', '\u{202f}', '\u{2003}'])
    ) {
        let spaces: Vec<usize> = CLEAN.match_indices(' ').map(|(at, _)| at).collect();
        let at = spaces[nth % spaces.len()];
        let file = format!("{}{c}{}", &CLEAN[..at], &CLEAN[at + 1..]);
        let before = check(&read("a", &file));
        prop_assert_eq!(before.diagnostics.len(), 1, "{:?}: {:?}", file, before.diagnostics);
        let (text, after) = repaired(&file).map_err(TestCaseError::fail)?;
        prop_assert_eq!(text.as_str(), CLEAN);
        prop_assert_eq!(&after.conversion.unwrap().spec, &before.conversion.unwrap().spec);
    }

    /// A variable in the place of any value is the one finding, wherever the file has it.
    #[test]
    fn a_variable_in_the_place_of_a_value_is_the_only_finding(
        value in prop::sample::select(vec!["default", "shop, pay", "cri-a1b2c3", "cn-beijing", "a.com,b.com", "b.com"]),
        variable in prop::sample::select(vec!["${X}", "$(X)", "__X__", "@X@", "%X%", "#{X}#", "((x))", "<path:a#b>", "${X:-y}"])
    ) {
        let file = CLEAN.replace(value, variable);
        let report = check(&read("a.yaml", &file));
        let [found] = &report.diagnostics[..] else { return Err(TestCaseError::fail(format!("{file}: {:?}", report.diagnostics))) };
        prop_assert_eq!((found.code, &file[found.span.clone().unwrap()]), (Code::Variable, variable));
        prop_assert!(found.message.contains(variable) && report.conversion.unwrap().spec.is_none());
    }
}

/// A name that is a variable hides neither the configuration nor the object.
#[test]
fn variables_around_the_values_are_named_too() {
    let named = CLEAN.replace("name: acr-configuration", "name: ${NAME}").replace("kube-system", "$(NS)");
    let report = check(&read("a.yaml", &named));
    let found: Vec<(&str, &str)> =
        report.diagnostics.iter().map(|d| (d.code.as_str(), d.key.as_str())).collect();
    assert_eq!(found, [("ACR720", "metadata.name"), ("ACR720", "metadata.namespace")]);
    assert!(report.diagnostics[0].message.contains("envsubst < a.yaml | kubectl acr lint -"));
    let lines = CLEAN.replace("  rrsa: ''\n", "  ${MORE}\n  rrsa: ''\n");
    let report = check(&read("a", &lines));
    assert_eq!(report.diagnostics.len(), 1, "{:?}", report.diagnostics);
    assert_eq!(&lines[report.diagnostics[0].span.clone().unwrap()], "${MORE}");
    assert!(report.conversion.unwrap().spec.is_none());
    let key = CLEAN.replace("rrsa: ''", "${KEY}: ''");
    let report = check(&read("a", &key));
    assert_eq!(report.diagnostics.len(), 1, "{:?}", report.diagnostics);
    assert_eq!(&key[report.diagnostics[0].span.clone().unwrap()], "${KEY}");
    // A file of which nothing else is left.
    let whole = check(&read("a", "${CONFIG_MAP}\n"));
    assert_eq!((whole.diagnostics.len(), whole.diagnostics[0].code), (1, Code::Variable));
    // The user's own word stays in the message.
    let file = check(&read("a.yaml", &CLEAN.replace("default", "${FILE}")));
    assert!(
        file.diagnostics[0].message.starts_with("${FILE} is")
            && file.diagnostics[0].message.contains("< a.yaml |")
    );
}

#[test]
fn lines_around_a_whole_file_are_taken_out() {
    for (before, after) in [
        ("```yaml\n", "```\n"),
        ("cat <<EOF | kubectl apply -f -\n", "EOF\n"),
        ("kubectl apply -f - <<'EOT'\n", "EOT"),
    ] {
        let file = format!("{before}{CLEAN}{after}");
        let report = check(&read("a", &file));
        let found: Vec<&str> = report.diagnostics.iter().map(|d| d.code.as_str()).collect();
        assert_eq!(found, ["ACR416", "ACR416"], "{file}: {:?}", report.diagnostics);
        let (text, report) = repaired(&file).unwrap();
        assert_eq!((text.trim_end(), report.diagnostics.len()), (CLEAN.trim_end(), 0), "{file}");
    }
}

/// What other objects and annotations have is their concern.
#[test]
fn signs_of_other_objects_are_left_alone() {
    let other =
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations:\n    b: c\u{a0}d\u{200b}\n---\n";
    let annotated = CLEAN.replace("metadata:\n", "metadata:\n  annotations:\n    b: \"c\u{a0}– ${X}\"\n");
    for file in [format!("{other}{CLEAN}"), annotated] {
        let report = check(&read("a", &file));
        assert_eq!(report.diagnostics, [], "{file}");
        assert!(report.conversion.unwrap().spec.is_some());
    }
}

/// Files that were joined have the byte order mark of each, which YAML takes at the beginning alone.
#[test]
fn a_byte_order_mark_is_named_but_for_the_first() {
    let other = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n";
    for (file, line) in [
        (format!("\u{feff}{CLEAN}---\n\u{feff}{other}"), CLEAN.lines().count() + 2),
        (format!("\u{feff}{other}---\n\u{feff}{CLEAN}"), other.lines().count() + 2),
    ] {
        let report = check(&read("a", &file));
        let [found] = &report.diagnostics[..] else { panic!("{:?}", report.diagnostics) };
        assert!(found.message.starts_with("a byte order mark (U+FEFF)"), "{}", found.message);
        assert_eq!(file[..found.span.clone().unwrap().start].matches('\n').count() + 1, line);
        let (text, report) = repaired(&file).unwrap();
        assert_eq!((text.matches('\u{feff}').count(), report.diagnostics.len()), (1, 0));
    }
}

#[test]
fn a_variable_in_the_place_of_an_add_ons_configuration_is_the_only_finding() {
    let file = "{\"A\": [{\"Name\": \"managed-aliyun-acr-credential-helper\", \"Config\": \"${A}\"}]}";
    let report = check(&read("a.json", file));
    let [found] = &report.diagnostics[..] else { panic!("{:?}", report.diagnostics) };
    assert_eq!((found.code, &file[found.span.clone().unwrap()]), (Code::Variable, "${A}"));
    assert!(report.conversion.unwrap().spec.is_none());
}

/// HCL has signs of its own for its expressions, which are not hidden from its reader.
#[test]
fn a_configuration_with_an_expression_of_terraform_is_named_with_what_it_depends_on() {
    let name = "name   = \"managed-aliyun-acr-credential-helper\"";
    let config = r#"config = "{\"AcrInstanceInfo\":[{\"instanceId\":\"${var.acr_id}\",\"regionId\":\"cn-beijing\"}]}""#;
    let file = format!("addons {{\n  {name}\n  {config}\n  count = ((1 < 2) ? 1 : 0) > 0 ? 1 : 0\n}}\n");
    let report = check(&read("a.tf", &file));
    let [found] = &report.diagnostics[..] else { panic!("{:?}", report.diagnostics) };
    let written = config.strip_prefix("config = ").unwrap();
    assert_eq!((found.code, &file[found.span.clone().unwrap()]), (Code::Unevaluated, written));
    assert!(found.message.contains("depends on var.acr_id"), "{}", found.message);
    assert!(found.message.contains("terraform show -json | kubectl acr lint -"), "{}", found.message);
}
