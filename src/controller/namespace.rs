//! The namespace loop: observe → plan → apply → report.

mod write;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, trace, warn};

use self::write::{WriteAnswer, failed, write};
use super::clock;
use super::gauges;
use super::state::SharedState;
use super::tasks::panic_of;
use super::work_queue::WorkItem;
use super::write_round::{WriteRound, Written};
use crate::api::Reason;
use crate::cluster::index::Attempt;
use crate::cluster::notices::Notifier;
use crate::cluster::{Applier, Outcome};
use crate::plan::change::ObjectKey;
use crate::plan::conflict::{Conflict, ConflictKind, ConflictSite};
use crate::plan::notice::Notice;
use crate::plan::priority::Priority;
use crate::plan::record::WriteResult;
use crate::plan::refusal::RefusedWrite;
use crate::plan::{self, Change, Failure, NamespaceRecord, Plan};
use crate::server::Metrics;

/// Reads in a row that a plan may ask for.
const DETOURS: usize = 6;

/// Plans in a row after which a namespace reports what it has, though writes are still wanted.
const ROUNDS: usize = 6;

/// The shortest time between two plans of a namespace whose writes are under way.
const PLAN_EVERY: Duration = Duration::from_millis(20);

/// The namespace loop.
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

/// A namespace that is being reconciled.
struct Visit {
    item: WorkItem<Arc<str>>,
    round: WriteRound<WriteAnswer>,
    /// The priority of what is to be done.
    asked: Priority,
    /// When that was added.
    since: Instant,
    /// Whether a write was answered at once.
    answered: bool,
    /// The failure of a write that was not answered in time.
    silence: Option<Failure>,
}

impl NamespaceLoop {
    /// Runs until it is dropped. Each namespace has a task of its own; the work queue bounds their number.
    pub async fn run(self) {
        let (worker, mut tasks) = (Arc::new(self), JoinSet::new());
        loop {
            tokio::select! {
                item = worker.shared.namespaces.next() => {
                    let worker = worker.clone();
                    tasks.spawn(async move { worker.process(item).await });
                }
                Some(ended) = tasks.join_next() => if let Some(panic) = panic_of(ended) {
                    std::panic::resume_unwind(panic);
                },
            }
        }
    }

    async fn process(&self, item: WorkItem<Arc<str>>) {
        self.metrics.observe_wait(gauges::NAMESPACES, item.since.elapsed());
        let namespace = item.key.clone();
        let mut visit = Visit {
            round: WriteRound::new(self.shared.writes.clone()),
            asked: item.asked,
            since: item.since,
            answered: false,
            silence: None,
            item,
        };
        if let Some(retry_at) = self.reconcile(&mut visit).await {
            self.shared.namespaces.add_after(namespace, clock::until(retry_at, clock::now()));
        }
    }

    /// Brings a namespace to the wanted state, as far as that is possible now. Returns when to continue.
    async fn reconcile(&self, visit: &mut Visit) -> Option<Timestamp> {
        let namespace = &visit.item.key.clone();
        trace!(%namespace, "reconciling");
        let (mut detours, mut rounds) = (0, 0);
        while detours < DETOURS {
            let Some(mut plan) = self.plan(namespace, !visit.round.is_empty()) else {
                self.shared.forget_pace(namespace);
                self.shared.report(namespace, &[]);
                return None;
            };
            plan.conflicts.retain(|conflict| !visit.round.has(&conflict.object));
            if !plan.reads.is_empty() {
                self.shared.writes.read(self.read(namespace, &plan.reads)).await;
                detours += 1;
                continue;
            }
            if plan.reads_foreign {
                self.shared.writes.read(self.read_foreign(namespace)).await;
                detours += 1;
                continue;
            }
            if self.dry_run {
                self.shared.report(namespace, &self.dry_run(plan).results);
                return None;
            }
            if !plan.conflicts.is_empty() {
                self.shared.writes.read(self.identify(namespace, &plan.conflicts)).await;
                detours += 1;
                continue;
            }
            self.give_notices(&visit.item, visit.asked, &plan).await;
            let is_over = plan.is_settled() && visit.round.is_empty();
            if let Some(failure) = visit.silence.as_ref().filter(|_| !is_over) {
                // Something of it is always due, and hangs again. The report does not wait for that.
                let served = plan.results.iter_mut().filter(|result| result.secret.is_ok());
                served.for_each(|result| result.secret = Err(failure.clone()));
                self.shared.report(namespace, &plan.results);
            }
            if plan.changes.is_empty() {
                self.shared.report(namespace, &plan.results);
                if visit.round.is_empty() && !visit.round.has_left_out() {
                    return plan.retry_at;
                }
            }
            let attempts = |object: &_| self.shared.index.update(namespace, |record| record.attempts(object));
            visit.round.add(plan.changes, |object| attempts(object).unwrap_or_default());
            if visit.round.is_empty() {
                break;
            }
            rounds += 1;
            // The status of its bindings waits for each of their namespaces, also for one that never comes to rest.
            if rounds % ROUNDS == 0 {
                self.shared.report(namespace, &plan.results);
            }
            self.advance(visit).await;
            visit.round.pause();
        }
        warn!(%namespace, "namespace keeps changing, retrying later");
        self.shared.index.update(namespace, |record| record.record_unsettled(clock::now()))
    }

    /// Continues the writes until all have ended, or until another plan is due: something changed meanwhile, or an object
    /// was stale. The others may take their time.
    async fn advance(&self, visit: &mut Visit) {
        let Visit { item, round, asked, since, answered, silence } = visit;
        let next_plan = Instant::now() + PLAN_EVERY;
        let mut is_due = false;
        loop {
            let begin = |permit, change| {
                let (applier, budget) = (self.applier.clone(), self.shared.writes.clone());
                write(applier, budget, item.pace(), permit, change)
            };
            tokio::select! {
                biased;
                written = round.next(item, *asked, begin) => {
                    let Some(Written { change, result }) = written else { return };
                    *answered |= result.is_quick;
                    is_due |= result.outcome == Outcome::Stale;
                    let failure = self.record(item, (*asked, *since), &change, result.outcome);
                    *silence = failure.filter(|_| result.is_silent).or(silence.take()).filter(|_| !*answered);
                    if result.is_silent && !*answered {
                        let given_up = round.give_up();
                        self.shared.index.update(&item.key, |record| {
                            given_up.iter().for_each(|other| record.postpone(other, &change.object()));
                        });
                        is_due = true;
                    }
                }
                () = tokio::time::sleep_until(next_plan), if is_due => return,
                news = item.news(), if !is_due => {
                    is_due = true;
                    (*asked, *since) = ((*asked).min(news.asked), news.since.into());
                }
            }
            if round.is_empty() {
                return;
            }
        }
    }

    /// Observes and plans a namespace; `None` where nothing is known of it. `is_writing`: writes are under way.
    fn plan(&self, namespace: &Arc<str>, is_writing: bool) -> Option<Plan> {
        let now = clock::now();
        let state = self.shared.state();
        let snapshot = self.shared.snapshot();
        self.shared.index.update(namespace, move |record| {
            // Both locks are held, so that no loss of coverage comes in between.
            let retained = state.guard.retained(namespace, record.view.facts.as_ref(), &snapshot, now);
            drop(state);
            record.is_writing = is_writing;
            let plan = plan::round(record, &snapshot, &retained, now);
            if plan.is_settled() {
                record.settle();
            }
            plan
        })
    }

    /// Gives the notices of a plan. A removal is said before it is made, and the rest delays no write.
    async fn give_notices(&self, item: &WorkItem<Arc<str>>, asked: Priority, plan: &Plan) {
        let namespace = &item.key;
        let due = |notice: &&Notice| plan.changes.is_empty() || !notice.reason.is_provoked();
        for notice in plan.notices.iter().filter(due) {
            warn!(%namespace, reason = notice.reason.event().as_str(), message = %notice.message, "notice given");
            let bindings: Vec<ObjectReference> = {
                let state = self.shared.state();
                let objects = notice.bindings.iter().filter_map(|name| state.bindings.get(name));
                objects.map(|entry| entry.object.object_ref(&())).collect()
            };
            let permit = self.shared.writes.request(namespace, item.priority(asked));
            permit.granted().await;
            let given = self.notifier.give(namespace, notice, &bindings);
            permit.hold(given, |()| true, || item.pace().slow_down()).await;
            self.shared.index.update(namespace, |record| record.notices.add(notice));
        }
    }

    /// Reads objects whose last write had no answer. What it made comes into the index.
    async fn read(&self, namespace: &Arc<str>, objects: &[ObjectKey]) {
        for object in objects {
            let read = self.applier.read(namespace, object, "").await;
            self.shared.index.update(namespace, |record| match &read {
                Ok(()) => record.unclear.remove(object),
                Err(_) => record.unclear.postpone(namespace, clock::now()),
            });
            if let Err(error) = read {
                debug!(%namespace, %error, "an object whose write had no answer is not read, retrying later");
                return;
            }
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

    /// Counts, logs and records the outcome of a write. Returns the failure, if it failed.
    fn record(
        &self,
        item: &WorkItem<Arc<str>>,
        (asked, since): (Priority, Instant),
        change: &Change,
        outcome: Outcome,
    ) -> Option<Failure> {
        let namespace = &item.key;
        self.metrics.count_change(change, &outcome);
        let kind = change.label();
        let result = match outcome {
            Outcome::Done => {
                match change {
                    Change::SetPullSecrets { service_account, .. } => {
                        self.metrics.attach_duration.observe(since.elapsed().as_secs_f64());
                        debug!(%namespace, %service_account, "ServiceAccount patched");
                    }
                    Change::CreateSecret { .. } => info!(%namespace, "Secret created"),
                    Change::UpdateSecret { .. } => info!(%namespace, "Secret updated"),
                    Change::ReplaceSecret { .. } => info!(%namespace, "immutable Secret replaced"),
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
        let mut failed = None;
        if let WriteResult::Refused(failure)
        | WriteResult::Unanswered(failure)
        | WriteResult::Failed { failure, .. } = &result
        {
            failed = Some(failure.clone());
            let reason = failure.reason;
            warn!(%namespace, change = kind, %reason, message = %failure.message, "write failed");
        }
        let attempt = Attempt { change, result, event: asked != Priority::Bulk, now: clock::now() };
        self.shared.index.record_write(namespace, attempt);
        failed
    }
}
