//! The plan of one namespace: what to write now, what rests and until when, and what to report.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::change::Change;
use super::conflict::{Conflict, ConflictKind};
use super::desired::{self, Site};
use super::duty::{Duty, NamespaceCoverage};
use super::failure::Failure;
use super::record::{NamespaceRecord, Rest};
use super::secret::{DomainConflict, TooLarge};
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
    let Some(coverage) = NamespaceCoverage::of(&record.view, snapshot, retained) else {
        return Plan::default();
    };
    let duty = Duty::of(&coverage, snapshot, record.served, now);
    let content = snapshot.content(&coverage.filling);
    let site = Site { record, snapshot, coverage: &coverage, content: &content, now };
    let mut results = Vec::new();
    let changes = match duty {
        Duty::Serve => {
            let served = site.serve();
            results.extend(served_results(&site, &served.secret));
            served.changes
        }
        Duty::RenewOnly => site.renew().into_iter().collect(),
        Duty::Leave | Duty::Abandon => Vec::new(),
        Duty::Retain => desired::retain(&record.view).into_iter().collect(),
        Duty::Withdraw => desired::withdraw(record, snapshot, &coverage),
    };
    results.extend(other_results(&site, !changes.is_empty()));
    let mut plan = schedule(record, snapshot, changes, now);
    if let Some(failure) = plan.failure {
        results.iter_mut().for_each(|result| result.secret = Err(failure.clone()));
    }
    if let Some((failure, over_at)) = record.contention(now) {
        results.iter_mut().for_each(|result| result.contention = Some(failure.clone()));
        plan.retry_at.push(later(over_at, Duration::from_secs(1)));
    }
    if retained.iter().any(|retained| !retained.held) {
        plan.retry_at.push(now.checked_add(RELABEL_WINDOW).unwrap_or(Timestamp::MAX));
    }
    Plan {
        changes: plan.due,
        results,
        retry_at: plan.retry_at.into_iter().min(),
        conflicts: plan.conflicts,
        is_resting: plan.is_resting,
    }
}

/// Observes which bindings matter in a namespace: whether this process serves it, and whether it waits for the API
/// server.
pub fn observe(record: &mut NamespaceRecord, snapshot: &Snapshot, retained: &[Retained], now: Timestamp) {
    record.awaits_admission = snapshot.awaits_admission();
    let Some(coverage) = NamespaceCoverage::of(&record.view, snapshot, retained) else { return };
    let served = match Duty::of(&coverage, snapshot, record.served, now) {
        Duty::Serve => {
            let content = snapshot.content(&coverage.filling);
            let site = Site { record, snapshot, coverage: &coverage, content: &content, now };
            record.served || !site.may_be_unclaimed()
        }
        // A binding that comes back finds the objects again.
        Duty::Abandon | Duty::Retain => false,
        // Objects that others create here afterwards are theirs.
        Duty::Withdraw => record.served && !desired::withdraw(record, snapshot, &coverage).is_empty(),
        Duty::RenewOnly | Duty::Leave => record.served,
    };
    record.served = served;
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
    let (mut matched, mut bound) = (0, 0);
    for account in &view.service_accounts {
        if !account.skip && binding.service_accounts.covers(&account.name, &account.labels) {
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
        contention: None,
    }
}

/// The wanted writes, by when they are due.
#[derive(Default)]
struct Schedule {
    due: Vec<Change>,
    is_resting: bool,
    retry_at: Vec<Timestamp>,
    /// Why nothing is due, where writes rest.
    failure: Option<Failure>,
    conflicts: Vec<Conflict>,
}

fn schedule(record: &NamespaceRecord, snapshot: &Snapshot, changes: Vec<Change>, now: Timestamp) -> Schedule {
    let mut schedule = Schedule::default();
    let (mut failed, mut contended) = (None, None);
    for change in changes {
        let Some(rest) = record.rest(&change, now) else {
            let since = record.unreported_since(&change.object(), now).filter(|_| change.may_repair());
            let conflict = since
                .map(|since| Conflict::of(&change, snapshot.secret_name(), ConflictKind::Reverted { since }));
            schedule.conflicts.extend(conflict);
            schedule.due.push(change);
            continue;
        };
        schedule.is_resting = true;
        schedule.retry_at.push(rest.until());
        match rest {
            Rest::Failed { failure, .. } => failed = failed.or(failure),
            Rest::Contended { .. } => contended = contended.or(Some((change, rest))),
        }
    }
    if !schedule.due.is_empty() {
        return schedule;
    }
    match contended {
        Some((_, Rest::Contended { failure: Some(failure), .. })) => schedule.failure = Some(failure.clone()),
        Some((change, rest)) => {
            let kind = ConflictKind::LeftAlone { until: rest.until() };
            schedule.conflicts.push(Conflict::of(&change, snapshot.secret_name(), kind));
        }
        // A refused Secret is in the results of its bindings already.
        None if record.refusal().is_some() => {}
        None => schedule.failure = failed.cloned(),
    }
    schedule
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
