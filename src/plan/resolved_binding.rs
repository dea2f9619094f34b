//! A binding with the credentials that are cached for its registries.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

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

impl Phase {
    /// Returns whether the binding is being deleted, and it is decided what becomes of its part.
    pub fn is_leaving(self) -> bool {
        matches!(self, Self::Withdrawing | Self::Retaining | Self::Abandoning)
    }
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

impl RegistryCredential {
    /// Returns whether nothing differs between them: neither the credential nor its domains.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pending, Self::Pending) | (Self::Missing, Self::Missing) => true,
            (Self::Held { credential, domains }, Self::Held { credential: other, domains: others }) => {
                Arc::ptr_eq(credential, other) && domains == others
            }
            _ => false,
        }
    }
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

    /// Returns what the order of precedence follows from: the age, then the name.
    pub fn precedence(&self) -> (Timestamp, &str) {
        (self.binding.created_at, &self.binding.name)
    }

    /// Returns whether both have one spec and one phase, whatever their credentials are.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.phase == other.phase && self.binding == other.binding
    }

    /// Returns whether both have the same credentials.
    pub fn has_same_credentials(&self, other: &Self) -> bool {
        let pairs = self.registries.iter().zip(&other.registries);
        self.registries.len() == other.registries.len() && pairs.into_iter().all(|(a, b)| a.is_same(b))
    }
}
