//! The two calls of ACR Enterprise, and what their answers mean: `alibaba-api.md` §1.

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::call::Call;
use super::client::Client;
use super::error::{Denial, Failure, Retry};
use crate::api::condition::Reason;
use crate::model::credential::Origin;
use crate::model::{Credential, domain};

const FIELDS: [&str; 3] = ["TempUsername", "AuthorizationToken", "ExpireTime"];

/// What both editions answer. Not `Debug`: it holds a token.
#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default, rename = "TempUsername")]
    pub(super) username: Option<String>,
    #[serde(default, rename = "AuthorizationToken")]
    pub(super) token: Option<String>,
    #[serde(default, rename = "ExpireTime", deserialize_with = "milliseconds")]
    pub(super) expires: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Endpoints {
    #[serde(default, rename = "Endpoints")]
    endpoints: Option<Vec<Endpoint>>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    #[serde(default, rename = "Enable")]
    enable: bool,
    #[serde(default, rename = "Domains")]
    domains: Option<Vec<Domain>>,
}

#[derive(Debug, Deserialize)]
struct Domain {
    #[serde(default, rename = "Domain")]
    domain: String,
}

/// Sends a `GetAuthorizationToken` and reads the credential.
///
/// # Errors
/// What the cloud says, or an answer without a token that lives.
pub(super) async fn mint(client: &Client, call: &Call<'_>) -> Result<Credential, Denial> {
    let (answer, host) = client.call::<Token>(call).await?;
    credential(answer, call.now, host, FIELDS).map_err(|what| Denial::Other(call.unexpected(what)))
}

/// Sends a `ListInstanceEndpoint` and reads the domains.
///
/// # Errors
/// What the cloud says, an answer without endpoints, or `NoDomains`.
pub(super) async fn domains(client: &Client, call: &Call<'_>) -> Result<Vec<String>, Denial> {
    let (answer, _) = client.call::<Endpoints>(call).await?;
    let endpoints =
        answer.endpoints.ok_or_else(|| Denial::Other(call.unexpected("an answer without Endpoints")))?;
    let names = names(&endpoints);
    if names.is_empty() {
        let message = format!(
            "{} has no enabled endpoint with a domain ({}); enable its VPC or public endpoint, or list domains",
            call.subject,
            call.described()
        );
        return Err(Denial::Other(Failure::new(Reason::NoDomains, Retry::Rarely, message)));
    }
    Ok(names)
}

/// The credential that an answer of either edition holds. `host`: who gave it; `fields`: how the edition spells
/// user name, token and end, for messages.
pub(super) fn credential(
    answer: Token,
    now: Timestamp,
    host: &str,
    fields: [&str; 3],
) -> Result<Credential, String> {
    let [user_field, token_field, end_field] = fields;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let username = given(answer.username).ok_or_else(|| format!("an answer without {user_field}"))?;
    let token = given(answer.token).ok_or_else(|| format!("an answer without {token_field}"))?;
    let expires = answer.expires.ok_or_else(|| format!("an answer without a readable {end_field}"))?;
    let expires_at = Timestamp::from_millisecond(expires)
        .map_err(|_| format!("an answer whose {end_field} is no time"))?;
    // Docker's configuration separates the two by the first colon.
    if username.contains(':') {
        return Err(format!("an answer whose {user_field} holds a colon"));
    }
    if expires_at <= now {
        return Err("a token that has expired already; check the node's clock".to_owned());
    }
    let origin = Origin { endpoint: host.into(), ..Origin::default() };
    Ok(Credential { username, token: SecretString::from(token), minted_at: now, expires_at, origin })
}

/// Every domain of the enabled endpoints, system and custom, public and VPC, as the documented component has it.
/// A name that no kubelet could match is left out rather than written where it does nothing.
fn names(endpoints: &[Endpoint]) -> Vec<String> {
    let enabled = endpoints.iter().filter(|endpoint| endpoint.enable);
    let domains = enabled.flat_map(|endpoint| endpoint.domains.iter().flatten());
    let mut names: Vec<_> = domains
        .map(|domain| domain.domain.trim().to_ascii_lowercase())
        .filter(|name| domain::check(name).is_ok())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Milliseconds since the epoch as a number; a string of them is tolerated, anything else is none.
pub(super) fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::{Endpoints, FIELDS, credential, names};
    use crate::model::Credential;

    const NOW: i64 = 1_760_000_000_000;

    fn token() -> Value {
        json!({
            "RequestId": "r", "Code": "success", "IsSuccess": true,
            "TempUsername": "cr_temp_user", "AuthorizationToken": "eyJ0:0f1e", "ExpireTime": NOW + 3_600_000,
        })
    }

    fn read(answer: Value) -> Result<Credential, String> {
        let now = Timestamp::from_millisecond(NOW).unwrap();
        credential(serde_json::from_value(answer).unwrap(), now, "cr.example", FIELDS)
    }

    #[test]
    fn a_credential_is_read_whole() {
        let credential = read(token()).unwrap();
        assert_eq!(credential.username, "cr_temp_user");
        assert_eq!(credential.token.expose_secret(), "eyJ0:0f1e");
        assert_eq!(credential.minted_at.as_millisecond(), NOW);
        assert_eq!(credential.expires_at.as_millisecond(), NOW + 3_600_000);
    }

    #[test]
    fn an_expiry_may_be_a_string_but_must_lie_ahead() {
        for (value, fine) in [
            (json!(NOW + 1), true),
            (json!((NOW + 1).to_string()), true),
            (json!(NOW), false),
            (json!(NOW - 1), false),
            (json!(0), false),
            (json!(i64::MAX), false),
            (json!("2026-11-20T10:00:00Z"), false),
            (json!(1.5), false),
            (json!({}), false),
            (Value::Null, false),
        ] {
            let mut answer = token();
            answer["ExpireTime"] = value.clone();
            assert_eq!(read(answer).is_ok(), fine, "{value}");
        }
    }

    #[test]
    fn an_answer_that_lacks_a_field_is_refused_by_name() {
        for field in ["TempUsername", "AuthorizationToken", "ExpireTime"] {
            let mut answer = token();
            answer.as_object_mut().unwrap().remove(field);
            assert!(read(answer).unwrap_err().contains(field), "{field}");
        }
        for field in ["TempUsername", "AuthorizationToken"] {
            let mut answer = token();
            answer[field] = json!("");
            assert!(read(answer).unwrap_err().contains(field), "{field}");
        }
        let mut answer = token();
        answer["TempUsername"] = json!("a:b");
        assert!(read(answer).is_err());
    }

    fn listed(endpoints: Value) -> Vec<String> {
        let answer: Endpoints = serde_json::from_value(json!({"Endpoints": endpoints})).unwrap();
        names(&answer.endpoints.unwrap())
    }

    #[test]
    fn domains_are_those_of_all_enabled_endpoints_once_and_in_order() {
        let domains = listed(json!([
            {"EndpointType": "vpc", "Enable": true, "AclEnable": false, "Status": "RUNNING", "LinkedVpcs": [],
             "Domains": [{"Domain": "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "Type": "SYSTEM"},
                         {"Domain": "img.example.com", "Type": "USER"}]},
            {"EndpointType": "internet", "Enable": true, "Domains": [
                {"Domain": "demo-registry.cn-hangzhou.cr.aliyuncs.com", "Type": "SYSTEM"},
                {"Domain": "IMG.example.com", "Type": "USER"}, {"Domain": "p2p.example.com:65001", "Type": "USER"}]},
            {"EndpointType": "other", "Enable": false, "Domains": [{"Domain": "off.example.com", "Type": "USER"}]},
        ]));
        assert_eq!(
            domains,
            [
                "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
                "demo-registry.cn-hangzhou.cr.aliyuncs.com",
                "img.example.com",
                "p2p.example.com:65001",
            ]
        );
    }

    #[test]
    fn what_is_no_domain_is_left_out() {
        for endpoints in [
            json!([]),
            json!([{"Enable": true}]),
            json!([{"Domains": [{"Domain": "unsaid.example.com"}]}]),
            json!([{"Enable": true, "Domains": null}]),
            json!([{"Enable": true, "Domains": [{"Domain": ""}, {"Type": "USER"}, {"Domain": "https://a.example"}]}]),
        ] {
            assert_eq!(listed(endpoints.clone()), Vec::<String>::new(), "{endpoints}");
        }
    }
}
