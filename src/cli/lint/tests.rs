//! Places in the file of findings in its values, and what is written of them.

mod accidents;

use proptest::prelude::*;

use super::*;
use crate::cli::document::read;
use crate::model::legacy::Severity;
use crate::model::legacy::patch::PatchedText;

const FILE: &str = "data:\n  watch-namespace: all\n  acr-registry-info: |\n    - instanceId: cri-a\n      regionId: CN-HANGZHOU\n";

fn written(report: &LintReport, format: Format) -> String {
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
    let title = Code::RegionSpelling.title();
    let rule = serde_json::json!({
        "id": "ACR118",
        "shortDescription": { "text": title },
        "defaultConfiguration": { "level": "warning" },
    });
    assert_eq!((&sarif["runs"][0]["tool"]["driver"]["rules"][0], &result["ruleId"]), (&rule, &rule["id"]));
    assert!(sarif["$schema"].as_str().unwrap().ends_with("/sarif-2.1.0.json"));
    // A column is a character here, and would be a unit of UTF-16 otherwise.
    assert_eq!(sarif["runs"][0]["columnKind"], "unicodeCodePoints");
    let finding = &json["findings"][0];
    assert_eq!((&finding["file"], &finding["title"]), (&"a b.yaml".into(), &title.into()));
    assert!(finding["message"].as_str().unwrap().contains("write \"cn-hangzhou\""), "{finding}");
}

#[test]
fn what_ends_with_which_number() {
    let code = |file: &str, strict| check(&read("a", file)).exit_code(strict);
    let clean = "acr-registry-info: |\n  - instanceId: cri-a1b2c3\n    regionId: cn-hangzhou\n";
    assert_eq!((code(clean, false), code(clean, true)), (0, 0));
    assert_eq!((code(FILE, false), code(FILE, true)), (0, 1));
    assert_eq!((code("service-account: *\n", false), code("service-account: *\n", true)), (2, 2));
    assert_eq!(
        code("webhook-configuration: |\n  enable: true\n", true),
        0,
        "a note does not count as a warning"
    );
}

/// Terraform has the add-on's JSON in quotes, among lines of its own.
#[test]
fn a_finding_within_terraforms_quotes_is_where_the_user_edits() {
    let config =
        r#"config = "{\"AcrInstanceInfo\":[{\"instanceId\":\"cri-a1b2c3\",\"regionId\":\"CN-Beijing\"}]}""#;
    let name = "name   = \"managed-aliyun-acr-credential-helper\"";
    let other = "  addons {\n    name   = \"metrics-server\"\n    config = \"{\\\"a\\\":1}\"\n  }\n";
    let one_line = "config = \"{\\\"a\\\":1}\", name = \"metrics-server\"";
    let bare = config.trim_start_matches("config = ").trim_matches('"');
    for file in [
        config.to_owned(),
        format!("# moved from the ConfigMap\n// by hand\n{name}\n{config}\nversion = \"1\"\n"),
        format!("addons {{\n  {name}\n  {config}\n}}\n"),
        format!(
            "resource \"alicloud_cs_managed_kubernetes\" \"k\" {{\n  name = \"k\"\n{other}  addons {{\n    {config}\n    {name}\n  }}\n{other}}}\n"
        ),
        // Neither what is commented out, nor another key that ends in config, nor the name of a block within.
        format!("{name}\n{config}\n# config = \"{{\\\"a\\\":1}}\"\n// config = \"{{\\\"b\\\":1}}\"\n"),
        format!("{name}\n{config}\nkube_config = \"{{\\\"a\\\":1}}\"\n"),
        format!(
            "resource \"alicloud_cs_kubernetes_addon\" \"acr\" {{\n  {name}\n  {config}\n  tags {{\n    name = \"x\"\n  }}\n}}\n"
        ),
        // Each in a line of its own, whichever comes first.
        format!("addons = [\n  {{ {config}, {name} }},\n  {{ {one_line} }},\n]\n"),
        format!("addons = [\n  {{ {one_line} }},\n  {{ {name}, {config} }}\n]\n"),
        format!("\"config\": {},\n", config.trim_start_matches("config = ")),
        bare.to_owned(),
        format!("\u{feff}{bare}\r\n"),
    ] {
        let report = check(&read("a.tf", &file));
        let found: Vec<&str> = report.diagnostics.iter().map(|d| d.code.as_str()).collect();
        assert_eq!(found, ["ACR118"], "{file}");
        let diagnostic = &report.diagnostics[0];
        let at = file.find("CN-Beijing").unwrap();
        assert_eq!(diagnostic.span, Some(at - 2..at + "CN-Beijing".len() + 2), "{file}");
        let (repaired, report) = repaired(&file).unwrap();
        assert_eq!(repaired, file.replace("CN-Beijing", "cn-beijing"));
        assert!(report.diagnostics.is_empty() && report.conversion.unwrap().spec.is_some());
    }
    // What only Terraform can work out is not guessed.
    for value in
        ["jsonencode(var.acr)", "<<-EOF\n{\"watchNamespace\": \"${var.names}\"}\nEOF", "file(\"acr.json\")"]
    {
        for file in [format!("config = {value}\n"), format!("addons {{\n  {name}\n  config = {value}\n}}\n")]
        {
            let report = check(&read("a.tf", &file));
            let found: Vec<&str> = report.diagnostics.iter().map(|d| d.code.as_str()).collect();
            assert_eq!(found, ["ACR606"], "{file}");
            let diagnostic = &report.diagnostics[0];
            assert!(diagnostic.message.contains("terraform"), "{}", diagnostic.message);
            assert_eq!(diagnostic.span.clone().unwrap().start, file.find(value).unwrap());
            assert!(report.conversion.is_none());
        }
    }
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
fn a_key_of_data_is_renamed_in_place() {
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
    // A text without quotes is rewritten for one of its changes at a time.
    let file = "service-account: Default，b\nacr-registry-info: '[{instanceId: cri-a, regionId: CN-A}]'\n";
    let report = check(&read("a", file));
    let edits: Vec<&str> =
        report.diagnostics.iter().flat_map(|d| &d.edits).map(|edit| edit.text.as_str()).collect();
    assert_eq!(edits, ["default,b", "\"- instanceId: cri-a\\n  regionId: CN-A\""]);
}

/// A second change within a text that is put in quotes would miss its place.
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

/// Returns the file once there is nothing left to edit. One edit may block another, so that it takes a few
/// rounds.
fn repaired(file: &str) -> Result<(String, LintReport), String> {
    let mut text = file.to_owned();
    for _ in 0..12 {
        let report = check(&read("a", &text));
        let edits: Vec<Edit> = report.diagnostics.iter().flat_map(|d| d.edits.clone()).collect();
        let next = PatchedText::new(&text, &edits).text;
        if next == text {
            return Ok((text, report));
        }
        text = next;
    }
    Err(text)
}

/// What YAML drops where it folds lines cannot be put in there.
#[test]
fn a_quoted_text_of_several_lines_is_rewritten_from_its_first_line() {
    for (written, expected) in [
        (
            "\"- instanceId: cri-a\n\n    regionId: cn-beijing\"",
            "- instanceId: cri-a\n  regionId: cn-beijing",
        ),
        ("'- instanceId: cri-a\n\n    regionId: cn-beijing'", "- instanceId: cri-a\n  regionId: cn-beijing"),
        (
            "\"- instanceId: cri-a\\n\\\n    regionId: CN-beijing\"",
            "- instanceId: cri-a\n  regionId: cn-beijing",
        ),
        (
            "\"- instanceId: cri-a\n\n    \\  regionId: CN-beijing\"",
            "- instanceId: cri-a\n  regionId: cn-beijing",
        ),
    ] {
        let (text, report) = repaired(&format!("data:\n  acr-registry-info: {written}\n")).unwrap();
        assert_eq!(report.diagnostics, [], "{text}");
        assert_eq!(read("a", &text).data()["acr-registry-info"], expected, "{text}");
    }
}

/// Returns a list of entries as people write them, some with slips, and some with signs that do not show.
fn list() -> impl Strategy<Value = String> {
    let field = |of: &[&'static str]| prop::sample::select(of.to_vec());
    let entry = (
        field(&[
            "cri-a",
            "\"cri-a,cri-b\"",
            "'cri-c'",
            "\"\"",
            "cri-\u{200b}a",
            "\u{a0}cri-d",
            "\"cri\u{ad}-e\u{feff}\"",
        ]),
        field(&[
            "",
            "regionId: cn-beijing",
            "regionId: CN-beijing",
            "regionId: '$REGION'",
            "regionId:\u{a0}cn-beijing",
            "region\u{200b}Id: cn\u{2060}-beijing",
        ]),
        field(&[
            "",
            "domains: \"a.com,b.com\"",
            "domains: [a.com, b.com]",
            "domains: A.com",
            "domains: \"a.com,\u{200b}b\u{ad}.com\"",
            "domains: [a.com,\u{a0}b\u{feff}.com]",
        ]),
        field(&["  ", "    ", ", "]),
    );
    prop::collection::vec(entry, 1..4).prop_map(|entries| {
        let line = |(id, region, domains, gap): (&str, &str, &str, &str)| {
            let braces = gap == ", ";
            let mut text = format!("- {}instanceId: {id}", if braces { "{" } else { "" });
            for field in [region, domains].into_iter().filter(|field| !field.is_empty()) {
                text += &format!("{}{gap}{field}", if braces { "" } else { "\n" });
            }
            text + if braces { "}\n" } else { "\n" }
        };
        entries.into_iter().map(line).collect()
    })
}

/// Returns a value in a manner of its own below its key.
fn written_as(value: &str, manner: usize) -> String {
    let value = value.trim_end();
    let escaped = value.replace('"', "\\\"");
    match manner {
        0 => format!("|\n    {}", value.replace('\n', "\n    ")),
        1 => format!("\n    \"{}\"", escaped.replace('\n', "\\n")),
        2 => format!("\"{}\"", escaped.replace('\n', "\\n\\\n    \\ ").replace("\\ -", "-")),
        3 => format!("\"{}\"", escaped.replace('\n', "\n\n    ")),
        4 => format!("\n    '{}'", value.replace('\'', "''").replace('\n', "\n\n    ")),
        5 => format!(">-\n    {}", value.replace('\n', "\n\n    ")),
        _ => format!("\n    |-\n    {}", value.replace('\n', "\n    ")),
    }
}

proptest! {
    /// However the value is written, it is a text, and its edits come to rest and leave what was read as it was.
    #[test]
    fn edits_do_no_harm_to_the_file(value in list(), manner in 0_usize..7) {
        let file = format!("data:\n  acr-registry-info: {}\n  rrsa: ''\n", written_as(&value, manner));
        let document = read("a", &file);
        // A sign that does not show is found in the file itself.
        let is_sign = |found: &Diagnostic| found.code.as_str() == "ACR413";
        prop_assert!(document.diagnostics.iter().all(is_sign), "{:?} {}", document.diagnostics, file);
        let before = check(&document);
        let (text, after) = repaired(&file).map_err(|text| TestCaseError::fail(format!("{file} never rests: {text}")))?;
        if before.count(Severity::Error) == 0 {
            prop_assert_eq!(&after.conversion.unwrap().spec, &before.conversion.unwrap().spec, "{} became {}", file, text);
        }
    }
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
        "name = \"managed-aliyun-acr-credential-helper\"\nconfig = \"{\\\"AcrInstanceInfo\\\":[{\\\"customAccessKey\\\":\\\"SECRETSECRET\\\",\\\"customAccessKeySecret\\\":\\\"“SECRETSECRET”\\\"}]}\"\n",
        "acr-registry-info: [\n  {customAccessKey: SECRETSECRET, customAccessKeySecret: SECRETSECRET}]\nwatch-namespace: {a: b}\n",
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
    fn every_file_can_be_drawn(
        parts in prop::collection::vec(prop::sample::select(vec![
            "data:", "\n", "\n  ", "\n    ", "\r\n", "\t", "acr-registry-info", "service-account", "rrsa", ":", ": ", "：", "|", "\"", "'",
            "- instanceId", "regionId", "cri-a", "CN-A", " // ", " # ", "*", "[", "]", "{", "}", ",", "中", "🙂", "\u{feff}", "\u{1b}", "\0",
            "customAccessKey", "expireDuration", "enable", "15", "\\u00e9", "\\",
            "config = ", "name = ", "\"{\\\"", "\\\"", "{\\", "AcrInstanceInfo", "jsonencode(", "kind: ConfigMap\nmetadata:\n  name: acr-configuration\n",
        ]), 0..40)
    ) {
        let report = check(&read("a", &parts.concat()));
        for format in [Format::Human { colour: true }, Format::Json, Format::Sarif] {
            written(&report, format);
        }
    }
}
