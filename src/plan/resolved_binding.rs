//! A binding with the credentials that are cached for its registries.

use std::sync::Arc;

use crate::model::{Binding, Credential};

/// The demand of a binding on the namespaces that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Serve them.
    Active,
    /// Leave them as they are.
    Suspended,
    /// Withdraw its part.
    Withdrawing,
    /// Leave its part behind, marked.
    Retaining,
    /// Leave everything as it is: the CustomResourceDefinition is deleted, and every binding with it.
    Abandoning,
}

/// The credential of one registry of a binding.
#[derive(Clone, Debug)]
pub enum RegistryCredential {
    /// The first attempt is in progress: a Secret that does not exist yet can wait for it.
    Pending,
    /// There is none.
    Missing,
    /// A credential and its domains.
    Held {
        /// The credential.
        credential: Arc<Credential>,
        /// The domains that it is for.
        domains: Arc<[String]>,
    },
}

/// A binding and the credentials of its registries.
#[derive(Clone, Debug)]
pub struct ResolvedBinding {
    /// The binding.
    pub binding: Arc<Binding>,
    /// Its demand.
    pub phase: Phase,
    /// One credential for each registry, in their order.
    pub registries: Vec<RegistryCredential>,
    /// Whether it no longer covers a ServiceAccount, and the entries that it gave stay for a while.
    pub keeps_entries: bool,
}

impl ResolvedBinding {
    /// Returns whether a first attempt is still in progress.
    pub fn is_pending(&self) -> bool {
        self.registries.iter().any(|credential| matches!(credential, RegistryCredential::Pending))
    }
}
