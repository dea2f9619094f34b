use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::{Denial, Failure, Refusal, Retry, classify};
use crate::api::condition::Reason;
use crate::cloud::call::{Action, At, By, Call};
use crate::cloud::identity::AccessKey;
use crate::cloud::reply::Detail;

const NOW: &str = "2026-11-20T10:00:00Z";

fn refusal(status: u16, code: &str) -> Refusal {
    Refusal { status, code: Some(code.to_owned()).filter(|code| !code.is_empty()), ..Refusal::default() }
}

fn judged(refusal: &Refusal, action: Action) -> Denial {
    judged_as(refusal, action, &AccessKey::sample("the worker role W"))
}

fn judged_as(refusal: &Refusal, action: Action, key: &AccessKey) -> Denial {
    let subject = if action == Action::AssumeRole { "acs:ram::2:role/b" } else { "cri-1 in cn-hangzhou" };
    let now: Timestamp = NOW.parse().unwrap();
    let at = At { host: "host.example", fallback: None };
    classify(refusal, &Call { action, at, subject, query: &[], by: By::Key(key), now })
}

fn failure(refusal: &Refusal, action: Action) -> Failure {
    judged(refusal, action).into_failure()
}

#[test]
fn a_code_decides_whatever_the_status_is() {
    use Action::{AssumeRole, GetAuthorizationToken as Mint, ListInstanceEndpoint as List};
    for (code, action, reason, retry) in [
        ("NoPrivilege", Mint, Reason::AccessDenied, Retry::Rarely),
        ("NoPermission", List, Reason::AccessDenied, Retry::Rarely),
        ("Forbidden.RAM", Mint, Reason::AccessDenied, Retry::Rarely),
        ("NoPermission", AssumeRole, Reason::TrustPolicyDenies, Retry::Rarely),
        ("EntityNotExist.Role", AssumeRole, Reason::TrustPolicyDenies, Retry::Rarely),
        ("InvalidParameter.DurationSeconds", AssumeRole, Reason::SessionTooLong, Retry::Rarely),
        ("INSTANCE_NOT_EXIST", Mint, Reason::InstanceNotFound, Retry::Rarely),
        ("INSTANCE_NOT_EXIST", List, Reason::InstanceNotFound, Retry::Rarely),
        ("InvalidProduct.NotFound", Mint, Reason::InstanceNotFound, Retry::Rarely),
        ("InvalidProduct.NotFound", AssumeRole, Reason::UnexpectedReply, Retry::Soon),
        ("InvalidTimeStamp.Expired", Mint, Reason::ClockSkew, Retry::Rarely),
        ("InvalidTimeStamp.Expired", AssumeRole, Reason::ClockSkew, Retry::Rarely),
        ("InvalidAccessKeyId.NotFound", Mint, Reason::KeyInvalid, Retry::Soon),
        ("InvalidAccessKeyId.Inactive", Mint, Reason::KeyInactive, Retry::Rarely),
        ("SignatureDoesNotMatch", Mint, Reason::KeyInvalid, Retry::Rarely),
        ("InvalidSecurityToken.Expired", Mint, Reason::UnexpectedReply, Retry::Soon),
        ("InvalidSecurityToken.NewKind", AssumeRole, Reason::UnexpectedReply, Retry::Soon),
        ("MissingSecurityToken", Mint, Reason::UnexpectedReply, Retry::Soon),
        ("SignatureNonceUsed", Mint, Reason::UnexpectedReply, Retry::Soon),
        ("Throttling", Mint, Reason::Throttled, Retry::Soon),
        ("Throttling.User", AssumeRole, Reason::Throttled, Retry::Soon),
        ("Throttling.NewKind", List, Reason::Throttled, Retry::Soon),
        ("InternalError", AssumeRole, Reason::CloudFailing, Retry::Soon),
        ("SystemError", Mint, Reason::CloudFailing, Retry::Soon),
        ("ServiceUnavailable", Mint, Reason::CloudFailing, Retry::Soon),
    ] {
        for status in [200, 400, 403, 404, 500] {
            // A code that is not known to this action falls back to the status.
            if reason == Reason::UnexpectedReply && code == "InvalidProduct.NotFound" && status == 500 {
                continue;
            }
            let failure = failure(&refusal(status, code), action);
            assert_eq!((failure.reason, failure.retry), (reason, retry), "{status} {code} on {action:?}");
            assert!(failure.message.contains(code), "{}", failure.message);
        }
    }
}

#[test]
fn a_status_decides_where_no_code_does() {
    for (status, code, reason) in [
        (500, "", Reason::CloudFailing),
        (502, "", Reason::CloudFailing),
        (503, "New.Code", Reason::CloudFailing),
        (429, "", Reason::Throttled),
        (400, "New.Code", Reason::UnexpectedReply),
        (302, "", Reason::UnexpectedReply),
        (200, "", Reason::UnexpectedReply),
    ] {
        assert_eq!(failure(&refusal(status, code), Action::AssumeRole).reason, reason, "{status} {code:?}");
    }
}

#[test]
fn a_hint_to_wait_is_obeyed_unless_only_a_human_can_help() {
    let wait = Duration::from_millis(1500);
    for (status, code, reason, retry) in [
        (400, "Throttling.User", Reason::Throttled, Retry::After(wait)),
        (503, "ServiceUnavailable", Reason::CloudFailing, Retry::After(wait)),
        (400, "New.Code", Reason::Throttled, Retry::After(wait)),
        (403, "NoPermission", Reason::AccessDenied, Retry::Rarely),
    ] {
        let hinted = Refusal { retry_after: Some(wait), ..refusal(status, code) };
        let failure = failure(&hinted, Action::GetAuthorizationToken);
        assert_eq!((failure.reason, failure.retry), (reason, retry), "{status} {code}");
    }
}

#[test]
fn a_session_is_dropped_when_its_key_or_token_is_refused_and_only_then() {
    for (code, dropped) in [
        ("InvalidSecurityToken.Expired", true),
        ("InvalidAccessKeyId.NotFound", true),
        ("SignatureDoesNotMatch", true),
        ("InvalidTimeStamp.Expired", false),
        ("NoPermission", false),
        ("Throttling", false),
        ("InternalError", false),
    ] {
        let denial = judged(&refusal(400, code), Action::GetAuthorizationToken);
        assert_eq!(matches!(denial, Denial::Session(_)), dropped, "{code}");
    }
}

#[test]
fn an_unknown_key_is_a_humans_matter_only_if_it_is_no_sessions() {
    let refusal = refusal(404, "InvalidAccessKeyId.NotFound");
    for (token, retry) in [(Some("token"), Retry::Soon), (None, Retry::Rarely)] {
        let key = AccessKey { token: token.map(SecretString::from), ..AccessKey::sample("W") };
        let failure = judged_as(&refusal, Action::GetAuthorizationToken, &key).into_failure();
        assert_eq!((failure.reason, failure.retry), (Reason::KeyInvalid, retry), "{token:?}");
    }
}

#[test]
fn a_message_names_the_action_the_host_the_identity_the_code_and_the_cure() {
    let denied = Refusal {
        detail: Detail {
            kind: Some("ExplicitDeny".to_owned()),
            policy: Some("AccountLevelIdentityBasedPolicy".to_owned()),
            action: None,
        },
        request_id: Some("0D2A-1".to_owned()),
        ..refusal(403, "NoPermission")
    };
    let failure = failure(&denied, Action::GetAuthorizationToken);
    assert_eq!(
        failure.message,
        "no right to cr:GetAuthorizationToken for cri-1 in cn-hangzhou (GetAuthorizationToken at host.example as \
         the worker role W: NoPermission, ExplicitDeny by AccountLevelIdentityBasedPolicy); \
         allow it in a RAM policy of that identity"
    );
    assert_eq!(failure.request_id.as_deref(), Some("0D2A-1"));
}

#[test]
fn the_cure_of_a_refused_assumption_is_the_policy_that_refused() {
    for (policy, trust, right) in [
        (None, true, true),
        (Some("AssumeRolePolicy"), true, false),
        (Some("AccountLevelIdentityBasedPolicy"), false, true),
    ] {
        let detail = Detail { policy: policy.map(str::to_owned), ..Detail::default() };
        let message =
            failure(&Refusal { detail, ..refusal(403, "NoPermission") }, Action::AssumeRole).message;
        let found = (message.contains("trust policy"), message.contains("in a RAM policy"));
        assert_eq!(found, (trust, right), "{message}");
        assert!(message.contains("acs:ram::2:role/b") && message.contains("the worker role W"), "{message}");
    }
}

#[test]
fn a_session_that_is_too_long_says_the_maximum_where_it_is_known() {
    let code = "InvalidParameter.DurationSeconds";
    let known = Refusal { longest_session: Some(3600), ..refusal(400, code) };
    assert!(failure(&known, Action::AssumeRole).message.contains("at most 3600 s"));
    assert!(!failure(&refusal(400, code), Action::AssumeRole).message.contains("at most"));
}

#[test]
fn a_skewed_clock_is_told_in_whole_minutes() {
    for (server, text) in [
        ("2026-11-20T10:20:00Z", "this machine's clock is 20 minutes behind the cloud's"),
        ("2026-11-20T10:20:29Z", "this machine's clock is 20 minutes behind the cloud's"),
        ("2026-11-20T09:39:35Z", "this machine's clock is 20 minutes ahead of the cloud's"),
    ] {
        let skewed =
            Refusal { date: Some(server.parse().unwrap()), ..refusal(400, "InvalidTimeStamp.Expired") };
        let message = failure(&skewed, Action::AssumeRole).message;
        assert!(message.contains(text), "{server}: {message}");
    }
    let message = failure(&refusal(400, "InvalidTimeStamp.Expired"), Action::AssumeRole).message;
    assert!(message.starts_with("this machine's clock is wrong"), "{message}");
}
