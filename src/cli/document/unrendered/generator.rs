//! Manifests that generate the ConfigMap, by the kinds of their objects.

use super::named::{folder, shell_name};
use crate::api::legacy::{Node, Value};
use crate::api::names::LEGACY_NAME;
use crate::model::legacy::data_key;

/// How deep the keys of the ConfigMap are searched for in the values of a chart.
const MAX_DEPTH: usize = 8;

/// Says which object of a file generates the ConfigMap, and the command that prints it.
pub(in crate::cli::document) fn generator(name: &str, roots: &[Node]) -> Option<String> {
    let file = shell_name(name);
    roots.iter().find_map(|root| of_kind(file, name, root).or_else(|| of_keys(file, name, root)))
}

/// Returns the name of an object for a command.
fn object_name(root: &Node) -> &str {
    let name = root.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
    name.filter(|name| !name.is_empty() && shell_name(name) == *name).unwrap_or("NAME")
}

fn printed(what: &str, command: &str) -> String {
    format!(
        "the file has {what}, which generates the ConfigMap: check what it prints: {command} | kubectl acr lint -"
    )
}

fn in_cluster(what: &str) -> String {
    format!(
        "the file has {what}, which another controller reads in the cluster: check what it writes: kubectl acr lint --live"
    )
}

fn of_kind(file: &str, path: &str, root: &Node) -> Option<String> {
    let kind = root.get("kind").and_then(Node::text)?;
    let group = root.get("apiVersion").and_then(Node::text).unwrap_or_default().split('/').next()?;
    let name = object_name(root);
    Some(match kind {
        "Kustomization" if group.ends_with("fluxcd.io") => {
            let folder = root.get("spec").and_then(|spec| spec.get("path")).and_then(Node::text);
            let folder = folder.filter(|folder| shell_name(folder) == *folder).unwrap_or("PATH");
            printed(
                "a Kustomization of Flux",
                &format!("flux build kustomization {name} --path {folder} --kustomization-file {file}"),
            )
        }
        "Kustomization" | "Component" => {
            printed("a kustomization", &format!("kustomize build {}", folder(path)))
        }
        "HelmRelease" => printed(
            "a HelmRelease of Flux",
            &format!(
                "flux debug helmrelease {name} --show-values > values.yaml; helm template {name} CHART -f values.yaml"
            ),
        ),
        "HelmChart" | "HelmChartConfig" | "HelmChartProxy" => {
            printed("a Helm chart", &format!("helm template {name} CHART -f values.yaml"))
        }
        "Application" if group == "argoproj.io" => {
            printed("an Application of Argo CD", &format!("argocd app manifests {name}"))
        }
        "ApplicationSet" => printed("an ApplicationSet of Argo CD", "argocd app manifests NAME"),
        "SealedSecret" => "the file has a SealedSecret, which only the cluster can decrypt: check the manifest that it was sealed from, or the result: kubectl acr lint --live".to_owned(),
        "ExternalSecret" | "ClusterExternalSecret" => in_cluster("an ExternalSecret"),
        "PushSecret" | "SecretProviderClass" | "VaultStaticSecret" | "VaultDynamicSecret" | "SopsSecret" => {
            in_cluster(&format!("a {kind}"))
        }
        "ClusterPolicy" | "Policy" if group == "kyverno.io" => in_cluster("a policy of Kyverno"),
        "App" | "PackageInstall" if group.ends_with("k14s.io") || group.ends_with("carvel.dev") => {
            printed("an App of Carvel", &format!("ytt -f {}", folder(path)))
        }
        "Composition" => printed(
            "a Composition of Crossplane",
            &format!("crossplane render XR.yaml {file} FUNCTIONS.yaml"),
        ),
        "Template" if group.ends_with("openshift.io") || group == "v1" => {
            printed("a Template of OpenShift", &format!("oc process --local -o yaml -f {file}"))
        }
        "ResourceList" | "Kptfile" => printed("a package of kpt", "kpt fn render -o unwrap"),
        "Config" if group == "skaffold" => printed("a configuration of Skaffold", "skaffold render"),
        _ => return None,
    })
}

fn of_keys(file: &str, path: &str, root: &Node) -> Option<String> {
    if root.get("kind").is_some() {
        return None;
    }
    let has = |key: &str| root.get(key).is_some();
    if has("configMapGenerator")
        || has("secretGenerator")
        || has("kustomize")
        || has("resources") && has("namespace")
    {
        return Some(printed("a kustomization", &format!("kustomize build {}", folder(path))));
    }
    if ["kustomization.yaml", "kustomization.yml"].iter().any(|end| path.ends_with(end)) {
        return Some(printed("a kustomization", &format!("kustomize build {}", folder(path))));
    }
    if has("apiVersion") && has("version") && has("name") {
        return Some(printed("a Helm chart", &format!("helm template {}", folder(path))));
    }
    let items = |key: &str| root.get(key).map(Node::items).unwrap_or_default();
    if items("releases").iter().any(|release| release.get("chart").is_some()) {
        return Some(printed("a helmfile", &format!("helmfile -f {file} template")));
    }
    if root.items().iter().any(|item| item.get("op").is_some() && item.get("path").is_some()) {
        let command = format!(
            "kubectl patch configmap {LEGACY_NAME} -n kube-system --type json --patch-file {file} --dry-run=server -o yaml"
        );
        return Some(printed("a JSON patch", &command));
    }
    if root.items().iter().any(|item| item.get("hosts").is_some() && item.get("tasks").is_some()) {
        return Some("the file is a playbook of Ansible, which writes the ConfigMap: check what it wrote: kubectl acr lint --live".to_owned());
    }
    let values =
        path.rsplit('/').next().is_some_and(|name| name.starts_with("values") && !root.pairs().is_empty());
    (values || has_ours_within(root, 0))
        .then(|| printed("the values of a Helm chart", &format!("helm template RELEASE CHART -f {file}")))
}

/// Returns whether a map has a key of the ConfigMap at any depth.
fn has_ours_within(node: &Node, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    match &node.value {
        Value::Map(pairs) => pairs
            .iter()
            .any(|pair| data_key(pair.name()).is_some() || has_ours_within(&pair.value, depth + 1)),
        Value::List(items) => items.iter().any(|item| has_ours_within(item, depth + 1)),
        Value::Null | Value::Text(_) => false,
    }
}
