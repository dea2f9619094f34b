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

/// Returns the Events that follow from a new status.
pub fn events(
    before: Option<&AcrCredentialBindingStatus>,
    now: &AcrCredentialBindingStatus,
) -> Vec<BindingEvent> {
    let mut events = Vec::new();
    let kind = ConditionType::WithdrawalHeld;
    if let (None, Some(held)) = (before.and_then(|before| condition(before, kind)), condition(now, kind)) {
        let note = held.message.clone();
        events.push(BindingEvent { reason: EventReason::WithdrawalHeld, is_warning: true, note });
    }
    let settled = settled(now).filter(|(reason, _)| before.and_then(settled_reason) != Some(*reason));
    if let Some((reason, ready)) = settled {
        let is_warning = reason != EventReason::Ready;
        events.push(BindingEvent { reason, is_warning, note: ready.message.clone() });
    }
    events
}

fn settled_reason(status: &AcrCredentialBindingStatus) -> Option<EventReason> {
    settled(status).map(|(reason, _)| reason)
}

/// Returns what `Ready` says, once it is not expected to change by itself. What a user asked for is not reported: a
/// binding that is suspended, or being deleted.
fn settled(status: &AcrCredentialBindingStatus) -> Option<(EventReason, &Condition)> {
    if condition(status, ConditionType::Reconciling).is_some() {
        return None;
    }
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

    use super::{BindingEvent, events};
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

    fn reasons(
        before: Option<&AcrCredentialBindingStatus>,
        now: &AcrCredentialBindingStatus,
    ) -> Vec<EventReason> {
        events(before, now).into_iter().map(|event| event.reason).collect()
    }

    #[test]
    fn a_change_of_readiness_is_reported_once_with_its_message() {
        let ready = status(&[("Ready", "True", "Succeeded")]);
        let failing = status(&[("Ready", "True", "RefreshFailing")]);
        let down = status(&[("Ready", "False", "AccessDenied")]);
        let other = status(&[("Ready", "False", "Unreachable")]);
        assert_eq!(reasons(None, &ready), [EventReason::Ready]);
        assert_eq!(reasons(Some(&ready), &failing), [EventReason::RefreshFailing]);
        let note = "why AccessDenied".to_owned();
        let expected = BindingEvent { reason: EventReason::NotReady, is_warning: true, note };
        assert_eq!(events(Some(&failing), &down), [expected]);
        assert_eq!(reasons(Some(&down), &ready), [EventReason::Ready]);
        for same in [&ready, &failing, &down] {
            assert_eq!(reasons(Some(same), same), []);
        }
        assert_eq!(reasons(Some(&down), &other), [], "the status has the causes");
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
            assert_eq!(reasons(Some(&ready), &status(conditions)), [], "{conditions:?}");
        }
    }

    #[test]
    fn a_withdrawal_is_reported_when_it_begins_to_be_held() {
        let (ready, held) = (("Ready", "True", "Succeeded"), ("WithdrawalHeld", "True", "CoverageLost"));
        let (before, now) = (status(&[ready]), status(&[ready, held]));
        assert_eq!(reasons(Some(&before), &now), [EventReason::WithdrawalHeld]);
        assert_eq!(reasons(Some(&now), &now), []);
    }
}
