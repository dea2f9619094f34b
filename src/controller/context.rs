//! The parts of the process that the leader's loops use.

use std::sync::Arc;

use tokio::sync::watch;

use super::sources::ClusterSources;
use super::state::SharedState;
use super::webhook::WebhookReplica;
use crate::cloud::Alibaba;
use crate::cluster::parameters::ParametersState;
use crate::cluster::store::Store;
use crate::server::Metrics;
use crate::server::admin::Readiness;

/// The parts of the process that the leader's loops use.
pub struct LoopContext {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// The steps of the start.
    pub readiness: Arc<Readiness>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The token cache.
    pub store: Store,
    /// The cloud.
    pub cloud: Alibaba,
    /// Sources of its identities.
    pub sources: Arc<ClusterSources>,
    /// The ConfigMap of the admission policy, as its watch last saw it.
    pub seen: Arc<watch::Sender<Option<ParametersState>>>,
    /// The webhook.
    pub webhook: WebhookReplica,
}
