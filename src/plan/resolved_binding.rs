//! A binding with the credentials that are cached for its registries.

use std::sync::Arc;

use crate::model::{Binding, Credential};

/// What a binding asks of the namespaces that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Serve them.
    Active,
    /// Leave them as they are.
    Suspended,
    /// Take back what was ours.
    Withdrawing,
    /// Leave all behind, marked.
    Retaining,
    /// Leave all as it is: the CustomResourceDefinition goes, and every binding with it.
    Abandoning,
}

/// One registry of a binding, with what is held for it.
#[derive(Clone, Debug)]
pub enum RegistryCredential {
    /// The first attempt is under way: a Secret that does not stand yet can wait for it.
    Pending,
    /// There is nothing to write.
    Missing,
    /// A credential and its domains.
    Held {
        /// The credential.
        credential: Arc<Credential>,
        /// The domains that it is for.
        domains: Arc<[String]>,
    },
}

/// A binding and what is held for its registries.
#[derive(Clone, Debug)]
pub struct ResolvedBinding {
    /// The binding.
    pub binding: Arc<Binding>,
    /// What it asks.
    pub phase: Phase,
    /// One a registry, in their order.
    pub registries: Vec<RegistryCredential>,
    /// Whether it covers no ServiceAccount any more, and the entries that it gave stay for a while.
    pub keeps_entries: bool,
}

impl ResolvedBinding {
    /// Whether a first attempt is still under way.
    pub fn is_pending(&self) -> bool {
        self.registries.iter().any(|credential| matches!(credential, RegistryCredential::Pending))
    }
}
