//! Which way serves ServiceAccounts while they are created, and what a binding that asks for that is told.

use crate::api::binding::FailurePolicy;
use crate::api::{ConditionType, Reason};
use crate::model::binding::Admission;
use crate::plan::Failure;

/// How ServiceAccounts get their entry while they are created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
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
pub struct Ways {
    /// Our `MutatingAdmissionPolicy`.
    pub policy: Option<Served>,
    /// Our webhook.
    pub webhook: Option<Served>,
}

impl Ways {
    /// The way in force. The policy comes first: it has no outage and no latency.
    pub fn in_force(&self) -> Way {
        match (&self.policy, &self.webhook) {
            (Some(Ok(())), _) => Way::MutatingAdmissionPolicy,
            (_, Some(Ok(()))) => Way::Webhook,
            _ => Way::None,
        }
    }

    /// What a binding that asks for it is told; `None` before anything is known.
    pub fn condition(&self, asked: Admission) -> Option<(ConditionType, bool, Failure)> {
        let (holds, reason, message) = match self.in_force() {
            Way::MutatingAdmissionPolicy => {
                let fail = match asked.failure_policy {
                    FailurePolicy::Fail => "; failurePolicy Fail asks for nothing more: nobody is waited for",
                    FailurePolicy::Ignore => "",
                };
                let message = format!("the API server adds the entry itself, by a MutatingAdmissionPolicy{fail}");
                (true, Reason::MutatingAdmissionPolicy, message)
            }
            Way::Webhook => {
                let message = "the API server asks this controller's webhook for each ServiceAccount".to_owned();
                (true, Reason::MutatingWebhook, message)
            }
            Way::None => {
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
        Some((ConditionType::ServedAtCreation, holds, Failure::new(reason, message)))
    }
}
