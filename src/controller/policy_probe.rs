//! The loop that probes whether the admission policies restrict this controller.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tracing::{info, warn};

use super::state::SharedState;
use crate::cluster::policy_probe;
use crate::plan::policy_probe::PolicyProbe;
use crate::plan::priority::Priority;
use crate::plan::refresh::backoff;
use crate::server::Metrics;
use crate::server::admin::{Readiness, StartupStep};

/// How often policies in force are probed again: they may be deleted.
const PROBE_EVERY: Duration = Duration::from_secs(600);

/// Probes the admission policies: at the start, again soon while one is missing, and now and then.
pub struct PolicyProbeLoop {
    /// For the dry runs.
    pub client: Client,
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Notified after the first probe.
    pub readiness: Arc<Readiness>,
    /// The controller's own namespace.
    pub namespace: Box<str>,
}

impl PolicyProbeLoop {
    /// Runs the loop.
    pub async fn run(self) {
        self.check_own_rights().await;
        let secret_name = self.shared.template().name.clone();
        let (mut attempt, mut enforced) = (0, false);
        loop {
            let probed = policy_probe::probe(&self.client, &self.namespace, &secret_name).await;
            self.report(&probed);
            self.readiness.done(StartupStep::Policies);
            let was_enforced = std::mem::replace(&mut enforced, probed == PolicyProbe::Enforced);
            let wait = if enforced {
                if !was_enforced {
                    info!("admission policies enforced");
                }
                attempt = 0;
                PROBE_EVERY
            } else {
                // A policy that was applied a moment ago is not in force yet.
                attempt += 1;
                backoff(attempt, Duration::from_secs(2), Duration::from_secs(60), "policies")
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn check_own_rights(&self) {
        match policy_probe::excess_rights(&self.client, &self.namespace).await {
            Ok(excess) if excess.is_empty() => {}
            Ok(excess) => warn!(
                rights = excess.join("; "),
                "this controller has rights that it does not need; apply the RBAC of this version, and delete other bindings of its account"
            ),
            Err(error) => warn!(%error, "own rights cannot be read"),
        }
    }

    /// Reports the result. After a failed probe the last result stays.
    fn report(&self, probed: &PolicyProbe) {
        if *probed == PolicyProbe::Unknown {
            return;
        }
        self.metrics.policies_enforced.set((*probed == PolicyProbe::Enforced).into());
        let next: Vec<_> = probed.condition().into_iter().collect();
        let mut state = self.shared.state();
        if state.common == next {
            return;
        }
        if let Some(message) = probed.message() {
            warn!("{message}; without it only RBAC restricts this controller, see docs/security.md");
        }
        state.common = next;
        let names = state.bindings.names();
        drop(state);
        for name in names {
            self.shared.bindings.add(name, Priority::Changed);
        }
    }
}
