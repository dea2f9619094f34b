//! `kubectl acr convert --reverse`: the ConfigMap that says what a binding says.

use std::collections::BTreeMap;

use super::manifest::Tree;
use crate::api::binding::AcrCredentialBinding;
use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};
use crate::model::legacy::to_data;

/// Why there is no ConfigMap.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no YAML, or its binding is none. The parser's words hold nothing of the text.
    #[error("the file cannot be read as AcrCredentialBinding: {0}")]
    Unreadable(String),
    /// There is no binding, or more than one.
    #[error("the file has {0} AcrCredentialBindings, one is needed")]
    Count(usize),
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
    let mut bindings: Vec<&Tree> = documents.iter().filter(is_binding).collect();
    let (Some(tree), true) = (bindings.pop(), bindings.is_empty()) else {
        return Err(Error::Count(documents.iter().filter(is_binding).count()));
    };
    let object: AcrCredentialBinding =
        serde_json::from_value(tree.to_json()).map_err(|error| unreadable(error.to_string()))?;
    let data = to_data(&object.spec).map_err(Error::Unsaid)?;
    written(data).map_err(unreadable)
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
    fn a_file_without_one_binding_is_refused() {
        assert!(matches!(config_map("kind: ConfigMap\n"), Err(Error::Count(0))));
        let two = format!("{}---\n{}", binding("{registries: [{}]}"), binding("{registries: [{}]}"));
        assert!(matches!(config_map(&two), Err(Error::Count(2))));
        assert!(matches!(config_map(&binding("{registries: 3}")), Err(Error::Unreadable(_))));
        assert!(matches!(config_map("a: [\n"), Err(Error::Unreadable(_))));
    }
}
