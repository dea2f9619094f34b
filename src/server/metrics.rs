//! Metrics, in the names that the field's dashboards know. The namespace is not a label: the number of namespaces has
//! no bound.

mod described_registry;
mod labels;
mod text_format;

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;

use self::described_registry::DescribedRegistry;
pub use self::described_registry::MetricDescription;
pub use self::labels::{
    AccountState, AccountsLabel, AdmissionLabel, AdmissionOutcome, ApiLabel, BindingLabel, BuildLabel,
    CallResult, LeaseLabel, QueueLabel, ReconcileLabel, ReconcileResult, Reconciler, ReconcilerLabel,
    RegistryLabel, ResultLabel, TaskLabel, WatchLabel,
};
pub use self::text_format::TextFormat;
use crate::api::names;
use crate::cluster::Outcome;
use crate::plan::Change;
use crate::server::heartbeats::WaitingWork;

/// Buckets of controller-runtime's `controller_runtime_reconcile_time_seconds`, whose dashboards expect them.
const RECONCILE_BUCKETS: [f64; 40] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25,
    1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0,
    50.0, 60.0,
];

/// Buckets of controller-runtime's `workqueue_queue_duration_seconds`, from 10 ns to 1000 s.
const QUEUE_BUCKETS: [f64; 12] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0];

/// Buckets of the cloud's answers. A call without one ends after 10 s.
const API_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Defines the metrics. A field's doc comment is its help text, and the string behind it its name as scraped.
macro_rules! metrics {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $($(#[doc = $help:literal])+ $field:ident: $type:ty = $scraped:literal, $metric:expr;)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub struct $name {
            registry: DescribedRegistry,
            $($(#[doc = $help])+ pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                let mut registry = DescribedRegistry::default();
                registry.register("acr_build_info", BUILD_INFO, Info::new(BUILD));
                $(
                    let $field: $type = $metric;
                    registry.register($scraped, concat!($($help),+), $field.clone());
                )+
                Self { registry, $($field),+ }
            }
        }
    };
}

/// The statuses of the condition `Ready`.
const READY: [&str; 3] = ["True", "False", "Unknown"];

const BUILD_INFO: &str = "Version of this controller.";

const BUILD: BuildLabel = BuildLabel { version: env!("CARGO_PKG_VERSION") };

metrics! {
    /// All metrics of the controller.
    Metrics {
        /// Attempts to mint a registry credential.
        mints: Family<ResultLabel, Counter> = "acr_credential_mints_total", Family::default();

        /// Writes of pull Secrets.
        secret_writes: Family<ResultLabel, Counter> = "acr_secret_writes_total", Family::default();

        /// Writes of a ServiceAccount's imagePullSecrets.
        service_account_patches: Family<ResultLabel, Counter> =
            "acr_serviceaccount_patches_total", Family::default();

        /// Time from the event of a ServiceAccount to the written imagePullSecrets.
        attach_duration: Histogram =
            "acr_serviceaccount_attach_duration_seconds", Histogram::new(exponential_buckets(0.001, 2.0, 14));

        /// Time at which the credential expires, in seconds since the epoch.
        expiration: Family<RegistryLabel, Gauge> =
            "acr_credential_expiration_timestamp_seconds", Family::default();

        /// Time at which the credential is due for its renewal, in seconds since the epoch.
        renewal: Family<RegistryLabel, Gauge> =
            "acr_credential_renewal_timestamp_seconds", Family::default();

        /// Time from a request to the cloud to its reply. The code is the HTTP status, or why there is no valid reply.
        api_duration: Family<ApiLabel, Histogram, fn() -> Histogram> =
            "acr_api_request_duration_seconds",
            Family::new_with_constructor(|| Histogram::new(API_BUCKETS));

        /// ServiceAccounts that a binding covers, by whether they have the pull Secret.
        service_accounts: Family<AccountsLabel, Gauge> = "acr_serviceaccounts", Family::default();

        /// Whether the binding is ready: 1 for its present condition, 0 for the others.
        ready: Family<BindingLabel, Gauge> = "acr_binding_ready_status", Family::default();

        /// Items that wait in a work queue.
        queue_depth: Family<QueueLabel, Gauge> = "workqueue_depth", Family::default();

        /// Time for which an item waited in a work queue.
        queue_duration: Family<QueueLabel, Histogram, fn() -> Histogram> =
            "workqueue_queue_duration_seconds",
            Family::new_with_constructor(|| Histogram::new(QUEUE_BUCKETS));

        /// Writes of a binding's status.
        status_writes: Family<ResultLabel, Counter> = "acr_status_writes_total", Family::default();

        /// Deletions of Pods that were created before the pull Secret was attached to their ServiceAccount.
        stuck_pods: Family<ResultLabel, Counter> = "acr_stuck_pods_replaced_total", Family::default();

        /// Whether the ConfigMap acr-configuration is valid: 0 if it has errors, or is gone while its binding exists.
        legacy_config_valid: Gauge = "acr_legacy_config_valid", one();

        /// Whether the admission policies that confine this controller are enforced: 1, or 0 if one is missing.
        policies_enforced: Gauge = "acr_admission_policies_enforced", Gauge::default();

        /// Whether this replica holds the lease: 1, or 0 if it is a standby.
        leader: Family<LeaseLabel, Gauge> = "leader_election_master_status", Family::default();

        /// Time since a watch of the API server was last heard: an event, a bookmark or the end of a list.
        watch_age: Family<WatchLabel, Gauge> = "acr_watch_last_event_age_seconds", Family::default();

        /// Streams of watches that are open to the API server.
        watch_streams: Gauge = "acr_watch_streams", Gauge::default();

        /// Writes in tenants' namespaces that are in flight.
        writes_in_flight: Gauge = "acr_writes_in_flight", Gauge::default();

        /// Time for which the longest of these writes has lasted, or 0 without one.
        longest_write: Gauge = "acr_longest_write_age_seconds", Gauge::default();

        /// Namespaces that wait until a time: after a refused or failed write, or for the next check.
        delayed_namespaces: Gauge = "acr_namespaces_delayed", Gauge::default();

        /// Time since a task last ran. Each of them runs once a second at least.
        heartbeat_age: Family<TaskLabel, Gauge> = "acr_task_heartbeat_age_seconds", Family::default();

        /// Time since a loop last took work, while work waits that it could take, or 0 without any.
        untaken_work: Family<QueueLabel, Gauge> = "acr_queue_untaken_work_age_seconds", Family::default();

        /// Time for which a task kept all others waiting, where that was 50 ms or longer.
        long_polls: Family<TaskLabel, Histogram, fn() -> Histogram> =
            "acr_task_long_poll_duration_seconds",
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.05, 2.0, 10)));

        /// Admission requests about ServiceAccounts.
        admissions: Family<AdmissionLabel, Counter> = "acr_admission_requests_total", Family::default();

        /// Time from an admission request to its answer.
        admission_duration: Histogram =
            "acr_admission_duration_seconds", Histogram::new(exponential_buckets(0.000_05, 2.0, 14));

        /// Reconciliations.
        reconciles: Family<ReconcileLabel, Counter> = "controller_runtime_reconcile_total", Family::default();

        /// Time that a reconciliation took.
        reconcile_duration: Family<ReconcilerLabel, Histogram, fn() -> Histogram> =
            "controller_runtime_reconcile_time_seconds",
            Family::new_with_constructor(|| Histogram::new(RECONCILE_BUCKETS));
    }
}

/// Returns a gauge that begins with 1.
fn one() -> Gauge {
    let gauge = Gauge::default();
    gauge.set(1);
    gauge
}

impl Metrics {
    /// Records whether this replica holds the lease.
    pub fn set_leader(&self, holds: bool) {
        self.leader.get_or_create(&LeaseLabel { name: names::LEASE_NAME }).set(holds.into());
    }

    /// Records how long an item waited in the work queue of this name.
    pub fn observe_wait(&self, queue: &'static str, waited: Duration) {
        self.queue_duration.get_or_create(&QueueLabel { name: queue }).observe(waited.as_secs_f64());
    }

    /// Counts a change by its outcome.
    pub fn count_change(&self, change: &Change, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Done => CallResult::Success,
            Outcome::Stale => CallResult::Stale,
            Outcome::Failed(_) => CallResult::Error,
        };
        let family = match change {
            Change::SetPullSecrets { .. } => &self.service_account_patches,
            _ => &self.secret_writes,
        };
        family.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one attempt.
    pub fn count(family: &Family<ResultLabel, Counter>, ok: bool) {
        let result = if ok { CallResult::Success } else { CallResult::Error };
        family.get_or_create(&ResultLabel { result }).inc();
    }

    /// Records a reconciliation: its loop, its result and the time that it took.
    pub fn observe_reconcile(&self, controller: Reconciler, result: ReconcileResult, took: Duration) {
        self.reconciles.get_or_create(&ReconcileLabel { controller, result }).inc();
        self.reconcile_duration.get_or_create(&ReconcilerLabel { controller }).observe(took.as_secs_f64());
    }

    /// Records the status of a binding's condition `Ready`.
    pub fn set_ready(&self, name: &str, status: &str) {
        for condition in READY {
            let label = BindingLabel { name: name.to_owned(), condition };
            self.ready.get_or_create(&label).set((condition == status).into());
        }
    }

    /// Drops the series of a binding that is gone.
    pub fn forget(&self, name: &str) {
        for condition in READY {
            self.ready.remove(&BindingLabel { name: name.to_owned(), condition });
        }
    }

    /// Records the ages of the watches and of the tasks' heartbeats.
    pub fn set_ages(&self, watches: &[(&'static str, Duration)], tasks: &[(&'static str, Duration)]) {
        let seconds = |age: &Duration| i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        for (watch, age) in watches {
            self.watch_age.get_or_create(&WatchLabel { watch }).set(seconds(age));
        }
        // A task that ended has no age any more.
        self.heartbeat_age.clear();
        for (task, age) in tasks {
            self.heartbeat_age.get_or_create(&TaskLabel::of(task)).set(seconds(age));
        }
    }

    /// Records the age of the work that no loop takes.
    pub fn set_waiting(&self, queues: &[(&'static str, Option<WaitingWork>)]) {
        for (name, work) in queues {
            let age = work.map_or(0, |work| i64::try_from(work.age.as_secs()).unwrap_or(i64::MAX));
            self.untaken_work.get_or_create(&QueueLabel { name }).set(age);
        }
    }

    /// Returns the description of every metric, for the reference.
    pub fn descriptions(&self) -> &[MetricDescription] {
        self.registry.descriptions()
    }

    /// Returns the text that a scraper reads by default.
    pub fn render(&self) -> String {
        self.render_as(TextFormat::Prometheus)
    }

    /// Returns the text that a scraper reads, in a format.
    pub fn render_as(&self, format: TextFormat) -> String {
        let open_metrics = self.registry.render();
        match format {
            TextFormat::Prometheus => text_format::to_prometheus(&open_metrics),
            TextFormat::OpenMetrics => open_metrics,
        }
    }
}

#[cfg(test)]
mod tests;
