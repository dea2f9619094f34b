//! Writes without an answer: what they wrote may show later.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::change::ObjectKey;
use super::refresh::backoff;
use super::write_history::{after, is_ahead};

/// Bounds of the back-off after a read that failed.
const UNREAD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The objects of one namespace that may hold what a write without an answer made.
///
/// # Guarantees
/// - An object stays until it was read, written with an answer, or deleted.
#[derive(Clone, Debug, Default)]
pub struct UnclearWrites(BTreeMap<ObjectKey, NextRead>);

/// When to read an object.
#[derive(Clone, Debug)]
struct NextRead {
    /// Reads in a row that failed.
    failures: u32,
    at: Timestamp,
}

impl UnclearWrites {
    /// Returns whether the result of each write is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the object of a write without an answer.
    pub fn add(&mut self, object: ObjectKey, now: Timestamp) {
        self.0.entry(object).or_insert(NextRead { failures: 0, at: now });
    }

    /// Forgets an object whose present state is known.
    pub fn remove(&mut self, object: &ObjectKey) {
        self.0.remove(object);
    }

    /// Forgets the objects that do not satisfy a test.
    pub fn retain(&mut self, mut test: impl FnMut(&ObjectKey) -> bool) {
        self.0.retain(|object, _| test(object));
    }

    /// Returns the objects that are to be read now.
    pub fn due(&self, now: Timestamp) -> Vec<ObjectKey> {
        let due = self.0.iter().filter(|(_, read)| !is_ahead(read.at, now));
        due.map(|(object, _)| object.clone()).collect()
    }

    /// Returns when the next object is to be read.
    pub fn next(&self) -> Option<Timestamp> {
        self.0.values().map(|read| read.at).min()
    }

    /// Lets the objects that are due rest, after a read that failed in this namespace.
    pub fn postpone(&mut self, namespace: &str, now: Timestamp) {
        for read in self.0.values_mut().filter(|read| !is_ahead(read.at, now)) {
            read.failures = read.failures.saturating_add(1);
            read.at = after(now, backoff(read.failures, UNREAD.0, UNREAD.1, namespace));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UnclearWrites;
    use crate::plan::change::ObjectKey;
    use crate::plan::fixture::at;

    #[test]
    fn an_object_is_due_until_it_is_read_and_rests_longer_after_each_failure() {
        let mut unclear = UnclearWrites::default();
        assert!(unclear.is_empty() && unclear.next().is_none());
        let account = ObjectKey::ServiceAccount("default".into());
        unclear.add(ObjectKey::Secret, at(0));
        unclear.add(account.clone(), at(5));
        assert_eq!(unclear.due(at(0)), [ObjectKey::Secret]);
        unclear.postpone("n", at(0));
        let first = unclear.next().unwrap();
        assert!(first > at(0) && first <= at(1), "{first}");
        assert_eq!(unclear.due(at(0)), []);
        unclear.postpone("n", at(1));
        let read_at = |unclear: &UnclearWrites| unclear.0[&ObjectKey::Secret].at;
        assert!(read_at(&unclear).duration_since(at(1)) > first.duration_since(at(0)), "it rests longer");
        unclear.add(ObjectKey::Secret, at(9));
        assert!(read_at(&unclear) < at(9), "another such write does not put its read off");
        unclear.remove(&ObjectKey::Secret);
        assert_eq!(unclear.due(at(5)), std::slice::from_ref(&account));
        unclear.retain(|object| *object != account);
        assert!(unclear.is_empty());
    }
}
