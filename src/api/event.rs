//! Reasons of Events, as an enum: a reason is an API that scripts match on.

use super::condition::Reason;

/// The reason of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventReason {
    /// On a binding: every covered namespace is served now.
    Ready,
    /// On a binding: a registry or a namespace is not served.
    NotReady,
    /// On a binding: a renewal fails, and the last credential is still valid.
    RefreshFailing,
    /// On a binding: it no longer selects anything, and the withdrawal is held.
    WithdrawalHeld,
    /// On a binding: an edit is reverted, since the ConfigMap is authoritative.
    HandEditReverted,
    /// On a ConfigMap: it is not converted, since a user's binding has the name.
    BindingNotConverted,
    /// On a ConfigMap: the reason of a condition of its binding.
    Condition(Reason),
    /// On the owner of a Pod: the Pod was created too early, and deleted.
    StuckPodReplaced,
    /// On a Secret: one of an earlier time is removed, though no binding gives the cause.
    LeftoverRemoved,
    /// On a Secret and its bindings: the takeover removes content of its owner.
    ContentReplaced,
    /// On a Secret: an immutable one is deleted and created again.
    SecretReplaced,
    /// On an object and its bindings: the value of `skip` is not a boolean, so it opts nothing out.
    SkipNotUnderstood,
}

impl EventReason {
    /// Returns the reason as written in the Event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NotReady => "NotReady",
            Self::RefreshFailing => "RefreshFailing",
            Self::WithdrawalHeld => "WithdrawalHeld",
            Self::HandEditReverted => "HandEditReverted",
            Self::BindingNotConverted => "BindingNotConverted",
            Self::Condition(reason) => reason.as_str(),
            Self::StuckPodReplaced => "StuckPodReplaced",
            Self::LeftoverRemoved => "LeftoverRemoved",
            Self::ContentReplaced => "ContentReplaced",
            Self::SecretReplaced => "SecretReplaced",
            Self::SkipNotUnderstood => "SkipNotUnderstood",
        }
    }
}
