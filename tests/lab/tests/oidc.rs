//! The simulated cloud accepts a real API server's tokens, by the keys that it publishes.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use acr_lab::cloud::{Cloud, CloudConfig};
use acr_lab::plane::{Options, Plane};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

const NAME: &str = "aliyun-acr-credential-helper";
const AUDIENCE: &str = "sts.aliyuncs.com";

async fn token(accounts: &Api<ServiceAccount>, name: &str, audience: &str) -> String {
    let spec = TokenRequestSpec { audiences: Some(vec![audience.to_owned()]), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let answer = accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token.unwrap()
}

/// Sends a token, and returns the status and, unless it is a success, the code.
async fn show(cloud: &Cloud, token: &str) -> (u16, Option<String>) {
    let form = [
        ("Action", "AssumeRoleWithOIDC"),
        ("Version", "2015-04-01"),
        ("OIDCProviderArn", "acs:ram::1:oidc-provider/ack-rrsa-demo"),
        ("RoleArn", "acs:ram::1:role/acr-rrsa"),
        ("RoleSessionName", "lab"),
        ("OIDCToken", token),
    ];
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let reply = client.post(cloud.address()).header("host", "sts.aliyuncs.com").form(&form);
    let reply = reply.send().await.unwrap();
    let status = reply.status().as_u16();
    let body: serde_json::Value = reply.json().await.unwrap();
    (status, body["Code"].as_str().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_token_of_the_right_service_account_and_audience_opens_a_session() {
    let plane = Plane::start(Options::default()).await.unwrap();
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    plane.enable_rrsa(&cloud).await.unwrap();

    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(), "kube-system");
    for name in [NAME, "other"] {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        accounts.create(&PostParams::default(), &account).await.unwrap();
    }
    assert_eq!(show(&cloud, &token(&accounts, NAME, AUDIENCE).await).await, (200, None));
    for (name, audience, code) in [
        ("other", AUDIENCE, "AuthenticationFail.NoPermission"),
        (NAME, "elsewhere", "AuthenticationFail.OIDCToken.AudienceNotMatch"),
    ] {
        let heard = show(&cloud, &token(&accounts, name, audience).await).await;
        assert_eq!(heard, (401, Some(code.to_owned())));
    }
}
