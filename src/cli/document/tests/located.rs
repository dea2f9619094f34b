//! Where in a file the configuration is, and what is told of the rest.

use super::{apply, told};
use crate::cli::document::read;

#[test]
fn the_configuration_is_found_among_documents() {
    let named = "kind: ConfigMap\nmetadata: {name: acr-configuration}\ndata: {service-account: a}\n";
    for file in [
        format!("kind: ConfigMap\nmetadata: {{name: b}}\ndata: {{service-account: b}}\n---\n{named}"),
        format!("kind: Secret\ndata: {{service-account: b}}\n---\n{named}"),
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
fn a_config_map_that_nobody_reads_is_told() {
    let file =
        "kind: ConfigMap\nmetadata:\n  name: acr-config\n  namespace: default\ndata:\n  service-account: a\n";
    assert_eq!(told(file), ["ACR714 metadata.name 3:9", "ACR714 metadata.namespace 4:14"]);
    assert_eq!(
        apply(file),
        file.replace("acr-config\n", "\"acr-configuration\"\n").replace("default", "\"kube-system\"")
    );
    assert_eq!(told(&apply(file)), [""; 0]);
    // A base that an overlay completes has no namespace.
    assert_eq!(
        told("kind: ConfigMap\nmetadata:\n  name: acr-configuration\ndata:\n  service-account: a\n"),
        [""; 0]
    );
}

#[test]
fn what_a_file_has_in_place_of_a_configuration_is_named() {
    let message = |file: &str| read("file", file).diagnostics[0].message.clone();
    assert!(
        message("kind: Deployment\n---\nkind: Service\n---\nkind: Service\n")
            .starts_with("has Deployment, Service, but no")
    );
    assert!(message("kind: AcrCredentialBinding\nspec: {}\n").contains("--dry-run=server"));
    assert!(message("").starts_with("has no ConfigMap"));
}

#[test]
fn what_stands_beside_data_is_told_and_not_passed_over() {
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
        ("data:\n\u{3000}\u{3000}watch-namespace: all\n".to_owned(), vec!["ACR715 watch-namespace 5:1"]),
        (
            "data:\n  webhook-configuration: |\n    enable: true\n\u{a0}\u{a0}\u{a0}\u{a0}timeout-seconds: 5\n".to_owned(),
            vec!["ACR715 timeout-seconds 7:1"],
        ),
        (format!("data:\n  rrsa: ''\n---\n{head}data:\n  rrsa: ''\n"), vec!["ACR715 metadata.name 9:18"]),
        ("immutable: true\nbinaryData:\n  logo: YQ==\ndata:\n  rrsa: ''\n".to_owned(), vec![]),
    ] {
        assert_eq!(told(&format!("{head}{rest}")), findings, "{rest}");
    }
    assert_eq!(told("data:\n  rrsa: ''\nservice-account: a\n"), ["ACR715 service-account 3:1"]);
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
