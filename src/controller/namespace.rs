//! The namespace loop: view → plan → apply → record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use tracing::{debug, info, trace, warn};

use super::board::Board;
use super::clock;
use super::queue::Job;
use super::rivals::{Object, Rivals};
use crate::api::Reason;
use crate::cluster::error::CallError;
use crate::cluster::{Applier, Outcome};
use crate::plan::refresh::backoff;
use crate::plan::{self, Change, Failure, Plan, Standing};
use crate::server::Metrics;

/// Plans and applies until nothing is left to write, at most this often in a row: what moves faster than that
/// waits for its back-off.
const ROUNDS: usize = 6;

/// What every worker needs.
#[derive(Clone)]
pub struct NamespaceLoop {
    /// The shared state.
    pub board: Arc<Board>,
    /// Writes.
    pub applier: Applier,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Failed attempts in a row, for those namespaces that have any.
    pub attempts: Arc<Mutex<HashMap<Arc<str>, u32>>>,
    /// Objects that somebody else writes too.
    pub rivals: Arc<Rivals>,
    /// Nothing is written: what would be is told.
    pub dry_run: bool,
}

/// Whether a namespace is done for now.
enum Next {
    Settled,
    /// Look again after a back-off between these bounds, or no sooner than asked.
    Again {
        first: Duration,
        most: Duration,
        at_least: Option<Duration>,
    },
}

impl NamespaceLoop {
    /// Works for ever.
    pub async fn run(self) {
        loop {
            let job = self.board.namespaces.next().await;
            let next = self.serve(&job).await;
            self.schedule(&job.key, next);
        }
    }

    fn schedule(&self, namespace: &Arc<str>, next: Next) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        match next {
            Next::Settled => {
                attempts.remove(namespace);
            }
            Next::Again { first, most, at_least } => {
                let attempt = attempts.entry(namespace.clone()).or_insert(0);
                *attempt = attempt.saturating_add(1);
                let wait = backoff(*attempt, first, most, namespace).max(at_least.unwrap_or_default());
                self.board.namespaces.add_after(namespace.clone(), wait);
            }
        }
    }

    async fn serve(&self, job: &Job<Arc<str>>) -> Next {
        let namespace = &job.key;
        trace!(%namespace, "looked at");
        for _ in 0..ROUNDS {
            let snapshot = self.board.snapshot();
            let Some(plan) = self.board.index.read(namespace, |view| plan::namespace(view, &snapshot)) else {
                self.board.record(namespace, &[]);
                return Next::Settled;
            };
            self.board.look_again_after(&snapshot, namespace);
            if let Some(served) = plan.served {
                self.board.index.set_served(namespace, served);
            }
            if plan.changes.is_empty() {
                self.board.record(namespace, &plan.standings);
                return Next::Settled;
            }
            if self.dry_run {
                let why = Failure::new(Reason::DryRun, plan::change::describe(&plan.changes));
                self.board.record(namespace, &refused(plan, &why));
                return Next::Settled;
            }
            let (changes, left_alone) = self.split(namespace, &plan);
            let outcomes = join_all(changes.iter().map(|change| self.applier.apply(namespace, change))).await;
            let failures = self.take_in(job, &changes, outcomes);
            if !failures.is_empty() {
                return self.fail(namespace, failures);
            }
            if let (true, Some((object, until))) = (changes.is_empty(), left_alone) {
                return self.step_back(namespace, plan, object, until).await;
            }
        }
        warn!(%namespace, "the namespace keeps changing under our hands; looking again later");
        Next::Again { first: Duration::from_secs(1), most: Duration::from_secs(60), at_least: None }
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
            self.rivals.quiet_until(&object).map(|until| (object, until))
        };
        let changes = plan.changes.iter().filter(|change| match quiet(change) {
            Some(quiet) => {
                left_alone = Some(quiet);
                false
            }
            None => true,
        });
        (changes.collect(), left_alone)
    }

    /// Says who writes the object too, and looks again when it has been left alone for long enough.
    async fn step_back(&self, namespace: &Arc<str>, plan: Plan, object: Object, until: Timestamp) -> Next {
        let failure = match self.rivals.told(&object, until) {
            Some(failure) => failure,
            None => {
                let failure = self.contended(namespace, object.service_account.as_deref()).await;
                self.rivals.tell(object, until, failure.clone());
                failure
            }
        };
        self.board.record(namespace, &refused(plan, &failure));
        let wait = clock::until(until, clock::now());
        Next::Again { first: wait, most: wait, at_least: Some(wait) }
    }

    async fn contended(&self, namespace: &str, service_account: Option<&str>) -> Failure {
        let writer = self.applier.last_writer(namespace, service_account).await;
        let what = match service_account {
            Some(name) => format!("imagePullSecrets of the ServiceAccount {namespace}/{name}"),
            None => format!("the Secret {namespace}/{}", self.board.template().name),
        };
        let message = format!(
            "{what} is written again and again by {writer}; it is left alone for a while: stop that writer, or have it \
             keep our part"
        );
        warn!(%namespace, message, "contended");
        Failure::new(Reason::Contended, message)
    }

    /// Counts what became of the changes, and returns those that failed.
    fn take_in(
        &self,
        job: &Job<Arc<str>>,
        changes: &[&Change],
        outcomes: Vec<Outcome>,
    ) -> Vec<(Change, CallError)> {
        let mut failures = Vec::new();
        for (&change, outcome) in changes.iter().zip(outcomes) {
            self.metrics.count_change(change, &outcome);
            // What a rival undoes comes back by an event. A fill or a refresh of thousands is not remembered for it.
            if job.is_urgent()
                && let (Outcome::Done, Some(object)) = (&outcome, Object::of(&job.key, change))
            {
                self.rivals.wrote(object);
            }
            match (&outcome, change) {
                (Outcome::Done, Change::SetPullSecrets { service_account, .. }) => {
                    self.metrics.attach_duration.observe(job.since.elapsed().as_secs_f64());
                    debug!(namespace = %job.key, %service_account, "imagePullSecrets written");
                }
                (Outcome::Done, change) => {
                    info!(namespace = %job.key, change = label(change), "Secret written")
                }
                (Outcome::Stale, change) => {
                    debug!(namespace = %job.key, change = label(change), "stale, planning again")
                }
                (Outcome::Failed(error), change) => failures.push((change.clone(), error.clone())),
            }
        }
        failures
    }

    fn fail(&self, namespace: &Arc<str>, failures: Vec<(Change, CallError)>) -> Next {
        let (mut first, mut most) = (Duration::from_millis(500), Duration::from_secs(60));
        let mut at_least = None;
        let mut why = None;
        for (change, error) in failures {
            let failure = match error {
                // Everything in it goes by itself.
                CallError::Terminating | CallError::NotFound | CallError::Conflict => continue,
                CallError::Quota(message) => {
                    (first, most) = (Duration::from_secs(5), Duration::from_secs(300));
                    Failure::new(
                        Reason::QuotaExceeded,
                        format!("{message}: raise the quota for secrets, or cover the namespace no more"),
                    )
                }
                CallError::Forbidden(message) => {
                    (first, most) = (Duration::from_secs(5), Duration::from_secs(300));
                    Failure::new(
                        Reason::Forbidden,
                        format!("{message}: apply the RBAC and policies of this version"),
                    )
                }
                CallError::Invalid(message) => {
                    (first, most) = (Duration::from_secs(5), Duration::from_secs(300));
                    Failure::new(Reason::WriteFailing, message)
                }
                CallError::Later(message, wait) => {
                    at_least = at_least.max(wait);
                    Failure::new(Reason::WriteFailing, message)
                }
            };
            warn!(%namespace, change = label(&change), reason = %failure.reason, message = %failure.message, "write failed");
            if matches!(change, Change::CreateSecret { .. }) && failure.reason.needs_human() {
                self.board.index.set_refused(namespace, Some(failure.clone()));
            }
            why = Some(failure);
        }
        let snapshot = self.board.snapshot();
        let plan =
            self.board.index.read(namespace, |view| plan::namespace(view, &snapshot)).unwrap_or_default();
        match why {
            Some(why) => self.board.record(namespace, &refused(plan, &why)),
            None => self.board.record(namespace, &plan.standings),
        }
        Next::Again { first, most, at_least }
    }
}

/// What stands, where what was planned is not to be had.
fn refused(plan: Plan, why: &Failure) -> Vec<Standing> {
    let mut standings = plan.standings;
    for standing in &mut standings {
        standing.secret = Err(why.clone());
    }
    standings
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
