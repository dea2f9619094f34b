//! The Helm chart, by Helm itself: what it renders, what it refuses, and the manifests that are rendered from it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, in its helpers too")]

mod about;
mod fence;
mod interrupted;
mod kustomize;
mod manifests;
mod refusals;
mod values;

use acr_lab::docs::root;
use acr_lab::helm::Helm;
use serde_json::Value;

const RELEASE: &str = "acr-credential-controller";
const NAMESPACE: &str = "acr-credential-system";

/// An object that the chart renders.
#[derive(Debug)]
struct Document {
    /// Its template, without folder and extension.
    template: String,
    /// Its text, with comments.
    text: String,
    object: Value,
}

impl Document {
    /// Returns what no other object has: kind, namespace and name.
    fn key(&self) -> String {
        let metadata = &self.object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or("-");
        format!(
            "{} {namespace}/{}",
            self.object["kind"].as_str().unwrap(),
            metadata["name"].as_str().unwrap()
        )
    }
}

/// Returns the arguments that render the chart of this checkout under a name and a namespace.
fn template<'a>(release: &'a str, namespace: &'a str, chart: &'a str, values: &[&'a str]) -> Vec<&'a str> {
    [&["template", release, chart, "--namespace", namespace], values].concat()
}

fn chart() -> String {
    root().join("deploy/helm").display().to_string()
}

/// Renders the chart with further arguments.
async fn render(helm: &Helm, values: &[&str]) -> Vec<Document> {
    read(&helm.ok(&template(RELEASE, NAMESPACE, &chart(), values)).await.unwrap())
}

/// Renders the chart with further arguments, of which one is wrong, and returns the message.
async fn refused(helm: &Helm, values: &[&str]) -> String {
    let output = helm.run(&template(RELEASE, NAMESPACE, &chart(), values)).await.unwrap();
    assert!(!output.status.success(), "{values:?} are accepted");
    output.stderr
}

/// Reads what `helm template` prints.
fn read(rendered: &str) -> Vec<Document> {
    let source = "# Source: acr-credential-controller/templates/";
    let documents = format!("\n{rendered}");
    let documents = documents.split("\n---\n").filter(|text| !text.trim().is_empty());
    documents
        .map(|text| {
            let (source, text) = text.strip_prefix(source).unwrap().split_once('\n').unwrap();
            let object = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let template = source.strip_suffix(".yaml").unwrap().to_owned();
            Document { template, text: format!("{}\n", text.trim()), object }
        })
        .collect()
}
