//! The keys of the labels that bindings select by. Other labels are not kept: a tenant can set thousands of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The keys of one kind of object.
///
/// # Guarantees
/// A key is wanted from the moment at which a binding asks for it, so later events carry its labels. It is known only
/// once the objects that had it before are listed by it. Keys that are wanted before the first list of all objects
/// need no list of their own.
#[derive(Debug, Default)]
pub struct LabelKeys {
    state: Mutex<KeyState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct KeyState {
    wanted: Arc<SelectedKeys>,
    /// Keys whose objects are still to be listed.
    unlisted: BTreeSet<Box<str>>,
    /// Whether the first list has begun.
    begun: bool,
}

/// A set of keys of labels.
#[derive(Clone, Debug, Default)]
pub struct SelectedKeys {
    /// Every key is in it.
    every: bool,
    keys: BTreeSet<Box<str>>,
}

impl SelectedKeys {
    /// Returns the set of all keys.
    pub fn every() -> Self {
        Self { every: true, keys: BTreeSet::new() }
    }

    /// Returns whether a key is in the set.
    pub fn contains(&self, key: &str) -> bool {
        self.every || self.keys.contains(key)
    }
}

impl LabelKeys {
    fn lock(&self) -> MutexGuard<'_, KeyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the labels of these keys. Returns whether some of the keys are new.
    pub fn want<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> bool {
        let mut state = self.lock();
        let new: BTreeSet<Box<str>> =
            keys.into_iter().filter(|key| !state.wanted.contains(key)).map(Into::into).collect();
        if new.is_empty() {
            return false;
        }
        Arc::make_mut(&mut state.wanted).keys.extend(new.iter().cloned());
        if state.begun {
            state.unlisted.extend(new);
            self.changed.notify_one();
        }
        true
    }

    /// Returns whether the labels of this key are complete.
    pub fn is_known(&self, key: &str) -> bool {
        let state = self.lock();
        state.wanted.contains(key) && !state.unlisted.contains(key)
    }

    /// Returns the keys that are wanted now.
    pub fn wanted(&self) -> Arc<SelectedKeys> {
        self.lock().wanted.clone()
    }

    /// Records that the first list may begin: the keys of all bindings are wanted.
    pub fn begin(&self) {
        self.lock().begun = true;
        self.changed.notify_waiters();
    }

    /// Waits until the first list may begin.
    pub async fn begun(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().begun {
                return;
            }
            changed.await;
        }
    }

    /// Waits for a key whose objects are to be listed. One task may wait.
    pub async fn next_unlisted(&self) -> Box<str> {
        loop {
            let next = self.lock().unlisted.first().cloned();
            match next {
                Some(key) => return key,
                None => self.changed.notified().await,
            }
        }
    }

    /// Records that the objects that have a key are listed.
    pub fn listed(&self, key: &str) {
        self.lock().unlisted.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::{LabelKeys, SelectedKeys};

    #[test]
    fn a_key_wanted_before_the_first_list_is_known_with_it() {
        let keys = LabelKeys::default();
        assert!(keys.want(["tier"]));
        keys.begin();
        assert!(keys.is_known("tier"));
        assert!(!keys.want(["tier"]));
        assert!(!keys.is_known("team"), "it was never wanted");
    }

    #[tokio::test]
    async fn a_later_key_is_selected_at_once_and_known_once_it_is_listed() {
        let keys = LabelKeys::default();
        keys.begin();
        keys.begun().await;
        assert!(keys.want(["tier", "team"]));
        assert!(keys.wanted().contains("tier") && !keys.wanted().contains("x"));
        assert!(!keys.is_known("tier"));
        assert_eq!(&*keys.next_unlisted().await, "team");
        keys.listed("team");
        assert_eq!(&*keys.next_unlisted().await, "tier");
        assert!(keys.is_known("team") && !keys.is_known("tier"));
        assert!(!keys.want(["tier"]), "it is wanted already, and still not known");
        keys.listed("tier");
        assert!(keys.is_known("tier"));
    }

    #[tokio::test]
    async fn the_first_list_waits_for_the_bindings() {
        let keys = LabelKeys::default();
        let waiting = keys.begun();
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        keys.begin();
        assert!(futures::poll!(&mut waiting).is_ready());
    }

    #[test]
    fn every_key_is_selected_where_nothing_is_kept_for_long() {
        assert!(SelectedKeys::every().contains("x"));
        assert!(!SelectedKeys::default().contains("x"));
    }
}
