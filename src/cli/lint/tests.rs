//! Places in the file of findings in its values, and what is written of them.

use proptest::prelude::*;

use super::*;
use crate::cli::document::read;

const FILE: &str = "data:\n  watch-namespace: all\n  acr-registry-info: |\n    - instanceId: cri-a\n      regionId: CN-HANGZHOU\n";

fn written(report: &Report, format: Format) -> String {
    let mut bytes = Vec::new();
    report.write(format, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_finding_within_the_nested_yaml_is_where_the_user_edits() {
    let report = check(&read("a.yaml", FILE));
    assert_eq!(report.diagnostics.len(), 1);
    let diagnostic = &report.diagnostics[0];
    assert_eq!(&FILE[diagnostic.span.clone().unwrap()], "CN-HANGZHOU");
    assert_eq!(&FILE[diagnostic.edits[0].span.clone()], "CN-HANGZHOU");
    assert_eq!(diagnostic.edits[0].text, "cn-hangzhou");
    assert!(written(&report, Format::Human { colour: false }).contains("a.yaml:5:17"));
}

#[test]
fn json_and_sarif_say_the_same_place() {
    let report = check(&read("a b.yaml", FILE));
    let json: serde_json::Value = serde_json::from_str(&written(&report, Format::Json)).unwrap();
    assert_eq!((&json["errors"], &json["warnings"]), (&0.into(), &1.into()));
    let region = &json["findings"][0]["region"];
    assert_eq!(
        (&region["startLine"], &region["startColumn"], &region["endColumn"]),
        (&5.into(), &17.into(), &28.into())
    );
    let sarif: serde_json::Value = serde_json::from_str(&written(&report, Format::Sarif)).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(sarif["version"], "2.1.0");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["region"], *region);
    assert_eq!(place["artifactLocation"]["uri"], "a%20b.yaml");
    assert_eq!(
        result["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"],
        "cn-hangzhou"
    );
    assert_eq!(result["ruleId"], sarif["runs"][0]["tool"]["driver"]["rules"][0]["id"]);
}

#[test]
fn what_ends_with_which_number() {
    let code = |file: &str, strict| check(&read("a", file)).exit_code(strict);
    let clean = "acr-registry-info: |\n  - instanceId: cri-a1b2c3\n    regionId: cn-hangzhou\n";
    assert_eq!((code(clean, false), code(clean, true)), (0, 0));
    assert_eq!((code(FILE, false), code(FILE, true)), (0, 1));
    assert_eq!((code("service-account: *\n", false), code("service-account: *\n", true)), (2, 2));
    assert_eq!(code("webhook-configuration: |\n  enable: true\n", true), 0, "a note is no warning");
}

#[test]
fn a_live_object_is_named_by_its_key() {
    let data =
        [("acr-registry-info".to_owned(), "- instanceId: cri-a\n  regionId: CN-HANGZHOU\n".to_owned())];
    let report = check(&crate::cli::document::Document::live(&data.into()));
    let text = written(&report, Format::Human { colour: false });
    assert!(text.contains("data.acr-registry-info:2:13"), "{text}");
}

#[test]
fn a_key_of_data_is_renamed_where_it_stands() {
    for (written, renamed) in
        [("Watch-Namespace", "watch-namespace"), ("'WATCH-NAMESPACE'", "'watch-namespace'")]
    {
        let file = format!("data:\n  {written}: a\n");
        let report = check(&read("a", &file));
        let found = report.diagnostics.iter().find(|d| d.code == Code::DataKeySpelling).unwrap();
        let edit = &found.edits[0];
        assert_eq!((&file[edit.span.clone()], edit.text.as_str()), (written, renamed));
    }
}

/// What is put in quotes is changed afterwards, when its own quotes are known.
#[test]
fn no_two_changes_are_made_to_the_same_text() {
    let file = "data:\n  acr-registry-info: [{instanceId: cri-a, regionId: CN-A}]\n";
    let report = check(&read("a", file));
    let edits: Vec<&str> =
        report.diagnostics.iter().flat_map(|d| &d.edits).map(|edit| edit.text.as_str()).collect();
    assert_eq!(edits, ["'", "'"]);
    // A text without quotes is written anew for one of its changes at a time.
    let file = "service-account: Default，b\nacr-registry-info: '[{instanceId: cri-a, regionId: CN-A}]'\n";
    let report = check(&read("a", file));
    let edits: Vec<&str> =
        report.diagnostics.iter().flat_map(|d| &d.edits).map(|edit| edit.text.as_str()).collect();
    assert_eq!(edits, ["default,b", "\"- instanceId: cri-a\\n  regionId: CN-A\""]);
}

/// A second change within what is put in quotes would stand beside them.
#[test]
fn what_is_no_text_is_put_in_quotes_before_it_is_respelt() {
    for line in ["rrsa: true", "watch-namespace: Yes", "service-account: NO", "expiring-threshold: 15"] {
        let (key, value) = line.split_once(": ").unwrap();
        let file = format!("data:\n  {line}\n");
        let report = check(&read("a", &file));
        let edits: Vec<Edit> = report.diagnostics.iter().flat_map(|d| d.edits.clone()).collect();
        let quote = |edit: &Edit| edit.span.is_empty() && edit.text == "\"";
        assert!(edits.len() == 2 && edits.iter().all(quote), "{line}: {edits:?}");
        assert_eq!(&file[edits[0].span.start..edits[1].span.start], value, "{key}");
    }
}

/// No binding is made of less than what was written, and nothing is said of what is only not read.
#[test]
fn what_could_not_be_read_leaves_no_binding() {
    let head = "kind: ConfigMap\nmetadata:\n  name: acr-configuration\n";
    let list = "acr-registry-info: |\n    - instanceId: cri-a1b2c3\n      regionId: cn-hangzhou\n";
    for (file, codes) in [
        (format!("{head}data:\n  watch-namespace:\n    a: b\n  {list}"), vec!["ACR704"]),
        (format!("{head}data: foo\n"), vec!["ACR716"]),
        (format!("{head}data:\n  watch-namespace: all\n{list}"), vec!["ACR715"]),
        (format!("{head}  data:\n    watch-namespace: all\n"), vec!["ACR715"]),
    ] {
        let report = check(&read("a", &file));
        let found: Vec<&str> = report.diagnostics.iter().map(|d| d.code.as_str()).collect();
        assert_eq!(found, codes, "{file}");
        assert!(report.conversion.is_none_or(|conversion| conversion.spec.is_none()), "{file}");
    }
    let file = format!(
        "{head}data:\n  rrsa: {{\n    enable: true }}\n  {list}      rrsaRoleARN: acs:ram::1:role/r\n      rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/p\n"
    );
    let report = check(&read("a", &file));
    let found: Vec<&str> = report.diagnostics.iter().map(|d| d.code.as_str()).collect();
    assert_eq!(found, ["ACR704"]);
    assert!(report.conversion.unwrap().spec.unwrap().registries[0].rrsa_role_arn.is_some());
}

#[test]
fn no_format_shows_a_key() {
    for file in [
        "data:\n  service-account: *\n  acr-registry-info: |\n    - instanceId: CRI-a\n      customAccessKey: \"SECRETSECRET\"//SECRETSECRET\n      customAccessKeySecret: “SECRETSECRET2”\n",
        "{\"data\": {\"acr-registry-info\": \"- instanceId: \\\"\\\"\\n  customAccessKey: SECRETSECRET\\n  customAccessKeySecret: SECRETSECRET\\n  regionId: CN\\n\"}}",
        "data:\n  acr-registry-info: [{instanceId: '', customAccessKey: SECRETSECRET, customAccessKeySecret: SECRETSECRET}]\n",
        "acr-registry-info: \"- customAccessKey: SECRETSECRET\\n  customAccessKeySecret : SECRETSECRET\\n  regionId: CN-A\"\n",
        "acr-registry-info: '- customAccessKey: SECRETSECRET

  customAccessKeySecret : SECRETSECRET

  regionId: CN-A'\n",
        "acr-registry-info: |\n  - instanceId: cri-a1b2c3\n    customAcessKeySecret: SECRETSECRET\n",
        "acr-registry-info: |\n  - instanceId: cri-a1b2c3\n    custom_access_key_secret:SECRETSECRET\n",
        "acr-registry-info: |\n  - custom_acess_key_secret:SECRETSECRET\n",
        "acr-registry-info: |\n  - instanceId: cri-a1b2c3\n    regionId: acess_key_secret=SECRETSECRET\n",
        "acr-registry-info: |\n  - instanceId: \"\"\n    customAccessKeySecret:\n    - SECRETSECRET\n",
    ] {
        let report = check(&read("a", file));
        assert!(!report.diagnostics.is_empty());
        for format in
            [Format::Human { colour: false }, Format::Human { colour: true }, Format::Json, Format::Sarif]
        {
            let text = written(&report, format);
            assert!(!text.contains("SECRET"), "{format:?} of {file}\n{text}");
        }
    }
}

#[test]
fn a_control_character_of_the_file_does_not_reach_the_terminal() {
    let report = check(&read("a", "service-account: \"a\u{1b}[2Jb,,\"\n"));
    let text = written(&report, Format::Human { colour: false });
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

proptest! {
    #[test]
    fn whatever_the_file_holds_it_is_drawn(
        parts in prop::collection::vec(prop::sample::select(vec![
            "data:", "\n", "\n  ", "\n    ", "\r\n", "\t", "acr-registry-info", "service-account", "rrsa", ":", ": ", "：", "|", "\"", "'",
            "- instanceId", "regionId", "cri-a", "CN-A", " // ", " # ", "*", "[", "]", "{", "}", ",", "中", "🙂", "\u{feff}", "\u{1b}", "\0",
            "customAccessKey", "expireDuration", "enable", "15", "\\u00e9", "\\",
        ]), 0..40)
    ) {
        let report = check(&read("a", &parts.concat()));
        for format in [Format::Human { colour: true }, Format::Json, Format::Sarif] {
            written(&report, format);
        }
    }
}
