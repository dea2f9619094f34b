//! One namespace: what should stand in it, and what must be written for that.

use std::sync::Arc;

use super::change::Change;
use super::failure::Failure;
use super::guard::Retained;
use super::resolved_binding::Phase;
use super::secret::{DomainConflict, SecretContent, TooLarge};
use super::service_account::{Want, pull_secrets};
use super::snapshot::Snapshot;
use super::view::{NamespaceFacts, NamespaceView, SecretView, ServiceAccountView};
use crate::api::Reason;
use crate::api::names;

/// What to write now, and what stands already.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Writes that may go side by side. What must follow them shows in the next plan.
    pub changes: Vec<Change>,
    /// For each binding that covers the namespace, what stands before the changes.
    pub results: Vec<NamespaceResult>,
    /// Whether entries of our name are ours from now on; `None` where that stays as it was.
    pub served: Option<bool>,
}

/// What stands in one namespace for one binding.
#[derive(Clone, Debug)]
pub struct NamespaceResult {
    /// The binding.
    pub binding: Arc<str>,
    /// The Secret: with all that is held, or why not.
    pub secret: Result<(), Failure>,
    /// Domains that a registry of the set does not get.
    pub domain_conflicts: Arc<[DomainConflict]>,
    /// ServiceAccounts that it covers.
    pub matched: u32,
    /// Those that carry our entry.
    pub bound: u32,
}

/// Plans one namespace.
///
/// # Guarantees
/// - Without changes in the cluster, applying the plan and planning again gives no change.
/// - ServiceAccounts are attached whether or not the Secret stands, and detached before it goes.
/// - A Secret of our name that is not ours is left alone, and so are the entries beside it.
pub fn namespace(view: &NamespaceView, snapshot: &Snapshot) -> Plan {
    namespace_keeping(view, snapshot, &[])
}

/// The same, where the part of some bindings stays, though they do not cover the namespace.
pub fn namespace_keeping(view: &NamespaceView, snapshot: &Snapshot, retained: &[Retained]) -> Plan {
    let Some(facts) = view.facts.as_ref().filter(|facts| !facts.terminating) else { return Plan::default() };
    let covering = snapshot.covering(&view.name, facts);
    let retained = kept_beside(&covering, facts, snapshot, retained);
    let of_phase = |phase: Phase| {
        let retained = retained.iter().map(|(index, _)| *index).filter(|_| phase != Phase::Active);
        let all = covering.iter().copied().chain(retained);
        all.filter(|&i| snapshot.resolved(i).phase == phase).collect::<Vec<_>>()
    };
    let active = of_phase(Phase::Active);
    let suspended = of_phase(Phase::Suspended);
    let held: Vec<(usize, &Retained)> =
        retained.iter().copied().filter(|(i, _)| snapshot.resolved(*i).phase == Phase::Active).collect();
    let abandoned = of_phase(Phase::Abandoning);
    let leaving = [of_phase(Phase::Withdrawing), of_phase(Phase::Retaining)].concat();
    let still: Vec<usize> = suspended
        .iter()
        .copied()
        .chain(held.iter().map(|(i, _)| *i))
        .chain(abandoned.iter().copied())
        .collect();
    let unverified = |i: &usize| retained.iter().any(|(index, retained)| index == i && !retained.verified);
    let content = || snapshot.content(&filling(&covering, &retained, snapshot));
    let mut plan = if !active.is_empty() {
        serve(view, snapshot, &content(), (&active, &still))
    } else if !held.is_empty() && !still.iter().any(unverified) {
        let pending = held.iter().any(|(i, _)| snapshot.resolved(*i).is_pending());
        Plan { changes: renew(view, &content(), pending).into_iter().collect(), ..Plan::default() }
    } else if still.len() > abandoned.len() || snapshot.keeps_all() {
        Plan::default()
    } else if !abandoned.is_empty() {
        // Nothing of it is this process's any more: what stands there is found again by a binding that comes back.
        Plan { served: Some(false), ..Plan::default() }
    } else if !of_phase(Phase::Retaining).is_empty() {
        retain(view)
    } else if leaving.is_empty() && !view.served && !facts.skip && snapshot.unclaimed_until().is_some() {
        Plan::default()
    } else {
        withdraw(view, snapshot, !leaving.is_empty())
    };
    let suspended = suspended.iter().map(|&i| (i, Reason::Suspended, "the binding is suspended"));
    let held = held.iter().filter(|(_, retained)| retained.held);
    let held = held.map(|&(i, _)| (i, Reason::CoverageLost, "covered no more; the withdrawal is held"));
    let leaving = leaving.iter().chain(&abandoned);
    let leaving = leaving.map(|&i| (i, Reason::Withdrawing, "the binding is being deleted"));
    for (index, reason, message) in suspended.chain(held).chain(leaving) {
        let mut result = result(view, snapshot, index, &Arc::from([]));
        // While nobody knows what is wanted nothing is taken back, and so no binding may go.
        let unknown = active.is_empty() && snapshot.keeps_all();
        if !plan.changes.is_empty() || reason != Reason::Withdrawing || unknown {
            result.secret = Err(Failure::new(reason, message));
        }
        plan.results.push(result);
    }
    plan
}

/// Whose credentials our Secret shall hold; `None` where the namespace is not there or is going.
pub fn filled_by(view: &NamespaceView, snapshot: &Snapshot, retained: &[Retained]) -> Option<Vec<usize>> {
    let facts = view.facts.as_ref().filter(|facts| !facts.terminating)?;
    let covering = snapshot.covering(&view.name, facts);
    let retained = kept_beside(&covering, facts, snapshot, retained);
    Some(filling(&covering, &retained, snapshot))
}

/// Those whose part stays in the namespace, and that do not cover it.
fn kept_beside<'a>(
    covering: &[usize],
    facts: &NamespaceFacts,
    snapshot: &Snapshot,
    retained: &'a [Retained],
) -> Vec<(usize, &'a Retained)> {
    let retained = retained.iter().filter(|_| !facts.skip);
    let retained = retained.filter_map(|retained| Some((snapshot.index_of(&retained.binding)?, retained)));
    retained.filter(|(index, _)| !covering.contains(index)).collect()
}

/// Whose credentials stand in the Secret. A guess keeps what stands, and adds nothing to it.
fn filling(covering: &[usize], retained: &[(usize, &Retained)], snapshot: &Snapshot) -> Vec<usize> {
    let verified = retained.iter().filter(|(_, retained)| retained.verified).map(|(index, _)| *index);
    let stands = |i: &usize| {
        matches!(snapshot.resolved(*i).phase, Phase::Active | Phase::Suspended | Phase::Abandoning)
    };
    let mut filling: Vec<usize> = covering.iter().copied().chain(verified).filter(stands).collect();
    filling.sort_unstable();
    filling
}

/// What is held for a suspended binding, or for one whose withdrawal waits (`still`), stays in the Secret: it must not
/// lose by another's refresh.
fn serve(
    view: &NamespaceView,
    snapshot: &Snapshot,
    content: &Arc<SecretContent>,
    (active, still): (&[usize], &[usize]),
) -> Plan {
    let unclaimed = may_be_unclaimed(view, snapshot, content);
    let (secret, write) = match fill(view, snapshot, (content, unclaimed), active) {
        Filled::Stands => (Ok(()), None),
        Filled::Not(why) => (Err(why), None),
        Filled::Soon(why, write) => (Err(why), Some(write)),
    };
    let conflict = secret.as_ref().err().is_some_and(|f| f.reason == Reason::SecretConflict);
    let entries = entries(view, snapshot, (active, still), conflict);
    let results = active.iter().map(|&i| {
        let resolved = snapshot.resolved(i);
        let left_out = |large: &&TooLarge| large.leaves_out(&resolved.binding.name);
        let secret = match (content.too_large.as_ref().filter(left_out), &secret) {
            (Some(large), _) => Err(Failure::new(Reason::SecretTooLarge, large.why.as_str())),
            (None, Ok(())) if resolved.keeps_entries => Err(Failure::new(
                Reason::CoverageLost,
                "no ServiceAccount is covered; the withdrawal is held",
            )),
            (None, secret) => secret.clone(),
        };
        NamespaceResult { secret, ..result(view, snapshot, i, &content.domain_conflicts) }
    });
    Plan {
        results: results.collect(),
        changes: write.into_iter().chain(entries).collect(),
        served: (!unclaimed).then_some(true),
    }
}

/// Whether the Secret holds more than is asked for, of others that went with the CustomResourceDefinition and may be on
/// their way back.
fn may_be_unclaimed(view: &NamespaceView, snapshot: &Snapshot, content: &SecretContent) -> bool {
    let found = view.secret.as_ref().filter(|secret| !view.served && may_go(secret));
    found
        .zip(snapshot.unclaimed_until())
        .is_some_and(|(secret, now)| secret.listing.would_lose_by(&content.listing, now))
}

/// How it stands with our Secret.
enum Filled {
    Stands,
    Not(Failure),
    Soon(Failure, Change),
}

fn fill(
    view: &NamespaceView,
    snapshot: &Snapshot,
    (content, unclaimed): (&Arc<SecretContent>, bool),
    active: &[usize],
) -> Filled {
    let adopt = active.iter().any(|&i| snapshot.resolved(i).binding.adopt);
    // What a suspended binding lacks is not asked for: it would be waited for in vain.
    let pending = active.iter().any(|&i| snapshot.resolved(i).is_pending());
    let progressing = |message| Failure::new(Reason::Progressing, message);
    let waiting = || Filled::Not(progressing("waiting for the first credential"));
    let found = view.secret.as_ref();
    if let Some(failure) = found.and_then(|secret| conflict(view, secret, adopt, snapshot.secret_name())) {
        return Filled::Not(failure);
    }
    // What is left out is lost. It must be told: of a binding that rests nobody would hear.
    let is_active =
        |binding: &Arc<str>| active.iter().any(|&i| snapshot.resolved(i).binding.name == *binding);
    let others_go_on = |left_out: &[Arc<str>]| left_out.iter().all(is_active);
    if let Some(large) = &content.too_large
        && !large.left_out.as_deref().is_some_and(others_go_on)
    {
        return Filled::Not(Failure::new(Reason::SecretTooLarge, large.why.as_str()));
    }
    match found {
        None if pending => waiting(),
        None => Filled::Soon(
            view.refused.clone().unwrap_or_else(|| progressing("the Secret is being made")),
            Change::CreateSecret { content: content.clone() },
        ),
        Some(secret) if secret.fingerprint == content.fingerprint => Filled::Stands,
        Some(_) if unclaimed => Filled::Not(progressing(
            "the Secret holds more than is asked for, and the CustomResourceDefinition is new: the bindings that \
             asked for the rest are waited for",
        )),
        // What stands may be all that pulls have, and what would replace it is not there.
        Some(_) if pending || content.is_empty => waiting(),
        Some(secret) => {
            Filled::Soon(progressing("the Secret is being brought up to date"), update(view, secret, content))
        }
    }
}

/// The lists of `imagePullSecrets` that are not as they should be.
fn entries<'a>(
    view: &'a NamespaceView,
    snapshot: &'a Snapshot,
    (active, still): (&'a [usize], &'a [usize]),
    conflict: bool,
) -> impl Iterator<Item = Change> + 'a {
    // A pull must never wait for the Secret: it heals at the kubelet's next try, a missing entry never does.
    // Only where the Secret cannot come does an entry that leads nowhere make no sense.
    let attach = !conflict && view.refused.is_none();
    let entries_stay = active.iter().any(|&i| snapshot.resolved(i).keeps_entries);
    view.service_accounts.iter().filter_map(move |account| {
        let covers =
            |i: &usize| snapshot.resolved(*i).binding.service_accounts.covers(&account.name, &account.labels);
        let want = match (active.iter().any(covers) && !account.skip, still.iter().any(covers)) {
            _ if conflict => Want::AsIs,
            (true, _) if attach => Want::Attached,
            (true, _) | (_, true) => Want::AsIs,
            _ if entries_stay && !account.skip => Want::AsIs,
            // Who cannot be read may cover it; what opts out is wanted by nobody.
            _ if snapshot.keeps_all() && !account.skip => Want::AsIs,
            (false, false) => Want::Detached,
        };
        set_pull_secrets(account, snapshot, want)
    })
}

fn set_pull_secrets(account: &ServiceAccountView, snapshot: &Snapshot, want: Want) -> Option<Change> {
    let pull_secrets = pull_secrets(&account.pull_secrets, snapshot.secret_name(), want)?;
    Some(Change::SetPullSecrets {
        service_account: account.name.clone(),
        resource_version: account.resource_version.clone(),
        pull_secrets,
    })
}

/// Where what stands is kept though nobody covers it, pulls go on: its credentials are renewed. Nothing else is mended.
fn renew(view: &NamespaceView, content: &Arc<SecretContent>, pending: bool) -> Option<Change> {
    let secret = view.secret.as_ref().filter(|secret| may_go(secret))?;
    let stale = secret.fingerprint != content.fingerprint;
    let usable = !pending && !content.is_empty && content.too_large.is_none();
    (stale && usable).then(|| update(view, secret, content))
}

fn update(view: &NamespaceView, secret: &SecretView, content: &Arc<SecretContent>) -> Change {
    Change::UpdateSecret {
        content: content.clone(),
        resource_version: secret.resource_version.clone(),
        extra_keys: secret.extra_keys.clone(),
        undoes: view.written.is_some_and(|written| written != secret.fingerprint),
    }
}

/// Why the Secret that stands there may not be touched, if so.
fn conflict(view: &NamespaceView, secret: &SecretView, adopt: bool, name: &str) -> Option<Failure> {
    let found = format!("Secret {}/{name}", view.name);
    match &secret.foreign_type {
        Some(other) => Some(Failure::new(
            Reason::SecretConflict,
            format!("{found} has the type {other}, which cannot be changed: delete or rename it"),
        )),
        None if secret.ours || adopt => None,
        None => Some(Failure::new(
            Reason::SecretConflict,
            format!(
                "{found} was made by somebody else: delete or rename it, or annotate the binding with {}: \"true\" to take it over",
                names::ANNOTATION_ADOPT
            ),
        )),
    }
}

fn result(
    view: &NamespaceView,
    snapshot: &Snapshot,
    index: usize,
    domain_conflicts: &Arc<[DomainConflict]>,
) -> NamespaceResult {
    let binding = &snapshot.resolved(index).binding;
    let (mut matched, mut bound) = (0, 0);
    for account in &view.service_accounts {
        if !account.skip && binding.service_accounts.covers(&account.name, &account.labels) {
            matched += 1;
            bound +=
                u32::from(account.pull_secrets.iter().any(|name| name.as_ref() == snapshot.secret_name()));
        }
    }
    NamespaceResult {
        binding: binding.name.clone(),
        secret: Ok(()),
        domain_conflicts: domain_conflicts.clone(),
        matched,
        bound,
    }
}

/// Whether a Secret is ours and was not left behind on purpose. One of another type was never made by us.
fn may_go(secret: &SecretView) -> bool {
    secret.ours && !secret.retained && secret.foreign_type.is_none()
}

fn withdraw(view: &NamespaceView, snapshot: &Snapshot, was_covered: bool) -> Plan {
    let ours = view.secret.as_ref().filter(|secret| may_go(secret));
    // Beside a Secret that is not ours, an entry of that name is not ours either.
    let entries_are_ours = ours.is_some() || ((was_covered || view.served) && view.secret.is_none());
    if !entries_are_ours {
        return Plan { served: Some(false), ..Plan::default() };
    }
    let accounts = view.service_accounts.iter();
    let detached = accounts.filter_map(|account| set_pull_secrets(account, snapshot, Want::Detached));
    let mut plan = Plan { changes: detached.collect(), ..Plan::default() };
    if let (true, Some(secret)) = (plan.changes.is_empty(), ours) {
        plan.changes.push(Change::DeleteSecret {
            uid: secret.uid.clone(),
            resource_version: secret.resource_version.clone(),
        });
    }
    // What others make there afterwards is theirs.
    plan.served = plan.changes.is_empty().then_some(false);
    plan
}

fn retain(view: &NamespaceView) -> Plan {
    let changes = view
        .secret
        .as_ref()
        .filter(|secret| may_go(secret))
        .map(|secret| Change::RetainSecret {
            resource_version: secret.resource_version.clone(),
            extra_keys: secret.extra_keys.clone(),
        })
        .into_iter()
        .collect();
    Plan { changes, served: Some(false), ..Plan::default() }
}

#[cfg(test)]
mod tests;
