//! The node's metadata service: both modes, and its failures.

use std::time::{Duration, Instant};

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::{Retry, node_region};
use acr_lab::cloud::FaultKind;
use acr_lab::cloud::world::HttpTokens;

use crate::lab::{Lab, WORKER, near};

#[tokio::test]
async fn the_region_of_the_node_comes_from_its_metadata_in_both_modes() {
    let lab = Lab::start().await;
    for mode in [HttpTokens::Required, HttpTokens::Optional] {
        lab.cloud.world(|world| world.node.http_tokens = mode);
        assert_eq!(node_region(&lab.cloud.address()).await.unwrap(), "cn-hangzhou", "{mode:?}");
    }
    lab.fault("IMDS:region-id", FaultKind::Html, None);
    assert_eq!(node_region(&lab.cloud.address()).await.unwrap_err().reason, Reason::NoIdentity);
}

#[tokio::test]
async fn a_service_without_tokens_gets_plain_requests() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.node.http_tokens = HttpTokens::Optional);
    lab.code("IMDS:token", 404, "NotFound");
    assert!(lab.mint(&near()).await.is_ok());
}

#[tokio::test]
async fn a_failed_token_request_does_not_turn_hardening_off() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.node.http_tokens = HttpTokens::Optional);
    for kind in [FaultKind::Html, FaultKind::Truncated] {
        lab.fault("IMDS:token", kind, Some(1));
        assert_eq!(lab.mint_error(&near()).await.reason, Reason::NoIdentity);
    }
    lab.code("IMDS:token", 500, "InternalError");
    assert_eq!(lab.mint_error(&near()).await.reason, Reason::NoIdentity);
    assert_eq!(lab.cloud.count("IMDS:role"), 0);
}

#[tokio::test]
async fn a_token_that_is_no_longer_accepted_is_replaced() {
    let lab = Lab::start().await;
    lab.code("IMDS:credentials", 401, "Unauthorized");
    assert!(lab.mint(&near()).await.is_ok());
    assert_eq!(lab.cloud.count("IMDS:token"), 2);
}

#[tokio::test]
async fn a_node_without_a_role_says_to_grant_one() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.node.role = None);
    let error = lab.mint_error(&near()).await;
    assert_eq!((error.reason, error.retry), (Reason::NoIdentity, Retry::Rarely));
    assert!(error.message.contains("grant the node a RAM role"), "{}", error.message);
}

#[tokio::test]
async fn a_changed_role_is_used() {
    let lab = Lab::start().await;
    assert!(lab.mint(&near()).await.is_ok());
    lab.cloud.world(|world| {
        let role = world.role("1", WORKER).unwrap().clone();
        world.accounts.get_mut("1").unwrap().roles.insert("Other".to_owned(), role);
        world.node.role = Some("Other".to_owned());
    });
    lab.cloud.set_clock_skew(6 * 3600);
    assert!(lab.mint(&near()).await.is_ok());
    assert_eq!(lab.cloud.calls().last().unwrap().identity, "role/Other");
}

#[tokio::test]
async fn a_reply_without_a_key_leads_to_no_identity() {
    let lab = Lab::start().await;
    for kind in [
        FaultKind::Html,
        FaultKind::MalformedJson,
        FaultKind::Truncated,
        FaultKind::HugeBody(1 << 20),
        FaultKind::ExpireTimePast,
        FaultKind::NotSuccess { code: "Failed".to_owned() },
    ] {
        lab.fault("IMDS:credentials", kind.clone(), Some(1));
        let error = lab.mint_error(&near()).await;
        assert_eq!((error.reason, error.retry), (Reason::NoIdentity, Retry::Soon), "{kind:?}");
    }
    lab.fault("IMDS:role", FaultKind::Html, Some(1));
    assert_eq!(lab.mint_error(&near()).await.reason, Reason::NoIdentity);
}

#[tokio::test]
async fn a_service_that_hangs_times_out_soon() {
    let lab = Lab::start().await;
    lab.fault("IMDS:role", FaultKind::Hang, Some(1));
    let began = Instant::now();
    let error = lab.mint_error(&near()).await;
    assert_eq!((error.reason, error.retry), (Reason::NoIdentity, Retry::Soon));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_failed_renewal_has_no_effect_until_the_key_expires() {
    let lab = Lab::start().await;
    assert!(lab.mint(&near()).await.is_ok());
    lab.fault("IMDS:credentials", FaultKind::Html, None);
    lab.cloud.set_clock_skew(6 * 3600 - 600);
    assert!(lab.mint(&near()).await.is_ok());
    assert_eq!(lab.cloud.count("IMDS:credentials"), 2);
    lab.cloud.set_clock_skew(6 * 3600 + 1);
    assert_eq!(lab.mint_error(&near()).await.reason, Reason::NoIdentity);
    lab.cloud.clear_faults();
    assert!(lab.mint(&near()).await.is_ok());
}
