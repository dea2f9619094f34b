use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::{CallFailure, CloudError, ErrorReply, Retry, classify};
use crate::api::condition::Reason;
use crate::cloud::access_key::AccessKey;
use crate::cloud::call::{Action, Call, CallAuth};
use crate::cloud::reply::AccessDeniedDetail;

const NOW: &str = "2026-11-20T10:00:00Z";

fn reply(status: u16, code: &str) -> ErrorReply {
    ErrorReply {
        status,
        code: Some(code.to_owned()).filter(|code| !code.is_empty()),
        ..ErrorReply::default()
    }
}

fn classified(reply: &ErrorReply, action: Action) -> CallFailure {
    classified_as(reply, action, &AccessKey::sample("the worker role W"))
}

fn classified_as(reply: &ErrorReply, action: Action, key: &AccessKey) -> CallFailure {
    let subject = if action == Action::AssumeRole { "acs:ram::2:role/b" } else { "cri-1 in cn-hangzhou" };
    let now: Timestamp = NOW.parse().unwrap();
    let call = Call {
        action,
        host: "host.example",
        fallback_host: None,
        subject,
        query: &[],
        auth: CallAuth::AccessKey(key),
        now,
    };
    classify(reply, &call)
}

fn error_of(reply: &ErrorReply, action: Action) -> CloudError {
    classified(reply, action).into_error()
}

#[test]
fn a_known_code_decides_independent_of_the_status() {
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
            let error = error_of(&reply(status, code), action);
            assert_eq!((error.reason, error.retry), (reason, retry), "{status} {code} on {action:?}");
            assert!(error.message.contains(code), "{}", error.message);
        }
    }
}

#[test]
fn the_status_decides_if_the_code_is_unknown() {
    for (status, code, reason) in [
        (500, "", Reason::CloudFailing),
        (502, "", Reason::CloudFailing),
        (503, "New.Code", Reason::CloudFailing),
        (429, "", Reason::Throttled),
        (400, "New.Code", Reason::UnexpectedReply),
        (302, "", Reason::UnexpectedReply),
        (200, "", Reason::UnexpectedReply),
    ] {
        assert_eq!(error_of(&reply(status, code), Action::AssumeRole).reason, reason, "{status} {code:?}");
    }
}

#[test]
fn a_retry_hint_is_obeyed_unless_only_a_human_can_fix_the_cause() {
    let wait = Duration::from_millis(1500);
    for (status, code, reason, retry) in [
        (400, "Throttling.User", Reason::Throttled, Retry::After(wait)),
        (503, "ServiceUnavailable", Reason::CloudFailing, Retry::After(wait)),
        (400, "New.Code", Reason::Throttled, Retry::After(wait)),
        (403, "NoPermission", Reason::AccessDenied, Retry::Rarely),
    ] {
        let hinted = ErrorReply { retry_after: Some(wait), ..reply(status, code) };
        let error = error_of(&hinted, Action::GetAuthorizationToken);
        assert_eq!((error.reason, error.retry), (reason, retry), "{status} {code}");
    }
}

#[test]
fn only_a_rejected_key_or_token_drops_the_session() {
    for (code, dropped) in [
        ("InvalidSecurityToken.Expired", true),
        ("InvalidAccessKeyId.NotFound", true),
        ("SignatureDoesNotMatch", true),
        ("InvalidTimeStamp.Expired", false),
        ("NoPermission", false),
        ("Throttling", false),
        ("InternalError", false),
    ] {
        let failure = classified(&reply(400, code), Action::GetAuthorizationToken);
        assert_eq!(matches!(failure, CallFailure::SessionRejected(_)), dropped, "{code}");
    }
}

#[test]
fn an_unknown_key_is_retried_soon_only_if_a_session_signed() {
    let reply = reply(404, "InvalidAccessKeyId.NotFound");
    for (token, retry) in [(Some("token"), Retry::Soon), (None, Retry::Rarely)] {
        let key = AccessKey { token: token.map(SecretString::from), ..AccessKey::sample("W") };
        let error = classified_as(&reply, Action::GetAuthorizationToken, &key).into_error();
        assert_eq!((error.reason, error.retry), (Reason::KeyInvalid, retry), "{token:?}");
    }
}

#[test]
fn a_message_names_the_action_the_host_the_identity_the_code_and_the_remedy() {
    let denied = ErrorReply {
        detail: AccessDeniedDetail {
            kind: Some("ExplicitDeny".to_owned()),
            policy: Some("AccountLevelIdentityBasedPolicy".to_owned()),
            action: None,
        },
        request_id: Some("0D2A-1".to_owned()),
        ..reply(403, "NoPermission")
    };
    let error = error_of(&denied, Action::GetAuthorizationToken);
    assert_eq!(
        error.message,
        "permission cr:GetAuthorizationToken is missing for cri-1 in cn-hangzhou (GetAuthorizationToken at \
         host.example as the worker role W: NoPermission, ExplicitDeny by AccountLevelIdentityBasedPolicy); \
         allow it in a RAM policy of that identity"
    );
    assert_eq!(error.request_id.as_deref(), Some("0D2A-1"));
}

#[test]
fn the_remedy_of_a_denied_assumption_names_the_policy_that_denies() {
    for (policy, trust, right) in [
        (None, true, true),
        (Some("AssumeRolePolicy"), true, false),
        (Some("AccountLevelIdentityBasedPolicy"), false, true),
    ] {
        let detail =
            AccessDeniedDetail { policy: policy.map(str::to_owned), ..AccessDeniedDetail::default() };
        let message =
            error_of(&ErrorReply { detail, ..reply(403, "NoPermission") }, Action::AssumeRole).message;
        let found = (message.contains("trust policy"), message.contains("in a RAM policy"));
        assert_eq!(found, (trust, right), "{message}");
        assert!(message.contains("acs:ram::2:role/b") && message.contains("the worker role W"), "{message}");
    }
}

#[test]
fn a_too_long_session_states_the_maximum_if_it_is_known() {
    let code = "InvalidParameter.DurationSeconds";
    let known = ErrorReply { max_session: Some(3600), ..reply(400, code) };
    assert!(error_of(&known, Action::AssumeRole).message.contains("at most 3600 s"));
    assert!(!error_of(&reply(400, code), Action::AssumeRole).message.contains("at most"));
}

#[test]
fn a_clock_skew_is_reported_in_whole_minutes() {
    for (server, text) in [
        ("2026-11-20T10:20:00Z", "the node's clock is 20 minutes behind the cloud's"),
        ("2026-11-20T10:20:29Z", "the node's clock is 20 minutes behind the cloud's"),
        ("2026-11-20T09:39:35Z", "the node's clock is 20 minutes ahead of the cloud's"),
    ] {
        let skewed =
            ErrorReply { date: Some(server.parse().unwrap()), ..reply(400, "InvalidTimeStamp.Expired") };
        let message = error_of(&skewed, Action::AssumeRole).message;
        assert!(message.contains(text), "{server}: {message}");
    }
    let message = error_of(&reply(400, "InvalidTimeStamp.Expired"), Action::AssumeRole).message;
    assert!(message.starts_with("the node's clock is wrong"), "{message}");
}
