//! The Events of a binding: what its status says now and did not say before. Without a change there are none, and a
//! namespace never has one of its own.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::event::EventReason;
use crate::api::{AcrCredentialBindingStatus, ConditionType, Reason};

/// An Event to publish on a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingEvent {
    /// Its reason.
    pub reason: EventReason,
    /// Whether it is a warning.
    pub is_warning: bool,
    /// Its text: the message of a condition.
    pub note: String,
}

/// Returns the Events that follow from a new status. `said` is what `Ready` last said, once it was settled: a binding that
/// is ready again after an edit is not news.
pub fn events(
    said: Option<EventReason>,
    before: Option<&AcrCredentialBindingStatus>,
    now: &AcrCredentialBindingStatus,
) -> Vec<BindingEvent> {
    let mut events = Vec::new();
    let kind = ConditionType::WithdrawalHeld;
    if let (None, Some(held)) = (before.and_then(|before| condition(before, kind)), condition(now, kind)) {
        let note = held.message.clone();
        events.push(BindingEvent { reason: EventReason::WithdrawalHeld, is_warning: true, note });
    }
    let begins = |reason: EventReason| match reason {
        // Only an end of trouble: to become ready is the usual way of a new binding.
        EventReason::Ready => said.is_some_and(|said| said != EventReason::Ready),
        _ => said != Some(reason),
    };
    if let Some((reason, ready)) = settled_readiness(now).filter(|(reason, _)| begins(*reason)) {
        let is_warning = reason != EventReason::Ready;
        events.push(BindingEvent { reason, is_warning, note: ready.message.clone() });
    }
    events
}

/// Returns what `Ready` says, once it is not expected to change by itself.
pub fn settled(status: &AcrCredentialBindingStatus) -> Option<EventReason> {
    settled_readiness(status).map(|(reason, _)| reason)
}

fn settled_readiness(status: &AcrCredentialBindingStatus) -> Option<(EventReason, &Condition)> {
    readiness(status).filter(|_| condition(status, ConditionType::Reconciling).is_none())
}

/// Returns what `Ready` says. What a user asked for is not reported: a binding that is suspended, or being deleted.
fn readiness(status: &AcrCredentialBindingStatus) -> Option<(EventReason, &Condition)> {
    let ready = condition(status, ConditionType::Ready)?;
    let asked_for = ready.reason == Reason::Suspended.as_str()
        || ready.reason == Reason::Withdrawing.as_str()
        || ready.reason == Reason::DryRun.as_str();
    let reason = match ready.status.as_str() {
        "True" if ready.reason == Reason::RefreshFailing.as_str() => EventReason::RefreshFailing,
        "True" => EventReason::Ready,
        "False" if !asked_for => EventReason::NotReady,
        _ => return None,
    };
    Some((reason, ready))
}

fn condition(status: &AcrCredentialBindingStatus, kind: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use k8s_openapi::jiff::Timestamp;

    use super::{BindingEvent, events, settled};
    use crate::api::AcrCredentialBindingStatus;
    use crate::api::event::EventReason;

    fn status(conditions: &[(&str, &str, &str)]) -> AcrCredentialBindingStatus {
        let condition = |(kind, status, reason): &(&str, &str, &str)| Condition {
            type_: (*kind).to_owned(),
            status: (*status).to_owned(),
            reason: (*reason).to_owned(),
            message: format!("why {reason}"),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        let conditions = conditions.iter().map(condition).collect();
        AcrCredentialBindingStatus { conditions, ..AcrCredentialBindingStatus::default() }
    }

    fn reasons(said: Option<EventReason>, now: &AcrCredentialBindingStatus) -> Vec<EventReason> {
        events(said, None, now).into_iter().map(|event| event.reason).collect()
    }

    #[test]
    fn trouble_is_reported_once_with_its_message_and_so_is_its_end() {
        let ready = status(&[("Ready", "True", "Succeeded")]);
        let failing = status(&[("Ready", "True", "RefreshFailing")]);
        let down = status(&[("Ready", "False", "AccessDenied")]);
        assert_eq!(reasons(None, &ready), [], "a new binding becomes ready");
        assert_eq!(reasons(settled(&ready), &failing), [EventReason::RefreshFailing]);
        let note = "why AccessDenied".to_owned();
        let expected = BindingEvent { reason: EventReason::NotReady, is_warning: true, note };
        assert_eq!(events(settled(&failing), Some(&failing), &down), [expected]);
        assert_eq!(reasons(None, &down), [EventReason::NotReady]);
        let end = events(settled(&down), Some(&down), &ready).remove(0);
        assert_eq!((end.reason, end.is_warning), (EventReason::Ready, false));
        for same in [&ready, &failing, &down] {
            assert_eq!(reasons(settled(same), same), []);
        }
        let other = status(&[("Ready", "False", "Unreachable")]);
        assert_eq!(reasons(settled(&down), &other), [], "the status has the causes");
    }

    #[test]
    fn what_is_under_way_or_asked_for_is_not_reported() {
        let ready = status(&[("Ready", "True", "Succeeded")]);
        for conditions in [
            &[("Ready", "False", "NotIssued"), ("Reconciling", "True", "Progressing")][..],
            &[("Ready", "Unknown", "WatchStale")],
            &[("Ready", "False", "Suspended")],
            &[("Ready", "False", "Withdrawing")],
            &[("Ready", "False", "DryRun")],
            &[],
        ] {
            let now = status(conditions);
            assert_eq!((reasons(settled(&ready), &now), settled(&now)), (vec![], None), "{conditions:?}");
        }
    }

    #[test]
    fn a_withdrawal_is_reported_when_it_begins_to_be_held() {
        let (ready, held) = (("Ready", "True", "Succeeded"), ("WithdrawalHeld", "True", "CoverageLost"));
        let (before, now) = (status(&[ready]), status(&[ready, held]));
        let held = events(settled(&before), Some(&before), &now);
        assert_eq!(held.iter().map(|event| event.reason).collect::<Vec<_>>(), [EventReason::WithdrawalHeld]);
        assert_eq!(events(settled(&now), Some(&now), &now), []);
    }
}
