//! The times of the credentials, as the metrics report them.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::jiff::Timestamp;

use super::{CredentialCache, Demand};
use crate::model::RegistryKey;
use crate::plan::refresh::Life;

/// The times of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CredentialTimes {
    /// When it expires.
    pub expires_at: Timestamp,
    /// When its renewal is due, whether or not attempts failed since.
    pub renewal_at: Timestamp,
}

impl CredentialCache {
    /// Returns the times of the credentials that are in demand, by registry and identity. The Personal Editions of two
    /// accounts have one name: the first to expire counts.
    pub fn times(
        &self,
        demands: &HashMap<RegistryKey, Demand>,
    ) -> BTreeMap<(String, String), CredentialTimes> {
        let mut all = BTreeMap::new();
        for (key, demand) in demands {
            let Some(credential) = self.cached.get(key).and_then(|cached| cached.credential.as_ref()) else {
                continue;
            };
            let name = (key.to_string(), credential.origin.identity.to_string());
            let times = CredentialTimes {
                expires_at: credential.expires_at,
                renewal_at: Life::of(credential).due_at(demand.threshold, &key.id()),
            };
            all.entry(name)
                .and_modify(|first: &mut CredentialTimes| *first = times.min(*first))
                .or_insert(times);
        }
        all
    }
}
