//! The two calls of the Enterprise Edition: `docs/contributing/cloud-api.md`, "Enterprise Edition".

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::call::Call;
use super::client::Client;
use super::error::{CallFailure, CloudError, Retry};
use crate::api::condition::Reason;
use crate::model::credential::Origin;
use crate::model::{Credential, domain};

/// Names of a token reply's fields, for messages. The editions spell them differently.
pub(super) struct TokenFields {
    /// Field of the user name.
    pub(super) username: &'static str,
    /// Field of the token.
    pub(super) token: &'static str,
    /// Field of the expiry.
    pub(super) expires: &'static str,
}

const FIELDS: TokenFields =
    TokenFields { username: "TempUsername", token: "AuthorizationToken", expires: "ExpireTime" };

/// A token as both editions return it. Not `Debug`: it contains a secret.
#[derive(Deserialize)]
pub(super) struct TokenReply {
    /// User name for `docker login`.
    #[serde(default, rename = "TempUsername")]
    pub(super) username: Option<String>,
    /// Password for `docker login`.
    #[serde(default, rename = "AuthorizationToken")]
    pub(super) token: Option<String>,
    /// Expiry in milliseconds since the epoch.
    #[serde(default, rename = "ExpireTime", deserialize_with = "milliseconds")]
    pub(super) expires: Option<i64>,
}

/// The endpoints of an instance.
#[derive(Debug, Deserialize)]
pub(super) struct EndpointsReply {
    #[serde(default, rename = "Endpoints")]
    endpoints: Option<Vec<InstanceEndpoint>>,
}

#[derive(Debug, Deserialize)]
struct InstanceEndpoint {
    #[serde(default, rename = "Enable")]
    enable: bool,
    #[serde(default, rename = "Domains")]
    domains: Option<Vec<EndpointDomain>>,
}

#[derive(Debug, Deserialize)]
struct EndpointDomain {
    #[serde(default, rename = "Domain")]
    domain: String,
}

/// Sends `GetAuthorizationToken` and returns the credential.
///
/// # Errors
/// An error reply, or a reply without a valid token.
pub(super) async fn mint(client: &Client, call: &Call<'_>) -> Result<Credential, CallFailure> {
    let (reply, host) = client.call::<TokenReply>(call).await?;
    minted(reply, call, host)
}

/// Returns the credential of a reply by `host`.
///
/// # Errors
/// There is no valid token in it.
pub(super) fn minted(reply: TokenReply, call: &Call<'_>, host: &str) -> Result<Credential, CallFailure> {
    credential(reply, call.now, host, &FIELDS).map_err(|problem| CallFailure::Other(call.unexpected(problem)))
}

/// Sends `ListInstanceEndpoint` and returns the domains.
///
/// # Errors
/// An error reply, a reply without endpoints, or `NoDomains`.
pub(super) async fn domains(client: &Client, call: &Call<'_>) -> Result<Vec<String>, CallFailure> {
    let (reply, _) = client.call::<EndpointsReply>(call).await?;
    listed(reply, call)
}

/// Returns the domains of a reply.
///
/// # Errors
/// It has no endpoints, or `NoDomains`.
pub(super) fn listed(reply: EndpointsReply, call: &Call<'_>) -> Result<Vec<String>, CallFailure> {
    let endpoints = reply
        .endpoints
        .ok_or_else(|| CallFailure::Other(call.unexpected("the reply has no field Endpoints")))?;
    let names = domain_names(&endpoints);
    if names.is_empty() {
        let message = format!(
            "{} has no enabled endpoint with a domain ({}); enable its VPC or public endpoint, or list domains",
            call.subject,
            call.description()
        );
        return Err(CallFailure::Other(CloudError::new(Reason::NoDomains, Retry::Rarely, message)));
    }
    Ok(names)
}

/// Converts the reply of either edition to a credential. `host` is the host that replied.
///
/// # Errors
/// The problem with the reply, as the beginning of a message. It contains no secret.
pub(super) fn credential(
    reply: TokenReply,
    now: Timestamp,
    host: &str,
    fields: &TokenFields,
) -> Result<Credential, String> {
    let non_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
    let missing = |field: &str| format!("the reply has no valid field {field}");
    let username = non_empty(reply.username).ok_or_else(|| missing(fields.username))?;
    let token = non_empty(reply.token).ok_or_else(|| missing(fields.token))?;
    let expires = reply.expires.ok_or_else(|| missing(fields.expires))?;
    let expires_at = Timestamp::from_millisecond(expires).map_err(|_| missing(fields.expires))?;
    // A Docker configuration separates user name and password by the first colon.
    if username.contains(':') {
        return Err(format!("the reply's field {} contains a colon", fields.username));
    }
    if expires_at <= now {
        return Err("the returned token has already expired, check the node's clock".to_owned());
    }
    let origin = Origin { endpoint: host.into(), ..Origin::default() };
    Ok(Credential { username, token: SecretString::from(token), minted_at: now, expires_at, origin })
}

/// Returns every domain of the enabled endpoints, like the documented component: system and custom, public and VPC.
/// Leaves out names that no kubelet can match.
fn domain_names(endpoints: &[InstanceEndpoint]) -> Vec<String> {
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

/// Deserializes milliseconds since the epoch from a number or a string; any other value becomes `None`.
pub(super) fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::{EndpointsReply, FIELDS, credential, domain_names};
    use crate::model::Credential;

    const NOW: i64 = 1_760_000_000_000;

    fn token() -> Value {
        json!({
            "RequestId": "r", "Code": "success", "IsSuccess": true,
            "TempUsername": "cr_temp_user", "AuthorizationToken": "eyJ0:0f1e", "ExpireTime": NOW + 3_600_000,
        })
    }

    fn read(reply: Value) -> Result<Credential, String> {
        let now = Timestamp::from_millisecond(NOW).unwrap();
        credential(serde_json::from_value(reply).unwrap(), now, "cr.example", &FIELDS)
    }

    #[test]
    fn a_credential_is_parsed_with_all_its_fields() {
        let credential = read(token()).unwrap();
        assert_eq!(credential.username, "cr_temp_user");
        assert_eq!(credential.token.expose_secret(), "eyJ0:0f1e");
        assert_eq!(credential.minted_at.as_millisecond(), NOW);
        assert_eq!(credential.expires_at.as_millisecond(), NOW + 3_600_000);
    }

    #[test]
    fn an_expiry_may_be_a_string_but_must_be_in_the_future() {
        for (value, valid) in [
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
            let mut reply = token();
            reply["ExpireTime"] = value.clone();
            assert_eq!(read(reply).is_ok(), valid, "{value}");
        }
    }

    #[test]
    fn a_reply_that_lacks_a_field_is_rejected_by_the_fields_name() {
        for field in ["TempUsername", "AuthorizationToken", "ExpireTime"] {
            let mut reply = token();
            reply.as_object_mut().unwrap().remove(field);
            assert!(read(reply).unwrap_err().contains(field), "{field}");
        }
        for field in ["TempUsername", "AuthorizationToken"] {
            let mut reply = token();
            reply[field] = json!("");
            assert!(read(reply).unwrap_err().contains(field), "{field}");
        }
        let mut reply = token();
        reply["TempUsername"] = json!("a:b");
        assert!(read(reply).is_err());
    }

    fn listed(endpoints: Value) -> Vec<String> {
        let reply: EndpointsReply = serde_json::from_value(json!({"Endpoints": endpoints})).unwrap();
        domain_names(&reply.endpoints.unwrap())
    }

    #[test]
    fn domains_of_all_enabled_endpoints_are_listed_once_and_sorted() {
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
    fn entries_that_are_not_domains_are_left_out() {
        for endpoints in [
            json!([]),
            json!([{"Enable": true}]),
            json!([{"Domains": [{"Domain": "unspecified.example.com"}]}]),
            json!([{"Enable": true, "Domains": null}]),
            json!([{"Enable": true, "Domains": [{"Domain": ""}, {"Type": "USER"}, {"Domain": "https://a.example"}]}]),
        ] {
            assert_eq!(listed(endpoints.clone()), Vec::<String>::new(), "{endpoints}");
        }
    }
}
