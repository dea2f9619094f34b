//! The pairs of registry and namespace that the status lists.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::facts::BindingFacts;
use super::writer::{ConditionStatus, ConditionWriter, number};
use crate::api::status::{AcrCredentialBindingStatus, PairStatus};
use crate::api::{ConditionType, Reason};
use crate::plan::failure::Failure;

/// Pairs that the status lists at most. An atomic list of this length takes 86 KB and 0.1 s a write.
pub const MAX_PAIRS: usize = 200;

/// A pair that may be listed.
struct PairState<'a> {
    registry: &'a str,
    namespace: &'a Arc<str>,
    result: Result<(), Failure>,
    /// Why a ServiceAccount of a ready namespace has no entry.
    unattached: Option<&'a Failure>,
}

/// Returns the pairs to list and how many are left out. Those that are not ready come first.
pub fn pairs(
    facts: &BindingFacts<'_>,
    writer: &ConditionWriter,
    previous: Option<&AcrCredentialBindingStatus>,
) -> (Vec<PairStatus>, i64) {
    // One instance by two identities gives two pairs of one name: each goes on from an earlier one of its own state.
    let mut earlier = HashMap::<(&str, &str, &str), VecDeque<&[Condition]>>::new();
    for pair in previous.iter().flat_map(|p| &p.pairs) {
        let status = pair.conditions.first().map_or("", |c| c.status.as_str());
        earlier.entry((&pair.registry, &pair.namespace, status)).or_default().push_back(&pair.conditions);
    }
    let mut listed = states(facts, writer.now);
    listed.sort_by_key(|pair| (pair.result.is_ok(), pair.unattached.is_none()));
    listed.truncate(MAX_PAIRS);
    let omitted = number(facts.rollup.namespaces().count() * facts.registries.len()) - number(listed.len());
    let pairs = listed
        .into_iter()
        .map(|PairState { registry, namespace, result, unattached }| {
            let ready = result.is_ok();
            let why = result.err().unwrap_or_else(|| success(unattached));
            let before = earlier
                .get_mut(&(registry, &**namespace, ConditionStatus::Holds(ready).as_str()))
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

fn success(unattached: Option<&Failure>) -> Failure {
    let ready = "The Secret holds a valid credential";
    let message = match unattached {
        Some(failure) => format!("{ready}. A ServiceAccount has no entry: {}", failure.message),
        None => format!("{ready}."),
    };
    Failure::new(Reason::Succeeded, message)
}

/// Returns the pairs of all namespaces that fail, and of as many others as could be listed.
fn states<'a>(facts: &'a BindingFacts<'_>, now: Timestamp) -> Vec<PairState<'a>> {
    let unattached = facts.rollup.unattached().map(|(namespace, _)| namespace);
    let failing: BTreeSet<&Arc<str>> = facts.rollup.failing().chain(unattached).collect();
    let first = failing.iter().copied().take(MAX_PAIRS);
    let rest = facts.rollup.namespaces().filter(|n| !failing.contains(*n)).take(MAX_PAIRS);
    let indices = 0..facts.registries.len();
    let issued: Vec<bool> = facts.registries.iter().map(|r| r.is_issued(now)).collect();
    let pair = |index: usize, namespace: &'a Arc<str>| PairState {
        registry: &facts.registries[index].registry,
        namespace,
        result: result(facts, index, issued[index], namespace),
        unattached: facts.rollup.unattached_in(namespace),
    };
    first
        .chain(rest)
        .flat_map(|namespace| indices.clone().map(move |i| (i, namespace)))
        .map(|(i, n)| pair(i, n))
        .collect()
}

fn result(facts: &BindingFacts<'_>, index: usize, issued: bool, namespace: &str) -> Result<(), Failure> {
    if let Some(failure) = facts.rollup.failure(namespace) {
        return Err(failure.clone());
    }
    if !issued {
        let failure = facts.registries[index].failure.clone();
        let missing = || Failure::new(Reason::NotIssued, "The registry has no valid credential.");
        return Err(failure.unwrap_or_else(missing));
    }
    match facts.rollup.conflict(namespace, facts.name, index) {
        Some(conflict) => Err(Failure::new(Reason::DomainContested, conflict.message.as_str())),
        None => Ok(()),
    }
}
