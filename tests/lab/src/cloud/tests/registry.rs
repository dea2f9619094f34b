//! The cloud's tokens, shown to a real registry.

use super::{Ask, Key, demo};
use crate::registry::{Access, PullError, Registry, usable};

const REPOSITORY: &str = "team/app";

async fn refused(registry: &Registry, login: &str, because: &str) {
    match registry.pull(login, REPOSITORY).await {
        Err(PullError::Refused(said)) => assert!(said.contains(because), "{said}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_token_pulls_from_its_own_instance_until_it_expires_if_its_owner_may_pull() {
    if !usable().unwrap() {
        return;
    }
    let cloud = demo().await;
    let own = Registry::start(&cloud, Access::enterprise("cri-demo0001")).await.unwrap();
    let other = Registry::start(&cloud, Access::enterprise("cri-demo0002")).await.unwrap();
    let image = own.push(REPOSITORY).await.unwrap();
    other.push(REPOSITORY).await.unwrap();

    let reply = Ask::token(&cloud, &Key::of_user(&cloud, "puller")).send(&cloud).await.ok();
    let text = |name: &str| reply[name].as_str().unwrap();
    let (user, token) = (text("TempUsername"), text("AuthorizationToken"));
    let login = own.docker_config(user, token);
    assert_eq!(own.pull(&login, REPOSITORY).await.unwrap().config, image);

    // An unknown user is refused before the image is read; a known one is denied the image.
    let elsewhere = other.docker_config(user, token);
    refused(&other, &elsewhere, "invalid username/password").await;

    let right = "cr:PullRepository";
    cloud.world(|world| world.user_mut("1", "puller").unwrap().policy.allow.remove(right));
    refused(&own, &login, "denied: ").await;
    cloud.world(|world| world.user_mut("1", "puller").unwrap().policy.allow.insert(right.to_owned()));

    cloud.set_clock_skew(3000);
    assert_eq!(own.pull(&login, REPOSITORY).await.unwrap().config, image);
    cloud.set_clock_skew(3601);
    refused(&own, &login, "invalid username/password").await;
}
