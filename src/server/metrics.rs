//! Metrics, in the names that the field's dashboards know. No namespace is a label: their number is not bounded.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::cluster::Outcome;
use crate::plan::Change;

/// What became of a write or a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Result {
    Success,
    Stale,
    Error,
}

/// Label `result`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// What became of it.
    pub result: Result,
}

/// Label `registry`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct RegistryLabel {
    /// `instance in region`.
    pub registry: String,
    /// The chain of identities that asks, as in the status.
    pub identity: String,
}

/// Labels of a binding's readiness.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BindingLabel {
    /// Name of the binding.
    pub name: String,
    /// `True` or `False`.
    pub condition: &'static str,
}

/// Label `queue`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueLabel {
    /// `namespace` or `binding`.
    pub name: &'static str,
}

/// What became of a ServiceAccount that the API server asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Admitted {
    /// It gets our entry.
    Attached,
    /// It is as it should be.
    Unchanged,
    /// Its namespace was not known yet, and its name alone does not cover it.
    Unseen,
    /// The question could not be understood.
    InvalidReview,
}

/// Label `outcome`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AdmittedLabel {
    /// What became of it.
    pub outcome: Admitted,
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Registry tokens asked of the cloud.
    pub mints: Family<ResultLabel, Counter>,
    /// Writes of Secrets.
    pub secret_writes: Family<ResultLabel, Counter>,
    /// Writes of ServiceAccounts.
    pub service_account_patches: Family<ResultLabel, Counter>,
    /// From the event that told of a ServiceAccount to its written entry.
    pub attach_duration: Histogram,
    /// When each credential ends.
    pub expiration: Family<RegistryLabel, Gauge>,
    /// Whether each binding is ready.
    pub ready: Family<BindingLabel, Gauge>,
    /// Keys that wait.
    pub queue_depth: Family<QueueLabel, Gauge>,
    /// Status writes.
    pub status_writes: Family<ResultLabel, Counter>,
    /// Deletions of stuck Pods.
    pub stuck_pods: Family<ResultLabel, Counter>,
    /// Whether the ConfigMap has no errors: 1, or 0 where it has, or is gone while its binding stands.
    pub legacy_config_valid: Gauge,
    /// Whether the admission policies stand: 1, or 0 where they are missing.
    pub fenced: Gauge,
    /// Whether this replica holds the lease: 1, or 0 where it stands by.
    pub leader: Gauge,
    /// ServiceAccounts that the API server asked about.
    pub admissions: Family<AdmittedLabel, Counter>,
    /// From a question of the API server to its answer.
    pub admission_duration: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("acr_build", "The version of this controller", build);
        let metrics = Self {
            mints: Family::default(),
            secret_writes: Family::default(),
            service_account_patches: Family::default(),
            attach_duration: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            expiration: Family::default(),
            ready: Family::default(),
            queue_depth: Family::default(),
            status_writes: Family::default(),
            stuck_pods: Family::default(),
            legacy_config_valid: Gauge::default(),
            fenced: Gauge::default(),
            leader: Gauge::default(),
            admissions: Family::default(),
            admission_duration: Histogram::new(exponential_buckets(0.000_05, 2.0, 14)),
            registry: Registry::default(),
        };
        registry.register(
            "acr_credential_mints",
            "Registry tokens asked of the cloud",
            metrics.mints.clone(),
        );
        registry.register("acr_secret_writes", "Writes of pull Secrets", metrics.secret_writes.clone());
        registry.register(
            "acr_serviceaccount_patches",
            "Writes of imagePullSecrets",
            metrics.service_account_patches.clone(),
        );
        registry.register_with_unit(
            "acr_serviceaccount_attach_duration",
            "From the event that told of a ServiceAccount to its written entry",
            Unit::Seconds,
            metrics.attach_duration.clone(),
        );
        registry.register_with_unit(
            "acr_credential_expiration_timestamp",
            "When the credential ends",
            Unit::Seconds,
            metrics.expiration.clone(),
        );
        registry.register("acr_binding_ready_status", "Whether the binding is ready", metrics.ready.clone());
        registry.register("workqueue_depth", "Keys that wait", metrics.queue_depth.clone());
        registry.register("acr_status_writes", "Writes of statuses", metrics.status_writes.clone());
        registry.register(
            "acr_stuck_pods_replaced",
            "Deletions of Pods that were created before their ServiceAccount was served",
            metrics.stuck_pods.clone(),
        );
        registry.register(
            "acr_legacy_config_valid",
            "Whether the ConfigMap acr-configuration has no errors",
            metrics.legacy_config_valid.clone(),
        );
        registry.register(
            "acr_admission_policies_standing",
            "Whether the policies that fence this controller stand",
            metrics.fenced.clone(),
        );
        registry.register(
            "acr_leader",
            "Whether this replica holds the lease and does the work",
            metrics.leader.clone(),
        );
        registry.register(
            "acr_admission_requests",
            "ServiceAccounts that the API server asked about",
            metrics.admissions.clone(),
        );
        registry.register_with_unit(
            "acr_admission_duration",
            "From a question of the API server to its answer",
            Unit::Seconds,
            metrics.admission_duration.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts a change and what became of it.
    pub fn count_change(&self, change: &Change, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Done => Result::Success,
            Outcome::Stale => Result::Stale,
            Outcome::Failed(_) => Result::Error,
        };
        let family = match change {
            Change::SetPullSecrets { .. } => &self.service_account_patches,
            _ => &self.secret_writes,
        };
        family.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one try.
    pub fn count(family: &Family<ResultLabel, Counter>, ok: bool) {
        let result = if ok { Result::Success } else { Result::Error };
        family.get_or_create(&ResultLabel { result }).inc();
    }

    /// Says whether a binding is ready.
    pub fn set_ready(&self, name: &str, ready: bool) {
        for (condition, holds) in [("True", ready), ("False", !ready)] {
            self.ready.get_or_create(&BindingLabel { name: name.to_owned(), condition }).set(holds.into());
        }
    }

    /// Drops the series of a binding that is gone.
    pub fn forget(&self, name: &str) {
        for condition in ["True", "False"] {
            self.ready.remove(&BindingLabel { name: name.to_owned(), condition });
        }
    }

    /// The text that a scraper reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
