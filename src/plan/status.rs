//! The status of a binding, from its credentials and the results of its namespaces.

mod blindness;
mod facts;
mod overall;
mod pairs;
mod writer;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

pub use self::blindness::blindness;
pub use self::facts::{BindingFacts, RegistryFacts};
use self::overall::overall;
pub use self::pairs::MAX_PAIRS;
use self::pairs::pairs;
use self::writer::{ConditionStatus, ConditionWriter, number, time};
use super::failure::Failure;
use crate::api::status::{
    AcrCredentialBindingStatus, NamespaceCounts, RegistryStatus, ServiceAccountCounts, Summary,
};
use crate::api::{ConditionType, Reason};

/// Returns the status to report. Equal facts at a later time give an equal status, so that nothing is written at rest.
/// Conditions of types that no facts name any more leave the status.
pub fn status(
    facts: &BindingFacts<'_>,
    previous: Option<&AcrCredentialBindingStatus>,
    now: Timestamp,
) -> AcrCredentialBindingStatus {
    let writer = ConditionWriter { generation: facts.generation, now };
    let registries = registries(facts, &writer, previous);
    let (pairs, omitted) = pairs(facts, &writer, previous);
    let (matched, bound) = facts.rollup.service_accounts();
    let issued = facts.registries.iter().filter(|registry| registry.is_issued(now)).count();
    AcrCredentialBindingStatus {
        observed_generation: Some(facts.generation),
        last_handled_refresh_at: facts.handled_refresh_at.clone(),
        summary: Some(Summary {
            registries: format!("{issued}/{}", facts.registries.len()),
            namespaces: format!("{}/{}", facts.rollup.ready(), facts.rollup.matched()),
            service_accounts: format!("{bound}/{matched}"),
            identities: identities(&facts.registries),
            expires_at: facts.registries.iter().filter_map(|r| r.life).map(|l| l.expires_at).min().map(time),
        }),
        namespaces: Some(NamespaceCounts {
            matched: number(facts.rollup.matched()),
            ready: number(facts.rollup.ready()),
        }),
        service_accounts: Some(ServiceAccountCounts { matched, bound }),
        registries,
        pairs,
        pairs_omitted: Some(omitted),
        conditions: conditions(facts, issued, &writer, previous),
    }
}

fn conditions(
    facts: &BindingFacts<'_>,
    issued: usize,
    writer: &ConditionWriter,
    previous: Option<&AcrCredentialBindingStatus>,
) -> Vec<Condition> {
    let earlier = previous.map(|p| p.conditions.as_slice()).unwrap_or_default();
    let overall = overall(facts, issued, writer.now);
    let ready = match &facts.blindness {
        Some(why) => {
            let last = &overall.why;
            let message =
                format!("{}. The last known state is {}: {}", why.message, last.reason, last.message);
            writer.condition(
                ConditionType::Ready,
                ConditionStatus::Unknown,
                &Failure::new(why.reason, message),
                earlier,
            )
        }
        None => {
            let why = with_excluded_names(facts, &overall.why);
            writer.condition(ConditionType::Ready, overall.ready, &why, earlier)
        }
    };
    let mut conditions = vec![ready];
    if overall.reconciling {
        conditions.push(writer.condition(ConditionType::Reconciling, true, &overall.why, earlier));
    }
    if let Some(stalled) = &overall.stalled {
        conditions.push(writer.condition(ConditionType::Stalled, true, stalled, earlier));
    }
    if let Some((since, why)) = &facts.held {
        // The grace runs from this time, after a restart too.
        let held = writer.condition(ConditionType::WithdrawalHeld, true, why, earlier);
        conditions.push(Condition { last_transition_time: time(*since), ..held });
    }
    for other in &facts.others {
        conditions.push(writer.condition(other.kind, other.holds, &other.why, earlier));
    }
    conditions
}

/// Adds the names that the binding lists and excludes, where nothing reports them yet: a default must not undo in silence
/// what is written.
fn with_excluded_names(facts: &BindingFacts<'_>, why: &Failure) -> Failure {
    let reports = facts.standstill.is_some() || facts.rollup.matched() == 0;
    match facts.excluded_names.as_ref().filter(|_| !reports) {
        Some(names) => Failure::new(why.reason, format!("{}; {names}", why.message.trim_end_matches('.'))),
        None => why.clone(),
    }
}

fn registries(
    facts: &BindingFacts<'_>,
    writer: &ConditionWriter,
    previous: Option<&AcrCredentialBindingStatus>,
) -> Vec<RegistryStatus> {
    let before = previous.map(|p| p.registries.as_slice()).unwrap_or_default();
    let status = |(i, registry): (usize, &RegistryFacts)| {
        let same = |r: &&RegistryStatus| {
            (&r.registry, &r.region_id, &r.identity)
                == (&registry.registry, &registry.region, &registry.identity)
        };
        // An entry that moved keeps its time.
        let found = before.get(i).filter(same).or_else(|| before.iter().find(same));
        let earlier = found.map(|r| r.conditions.as_slice()).unwrap_or_default();
        registry_status(registry, writer, earlier)
    };
    facts.registries.iter().enumerate().map(status).collect()
}

fn registry_status(
    registry: &RegistryFacts,
    writer: &ConditionWriter,
    earlier: &[Condition],
) -> RegistryStatus {
    let issued = registry.is_issued(writer.now);
    let why = match (&registry.failure, issued, registry.life) {
        (Some(failure), true, _) => {
            Failure::new(Reason::RefreshFailing, format!("{}: {}", failure.reason, failure.message))
        }
        (Some(failure), false, _) => failure.clone(),
        (None, true, _) => {
            let remark = registry.remark.as_ref().map(|remark| format!("; {remark}")).unwrap_or_default();
            Failure::new(Reason::Issued, format!("The credential is valid{remark}"))
        }
        (None, false, Some(_)) => {
            Failure::new(Reason::CredentialExpired, "The credential has expired and is being refreshed.")
        }
        (None, false, None) => Failure::new(Reason::NotIssued, "The first credential is being requested."),
    };
    RegistryStatus {
        registry: registry.registry.clone(),
        region_id: registry.region.clone(),
        domains: registry.domains.clone(),
        identity: registry.identity.clone(),
        endpoint: registry.endpoint.clone(),
        expires_at: registry.life.map(|life| time(life.expires_at)),
        refreshed_at: registry.life.map(|life| time(life.minted_at)),
        next_refresh_at: registry.next_refresh_at.map(time),
        conditions: vec![writer.condition(ConditionType::Issued, issued, &why, earlier)],
    }
}

/// Returns each identity once, in the order of the registries.
fn identities(registries: &[RegistryFacts]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for registry in registries {
        if !names.contains(&registry.identity.as_str()) {
            names.push(&registry.identity);
        }
    }
    names.join(", ")
}

#[cfg(test)]
mod tests;
