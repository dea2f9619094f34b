//! The record of one namespace: what is observed in it, and what this process tried there.

mod write_result;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

pub use self::write_result::{Rest, WriteResult};
use super::adoption::ForeignHosts;
use super::change::{Change, ObjectKey, WriteKey};
use super::deletions::Deletions;
use super::failure::Failure;
use super::notice::GivenNotices;
use super::refresh::backoff;
use super::refusal::says_the_same;
use super::secret::Fingerprint;
use super::selections::CachedCoverage;
use super::unclear_writes::UnclearWrites;
use super::view::{NamespaceView, Provenance, SecretView};
use super::write_history::{FORGOTTEN, WriteHistory, after, is_ahead};
use crate::api::Reason;

/// Bounds of the back-off after a refusal that only a human can remove.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Bounds of the back-off after any other failure.
const FAILED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Objects of one namespace whose repairs are remembered. Failed writes are remembered for each object that exists.
const REMEMBERED: usize = 256;

/// Bounds of the back-off of a namespace that changes faster than it is written.
const UNSETTLED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// One namespace.
#[derive(Clone, Debug)]
pub struct NamespaceRecord {
    /// The objects in it.
    pub view: NamespaceView,
    /// The bindings that cover it, as they were last computed.
    pub coverage: CachedCoverage,
    /// Whether this process serves it. An entry of our name is ours then, even without a Secret.
    pub served: bool,
    /// Whether a binding's status named it when this process started: what looks like ours here is ours.
    pub reported: bool,
    /// The registry hosts in a Secret of another owner, once they were read.
    pub foreign: Option<Box<ForeignHosts>>,
    /// The notices that its users got.
    pub notices: GivenNotices,
    /// Whether our Secret was in place here, so that a missing one was deleted by another.
    pub(super) held_secret: bool,
    /// Whether writes of this process are under way here. What they make is ours, too.
    pub is_writing: bool,
    /// The objects that may hold what a write without an answer made. That is ours, too.
    pub unclear: UnclearWrites,
    /// Whether the namespace or a ServiceAccount in it is new since it was last queued.
    pub has_newcomer: bool,
    /// Whether it was planned while the API server could still add entries that are not wanted.
    pub awaits_admission: bool,
    /// The content of the Secret as this process last wrote it.
    written: Option<Fingerprint>,
    /// Times in a row that it kept changing while it was written.
    unsettled: u32,
    /// The writes of each object that has any to remember, boxed: a map reserves room for eleven.
    writes: BTreeMap<ObjectKey, Box<ObjectRecord>>,
}

/// The writes of one object.
#[derive(Clone, Debug, Default)]
struct ObjectRecord {
    failed: Option<FailedWrite>,
    history: WriteHistory,
    /// The list of a ServiceAccount as it was last written.
    list: Box<[Box<str>]>,
    deletions: Deletions,
    left_alone: Option<LeftAlone>,
    /// The report on a writer that reverts each of our writes.
    reverted: Option<Failure>,
}

impl ObjectRecord {
    /// Returns the earlier failure in place of one that says the same, apart from times and identifiers: a status is not
    /// written again for those.
    fn first_of_run(&self, failure: Failure) -> Failure {
        let earlier = self.failed.as_ref().and_then(|failed| failed.failure.as_ref());
        // The figures of a quota are what its reader needs.
        let same = |earlier: &&Failure| {
            earlier.reason == failure.reason
                && failure.reason != Reason::QuotaExceeded
                && says_the_same(&earlier.message, &failure.message)
        };
        earlier.filter(same).cloned().unwrap_or(failure)
    }
}

/// The report on an object that is left alone.
#[derive(Clone, Debug)]
struct LeftAlone {
    /// It names the writer as of this wait: after it, another may have followed.
    until: Timestamp,
    failure: Failure,
}

/// The last write, which failed.
#[derive(Clone, Debug)]
struct FailedWrite {
    write: WriteKey,
    /// Failures in a row.
    attempts: u32,
    retry_at: Timestamp,
    failure: Option<Failure>,
    /// Whether only a human can remove the cause.
    refused: bool,
}

impl NamespaceRecord {
    /// Returns the record of a namespace in which nothing was tried.
    pub fn new(view: NamespaceView) -> Self {
        Self {
            view,
            coverage: CachedCoverage::default(),
            served: false,
            reported: false,
            foreign: None,
            notices: GivenNotices::default(),
            held_secret: false,
            is_writing: false,
            unclear: UnclearWrites::default(),
            has_newcomer: false,
            awaits_admission: false,
            written: None,
            unsettled: 0,
            writes: BTreeMap::new(),
        }
    }

    /// Returns whether the Secret was changed since this process wrote it.
    pub fn is_reverted(&self, found: &SecretView) -> bool {
        let copied = found.provenance == Provenance::Elsewhere;
        self.written.is_some_and(|written| written != found.fingerprint || copied)
    }

    /// Returns why the API server refuses a Secret here, if it does.
    pub fn refusal(&self) -> Option<&Failure> {
        let failed = self.writes.get(&ObjectKey::Secret)?.failed.as_ref()?;
        failed.failure.as_ref().filter(|_| failed.refuses_create())
    }

    /// Returns why and until when a change rests, if it does.
    pub fn rest(&self, change: &Change, secret: &str, now: Timestamp) -> Option<Rest<'_>> {
        let record = self.writes.get(&change.object())?;
        let creates = matches!(change, Change::CreateSecret { .. });
        if let Some(until) = record.deletions.quiet_until(now).filter(|_| creates) {
            let failure = record.deletions.rest(&self.place(secret), until);
            return Some(Rest::Deleted { until, failure });
        }
        let contended = !matches!(change, Change::RetainSecret { .. } | Change::DeleteSecret { .. });
        if let Some(until) = record.history.quiet_until(now).filter(|_| contended) {
            let known = record.left_alone.as_ref().filter(|report| report.until == until);
            return Some(Rest::Contended { until, failure: known.map(|report| &report.failure) });
        }
        let failed = record.failed.as_ref().filter(|failed| is_ahead(failed.retry_at, now))?;
        // A full quota stays full, whichever content is tried.
        let same = failed.write == change.key()
            || (failed.refuses_create() && matches!(change, Change::CreateSecret { .. }));
        same.then_some(Rest::Failed { until: failed.retry_at, failure: failed.failure.as_ref() })
    }

    /// Returns when the writes of an object began, if this one is the first to report and it is not reported yet. Our own
    /// entry that is taken out, or is added again, was not written by another: the coverage changed.
    pub fn unreported_since(&self, change: &Change, secret: &str, now: Timestamp) -> Option<Timestamp> {
        let record = self.writes.get(&change.object()).filter(|record| record.reverted.is_none())?;
        let names_it = |list: &[Box<str>]| list.iter().any(|name| **name == *secret);
        let repeats = match change {
            Change::SetPullSecrets { pull_secrets, .. } => names_it(&record.list) == names_it(pull_secrets),
            _ => true,
        };
        record.history.reports_from(now).filter(|_| repeats)
    }

    /// Returns the report on a writer that reverts our writes or deletes our Secret, and when it is over.
    pub fn contention(&self, secret: &str, now: Timestamp) -> Option<(Failure, Timestamp)> {
        self.writes.values().find_map(|record| {
            let over_at = record.history.over_at().filter(|_| !record.history.is_over(now));
            let reverted = record.reverted.clone().zip(over_at);
            reverted.or_else(|| record.deletions.report(&self.place(secret), now))
        })
    }

    fn place(&self, secret: &str) -> String {
        format!("{}/{secret}", self.view.name)
    }

    /// Records the result of a write. `event`: it answers to an event, rather than to a round over many namespaces.
    pub fn record_write(&mut self, change: &Change, result: WriteResult, event: bool, now: Timestamp) {
        let name = self.view.name.clone();
        let object = change.object();
        if matches!(change, Change::ReplaceSecret { .. }) && self.view.secret.is_none() {
            // Deleted by this process, and not created again yet.
            self.held_secret = false;
        }
        // Reverted writes come back as events. A fill or a refresh of thousands is not remembered for it.
        // A conflict wrote nothing: who changes an object between our read and our write reverts nothing of ours.
        let is_over = result == WriteResult::Done;
        if event && is_over && matches!(change, Change::CreateSecret { .. }) {
            if self.held_secret {
                self.writes.entry(object.clone()).or_default().deletions.answered(now, &name);
            }
        } else if event && is_over && change.may_repair() && self.exists(&object) {
            let record = self.writes.entry(object.clone()).or_default();
            if record.history.is_over(now) {
                record.reverted = None;
            }
            record.history.wrote(now, &name);
            self.bound_memory();
        }
        // Also where it answers to no event: the next write is compared with it.
        if let Change::SetPullSecrets { pull_secrets, .. } = change
            && is_over
            && let Some(record) = self.writes.get_mut(&object)
        {
            record.list = pull_secrets.as_slice().into();
        }
        if matches!(result, WriteResult::Done | WriteResult::Stale) {
            self.unclear.remove(&object);
        } else if matches!(result, WriteResult::Unanswered(_)) && self.exists(&object) {
            self.unclear.add(object.clone(), now);
        }
        let (failure, refused, at_least) = match result {
            WriteResult::Done => {
                if let Some(content) = change.content() {
                    self.written = Some(content.fingerprint);
                }
                self.held_secret &= !matches!(change, Change::DeleteSecret { .. });
                self.writes.get_mut(&object).into_iter().for_each(|record| record.failed = None);
                return;
            }
            WriteResult::Stale => return,
            WriteResult::Gone => (None, false, None),
            WriteResult::Refused(failure) => (Some(failure), true, None),
            WriteResult::Unanswered(failure) => (Some(failure), false, None),
            WriteResult::Failed { failure, at_least } => (Some(failure), false, at_least),
        };
        if !self.exists(&object) {
            return;
        }
        let record = self.writes.entry(object).or_default();
        let failure = failure.map(|failure| record.first_of_run(failure));
        let attempts = record.failed.as_ref().map_or(0, |failed| failed.attempts).saturating_add(1);
        let (first, most) = if refused { REFUSED } else { FAILED };
        let wait = backoff(attempts, first, most, &name).max(at_least.unwrap_or_default());
        let retry_at = after(now, wait);
        record.failed = Some(FailedWrite { write: change.key(), attempts, retry_at, failure, refused });
    }

    /// Returns whether writes of this process may still change something here.
    pub fn awaits_writes(&self) -> bool {
        self.is_writing || !self.unclear.is_empty()
    }

    /// Returns whether an object exists, as far as it is known, or is ours to create. A ServiceAccount may be deleted while
    /// it is written.
    fn exists(&self, object: &ObjectKey) -> bool {
        let Some(name) = object.service_account() else { return true };
        self.view.service_accounts.binary_search_by(|account| (*account.name).cmp(name)).is_ok()
    }

    /// Forgets the repairs of one object where too many are remembered: of one that was written the fewest times, and of
    /// those the one that rested for longest.
    fn bound_memory(&mut self) {
        if self.writes.len() <= REMEMBERED {
            return;
        }
        let forgettable = self.writes.iter().filter(|(_, record)| record.failed.is_none());
        let first = forgettable.min_by_key(|(_, record)| (record.history.count(), record.history.last()));
        if let Some(object) = first.map(|(object, _)| object.clone()) {
            self.writes.remove(&object);
        }
    }

    /// Returns how often the write of an object failed in a row.
    pub fn attempts(&self, object: &ObjectKey) -> u32 {
        let failed = self.writes.get(object).and_then(|record| record.failed.as_ref());
        failed.map_or(0, |failed| failed.attempts)
    }

    /// Lets a write rest for as long as that of another object, which was not answered: this one was not tried.
    pub fn postpone(&mut self, change: &Change, unanswered: &ObjectKey) {
        let failed = self.writes.get(unanswered).and_then(|record| record.failed.as_ref());
        let Some((retry_at, failure)) = failed.map(|failed| (failed.retry_at, failed.failure.clone())) else {
            return;
        };
        let attempts = self.attempts(&change.object());
        let failed = FailedWrite { write: change.key(), attempts, retry_at, failure, refused: false };
        self.writes.entry(change.object()).or_default().failed = Some(failed);
    }

    /// Records the report on an object that is left alone until then.
    pub fn report_left_alone(&mut self, object: ObjectKey, until: Timestamp, failure: Failure) {
        self.writes.entry(object).or_default().left_alone = Some(LeftAlone { until, failure });
    }

    /// Records the report on a writer that reverts each of our writes.
    pub fn report_reverted(&mut self, object: ObjectKey, failure: Failure) {
        self.writes.entry(object).or_default().reverted = Some(failure);
    }

    /// Forgets the writes of an object that is gone or was created again.
    pub fn forget(&mut self, object: &ObjectKey) {
        self.writes.remove(object);
        self.unclear.remove(object);
    }

    /// Forgets the writes of ServiceAccounts that are gone.
    pub fn forget_missing(&mut self) {
        let accounts = &self.view.service_accounts;
        let exists = |object: &ObjectKey| {
            let name = object.service_account();
            name.is_none_or(|name| accounts.iter().any(|account| *account.name == *name))
        };
        self.writes.retain(|object, _| exists(object));
        self.unclear.retain(exists);
    }

    /// Forgets everything that was tried: a namespace of the same name is another one.
    pub fn reset(&mut self) {
        let view = std::mem::replace(&mut self.view, NamespaceView::new("".into()));
        *self = Self::new(view);
    }

    /// Forgets a refused create: a Secret exists now.
    pub fn forget_refusal(&mut self) {
        if let Some(record) = self.writes.get_mut(&ObjectKey::Secret) {
            record.failed = record.failed.take().filter(|failed| !failed.is_create());
        }
    }

    /// Forgets failures: nothing is left to write.
    pub fn settle(&mut self) {
        self.unsettled = 0;
        self.writes.values_mut().for_each(|record| record.failed = None);
    }

    /// Forgets writes that are over, so that their memory does not grow.
    pub fn sweep(&mut self, now: Timestamp) {
        self.writes.retain(|_, record| {
            let failing = record.failed.as_ref().is_some_and(|f| now.duration_since(f.retry_at) <= FORGOTTEN);
            failing || !record.history.is_over(now) || !record.deletions.is_over(now)
        });
    }

    /// Records that it changed faster than it was written. Returns when to continue.
    pub fn record_unsettled(&mut self, now: Timestamp) -> Timestamp {
        self.unsettled = self.unsettled.saturating_add(1);
        let (first, most) = UNSETTLED;
        after(now, backoff(self.unsettled, first, most, &self.view.name))
    }

    /// Returns the name of the namespace.
    pub fn name(&self) -> &Arc<str> {
        &self.view.name
    }
}

impl FailedWrite {
    fn refuses_create(&self) -> bool {
        let needs_human = self.failure.as_ref().is_some_and(|failure| failure.reason.needs_human());
        self.refused && self.is_create() && needs_human
    }

    fn is_create(&self) -> bool {
        matches!(self.write, WriteKey::Create(_))
    }
}

#[cfg(test)]
mod tests;
