//! Which objects are fought over, as far as anything was written there lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;

use super::clock;
use crate::plan::write_history::{self, WriteHistory};
use crate::plan::{Change, Failure};

/// A namespace's Secret, or one of its ServiceAccounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    namespace: Arc<str>,
    /// `None`: the Secret.
    pub service_account: Option<Box<str>>,
}

impl Object {
    /// What a change writes, if a rival could undo it.
    pub fn of(namespace: &Arc<str>, change: &Change) -> Option<Self> {
        let service_account = match change {
            Change::CreateSecret { .. } | Change::UpdateSecret { .. } => None,
            Change::SetPullSecrets { service_account, .. } => Some(service_account.clone()),
            Change::RetainSecret { .. } | Change::DeleteSecret { .. } => return None,
        };
        Some(Self { namespace: namespace.clone(), service_account })
    }
}

#[derive(Debug, Default)]
struct Conflict {
    write_history: WriteHistory,
    /// What was said of it, and until when that holds: a rival that goes on writing is not asked for at each write.
    told: Option<(Timestamp, Failure)>,
    /// What was said of a rival whose writes are undone each time, for as long as it goes on.
    slow: Option<Failure>,
}

/// The rivalries that are remembered.
#[derive(Debug, Default)]
pub struct ConflictTracker {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    rivalries: HashMap<Object, Conflict>,
    /// Namespaces that refused our Secret, and until when it is not tried again.
    refused: HashMap<Arc<str>, Timestamp>,
    /// At this size those that are over are dropped.
    sweep_at: usize,
}

impl ConflictTracker {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a write in.
    pub fn wrote(&self, object: Object) {
        let now = clock::now();
        let mut known = self.lock();
        known.sweep(now);
        let seed = object.namespace.clone();
        let fight = known.rivalries.entry(object).or_default();
        if fight.write_history.is_over(now) {
            fight.slow = None;
        }
        fight.write_history.wrote(now, &seed);
    }

    /// What was said already of an object that is left alone until then.
    pub fn told(&self, object: &Object, until: Timestamp) -> Option<Failure> {
        let known = self.lock();
        let (told_until, failure) = known.rivalries.get(object)?.told.as_ref()?;
        (*told_until == until).then(|| failure.clone())
    }

    /// Remembers what was said.
    pub fn tell(&self, object: Object, until: Timestamp, failure: Failure) {
        let mut known = self.lock();
        known.rivalries.entry(object).or_default().told = Some((until, failure));
    }

    /// Remembers that a namespace refused our Secret, and until when it is not tried again, whatever happens there.
    pub fn refuse(&self, namespace: &Arc<str>, until: Timestamp) {
        let now = clock::now();
        let mut known = self.lock();
        known.refused.retain(|_, until| *until > now);
        known.refused.insert(namespace.clone(), until);
    }

    /// Forgets that a namespace refused our Secret: nothing is left to write there.
    pub fn accept(&self, namespace: &str) {
        self.lock().refused.remove(namespace);
    }

    /// Until when our Secret is not tried in a namespace that refused it.
    pub fn refused_until(&self, namespace: &str) -> Option<Timestamp> {
        let known = self.lock();
        known.refused.get(namespace).copied().filter(|until| write_history::is_ahead(*until, clock::now()))
    }

    /// When the writes of an object began, if somebody is to be said to undo them and was not yet.
    pub fn is_to_be_told(&self, object: &Object) -> Option<Timestamp> {
        let known = self.lock();
        let fight = known.rivalries.get(object).filter(|fight| fight.slow.is_none())?;
        fight.write_history.is_to_be_told(clock::now())
    }

    /// Remembers what was said of a rival whose writes are undone each time.
    pub fn tell_slow(&self, object: Object, failure: Failure) {
        let mut known = self.lock();
        known.rivalries.entry(object).or_default().slow = Some(failure);
    }

    /// What is said of rivals in a namespace and not over yet. Walks what is remembered: only where somebody was told
    /// of is it asked for.
    pub fn slow_in(&self, namespace: &str) -> Option<Failure> {
        let now = clock::now();
        let known = self.lock();
        let mut here = known.rivalries.iter().filter(|(object, _)| &*object.namespace == namespace);
        here.find_map(|(_, fight)| fight.slow.clone().filter(|_| !fight.write_history.is_over(now)))
    }

    /// Forgets an object that was made anew: others' writes before that are another's story.
    pub fn forget(&self, object: &Object) {
        self.lock().rivalries.remove(object);
    }

    /// Until when an object is left alone.
    pub fn quiet_until(&self, object: &Object) -> Option<Timestamp> {
        let known = self.lock();
        known.rivalries.get(object)?.write_history.quiet_until(clock::now())
    }
}

impl Known {
    /// A look at all of them each time their number has doubled costs each of them little.
    fn sweep(&mut self, now: Timestamp) {
        if self.rivalries.len() < self.sweep_at.max(256) {
            return;
        }
        self.rivalries.retain(|_, fight| !fight.write_history.is_over(now));
        self.rivalries.shrink_to_fit();
        self.sweep_at = self.rivalries.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ConflictTracker, Object};
    use crate::api::Reason;
    use crate::controller::clock;
    use crate::plan::Failure;

    #[test]
    fn what_was_said_holds_for_the_rest_it_was_said_of() {
        let (conflicts, first) = (ConflictTracker::default(), clock::now());
        let object = Object { namespace: "n".into(), service_account: None };
        assert!(conflicts.told(&object, first).is_none());
        conflicts.tell(object.clone(), first, Failure::new(Reason::Contended, "by a tool"));
        assert_eq!(conflicts.told(&object, first).map(|told| told.reason), Some(Reason::Contended));
        assert!(
            conflicts.told(&object, first + Duration::from_secs(60)).is_none(),
            "somebody else may write by now"
        );
    }
}
