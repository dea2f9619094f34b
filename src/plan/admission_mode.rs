//! The mode in which ServiceAccounts get their entry at creation, and the condition of bindings that request it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::condition::BindingCondition;
use super::failure::Failure;
use crate::api::binding::FailurePolicy;
use crate::api::{ConditionType, Reason};
use crate::model::Binding;

/// Start of the message of each binding that gets no entry at creation.
const AFTERWARDS: &str = "ServiceAccounts get their entry right after their creation, not during it";

/// The way in which ServiceAccounts get their entry at creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdmissionMode {
    /// The API server adds it itself.
    MutatingAdmissionPolicy,
    /// The API server asks our webhook.
    Webhook,
    /// Not at all: the namespace loop attaches it an instant later.
    #[default]
    None,
}

/// Whether a mode works; if not, the reason and the cure.
pub type ModeResult = Result<(), Box<str>>;

/// State of each mode; `None` before its first inspection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionModes {
    /// Our `MutatingAdmissionPolicy`.
    pub policy: Option<ModeResult>,
    /// Bindings for which our policy has no room.
    pub left_out: BTreeSet<Arc<str>>,
    /// Our webhook.
    pub webhook: Option<ModeResult>,
}

/// Parameters that the API server applies, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AppliedParameters {
    /// They were not read yet.
    #[default]
    Unknown,
    /// None.
    Nothing,
    /// These data of our ConfigMap.
    By(BTreeMap<String, String>),
}

impl AppliedParameters {
    /// Returns whether the API server may add entries that are not wanted.
    pub fn differ_from(&self, wanted: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Unknown => true,
            Self::Nothing => false,
            Self::By(data) => data != wanted,
        }
    }
}

impl AdmissionModes {
    /// Returns the mode in force. The policy comes first: it has no outage and no latency.
    pub fn in_force(&self) -> AdmissionMode {
        match (&self.policy, &self.webhook) {
            (Some(Ok(())), _) => AdmissionMode::MutatingAdmissionPolicy,
            (_, Some(Ok(()))) => AdmissionMode::Webhook,
            _ => AdmissionMode::None,
        }
    }

    /// Returns whether the mode in force is known.
    pub fn are_known(&self) -> bool {
        self.policy.is_some()
    }

    /// Returns the condition of a binding; `None` where it does not request admission, or the mode is not known.
    pub fn condition(&self, binding: &Binding) -> Option<BindingCondition> {
        let requested = binding.admission?;
        let condition = |holds: bool, reason: Reason, message: String| {
            let why = Failure::new(reason, message);
            Some(BindingCondition { kind: ConditionType::AdmissionConfigured, holds, why })
        };
        match self.in_force() {
            AdmissionMode::MutatingAdmissionPolicy if self.left_out.contains(&binding.name) => condition(
                false,
                Reason::AdmissionMissing,
                format!(
                    "{AFTERWARDS}: the names and labels of all bindings that request it exceed what the API server \
                     evaluates; write them shorter, with globs"
                ),
            ),
            AdmissionMode::MutatingAdmissionPolicy => {
                let fail = match requested.failure_policy {
                    FailurePolicy::Fail => {
                        "; failurePolicy Fail changes nothing here, since no webhook is called"
                    }
                    FailurePolicy::Ignore => "",
                };
                let message =
                    format!("The API server adds the entry itself, by a MutatingAdmissionPolicy{fail}.");
                condition(true, Reason::MutatingAdmissionPolicy, message)
            }
            AdmissionMode::Webhook => {
                let message = "The API server calls this controller's webhook for each ServiceAccount.";
                condition(true, Reason::MutatingWebhook, message.to_owned())
            }
            AdmissionMode::None => {
                let reasons = [&self.policy, &self.webhook].into_iter().flatten();
                let reasons: Vec<&str> =
                    reasons.filter_map(|result| result.as_ref().err()).map(AsRef::as_ref).collect();
                if reasons.is_empty() {
                    return None;
                }
                let message = format!("{AFTERWARDS}: {}", reasons.join("; "));
                condition(false, Reason::AdmissionMissing, message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{AdmissionMode, AdmissionModes, AppliedParameters};
    use crate::model::Binding;
    use crate::plan::condition::BindingCondition;
    use crate::plan::fixture::bound_with;

    fn requesting(policy: &str) -> Arc<Binding> {
        bound_with("a", json!({ "webhook": { "enable": true, "failurePolicy": policy } })).binding
    }

    fn message_of(modes: &AdmissionModes, binding: &Binding) -> Option<(bool, &'static str, String)> {
        let BindingCondition { holds, why, .. } = modes.condition(binding)?;
        Some((holds, why.reason.as_str(), why.message.to_string()))
    }

    #[test]
    fn the_policy_comes_before_the_webhook_and_the_condition_names_it() {
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
            let (is, why, message) = message_of(modes, &requesting("Ignore")).unwrap();
            assert_eq!((is, why), (holds, reason));
            assert!(message.contains(words) && !message.contains("Fail"), "{message}");
        }
        assert!(message_of(&both, &requesting("Fail")).unwrap().2.contains("failurePolicy Fail"));
    }

    #[test]
    fn a_binding_without_room_has_a_condition_and_one_without_a_request_has_none() {
        let modes = AdmissionModes {
            policy: Some(Ok(())),
            left_out: ["a".into()].into(),
            ..AdmissionModes::default()
        };
        let (holds, reason, message) = message_of(&modes, &requesting("Ignore")).unwrap();
        assert!(!holds && reason == "AdmissionMissing" && message.contains("shorter"), "{message}");
        assert_eq!(message_of(&modes, &bound_with("b", json!({})).binding), None);
        assert_eq!(
            message_of(&AdmissionModes::default(), &requesting("Ignore")),
            None,
            "before anything is known"
        );
    }

    #[test]
    fn entries_are_detached_only_once_the_applied_parameters_are_known() {
        let data = |key: &str| [(key.to_owned(), String::new())].into();
        assert!(AppliedParameters::Unknown.differ_from(&data("a")));
        assert!(!AppliedParameters::Nothing.differ_from(&data("a")));
        assert!(!AppliedParameters::By(data("a")).differ_from(&data("a")));
        assert!(AppliedParameters::By(data("a")).differ_from(&data("b")));
    }
}
