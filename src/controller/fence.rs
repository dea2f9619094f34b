//! Whether the admission policies fence this controller.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tracing::{info, warn};

use super::Config;
use super::board::Board;
use super::queue::Lane;
use crate::api::{ConditionType, Reason};
use crate::cluster::policy::{self, Fence};
use crate::plan::Failure;
use crate::plan::refresh::backoff;
use crate::server::Metrics;
use crate::server::admin::Readiness;

/// Looks whether the admission policies stand, at the start and for as long as they do not.
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
        match policy::excess_rights(&self.client).await {
            Ok(excess) if excess.is_empty() => {}
            Ok(excess) => {
                warn!(
                    rights = excess.join("; "),
                    "this controller has rights that it does not need; apply the RBAC of this version"
                );
            }
            Err(error) => warn!(%error, "own rights cannot be looked up"),
        }
        let mut attempt = 0;
        loop {
            let fence = policy::probe(&self.client, &config.namespace, &config.template.name).await;
            self.take_in(fence);
            self.readiness.done("policies");
            if fence == Fence::Standing {
                info!("admission policies fence this controller");
                return std::future::pending().await;
            }
            // A policy that was applied a moment ago is not in force yet.
            attempt += 1;
            tokio::time::sleep(backoff(attempt, Duration::from_secs(2), Duration::from_secs(60), "fence"))
                .await;
        }
    }

    fn take_in(&self, fence: Fence) {
        self.metrics.fenced.set((fence == Fence::Standing).into());
        let why = "no ValidatingAdmissionPolicy fences this controller: apply deploy/policies.yaml (Kubernetes 1.30 or newer)";
        let missing = (ConditionType::Fenced, false, Failure::new(Reason::PoliciesMissing, why));
        let next = if fence == Fence::Missing { vec![missing] } else { Vec::new() };
        let mut state = self.board.state();
        if state.common == next {
            return;
        }
        if fence == Fence::Missing {
            warn!("{why}; RBAC alone lets it make a Secret that the cluster fills with a token");
        }
        state.common = next;
        let names = state.book.names();
        drop(state);
        for name in names {
            self.board.bindings.add(name, Lane::Urgent);
        }
    }
}
