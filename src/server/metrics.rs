//! Metrics, in the names that the field's dashboards know. The namespace is not a label: the number of namespaces has
//! no bound.

mod described_registry;
mod labels;

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;

use self::described_registry::DescribedRegistry;
pub use self::described_registry::MetricDescription;
pub use self::labels::{
    AdmissionLabel, AdmissionOutcome, BindingLabel, BuildLabel, CallResult, QueueLabel, ReconcileLabel,
    ReconcileResult, Reconciler, ReconcilerLabel, RegistryLabel, ResultLabel, TaskLabel, WatchLabel,
};
use crate::cluster::Outcome;
use crate::plan::Change;
use crate::server::heartbeats::WaitingWork;

/// Buckets of controller-runtime's `controller_runtime_reconcile_time_seconds`, whose dashboards expect them.
const RECONCILE_BUCKETS: [f64; 40] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25,
    1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0,
    50.0, 60.0,
];

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

        /// Whether the binding is ready: 1 for its present condition, 0 for the others.
        ready: Family<BindingLabel, Gauge> = "acr_binding_ready_status", Family::default();

        /// Items that wait in a work queue.
        queue_depth: Family<QueueLabel, Gauge> = "workqueue_depth", Family::default();

        /// Writes of a binding's status.
        status_writes: Family<ResultLabel, Counter> = "acr_status_writes_total", Family::default();

        /// Deletions of Pods that were created before the pull Secret was attached to their ServiceAccount.
        stuck_pods: Family<ResultLabel, Counter> = "acr_stuck_pods_replaced_total", Family::default();

        /// Whether the ConfigMap acr-configuration is valid: 0 if it has errors, or is gone while its binding exists.
        legacy_config_valid: Gauge = "acr_legacy_config_valid", Gauge::default();

        /// Whether the admission policies that confine this controller are enforced: 1, or 0 if one is missing.
        policies_enforced: Gauge = "acr_admission_policies_enforced", Gauge::default();

        /// Whether this replica holds the lease: 1, or 0 if it is a standby.
        leader: Gauge = "acr_leader", Gauge::default();

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

impl Metrics {
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
            self.heartbeat_age.get_or_create(&TaskLabel { task }).set(seconds(age));
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

    /// Returns the text that a scraper reads.
    pub fn render(&self) -> String {
        self.registry.render()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        AdmissionLabel, AdmissionOutcome, Metrics, QueueLabel, ReconcileResult, Reconciler, RegistryLabel,
        TaskLabel, WaitingWork,
    };

    /// Metrics with a series in each family.
    fn filled() -> Metrics {
        let metrics = Metrics::default();
        for family in [
            &metrics.mints,
            &metrics.secret_writes,
            &metrics.service_account_patches,
            &metrics.status_writes,
            &metrics.stuck_pods,
        ] {
            Metrics::count(family, true);
        }
        metrics.set_ready("a", "True");
        metrics.set_ages(&[("secrets", Duration::from_secs(7))], &[("the loop", Duration::from_secs(1))]);
        metrics.set_waiting(&[("namespace", None)]);
        metrics.long_polls.get_or_create(&TaskLabel { task: "the loop" }).observe(0.06);
        let registry = RegistryLabel { registry: "r".to_owned(), identity: "i".to_owned() };
        metrics.expiration.get_or_create(&registry).set(5);
        metrics.queue_depth.get_or_create(&QueueLabel { name: "namespace" }).set(1);
        metrics.admissions.get_or_create(&AdmissionLabel { outcome: AdmissionOutcome::Attached }).inc();
        let took = Duration::from_millis(20);
        metrics.observe_reconcile(Reconciler::Namespace, ReconcileResult::RequeueAfter, took);
        metrics
    }

    #[test]
    fn every_metric_is_described_as_it_is_scraped() {
        let metrics = filled();
        let text = metrics.render();
        let helps = text.lines().filter(|line| line.starts_with("# HELP ")).count();
        assert_eq!(helps, metrics.descriptions().len(), "{text}");
        for description in metrics.descriptions() {
            let suffix = if description.kind == "histogram" { "_count" } else { "" };
            let begin = format!("{}{suffix}", description.name);
            let series = text
                .lines()
                .find(|line| line.strip_prefix(&begin).is_some_and(|rest| rest.starts_with(['{', ' '])));
            let series = series.unwrap_or_else(|| panic!("{begin} is not in\n{text}"));
            for label in description.labels {
                assert!(series.contains(&format!("{label}=\"")), "{series} lacks {label}");
            }
            assert_eq!(series.matches("=\"").count(), description.labels.len(), "{series}");
            assert!(text.contains(&format!(" {}.\n", description.help)), "{}", description.help);
        }
    }

    #[test]
    fn reconciliations_have_the_names_and_buckets_of_controller_runtime() {
        let text = filled().render();
        for line in [
            "controller_runtime_reconcile_total{controller=\"namespace\",result=\"requeue_after\"} 1",
            "controller_runtime_reconcile_time_seconds_sum{controller=\"namespace\"} 0.02",
            "controller_runtime_reconcile_time_seconds_bucket{le=\"0.01\",controller=\"namespace\"} 0",
            "controller_runtime_reconcile_time_seconds_bucket{le=\"0.025\",controller=\"namespace\"} 1",
            "controller_runtime_reconcile_time_seconds_bucket{le=\"60.0\",controller=\"namespace\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn one_status_of_ready_is_set_at_a_time() {
        let metrics = Metrics::default();
        for status in ["True", "Unknown", "False"] {
            metrics.set_ready("a", status);
            let text = metrics.render();
            for other in super::READY {
                let line = format!(
                    "acr_binding_ready_status{{name=\"a\",condition=\"{other}\"}} {}\n",
                    u8::from(other == status)
                );
                assert!(text.contains(&line), "{line} is not in\n{text}");
            }
        }
        metrics.forget("a");
        assert!(!metrics.render().contains("name=\"a\""));
    }

    #[test]
    fn work_that_no_loop_takes_has_an_age() {
        let metrics = Metrics::default();
        let work = Some(WaitingWork { keys: 2, age: Duration::from_millis(91_900) });
        metrics.set_waiting(&[("binding", None), ("namespace", work)]);
        let text = metrics.render();
        for series in ["{name=\"binding\"} 0\n", "{name=\"namespace\"} 91\n"] {
            assert!(text.contains(&format!("acr_queue_untaken_work_age_seconds{series}")), "{text}");
        }
    }

    #[test]
    fn ages_are_whole_seconds_and_a_task_that_ended_has_none() {
        let metrics = filled();
        metrics.set_ages(&[("secrets", Duration::from_millis(312_900))], &[]);
        let text = metrics.render();
        assert!(text.contains("acr_watch_last_event_age_seconds{watch=\"secrets\"} 312\n"), "{text}");
        assert!(!text.contains("acr_task_heartbeat_age_seconds{"), "{text}");
    }
}
