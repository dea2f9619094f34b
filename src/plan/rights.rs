//! Rights that this controller must not have, since each leads to more.

use k8s_openapi::api::authorization::v1::ResourceRule;

/// Verbs, API group and resource.
type Right = (&'static [&'static str], &'static str, &'static str);

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
const RUN: &[&str] = &["create", "update", "patch"];

/// Rights that no rule may give for objects of any name. A rule with `resourceNames` is not dangerous.
const DANGEROUS: [Right; 39] = [
    (READ, "", "secrets"),
    (WRITE, "", "secrets"),
    (READ, "", "configmaps"),
    (WRITE, "", "configmaps"),
    (&["create"], "", "serviceaccounts/token"),
    (&["create", "update", "delete", "deletecollection"], "", "serviceaccounts"),
    (&["impersonate"], "", "serviceaccounts"),
    (&["impersonate"], "", "users"),
    (&["impersonate"], "", "groups"),
    (&["impersonate"], "authentication.k8s.io", "userextras"),
    (RUN, "", "pods"),
    (&["get", "create"], "", "pods/exec"),
    (&["get", "create"], "", "pods/attach"),
    (&["get", "create"], "", "pods/portforward"),
    (&["update", "patch"], "", "pods/ephemeralcontainers"),
    (RUN, "", "replicationcontrollers"),
    (RUN, "apps", "deployments"),
    (RUN, "apps", "daemonsets"),
    (RUN, "apps", "statefulsets"),
    (RUN, "apps", "replicasets"),
    (RUN, "batch", "jobs"),
    (RUN, "batch", "cronjobs"),
    (RUN, "", "persistentvolumes"),
    (&["get", "create"], "", "nodes/proxy"),
    (WRITE, "", "nodes"),
    (WRITE, "", "namespaces"),
    (&["create", "update", "patch", "escalate", "bind"], "rbac.authorization.k8s.io", "clusterroles"),
    (&["create", "update", "patch", "escalate", "bind"], "rbac.authorization.k8s.io", "roles"),
    (RUN, "rbac.authorization.k8s.io", "clusterrolebindings"),
    (RUN, "rbac.authorization.k8s.io", "rolebindings"),
    (WRITE, "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    (WRITE, "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    (WRITE, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
    (WRITE, "admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    (RUN, "apiextensions.k8s.io", "customresourcedefinitions"),
    (RUN, "apiregistration.k8s.io", "apiservices"),
    (&["create"], "certificates.k8s.io", "certificatesigningrequests"),
    (RUN, "certificates.k8s.io", "certificatesigningrequests/approval"),
    (&["create", "update", "delete", "deletecollection"], "acrcredential.dev", "acrcredentialbindings"),
];

/// Returns the dangerous rights, in words: those in every namespace, and those in the controller's own namespace alone.
pub fn excess(in_every_namespace: &[ResourceRule], in_own_namespace: &[ResourceRule]) -> Vec<String> {
    let mut found = Vec::new();
    for (verbs, group, resource) in DANGEROUS {
        let wide = |verb: &&str| gives(in_every_namespace, verb, group, resource);
        let (wide, narrow): (Vec<&str>, Vec<&str>) = verbs.iter().copied().partition(wide);
        let narrow =
            narrow.into_iter().filter(|verb| gives(in_own_namespace, verb, group, resource)).collect();
        for (verbs, place) in [(wide, "in every namespace"), (narrow, "in the controller's own namespace")] {
            if !verbs.is_empty() {
                let dot = if group.is_empty() { "" } else { "." };
                found.push(format!("{} {resource}{dot}{group} of any name {place}", verbs.join(", ")));
            }
        }
    }
    found
}

fn gives(rules: &[ResourceRule], verb: &str, group: &str, resource: &str) -> bool {
    let has = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
    let any_of_its_kind = |list: &[String]| {
        resource.split_once('/').is_some_and(|(_, sub)| list.iter().any(|item| *item == format!("*/{sub}")))
    };
    rules.iter().any(|rule| {
        let resources = rule.resources.as_deref().unwrap_or_default();
        rule.resource_names.as_deref().unwrap_or_default().is_empty()
            && has(&rule.verbs, verb)
            && has(rule.api_groups.as_deref().unwrap_or_default(), group)
            && (has(resources, resource) || any_of_its_kind(resources))
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authorization::v1::ResourceRule;
    use serde_json::json;

    use super::{DANGEROUS, excess};

    fn rules(value: serde_json::Value) -> Vec<ResourceRule> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_right_on_named_objects_is_not_reported() {
        let named = rules(json!([
            { "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["ours"], "verbs": ["get", "create"] },
            { "apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch", "patch"] },
        ]));
        assert_eq!(excess(&named, &named), Vec::<String>::new());
    }

    #[test]
    fn each_dangerous_right_is_reported_with_its_verbs_and_place() {
        for (verbs, group, resource) in DANGEROUS {
            let verb = verbs[0];
            let wide = json!([{ "apiGroups": [group], "resources": [resource], "verbs": [verb] }]);
            let dot = if group.is_empty() { "" } else { "." };
            let right = format!("{verb} {resource}{dot}{group} of any name");
            let wide = rules(wide);
            assert_eq!(excess(&wide, &wide), [format!("{right} in every namespace")]);
            assert_eq!(excess(&[], &wide), [format!("{right} in the controller's own namespace")]);
        }
    }

    #[test]
    fn a_wildcard_gives_every_dangerous_right() {
        let star = rules(json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]));
        assert_eq!(excess(&star, &star).len(), DANGEROUS.len());
        let exec = rules(json!([{ "apiGroups": [""], "resources": ["*/exec"], "verbs": ["create"] }]));
        assert_eq!(excess(&exec, &exec), ["create pods/exec of any name in every namespace"]);
        let other = rules(json!([{ "apiGroups": ["apps"], "resources": ["secrets"], "verbs": ["get"] }]));
        assert_eq!(excess(&other, &other), Vec::<String>::new());
    }
}
