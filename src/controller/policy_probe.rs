//! Whether the admission policies fence this controller.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tracing::{info, warn};

use super::Config;
use super::state::SharedState;
use super::work_queue::Priority;
use crate::api::{ConditionType, Reason, names};
use crate::cluster::policy_probe::{self, PolicyProbe};
use crate::plan::Failure;
use crate::plan::refresh::backoff;
use crate::server::Metrics;
use crate::server::admin::Readiness;

/// A fence that stands is looked at again after this long: somebody may take it down.
const REST: Duration = Duration::from_secs(600);

/// Looks whether the admission policies stand, at the start, soon again for as long as they do not, and now and then.
pub struct PolicyProbeLoop {
    /// Asks.
    pub client: Client,
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Told after the first look.
    pub readiness: Arc<Readiness>,
}

impl PolicyProbeLoop {
    /// Works for ever.
    pub async fn run(self, config: Config) {
        match policy_probe::excess_rights(&self.client, &config.namespace).await {
            Ok(excess) if excess.is_empty() => {}
            Ok(excess) => {
                warn!(
                    rights = excess.join("; "),
                    "this controller has rights that it does not need; apply the RBAC of this version"
                );
            }
            Err(error) => warn!(%error, "own rights cannot be looked up"),
        }
        let (mut attempt, mut stands) = (0, false);
        loop {
            let probed = policy_probe::probe(&self.client, &config.namespace, &config.template.name).await;
            self.take_in(&probed);
            self.readiness.done("policies");
            let stood = std::mem::replace(&mut stands, probed == PolicyProbe::Standing);
            let wait = if stands {
                if !stood {
                    info!("admission policies fence this controller");
                }
                attempt = 0;
                REST
            } else {
                // A policy that was applied a moment ago is not in force yet.
                attempt += 1;
                backoff(attempt, Duration::from_secs(2), Duration::from_secs(60), "fence")
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Tells what was found. Where nobody could tell, what was found before holds.
    fn take_in(&self, policy_probe: &PolicyProbe) {
        if *policy_probe == PolicyProbe::Unknown {
            return;
        }
        self.metrics.policies_enforced.set((*policy_probe == PolicyProbe::Standing).into());
        let why = why(policy_probe);
        let missing = |why: &String| {
            (ConditionType::PoliciesEnforced, false, Failure::new(Reason::PoliciesMissing, why.as_str()))
        };
        let next: Vec<_> = why.iter().map(missing).collect();
        let mut state = self.shared.state();
        if state.common == next {
            return;
        }
        if let Some(why) = why {
            warn!("{why}; its rights alone reach further, see Security in the README");
        }
        state.common = next;
        let names = state.bindings.names();
        drop(state);
        for name in names {
            self.shared.bindings.add(name, Priority::High);
        }
    }
}

/// What is missing and its cure.
fn why(policy_probe: &PolicyProbe) -> Option<String> {
    match policy_probe {
        PolicyProbe::Standing | PolicyProbe::Unknown => None,
        PolicyProbe::Missing(policies) => {
            let webhook = policies.contains(&names::WEBHOOK_NAME).then_some("deploy/webhook.yaml");
            let others = policies.iter().any(|policy| *policy != names::WEBHOOK_NAME);
            let files: Vec<&str> = others.then_some("deploy/policies.yaml").into_iter().chain(webhook).collect();
            Some(format!(
                "no ValidatingAdmissionPolicy fences this controller where {} should: apply {}",
                policies.join(", "),
                files.join(" and ")
            ))
        }
        PolicyProbe::Unserved => Some(
            "no ValidatingAdmissionPolicy fences this controller, since this API server serves none: Kubernetes 1.30 \
             does, and then apply deploy/policies.yaml"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::why;
    use crate::cluster::policy_probe::PolicyProbe;

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let missing =
            why(&PolicyProbe::Missing(vec!["acr-credential-secrets", "acr-credential-events"])).unwrap();
        assert!(missing.contains("acr-credential-secrets, acr-credential-events"), "{missing}");
        assert!(missing.ends_with("apply deploy/policies.yaml"), "{missing}");
        let missing = why(&PolicyProbe::Missing(vec!["acr-credential-webhook"])).unwrap();
        assert!(missing.ends_with("apply deploy/webhook.yaml"), "{missing}");
        let missing =
            why(&PolicyProbe::Missing(vec!["acr-credential-events", "acr-credential-webhook"])).unwrap();
        assert!(missing.ends_with("apply deploy/policies.yaml and deploy/webhook.yaml"), "{missing}");
        assert!(why(&PolicyProbe::Unserved).unwrap().contains("Kubernetes 1.30"));
        assert_eq!((why(&PolicyProbe::Standing), why(&PolicyProbe::Unknown)), (None, None));
    }
}
