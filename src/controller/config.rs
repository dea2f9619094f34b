//! The configuration of a controller, from its flags.

use std::net::SocketAddr;
use std::time::Duration;

use super::sources::SourceLocations;
use super::webhook::WebhookSettings;
use crate::plan::Template;

/// Everything that flags decide.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// The cluster's region.
    pub region: Box<str>,
    /// The namespace that the controller runs in.
    pub namespace: Box<str>,
    /// Name, labels and annotations of our pull Secrets.
    pub template: Template,
    /// Namespace of the legacy ConfigMap; `None`: it is ignored.
    pub config_map_namespace: Option<Box<str>>,
    /// How long the legacy ConfigMap may be missing before its binding is deleted.
    pub config_map_grace: Duration,
    /// How long pull Secrets are kept and refreshed after a binding suddenly selects nothing; zero: not at all.
    pub withdrawal_grace: Duration,
    /// How long a watch may hear nothing before the bindings become `Unknown`.
    pub watch_stale_after: Duration,
    /// Nothing is written to any selected namespace: statuses report what would be.
    pub dry_run: bool,
    /// Whether Pods that were created too early are replaced.
    pub replace_stuck_pods: bool,
    /// Sources of identities.
    pub places: SourceLocations,
    /// Address of health and metrics.
    pub listen_address: SocketAddr,
    /// This replica's name in the lease. No other that runs at the same time has it.
    pub replica: Box<str>,
    /// How long the lease lasts after a renewal.
    pub lease: Duration,
    /// The webhook.
    pub webhook: WebhookSettings,
}
