//! Meaning of an error reply, by its `Code`: `docs/contributing/cloud-api.md`, "Error codes".
//!
//! Different products document the same codes with different statuses. So the status decides only if the code is
//! missing or unknown.

use k8s_openapi::jiff::Timestamp;

use super::call::{Action, Call};
use super::error::{CallFailure, CloudError, Retry};
use super::reply::ErrorReply;
use crate::api::condition::Reason;
use crate::model::count;

/// Classes of error replies, each with a reason, a retry policy and a text of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorClass {
    PermissionMissing,
    AssumeRoleDenied,
    RoleNotFound,
    OidcProviderNotFound,
    OidcTokenRejected,
    SessionTooLong,
    InstanceNotFound,
    PersonalEditionNotFound,
    RegionNotFound,
    ClockSkew,
    KeyNotFound,
    SignatureMismatch,
    KeyInactive,
    SessionRejected,
    NonceReused,
    Throttled,
    ServerError,
    Undocumented,
}

/// Returns the failure of a call that got an error reply.
pub(super) fn classify(reply: &ErrorReply, call: &Call<'_>) -> CallFailure {
    let class = ErrorClass::of(reply, call.action);
    let (reason, retry) = class.reason_and_retry();
    // A session's key can disappear without a human's action, and the next attempt uses another one.
    let renewable = class == ErrorClass::KeyNotFound && call.is_signed_by_session();
    let retry = if renewable { Retry::Soon } else { retry };
    let retry = match reply.retry_after {
        // The cloud knows how long it is busy, but not when a human fixes a configuration.
        Some(wait) if retry == Retry::Soon => Retry::After(wait),
        _ => retry,
    };
    let ErrorText { problem, remedy } = ErrorText::new(class, reply, call);
    let message = format!("{problem} ({}: {}); {remedy}", call.description(), evidence(reply));
    let error = CloudError { reason, message, retry, request_id: reply.request_id.clone() };
    match class {
        ErrorClass::SessionRejected | ErrorClass::KeyNotFound | ErrorClass::SignatureMismatch => {
            CallFailure::SessionRejected(error)
        }
        _ => CallFailure::Other(error),
    }
}

impl ErrorClass {
    fn of(reply: &ErrorReply, action: Action) -> Self {
        let assuming = matches!(action, Action::AssumeRole | Action::AssumeRoleWithOidc);
        match reply.code.as_deref().unwrap_or_default() {
            "NoPrivilege" | "NoPermission" | "Forbidden" | "Forbidden.RAM" if !assuming => {
                Self::PermissionMissing
            }
            "NoPermission" | "Forbidden" | "Forbidden.RAM" if assuming => Self::AssumeRoleDenied,
            "AuthenticationFail.NoPermission" if reply.oidc_provider_missing => Self::OidcProviderNotFound,
            "AuthenticationFail.NoPermission" => Self::AssumeRoleDenied,
            "EntityNotExist.Role" => Self::RoleNotFound,
            "InvalidParameter.DurationSeconds" => Self::SessionTooLong,
            "INSTANCE_NOT_EXIST" if action == Action::PersonalToken => Self::PersonalEditionNotFound,
            "INSTANCE_NOT_EXIST" => Self::InstanceNotFound,
            "InvalidProduct.NotFound" if !assuming => Self::RegionNotFound,
            "InvalidTimeStamp.Expired" => Self::ClockSkew,
            "SignatureDoesNotMatch" => Self::SignatureMismatch,
            "InvalidAccessKeyId.Inactive" => Self::KeyInactive,
            "MissingSecurityToken" => Self::SessionRejected,
            "SignatureNonceUsed" => Self::NonceReused,
            "InternalError" | "SystemError" | "ServiceUnavailable" => Self::ServerError,
            code if code.starts_with("Throttling") => Self::Throttled,
            code if code == "InvalidAccessKeyId" || code.starts_with("InvalidAccessKeyId.") => {
                Self::KeyNotFound
            }
            code if code.starts_with("AuthenticationFail.") => Self::OidcTokenRejected,
            code if code == "InvalidSecurityToken" || code.starts_with("InvalidSecurityToken.") => {
                Self::SessionRejected
            }
            _ if reply.status == 429 => Self::Throttled,
            _ if reply.status >= 500 => Self::ServerError,
            // Like the SDKs: any error with a retry hint is a throttle.
            _ if reply.retry_after.is_some() => Self::Throttled,
            // Neither code nor status for an account without a Personal Edition registry is documented.
            _ if action == Action::PersonalToken && (reply.code.is_some() || reply.status >= 400) => {
                Self::PersonalEditionNotFound
            }
            _ => Self::Undocumented,
        }
    }

    const fn reason_and_retry(self) -> (Reason, Retry) {
        match self {
            Self::PermissionMissing => (Reason::AccessDenied, Retry::Rarely),
            Self::AssumeRoleDenied | Self::RoleNotFound => (Reason::TrustPolicyDenies, Retry::Rarely),
            Self::OidcProviderNotFound | Self::OidcTokenRejected => {
                (Reason::OIDCTokenRejected, Retry::Rarely)
            }
            Self::SessionTooLong => (Reason::SessionTooLong, Retry::Rarely),
            Self::InstanceNotFound | Self::RegionNotFound | Self::PersonalEditionNotFound => {
                (Reason::InstanceNotFound, Retry::Rarely)
            }
            Self::ClockSkew => (Reason::ClockSkew, Retry::Rarely),
            Self::KeyNotFound | Self::SignatureMismatch => (Reason::KeyInvalid, Retry::Rarely),
            Self::KeyInactive => (Reason::KeyInactive, Retry::Rarely),
            Self::Throttled => (Reason::Throttled, Retry::Soon),
            Self::ServerError => (Reason::CloudFailing, Retry::Soon),
            Self::SessionRejected | Self::NonceReused | Self::Undocumented => {
                (Reason::UnexpectedReply, Retry::Soon)
            }
        }
    }
}

/// Limit of the Personal Edition, as the documentation of passwordless pulls states it.
const PERSONAL_EDITION_LIMIT: &str = "Personal Edition instances created after 2024-09-08 are not supported by the cloud: for those use a fixed user name and password, or the Enterprise Edition";

/// The two parts of an error message around the description of the call.
struct ErrorText {
    problem: String,
    remedy: String,
}

impl ErrorText {
    fn new(class: ErrorClass, reply: &ErrorReply, call: &Call<'_>) -> Self {
        let Call { action, subject, host, .. } = call;
        let with = |problem: String, remedy: &str| Self { problem, remedy: remedy.to_owned() };
        let fixed = |problem: &str, remedy: &str| with(problem.to_owned(), remedy);
        match class {
            ErrorClass::PermissionMissing => {
                let permission = reply.detail.action.as_deref().unwrap_or(action.permission());
                let problem = format!("permission {permission} is missing for {subject}");
                let remedy = "allow it in a RAM policy of that identity";
                match action {
                    Action::PersonalToken => {
                        Self { problem, remedy: format!("{remedy}; {PERSONAL_EDITION_LIMIT}") }
                    }
                    _ => with(problem, remedy),
                }
            }
            ErrorClass::PersonalEditionNotFound => Self {
                problem: format!("the account has no {subject}"),
                remedy: format!(
                    "check regionId, and that the account has a registry in that region; {PERSONAL_EDITION_LIMIT}"
                ),
            },
            ErrorClass::AssumeRoleDenied if *action == Action::AssumeRoleWithOidc => Self {
                problem: format!("{subject} cannot be assumed with this OIDC token"),
                remedy: format!(
                    "in the role's trust policy, allow the provider as Federated principal, with oidc:aud sts.aliyuncs.com and oidc:sub set to the token's ServiceAccount: {}",
                    call.holder()
                ),
            },
            ErrorClass::AssumeRoleDenied => Self {
                problem: format!("{subject} cannot be assumed"),
                remedy: trust_remedy(reply, call.holder()),
            },
            ErrorClass::OidcProviderNotFound => with(
                format!("the OIDC provider for {subject} is not registered"),
                "enable RRSA for this cluster, and copy rrsaOIDCProviderRoleARN from the RRSA page",
            ),
            ErrorClass::OidcTokenRejected => {
                let (problem, remedy) = oidc_token_text(reply.code.as_deref().unwrap_or_default());
                fixed(problem, remedy)
            }
            ErrorClass::RoleNotFound => {
                let field = if *action == Action::AssumeRole { "assumeRoleARN" } else { "rrsaRoleARN" };
                with(format!("{subject} does not exist"), &format!("create the role or correct {field}"))
            }
            ErrorClass::SessionTooLong => {
                let problem = match reply.max_session {
                    Some(max) => {
                        format!("expireDuration is out of range for {subject}, which allows at most {max} s")
                    }
                    None => format!("expireDuration exceeds the maximum of {subject}"),
                };
                with(problem, "shorten it, or raise the role's MaxSessionDuration")
            }
            ErrorClass::InstanceNotFound => {
                with(format!("{subject} does not exist"), "check instanceId and regionId")
            }
            ErrorClass::RegionNotFound => {
                with(format!("Container Registry does not serve the region of {subject}"), "check regionId")
            }
            ErrorClass::ClockSkew => with(
                clock_skew(reply.date, call.now).unwrap_or_else(|| "the node's clock is wrong".to_owned()),
                "synchronise the node's clock",
            ),
            ErrorClass::KeyNotFound if call.is_signed_by_session() => {
                fixed("the session's AccessKey does not exist", "a new session is requested automatically")
            }
            ErrorClass::KeyNotFound => fixed("the AccessKey does not exist", "check that it was not deleted"),
            ErrorClass::SignatureMismatch => fixed(
                "the AccessKey's secret does not match its ID",
                "check the pair, and check for a proxy that changes requests",
            ),
            ErrorClass::KeyInactive => fixed("the AccessKey is disabled", "enable or replace it"),
            ErrorClass::SessionRejected => fixed(
                "the session is not accepted",
                "a new session is requested automatically; if this persists, check the node's clock",
            ),
            ErrorClass::NonceReused => fixed(
                "the request arrived twice",
                "if this persists, check for a proxy that repeats requests",
            ),
            ErrorClass::Throttled => fixed(
                "the cloud throttles the account's calls",
                "retrying automatically; if this persists, raise the account's quota or reduce other callers",
            ),
            ErrorClass::ServerError => {
                with(format!("{host} reports an internal error"), "retrying automatically")
            }
            ErrorClass::Undocumented => fixed(
                "the reply is not documented",
                "if this persists, look up the code, and check for a proxy that answers instead of the cloud",
            ),
        }
    }
}

/// Returns problem and remedy by the last word of a code like `AuthenticationFail.OIDCToken.Expired`.
fn oidc_token_text(code: &str) -> (&'static str, &'static str) {
    match code.rsplit('.').next().unwrap_or_default() {
        "Expired" => {
            ("the OIDC token has expired", "check the node's clock, and that the token's file is renewed")
        }
        "AudienceNotMatch" => (
            "the OIDC token is for another audience",
            "register sts.aliyuncs.com as a client ID of the provider, and project the token for that audience",
        ),
        "IssuerNotMatch" => (
            "the OIDC token was issued by another cluster than the provider's",
            "set rrsaOIDCProviderRoleARN to the provider of this cluster",
        ),
        "InvalidSignature" => (
            "the OIDC token is signed with a key that the provider does not know",
            "set rrsaOIDCProviderRoleARN to the provider of this cluster, or enable RRSA again after the cluster's keys changed",
        ),
        "HttpsUrlInvalid" | "IssuerConfigurationBroken" => (
            "the cloud cannot read the issuer's keys",
            "check that the cloud can reach the provider's issuer URL, and that its certificate fingerprint is current",
        ),
        _ => ("the OIDC token is not accepted", "check that RRSA is enabled for this cluster"),
    }
}

/// Returns the remedy of a denied assumption. Both the role's trust policy and a RAM policy of the caller must allow
/// it; the cloud may say which one does not.
fn trust_remedy(reply: &ErrorReply, holder: &str) -> String {
    let trust = format!("name {holder} in the role's trust policy");
    let permission = format!("allow {holder} sts:AssumeRole on the role in a RAM policy");
    match reply.detail.policy.as_deref() {
        Some(policy) if policy.starts_with("AssumeRole") => trust,
        Some(_) => permission,
        None => format!("{trust}, and {permission}"),
    }
}

/// Returns `NoPermission, ImplicitDeny by AssumeRolePolicy`, or the status if the code is missing.
fn evidence(reply: &ErrorReply) -> String {
    let code = reply.code.clone().unwrap_or_else(|| format!("HTTP {} without a Code", reply.status));
    match (&reply.detail.kind, &reply.detail.policy) {
        (Some(kind), Some(policy)) => format!("{code}, {kind} by {policy}"),
        (Some(only), None) | (None, Some(only)) => format!("{code}, {only}"),
        (None, None) => code,
    }
}

/// Describes the clock's error in whole minutes, so that the text is the same at the next attempt.
fn clock_skew(server: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let seconds = server?.as_second() - now.as_second();
    let minutes = usize::try_from((seconds.abs() + 30) / 60).unwrap_or(usize::MAX);
    let minutes = count(minutes, "minute", "minutes");
    let side = if seconds > 0 { "behind" } else { "ahead of" };
    Some(format!("the node's clock is {minutes} {side} the cloud's"))
}

#[cfg(test)]
mod tests;
