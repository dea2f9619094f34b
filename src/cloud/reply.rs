//! An HTTP reply of the public APIs, parsed into a success or an error reply.

use std::time::Duration;

use k8s_openapi::jiff::{Timestamp, fmt::rfc2822};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Bounds of a retry hint. The SDKs accept 100 ms to two minutes. Ten minutes are allowed here; a wrong hint must not
/// delay the renewal of a credential for longer.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(100);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// An HTTP reply with its whole body. Not `Debug`: the body may contain a token.
pub(super) struct Reply {
    /// HTTP status.
    pub(super) status: u16,
    /// Retry hint of the header `x-acs-retry-after`, bounded.
    pub(super) retry_after: Option<Duration>,
    /// Time of the header `Date`, which is the server's clock.
    pub(super) date: Option<Timestamp>,
    /// Body, of at most `client::MAX_BODY` bytes.
    pub(super) body: Vec<u8>,
}

/// A reply that reports an error or cannot be parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorReply {
    /// HTTP status.
    pub(super) status: u16,
    /// `Code`; `None` if it is missing or does not look like a code.
    pub(super) code: Option<String>,
    /// Maximum session in seconds, from the message.
    pub(super) max_session: Option<u32>,
    /// Whether the message says that an OIDC provider is not registered. The code is the same as for a trust policy
    /// that denies.
    pub(super) oidc_provider_missing: bool,
    /// `AccessDeniedDetail`.
    pub(super) detail: AccessDeniedDetail,
    /// `RequestId`.
    pub(super) request_id: Option<String>,
    /// Retry hint of the header `x-acs-retry-after`, bounded.
    pub(super) retry_after: Option<Duration>,
    /// Time of the header `Date`, which is the server's clock.
    pub(super) date: Option<Timestamp>,
}

/// The policy that denies a call, if the cloud names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct AccessDeniedDetail {
    /// `ImplicitDeny` or `ExplicitDeny`.
    #[serde(default, rename = "NoPermissionType", alias = "noPermissionType", deserialize_with = "word")]
    pub(super) kind: Option<String>,
    /// Type of the policy, such as `AccountLevelIdentityBasedPolicy` or `AssumeRolePolicy`.
    #[serde(default, rename = "PolicyType", alias = "policyType", deserialize_with = "word")]
    pub(super) policy: Option<String>,
    /// Denied action, such as `cr:GetAuthorizationToken`.
    #[serde(default, rename = "AuthAction", alias = "authAction", deserialize_with = "word")]
    pub(super) action: Option<String>,
}

/// The fields that every reply may have. ROA and newer gateways write their names in lower case.
#[derive(Default, Deserialize)]
struct CommonFields {
    #[serde(default, rename = "Code", alias = "code", deserialize_with = "word")]
    code: Option<String>,
    #[serde(default, rename = "IsSuccess", alias = "isSuccess")]
    is_success: Option<bool>,
    #[serde(default, rename = "Message", alias = "message")]
    message: Option<String>,
    #[serde(default, rename = "RequestId", alias = "requestId", deserialize_with = "word")]
    request_id: Option<String>,
    #[serde(default, rename = "AccessDeniedDetail", alias = "accessDeniedDetail")]
    detail: Option<AccessDeniedDetail>,
}

impl Reply {
    /// Creates a reply, and reads the headers that matter.
    pub(super) fn new(status: u16, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let header = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let retry_after = header("x-acs-retry-after")
            .and_then(|text| text.parse().ok())
            .filter(|millis| *millis > 0)
            .map(|millis| Duration::from_millis(millis).clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER));
        let date = header("date").and_then(|text| rfc2822::parse(text).ok()).map(|date| date.timestamp());
        Self { status, retry_after, date, body }
    }

    /// Parses the body of a success: status 2xx, and `IsSuccess` and `Code` agree with it. STS sends neither field.
    ///
    /// # Errors
    /// The error reply. It omits the parser's message, since such messages quote the body.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Box<ErrorReply>> {
        let CommonFields { code, is_success, message, request_id, detail } =
            serde_json::from_slice(&self.body).unwrap_or_default();
        let code_is_success = code.as_deref().is_none_or(|code| code.eq_ignore_ascii_case("success"));
        let success = (200..300).contains(&self.status) && is_success != Some(false) && code_is_success;
        if success && let Ok(parsed) = serde_json::from_slice(&self.body) {
            return Ok(parsed);
        }
        Err(Box::new(ErrorReply {
            status: self.status,
            code: code.filter(|_| !code_is_success),
            max_session: message.as_deref().and_then(max_session),
            oidc_provider_missing: message.as_deref().is_some_and(|text| text.contains("OIDC Provider")),
            detail: detail.unwrap_or_default(),
            request_id,
            retry_after: self.retry_after.filter(|_| self.status >= 400),
            date: self.date,
        }))
    }
}

/// Deserializes a string, and drops it unless it is one short word of harmless characters that fits into a status.
fn word<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '*');
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| (1..=128).contains(&text.len()) && text.chars().all(harmless)))
}

/// Returns the maximum in "The Min/Max value of DurationSeconds is 15min/1hr.", in seconds.
fn max_session(message: &str) -> Option<u32> {
    let maximum = message.trim_end_matches('.').rsplit('/').next()?.trim();
    let unit_at = maximum.find(|c: char| !c.is_ascii_digit()).unwrap_or(maximum.len());
    let (number, unit) = maximum.split_at(unit_at);
    let seconds = match unit.trim() {
        "" | "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{HeaderMap, HeaderValue};
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::{AccessDeniedDetail, ErrorReply, Reply, max_session};

    fn reply(status: u16, body: &str) -> Reply {
        Reply::new(status, &HeaderMap::new(), body.as_bytes().to_vec())
    }

    fn error_reply(status: u16, body: &str) -> ErrorReply {
        *reply(status, body).parse::<Value>().expect_err("an error reply")
    }

    #[test]
    fn a_reply_is_a_success_only_if_status_code_and_is_success_agree() {
        for (status, body, success) in [
            (200, json!({"Code": "success", "IsSuccess": true}), true),
            (200, json!({"code": "Success", "isSuccess": true}), true),
            (200, json!({"Credentials": {}}), true),
            (200, json!({"Code": "success", "IsSuccess": false}), false),
            (200, json!({"Code": "INSTANCE_NOT_EXIST", "IsSuccess": false}), false),
            (200, json!({"Code": "INSTANCE_NOT_EXIST"}), false),
            (302, json!({"Code": "success", "IsSuccess": true}), false),
            (400, json!({"Code": "success", "IsSuccess": true}), false),
            (500, json!({}), false),
        ] {
            assert_eq!(reply(status, &body.to_string()).parse::<Value>().is_ok(), success, "{status} {body}");
        }
    }

    #[test]
    fn a_body_that_does_not_parse_is_an_error_reply() {
        #[derive(Debug, Deserialize)]
        struct OneNumber {
            #[serde(rename = "N")]
            _n: u8,
        }
        for body in ["", "<html>no</html>", "{\"N\":", "[]", "{\"N\":\"secret\"}", "\u{0}"] {
            let error_reply = reply(200, body).parse::<OneNumber>().expect_err("an error reply");
            assert_eq!(*error_reply, ErrorReply { status: 200, ..ErrorReply::default() }, "{body}");
        }
        assert!(reply(200, "{\"N\":1}").parse::<OneNumber>().is_ok());
    }

    #[test]
    fn an_error_reply_is_parsed_in_both_spellings() {
        let detail = AccessDeniedDetail {
            kind: Some("ImplicitDeny".to_owned()),
            policy: Some("AccountLevelIdentityBasedPolicy".to_owned()),
            action: Some("cr:GetAuthorizationToken".to_owned()),
        };
        let expected = ErrorReply {
            status: 403,
            code: Some("NoPermission".to_owned()),
            detail,
            request_id: Some("0D2A-1".to_owned()),
            ..ErrorReply::default()
        };
        let upper = json!({
            "RequestId": "0D2A-1", "HostId": "h", "Code": "NoPermission", "Message": "You are not authorized.",
            "Recommend": "https://example.com", "AccessDeniedDetail": {
                "AuthAction": "cr:GetAuthorizationToken", "AuthPrincipalType": "AssumedRoleUser",
                "NoPermissionType": "ImplicitDeny", "PolicyType": "AccountLevelIdentityBasedPolicy",
            },
        });
        let lower = json!({
            "requestId": "0D2A-1", "code": "NoPermission", "message": "no", "accessDeniedDetail": {
                "authAction": "cr:GetAuthorizationToken", "noPermissionType": "ImplicitDeny",
                "policyType": "AccountLevelIdentityBasedPolicy",
            },
        });
        assert_eq!(error_reply(403, &upper.to_string()), expected);
        assert_eq!(error_reply(403, &lower.to_string()), expected);
    }

    #[test]
    fn text_that_does_not_fit_into_a_status_is_dropped() {
        for code in ["", "a b", "<b>", "line\nline", "é", &"x".repeat(129)] {
            assert_eq!(
                error_reply(400, &json!({"Code": code, "RequestId": code}).to_string()),
                ErrorReply { status: 400, ..ErrorReply::default() }
            );
        }
    }

    #[test]
    fn a_retry_hint_is_in_milliseconds_bounded_and_used_on_errors_only() {
        for (status, text, expected) in [
            (400, "1500", Some(1500)),
            (503, "1", Some(100)),
            (400, "86400000", Some(600_000)),
            (400, "0", None),
            (400, "-5", None),
            (400, "soon", None),
            (200, "1500", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-acs-retry-after", HeaderValue::from_static(text));
            let error_reply =
                Reply::new(status, &headers, Vec::new()).parse::<Value>().expect_err("an error reply");
            assert_eq!(error_reply.retry_after, expected.map(Duration::from_millis), "{status} {text}");
        }
    }

    #[test]
    fn the_servers_clock_is_read_from_the_date_header() {
        let mut headers = HeaderMap::new();
        headers.insert("date", HeaderValue::from_static("Fri, 08 Nov 2024 09:44:50 GMT"));
        let date = Reply::new(400, &headers, Vec::new()).date;
        assert_eq!(date, Some("2024-11-08T09:44:50Z".parse().unwrap()));
        headers.insert("date", HeaderValue::from_static("yesterday"));
        assert_eq!(Reply::new(400, &headers, Vec::new()).date, None);
    }

    #[test]
    fn the_maximum_session_is_read_from_the_message() {
        for (message, seconds) in [
            ("The Min/Max value of DurationSeconds is 15min/1hr.", Some(3600)),
            ("The Min/Max value of DurationSeconds is 15min/12hr.", Some(43200)),
            ("The Min/Max value of DurationSeconds is 15min/90min.", Some(5400)),
            ("The Min/Max value of DurationSeconds is 900/7200", Some(7200)),
            ("The Min/Max value of DurationSeconds is 15min/1 hr.", Some(3600)),
            ("The parameter DurationSeconds is wrong.", None),
            ("15min/4294967295hr", None),
            ("/", None),
        ] {
            assert_eq!(max_session(message), seconds, "{message}");
        }
    }
}
