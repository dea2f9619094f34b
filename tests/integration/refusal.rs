//! Writes that the API server refuses: each is explained, and each printed cure is followed as it is printed.

mod additions;
mod others;
mod own_secret;

use acr_lab::hook::AdmissionHook;
use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::documentation::shell;
use crate::harness::{CONTROLLER, Lab, NAMESPACE};

/// The command that lists what may have changed an object.
const MUTATORS: &str = "(kubectl get mutatingwebhookconfigurations; kubectl get mutatingadmissionpolicies";

impl Lab {
    /// Runs the command that a message prints in parentheses, as a shell does, and returns what it prints.
    fn follow(&self, message: &str, beginning: &str) -> String {
        let line = printed(message, beginning);
        shell(&self.plane, line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Applies objects as their JSON.
    async fn apply_all(&self, objects: &[Value]) {
        for object in objects {
            self.plane.apply(&object.to_string()).await.unwrap();
        }
    }

    /// Waits until our policies are enforced, and new objects of a kind are created in a namespace with what this
    /// finds, or are refused with it.
    pub async fn until_created<K>(&self, namespace: &str, found: impl Fn(&Value) -> bool)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    {
        self.until_policies_enforced().await;
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let object: K = serde_json::from_value(json!({ "metadata": { "name": "dry" } })).unwrap();
        self.until("the policy is in force", async || {
            match self.namespaced::<K>(namespace).create(&dry, &object).await {
                Ok(object) => found(&serde_json::to_value(object).unwrap()),
                Err(kube::Error::Api(status)) => found(&json!(status.message)),
                Err(error) => panic!("{error}"),
            }
        })
        .await;
    }

    /// Checks that the policies are reported as enforced: they deny as they should.
    async fn assert_policies_are_enforced(&self, binding: &str) {
        self.until_policies_enforced().await;
        assert_eq!(self.condition(binding, "PoliciesEnforced").await, None);
    }
}

/// Returns the command of a message that begins so, without its parentheses.
pub fn printed<'a>(message: &'a str, beginning: &str) -> &'a str {
    let (_, rest) = message.split_once(&format!("({beginning}")).unwrap_or_else(|| panic!("{message}"));
    let (command, _) = rest.split_once(')').unwrap();
    let end = command.find(" lists them").unwrap_or(command.len());
    let start = message.len() - rest.len() - beginning.len();
    &message[start..start + beginning.len() + end]
}

/// Returns the line that adds exceptions by these flags.
fn exceptions(flags: &str) -> String {
    format!("kubectl acr exceptions {flags} --live | kubectl apply --server-side -f -")
}

/// Returns the user that a message says to exempt.
fn user(message: &str) -> String {
    let user = format!("system:serviceaccount:{NAMESPACE}:{CONTROLLER}");
    assert!(message.contains(&format!("exempt the user {user} ")), "{message}");
    user
}

/// Returns a mutating policy with its binding: it applies to `resource` in namespaces with this prefix.
pub fn mutating(resource: &str, prefix: &str, configuration: &str) -> [Value; 2] {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": { "name": "platform" },
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource],
            }] },
            "matchConditions": [{ "name": "here", "expression": format!("request.namespace.startsWith('{prefix}')") }],
            "mutations": [{
                "patchType": "ApplyConfiguration",
                "applyConfiguration": { "expression": configuration },
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": { "name": "platform" },
        "spec": { "policyName": "platform" },
    });
    [policy, binding]
}

/// Returns a validating policy with its binding: it demands this of `resource` in namespaces with this prefix.
pub fn validating(resource: &str, prefix: &str, expression: &str, message: &str) -> [Value; 2] {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "platform" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource],
            }] },
            "matchConditions": [{ "name": "here", "expression": format!("request.namespace.startsWith('{prefix}')") }],
            "validations": [{ "expression": expression, "message": message }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "platform" },
        "spec": { "policyName": "platform", "validationActions": ["Deny"] },
    });
    [policy, binding]
}

/// Returns the configuration of a webhook for ServiceAccounts in one namespace.
pub fn hooked(kind: &str, hook: &AdmissionHook, namespace: &str, conditions: Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": { "name": "platform" },
        "webhooks": [{
            "name": "accounts.platform.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 5,
            "clientConfig": hook.client_config(),
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "matchConditions": conditions,
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["serviceaccounts"],
            }],
        }],
    })
}
