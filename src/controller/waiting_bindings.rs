//! Bindings that are not observed yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::AcrCredentialBinding;
use crate::cluster::listed_names::ListedNames;

/// Bindings that wait for the labels that they select by, by name.
#[derive(Debug, Default)]
pub struct WaitingBindings(Mutex<HashMap<String, AcrCredentialBinding>>);

impl WaitingBindings {
    /// Locks them, for a moment only.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<String, AcrCredentialBinding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a binding.
    pub fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Forgets the bindings that are missing in a list.
    pub fn retain(&self, seen: &ListedNames) {
        self.lock().retain(|name, _| seen.contains("", name));
    }
}
