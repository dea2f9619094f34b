//! Facts about a binding that its status reports: its registries, and why it is not served as a whole.

use std::collections::HashMap;

use super::credential_cache::{CredentialCache, Demand};
use super::failure::Failure;
use super::refresh::Life;
use super::resolved_binding::RegistryCredential;
use super::status::RegistryFacts;
use super::stored_binding::StoredBinding;
use crate::api::Reason;
use crate::model::{Registry, RegistryKey, domain, region};

/// Returns why a binding is not served as a whole: it is being deleted, invalid or suspended.
pub fn standstill(binding: &StoredBinding) -> Option<Failure> {
    if binding.is_deleting() {
        return Some(Failure::new(Reason::Withdrawing, "The binding is being deleted"));
    }
    if !binding.invalid.is_empty() {
        let list = binding.invalid.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let last = if binding.good.is_some() { "; the last valid spec stays in force" } else { "" };
        return Some(Failure::new(Reason::InvalidSpec, format!("{list}{last}")));
    }
    let suspended = binding.good.as_ref().is_some_and(|binding| binding.suspend);
    let message = "spec.suspend is true: no credential is minted, and nothing is written or withdrawn.";
    suspended.then(|| Failure::new(Reason::Suspended, message))
}

/// Returns the facts about each registry of a binding, in their order.
pub fn registry_facts(
    binding: &StoredBinding,
    credentials: &CredentialCache,
    demands: &HashMap<RegistryKey, Demand>,
) -> Vec<RegistryFacts> {
    let facts = |registry: &Registry| {
        let key = &registry.key;
        let held = registry.is_served().then(|| credentials.credential(registry));
        let (credential, domains) = match held {
            Some(RegistryCredential::Held { credential, domains }) => (Some(credential), domains.to_vec()),
            Some(RegistryCredential::Pending | RegistryCredential::Missing) | None => {
                (None, registry.domains.clone())
            }
        };
        let failure = failure(registry, credentials);
        let origin = credential.as_ref().map(|credential| credential.origin.clone()).unwrap_or_default();
        let given = |text: Box<str>| Some(text.into_string()).filter(|text| !text.is_empty());
        RegistryFacts {
            registry: key.edition.to_string(),
            region: key.region.to_string(),
            domains,
            identity: given(origin.identity).unwrap_or_else(|| key.identity.to_string()),
            endpoint: given(origin.endpoint),
            remark: origin.remark.map(Into::into).or_else(|| domain::glob_remark(&registry.domains)),
            life: credential.map(|c| Life { minted_at: c.minted_at, expires_at: c.expires_at }),
            // The next try after a failure moves with each: it would rewrite the status each time.
            next_refresh_at: demands
                .get(key)
                .filter(|_| registry.is_served() && failure.is_none())
                .and_then(|demand| credentials.next_refresh_at(key, demand)),
            failure,
            is_unsupported: registry.unsupported.is_some(),
        }
    };
    binding.good.iter().flat_map(|binding| &binding.registries).map(facts).collect()
}

/// Returns why a registry has no credential, with what its region or its domains have to do with it.
fn failure(registry: &Registry, credentials: &CredentialCache) -> Option<Failure> {
    if let Some(why) = &registry.unsupported {
        return Some(Failure::new(Reason::UnsupportedEdition, why.as_str()));
    }
    let failure = credentials.failure(registry)?;
    let region = &registry.key.region;
    let remark = match failure.reason {
        Reason::InstanceNotFound | Reason::Unreachable | Reason::AccessDenied => {
            region::unknown(region).or_else(|| region::other_region(region, &registry.domains))
        }
        _ => None,
    };
    Some(match remark {
        Some(remark) => Failure::new(failure.reason, format!("{}; {remark}", failure.message)),
        None => failure,
    })
}
