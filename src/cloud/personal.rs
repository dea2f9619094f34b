//! The Personal Edition: `docs/contributing/cloud-api.md`, "Personal Edition". It has one call, and its host names are
//! derived from the region, since no API lists them.

use serde::Deserialize;

use super::call::Call;
use super::client::Client;
use super::enterprise::{self, TokenFields, TokenReply};
use super::error::CallFailure;
use crate::model::Credential;

const FIELDS: TokenFields =
    TokenFields { username: "tempUserName", token: "authorizationToken", expires: "expireDate" };

/// Not `Debug`: it contains a token.
#[derive(Deserialize)]
struct PersonalTokenReply {
    #[serde(default)]
    data: Option<PersonalTokenData>,
}

#[derive(Deserialize)]
struct PersonalTokenData {
    #[serde(default, rename = "tempUserName")]
    username: Option<String>,
    #[serde(default, rename = "authorizationToken")]
    token: Option<String>,
    #[serde(default, rename = "expireDate", deserialize_with = "enterprise::milliseconds")]
    expires: Option<i64>,
}

/// Sends `GET /tokens` and returns the credential. It is valid for all of the account's registries in the region.
///
/// # Errors
/// An error reply, or a reply without a valid token.
pub(super) async fn mint(client: &Client, call: &Call<'_>) -> Result<Credential, CallFailure> {
    let unexpected = |problem: String| CallFailure::Other(call.unexpected(problem));
    let (reply, host) = client.call::<PersonalTokenReply>(call).await?;
    let data = reply.data.ok_or_else(|| unexpected("the reply has no field data".to_owned()))?;
    let reply = TokenReply { username: data.username, token: data.token, expires: data.expires };
    enterprise::credential(reply, call.now, host, &FIELDS).map_err(unexpected)
}

/// Returns every host name of the Personal Edition in a region: public, VPC and classic network, and the international
/// ones outside the mainland. Instances created after 2024-09-08 have individual names, and get no token.
pub(super) fn domains(region: &str) -> Vec<String> {
    let mainland = region.starts_with("cn-") && region != "cn-hongkong";
    let international: &[&str] = if mainland { &[] } else { &["registry-intl", "registry-intl-vpc"] };
    let names = ["registry", "registry-internal", "registry-vpc"].iter().chain(international);
    names.map(|name| format!("{name}.{region}.aliyuncs.com")).collect()
}

#[cfg(test)]
mod tests {
    use super::domains;

    #[test]
    fn a_region_outside_the_mainland_has_international_host_names_too() {
        assert_eq!(
            domains("cn-hangzhou"),
            [
                "registry.cn-hangzhou.aliyuncs.com",
                "registry-internal.cn-hangzhou.aliyuncs.com",
                "registry-vpc.cn-hangzhou.aliyuncs.com",
            ]
        );
        for region in ["ap-southeast-1", "cn-hongkong"] {
            let domains = domains(region);
            assert!(domains.contains(&format!("registry-intl.{region}.aliyuncs.com")), "{region}");
            assert!(domains.contains(&format!("registry-intl-vpc.{region}.aliyuncs.com")), "{region}");
        }
    }
}
