//! ACR Enterprise and the host names that lead to it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Ask, CR, Key, demo};
use crate::cloud::Cloud;
use crate::cloud::clock::parse_iso8601;
use crate::cloud::world::{ForeignInstance, MissingInstance, Policy};

const SECOND: i64 = 1000;

fn ask(cloud: &Cloud, key: &Key, host: &str, instance: &str) -> Ask {
    Ask::new(cloud, key, host, "GetAuthorizationToken", &[("InstanceId", instance)])
}

fn token(reply: &Value) -> (&str, &str, i64) {
    let text = |name: &str| reply[name].as_str().unwrap();
    (text("TempUsername"), text("AuthorizationToken"), reply["ExpireTime"].as_i64().unwrap())
}

#[tokio::test]
async fn a_users_key_gets_an_hour_and_a_session_what_is_left_of_it() {
    let cloud = demo().await;
    let before = cloud.now();
    let reply = Ask::token(&cloud, &Key::of_user(&cloud, "puller")).send(&cloud).await.ok();
    let (_, _, expires) = token(&reply);
    assert!((before + 3600 * SECOND..=cloud.now() + 3600 * SECOND).contains(&expires));

    let credentials = super::metadata::credentials(&cloud).await;
    let end = parse_iso8601(credentials["Expiration"].as_str().unwrap()).unwrap();
    cloud.set_clock_skew(600);
    let reply = Ask::token(&cloud, &Key::read(&credentials)).send(&cloud).await.ok();
    assert_eq!(token(&reply).2 / SECOND, end / SECOND, "the session's own end, not six hours from now");

    cloud.world(|world| world.lifetimes.registry_token_cap = Some(std::time::Duration::from_secs(20)));
    let reply = Ask::token(&cloud, &Key::read(&credentials)).send(&cloud).await.ok();
    assert!(token(&reply).2 <= cloud.now() + 20 * SECOND);
}

#[tokio::test]
async fn a_token_has_the_documented_form_is_new_each_time_and_opens_its_instance_until_it_expires() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    let first = Ask::token(&cloud, &key).send(&cloud).await.ok();
    let second = Ask::token(&cloud, &key).send(&cloud).await.ok();
    let (user, password, _) = token(&first);
    assert_eq!(
        (&first["Code"], &first["IsSuccess"], user),
        (&json!("success"), &json!(true), "cr_temp_user")
    );
    assert_ne!(password, token(&second).1);
    let (facts, tail) = password.split_once(':').unwrap();
    let facts: Value = serde_json::from_slice(&STANDARD.decode(facts).unwrap()).unwrap();
    assert_eq!(facts["instanceId"], "cri-demo0001");
    assert!(tail.len() == 40 && tail.bytes().all(|byte| byte.is_ascii_hexdigit()));

    assert!(cloud.token_valid(user, password, "cri-demo0001"));
    assert!(!cloud.token_valid("temp_user_cr", password, "cri-demo0001"));
    assert!(!cloud.token_valid(user, password, "cri-demo0002"));
    assert!(!cloud.token_valid(user, "x:y", "cri-demo0001"));
    assert!(cloud.token_may_pull(user, password, "cri-demo0001"));
    cloud.world(|world| world.user_mut("1", "puller").unwrap().policy.allow.remove("cr:PullRepository"));
    assert!(!cloud.token_may_pull(user, password, "cri-demo0001"));
    assert!(cloud.token_valid(user, password, "cri-demo0001"));
    cloud.set_clock_skew(3601);
    assert!(!cloud.token_valid(user, password, "cri-demo0001"));
}

#[tokio::test]
async fn a_caller_without_the_right_does_not_learn_which_instances_exist() {
    let cloud = demo().await;
    let stranger = Key::of_user(&cloud, "stranger");
    for instance in ["cri-demo0001", "cri-nowhere"] {
        let heard = ask(&cloud, &stranger, CR, instance).send(&cloud).await;
        heard.refused(403, "NoPrivilege");
        assert_eq!(heard.body["AccessDeniedDetail"]["AuthAction"], "cr:GetAuthorizationToken");
        assert_eq!(heard.body["AccessDeniedDetail"]["AuthPrincipalDisplayName"], "stranger");
        assert_eq!(heard.body["HostId"], CR);
    }
    let only_tokens = |world: &mut crate::cloud::World| {
        world.user_mut("1", "puller").unwrap().policy.allow.remove("cr:ListInstanceEndpoint")
    };
    assert!(cloud.world(only_tokens));
    let puller = Key::of_user(&cloud, "puller");
    let list = Ask::new(&cloud, &puller, CR, "ListInstanceEndpoint", &[("InstanceId", "cri-demo0001")]);
    list.send(&cloud).await.refused(403, "NoPrivilege");
    Ask::token(&cloud, &puller).send(&cloud).await.ok();
}

#[tokio::test]
async fn a_refusal_names_the_kind_of_principal_that_lacks_the_right() {
    let cloud = demo().await;
    let node = Key::of_node(&cloud).await;
    cloud.world(|world| {
        world.role_mut("1", "KubernetesWorkerRole-demo").unwrap().policy = Policy::allowing(&[]);
    });
    let stranger = Key::of_user(&cloud, "stranger");
    for (key, kind, name) in
        [(stranger, "SubUser", "stranger"), (node, "AssumedRoleUser", "KubernetesWorkerRole-demo:ecs-node")]
    {
        let heard = Ask::token(&cloud, &key).send(&cloud).await;
        heard.refused(403, "NoPrivilege");
        assert_eq!(
            heard.body["AccessDeniedDetail"],
            json!({
                "AuthAction": "cr:GetAuthorizationToken",
                "AuthPrincipalType": kind,
                "AuthPrincipalDisplayName": name,
                "AuthPrincipalOwnerId": "1",
                "NoPermissionType": "ImplicitDeny",
                "PolicyType": "AccountLevelIdentityBasedPolicy",
            })
        );
    }
}

#[tokio::test]
async fn the_partners_own_user_reaches_the_partners_instance_and_no_other() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "partner-puller");
    ask(&cloud, &key, CR, "cri-demo0003").send(&cloud).await.ok();
    ask(&cloud, &key, CR, "cri-demo0001").send(&cloud).await.refused(404, "INSTANCE_NOT_EXIST");
}

#[tokio::test]
async fn an_accounts_own_key_may_do_anything_in_its_account() {
    let cloud = demo().await;
    let root = Key::of_root(&cloud, "2");
    ask(&cloud, &root, CR, "cri-demo0003").send(&cloud).await.ok();
    ask(&cloud, &root, CR, "cri-demo0001").send(&cloud).await.refused(404, "INSTANCE_NOT_EXIST");
}

#[tokio::test]
async fn an_instance_exists_only_in_its_region_and_for_its_account() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    let north = "cr.cn-beijing.aliyuncs.com";
    ask(&cloud, &key, north, "cri-demo0002").send(&cloud).await.ok();
    for (host, instance) in [
        (CR, "cri-demo0002"),
        ("cr-vpc.cn-hangzhou.aliyuncs.com", "cri-demo0002"),
        (north, "cri-demo0001"),
        (CR, "cri-nowhere"),
        (CR, "cri-demo0003"),
    ] {
        ask(&cloud, &key, host, instance).send(&cloud).await.refused(404, "INSTANCE_NOT_EXIST");
    }
    cloud.world(|world| world.unconfirmed.foreign_instance = ForeignInstance::NoPrivilege);
    ask(&cloud, &key, CR, "cri-demo0003").send(&cloud).await.refused(403, "NoPrivilege");
    cloud.world(|world| world.unconfirmed.missing_instance = MissingInstance::NotSuccess);
    let heard = ask(&cloud, &key, CR, "cri-nowhere").send(&cloud).await;
    heard.refused(200, "INSTANCE_NOT_EXIST");
    assert_eq!(heard.body["IsSuccess"], false);
    for query in [&[][..], &[("InstanceId", "")]] {
        let heard = Ask::new(&cloud, &key, CR, "GetAuthorizationToken", query).send(&cloud).await;
        heard.refused(400, "MissingInstanceId");
    }
}

#[tokio::test]
async fn endpoints_are_listed_with_their_domains() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    cloud.world(|world| {
        let endpoints = &mut world.instances.get_mut("cri-demo0001").unwrap().endpoints;
        endpoints[0].acl_entries.push("10.0.0.0/8".to_owned());
        endpoints[1].enable = false;
    });
    let list = |more: &[(&str, &str)]| {
        let query = [&[("InstanceId", "cri-demo0001")], more].concat();
        Ask::new(&cloud, &key, CR, "ListInstanceEndpoint", &query)
    };
    let reply = list(&[("ModuleName", "Registry"), ("Summary", "true")]).send(&cloud).await.ok();
    assert_eq!(
        reply["Endpoints"],
        json!([
            {
                "EndpointType": "internet", "Enable": true, "AclEnable": false, "Status": "RUNNING",
                "Domains": [
                    { "Domain": "demo-registry.cn-hangzhou.cr.aliyuncs.com", "Type": "SYSTEM" },
                    { "Domain": "img.example.com", "Type": "USER" },
                ],
                "LinkedVpcs": [],
            },
            {
                "EndpointType": "vpc", "Enable": false, "AclEnable": false, "Status": "RUNNING",
                "Domains": [{ "Domain": "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "Type": "SYSTEM" }],
                "LinkedVpcs": [{ "VpcId": "vpc-cn-hangzhou-demo" }],
            },
        ])
    );
    let reply = list(&[]).send(&cloud).await.ok();
    assert_eq!(reply["Endpoints"][0]["AclEntries"], json!([{ "Entry": "10.0.0.0/8" }]));
    let reply = list(&[("ModuleName", "Chart")]).send(&cloud).await.ok();
    assert_eq!(reply["Endpoints"], json!([]));
    list(&[("ModuleName", "Music")]).send(&cloud).await.refused(400, "InvalidParameter.ModuleName");
}

#[tokio::test]
async fn unknown_hosts_actions_versions_and_paths_are_not_found() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    for host in ["cr.cn-atlantis.aliyuncs.com", "cr-vpc.cn-beijing.aliyuncs.com", "registry.example.com"] {
        ask(&cloud, &key, host, "cri-demo0001").send(&cloud).await.refused(404, "InvalidProduct.NotFound");
    }
    for action in ["GetInstance", "AssumeRole", ""] {
        let heard = Ask::new(&cloud, &key, CR, action, &[]).send(&cloud).await;
        heard.refused(404, "InvalidApi.NotFound");
    }
    let old = Ask { version: "2016-06-07", ..Ask::token(&cloud, &key) };
    old.send(&cloud).await.refused(404, "InvalidApi.NotFound");
    let of_another_product = Ask { host: CR.to_owned(), ..Ask::assume(&cloud, &key, &[]) };
    of_another_product.send(&cloud).await.refused(404, "InvalidApi.NotFound");
    let put = Ask { method: "PUT", ..Ask::token(&cloud, &key) };
    put.send(&cloud).await.refused(404, "InvalidApi.NotFound");
}

#[tokio::test]
async fn the_address_by_number_serves_any_product_in_the_clusters_region() {
    let cloud = demo().await;
    let host = cloud.address().trim_start_matches("http://").to_owned();
    let node = Key::of_node(&cloud).await;
    ask(&cloud, &node, &host, "cri-demo0001").send(&cloud).await.ok();
    ask(&cloud, &node, &host, "cri-demo0002").send(&cloud).await.refused(404, "INSTANCE_NOT_EXIST");
    Ask { host, ..Ask::assume(&cloud, &node, &[]) }.send(&cloud).await.ok();
}

#[tokio::test]
async fn a_client_that_takes_it_for_its_http_proxy_reaches_the_host_that_it_names() {
    let cloud = demo().await;
    let proxy = reqwest::Proxy::http(cloud.address()).unwrap();
    let client = reqwest::Client::builder().proxy(proxy).build().unwrap();
    let ask = ask(&cloud, &Key::of_user(&cloud, "puller"), "cr.cn-beijing.aliyuncs.com", "cri-demo0002");
    let mut request = client.post("http://cr.cn-beijing.aliyuncs.com/?InstanceId=cri-demo0002");
    for (name, value) in ask.signed() {
        request = request.header(name, value);
    }
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(cloud.calls()[0].host, "cr.cn-beijing.aliyuncs.com");
}
