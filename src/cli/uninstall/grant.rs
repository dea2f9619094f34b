//! The ClusterRoleBindings that give the controller its rights.

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;

/// Their names, which those of the ClusterRoles equal: of deploy/rbac.yaml, deploy/webhook.yaml and
/// deploy/stuck-pods.yaml.
pub(super) const GRANTS: [&str; 3] =
    ["acr-credential-controller", "acr-credential-webhook", "acr-credential-heal"];

/// A ClusterRoleBinding of one of these names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// It does not exist.
    Absent,
    /// It gives the rights to the controller that is uninstalled.
    Ours,
    /// It gives another role, so another tool made it.
    OtherRole(String),
    /// It gives the rights to the controller of another namespace or account.
    OtherAccount {
        /// The namespace of the account.
        namespace: String,
        /// The name of the account.
        name: String,
    },
}

impl Grant {
    /// Classifies what exists of a name, for the controller of a namespace and account.
    pub(super) fn of(
        existing: Option<&ClusterRoleBinding>,
        name: &str,
        namespace: &str,
        account: &str,
    ) -> Self {
        let Some(existing) = existing else { return Self::Absent };
        if existing.role_ref.kind != "ClusterRole" || existing.role_ref.name != name {
            return Self::OtherRole(existing.role_ref.name.clone());
        }
        let accounts =
            || existing.subjects.iter().flatten().filter(|subject| subject.kind == "ServiceAccount");
        if accounts()
            .any(|subject| subject.name == account && subject.namespace.as_deref() == Some(namespace))
        {
            return Self::Ours;
        }
        match accounts().next() {
            Some(other) => Self::OtherAccount {
                namespace: other.namespace.clone().unwrap_or_default(),
                name: other.name.clone(),
            },
            None => Self::Ours,
        }
    }
}

/// Returns the name of the ClusterRoleBinding that gives a right, from the API server's words.
pub(super) fn named_in(reason: &str) -> Option<&str> {
    reason.split_once("ClusterRoleBinding \"")?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
    use serde_json::json;

    use super::{Grant, named_in};

    fn grant(role: &str, subjects: &[(&str, &str, &str)]) -> Grant {
        let subjects: Vec<_> = subjects
            .iter()
            .map(|(kind, namespace, name)| json!({ "kind": kind, "namespace": namespace, "name": name }))
            .collect();
        let object = json!({
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": subjects,
        });
        let object: ClusterRoleBinding = serde_json::from_value(object).unwrap();
        Grant::of(Some(&object), "acr-credential-webhook", "here", "acr")
    }

    #[test]
    fn only_a_grant_of_our_role_to_our_account_is_ours() {
        let other = |namespace: &str, name: &str| Grant::OtherAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        for (role, subjects, expected) in [
            ("acr-credential-webhook", &[("ServiceAccount", "here", "acr")][..], Grant::Ours),
            (
                "acr-credential-webhook",
                &[("ServiceAccount", "there", "acr"), ("ServiceAccount", "here", "acr")],
                Grant::Ours,
            ),
            ("acr-credential-webhook", &[("ServiceAccount", "there", "acr")], other("there", "acr")),
            ("acr-credential-webhook", &[("ServiceAccount", "here", "ours")], other("here", "ours")),
            ("acr-credential-webhook", &[], Grant::Ours),
            ("view", &[("ServiceAccount", "here", "acr")], Grant::OtherRole("view".to_owned())),
        ] {
            assert_eq!(grant(role, subjects), expected, "{role} {subjects:?}");
        }
        assert_eq!(Grant::of(None, "acr-credential-webhook", "here", "acr"), Grant::Absent);
    }

    #[test]
    fn the_source_of_a_right_is_read_from_the_reason() {
        let reason = "RBAC: allowed by ClusterRoleBinding \"a\" of ClusterRole \"b\" to Group \"c\"";
        assert_eq!(named_in(reason), Some("a"));
        assert_eq!(named_in("RBAC: allowed by RoleBinding \"a/b\" of Role \"c\""), None);
        assert_eq!(named_in(""), None);
    }
}
