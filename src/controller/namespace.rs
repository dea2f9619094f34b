//! The namespace loop: view → plan → apply → record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use k8s_openapi::jiff::Timestamp;
use tracing::{debug, info, trace, warn};

use super::clock;
use super::conflicts::{ConflictTracker, Object};
use super::state::SharedState;
use super::work_queue::WorkItem;
use crate::api::Reason;
use crate::cluster::error::CallError;
use crate::cluster::{Applier, Outcome};
use crate::plan::refresh::backoff;
use crate::plan::write_history::{self, RevertedPart};
use crate::plan::{self, Change, Failure, NamespaceResult, NamespaceView, Plan, Snapshot};
use crate::server::Metrics;

/// Plans and applies until nothing is left to write, at most this often in a row: what moves faster than that
/// waits for its back-off.
const ROUNDS: usize = 6;

/// Writes of one namespace that are under way at once. Each has a deadline, which thousands side by side would miss.
const SIDE_BY_SIDE: usize = 64;

/// The bounds of the back-off after a refusal that only a human can mend.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// What every worker needs.
#[derive(Clone)]
pub struct NamespaceLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Writes.
    pub applier: Applier,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Failed attempts in a row, for those namespaces that have any.
    pub attempts: Arc<Mutex<HashMap<Arc<str>, u32>>>,
    /// Objects that somebody else writes too.
    pub conflicts: Arc<ConflictTracker>,
    /// Nothing is written: what would be is told.
    pub dry_run: bool,
}

/// Whether a namespace is done for now.
enum Next {
    Settled,
    /// Look again then.
    After(Duration),
}

impl NamespaceLoop {
    /// Works for ever.
    pub async fn run(self) {
        loop {
            let item = self.shared.namespaces.next().await;
            let next = self.serve(&item).await;
            self.schedule(&item.key, next);
        }
    }

    fn schedule(&self, namespace: &Arc<str>, next: Next) {
        match next {
            Next::Settled => {
                self.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
                self.conflicts.accept(namespace);
            }
            Next::After(wait) => self.shared.namespaces.add_after(namespace.clone(), wait),
        }
    }

    async fn serve(&self, item: &WorkItem<Arc<str>>) -> Next {
        let namespace = &item.key;
        trace!(%namespace, "looked at");
        for _ in 0..ROUNDS {
            let (snapshot, plan) = self.plan(namespace);
            let Some(plan) = plan else {
                self.shared.record(namespace, &[]);
                self.shared.set_contended(namespace, None);
                return Next::Settled;
            };
            self.shared.look_again_after(&snapshot, namespace);
            if let Some(served) = plan.served {
                self.shared.index.set_served(namespace, served);
            }
            if plan.changes.is_empty() {
                self.shared.record(namespace, &plan.results);
                if self.shared.is_contended(namespace) {
                    self.still_contended(namespace);
                }
                return Next::Settled;
            }
            if self.dry_run {
                let why = Failure::new(
                    Reason::DryRun,
                    plan::change::describe(&plan.changes, snapshot.secret_name()),
                );
                self.shared.record(namespace, &refused(plan, &why));
                return Next::Settled;
            }
            let (changes, left_alone) = self.split(namespace, &plan);
            if let (true, None, Some(until)) =
                (changes.is_empty(), &left_alone, self.conflicts.refused_until(namespace))
            {
                self.shared.record(namespace, &plan.results);
                return Next::After(clock::until(until, clock::now()));
            }
            self.tell_slow_rivals(namespace, &changes).await;
            let writes: Vec<_> = changes.iter().map(|change| self.applier.apply(namespace, change)).collect();
            let outcomes = stream::iter(writes).buffered(SIDE_BY_SIDE).collect().await;
            let failures = self.take_in(item, &changes, outcomes);
            if !failures.is_empty() {
                return self.fail(namespace, failures);
            }
            if let (true, Some((object, until))) = (changes.is_empty(), left_alone) {
                return self.step_back(namespace, plan, object, until).await;
            }
        }
        warn!(%namespace, "the namespace keeps changing under our hands; looking again later");
        Next::After(self.back_off(namespace, (Duration::from_secs(1), Duration::from_secs(60))))
    }

    /// What should be written now, by which bindings; `None` where nothing is known of the namespace.
    fn plan(&self, namespace: &Arc<str>) -> (Arc<Snapshot>, Option<Plan>) {
        let (snapshot, retained) = self.shared.look(namespace);
        let planned = |view: &NamespaceView| plan::namespace_keeping(view, &snapshot, &retained);
        let plan = self.shared.index.read(namespace, planned);
        (snapshot, plan)
    }

    /// The changes to make, and an object that is fought over, with the time until which it is left alone.
    fn split<'a>(
        &self,
        namespace: &Arc<str>,
        plan: &'a Plan,
    ) -> (Vec<&'a Change>, Option<(Object, Timestamp)>) {
        let mut left_alone = None;
        let quiet = |change: &Change| {
            let object = Object::of(namespace, change)?;
            self.conflicts.quiet_until(&object).map(|until| (object, until))
        };
        let refused = self.conflicts.refused_until(namespace).is_some();
        let changes = plan.changes.iter().filter(|change| match quiet(change) {
            Some(quiet) => {
                left_alone = Some(quiet);
                false
            }
            // A quota stays full, whatever else happens in its namespace.
            None => !(refused && matches!(change, Change::CreateSecret { .. })),
        });
        (changes.collect(), left_alone)
    }

    /// Says who writes the object too, and looks again when it has been left alone for long enough.
    async fn step_back(&self, namespace: &Arc<str>, plan: Plan, object: Object, until: Timestamp) -> Next {
        let failure = match self.conflicts.told(&object, until) {
            Some(failure) => failure,
            None => {
                let changes = plan.changes.iter();
                let undone = changes.filter(|change| Object::of(namespace, change).as_ref() == Some(&object));
                let undone =
                    undone.map(|change| RevertedPart::of(change, &self.shared.template().name)).next();
                let failure =
                    self.contended(namespace, &object, undone.unwrap_or(RevertedPart::Secret)).await;
                self.conflicts.tell(object, until, failure.clone());
                failure
            }
        };
        self.shared.record(namespace, &refused(plan, &failure));
        Next::After(clock::until(until, clock::now()))
    }

    async fn contended(&self, namespace: &str, object: &Object, undone: RevertedPart) -> Failure {
        let account = object.service_account.as_deref();
        let writer = self.applier.last_writer(namespace, account).await.by;
        let failure = write_history::left_alone(&self.what(namespace, account), &writer, undone);
        warn!(%namespace, message = %failure.message, "contended");
        failure
    }

    fn what(&self, namespace: &str, service_account: Option<&str>) -> String {
        match service_account {
            Some(name) => format!("imagePullSecrets of the ServiceAccount {namespace}/{name}"),
            None => format!("the Secret {namespace}/{}", self.shared.template().name),
        }
    }

    /// Says who undoes what is written, before it is written once more: afterwards the last writer is us.
    async fn tell_slow_rivals(&self, namespace: &Arc<str>, changes: &[&Change]) {
        let to_be_told = |change: &&Change| {
            let object = Object::of(namespace, change).filter(|_| change.may_repair())?;
            Some((
                self.conflicts.is_to_be_told(&object)?,
                object,
                RevertedPart::of(change, &self.shared.template().name),
            ))
        };
        for (began, object, undone) in changes.iter().filter_map(to_be_told).collect::<Vec<_>>() {
            let account = object.service_account.as_deref();
            let last = self.applier.last_writer(namespace, account).await;
            // A ServiceAccount that is deleted and made anew is served anew: nobody undoes anything.
            if account.is_some() && last.created_at.is_some_and(|at| at > began) {
                self.conflicts.forget(&object);
                continue;
            }
            let failure = write_history::brought_back(&self.what(namespace, account), &last.by, undone);
            warn!(%namespace, message = %failure.message, "contended");
            self.conflicts.tell_slow(object, failure);
            self.still_contended(namespace);
        }
    }

    /// Says of a namespace whether somebody undoes what is written there, and looks again when that may be over.
    fn still_contended(&self, namespace: &Arc<str>) {
        let slow = self.conflicts.slow_in(namespace);
        if let Some(rest) = slow.as_ref().and_then(|_| Duration::try_from(write_history::FORGOTTEN).ok()) {
            self.shared.namespaces.add_after(namespace.clone(), rest + Duration::from_secs(1));
        }
        self.shared.set_contended(namespace, slow);
    }

    /// Counts what became of the changes, and returns those that failed.
    fn take_in(
        &self,
        item: &WorkItem<Arc<str>>,
        changes: &[&Change],
        outcomes: Vec<Outcome>,
    ) -> Vec<(Change, CallError)> {
        let mut failures = Vec::new();
        for (&change, outcome) in changes.iter().zip(outcomes) {
            self.metrics.count_change(change, &outcome);
            // What a rival undoes comes back by an event. A fill or a refresh of thousands is not remembered for it.
            if item.is_urgent()
                && change.may_repair()
                && let (Outcome::Done | Outcome::Stale, Some(object)) =
                    (&outcome, Object::of(&item.key, change))
            {
                self.conflicts.wrote(object);
            }
            if let (Outcome::Done, Some(content)) = (&outcome, change.content()) {
                self.shared.index.set_written(&item.key, content.fingerprint);
            }
            match (&outcome, change) {
                (Outcome::Done, Change::SetPullSecrets { service_account, .. }) => {
                    self.metrics.attach_duration.observe(item.since.elapsed().as_secs_f64());
                    debug!(namespace = %item.key, %service_account, "imagePullSecrets written");
                }
                (Outcome::Done, change) => {
                    info!(namespace = %item.key, change = label(change), "Secret written")
                }
                (Outcome::Stale, change) => {
                    debug!(namespace = %item.key, change = label(change), "stale, planning again")
                }
                (Outcome::Failed(error), change) => failures.push((change.clone(), error.clone())),
            }
        }
        failures
    }

    fn fail(&self, namespace: &Arc<str>, failures: Vec<(Change, CallError)>) -> Next {
        let (mut first, mut most) = (Duration::from_millis(500), Duration::from_secs(60));
        let mut at_least = None;
        let (mut why, mut refused_create) = (None, false);
        for (change, error) in failures {
            let failure = match error {
                // Everything in it goes by itself.
                CallError::Terminating | CallError::NotFound | CallError::Conflict => continue,
                CallError::Quota(message) => {
                    (first, most) = REFUSED;
                    Failure::new(
                        Reason::QuotaExceeded,
                        format!("{message}: raise the quota for secrets, or cover the namespace no more"),
                    )
                }
                CallError::Forbidden(message) => {
                    (first, most) = REFUSED;
                    Failure::new(
                        Reason::Forbidden,
                        format!("{message}: apply the RBAC and policies of this version"),
                    )
                }
                CallError::Invalid(message) => {
                    (first, most) = REFUSED;
                    Failure::new(Reason::WriteFailing, message)
                }
                CallError::Later(message, wait) => {
                    at_least = at_least.max(wait);
                    Failure::new(Reason::WriteFailing, message)
                }
            };
            warn!(%namespace, change = label(&change), reason = %failure.reason, message = %failure.message, "write failed");
            if matches!(change, Change::CreateSecret { .. }) && failure.reason.needs_human() {
                self.shared.index.set_refused(namespace, Some(failure.clone()));
                refused_create = true;
            }
            why = Some(failure);
        }
        let plan = self.plan(namespace).1.unwrap_or_default();
        match why {
            Some(why) => self.shared.record(namespace, &refused(plan, &why)),
            None => self.shared.record(namespace, &plan.results),
        }
        let wait = self.back_off(namespace, (first, most)).max(at_least.unwrap_or_default());
        let now = clock::now();
        if let (true, Ok(until)) = (refused_create, now.checked_add(wait)) {
            self.conflicts.refuse(namespace, until);
        }
        Next::After(wait)
    }

    /// Counts a failed attempt, and says how long to wait for the next.
    fn back_off(&self, namespace: &Arc<str>, (first, most): (Duration, Duration)) -> Duration {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.entry(namespace.clone()).or_insert(0);
        *attempt = attempt.saturating_add(1);
        backoff(*attempt, first, most, namespace)
    }
}

/// What stands, where what was planned is not to be had.
fn refused(plan: Plan, why: &Failure) -> Vec<NamespaceResult> {
    let mut results = plan.results;
    for result in &mut results {
        result.secret = Err(why.clone());
    }
    results
}

/// A name for a change, for logs and metrics.
pub fn label(change: &Change) -> &'static str {
    match change {
        Change::CreateSecret { .. } => "create",
        Change::UpdateSecret { .. } => "update",
        Change::RetainSecret { .. } => "retain",
        Change::DeleteSecret { .. } => "delete",
        Change::SetPullSecrets { .. } => "set-pull-secrets",
    }
}
