//! Successful calls, and their number.

use std::time::Duration;

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::Retry;
use acr_lab::cloud::world::{Domain, DomainKind};
use futures::future::join_all;
use k8s_openapi::jiff::SignedDuration;
use secrecy::ExposeSecret;

use crate::lab::{Lab, MINT, PARTNER_ROLE, key, near, partner};

#[tokio::test]
async fn a_minted_credential_is_accepted_by_the_registry() {
    let lab = Lab::start().await;
    for (key, instance, host) in [
        (near(), "cri-demo0001", "cr-vpc.cn-hangzhou.aliyuncs.com"),
        (key("cri-demo0002", "cn-beijing", None), "cri-demo0002", "cr.cn-beijing.aliyuncs.com"),
        (partner(), "cri-demo0003", "cr-vpc.cn-hangzhou.aliyuncs.com"),
    ] {
        let now = lab.now();
        let credential = lab.mint_at(&key, now).await.unwrap();
        assert!(
            lab.cloud.token_may_pull(&credential.username, credential.token.expose_secret(), instance),
            "{key}"
        );
        assert_eq!(credential.minted_at, now);
        assert!(credential.expires_at > now + SignedDuration::from_mins(59), "{key}: {credential:?}");
        assert_eq!(lab.cloud.calls().last().unwrap().host, host);
    }
    assert!(lab.cloud.calls().iter().any(|call| call.host == "sts-vpc.cn-hangzhou.aliyuncs.com"));
}

#[tokio::test]
async fn domains_of_every_enabled_endpoint_are_listed() {
    let lab = Lab::start().await;
    let all = [
        "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
        "demo-registry.cn-hangzhou.cr.aliyuncs.com",
        "img.example.com",
    ];
    assert_eq!(lab.domains(&near()).await.unwrap(), all);
    lab.cloud.world(|world| {
        let endpoints = &mut world.instances.get_mut("cri-demo0001").unwrap().endpoints;
        endpoints[0].enable = false;
        endpoints[1].domains.push(Domain { domain: "vpc.example.com".to_owned(), kind: DomainKind::User });
    });
    assert_eq!(lab.domains(&near()).await.unwrap(), [all[0], "vpc.example.com"]);
    lab.cloud.world(|world| world.instances.get_mut("cri-demo0001").unwrap().endpoints[1].enable = false);
    let error = lab.domains(&near()).await.unwrap_err();
    assert_eq!((error.reason, error.retry), (Reason::NoDomains, Retry::Rarely));
}

#[tokio::test]
async fn twenty_mints_through_one_role_use_one_session_and_one_node_key() {
    let lab = Lab::start().await;
    let key = partner();
    let minted = join_all((0..20).map(|_| lab.mint(&key))).await;
    assert!(minted.iter().all(Result::is_ok), "{minted:?}");
    for (action, count) in [(MINT, 20), ("AssumeRole", 1), ("IMDS:credentials", 1), ("IMDS:token", 1)] {
        assert_eq!(lab.cloud.count(action), count, "{action}");
    }
    // Another registry with the same identity shares the session.
    lab.cloud.world(|world| {
        let copy = world.instances["cri-demo0003"].clone();
        world.instances.insert("cri-demo0004".to_owned(), copy);
    });
    lab.mint(&crate::lab::key("cri-demo0004", "cn-hangzhou", Some(PARTNER_ROLE))).await.unwrap();
    assert_eq!(lab.cloud.count("AssumeRole"), 1);
}

#[tokio::test]
async fn a_session_is_renewed_after_a_third_of_its_lifetime() {
    let lab = Lab::start().await;
    lab.mint(&partner()).await.unwrap();
    for (minutes, sessions) in [(19, 1), (21, 2)] {
        lab.cloud.set_clock_skew(minutes * 60);
        let credential = lab.mint(&partner()).await.unwrap();
        assert_eq!(lab.cloud.count("AssumeRole"), sessions, "after {minutes} minutes");
        assert!(
            credential.expires_at >= lab.now() + SignedDuration::from_mins(40),
            "after {minutes} minutes"
        );
    }
}

#[tokio::test]
async fn a_session_that_the_cloud_ended_is_replaced_at_the_next_attempt() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.lifetimes.session_cap = Some(Duration::from_secs(600)));
    lab.mint(&partner()).await.unwrap();
    // The session has expired by the cloud's clock, but not by the client's, which is 14 minutes behind.
    lab.cloud.set_clock_skew(610);
    let now = lab.now() - SignedDuration::from_mins(14);
    let error = lab.mint_at(&partner(), now).await.unwrap_err();
    assert_eq!((error.reason, error.retry), (Reason::UnexpectedReply, Retry::Soon));
    assert!(error.message.contains("InvalidSecurityToken.Expired"), "{}", error.message);
    assert_eq!(lab.cloud.count("AssumeRole"), 1);
    lab.mint_at(&partner(), now).await.unwrap();
    assert_eq!(lab.cloud.count("AssumeRole"), 2);
}
