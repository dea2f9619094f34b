//! `kubectl acr convert --reverse`: the ConfigMap that is equivalent to a binding.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::convert::schema;
use crate::api::binding::AcrCredentialBinding;
use crate::api::legacy::{Node, Value, parse_manifest};
use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};
use crate::model::Binding;
use crate::model::legacy::{ANY_REGION, to_data};

/// An error of a binding without an equivalent ConfigMap.
#[derive(Debug, thiserror::Error)]
pub enum ReverseError {
    /// The text is not YAML, or not a binding. The parser's words hold nothing of the text.
    #[error(
        "the file is not a valid AcrCredentialBinding: {0}; correct it as kubectl explain acrcredentialbinding.spec shows"
    )]
    Unreadable(String),
    /// The file does not have exactly one binding.
    #[error("the file has {0} AcrCredentialBindings: give exactly one")]
    Count(usize),
    /// It has unknown fields, which a reader would pass over.
    #[error("the AcrCredentialBinding has unknown fields: {}; delete them, or correct their names", .0.join(", "))]
    Unknown(Vec<String>),
    /// The API server or the controller refuses it.
    #[error("the AcrCredentialBinding is not valid: {}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The ConfigMap has no keys for some of its fields.
    #[error("the ConfigMap has no keys for these fields: {}", .0.join("; "))]
    Unsupported(Vec<String>),
}

/// Writes the ConfigMap's manifest.
///
/// # Errors
/// [`ReverseError`], with every field that the ConfigMap does not support.
pub fn config_map(text: &str) -> Result<String, ReverseError> {
    let invalid = |error: serde_json::Error| ReverseError::Unreadable(error.to_string());
    let (documents, fault) = parse_manifest(text);
    if let Some(fault) = fault {
        return Err(ReverseError::Unreadable(format!("line {}: {}", fault.line, fault.why)));
    }
    let is_binding = |node: &&Node| node.get("kind").and_then(Node::text) == Some("AcrCredentialBinding");
    let bindings: Vec<&Node> = documents.iter().flat_map(objects).filter(is_binding).collect();
    let [node] = bindings[..] else { return Err(ReverseError::Count(bindings.len())) };
    let schema = schema().map_err(invalid)?;
    let mut unknown = Vec::new();
    node.get("spec").into_iter().for_each(|spec| unknown_fields(spec, &schema, "spec", &mut unknown));
    if !unknown.is_empty() {
        return Err(ReverseError::Unknown(unknown));
    }
    let object = serde_json::to_value(node).map_err(invalid)?;
    let object: AcrCredentialBinding = serde_json::from_value(object).map_err(invalid)?;
    Binding::parse(&object, ANY_REGION)
        .map_err(|faults| ReverseError::Invalid(faults.iter().map(ToString::to_string).collect()))?;
    let data = to_data(&object.spec).map_err(ReverseError::Unsupported)?;
    written(data).map_err(|error| ReverseError::Unreadable(error.to_string()))
}

/// Returns a document, or the items of a List, which `kubectl get -o yaml` prints.
fn objects(document: &Node) -> Vec<&Node> {
    match document.get("items").map(|items| &items.value) {
        Some(Value::List(items)) => items.iter().collect(),
        _ => vec![document],
    }
}

/// Collects the paths of the fields that are not in a schema.
fn unknown_fields(node: &Node, schema: &Json, path: &str, found: &mut Vec<String>) {
    for (index, item) in node.items().iter().enumerate() {
        unknown_fields(item, &schema["items"], &format!("{path}[{index}]"), found);
    }
    // A schema without properties leaves them open.
    let Some(known) = schema["properties"].as_object() else { return };
    for pair in node.pairs() {
        let path = format!("{path}.{}", pair.name());
        match known.get(pair.name()) {
            Some(schema) => unknown_fields(&pair.value, schema, &path, found),
            None => found.push(path),
        }
    }
}

fn written(data: BTreeMap<String, String>) -> Result<String, impl std::error::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Manifest {
        api_version: &'static str,
        kind: &'static str,
        metadata: Json,
        data: BTreeMap<String, String>,
    }
    let metadata = json!({ "name": LEGACY_NAME, "namespace": LEGACY_NAMESPACE });
    serde_saphyr::to_string(&Manifest { api_version: "v1", kind: "ConfigMap", metadata, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::convert::{ComponentEdition, manifests};
    use crate::cli::document::read;
    use crate::cli::lint::check;

    fn binding(spec: &str) -> String {
        format!(
            "kind: Namespace\n---\napiVersion: acrcredential.dev/v1alpha1\nkind: AcrCredentialBinding\nmetadata: {{name: a}}\nspec: {spec}\n"
        )
    }

    #[test]
    fn there_and_back_it_is_the_same() {
        let there = "data:\n  watch-namespace: a,b\n  expiring-threshold: 30m\n  acr-registry-info: |\n    - instanceId: cri-a1b2c3\n      regionId: cn-beijing\n      domains: a.com,b.com\n";
        let spec = |file: &str| {
            let report = check(&read("file", file));
            manifests(report.conversion.as_ref().unwrap(), ComponentEdition::ConfigMap)
                .unwrap()
                .unwrap()
                .binding
        };
        let back = config_map(&spec(there)).unwrap();
        assert!(back.contains("  acr-registry-info: |\n"), "{back}");
        assert_eq!(spec(&back), spec(there), "{back}");
    }

    #[test]
    fn fields_without_a_key_in_the_config_map_are_named() {
        let text = binding(
            "{registries: [{instanceId: cri-a1b2c3}], suspend: true, watchNamespaces: {names: [\"a-*\"], exclude: []}}",
        );
        let Err(ReverseError::Unsupported(fields)) = config_map(&text) else {
            panic!("{:?}", config_map(&text))
        };
        let message = fields.join("\n");
        assert!(message.contains("suspend") && message.contains("watchNamespaces"), "{message}");
    }

    #[test]
    fn fields_that_would_be_lost_are_refused() {
        let refused = |spec: &str| config_map(&binding(spec)).unwrap_err().to_string();
        let message = refused(
            "{registries: [{instanceId: cri-a1b2c3, region: cn-beijing}], serviceAccount: {names: [x]}, serviceAccounts: {selector: {matchLabels: {a: b}}}}",
        );
        assert!(
            message.contains(": spec.registries[0].region, spec.serviceAccount; delete them"),
            "{message}"
        );
        let message = refused("{registries: [{instanceId: foo}]}");
        assert!(message.contains("spec.registries[0].instanceId"), "{message}");
    }

    #[test]
    fn a_binding_within_a_list_is_found() {
        let list = "{kind: List, items: [{apiVersion: acrcredential.dev/v1alpha1, kind: AcrCredentialBinding, metadata: {name: a}, spec: {registries: [{}], deletionPolicy: Retain, watchNamespaces: {exclude: []}}}]}";
        assert!(config_map(list).unwrap().contains("kind: ConfigMap"));
    }

    #[test]
    fn a_file_without_one_binding_is_refused() {
        assert!(matches!(config_map("kind: ConfigMap\n"), Err(ReverseError::Count(0))));
        let two = format!("{}---\n{}", binding("{registries: [{}]}"), binding("{registries: [{}]}"));
        assert!(matches!(config_map(&two), Err(ReverseError::Count(2))));
        assert!(matches!(config_map(&binding("{registries: 3}")), Err(ReverseError::Unreadable(_))));
        assert!(matches!(config_map("a: [\n"), Err(ReverseError::Unreadable(_))));
    }
}
