//! Which way serves ServiceAccounts while they are created, and what a binding that asks for that is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::binding::FailurePolicy;
use crate::api::{ConditionType, Reason};
use crate::model::Binding;
use crate::plan::Failure;

/// How ServiceAccounts get their entry while they are created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdmissionMode {
    /// The API server adds it itself.
    MutatingAdmissionPolicy,
    /// The API server asks our webhook.
    Webhook,
    /// Not at all: the namespace loop attaches them an instant later.
    #[default]
    None,
}

/// Whether a way serves; where it does not, why and the cure.
pub type Served = Result<(), Box<str>>;

/// What is known of each way; `None` before it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionModes {
    /// Our `MutatingAdmissionPolicy`.
    pub policy: Option<Served>,
    /// Bindings that are more than our policy has room for.
    pub left_out: BTreeSet<Arc<str>>,
    /// Our webhook.
    pub webhook: Option<Served>,
}

/// What the API server adds by itself, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AppliedParameters {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// Nothing.
    Nothing,
    /// What these data of our ConfigMap say.
    By(BTreeMap<String, String>),
}

impl AppliedParameters {
    /// Whether it may add what is not wanted.
    pub fn differ_from(&self, wanted: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Unknown => true,
            Self::Nothing => false,
            Self::By(data) => data != wanted,
        }
    }
}

impl AdmissionModes {
    /// The way in force. The policy comes first: it has no outage and no latency.
    pub fn in_force(&self) -> AdmissionMode {
        match (&self.policy, &self.webhook) {
            (Some(Ok(())), _) => AdmissionMode::MutatingAdmissionPolicy,
            (_, Some(Ok(()))) => AdmissionMode::Webhook,
            _ => AdmissionMode::None,
        }
    }

    /// Whether it was looked which way serves.
    pub fn are_known(&self) -> bool {
        self.policy.is_some()
    }

    /// What a binding that asks for it is told; `None` where it does not ask, or nothing is known.
    pub fn condition(&self, binding: &Binding) -> Option<(ConditionType, bool, Failure)> {
        let asked = binding.admission?;
        let (holds, reason, message) = match self.in_force() {
            AdmissionMode::MutatingAdmissionPolicy if self.left_out.contains(&binding.name) => {
                let message = "ServiceAccounts are served right after their creation, not during it: names and labels \
                               of all bindings that ask for it are more than the API server evaluates; say them \
                               shorter, with globs"
                    .to_owned();
                (false, Reason::AdmissionMissing, message)
            }
            AdmissionMode::MutatingAdmissionPolicy => {
                let fail = match asked.failure_policy {
                    FailurePolicy::Fail => "; failurePolicy Fail asks for nothing more: nobody is waited for",
                    FailurePolicy::Ignore => "",
                };
                let message =
                    format!("the API server adds the entry itself, by a MutatingAdmissionPolicy{fail}");
                (true, Reason::MutatingAdmissionPolicy, message)
            }
            AdmissionMode::Webhook => {
                let message =
                    "the API server asks this controller's webhook for each ServiceAccount".to_owned();
                (true, Reason::MutatingWebhook, message)
            }
            AdmissionMode::None => {
                let whys = [&self.policy, &self.webhook].into_iter().flatten();
                let whys: Vec<&str> =
                    whys.filter_map(|served| served.as_ref().err()).map(AsRef::as_ref).collect();
                if whys.is_empty() {
                    return None;
                }
                let message = format!(
                    "ServiceAccounts are served right after their creation, not during it: {}",
                    whys.join("; ")
                );
                (false, Reason::AdmissionMissing, message)
            }
        };
        Some((ConditionType::AdmissionConfigured, holds, Failure::new(reason, message)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{AdmissionMode, AdmissionModes, AppliedParameters};
    use crate::model::Binding;
    use crate::plan::fixture::bound_with;

    fn asking(policy: &str) -> Arc<Binding> {
        bound_with("a", json!({ "webhook": { "enable": true, "failurePolicy": policy } })).binding
    }

    fn said(modes: &AdmissionModes, binding: &Binding) -> Option<(bool, &'static str, String)> {
        let (_, holds, why) = modes.condition(binding)?;
        Some((holds, why.reason.as_str(), why.message.to_string()))
    }

    #[test]
    fn the_policy_serves_before_the_webhook_and_a_binding_is_told_which_one() {
        let both =
            AdmissionModes { policy: Some(Ok(())), webhook: Some(Ok(())), ..AdmissionModes::default() };
        let webhook = AdmissionModes { policy: Some(Err("p".into())), ..both.clone() };
        let none = AdmissionModes { webhook: Some(Err("w".into())), ..webhook.clone() };
        assert_eq!(both.in_force(), AdmissionMode::MutatingAdmissionPolicy);
        assert_eq!(webhook.in_force(), AdmissionMode::Webhook);
        assert_eq!(none.in_force(), AdmissionMode::None);
        for (modes, holds, reason, words) in [
            (&both, true, "MutatingAdmissionPolicy", "adds the entry itself"),
            (&webhook, true, "MutatingWebhook", "webhook"),
            (&none, false, "AdmissionMissing", "p; w"),
        ] {
            let (is, why, message) = said(modes, &asking("Ignore")).unwrap();
            assert_eq!((is, why), (holds, reason));
            assert!(message.contains(words) && !message.contains("Fail"), "{message}");
        }
        assert!(said(&both, &asking("Fail")).unwrap().2.contains("failurePolicy Fail"));
    }

    #[test]
    fn a_binding_that_has_no_room_says_so_and_one_that_does_not_ask_says_nothing() {
        let modes = AdmissionModes {
            policy: Some(Ok(())),
            left_out: ["a".into()].into(),
            ..AdmissionModes::default()
        };
        let (holds, reason, message) = said(&modes, &asking("Ignore")).unwrap();
        assert!(!holds && reason == "AdmissionMissing" && message.contains("shorter"), "{message}");
        assert_eq!(said(&modes, &bound_with("b", json!({})).binding), None);
        assert_eq!(said(&AdmissionModes::default(), &asking("Ignore")), None, "before anything is known");
    }

    #[test]
    fn only_what_is_known_to_add_nothing_else_lets_entries_go() {
        let data = |key: &str| [(key.to_owned(), String::new())].into();
        assert!(AppliedParameters::Unknown.differ_from(&data("a")));
        assert!(!AppliedParameters::Nothing.differ_from(&data("a")));
        assert!(!AppliedParameters::By(data("a")).differ_from(&data("a")));
        assert!(AppliedParameters::By(data("a")).differ_from(&data("b")));
    }
}
