//! Probes whether the admission policies that confine this controller are enforced.

use k8s_openapi::api::authorization::v1::{ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::error::{CallError, call};
use crate::api::names;
use crate::plan::policy_probe::PolicyProbe;
use crate::plan::rights::excess;

/// A dry-run write that one policy must deny, and nothing else would.
struct Probe {
    policy: &'static str,
    kind: GroupVersionKind,
    namespace: Option<String>,
    name: String,
    /// The object to apply, without its kind and name.
    object: Value,
}

/// A value that each policy denies, as a finalizer, an annotation or a controller's name.
const PROBE: &str = "acrcredential.dev/probe";

fn probes(namespace: &str, secret_name: &str) -> [Probe; 6] {
    let here = || Some(namespace.to_owned());
    let blocked = || json!({ "metadata": { "finalizers": [PROBE] } });
    let marked = json!({ "metadata": { "annotations": { PROBE: "" } } });
    let mut binding = marked.clone();
    binding["spec"] = json!({ "registries": [{}] });
    let event = json!({
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": PROBE,
        "reportingInstance": names::MANAGER,
        "action": "Probe",
        "reason": "Probe",
        "type": "Normal",
        "regarding": { "namespace": namespace },
    });
    [
        Probe {
            policy: "acr-credential-secrets",
            kind: GroupVersionKind::gvk("", "v1", "Secret"),
            namespace: here(),
            name: secret_name.to_owned(),
            object: blocked(),
        },
        Probe {
            policy: "acr-credential-serviceaccounts",
            kind: GroupVersionKind::gvk("", "v1", "ServiceAccount"),
            namespace: here(),
            name: "default".to_owned(),
            object: marked,
        },
        Probe {
            policy: "acr-credential-bindings",
            kind: GroupVersionKind::gvk(names::GROUP, "v1alpha1", "AcrCredentialBinding"),
            namespace: None,
            name: names::LEGACY_NAME.to_owned(),
            object: binding,
        },
        Probe {
            policy: "acr-credential-events",
            kind: GroupVersionKind::gvk("events.k8s.io", "v1", "Event"),
            namespace: here(),
            name: "acr-credential-probe".to_owned(),
            object: event,
        },
        Probe {
            policy: "acr-credential-objects",
            kind: GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease"),
            namespace: here(),
            name: names::LEASE_NAME.to_owned(),
            object: blocked(),
        },
        // Without the right to write the configuration, its policy has nothing to confine.
        Probe {
            policy: names::WEBHOOK_NAME,
            kind: GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"),
            namespace: None,
            name: names::WEBHOOK_NAME.to_owned(),
            object: blocked(),
        },
    ]
}

/// What a probe showed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Refused,
    LetThrough,
    /// RBAC refuses it already: there is nothing to fence.
    NoRight,
    Nothing,
}

/// Probes each policy by one dry run that it must deny.
pub async fn probe(client: &Client, namespace: &str, secret_name: &str) -> PolicyProbe {
    let mut shown = Vec::new();
    for probe in probes(namespace, secret_name) {
        shown.push((probe.policy, probe.ask(client).await));
    }
    let refused = shown.iter().any(|(_, shown)| *shown == Shown::Refused);
    match conclude(&shown) {
        PolicyProbe::Missing(_) if !refused && !served(client).await => PolicyProbe::Unserved,
        policy_probe => policy_probe,
    }
}

/// Concludes from all probes, on an API server that supports policies.
fn conclude(shown: &[(&'static str, Shown)]) -> PolicyProbe {
    let that = |what: Shown| shown.iter().filter(move |(_, shown)| *shown == what).map(|(policy, _)| *policy);
    let missing: Vec<_> = that(Shown::LetThrough).collect();
    if !missing.is_empty() {
        return PolicyProbe::Missing(missing);
    }
    // Where RBAC alone refuses, or an answer is missing, no policy has shown that it stands.
    let told = that(Shown::Nothing).next().is_none() && that(Shown::Refused).next().is_some();
    if told { PolicyProbe::Enforced } else { PolicyProbe::Unknown }
}

impl Probe {
    async fn ask(self, client: &Client) -> Shown {
        let resource = ApiResource::from_gvk(&self.kind);
        let api: Api<DynamicObject> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let mut object = self.object;
        object["apiVersion"] = json!(resource.api_version);
        object["kind"] = json!(resource.kind);
        object["metadata"]["name"] = json!(self.name);
        let params = PatchParams { dry_run: true, ..PatchParams::apply(names::MANAGER).force() };
        match call(api.patch(&self.name, &params, &Patch::Apply(&object))).await {
            Ok(_) => Shown::LetThrough,
            Err(CallError::Forbidden(message) | CallError::Invalid(message))
                if message.contains(&format!("ValidatingAdmissionPolicy '{}'", self.policy)) =>
            {
                Shown::Refused
            }
            Err(CallError::Forbidden(message)) if !message.contains("AdmissionPolicy") => Shown::NoRight,
            Err(_) => Shown::Nothing,
        }
    }
}

/// Returns whether an API server's message is a denial by one of this controller's policies.
pub fn is_ours(message: &str) -> bool {
    message.contains("ValidatingAdmissionPolicy 'acr-credential-")
}

/// Returns whether the API server serves a resource of `admissionregistration.k8s.io/v1`.
///
/// # Errors
/// [`CallError`].
pub async fn serves(client: &Client, resource: &str) -> Result<bool, CallError> {
    let served = call(client.list_api_group_resources("admissionregistration.k8s.io/v1")).await?;
    Ok(served.resources.iter().any(|served| served.name == resource))
}

/// Returns whether the API server supports such policies. After an error it counts as one that does.
async fn served(client: &Client) -> bool {
    serves(client, "validatingadmissionpolicies").await.unwrap_or_else(|error| error != CallError::NotFound)
}

/// Returns the rights that this controller has beyond those that it needs, as sentences. It sends two reviews: one of
/// the rights in every namespace, and one of those in its own.
///
/// # Errors
/// [`CallError`].
pub async fn excess_rights(client: &Client, namespace: &str) -> Result<Vec<String>, CallError> {
    let everywhere = rules(client, "default").await?;
    let at_home = rules(client, namespace).await?;
    Ok(excess(&everywhere, &at_home))
}

async fn rules(client: &Client, namespace: &str) -> Result<Vec<ResourceRule>, CallError> {
    let reviews: Api<SelfSubjectRulesReview> = Api::all(client.clone());
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) },
        ..SelfSubjectRulesReview::default()
    };
    let answer = call(reviews.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.unwrap_or_default().resource_rules)
}

#[cfg(test)]
mod tests {
    use super::{PolicyProbe, Shown, conclude};

    #[test]
    fn a_fence_stands_where_a_policy_refused_and_nobody_let_through_or_said_nothing() {
        use Shown::{LetThrough, NoRight, Nothing, Refused};
        for (shown, policy_probe) in [
            ([Refused, Refused, Refused], PolicyProbe::Enforced),
            ([Refused, NoRight, NoRight], PolicyProbe::Enforced),
            ([NoRight, NoRight, NoRight], PolicyProbe::Unknown),
            ([Refused, Nothing, Refused], PolicyProbe::Unknown),
            ([Nothing, LetThrough, Refused], PolicyProbe::Missing(vec!["b"])),
            ([LetThrough, LetThrough, LetThrough], PolicyProbe::Missing(vec!["a", "b", "c"])),
        ] {
            let probes: Vec<_> = ["a", "b", "c"].into_iter().zip(shown).collect();
            assert_eq!(conclude(&probes), policy_probe);
        }
    }
}
