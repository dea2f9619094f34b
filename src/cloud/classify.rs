//! What a refusal means, by its `Code`: `alibaba-api.md` §9.
//!
//! Other products document the same codes with other statuses, so a status decides only where there is no code
//! that we know.

use k8s_openapi::jiff::Timestamp;

use super::call::{Action, Call};
use super::error::{Denial, Failure, Retry};
use super::reply::Refusal;
use crate::api::condition::Reason;

/// What to do about a refusal, before it is put into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    NoRight,
    NotTrusted,
    NoSuchRole,
    NoSuchProvider,
    OidcTokenRefused,
    SessionTooLong,
    NoSuchInstance,
    NoPersonal,
    NoSuchRegion,
    ClockSkew,
    KeyUnknown,
    SignatureWrong,
    KeyInactive,
    SessionRefused,
    Repeated,
    Throttled,
    Failing,
    Odd,
}

/// The failure that a refused call ends in, and whether its session is spent.
pub(super) fn classify(refusal: &Refusal, call: &Call<'_>) -> Denial {
    let verdict = verdict(refusal, call.action);
    let (reason, retry) = class(verdict);
    // A session's key can vanish for no human's doing, and the next attempt comes with another one.
    let renewable = verdict == Verdict::KeyUnknown && call.is_by_session();
    let retry = if renewable { Retry::Soon } else { retry };
    let retry = match refusal.retry_after {
        // The cloud can tell how long it is busy, but not when a human will have mended something.
        Some(wait) if retry == Retry::Soon => Retry::After(wait),
        _ => retry,
    };
    let Words { complaint, cure } = words(verdict, refusal, call);
    let message = format!("{complaint} ({}: {}); {cure}", call.described(), evidence(refusal));
    let failure = Failure { reason, message, retry, request_id: refusal.request_id.clone() };
    match verdict {
        Verdict::SessionRefused | Verdict::KeyUnknown | Verdict::SignatureWrong => Denial::Session(failure),
        _ => Denial::Other(failure),
    }
}

fn verdict(refusal: &Refusal, action: Action) -> Verdict {
    let assuming = matches!(action, Action::AssumeRole | Action::AssumeRoleWithOidc);
    match refusal.code.as_deref().unwrap_or_default() {
        "NoPrivilege" | "NoPermission" | "Forbidden" | "Forbidden.RAM" if !assuming => Verdict::NoRight,
        "NoPermission" | "Forbidden" | "Forbidden.RAM" if assuming => Verdict::NotTrusted,
        "AuthenticationFail.NoPermission" if refusal.no_provider => Verdict::NoSuchProvider,
        "AuthenticationFail.NoPermission" => Verdict::NotTrusted,
        "EntityNotExist.Role" => Verdict::NoSuchRole,
        "InvalidParameter.DurationSeconds" => Verdict::SessionTooLong,
        "INSTANCE_NOT_EXIST" if action == Action::PersonalToken => Verdict::NoPersonal,
        "INSTANCE_NOT_EXIST" => Verdict::NoSuchInstance,
        "InvalidProduct.NotFound" if !assuming => Verdict::NoSuchRegion,
        "InvalidTimeStamp.Expired" => Verdict::ClockSkew,
        "SignatureDoesNotMatch" => Verdict::SignatureWrong,
        "InvalidAccessKeyId.Inactive" => Verdict::KeyInactive,
        "MissingSecurityToken" => Verdict::SessionRefused,
        "SignatureNonceUsed" => Verdict::Repeated,
        "InternalError" | "SystemError" | "ServiceUnavailable" => Verdict::Failing,
        code if code.starts_with("Throttling") => Verdict::Throttled,
        code if code == "InvalidAccessKeyId" || code.starts_with("InvalidAccessKeyId.") => {
            Verdict::KeyUnknown
        }
        code if code.starts_with("AuthenticationFail.") => Verdict::OidcTokenRefused,
        code if code == "InvalidSecurityToken" || code.starts_with("InvalidSecurityToken.") => {
            Verdict::SessionRefused
        }
        _ if refusal.status == 429 => Verdict::Throttled,
        _ if refusal.status >= 500 => Verdict::Failing,
        // As the SDKs have it, any error that says when to come back is a throttle.
        _ if refusal.retry_after.is_some() => Verdict::Throttled,
        // How an account without such a registry is refused is not documented, nor under which status.
        _ if action == Action::PersonalToken && (refusal.code.is_some() || refusal.status >= 400) => {
            Verdict::NoPersonal
        }
        _ => Verdict::Odd,
    }
}

const fn class(verdict: Verdict) -> (Reason, Retry) {
    match verdict {
        Verdict::NoRight => (Reason::AccessDenied, Retry::Rarely),
        Verdict::NotTrusted | Verdict::NoSuchRole => (Reason::TrustPolicyDenies, Retry::Rarely),
        Verdict::NoSuchProvider | Verdict::OidcTokenRefused => (Reason::OIDCTokenRejected, Retry::Rarely),
        Verdict::SessionTooLong => (Reason::SessionTooLong, Retry::Rarely),
        Verdict::NoSuchInstance | Verdict::NoSuchRegion | Verdict::NoPersonal => {
            (Reason::InstanceNotFound, Retry::Rarely)
        }
        Verdict::ClockSkew => (Reason::ClockSkew, Retry::Rarely),
        Verdict::KeyUnknown | Verdict::SignatureWrong => (Reason::KeyInvalid, Retry::Rarely),
        Verdict::KeyInactive => (Reason::KeyInactive, Retry::Rarely),
        Verdict::Throttled => (Reason::Throttled, Retry::Soon),
        Verdict::Failing => (Reason::CloudFailing, Retry::Soon),
        Verdict::SessionRefused | Verdict::Repeated | Verdict::Odd => (Reason::UnexpectedReply, Retry::Soon),
    }
}

/// The page's own words on what passwordless pulls cover.
const PERSONAL_LIMIT: &str = "the cloud serves no Personal Edition instance created after 2024-09-08: for that one use a fixed user name and password, or the Enterprise Edition";

/// What is wrong, and what to do about it.
struct Words {
    complaint: String,
    cure: String,
}

fn words(verdict: Verdict, refusal: &Refusal, call: &Call<'_>) -> Words {
    let Call { action, subject, at, .. } = call;
    let (complaint, cure) = match verdict {
        Verdict::NoRight => {
            let right = refusal.detail.action.as_deref().unwrap_or(action.right());
            let cure = match action {
                Action::PersonalToken => {
                    format!("allow it in a RAM policy of that identity; {PERSONAL_LIMIT}")
                }
                _ => "allow it in a RAM policy of that identity".to_owned(),
            };
            (format!("no right to {right} for {subject}"), cure)
        }
        Verdict::NoPersonal => (
            format!("no {subject} is served to this account"),
            format!("check regionId and that the account has one there; {PERSONAL_LIMIT}"),
        ),
        Verdict::NotTrusted if *action == Action::AssumeRoleWithOidc => (
            format!("{subject} may not be assumed with this token"),
            format!(
                "in the role's trust policy, allow the provider as Federated principal, with oidc:aud sts.aliyuncs.com and as oidc:sub the account that the token is of: {}",
                call.holder()
            ),
        ),
        Verdict::NoSuchProvider => (
            format!("the OIDC provider for {subject} is not registered"),
            "enable RRSA for this cluster, and copy rrsaOIDCProviderRoleARN from its page".to_owned(),
        ),
        Verdict::OidcTokenRefused => oidc_words(refusal.code.as_deref().unwrap_or_default()),
        Verdict::NotTrusted => (format!("{subject} may not be assumed"), trust_cure(refusal, call.holder())),
        Verdict::NoSuchRole => {
            let field = if *action == Action::AssumeRole { "assumeRoleARN" } else { "rrsaRoleARN" };
            (format!("{subject} does not exist"), format!("create the role or correct {field}"))
        }
        Verdict::SessionTooLong => match refusal.longest_session {
            Some(most) => (
                format!("expireDuration is out of range for {subject}, which allows at most {most} s"),
                "shorten it, or raise the role's MaxSessionDuration".to_owned(),
            ),
            None => (
                format!("expireDuration is more than {subject} allows"),
                "shorten it, or raise the role's MaxSessionDuration".to_owned(),
            ),
        },
        Verdict::NoSuchInstance => {
            (format!("there is no {subject}"), "check instanceId and regionId".to_owned())
        }
        Verdict::NoSuchRegion => {
            (format!("no Container Registry for {subject}"), "check regionId".to_owned())
        }
        Verdict::ClockSkew => (
            skew(refusal.date, call.now).unwrap_or_else(|| "this machine's clock is wrong".to_owned()),
            "synchronise the node's clock".to_owned(),
        ),
        Verdict::KeyUnknown if call.is_by_session() => {
            ("the session's key is not known".to_owned(), "a new session is asked for".to_owned())
        }
        Verdict::KeyUnknown => {
            ("the AccessKey is not known".to_owned(), "check that it was not deleted".to_owned())
        }
        Verdict::SignatureWrong => (
            "the AccessKey's secret does not fit its id".to_owned(),
            "check the pair, and for a proxy that changes requests".to_owned(),
        ),
        Verdict::KeyInactive => ("the AccessKey is disabled".to_owned(), "enable or replace it".to_owned()),
        Verdict::SessionRefused => (
            "the session is not accepted".to_owned(),
            "a new one is asked for; if it lasts, check the node's clock".to_owned(),
        ),
        Verdict::Repeated => (
            "the request arrived twice".to_owned(),
            "if it lasts, look for a proxy that repeats requests".to_owned(),
        ),
        Verdict::Throttled => (
            "too many calls".to_owned(),
            "waiting until nextRefreshAt; if it lasts, raise the account's quota or call less from elsewhere"
                .to_owned(),
        ),
        Verdict::Failing => (format!("{} fails on its own side", at.host), "trying again".to_owned()),
        Verdict::Odd => (
            "an answer that is not documented".to_owned(),
            "if it lasts, look the code up, or for a proxy that answers in the cloud's stead".to_owned(),
        ),
    };
    Words { complaint, cure }
}

/// By the last word of the code, `AuthenticationFail.OIDCToken.Expired` and its like.
fn oidc_words(code: &str) -> (String, String) {
    let (complaint, cure) = match code.rsplit('.').next().unwrap_or_default() {
        "Expired" => {
            ("the OIDC token has expired", "check the node's clock, and that the token's file is renewed")
        }
        "AudienceNotMatch" => (
            "the OIDC token is for another audience",
            "register sts.aliyuncs.com as a client id of the provider, and project the token for that audience",
        ),
        "IssuerNotMatch" => (
            "the OIDC token was issued by another cluster than the provider's",
            "use the provider of this very cluster as rrsaOIDCProviderRoleARN",
        ),
        "InvalidSignature" => (
            "the OIDC token is signed with a key that the provider does not know",
            "use the provider of this very cluster as rrsaOIDCProviderRoleARN, or enable RRSA anew after the cluster's keys changed",
        ),
        "HttpsUrlInvalid" | "IssuerConfigurationBroken" => (
            "the cloud cannot read the issuer's keys",
            "check that the provider's issuer URL is reachable for the cloud and its certificate's fingerprint is current",
        ),
        _ => ("the OIDC token is not accepted", "check that RRSA is enabled for this cluster"),
    };
    (complaint.to_owned(), cure.to_owned())
}

/// Both ends must allow an assumption. The cloud may say which one does not.
fn trust_cure(refusal: &Refusal, holder: &str) -> String {
    let trust = format!("name {holder} in the role's trust policy");
    let right = format!("allow {holder} sts:AssumeRole on the role in a RAM policy");
    match refusal.detail.policy.as_deref() {
        Some(policy) if policy.starts_with("AssumeRole") => trust,
        Some(_) => right,
        None => format!("{trust}, and {right}"),
    }
}

/// `NoPermission, ImplicitDeny by AssumeRolePolicy`, or the status where there is no code.
fn evidence(refusal: &Refusal) -> String {
    let code = refusal.code.clone().unwrap_or_else(|| format!("HTTP {} without a Code", refusal.status));
    match (&refusal.detail.kind, &refusal.detail.policy) {
        (Some(kind), Some(policy)) => format!("{code}, {kind} by {policy}"),
        (Some(only), None) | (None, Some(only)) => format!("{code}, {only}"),
        (None, None) => code,
    }
}

/// In whole minutes, so that the next attempt says the same.
fn skew(server: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let seconds = server?.as_second() - now.as_second();
    let minutes = (seconds.abs() + 30) / 60;
    let side = if seconds > 0 { "behind" } else { "ahead of" };
    Some(format!("this machine's clock is {minutes} minutes {side} the cloud's"))
}

#[cfg(test)]
mod tests;
