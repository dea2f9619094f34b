//! The namespace loop: observe → plan → apply → report.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use tracing::{debug, info, trace, warn};

use super::clock;
use super::state::SharedState;
use super::work_queue::WorkItem;
use crate::api::Reason;
use crate::cluster::error::CallError;
use crate::cluster::index::Attempt;
use crate::cluster::notices::Notifier;
use crate::cluster::{Applier, Outcome};
use crate::plan::conflict::{Conflict, ConflictKind, ConflictSite};
use crate::plan::notice::Notice;
use crate::plan::record::WriteResult;
use crate::plan::refusal::RefusedWrite;
use crate::plan::{self, Change, Failure, NamespaceRecord, Plan};
use crate::server::Metrics;

/// Rounds of plan and apply in a row. What changes faster than that waits for its back-off.
const ROUNDS: usize = 6;

/// Writes of one namespace that run at once. Each has a deadline, which thousands side by side would miss.
const SIDE_BY_SIDE: usize = 64;

/// The namespace loop, one of several workers.
#[derive(Clone)]
pub struct NamespaceLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Writes.
    pub applier: Applier,
    /// Notices.
    pub notifier: Notifier,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The namespace that the controller runs in.
    pub own_namespace: Box<str>,
    /// Writes nothing, and reports what it would write.
    pub dry_run: bool,
}

impl NamespaceLoop {
    /// Runs until it is dropped.
    pub async fn run(self) {
        loop {
            let item = self.shared.namespaces.next().await;
            if let Some(retry_at) = self.reconcile(&item).await {
                let wait = clock::until(retry_at, clock::now());
                self.shared.namespaces.add_after(item.key.clone(), wait);
            }
        }
    }

    /// Brings a namespace to the wanted state, as far as that is possible now. Returns when to continue.
    async fn reconcile(&self, item: &WorkItem<Arc<str>>) -> Option<Timestamp> {
        let namespace = &item.key;
        trace!(%namespace, "reconciling");
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            let Some(mut plan) = self.plan(namespace) else {
                self.shared.report(namespace, &[]);
                return None;
            };
            last.clone_from(&plan.results);
            if plan.reads_foreign {
                self.read_foreign(namespace).await;
                continue;
            }
            if self.dry_run {
                self.shared.report(namespace, &self.dry_run(plan).results);
                return None;
            }
            if !plan.conflicts.is_empty() {
                self.identify(namespace, &plan.conflicts).await;
                continue;
            }
            self.give_notices(namespace, &plan).await;
            if plan.changes.is_empty() {
                self.shared.report(namespace, &plan.results);
                return plan.retry_at.take();
            }
            let writes: Vec<_> =
                plan.changes.iter().map(|change| self.applier.apply(namespace, change)).collect();
            let outcomes: Vec<Outcome> = stream::iter(writes).buffered(SIDE_BY_SIDE).collect().await;
            for (change, outcome) in plan.changes.iter().zip(outcomes) {
                self.record(item, change, outcome);
            }
        }
        warn!(%namespace, "namespace keeps changing, retrying later");
        // The status of its bindings waits for each of their namespaces.
        self.shared.report(namespace, &last);
        self.shared.index.update(namespace, |record| record.record_unsettled(clock::now()))
    }

    /// Observes and plans a namespace; `None` where nothing is known of it.
    fn plan(&self, namespace: &Arc<str>) -> Option<Plan> {
        let now = clock::now();
        let state = self.shared.state();
        let snapshot = self.shared.snapshot();
        self.shared.index.update(namespace, move |record| {
            // Both locks are held, so that no loss of coverage comes in between.
            let retained = state.guard.retained(namespace, record.view.facts.as_ref(), &snapshot, now);
            drop(state);
            let plan = plan::round(record, &snapshot, &retained, now);
            if plan.is_settled() {
                record.settle();
            }
            plan
        })
    }

    /// Gives the notices of a plan. A removal is said before it is made, and the rest delays no write.
    async fn give_notices(&self, namespace: &Arc<str>, plan: &Plan) {
        let due = |notice: &&Notice| plan.changes.is_empty() || !notice.reason.is_provoked();
        for notice in plan.notices.iter().filter(due) {
            warn!(%namespace, reason = notice.reason.as_str(), message = %notice.message, "notice given");
            let bindings: Vec<ObjectReference> = {
                let state = self.shared.state();
                let objects = notice.bindings.iter().filter_map(|name| state.bindings.get(name));
                objects.map(|entry| entry.object.object_ref(&())).collect()
            };
            self.notifier.give(namespace, notice, &bindings).await;
            self.shared.index.update(namespace, |record| record.notices.add(notice));
        }
    }

    /// Reads the hosts in another owner's Secret, which a report or a notice names.
    async fn read_foreign(&self, namespace: &Arc<str>) {
        let version =
            |record: &mut NamespaceRecord| Some(record.view.secret.as_ref()?.resource_version.clone());
        let Some(version) = self.shared.index.update(namespace, version).flatten() else { return };
        let hosts = self.notifier.foreign_hosts(namespace, &version).await;
        self.shared.index.update(namespace, |record| record.foreign = Some(Box::new(hosts)));
    }

    /// Returns a plan that changes nothing, and reports what it would change.
    fn dry_run(&self, mut plan: Plan) -> Plan {
        if !plan.changes.is_empty() {
            let message = plan::change::describe(&plan.changes, &self.shared.template().name);
            let failure = Failure::new(Reason::DryRun, message);
            plan.results.iter_mut().for_each(|result| result.secret = Err(failure.clone()));
            plan.changes.clear();
        }
        plan
    }

    /// Finds out who else writes the objects of these conflicts, and records the reports on that.
    async fn identify(&self, namespace: &Arc<str>, conflicts: &[Conflict]) {
        for conflict in conflicts {
            let last = self.applier.last_writer(namespace, conflict.object.service_account()).await;
            let site = ConflictSite { namespace, secret: &self.shared.template().name };
            let failure = conflict.report(site, &last.by);
            let object = conflict.object.clone();
            self.shared.index.update(namespace, |record| match conflict.kind {
                _ if conflict.is_new_object(last.created_at) => record.forget(&object),
                ConflictKind::LeftAlone { until } => {
                    record.report_left_alone(object, until, failure.clone());
                }
                ConflictKind::Reverted { .. } => record.report_reverted(object, failure.clone()),
            });
            if !conflict.is_new_object(last.created_at) {
                warn!(%namespace, message = %failure.message, "contended");
            }
        }
    }

    /// Counts, logs and records the outcome of a write.
    fn record(&self, item: &WorkItem<Arc<str>>, change: &Change, outcome: Outcome) {
        let namespace = &item.key;
        self.metrics.count_change(change, &outcome);
        let kind = change.label();
        let result = match outcome {
            Outcome::Done => {
                match change {
                    Change::SetPullSecrets { service_account, .. } => {
                        self.metrics.attach_duration.observe(item.since.elapsed().as_secs_f64());
                        debug!(%namespace, %service_account, "ServiceAccount patched");
                    }
                    Change::CreateSecret { .. } => info!(%namespace, "Secret created"),
                    Change::UpdateSecret { .. } => info!(%namespace, "Secret updated"),
                    Change::RetainSecret { .. } => {
                        info!(%namespace, "Secret kept: it is not managed any more")
                    }
                    Change::DeleteSecret { .. } => info!(%namespace, "Secret deleted"),
                }
                WriteResult::Done
            }
            Outcome::Stale => {
                debug!(%namespace, change = kind, "object changed, planning again");
                WriteResult::Stale
            }
            Outcome::Failed(error) => {
                let template = self.shared.template();
                failed(
                    error,
                    RefusedWrite { namespace, change, template, own_namespace: &self.own_namespace },
                )
            }
        };
        if let WriteResult::Refused(failure) | WriteResult::Failed { failure, .. } = &result {
            let reason = failure.reason;
            warn!(%namespace, change = kind, %reason, message = %failure.message, "write failed");
        }
        let attempt = Attempt { change, result, event: item.answers_event(), now: clock::now() };
        self.shared.index.record_write(namespace, attempt);
    }
}

/// Returns what a failed call means for the object that it wrote.
fn failed(error: CallError, write: RefusedWrite<'_>) -> WriteResult {
    match error {
        CallError::Terminating | CallError::NotFound | CallError::Conflict => WriteResult::Gone,
        CallError::Quota(message) => WriteResult::Refused(write.by_quota(&message)),
        CallError::Forbidden(message) => WriteResult::Refused(write.by_rights(&message)),
        CallError::Denied(message) => WriteResult::Refused(write.by_admission(&message)),
        CallError::Invalid(message) => WriteResult::Refused(write.as_invalid(&message)),
        CallError::Later(message, at_least) => {
            WriteResult::Failed { failure: write.passing(&message), at_least }
        }
    }
}
