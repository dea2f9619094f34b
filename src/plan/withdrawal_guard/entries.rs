//! The entries of a binding that covers namespaces, and suddenly no ServiceAccount in any of them.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::intent::WithdrawalIntent;
use crate::model::Binding;

/// An observation of the ServiceAccounts of a binding.
#[derive(Clone, Copy, Debug)]
pub struct EntryLoss {
    /// Whether it covers no ServiceAccount, while entries exist that it alone can have given.
    pub is_lost: bool,
    /// The intent of the binding.
    pub intent: WithdrawalIntent,
    /// Since when its status reports that a withdrawal is held.
    pub reported_since: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

#[derive(Debug)]
struct KeptEntries {
    asked: Arc<Binding>,
    /// Since when they stay.
    since: Option<Timestamp>,
    /// Whether they stayed for long enough.
    over: bool,
}

/// The entries that stay for a while, by binding.
#[derive(Debug, Default)]
pub(super) struct Entries(HashMap<Arc<str>, KeptEntries>);

impl Entries {
    /// Observes whether a binding lost all its ServiceAccounts, and whether it is guarded. Its entries stay from now
    /// on, or after a restart since its status reports it. They stay once: not again where nothing was edited since.
    pub(super) fn observe(&mut self, binding: &Arc<Binding>, loss: EntryLoss, guarded: bool) {
        let before = self.0.remove(&binding.name);
        let over = before.as_ref().is_some_and(|known| known.over && loss.is_lost && known.asked == *binding);
        let since = match &before {
            Some(known) => known.since,
            // Later, the report may speak of namespaces that are held.
            None => loss.reported_since,
        };
        let since = since.unwrap_or(loss.now);
        let since = (loss.is_lost && guarded && !over).then_some(since);
        self.0.insert(binding.name.clone(), KeptEntries { asked: binding.clone(), since, over });
    }

    pub(super) fn since(&self, binding: &str) -> Option<Timestamp> {
        self.0.get(binding)?.since
    }

    /// Records that they stayed for long enough.
    pub(super) fn release(&mut self, binding: &str) {
        if let Some(known) = self.0.get_mut(binding) {
            known.over |= known.since.take().is_some();
        }
    }

    pub(super) fn forget(&mut self, binding: &str) {
        self.0.remove(binding);
    }
}
