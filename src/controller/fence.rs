//! Whether the admission policies fence this controller.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tracing::{info, warn};

use super::Config;
use super::board::Board;
use super::queue::Lane;
use crate::api::{ConditionType, Reason, names};
use crate::cluster::policy::{self, Fence};
use crate::plan::Failure;
use crate::plan::refresh::backoff;
use crate::server::Metrics;
use crate::server::admin::Readiness;

/// A fence that stands is looked at again after this long: somebody may take it down.
const REST: Duration = Duration::from_secs(600);

/// Looks whether the admission policies stand, at the start, soon again for as long as they do not, and now and then.
pub struct FenceLoop {
    /// Asks.
    pub client: Client,
    /// The shared state.
    pub board: Arc<Board>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Told after the first look.
    pub readiness: Arc<Readiness>,
}

impl FenceLoop {
    /// Works for ever.
    pub async fn run(self, config: Config) {
        match policy::excess_rights(&self.client, &config.namespace).await {
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
            let fence = policy::probe(&self.client, &config.namespace, &config.template.name).await;
            self.take_in(&fence);
            self.readiness.done("policies");
            let stood = std::mem::replace(&mut stands, fence == Fence::Standing);
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
    fn take_in(&self, fence: &Fence) {
        if *fence == Fence::Unknown {
            return;
        }
        self.metrics.fenced.set((*fence == Fence::Standing).into());
        let why = why(fence);
        let missing = |why: &String| {
            (ConditionType::Fenced, false, Failure::new(Reason::PoliciesMissing, why.as_str()))
        };
        let next: Vec<_> = why.iter().map(missing).collect();
        let mut state = self.board.state();
        if state.common == next {
            return;
        }
        if let Some(why) = why {
            warn!("{why}; its rights alone reach further, see Security in the README");
        }
        state.common = next;
        let names = state.book.names();
        drop(state);
        for name in names {
            self.board.bindings.add(name, Lane::Urgent);
        }
    }
}

/// What is missing and its cure.
fn why(fence: &Fence) -> Option<String> {
    match fence {
        Fence::Standing | Fence::Unknown => None,
        Fence::Missing(policies) => {
            let webhook = policies.contains(&names::WEBHOOK_NAME).then_some("deploy/webhook.yaml");
            let others = policies.iter().any(|policy| *policy != names::WEBHOOK_NAME);
            let files: Vec<&str> = others.then_some("deploy/policies.yaml").into_iter().chain(webhook).collect();
            Some(format!(
                "no ValidatingAdmissionPolicy fences this controller where {} should: apply {}",
                policies.join(", "),
                files.join(" and ")
            ))
        }
        Fence::Unserved => Some(
            "no ValidatingAdmissionPolicy fences this controller, since this API server serves none: Kubernetes 1.30 \
             does, and then apply deploy/policies.yaml"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::why;
    use crate::cluster::policy::Fence;

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let missing = why(&Fence::Missing(vec!["acr-credential-secrets", "acr-credential-events"])).unwrap();
        assert!(missing.contains("acr-credential-secrets, acr-credential-events"), "{missing}");
        assert!(missing.ends_with("apply deploy/policies.yaml"), "{missing}");
        let missing = why(&Fence::Missing(vec!["acr-credential-webhook"])).unwrap();
        assert!(missing.ends_with("apply deploy/webhook.yaml"), "{missing}");
        let missing = why(&Fence::Missing(vec!["acr-credential-events", "acr-credential-webhook"])).unwrap();
        assert!(missing.ends_with("apply deploy/policies.yaml and deploy/webhook.yaml"), "{missing}");
        assert!(why(&Fence::Unserved).unwrap().contains("Kubernetes 1.30"));
        assert_eq!((why(&Fence::Standing), why(&Fence::Unknown)), (None, None));
    }
}
