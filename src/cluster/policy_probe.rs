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

/// Result of one probe.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ProbeResult {
    Denied,
    Admitted,
    /// RBAC denies the write already, so the policy has nothing to confine.
    NotAuthorized,
    NoAnswer,
}

/// Probes each policy by one dry run that it must deny.
pub async fn probe(client: &Client, namespace: &str, secret_name: &str) -> PolicyProbe {
    let mut results = Vec::new();
    for probe in probes(namespace, secret_name) {
        results.push((probe.policy, probe.ask(client).await));
    }
    let denied = results.iter().any(|(_, result)| *result == ProbeResult::Denied);
    match conclude(&results) {
        PolicyProbe::Missing(_) if !denied && !served(client).await => PolicyProbe::Unserved,
        policy_probe => policy_probe,
    }
}

/// Concludes from all probes, on an API server that supports policies.
fn conclude(results: &[(&'static str, ProbeResult)]) -> PolicyProbe {
    let with = |wanted: ProbeResult| {
        results.iter().filter(move |(_, result)| *result == wanted).map(|(policy, _)| *policy)
    };
    let missing: Vec<_> = with(ProbeResult::Admitted).collect();
    if !missing.is_empty() {
        return PolicyProbe::Missing(missing);
    }
    // Without a denial by a policy, or with an answer missing, enforcement is not proven.
    let proven = with(ProbeResult::NoAnswer).next().is_none() && with(ProbeResult::Denied).next().is_some();
    if proven { PolicyProbe::Enforced } else { PolicyProbe::Unknown }
}

impl Probe {
    async fn ask(self, client: &Client) -> ProbeResult {
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
            Ok(_) => ProbeResult::Admitted,
            Err(CallError::Denied(message))
                if message.contains(&format!("ValidatingAdmissionPolicy '{}'", self.policy)) =>
            {
                ProbeResult::Denied
            }
            Err(CallError::Forbidden(_)) => ProbeResult::NotAuthorized,
            Err(_) => ProbeResult::NoAnswer,
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
    use super::{PolicyProbe, ProbeResult, conclude};

    #[test]
    fn policies_are_enforced_if_one_denied_and_none_admitted_or_failed_to_answer() {
        use ProbeResult::{Admitted, Denied, NoAnswer, NotAuthorized};
        for (results, expected) in [
            ([Denied, Denied, Denied], PolicyProbe::Enforced),
            ([Denied, NotAuthorized, NotAuthorized], PolicyProbe::Enforced),
            ([NotAuthorized, NotAuthorized, NotAuthorized], PolicyProbe::Unknown),
            ([Denied, NoAnswer, Denied], PolicyProbe::Unknown),
            ([NoAnswer, Admitted, Denied], PolicyProbe::Missing(vec!["b"])),
            ([Admitted, Admitted, Admitted], PolicyProbe::Missing(vec!["a", "b", "c"])),
        ] {
            let probes: Vec<_> = ["a", "b", "c"].into_iter().zip(results).collect();
            assert_eq!(conclude(&probes), expected);
        }
    }
}
