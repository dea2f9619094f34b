//! The Personal Edition: one call, and host names that no API lists: `alibaba-api.md` §2.

use serde::Deserialize;

use super::call::Call;
use super::client::Client;
use super::enterprise::{self, Token};
use super::error::Denial;
use crate::model::Credential;

const FIELDS: [&str; 3] = ["tempUserName", "authorizationToken", "expireDate"];

/// Not `Debug`: it holds a token.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default, rename = "tempUserName")]
    username: Option<String>,
    #[serde(default, rename = "authorizationToken")]
    token: Option<String>,
    #[serde(default, rename = "expireDate", deserialize_with = "enterprise::milliseconds")]
    expires: Option<i64>,
}

/// Sends a `GET /tokens` and reads the credential, which is good for all of the account's registries in the region.
///
/// # Errors
/// What the cloud says, or an answer without a token that lives.
pub(super) async fn mint(client: &Client, call: &Call<'_>) -> Result<Credential, Denial> {
    let (answer, host) = client.call::<Answer>(call).await?;
    let data = answer.data.ok_or_else(|| Denial::Other(call.unexpected("an answer without data")))?;
    let token = Token { username: data.username, token: data.token, expires: data.expires };
    enterprise::credential(token, call.now, host, FIELDS).map_err(|what| Denial::Other(call.unexpected(what)))
}

/// Every host name of the Personal Edition in a region: public, VPC and classic network, and the international ones
/// outside the mainland. Instances made since 2024-09-08 have names of their own, which an entry must list.
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
    fn a_region_has_its_host_names_and_one_abroad_the_international_ones_too() {
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
