//! Notices to the users of a namespace: what is taken away outside the ordinary, before it happens, and what is not
//! understood. Each becomes an Event on the object that it is about.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use super::change::ObjectKey;
use crate::api::event::EventReason;

/// Notices that a namespace remembers, so that none is repeated.
const REMEMBERED: usize = 64;

/// The object that a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NoticeSubject {
    /// The Namespace.
    Namespace,
    /// An object in it.
    Object(ObjectKey),
}

/// The reason of a notice, as the Event has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeReason {
    /// A Secret of an earlier time is removed, though no binding gives the cause.
    LeftoverRemoved,
    /// The takeover of a Secret removes content of its owner.
    ContentReplaced,
    /// An immutable Secret is deleted and created again.
    SecretReplaced,
    /// The value of `skip` is not a boolean, so it opts nothing out.
    SkipNotUnderstood,
}

impl NoticeReason {
    /// Returns the reason of the Event.
    pub const fn event(self) -> EventReason {
        match self {
            Self::LeftoverRemoved => EventReason::LeftoverRemoved,
            Self::ContentReplaced => EventReason::ContentReplaced,
            Self::SecretReplaced => EventReason::SecretReplaced,
            Self::SkipNotUnderstood => EventReason::SkipNotUnderstood,
        }
    }

    /// Returns whether other users decide how often it occurs, by what they write.
    pub const fn is_provoked(self) -> bool {
        matches!(self, Self::SkipNotUnderstood)
    }
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// The object.
    pub subject: NoticeSubject,
    /// The reason.
    pub reason: NoticeReason,
    /// The message, for people. Never a secret.
    pub message: String,
    /// Bindings that get the same Event.
    pub bindings: Vec<Arc<str>>,
}

/// The notices of a namespace that were given.
#[derive(Clone, Debug, Default)]
pub struct GivenNotices(Vec<u64>);

impl GivenNotices {
    /// Returns whether a notice is still to be given. Of those that other users provoke, only so many are.
    pub fn lack(&self, notice: &Notice) -> bool {
        let full = self.0.len() >= REMEMBERED && notice.reason.is_provoked();
        !full && !self.0.contains(&digest(notice))
    }

    /// Records that a notice was given.
    pub fn add(&mut self, notice: &Notice) {
        let digest = digest(notice);
        if self.0.contains(&digest) {
            return;
        }
        if self.0.len() >= REMEMBERED {
            self.0.remove(0);
        }
        self.0.push(digest);
    }
}

fn digest(notice: &Notice) -> u64 {
    let mut hasher = DefaultHasher::new();
    notice.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{GivenNotices, Notice, NoticeReason, NoticeSubject, REMEMBERED};

    fn notice(reason: NoticeReason, message: &str) -> Notice {
        Notice {
            subject: NoticeSubject::Namespace,
            reason,
            message: message.to_owned(),
            bindings: Vec::new(),
        }
    }

    #[test]
    fn each_value_gives_one_notice_and_many_values_give_a_bounded_number() {
        let mut given = GivenNotices::default();
        let mut count = 0;
        for round in 0..3 {
            for value in 0..1000 {
                let notice = notice(NoticeReason::SkipNotUnderstood, &value.to_string());
                if given.lack(&notice) {
                    assert_eq!(round, 0, "{value}");
                    given.add(&notice);
                    count += 1;
                }
            }
        }
        assert_eq!(count, REMEMBERED);
        let removal = notice(NoticeReason::LeftoverRemoved, "gone");
        assert!(given.lack(&removal), "a removal is always said");
        given.add(&removal);
        assert!(!given.lack(&removal));
        assert_eq!(given.0.len(), REMEMBERED);
    }
}
