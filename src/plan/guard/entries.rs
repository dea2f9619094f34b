//! The entries of a binding that covers namespaces, and suddenly no ServiceAccount in any of them.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use crate::model::Binding;

#[derive(Debug)]
struct Known {
    asked: Arc<Binding>,
    /// Since when they stay.
    since: Option<Timestamp>,
    /// Whether they stayed for long enough.
    over: bool,
}

/// Whose entries stay for a while.
#[derive(Debug, Default)]
pub(super) struct Entries(HashMap<Arc<str>, Known>);

impl Entries {
    /// Takes in whether a binding lost all its ServiceAccounts, and whether they are guarded at all. They stay from now on,
    /// or since what its status tells after a start, unless they do already; not again where they stayed for long enough
    /// and nothing was edited.
    pub(super) fn ask(
        &mut self,
        binding: &Arc<Binding>,
        lost: bool,
        guarded: bool,
        (told, now): (Option<Timestamp>, Timestamp),
    ) {
        let before = self.0.remove(&binding.name);
        let over = before.as_ref().is_some_and(|known| known.over && lost && known.asked == *binding);
        let since = match &before {
            Some(known) => known.since,
            // Later, what is told may be of namespaces that are held.
            None => told,
        };
        let since = since.unwrap_or(now);
        let since = (lost && guarded && !over).then_some(since);
        self.0.insert(binding.name.clone(), Known { asked: binding.clone(), since, over });
    }

    pub(super) fn since(&self, binding: &str) -> Option<Timestamp> {
        self.0.get(binding)?.since
    }

    /// They stayed for long enough.
    pub(super) fn release(&mut self, binding: &str) {
        if let Some(known) = self.0.get_mut(binding) {
            known.over |= known.since.take().is_some();
        }
    }

    pub(super) fn forget(&mut self, binding: &str) {
        self.0.remove(binding);
    }
}
