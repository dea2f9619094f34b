//! The ECS metadata service in both modes.

use std::time::Duration;

use axum::http::Method;
use serde_json::Value;

use super::{Heard, client, demo};
use crate::cloud::Cloud;
use crate::cloud::clock::parse_iso8601;
use crate::cloud::world::HttpTokens;

const TTL: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aliyun-ecs-metadata-token";
const ROLE: &str = "/latest/meta-data/ram/security-credentials/";

async fn ask(cloud: &Cloud, method: Method, path: &str, headers: &[(&str, &str)]) -> Heard {
    let mut request = client().request(method, format!("{}{path}", cloud.address()));
    request = request.header("host", "100.100.100.200");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Heard::read(request.send().await.unwrap()).await
}

async fn token(cloud: &Cloud, ttl: &str) -> String {
    let heard = ask(cloud, Method::PUT, "/latest/api/token", &[(TTL, ttl)]).await;
    heard.ok().as_str().unwrap().to_owned()
}

async fn get(cloud: &Cloud, path: &str) -> Heard {
    let token = token(cloud, "60").await;
    ask(cloud, Method::GET, path, &[(TOKEN, &token)]).await
}

/// Returns the node's credentials, found as a client finds them.
pub(super) async fn credentials(cloud: &Cloud) -> Value {
    let role = get(cloud, ROLE).await.ok();
    get(cloud, &format!("{ROLE}{}", role.as_str().unwrap())).await.ok()
}

#[tokio::test]
async fn a_token_is_given_for_one_second_to_six_hours_and_not_to_a_forwarded_request() {
    let cloud = demo().await;
    for ttl in ["1", "21600"] {
        token(&cloud, ttl).await;
    }
    let refused =
        async |headers: &[(&str, &str)]| ask(&cloud, Method::PUT, "/latest/api/token", headers).await.status;
    for ttl in ["0", "21601", "-1", "long", ""] {
        assert_eq!(refused(&[(TTL, ttl)]).await, 400, "{ttl}");
    }
    assert_eq!(refused(&[]).await, 400);
    assert_eq!(refused(&[(TTL, "60"), ("x-forwarded-for", "10.0.0.1")]).await, 403);
    assert_eq!(ask(&cloud, Method::GET, "/latest/api/token", &[(TTL, "60")]).await.status, 405);
}

#[tokio::test]
async fn hardened_mode_requires_a_valid_token_and_plain_mode_does_not() {
    let cloud = demo().await;
    let held = token(&cloud, "60").await;
    let status = async |headers: &[(&str, &str)]| ask(&cloud, Method::GET, ROLE, headers).await.status;
    assert_eq!(status(&[(TOKEN, &held)]).await, 200);
    assert_eq!(status(&[]).await, 403);
    assert_eq!(status(&[(TOKEN, "invented")]).await, 401);
    cloud.world(|world| world.node.http_tokens = HttpTokens::Optional);
    assert_eq!(status(&[]).await, 200);
    assert_eq!(status(&[(TOKEN, "invented")]).await, 401);
    cloud.set_clock_skew(61);
    assert_eq!(status(&[(TOKEN, &held)]).await, 401);
}

#[tokio::test]
async fn region_and_account_are_the_clusters() {
    let cloud = demo().await;
    assert_eq!(get(&cloud, "/latest/meta-data/region-id").await.ok(), "cn-hangzhou");
    assert_eq!(get(&cloud, "/latest/meta-data/owner-account-id").await.status, 200);
    assert_eq!(get(&cloud, "/latest/meta-data/instance-id").await.status, 404);
}

#[tokio::test]
async fn a_node_without_a_role_or_with_a_deleted_one_has_no_credentials() {
    let cloud = demo().await;
    assert_eq!(get(&cloud, &format!("{ROLE}other")).await.status, 404);
    let path = format!("{ROLE}KubernetesWorkerRole-demo");
    assert_eq!(get(&cloud, &path).await.status, 200);
    cloud.world(|world| world.accounts.get_mut("1").unwrap().roles.clear());
    assert_eq!(get(&cloud, &path).await.status, 404);
    cloud.world(|world| world.node.role = None);
    assert_eq!(get(&cloud, ROLE).await.status, 404);
}

#[tokio::test]
async fn credentials_have_the_documented_fields_and_are_renewed_near_their_end() {
    let cloud = demo().await;
    let life = Duration::from_secs(100);
    cloud.world(|world| {
        (world.node.credentials_life, world.node.renew_before) = (life, Duration::from_secs(30))
    });
    let first = credentials(&cloud).await;
    assert_eq!(first["Code"], "Success");
    let at = |name: &str| parse_iso8601(first[name].as_str().unwrap()).unwrap();
    assert_eq!(at("Expiration") - at("LastUpdated"), 100_000);
    cloud.set_clock_skew(60);
    assert_eq!(credentials(&cloud).await["AccessKeyId"], first["AccessKeyId"]);
    cloud.set_clock_skew(75);
    assert_ne!(credentials(&cloud).await["AccessKeyId"], first["AccessKeyId"]);
}
