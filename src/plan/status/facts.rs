//! Inputs of a status.

use k8s_openapi::jiff::Timestamp;

use crate::plan::condition::BindingCondition;
use crate::plan::failure::Failure;
use crate::plan::refresh::Life;
use crate::plan::rollup::Rollup;

/// State of one registry.
#[derive(Clone, Debug)]
pub struct RegistryFacts {
    /// Instance id, or `personal`.
    pub registry: String,
    /// Its region.
    pub region: String,
    /// The domains that the credential is for.
    pub domains: Vec<String>,
    /// The identity that mints.
    pub identity: String,
    /// The API host that answered.
    pub endpoint: Option<String>,
    /// A remark on the credential.
    pub remark: Option<String>,
    /// When the credential was minted and expires.
    pub life: Option<Life>,
    /// When it is due.
    pub next_refresh_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    /// Whether the failure is that the cloud issues no credential for the instance, or for some of its domains.
    pub is_unsupported: bool,
}

impl RegistryFacts {
    /// Returns whether the registry has a valid credential for all of its domains.
    pub fn is_issued(&self, now: Timestamp) -> bool {
        !self.is_unsupported && self.life.is_some_and(|life| !life.is_over(now))
    }
}

/// State of one binding.
#[derive(Debug)]
pub struct BindingFacts<'a> {
    /// Name of the binding.
    pub name: &'a str,
    /// Generation of the spec.
    pub generation: i64,
    /// Why the binding as a whole is not served: invalid, suspended, being deleted.
    pub standstill: Option<Failure>,
    /// Why nothing is known of the present state: a watch hears nothing.
    pub blindness: Option<Failure>,
    /// One a registry, in their order.
    pub registries: Vec<RegistryFacts>,
    /// Results of its namespaces.
    pub rollup: &'a Rollup,
    /// The refresh request that was handled.
    pub handled_refresh_at: Option<String>,
    /// Since when and why the withdrawal from namespaces is held.
    pub held: Option<(Timestamp, Failure)>,
    /// The names that it lists and excludes at the same time.
    pub excluded_names: Option<String>,
    /// Which rule passed over what, where it covers no namespace.
    pub nothing_covered: Option<String>,
    /// Conditions that are decided elsewhere.
    pub others: Vec<BindingCondition>,
}
