//! The plan of one namespace: what to write now, what rests and until when, and what to report.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::change::{Change, ObjectKey};
use super::conflict::{Conflict, ConflictKind};
use super::desired::{self, Site};
use super::duty::{Duty, NamespaceCoverage};
use super::failure::Failure;
use super::notice::Notice;
use super::record::{NamespaceRecord, Rest};
use super::secret::{DomainConflict, SecretContent, TooLarge};
use super::snapshot::Snapshot;
use super::view::NamespaceView;
use super::withdrawal_guard::{RELABEL_WINDOW, Retained};
use crate::api::Reason;

/// What to do in one namespace.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Writes that are due, and may go side by side. Those that must follow them are in the next plan.
    pub changes: Vec<Change>,
    /// The state before the changes, one for each binding that matters here.
    pub results: Vec<NamespaceResult>,
    /// When to plan again, if nothing happens before.
    pub retry_at: Option<Timestamp>,
    /// Conflicts with other writers to identify before the changes are made: afterwards the last writer is this
    /// process.
    pub conflicts: Vec<Conflict>,
    /// Whether writes are wanted that rest for now.
    pub is_resting: bool,
    /// Notices to give before the changes are made.
    pub notices: Vec<Notice>,
    /// Whether the hosts in another owner's Secret are to be read first: a report or a notice names them.
    pub reads_foreign: bool,
    /// Objects to read first: a write of them had no answer, and what it made is to be taken out.
    pub reads: Vec<ObjectKey>,
}

impl Plan {
    /// Returns whether nothing is left to write, now or later.
    pub fn is_settled(&self) -> bool {
        self.changes.is_empty() && !self.is_resting
    }
}

/// The state of one namespace for one binding.
#[derive(Clone, Debug)]
pub struct NamespaceResult {
    /// The binding.
    pub binding: Arc<str>,
    /// Whether the Secret holds everything that is wanted; if not, why.
    pub secret: Result<(), Failure>,
    /// Domains that a registry claims and does not get.
    pub domain_conflicts: Arc<[DomainConflict]>,
    /// Number of ServiceAccounts that it covers.
    pub matched: u32,
    /// Number of those that carry our entry.
    pub bound: u32,
    /// Number of those whose entry rests, since another writer keeps removing it.
    pub contended: u32,
    /// Number of ServiceAccounts that it selects and that opt out.
    pub opted_out: u32,
    /// Why one of its ServiceAccounts has no entry, if the write fails.
    pub unattached: Option<Failure>,
    /// The report on a writer that reverts our writes here, if one does.
    pub contention: Option<Failure>,
}

/// Plans one namespace. `retained` are the bindings whose part stays, though they no longer cover it.
///
/// # Guarantees
/// - Without changes in the cluster, applying the plan and planning again gives no change.
/// - ServiceAccounts are attached whether or not the Secret exists, and detached before it is deleted.
/// - A Secret of our name that is not ours is left alone, and so are the entries beside it.
/// - A write that failed, or that another writer keeps reverting, rests alone: the others go on.
pub fn namespace(
    record: &NamespaceRecord,
    snapshot: &Snapshot,
    retained: &[Retained],
    now: Timestamp,
) -> Plan {
    match NamespaceCoverage::of(&record.view, snapshot, retained) {
        Some(coverage) => plan(record, snapshot, &NamespaceRound::of(record, snapshot, coverage, now)),
        None => Plan::default(),
    }
}

/// Observes which bindings matter in a namespace: whether this process serves it, and whether it waits for the API
/// server. Then plans it.
pub fn round(
    record: &mut NamespaceRecord,
    snapshot: &Snapshot,
    retained: &[Retained],
    now: Timestamp,
) -> Plan {
    match observed(record, snapshot, retained, now) {
        Some(round) => plan(record, snapshot, &round),
        None => Plan::default(),
    }
}

/// Returns why a Secret that looks like ours would stay although nothing is to be served, if one would.
pub fn left_alone(record: &NamespaceRecord, snapshot: &Snapshot) -> Option<&'static str> {
    let coverage = NamespaceCoverage::of(&record.view, snapshot, &[])?;
    desired::left_alone(record, &coverage)
}

/// One round of a namespace: what its plan follows from.
struct NamespaceRound<'a> {
    coverage: NamespaceCoverage<'a>,
    content: Arc<SecretContent>,
    duty: Duty,
    /// The withdrawal, where that is the duty.
    withdrawal: Vec<Change>,
    /// Whether the duty was found where this process serves nothing.
    unserved: bool,
    now: Timestamp,
}

impl<'a> NamespaceRound<'a> {
    fn of(
        record: &NamespaceRecord,
        snapshot: &Snapshot,
        coverage: NamespaceCoverage<'a>,
        now: Timestamp,
    ) -> Self {
        // The process before this one served what a status names: no binding has gone with its definition there.
        let duty = Duty::of(&coverage, snapshot, record.served || record.reported, now);
        let withdrawal = match duty {
            Duty::Withdraw => desired::withdraw(record, snapshot, &coverage),
            _ => Vec::new(),
        };
        let content = snapshot.content(&coverage.filling);
        Self { coverage, content, duty, withdrawal, unserved: !record.served, now }
    }

    fn site<'b>(&'b self, record: &'b NamespaceRecord, snapshot: &'b Snapshot) -> Site<'b> {
        Site { record, snapshot, coverage: &self.coverage, content: &self.content, now: self.now }
    }
}

fn observed<'a>(
    record: &mut NamespaceRecord,
    snapshot: &Snapshot,
    retained: &'a [Retained],
    now: Timestamp,
) -> Option<NamespaceRound<'a>> {
    record.awaits_admission = snapshot.awaits_admission();
    let coverage = NamespaceCoverage::of_record(record, snapshot, retained)?;
    let round = NamespaceRound::of(record, snapshot, coverage, now);
    let served = match round.duty {
        Duty::Serve => record.served || !round.site(record, snapshot).may_be_unclaimed(),
        // A binding that comes back finds the objects again.
        Duty::Abandon | Duty::Retain => false,
        // Objects that others create here afterwards are theirs.
        Duty::Withdraw => record.served && (!round.withdrawal.is_empty() || record.awaits_writes()),
        Duty::RenewOnly | Duty::Leave => record.served,
    };
    record.served = served;
    record.reported &= round.duty != Duty::Withdraw || !round.withdrawal.is_empty() || record.awaits_writes();
    record.held_secret |= round.duty == Duty::Serve && record.view.secret.as_ref().is_some_and(|s| s.ours);
    Some(round)
}

fn plan(record: &NamespaceRecord, snapshot: &Snapshot, round: &NamespaceRound<'_>) -> Plan {
    let (site, now) = (round.site(record, snapshot), round.now);
    let mut results = Vec::new();
    let (mut notices, mut reads_foreign) = (Vec::new(), false);
    let changes = match round.duty {
        Duty::Serve => {
            let served = site.serve();
            results.extend(served_results(&site, &served.secret));
            notices.extend(site.notices(&served.changes));
            reads_foreign = site.reads_foreign();
            served.changes
        }
        Duty::RenewOnly => site.renew().into_iter().collect(),
        Duty::Leave | Duty::Abandon => Vec::new(),
        Duty::Retain => desired::retain(&record.view).into_iter().collect(),
        Duty::Withdraw => {
            let leftover = round.unserved && !round.coverage.skip && round.coverage.leaving().is_empty();
            notices.extend(leftover.then(|| site.leftover(&round.withdrawal)).flatten());
            round.withdrawal.clone()
        }
    };
    // What is served is compared with what is wanted in any case.
    let is_unclear = matches!(round.duty, Duty::Withdraw) && !record.unclear.is_empty();
    results.extend(other_results(&site, !changes.is_empty() || record.is_writing || is_unclear));
    let mut plan = schedule(record, snapshot, changes, now);
    results.iter_mut().for_each(|result| plan.report(&site, result));
    if let Some((failure, over_at)) = record.contention(snapshot.secret_name(), now) {
        results.iter_mut().for_each(|result| result.contention = Some(failure.clone()));
        plan.retry_at.push(later(over_at, Duration::from_secs(1)));
    }
    if round.coverage.awaits_relabelling {
        plan.retry_at.push(now.checked_add(RELABEL_WINDOW).unwrap_or(Timestamp::MAX));
    }
    let mut reads = Vec::new();
    if is_unclear && plan.due.is_empty() && !record.is_writing {
        reads = record.unclear.due(now);
        plan.is_resting = true;
        plan.retry_at.extend(record.unclear.next());
    }
    notices.retain(|notice| record.notices.lack(notice));
    Plan {
        changes: plan.due,
        results,
        retry_at: plan.retry_at.into_iter().min(),
        conflicts: plan.conflicts,
        is_resting: plan.is_resting,
        notices,
        reads_foreign,
        reads,
    }
}

/// Results of the bindings that are served.
fn served_results(site: &Site<'_>, secret: &Result<(), Failure>) -> Vec<NamespaceResult> {
    let result = |&index: &usize| {
        let resolved = site.snapshot.resolved(index);
        let left_out = |large: &&TooLarge| large.leaves_out(&resolved.binding.name);
        let secret = match (site.content.too_large.as_ref().filter(left_out), secret) {
            (Some(large), _) => Err(Failure::new(Reason::SecretTooLarge, large.why.as_str())),
            (None, Ok(())) if resolved.keeps_entries => Err(Failure::new(
                Reason::CoverageLost,
                "the binding no longer covers a ServiceAccount; the withdrawal is held",
            )),
            (None, secret) => secret.clone(),
        };
        let domain_conflicts = site.content.domain_conflicts.clone();
        NamespaceResult { secret, domain_conflicts, ..result(&site.record.view, site.snapshot, index) }
    };
    site.coverage.active.iter().map(result).collect()
}

/// Results of the bindings that are not served: suspended, held or leaving.
fn other_results(site: &Site<'_>, changes: bool) -> Vec<NamespaceResult> {
    let Site { record, snapshot, coverage, .. } = site;
    let suspended = coverage.suspended.iter().map(|&i| (i, Reason::Suspended, "the binding is suspended"));
    let held = coverage.retained.iter().filter(|(_, retained)| retained.held);
    let held = held
        .map(|&(i, _)| (i, Reason::CoverageLost, "no longer covered by the binding; the withdrawal is held"));
    let leaving = coverage.leaving();
    let leaving = leaving.iter().chain(&coverage.abandoning);
    let leaving = leaving.map(|&i| (i, Reason::Withdrawing, "the binding is being deleted"));
    // While coverage is unknown nothing is withdrawn, and so no binding may go.
    let unknown = coverage.active.is_empty() && snapshot.keeps_all();
    let result = |(index, reason, message)| {
        let result = result(&record.view, snapshot, index);
        if changes || reason != Reason::Withdrawing || unknown {
            return NamespaceResult { secret: Err(Failure::new(reason, message)), ..result };
        }
        result
    };
    suspended.chain(held).chain(leaving).map(result).collect()
}

fn result(view: &NamespaceView, snapshot: &Snapshot, index: usize) -> NamespaceResult {
    let binding = &snapshot.resolved(index).binding;
    let (mut matched, mut bound, mut opted_out) = (0, 0, 0);
    for account in &view.service_accounts {
        if !binding.service_accounts.covers(&account.name, &account.labels) {
            continue;
        }
        if account.skip {
            opted_out += 1;
        } else {
            matched += 1;
            bound += u32::from(account.pull_secrets.iter().any(|name| **name == *snapshot.secret_name()));
        }
    }
    NamespaceResult {
        binding: binding.name.clone(),
        secret: Ok(()),
        domain_conflicts: Arc::from([]),
        matched,
        bound,
        contended: 0,
        opted_out,
        unattached: None,
        contention: None,
    }
}

/// The wanted writes, by when they are due.
#[derive(Default)]
struct Schedule {
    due: Vec<Change>,
    is_resting: bool,
    retry_at: Vec<Timestamp>,
    /// Why nothing is due, where writes rest: the Secret's failure, and that of each ServiceAccount.
    secret: Option<Failure>,
    accounts: Vec<(Box<str>, Failure)>,
    /// ServiceAccounts whose entry another writer keeps removing.
    contended: Vec<Box<str>>,
    conflicts: Vec<Conflict>,
}

impl Schedule {
    /// Adds the failures of writes that rest to a binding's result. The Secret of a namespace is ready, whether or not
    /// one of its ServiceAccounts is refused.
    fn report(&self, site: &Site<'_>, result: &mut NamespaceResult) {
        if let Some(failure) = &self.secret {
            result.secret = Err(failure.clone());
        }
        let Some(position) = site.snapshot.index_of(&result.binding) else { return };
        let covered = &site.snapshot.resolved(position).binding.service_accounts;
        let accounts = &site.record.view.service_accounts;
        let is_covered = |name: &str| {
            let account = accounts.iter().find(|account| *account.name == *name);
            account.is_some_and(|account| covered.covers(&account.name, &account.labels))
        };
        let contended = self.contended.iter().filter(|name| is_covered(name)).count();
        result.contended = u32::try_from(contended).unwrap_or(u32::MAX);
        let failure = self.accounts.iter().find(|(name, _)| is_covered(name)).map(|(_, failure)| failure);
        match &result.secret {
            // An entry that cannot be removed holds the binding back.
            Err(why) if why.reason == Reason::Withdrawing => {
                if let Some((_, failure)) = self.accounts.first() {
                    result.secret = Err(failure.clone());
                }
            }
            _ => result.unattached = failure.cloned(),
        }
    }
}

fn schedule(record: &NamespaceRecord, snapshot: &Snapshot, changes: Vec<Change>, now: Timestamp) -> Schedule {
    let mut schedule = Schedule::default();
    let mut resting = Vec::new();
    for change in changes {
        let Some(rest) = record.rest(&change, snapshot.secret_name(), now) else {
            let since = record.unreported_since(&change, snapshot.secret_name(), now);
            let since = since.filter(|_| change.may_repair());
            let conflict = since
                .map(|since| Conflict::of(&change, snapshot.secret_name(), ConflictKind::Reverted { since }));
            schedule.conflicts.extend(conflict);
            schedule.due.push(change);
            continue;
        };
        schedule.is_resting = true;
        if let (Rest::Contended { .. }, ObjectKey::ServiceAccount(name)) = (&rest, change.object()) {
            schedule.contended.push(name);
        }
        schedule.retry_at.push(rest.until());
        resting.push((change, rest));
    }
    if !schedule.due.is_empty() {
        return schedule;
    }
    let (refused, mut contended) = (record.refusal().is_some(), false);
    for (change, rest) in resting {
        let failure = match rest {
            Rest::Contended { failure, until } => {
                // One writer is identified: that takes a request.
                if failure.is_none() && !contended {
                    let kind = ConflictKind::LeftAlone { until };
                    schedule.conflicts.push(Conflict::of(&change, snapshot.secret_name(), kind));
                }
                contended = true;
                failure.cloned()
            }
            // A refused Secret is in the results of its bindings already.
            Rest::Failed { .. } | Rest::Deleted { .. } if refused && change.object() == ObjectKey::Secret => {
                None
            }
            Rest::Failed { failure, .. } => failure.cloned(),
            Rest::Deleted { failure, .. } => Some(failure),
        };
        match (change.object(), failure) {
            (ObjectKey::Secret, failure) => schedule.secret = schedule.secret.or(failure),
            (ObjectKey::ServiceAccount(name), Some(failure)) => schedule.accounts.push((name, failure)),
            (ObjectKey::ServiceAccount(_), None) => {}
        }
    }
    schedule
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
