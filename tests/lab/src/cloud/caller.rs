//! A bare client of the cloud: one signed call, without retries.

use std::time::Duration;

use anyhow::Context;

use super::{
    Cloud,
    clock::iso8601,
    request::canonical_query,
    rpc_sha1::{METHOD, signature},
    vault::random_hex,
};

/// The longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(5);

impl Cloud {
    /// Sends one well-signed `AssumeRole`, as a user that may do nothing else, and returns the HTTP status.
    pub async fn bare_call(&self) -> anyhow::Result<u16> {
        let key = self.world(|world| world.user_mut("2", "partner-hopper")?.keys.first().cloned());
        let key = key.context("the world has no user who may assume a role")?;
        let pairs = [
            ("Action", "AssumeRole"),
            ("Version", "2015-04-01"),
            ("Format", "JSON"),
            ("RoleArn", "acs:ram::2:role/acr-pull"),
            ("RoleSessionName", "bare"),
            ("AccessKeyId", &key.id),
            ("SignatureMethod", METHOD),
            ("SignatureVersion", "1.0"),
            ("SignatureNonce", &random_hex(32)),
            ("Timestamp", &iso8601(self.now())),
        ];
        let mut pairs: Vec<(String, String)> =
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let signature = signature("GET", &pairs, &key.secret)?;
        pairs.push(("Signature".to_owned(), signature));
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build()?;
        let request = client.get(format!("{}/?{}", self.address(), canonical_query(&pairs)));
        let answer = request.header("host", "sts.cn-hangzhou.aliyuncs.com").send().await?;
        Ok(answer.status().as_u16())
    }
}

#[cfg(test)]
mod tests {
    use crate::cloud::{Cloud, CloudConfig, Fault, FaultKind};

    #[tokio::test]
    async fn a_bare_call_is_answered_and_meets_the_faults_of_everyone() {
        let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
        assert_eq!(cloud.bare_call().await.unwrap(), 200);
        let kind = FaultKind::Throttle { retry_after_ms: None };
        cloud.fault(Fault { action: "*".to_owned(), instance: None, kind, times: None });
        assert_eq!(cloud.bare_call().await.unwrap(), 400);
    }
}
