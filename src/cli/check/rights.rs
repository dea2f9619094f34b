//! The rights that are reviewed: the controller's, from the manifest of this version, and those of an installation.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::api::legacy::{Node, parse_manifest};
use crate::api::names;
use crate::cluster::access::AccessRight;

/// The rights of this version.
const SHIPPED: &str = include_str!("../../../deploy/rbac.yaml");

/// Returns the rights that the controller needs, everywhere and in its own namespace. Its rights in kube-system depend on
/// the identities that are used, whose conditions report them.
pub(super) fn of_controller(namespace: &str, secret_name: &str) -> Vec<AccessRight> {
    let (documents, _) = parse_manifest(SHIPPED);
    let mut rights = Vec::new();
    for role in &documents {
        let text = |path: &[&str]| path.iter().try_fold(role, |node, key| node.get(key)).and_then(Node::text);
        let place = match (text(&["kind"]), text(&["metadata", "namespace"])) {
            (Some("ClusterRole"), _) => None,
            (Some("Role"), Some(names::DEFAULT_NAMESPACE)) => Some(namespace),
            _ => continue,
        };
        if text(&["metadata", "name"]) != Some(names::MANAGER) {
            continue;
        }
        for rule in role.get("rules").map_or(&[][..], Node::items) {
            let rule = serde_json::to_value(rule).and_then(serde_json::from_value::<PolicyRule>);
            rights.extend(rule.iter().flat_map(|rule| of_rule(rule, place)));
        }
    }
    for right in &mut rights {
        if right.name.as_deref() == Some(names::DEFAULT_SECRET_NAME) {
            right.name = Some(secret_name.to_owned());
        }
    }
    rights.sort();
    rights.dedup();
    rights
}

/// Returns the rights of a rule, one for each verb, resource and name.
fn of_rule(rule: &PolicyRule, namespace: Option<&str>) -> Vec<AccessRight> {
    let names: Vec<Option<&String>> = match rule.resource_names.as_deref() {
        None | Some([]) => vec![None],
        Some(names) => names.iter().map(Some).collect(),
    };
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                rights.extend(names.iter().map(|name| AccessRight {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.cloned(),
                    namespace: namespace.map(str::to_owned),
                }));
            }
        }
    }
    rights
}

/// Returns the rights that an installation needs, by the kinds of its objects.
pub(super) fn of_installation(namespace: &str) -> Vec<AccessRight> {
    const RBAC: &str = "rbac.authorization.k8s.io";
    const ADMISSION: &str = "admissionregistration.k8s.io";
    let everywhere = [
        ("", "namespaces"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        (RBAC, "clusterroles"),
        (RBAC, "clusterrolebindings"),
        (ADMISSION, "validatingadmissionpolicies"),
        (ADMISSION, "validatingadmissionpolicybindings"),
    ];
    let own = [
        ("", "serviceaccounts", namespace),
        ("apps", "deployments", namespace),
        ("policy", "poddisruptionbudgets", namespace),
        (RBAC, "roles", namespace),
        (RBAC, "rolebindings", namespace),
        (RBAC, "roles", names::LEGACY_NAMESPACE),
        (RBAC, "rolebindings", names::LEGACY_NAMESPACE),
    ];
    let places = everywhere.iter().map(|(group, resource)| (*group, *resource, None));
    let places = places.chain(own.iter().map(|(group, resource, place)| (*group, *resource, Some(*place))));
    let mut rights = Vec::new();
    for (group, resource, place) in places {
        rights.extend(["create", "patch"].map(|verb| AccessRight {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: None,
            namespace: place.map(str::to_owned),
        }));
    }
    rights
}
