//! Behavior outside the API: counts, secrets, the description, the end.

use std::time::Duration;

use super::{Ask, CR, Key, client, demo};
use crate::cloud::{Cloud, CloudConfig};

#[tokio::test]
async fn every_call_is_recorded_with_who_what_and_the_outcome() {
    let cloud = demo().await;
    let node = Key::of_node(&cloud).await;
    let heard = Ask::token(&cloud, &node).send(&cloud).await;
    let request_id = heard.ok()["RequestId"].as_str().unwrap().to_owned();
    Ask::token(&cloud, &Key::of_user(&cloud, "stranger")).send(&cloud).await.refused(403, "NoPrivilege");
    let forged = Key { secret: "guessed".to_owned(), ..node };
    Ask::token(&cloud, &forged).send(&cloud).await.refused(400, "SignatureDoesNotMatch");

    for (action, count) in
        [("IMDS:token", 2), ("IMDS:role", 1), ("IMDS:credentials", 1), ("GetAuthorizationToken", 3)]
    {
        assert_eq!(cloud.count(action), count, "{action}");
    }
    let calls: Vec<_> = cloud.calls().into_iter().filter(|call| call.product == "cr").collect();
    let good = &calls[0];
    assert_eq!((good.host.as_str(), good.instance.as_deref()), (CR, Some("cri-demo0001")));
    assert_eq!((good.identity.as_str(), good.account.as_str()), ("role/KubernetesWorkerRole-demo", "1"));
    assert_eq!((good.status, good.code.as_str(), &good.request_id), (200, "success", &request_id));
    assert!((cloud.now() - 60_000..=cloud.now()).contains(&good.at));
    assert_eq!((calls[1].identity.as_str(), calls[1].code.as_str()), ("user/stranger", "NoPrivilege"));
    assert_eq!(
        (calls[2].identity.as_str(), calls[2].status),
        ("", 400),
        "an unproven identity is not recorded"
    );
    cloud.clear_calls();
    assert_eq!(cloud.calls(), []);
}

#[tokio::test]
async fn the_inventory_holds_every_secret_even_one_that_was_replaced() {
    let cloud = demo().await;
    let node = Key::of_node(&cloud).await;
    let user = Key::of_user(&cloud, "puller");
    let session = Key::read(&Ask::assume(&cloud, &node, &[]).send(&cloud).await.ok()["Credentials"]);
    let reply = Ask::token(&cloud, &node).send(&cloud).await.ok();
    let token = reply["AuthorizationToken"].as_str().unwrap().to_owned();
    cloud.world(|world| world.user_mut("1", "puller").unwrap().keys[0].secret = "rotated".to_owned());

    let secrets = cloud.secrets();
    let pair = format!("cr_temp_user:{token}");
    let wanted =
        [node.secret, node.token.unwrap(), user.secret, session.secret, session.token.unwrap(), token, pair];
    for secret in wanted.into_iter().chain(["rotated".to_owned()]) {
        assert!(secrets.contains(&secret), "{secret}");
    }
    assert!(!secrets.contains(&node.id), "an AccessKeyId is not secret");
}

#[tokio::test]
async fn the_description_names_endpoints_identities_keys_and_domains() {
    let cloud = demo().await;
    let key = Key::of_user(&cloud, "puller");
    let text = cloud.describe();
    for part in [
        cloud.address().as_str(),
        "cr-vpc.cn-hangzhou.aliyuncs.com",
        "acs:ram::2:role/acr-pull",
        "acs:ram::1:role/KubernetesWorkerRole-demo",
        &key.id,
        &key.secret,
        "cri-demo0003",
        "img.example.com",
        "registry-vpc.cn-hangzhou.aliyuncs.com",
        "LTAI-demo-partner-hopper",
        "acs:ram::1:oidc-provider/ack-rrsa-demo if oidc:aud sts.aliyuncs.com and oidc:sub system:serviceaccount",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    cloud.world(|world| world.role_mut("1", "acr-rrsa").unwrap().oidc_trust[0].string_equals.clear());
    let text = cloud.describe();
    assert!(text.contains("oidc-provider/ack-rrsa-demo\n"), "a trust without conditions:\n{text}");
}

#[tokio::test]
async fn it_stops_when_its_last_clone_is_dropped_and_frees_its_port() {
    let cloud = demo().await;
    let address = cloud.address();
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let config = CloudConfig { port, ..CloudConfig::demo() };
    assert!(Cloud::start(config.clone()).await.is_err(), "the port is taken");
    let clone = cloud.clone();
    drop(cloud);
    client().get(&address).send().await.unwrap();
    drop(clone);
    let again = async {
        loop {
            match Cloud::start(config.clone()).await {
                Ok(again) => return again,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(10), again).await.expect("the port is free again");
    assert_eq!(again.address(), address);
}
