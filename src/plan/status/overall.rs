//! The conditions of the binding as a whole: `Ready`, `Reconciling`, `Stalled`.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::facts::{BindingFacts, RegistryFacts};
use crate::api::{ConditionType, Reason, names};
use crate::model::count::count;
use crate::plan::condition::BindingCondition;
use crate::plan::failure::Failure;

/// State of a binding as a whole.
pub struct OverallState {
    /// Whether it is ready.
    pub ready: bool,
    /// Whether work is under way.
    pub reconciling: bool,
    /// Reason and message of both.
    pub why: Failure,
    /// The failure that a human must resolve.
    pub stalled: Option<Failure>,
}

/// Returns the state of a binding. The gravest failure gives the reason. The others stay visible, since registries
/// and pairs have conditions of their own.
pub fn overall(facts: &BindingFacts<'_>, issued: usize, now: Timestamp) -> OverallState {
    let (matched, bound) = facts.rollup.service_accounts();
    let total = facts.registries.len();
    let failed = failed_registry(facts, issued, now);
    let unserved = failed_namespace(facts);
    let unattached = unattached(facts);
    let failing_refresh = failing_refresh(facts);
    let progressing = facts.rollup.is_converging()
        || bound < matched
        || facts.rollup.ready() < facts.rollup.matched()
        || (issued < total && failed.is_none());
    // A refresh that fails stalls nothing before the credential expires: kstatus would report a binding that serves
    // every pull as failed.
    let stalled = [&facts.standstill, &failed, &unserved, &unattached, &invalid_config_map(facts)]
        .into_iter()
        .flatten()
        .find(|failure| failure.reason.needs_human())
        .cloned();
    if let Some(why) = &facts.standstill {
        let reconciling = why.reason == Reason::Withdrawing;
        let why = if reconciling { withdrawing(facts, why, unserved.as_ref()) } else { why.clone() };
        return OverallState { ready: false, reconciling, why, stalled };
    }
    let reconciling = progressing && stalled.is_none();
    if let Some(why) = failed.or(unserved).or(unattached) {
        return OverallState { ready: false, reconciling, why, stalled };
    }
    if progressing {
        return OverallState { ready: false, reconciling, why: progress(facts, issued), stalled };
    }
    let why = failing_refresh.unwrap_or_else(|| success(facts));
    OverallState { ready: true, reconciling, why, stalled }
}

fn failing<'a>(facts: &'a BindingFacts<'_>) -> impl Iterator<Item = (&'a RegistryFacts, &'a Failure)> {
    facts.registries.iter().filter_map(|r| Some((r, r.failure.as_ref()?)))
}

fn failed_registry(facts: &BindingFacts<'_>, issued: usize, now: Timestamp) -> Option<Failure> {
    let failed = failing(facts).filter(|(r, _)| !r.is_issued(now));
    let (registry, failure) = gravest(failed, |(_, failure)| failure.reason)?;
    let message = format!(
        "Credentials are issued for {issued} of {}; {} in {}: {}",
        registries(facts.registries.len()),
        registry.registry,
        registry.region,
        failure.message
    );
    Some(Failure::new(failure.reason, message))
}

fn failed_namespace(facts: &BindingFacts<'_>) -> Option<Failure> {
    let failing = facts.rollup.failing();
    let failing = failing.filter_map(|namespace| Some((namespace, namespace_failure(facts, namespace)?)));
    let failing = failing.filter(|(_, failure)| failure.reason != Reason::Progressing);
    let (namespace, failure): (&Arc<str>, Failure) = gravest(failing, |(_, failure)| failure.reason)?;
    let count = facts.rollup.failing().count();
    let message = format!(
        "{count} of {} {} not ready; {namespace}: {}",
        namespaces(facts.rollup.matched()),
        if count == 1 { "is" } else { "are" },
        failure.message
    );
    Some(Failure::new(failure.reason, message))
}

/// Returns why ServiceAccounts have no entry, where a write fails. Their namespaces are ready.
fn unattached(facts: &BindingFacts<'_>) -> Option<Failure> {
    let (namespace, failure) = gravest(facts.rollup.unattached(), |(_, failure)| failure.reason)?;
    let (matched, bound) = facts.rollup.service_accounts();
    let message = format!(
        "{} of {} {} no entry yet; {namespace}: {}",
        matched - bound,
        accounts(matched),
        if matched - bound == 1 { "has" } else { "have" },
        failure.message
    );
    Some(Failure::new(failure.reason, message))
}

fn namespace_failure(facts: &BindingFacts<'_>, namespace: &str) -> Option<Failure> {
    facts.rollup.failure(namespace).cloned().or_else(|| {
        let contested = |i| facts.rollup.conflict(namespace, facts.name, i);
        let conflict = (0..facts.registries.len()).find_map(contested)?;
        Some(Failure::new(Reason::DomainContested, conflict.message.as_str()))
    })
}

/// Returns why the ConfigMap of the binding is not in force. The binding serves what the last valid one asked for.
fn invalid_config_map(facts: &BindingFacts<'_>) -> Option<Failure> {
    let invalid = |other: &&BindingCondition| other.kind == ConditionType::LegacyConfigValid && !other.holds;
    facts.others.iter().find(invalid).map(|other| other.why.clone())
}

/// Returns why a refresh fails while the credential is valid.
fn failing_refresh(facts: &BindingFacts<'_>) -> Option<Failure> {
    let (registry, cause) = gravest(failing(facts), |(_, failure)| failure.reason)?;
    let message = format!(
        "The refresh of {} in {} fails; its last credential stays in use: {}: {}",
        registry.registry, registry.region, cause.reason, cause.message
    );
    Some(Failure::new(Reason::RefreshFailing, message))
}

fn progress(facts: &BindingFacts<'_>, issued: usize) -> Failure {
    let (matched, bound) = facts.rollup.service_accounts();
    let message = format!(
        "Ready so far: {} of {}, {bound} of {}, {issued} of {}",
        facts.rollup.ready(),
        namespaces(facts.rollup.matched()),
        accounts(matched),
        registries(facts.registries.len()),
    );
    Failure::new(Reason::Progressing, message)
}

fn success(facts: &BindingFacts<'_>) -> Failure {
    let (matched, _) = facts.rollup.service_accounts();
    if facts.rollup.matched() == 0 {
        let why = facts.nothing_covered.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        return Failure::new(Reason::NothingCovered, format!("The binding selects no namespace{why}."));
    }
    if matched == 0 {
        let skipped = match facts.rollup.opted_out() {
            0 => String::new(),
            one_or_more => format!(": {} by {}", opt_outs(one_or_more), names::SKIP),
        };
        let message = format!("The binding selects no ServiceAccount in its namespaces{skipped}.");
        return Failure::new(Reason::NothingCovered, message);
    }
    let message = format!(
        "{} {} and {}.",
        count(facts.registries.len(), "registry serves", "registries serve"),
        namespaces(facts.rollup.matched()),
        accounts(matched)
    );
    Failure::new(Reason::Succeeded, message)
}

/// Returns how far a withdrawal has come, and what blocks it.
fn withdrawing(facts: &BindingFacts<'_>, why: &Failure, blocked: Option<&Failure>) -> Failure {
    let (done, all) = (facts.rollup.ready(), facts.rollup.matched());
    let blocked = blocked.filter(|failure| failure.reason != why.reason);
    let blocked =
        blocked.map(|failure| format!("; {}: {}", failure.reason, failure.message)).unwrap_or_default();
    let message = format!("{}: {done} of {} cleaned up{blocked}", why.message, namespaces(all));
    Failure::new(why.reason, message)
}

/// Returns the first failure that needs a human, or else the first. One that resolves itself must not hide one that
/// does not.
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

fn registries(n: usize) -> String {
    count(n, "registry", "registries")
}

fn namespaces(n: usize) -> String {
    count(n, "namespace", "namespaces")
}

fn opt_outs(n: i64) -> String {
    let n = usize::try_from(n).unwrap_or_default();
    count(n, "ServiceAccount opts out", "ServiceAccounts opt out")
}

fn accounts(n: i64) -> String {
    count(usize::try_from(n).unwrap_or_default(), "ServiceAccount", "ServiceAccounts")
}
