//! An answer, read as far as the question whether it is one.

use std::time::Duration;

use k8s_openapi::jiff::{Timestamp, fmt::rfc2822};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The SDKs trust a hint between 100 ms and two minutes. We allow ten minutes: longer than that a broken hint must
/// not keep a credential from being renewed.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// An HTTP answer, body and all. Not `Debug`: the body may hold a token.
pub(super) struct Reply {
    /// The HTTP status.
    pub(super) status: u16,
    /// `x-acs-retry-after`, bounded.
    pub(super) retry_after: Option<Duration>,
    /// The server's clock.
    pub(super) date: Option<Timestamp>,
    /// At most `client::LARGEST_BODY` bytes.
    pub(super) body: Vec<u8>,
}

/// The cloud said no, or nothing that can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// `Code`; `None` if the answer has none that looks like one.
    pub(super) code: Option<String>,
    /// The longest session that the message speaks of, in seconds.
    pub(super) longest_session: Option<u32>,
    /// Whether the message says that an OIDC provider is not registered: that shares its code with a trust policy
    /// that denies.
    pub(super) no_provider: bool,
    /// `AccessDeniedDetail`.
    pub(super) detail: Detail,
    /// `RequestId`.
    pub(super) request_id: Option<String>,
    /// `x-acs-retry-after`.
    pub(super) retry_after: Option<Duration>,
    /// The server's clock.
    pub(super) date: Option<Timestamp>,
}

/// Which policy denies, where the cloud says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Detail {
    /// `ImplicitDeny` or `ExplicitDeny`.
    #[serde(default, rename = "NoPermissionType", alias = "noPermissionType", deserialize_with = "word")]
    pub(super) kind: Option<String>,
    /// Such as `AccountLevelIdentityBasedPolicy` or `AssumeRolePolicy`.
    #[serde(default, rename = "PolicyType", alias = "policyType", deserialize_with = "word")]
    pub(super) policy: Option<String>,
    /// Such as `cr:GetAuthorizationToken`.
    #[serde(default, rename = "AuthAction", alias = "authAction", deserialize_with = "word")]
    pub(super) action: Option<String>,
}

/// What surrounds every answer. ROA and newer gateways write the names in lower case.
#[derive(Default, Deserialize)]
struct Envelope {
    #[serde(default, rename = "Code", alias = "code", deserialize_with = "word")]
    code: Option<String>,
    #[serde(default, rename = "IsSuccess", alias = "isSuccess")]
    is_success: Option<bool>,
    #[serde(default, rename = "Message", alias = "message")]
    message: Option<String>,
    #[serde(default, rename = "RequestId", alias = "requestId", deserialize_with = "word")]
    request_id: Option<String>,
    #[serde(default, rename = "AccessDeniedDetail", alias = "accessDeniedDetail")]
    detail: Option<Detail>,
}

impl Reply {
    /// Takes what matters out of the head.
    pub(super) fn new(status: u16, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let header = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let retry_after = header("x-acs-retry-after")
            .and_then(|text| text.parse().ok())
            .filter(|millis| *millis > 0)
            .map(|millis| Duration::from_millis(millis).clamp(SHORTEST_WAIT, LONGEST_WAIT));
        let date = header("date").and_then(|text| rfc2822::parse(text).ok()).map(|date| date.timestamp());
        Self { status, retry_after, date, body }
    }

    /// The answer, if it is one: a 2xx whose `IsSuccess` and `Code` agree, if it has them (STS has neither).
    ///
    /// # Errors
    /// What the cloud said instead. Why the body could not be parsed is left out: such texts quote it.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Box<Refusal>> {
        let Envelope { code, is_success, message, request_id, detail } =
            serde_json::from_slice(&self.body).unwrap_or_default();
        let fine = code.as_deref().is_none_or(|code| code.eq_ignore_ascii_case("success"));
        let agreed = (200..300).contains(&self.status) && is_success != Some(false) && fine;
        if agreed && let Ok(answer) = serde_json::from_slice(&self.body) {
            return Ok(answer);
        }
        Err(Box::new(Refusal {
            status: self.status,
            code: code.filter(|_| !fine),
            longest_session: message.as_deref().and_then(longest_session),
            no_provider: message.as_deref().is_some_and(|text| text.contains("OIDC Provider")),
            detail: detail.unwrap_or_default(),
            request_id,
            retry_after: self.retry_after.filter(|_| self.status >= 400),
            date: self.date,
        }))
    }
}

/// Reads a string, but keeps it only if it can stand in a status: one short word of harmless characters.
fn word<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '*');
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| (1..=128).contains(&text.len()) && text.chars().all(harmless)))
}

/// The maximum in "The Min/Max value of DurationSeconds is 15min/1hr.", in seconds.
fn longest_session(message: &str) -> Option<u32> {
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

    use super::{Detail, Refusal, Reply, longest_session};

    fn reply(status: u16, body: &str) -> Reply {
        Reply::new(status, &HeaderMap::new(), body.as_bytes().to_vec())
    }

    fn refusal(status: u16, body: &str) -> Refusal {
        *reply(status, body).read::<Value>().expect_err("a refusal")
    }

    #[test]
    fn an_answer_is_one_only_if_status_code_and_is_success_agree() {
        for (status, body, answers) in [
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
            assert_eq!(reply(status, &body.to_string()).read::<Value>().is_ok(), answers, "{status} {body}");
        }
    }

    #[test]
    fn what_is_no_json_of_the_right_shape_is_no_answer() {
        #[derive(Debug, Deserialize)]
        struct Shape {
            #[serde(rename = "N")]
            _n: u8,
        }
        for body in ["", "<html>no</html>", "{\"N\":", "[]", "{\"N\":\"secret\"}", "\u{0}"] {
            let refusal = reply(200, body).read::<Shape>().expect_err("a refusal");
            assert_eq!(*refusal, Refusal { status: 200, ..Refusal::default() }, "{body}");
        }
        assert!(reply(200, "{\"N\":1}").read::<Shape>().is_ok());
    }

    #[test]
    fn a_refusal_is_read_in_both_spellings() {
        let detail = Detail {
            kind: Some("ImplicitDeny".to_owned()),
            policy: Some("AccountLevelIdentityBasedPolicy".to_owned()),
            action: Some("cr:GetAuthorizationToken".to_owned()),
        };
        let expected = Refusal {
            status: 403,
            code: Some("NoPermission".to_owned()),
            detail,
            request_id: Some("0D2A-1".to_owned()),
            ..Refusal::default()
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
        assert_eq!(refusal(403, &upper.to_string()), expected);
        assert_eq!(refusal(403, &lower.to_string()), expected);
    }

    #[test]
    fn what_could_not_stand_in_a_status_is_not_kept() {
        for code in ["", "a b", "<b>", "line\nline", "é", &"x".repeat(129)] {
            assert_eq!(
                refusal(400, &json!({"Code": code, "RequestId": code}).to_string()),
                Refusal { status: 400, ..Refusal::default() }
            );
        }
    }

    #[test]
    fn a_hint_to_wait_is_milliseconds_on_an_error_and_bounded() {
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
            let refusal = Reply::new(status, &headers, Vec::new()).read::<Value>().expect_err("a refusal");
            assert_eq!(refusal.retry_after, expected.map(Duration::from_millis), "{status} {text}");
        }
    }

    #[test]
    fn the_servers_clock_is_read_from_the_date() {
        let mut headers = HeaderMap::new();
        headers.insert("date", HeaderValue::from_static("Fri, 08 Nov 2024 09:44:50 GMT"));
        let date = Reply::new(400, &headers, Vec::new()).date;
        assert_eq!(date, Some("2024-11-08T09:44:50Z".parse().unwrap()));
        headers.insert("date", HeaderValue::from_static("yesterday"));
        assert_eq!(Reply::new(400, &headers, Vec::new()).date, None);
    }

    #[test]
    fn the_longest_session_is_read_from_the_message() {
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
            assert_eq!(longest_session(message), seconds, "{message}");
        }
    }
}
