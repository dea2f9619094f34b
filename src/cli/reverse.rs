//! `kubectl acr convert --reverse`: the ConfigMap that says what a binding says.

use std::collections::BTreeMap;

use serde_json::Value;

use super::convert::schema;
use super::manifest::Tree;
use crate::api::binding::AcrCredentialBinding;
use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};
use crate::model::Binding;
use crate::model::legacy::{ANY_REGION, to_data};

/// Why there is no ConfigMap.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no YAML, or its binding is none. The parser's words hold nothing of the text.
    #[error("the file cannot be read as AcrCredentialBinding: {0}")]
    Unreadable(String),
    /// There is no binding, or more than one.
    #[error("the file has {0} AcrCredentialBindings, one is needed")]
    Count(usize),
    /// It has fields that no binding has: a reader would pass over them.
    #[error("an AcrCredentialBinding has no such fields: {}", .0.join(", "))]
    Unknown(Vec<String>),
    /// The API server, or the controller, would refuse it.
    #[error("the AcrCredentialBinding is not valid: {}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The ConfigMap has no words for some of its fields.
    #[error("the ConfigMap cannot say it: {}", .0.join("; "))]
    Unsaid(Vec<String>),
}

/// The ConfigMap's manifest.
///
/// # Errors
/// [`Error`], with every field that the ConfigMap cannot say.
pub fn config_map(text: &str) -> Result<String, Error> {
    let unreadable = |error: String| Error::Unreadable(error);
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Tree> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| unreadable(error.to_string()))?;
    let is_binding = |tree: &&Tree| tree.get("kind") == Some(&Tree::Text("AcrCredentialBinding".to_owned()));
    let bindings: Vec<&Tree> = documents.iter().flat_map(objects).filter(is_binding).collect();
    let [tree] = bindings[..] else { return Err(Error::Count(bindings.len())) };
    let schema = schema().map_err(|error| unreadable(error.to_string()))?;
    let mut unknown = Vec::new();
    tree.get("spec").into_iter().for_each(|spec| strangers(spec, &schema, "spec", &mut unknown));
    if !unknown.is_empty() {
        return Err(Error::Unknown(unknown));
    }
    let object: AcrCredentialBinding =
        serde_json::from_value(tree.to_json()).map_err(|error| unreadable(error.to_string()))?;
    Binding::parse(&object, ANY_REGION)
        .map_err(|faults| Error::Invalid(faults.iter().map(ToString::to_string).collect()))?;
    let data = to_data(&object.spec).map_err(Error::Unsaid)?;
    written(data).map_err(unreadable)
}

/// A document, or what is listed in it: `kubectl get -o yaml` prints a List.
fn objects(document: &Tree) -> Vec<&Tree> {
    match document.get("items") {
        Some(Tree::List(items)) => items.iter().collect(),
        _ => vec![document],
    }
}

/// The paths of the fields that a schema does not have. What it leaves open is not looked into.
fn strangers(tree: &Tree, schema: &Value, path: &str, found: &mut Vec<String>) {
    match tree {
        Tree::Map(pairs) => {
            let Some(known) = schema["properties"].as_object() else { return };
            for (key, value) in pairs {
                let path = format!("{path}.{key}");
                match known.get(key) {
                    Some(schema) => strangers(value, schema, &path, found),
                    None => found.push(path),
                }
            }
        }
        Tree::List(items) => {
            for (index, item) in items.iter().enumerate() {
                strangers(item, &schema["items"], &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn written(data: BTreeMap<String, String>) -> Result<String, String> {
    let text = |text: &str| Tree::Text(text.to_owned());
    let data = data.into_iter().map(|(key, value)| (key, Tree::Text(value))).collect();
    let metadata =
        vec![("name".to_owned(), text(LEGACY_NAME)), ("namespace".to_owned(), text(LEGACY_NAMESPACE))];
    let tree = Tree::Map(vec![
        ("apiVersion".to_owned(), text("v1")),
        ("kind".to_owned(), text("ConfigMap")),
        ("metadata".to_owned(), Tree::Map(metadata)),
        ("data".to_owned(), Tree::Map(data)),
    ]);
    serde_saphyr::to_string(&tree).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::convert::manifests;
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
            manifests(report.conversion.as_ref().unwrap()).unwrap().unwrap().binding
        };
        let back = config_map(&spec(there)).unwrap();
        assert!(back.contains("  acr-registry-info: |\n"), "{back}");
        assert_eq!(spec(&back), spec(there), "{back}");
    }

    #[test]
    fn what_the_config_map_cannot_say_is_named() {
        let text = binding(
            "{registries: [{instanceId: cri-a1b2c3}], suspend: true, watchNamespaces: {names: [\"a-*\"], exclude: []}}",
        );
        let Err(Error::Unsaid(fields)) = config_map(&text) else { panic!("{:?}", config_map(&text)) };
        let told = fields.join("\n");
        assert!(told.contains("suspend") && told.contains("watchNamespaces"), "{told}");
    }

    #[test]
    fn what_would_be_lost_on_the_way_is_refused() {
        let refused = |spec: &str| config_map(&binding(spec)).unwrap_err().to_string();
        let told = refused(
            "{registries: [{instanceId: cri-a1b2c3, region: cn-beijing}], serviceAccount: {names: [x]}, serviceAccounts: {selector: {matchLabels: {a: b}}}}",
        );
        assert!(told.ends_with(": spec.registries[0].region, spec.serviceAccount"), "{told}");
        let told = refused("{registries: [{instanceId: foo}]}");
        assert!(told.contains("spec.registries[0].instanceId"), "{told}");
    }

    #[test]
    fn a_binding_within_a_list_is_found() {
        let list = "{kind: List, items: [{apiVersion: acrcredential.dev/v1alpha1, kind: AcrCredentialBinding, metadata: {name: a}, spec: {registries: [{}], deletionPolicy: Retain, watchNamespaces: {exclude: []}}}]}";
        assert!(config_map(list).unwrap().contains("kind: ConfigMap"));
    }

    #[test]
    fn a_file_without_one_binding_is_refused() {
        assert!(matches!(config_map("kind: ConfigMap\n"), Err(Error::Count(0))));
        let two = format!("{}---\n{}", binding("{registries: [{}]}"), binding("{registries: [{}]}"));
        assert!(matches!(config_map(&two), Err(Error::Count(2))));
        assert!(matches!(config_map(&binding("{registries: 3}")), Err(Error::Unreadable(_))));
        assert!(matches!(config_map("a: [\n"), Err(Error::Unreadable(_))));
    }
}
