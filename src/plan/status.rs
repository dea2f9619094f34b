//! The status of a binding, from what is held and what stands.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::failure::Failure;
use super::rollup::Rollup;
use crate::api::status::{
    AcrCredentialBindingStatus, NamespaceCounts, PairStatus, RegistryStatus, ServiceAccountCounts, Summary,
};
use crate::api::{ConditionType, Reason};

/// Pairs that the status lists at most. An atomic list of this length takes 86 KB and 0.1 s a write.
pub const MAX_PAIRS: usize = 200;

/// What is held for one registry.
#[derive(Clone, Debug)]
pub struct RegistryFacts {
    /// Instance id, or `personal`.
    pub registry: String,
    /// Its region.
    pub region: String,
    /// The domains that the credential is for.
    pub domains: Vec<String>,
    /// Who asks.
    pub identity: String,
    /// The API host that answered.
    pub endpoint: Option<String>,
    /// What else is to be said of the credential.
    pub remark: Option<String>,
    /// When the credential was minted and ends.
    pub held: Option<(Timestamp, Timestamp)>,
    /// When it is due.
    pub next_refresh_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
}

/// All that a status is made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Name of the binding.
    pub name: &'a str,
    /// Generation of the spec.
    pub generation: i64,
    /// What is wrong with the spec as a whole: invalid, suspended, being withdrawn.
    pub standstill: Option<Failure>,
    /// One a registry, in their order.
    pub registries: Vec<RegistryFacts>,
    /// What stands.
    pub rollup: &'a Rollup,
    /// The refresh request that was acted upon.
    pub handled_refresh_at: Option<String>,
    /// Since when and why the withdrawal of what it covered is held.
    pub held: Option<(Timestamp, Failure)>,
    /// Conditions that others decide: `LegacyConfigValid`, `PoliciesEnforced`. Status, then why.
    pub others: Vec<(ConditionType, bool, Failure)>,
}

/// The status to report. Equal facts at a later time give an equal status, so that nothing is written at rest.
pub fn status(
    facts: &Facts<'_>,
    previous: Option<&AcrCredentialBindingStatus>,
    now: Timestamp,
) -> AcrCredentialBindingStatus {
    let writer = Writer { generation: facts.generation, now };
    let earlier = previous.map(|p| p.conditions.as_slice()).unwrap_or_default();
    let registries = facts
        .registries
        .iter()
        .enumerate()
        .map(|(i, registry)| {
            let same = |r: &&RegistryStatus| {
                (&r.registry, &r.region_id, &r.identity)
                    == (&registry.registry, &registry.region, &registry.identity)
            };
            // An entry that moved takes its time along.
            let before = previous.map(|p| p.registries.as_slice()).unwrap_or_default();
            let found = before.get(i).filter(same).or_else(|| before.iter().find(same));
            let earlier = found.map(|r| r.conditions.as_slice()).unwrap_or_default();
            registry_status(registry, &writer, earlier)
        })
        .collect::<Vec<_>>();
    let (pairs, omitted) = pairs(facts, &writer, previous);
    let (matched, bound) = facts.rollup.service_accounts();
    let issued = facts.registries.iter().filter(|r| r.held.is_some_and(|(_, end)| end > now)).count();
    let verdict = verdict(facts, issued, now);
    let mut conditions = vec![writer.condition(ConditionType::Ready, verdict.ready, &verdict.why, earlier)];
    if verdict.reconciling {
        conditions.push(writer.condition(ConditionType::Reconciling, true, &verdict.why, earlier));
    }
    if let Some(stalled) = &verdict.stalled {
        conditions.push(writer.condition(ConditionType::Stalled, true, stalled, earlier));
    }
    if let Some((since, why)) = &facts.held {
        // The grace runs from this time, after a restart too.
        let held = writer.condition(ConditionType::WithdrawalHeld, true, why, earlier);
        conditions.push(Condition { last_transition_time: time(*since), ..held });
    }
    for (kind, holds, why) in &facts.others {
        conditions.push(writer.condition(*kind, *holds, why, earlier));
    }
    AcrCredentialBindingStatus {
        observed_generation: Some(facts.generation),
        last_handled_refresh_at: facts.handled_refresh_at.clone(),
        summary: Some(Summary {
            registries: format!("{issued}/{}", facts.registries.len()),
            namespaces: format!("{}/{}", facts.rollup.ready(), facts.rollup.matched()),
            service_accounts: format!("{bound}/{matched}"),
            identities: identities(&facts.registries),
            expires_at: facts.registries.iter().filter_map(|r| r.held).map(|(_, end)| end).min().map(time),
        }),
        namespaces: Some(NamespaceCounts {
            matched: count(facts.rollup.matched()),
            ready: count(facts.rollup.ready()),
        }),
        service_accounts: Some(ServiceAccountCounts { matched, bound }),
        registries,
        pairs,
        pairs_omitted: Some(omitted),
        conditions,
    }
}

/// Each identity once, in the order of the registries.
fn identities(registries: &[RegistryFacts]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for registry in registries {
        if !names.contains(&registry.identity.as_str()) {
            names.push(&registry.identity);
        }
    }
    names.join(", ")
}

struct Verdict {
    ready: bool,
    reconciling: bool,
    why: Failure,
    stalled: Option<Failure>,
}

/// The conditions of the binding as a whole. The gravest thing that is wrong gives the reason; nothing that works
/// is hidden, since registries and pairs have conditions of their own.
fn verdict(facts: &Facts<'_>, issued: usize, now: Timestamp) -> Verdict {
    let (matched, bound) = facts.rollup.service_accounts();
    let total = facts.registries.len();
    let dead = |r: &RegistryFacts| r.held.is_none_or(|(_, end)| end <= now);
    let failing = || facts.registries.iter().filter_map(|r| Some((r, r.failure.as_ref()?)));
    let failed =
        gravest(failing().filter(|(r, _)| dead(r)), |(_, failure)| failure.reason).map(|(r, failure)| {
            let message = format!(
                "{issued} of {total} registries issued; {} in {}: {}",
                r.registry, r.region, failure.message
            );
            Failure::new(failure.reason, message)
        });
    let unserved = facts
        .rollup
        .failing()
        .filter_map(|namespace| Some((namespace, namespace_failure(facts, namespace)?)));
    let unserved = unserved.filter(|(_, failure)| failure.reason != Reason::Progressing);
    let unserved = gravest(unserved, |(_, failure)| failure.reason).map(|(namespace, failure)| {
        let count = facts.rollup.failing().count();
        let message = format!(
            "{count} of {} namespaces not ready; {namespace}: {}",
            facts.rollup.matched(),
            failure.message
        );
        Failure::new(failure.reason, message)
    });
    let failing_refresh = gravest(failing(), |(_, failure)| failure.reason).map(|(r, failure)| {
        let message = format!(
            "{} in {} is served with its last credential; renewing it fails: {}: {}",
            r.registry, r.region, failure.reason, failure.message
        );
        (failure.clone(), Failure::new(Reason::RefreshFailing, message))
    });
    let progressing = facts.rollup.is_converging()
        || bound < matched
        || facts.rollup.ready() < facts.rollup.matched()
        || (issued < total && failed.is_none());
    let stalled = [&facts.standstill, &failed, &unserved]
        .into_iter()
        .flatten()
        .chain(failing_refresh.as_ref().map(|(cause, _)| cause))
        .find(|failure| failure.reason.needs_human())
        .cloned();
    if let Some(why) = &facts.standstill {
        let reconciling = why.reason == Reason::Withdrawing;
        let why = if reconciling { withdrawing(facts, why, unserved.as_ref()) } else { why.clone() };
        return Verdict { ready: false, reconciling, why, stalled };
    }
    let reconciling = progressing && stalled.is_none();
    if let Some(why) = failed.or(unserved) {
        return Verdict { ready: false, reconciling, why, stalled };
    }
    if progressing {
        let message = format!(
            "{} of {} namespaces, {bound} of {matched} ServiceAccounts and {issued} of {total} registries so far",
            facts.rollup.ready(),
            facts.rollup.matched(),
        );
        return Verdict {
            ready: false,
            reconciling,
            why: Failure::new(Reason::Progressing, message),
            stalled,
        };
    }
    let why = match failing_refresh {
        Some((_, why)) => why,
        None if facts.rollup.matched() == 0 => {
            Failure::new(Reason::NothingCovered, "no namespace is covered")
        }
        None if matched == 0 => Failure::new(Reason::NothingCovered, "no ServiceAccount is covered"),
        None => Failure::new(
            Reason::Succeeded,
            format!(
                "{total} registries serve {} namespaces and {matched} ServiceAccounts",
                facts.rollup.matched()
            ),
        ),
    };
    Verdict { ready: true, reconciling, why, stalled }
}

/// How far a withdrawal has come, and what keeps it.
fn withdrawing(facts: &Facts<'_>, why: &Failure, blocked: Option<&Failure>) -> Failure {
    let (done, all) = (facts.rollup.ready(), facts.rollup.matched());
    let blocked = blocked.filter(|failure| failure.reason != why.reason);
    let blocked =
        blocked.map(|failure| format!("; {}: {}", failure.reason, failure.message)).unwrap_or_default();
    Failure::new(why.reason, format!("{}; {done} of {all} namespaces are done{blocked}", why.message))
}

/// What needs a human, or else what comes first: a failure that mends itself must not hide one that does not.
fn gravest<T>(all: impl Iterator<Item = T>, reason: impl Fn(&T) -> Reason) -> Option<T> {
    let mut first = None;
    for one in all {
        if reason(&one).needs_human() {
            return Some(one);
        }
        first.get_or_insert(one);
    }
    first
}

fn namespace_failure(facts: &Facts<'_>, namespace: &str) -> Option<Failure> {
    facts.rollup.failure(namespace).cloned().or_else(|| {
        let contested = |i| facts.rollup.conflict(namespace, facts.name, i);
        let conflict = (0..facts.registries.len()).find_map(contested)?;
        Some(Failure::new(Reason::DomainContested, conflict.message.as_str()))
    })
}

fn registry_status(registry: &RegistryFacts, writer: &Writer, earlier: &[Condition]) -> RegistryStatus {
    let alive = registry.held.is_some_and(|(_, end)| end > writer.now);
    let why = match (&registry.failure, alive, registry.held) {
        (Some(failure), true, _) => {
            Failure::new(Reason::RefreshFailing, format!("{}: {}", failure.reason, failure.message))
        }
        (Some(failure), false, _) => failure.clone(),
        (None, true, _) => {
            let remark = registry.remark.as_ref().map(|remark| format!("; {remark}")).unwrap_or_default();
            Failure::new(Reason::Issued, format!("a live credential is held{remark}"))
        }
        (None, false, Some(_)) => {
            Failure::new(Reason::CredentialExpired, "the credential has expired and is being renewed")
        }
        (None, false, None) => Failure::new(Reason::NotIssued, "the first credential is being asked for"),
    };
    RegistryStatus {
        registry: registry.registry.clone(),
        region_id: registry.region.clone(),
        domains: registry.domains.clone(),
        identity: registry.identity.clone(),
        endpoint: registry.endpoint.clone(),
        expires_at: registry.held.map(|(_, end)| time(end)),
        refreshed_at: registry.held.map(|(start, _)| time(start)),
        next_refresh_at: registry.next_refresh_at.map(time),
        conditions: vec![writer.condition(ConditionType::Issued, alive, &why, earlier)],
    }
}

/// A pair that may be listed: whether it is ready, its registry and namespace, and why it is not.
type Listed<'a> = (bool, &'a str, &'a Arc<str>, Result<(), Failure>);

/// The pairs to list and how many are left out. Those that are not ready come first.
fn pairs(
    facts: &Facts<'_>,
    writer: &Writer,
    previous: Option<&AcrCredentialBindingStatus>,
) -> (Vec<PairStatus>, i64) {
    // One instance by two identities gives two pairs of one name: each goes on from an earlier one of its own state.
    let mut earlier = HashMap::<(&str, &str, &str), VecDeque<&[Condition]>>::new();
    for pair in previous.iter().flat_map(|p| &p.pairs) {
        let status = pair.conditions.first().map_or("", |c| c.status.as_str());
        earlier.entry((&pair.registry, &pair.namespace, status)).or_default().push_back(&pair.conditions);
    }
    let dead: Vec<bool> =
        facts.registries.iter().map(|r| r.held.is_none_or(|(_, end)| end <= writer.now)).collect();
    let state = |i: usize, namespace: &str| -> Result<(), Failure> {
        if let Some(failure) = facts.rollup.failure(namespace) {
            return Err(failure.clone());
        }
        if let (true, registry) = (dead[i], &facts.registries[i]) {
            return Err(registry
                .failure
                .clone()
                .unwrap_or_else(|| Failure::new(Reason::NotIssued, "no live credential is held")));
        }
        match facts.rollup.conflict(namespace, facts.name, i) {
            Some(conflict) => Err(Failure::new(Reason::DomainContested, conflict.message.as_str())),
            None => Ok(()),
        }
    };
    // Namespaces that fail, then as many others as could be listed: what is left out is never looked at.
    let failing: BTreeSet<&Arc<str>> = facts.rollup.failing().collect();
    let first = failing.iter().copied().take(MAX_PAIRS);
    let rest = facts.rollup.namespaces().filter(|n| !failing.contains(*n)).take(MAX_PAIRS);
    let mut listed: Vec<Listed<'_>> = first
        .chain(rest)
        .flat_map(|namespace| {
            facts.registries.iter().enumerate().map(move |(i, r)| (i, r.registry.as_str(), namespace))
        })
        .map(|(i, registry, namespace)| {
            let state = state(i, namespace);
            (state.is_ok(), registry, namespace, state)
        })
        .collect();
    listed.sort_by_key(|(ready, ..)| *ready);
    listed.truncate(MAX_PAIRS);
    let omitted = count(facts.rollup.namespaces().count() * facts.registries.len()) - count(listed.len());
    let pairs = listed
        .into_iter()
        .map(|(ready, registry, namespace, state)| {
            let why = state
                .err()
                .unwrap_or_else(|| Failure::new(Reason::Succeeded, "the Secret holds a live credential"));
            let before = earlier
                .get_mut(&(registry, &**namespace, word(ready)))
                .and_then(VecDeque::pop_front)
                .unwrap_or_default();
            PairStatus {
                registry: registry.to_owned(),
                namespace: namespace.to_string(),
                conditions: vec![writer.condition(ConditionType::Ready, ready, &why, before)],
            }
        })
        .collect();
    (pairs, omitted)
}

struct Writer {
    generation: i64,
    now: Timestamp,
}

impl Writer {
    /// A condition whose transition time moves only when its status flips.
    fn condition(&self, kind: ConditionType, holds: bool, why: &Failure, earlier: &[Condition]) -> Condition {
        let status = word(holds);
        let before = earlier.iter().find(|c| c.type_ == kind.as_str() && c.status == status);
        Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: why.reason.as_str().to_owned(),
            message: shorten(&why.message),
            observed_generation: Some(self.generation),
            last_transition_time: before.map_or_else(|| time(self.now), |c| c.last_transition_time.clone()),
        }
    }
}

fn word(holds: bool) -> &'static str {
    if holds { "True" } else { "False" }
}

/// The API server refuses a message of more than 32 KiB; nobody reads one of more than 1 KiB.
fn shorten(message: &str) -> String {
    match message.char_indices().nth(1024) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// A time as the API server stores it, in whole seconds.
fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
