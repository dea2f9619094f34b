//! The result of probing the admission policies, and the message and cure for each.

use super::condition::BindingCondition;
use super::failure::Failure;
use crate::api::{ConditionType, Reason, names};

/// Result of the probe: whether admission policies restrict this controller to its own Secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyProbe {
    /// Each policy refused a dry run that it must refuse.
    Enforced,
    /// These admitted theirs. RBAC alone lets the controller make a Secret of its name and another type, which the
    /// cluster would fill with a token.
    Missing(Vec<&'static str>),
    /// The API server serves no policies.
    Unserved,
    /// The probe failed.
    Unknown,
}

impl PolicyProbe {
    /// Returns the message where policies are missing, with the cure.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Enforced | Self::Unknown => None,
            Self::Missing(policies) => {
                let webhook = policies.contains(&names::WEBHOOK_NAME).then_some("deploy/webhook.yaml");
                let others = policies.iter().any(|policy| *policy != names::WEBHOOK_NAME);
                let files: Vec<&str> =
                    others.then_some("deploy/policies.yaml").into_iter().chain(webhook).collect();
                let one = policies.len() == 1;
                Some(format!(
                    "The ValidatingAdmissionPolic{} {} {} not enforced: apply {}",
                    if one { "y" } else { "ies" },
                    policies.join(", "),
                    if one { "is" } else { "are" },
                    files.join(" and ")
                ))
            }
            Self::Unserved => Some(
                "The API server serves no ValidatingAdmissionPolicy, so none restricts this controller: upgrade to \
                 Kubernetes 1.30, then apply deploy/policies.yaml"
                    .to_owned(),
            ),
        }
    }

    /// Returns the condition of every binding where policies are missing.
    pub fn condition(&self) -> Option<BindingCondition> {
        let why = Failure::new(Reason::PoliciesMissing, self.message()?);
        Some(BindingCondition { kind: ConditionType::PoliciesEnforced, holds: false, why })
    }
}

#[cfg(test)]
mod tests {
    use super::PolicyProbe;

    #[test]
    fn missing_policies_are_named_with_their_cure() {
        let missing = |policies: &[&'static str]| PolicyProbe::Missing(policies.to_vec()).message().unwrap();
        for (policies, named, cure) in [
            (&["acr-credential-events"][..], "Policy acr-credential-events is", "apply deploy/policies.yaml"),
            (
                &["acr-credential-secrets", "acr-credential-events"],
                "Policies acr-credential-secrets, acr-credential-events are",
                "apply deploy/policies.yaml",
            ),
            (&["acr-credential-webhook"], "Policy acr-credential-webhook is", "apply deploy/webhook.yaml"),
            (
                &["acr-credential-events", "acr-credential-webhook"],
                "Policies acr-credential-events, acr-credential-webhook are",
                "apply deploy/policies.yaml and deploy/webhook.yaml",
            ),
        ] {
            let message = missing(policies);
            assert!(message.contains(named) && message.ends_with(cure), "{message}");
        }
        assert!(PolicyProbe::Unserved.message().unwrap().contains("Kubernetes 1.30"));
        assert_eq!((PolicyProbe::Enforced.message(), PolicyProbe::Unknown.message()), (None, None));
    }
}
