//! Where in a file the configuration is, and what is reported of the rest.

use super::{apply, found};
use crate::cli::document::read;

#[test]
fn the_configuration_is_found_among_documents() {
    let named = "kind: ConfigMap\nmetadata: {name: acr-configuration}\ndata: {service-account: a}\n";
    for file in [
        format!("kind: ConfigMap\nmetadata: {{name: b}}\ndata: {{service-account: b}}\n---\n{named}"),
        format!("kind: Secret\ndata: {{service-account: b}}\n---\n{named}"),
        // An add-on's, for Terraform alone.
        format!("kind: ConfigMap\nmetadata: {{name: b}}\ndata:\n  config: \"{{\\\"a\\\": 1}}\"\n---\n{named}"),
        "{\"kind\":\"List\",\"items\":[{\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"acr-configuration\"},\"data\":{\"service-account\":\"a\"}}]}".to_owned(),
        "data:\n  service-account: a\n".to_owned(),
        "service-account: a\n".to_owned(),
    ] {
        let document = read("file", &file);
        assert_eq!(document.data().into_iter().collect::<Vec<_>>(), [("service-account".to_owned(), "a".to_owned())]);
        let place = document.values["service-account"].scalar.place(&(0..1));
        assert_eq!(&file[place], "a");
    }
}

#[test]
fn the_managed_add_on_is_known_by_its_keys_also_within_a_text() {
    let json = "{\"AcrInstanceInfo\": [{\"instanceId\": \"cri-a\"}]}";
    assert_eq!(read("file", json).addon.unwrap().value(), json);
    let escaped = format!("{json:?}");
    let addon = read("file", &escaped).addon.unwrap();
    assert_eq!(addon.value(), json);
    assert_eq!(addon.place(&(1..2)), 2..4);
}

#[test]
fn a_config_map_that_is_never_read_is_reported() {
    let file =
        "kind: ConfigMap\nmetadata:\n  name: acr-config\n  namespace: default\ndata:\n  service-account: a\n";
    assert_eq!(found(file), ["ACR714 metadata.name 3:9", "ACR714 metadata.namespace 4:14"]);
    assert_eq!(
        apply(file),
        file.replace("acr-config\n", "\"acr-configuration\"\n").replace("default", "\"kube-system\"")
    );
    assert_eq!(found(&apply(file)), [""; 0]);
    // A base that an overlay completes has no namespace.
    assert_eq!(
        found("kind: ConfigMap\nmetadata:\n  name: acr-configuration\ndata:\n  service-account: a\n"),
        [""; 0]
    );
}

#[test]
fn what_a_file_has_in_place_of_a_configuration_is_named() {
    let message = |file: &str| read("file", file).diagnostics[0].message.clone();
    assert!(
        message("kind: Deployment\n---\nkind: Service\n---\nkind: Service\n")
            .starts_with("the file has Deployment, Service, but no")
    );
    assert!(message("kind: AcrCredentialBinding\nspec: {}\n").contains("--dry-run=server"));
    assert!(message("").starts_with("the file has no ConfigMap"));
}

#[test]
fn keys_outside_data_are_reported_and_not_skipped() {
    let head =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: acr-configuration, namespace: kube-system}\n";
    let list = "acr-registry-info: |\n  - instanceId: cri-a1b2c3\n";
    for (rest, findings) in [
        (
            format!("data:\nwatch-namespace: all\n{list}"),
            vec!["ACR715 watch-namespace 5:1", "ACR715 acr-registry-info 6:1"],
        ),
        (format!("data:\n  watch-namespace: all\n{list}"), vec!["ACR715 acr-registry-info 6:1"]),
        ("Data:\n  watch-namespace: all\n".to_owned(), vec!["ACR715 Data 4:1"]),
        ("stringData:\n  watch-namespace: all\n".to_owned(), vec!["ACR715 stringData 4:1"]),
        ("data:\n  watch-namespace: a\ndata:\n  rrsa: ''\n".to_owned(), vec!["ACR715 data 4:1"]),
        ("binaryData:\n  acr-registry-info: YQ==\n".to_owned(), vec!["ACR715 binaryData 4:1"]),
        ("data:\n\u{3000}\u{3000}watch-namespace: all\n".to_owned(), vec!["ACR408 data 5:1"]),
        (
            "data:\n  webhook-configuration: |\n    enable: true\n\u{a0}\u{a0}\u{a0}\u{a0}timeout-seconds: 5\n".to_owned(),
            vec!["ACR413 webhook-configuration 7:1"],
        ),
        (format!("data:\n  rrsa: ''\n---\n{head}data:\n  rrsa: ''\n"), vec!["ACR715 metadata.name 9:18"]),
        ("immutable: true\nbinaryData:\n  logo: YQ==\ndata:\n  rrsa: ''\n".to_owned(), vec![]),
    ] {
        assert_eq!(found(&format!("{head}{rest}")), findings, "{rest}");
    }
    assert_eq!(found("data:\n  rrsa: ''\nservice-account: a\n"), ["ACR715 service-account 3:1"]);
}

/// A slip makes one text of all keys, or of none.
#[test]
fn data_of_another_type_is_repaired_or_refused_and_never_ignored() {
    let head =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n  namespace: kube-system\n";
    for (rest, findings, values) in [
        (
            "data:\n  service-account:default\n  watch-namespace:all\n",
            vec!["ACR404 service-account 7:18", "ACR404 watch-namespace 8:18"],
            2,
        ),
        ("data:\n  watch-namespace：all\n", vec!["ACR408 watch-namespace 7:18"], 1),
        ("data: |\n  watch-namespace: all\n  rrsa: |\n    enable: true\n", vec!["ACR716 data 6:7"], 2),
        ("data: |-\r\n  watch-namespace: all\r\n", vec!["ACR716 data 6:7"], 1),
        ("data: foo\n", vec!["ACR716 data 6:7"], 0),
        ("data: [watch-namespace: all]\n", vec!["ACR716 data 6:7"], 0),
        ("  data:\n    watch-namespace: all\n", vec!["ACR715 data 6:3"], 0),
        ("  watch-namespace: all\n  labels: {a: b}\n", vec!["ACR715 watch-namespace 6:3"], 0),
    ] {
        let file = format!("{head}{rest}");
        assert_eq!(found(&file), findings, "{rest}");
        let document = read("file", &file);
        assert_eq!(document.values.len(), values, "{rest}");
        assert_eq!(document.holds_nothing(), values == 0, "{rest}");
        if values > 0 {
            assert_eq!(found(&apply(&file)), [""; 0], "{rest}");
        }
    }
    // Nothing is the same as no data.
    for rest in ["data:\n", "data: ~\n", "data: {}\n", ""] {
        let document = read("file", &format!("{head}{rest}"));
        assert!(document.diagnostics.is_empty() && !document.holds_nothing(), "{rest}");
    }
}

/// What its user wrote into a list or a map is read, and what cannot be is not taken for absent.
#[test]
fn a_list_or_a_map_is_read_or_leaves_the_whole_unread() {
    for (file, findings, key, value, repaired) in [
        (
            "data:\n  acr-registry-info: [\n    {instanceId: cri-a},\n    {instanceId: cri-b}]\n",
            vec!["ACR704 acr-registry-info 2:3"],
            "acr-registry-info",
            Some("[\n    {instanceId: cri-a},\n    {instanceId: cri-b}]"),
            "data:\n  acr-registry-info: |\n    [\n    {instanceId: cri-a},\n    {instanceId: cri-b}]\n",
        ),
        (
            "data:\n  rrsa: {\n   enable: true }\n",
            vec!["ACR704 rrsa 2:3"],
            "rrsa",
            Some("{\n   enable: true }"),
            "data:\n  rrsa: |\n   {\n   enable: true }\n",
        ),
        (
            "data:\n  acr-registry-info: [{instanceId: 'cri-a'}]\n",
            vec!["ACR704 acr-registry-info 2:3"],
            "acr-registry-info",
            Some("[{instanceId: 'cri-a'}]"),
            "data:\n  acr-registry-info: |\n    [{instanceId: 'cri-a'}]\n",
        ),
        (
            "data:\n  rrsa: &on\n    enable: true\n",
            vec!["ACR704 rrsa 2:3"],
            "rrsa",
            Some("    enable: true"),
            "data:\n  rrsa: &on\n    enable: true\n",
        ),
        (
            "data:\n  acr-registry-info: !!seq\n  - instanceId: cri-a\n  - instanceId: cri-b\n",
            vec!["ACR704 acr-registry-info 2:3"],
            "acr-registry-info",
            Some("  - instanceId: cri-a\n  - instanceId: cri-b"),
            "data:\n  acr-registry-info: !!seq\n  - instanceId: cri-a\n  - instanceId: cri-b\n",
        ),
        (
            "data:\n  watch-namespace:\n    a: b\n",
            vec!["ACR704 watch-namespace 2:3"],
            "watch-namespace",
            None,
            "data:\n  watch-namespace:\n    a: b\n",
        ),
        (
            "data:\n  watch-namespace: {a: b}\n",
            vec!["ACR704 watch-namespace 2:3"],
            "watch-namespace",
            None,
            "data:\n  watch-namespace: {a: b}\n",
        ),
    ] {
        assert_eq!(found(file), findings, "{file}");
        let document = read("file", file);
        assert_eq!(document.values.get(key).map(|value| value.scalar.value().trim_end()), value, "{file}");
        assert_eq!(document.unread, value.is_none(), "{file}");
        assert_eq!(apply(file), repaired, "{file}");
        if repaired != file {
            assert_eq!(found(repaired), [""; 0], "{repaired}");
        }
        if let Some(value) = value {
            let at = file.find(value).unwrap();
            let scalar = &document.values[key].scalar;
            assert_eq!(scalar.place(&(0..value.len())), at..at + value.len(), "{file}");
        }
    }
}

/// As formatters break long lines.
#[test]
fn a_text_on_the_line_after_its_key_is_left_alone() {
    for text in [
        "\"- instanceId: cri-a\\n  regionId: cn-beijing\"",
        "'[{instanceId: \"\"}]'",
        "'enable: true'",
        "\"- instanceId: cri-a\\n\n    \\  regionId: cn-beijing\"",
        "|\n    - instanceId: cri-a\n      regionId: cn-beijing",
        ">-\n    - instanceId: cri-a",
        "!!str '[]'",
        "&a '[]'",
    ] {
        let file = format!("data:\n  acr-registry-info:\n    {text}\n  service-account: a\n");
        assert_eq!(found(&file), [""; 0], "{file}");
        // Nor is it looked into where something else is at fault.
        let faulty = file.replace("account: a", "account: *");
        assert_eq!(found(&faulty).len(), 1, "{faulty}");
    }
    // A key in quotes is none.
    let file = "data:\n  rrsa:\n    \"enable\": true\n";
    assert_eq!(found(file), ["ACR704 rrsa 2:3"]);
    assert_eq!(apply(file), "data:\n  rrsa: |\n    \"enable\": true\n");
}

#[test]
fn the_managed_add_on_is_found_however_terraform_and_the_api_have_it() {
    let json = "{\"AcrInstanceInfo\": [{\"instanceId\": \"cri-a\"}]}";
    let once = format!("{json:?}");
    let named = format!("{{\"name\": \"managed-aliyun-acr-credential-helper\", \"config\": {once}}}");
    for file in [
        json.to_owned(),
        once.clone(),
        once.trim_matches('"').to_owned(),
        format!("config = {once}"),
        format!("  \"config\": {once},\n"),
        format!("config: {once}\n"),
        format!("{once:?}"),
        format!("[{{\"name\": \"metrics-server\", \"config\": \"{{}}\"}}, {named}]"),
        format!("[{named}]"),
        named,
        json.replace("AcrInstanceInfo", "acrInstanceInfo"),
        json.replace(": ", ":\t"),
    ] {
        let document = read("file", &file);
        assert_eq!(document.diagnostics, [], "{file}");
        let conversion = crate::model::legacy::from_addon_config(document.addon.unwrap().value());
        let id = conversion.spec.unwrap().registries[0].instance_id.clone();
        assert_eq!(id.as_deref(), Some("cri-a"), "{file}");
    }
    let file = "{\"serviceAccount\": \"*\"}";
    assert_eq!(read("file", file).addon.unwrap().value(), file);
}
