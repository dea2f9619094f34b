//! The texts of `kubectl explain`.

use acr_credential_binding::api::legacy;
use serde_json::Value;

use crate::constraints::spec_schema;
use crate::server::plane;

/// Collects each field of a schema with its path and description, without Kubernetes' own.
fn fields<'a>(path: &str, schema: &'a Value, found: &mut Vec<(String, &'a str)>) {
    if let Some(items) = schema.get("items") {
        return fields(path, items, found);
    }
    for (field, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{field}");
        found.push((path.clone(), schema["description"].as_str().unwrap_or_default()));
        fields(&path, schema, found);
    }
}

#[test]
fn every_field_at_every_level_has_a_description() {
    let crd = serde_json::to_value(acr_credential_binding::api::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = Vec::new();
    fields("acb", schema, &mut found);
    assert!(found.len() > 60, "{found:?}");
    let without: Vec<_> = found.iter().filter(|(_, text)| text.len() < 3).collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn every_field_of_the_spec_names_the_config_map_key_that_it_mirrors() {
    let schema = spec_schema();
    let mut found = Vec::new();
    fields("", &schema, &mut found);
    for (path, text) in found.iter().filter(|(path, _)| !path.contains(".selector.")) {
        match keys(path) {
            [] => assert!(text.contains("No ConfigMap key"), "{path}: {text}"),
            keys => {
                assert!(text.contains("ConfigMap"), "{path}: {text}");
                for key in keys {
                    assert!(text.contains(&format!("`{key}`")), "{path} does not name {key}: {text}");
                }
            }
        }
    }
}

/// Returns the ConfigMap keys that a field mirrors.
fn keys(path: &str) -> &[&str] {
    if let Some(field) = path.strip_prefix(".registries.")
        && let Some(key) = legacy::entry::KEYS.iter().position(|key| *key == field)
    {
        return &legacy::entry::KEYS[key..=key];
    }
    match path {
        ".registries" => &[legacy::ACR_REGISTRY_INFO],
        ".registries.accessKeySecretRef" | ".registries.accessKeySecretRef.name" => {
            &[legacy::entry::CUSTOM_ACCESS_KEY, legacy::entry::CUSTOM_ACCESS_KEY_SECRET]
        }
        ".expiringThreshold" => &[legacy::EXPIRING_THRESHOLD],
        ".notifyEmail" => &[legacy::NOTIFY_EMAIL],
        ".webhook" => &[legacy::WEBHOOK_CONFIGURATION],
        ".webhook.enable" => &[legacy::webhook::ENABLE],
        ".webhook.failurePolicy" => &[legacy::webhook::FAILURE_POLICY],
        ".webhook.timeoutSeconds" => &[legacy::webhook::TIMEOUT_SECONDS],
        path if path.starts_with(".watchNamespaces") => &[legacy::WATCH_NAMESPACE],
        path if path.starts_with(".serviceAccounts") => &[legacy::SERVICE_ACCOUNT],
        ".deletionPolicy" | ".suspend" => &[],
        new => panic!("a field without a key to mirror: {new}"),
    }
}

#[tokio::test]
async fn kubectl_explains_every_level() {
    let plane = plane().await;
    for (path, words) in [
        ("acb", "Pods pull private images with no credential in any manifest"),
        ("acb.spec", "The typed form of the ConfigMap `kube-system/acr-configuration`"),
        ("acb.spec.registries", "(ConfigMap key `acr-registry-info`)"),
        ("acb.spec.registries.domains", "host[:port][/path]"),
        ("acb.spec.registries.accessKeySecretRef.name", "`customAccessKey`"),
        ("acb.spec.watchNamespaces.selector.matchLabels", "requirements are ANDed"),
        ("acb.spec.watchNamespaces.exclude", "Default: `kube-*`"),
        ("acb.spec.webhook.failurePolicy", "(ConfigMap: `failure-policy`)"),
        ("acb.status.pairs.namespace", "The namespace."),
    ] {
        let printed = plane.kubectl_ok(&["explain", path]).await.unwrap();
        let text = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{path}: {printed}");
    }
}
