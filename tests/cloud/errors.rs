//! Errors of the cloud, and the reasons and messages they lead to.

use std::time::{Duration, Instant};

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::Retry;
use acr_credential_binding::model::{Edition, RegistryKey};
use acr_lab::cloud::FaultKind;
use acr_lab::cloud::world::{ForeignInstance, MissingInstance, Policy};

use crate::lab::{LIST, Lab, MINT, PARTNER_ROLE, WORKER, client, key, near, partner};

#[tokio::test]
async fn a_throttled_call_returns_the_retry_hint() {
    let lab = Lab::start().await;
    for (hint, retry) in [(Some(1500), Retry::After(Duration::from_millis(1500))), (None, Retry::Soon)] {
        for action in [MINT, "AssumeRole"] {
            lab.fault(action, FaultKind::Throttle { retry_after_ms: hint }, Some(1));
            let error = lab.mint_error(&partner()).await;
            assert_eq!((error.reason, error.retry), (Reason::Throttled, retry), "{action}");
            assert!(error.request_id.is_some(), "{action}");
            // Makes the next round assume the role again.
            lab.cloud.set_clock_skew(3600);
        }
        lab.cloud.set_clock_skew(0);
    }
    assert!(lab.mint(&partner()).await.is_ok());
}

#[tokio::test]
async fn each_error_code_has_a_reason() {
    let lab = Lab::start().await;
    for (status, code, reason, retry) in [
        (500, "InternalError", Reason::CloudFailing, Retry::Soon),
        (503, "ServiceUnavailable", Reason::CloudFailing, Retry::Soon),
        (403, "NoPermission", Reason::AccessDenied, Retry::Rarely),
        (400, "SignatureDoesNotMatch", Reason::KeyInvalid, Retry::Rarely),
        (404, "InvalidAccessKeyId.NotFound", Reason::KeyInvalid, Retry::Soon),
        (400, "InvalidAccessKeyId.Inactive", Reason::KeyInactive, Retry::Rarely),
        (400, "SignatureNonceUsed", Reason::UnexpectedReply, Retry::Soon),
        (400, "Brand.New", Reason::UnexpectedReply, Retry::Soon),
    ] {
        lab.code(MINT, status, code);
        let error = lab.mint_error(&near()).await;
        assert_eq!((error.reason, error.retry), (reason, retry), "{code}");
        for part in [MINT, "cr-vpc.cn-hangzhou.aliyuncs.com", WORKER, code] {
            assert!(error.message.contains(part), "{part} in {}", error.message);
        }
        lab.code(MINT, status, code);
        assert_eq!(lab.mint_error(&near()).await.message, error.message, "equal causes have equal messages");
    }
    lab.fault(LIST, FaultKind::NotSuccess { code: "NoPrivilege".to_owned() }, Some(1));
    assert_eq!(lab.domains(&near()).await.unwrap_err().reason, Reason::AccessDenied);
}

#[tokio::test]
async fn a_broken_reply_is_unexpected_and_does_not_affect_the_next_call() {
    let lab = Lab::start().await;
    for (kind, expected) in [
        (FaultKind::MalformedJson, "not documented"),
        (FaultKind::Html, "not documented"),
        (FaultKind::Truncated, "truncated reply"),
        (FaultKind::HugeBody(8 << 20), "exceeds the size limit"),
        (FaultKind::MissingFields, "the reply has no"),
        (FaultKind::ExpireTimePast, "already"),
    ] {
        for action in [MINT, "AssumeRole"] {
            lab.fault(action, kind.clone(), Some(1));
            let error = lab.mint_error(&partner()).await;
            assert_eq!((error.reason, error.retry), (Reason::UnexpectedReply, Retry::Soon), "{kind:?}");
            assert!(error.message.contains(expected), "{action} {kind:?}: {}", error.message);
            lab.cloud.set_clock_skew(3600);
        }
        lab.cloud.set_clock_skew(0);
    }
    for kind in [FaultKind::MalformedJson, FaultKind::Html, FaultKind::MissingFields] {
        lab.fault(LIST, kind.clone(), Some(1));
        assert_eq!(lab.domains(&near()).await.unwrap_err().reason, Reason::UnexpectedReply, "{kind:?}");
    }
    lab.fault(MINT, FaultKind::ExpireTimeString, Some(1));
    assert!(lab.mint(&near()).await.is_ok());
}

#[tokio::test]
async fn a_host_that_hangs_or_refuses_is_unreachable_within_the_timeout() {
    let lab = Lab::start().await;
    lab.fault(MINT, FaultKind::Hang, Some(1));
    let began = Instant::now();
    let error = lab.mint_error(&near()).await;
    assert_eq!((error.reason, error.retry), (Reason::Unreachable, Retry::Soon));
    assert!(
        error.message.starts_with("cr-vpc.cn-hangzhou.aliyuncs.com does not answer"),
        "{}",
        error.message
    );
    assert!((9..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client(&lab.cloud, &closed.to_string()).mint(&near(), lab.now()).await.unwrap_err();
    assert_eq!(error.reason, Reason::Unreachable);
    assert!(error.message.contains("cr-vpc.cn-hangzhou.aliyuncs.com refuses"), "{}", error.message);
    assert!(!error.message.contains(&closed.port().to_string()), "{}", error.message);
}

#[tokio::test]
async fn a_missing_instance_is_reported_in_both_forms() {
    let lab = Lab::start().await;
    for form in [MissingInstance::Status(404), MissingInstance::NotSuccess] {
        lab.cloud.world(|world| world.unconfirmed.missing_instance = form);
        for key in [
            key("cri-none", "cn-hangzhou", None),
            key("cri-demo0001", "cn-beijing", None),
            key("cri-demo0003", "cn-hangzhou", None),
        ] {
            let error = lab.mint_error(&key).await;
            assert_eq!(
                (error.reason, error.retry),
                (Reason::InstanceNotFound, Retry::Rarely),
                "{form:?} {key}"
            );
            assert!(error.message.contains(&key.to_string()), "{}", error.message);
            assert!(error.message.ends_with("check instanceId and regionId"), "{}", error.message);
        }
    }
    let error = lab.mint_error(&key("cri-demo0001", "cn-atlantis", None)).await;
    assert_eq!(error.reason, Reason::InstanceNotFound);
    assert!(error.message.ends_with("check regionId"), "{}", error.message);
    lab.cloud.world(|world| world.unconfirmed.foreign_instance = ForeignInstance::NoPrivilege);
    assert_eq!(lab.mint_error(&key("cri-demo0003", "cn-hangzhou", None)).await.reason, Reason::AccessDenied);
}

#[tokio::test]
async fn a_denied_action_names_the_permission_and_the_identity() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.role_mut("1", WORKER).unwrap().policy = Policy::allowing(&["cr:Get*"]));
    assert!(lab.mint(&near()).await.is_ok());
    let error = lab.domains(&near()).await.unwrap_err();
    assert_eq!((error.reason, error.retry), (Reason::AccessDenied, Retry::Rarely));
    for part in ["cr:ListInstanceEndpoint", WORKER, "ImplicitDeny", "RAM policy"] {
        assert!(error.message.contains(part), "{part} in {}", error.message);
    }
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_names_the_policy_to_change() {
    let lab = Lab::start().await;
    let unknown = lab.mint_error(&key("cri-demo0003", "cn-hangzhou", Some("acs:ram::2:role/none"))).await;
    assert_eq!((unknown.reason, unknown.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
    assert!(unknown.message.starts_with("acs:ram::2:role/none does not exist"), "{}", unknown.message);

    let mut long = partner();
    long.identity.session_seconds = 43_200;
    let error = lab.mint_error(&long).await;
    assert_eq!((error.reason, error.retry), (Reason::SessionTooLong, Retry::Rarely));
    assert!(error.message.contains("at most 3600 s"), "{}", error.message);

    lab.cloud.world(|world| world.role_mut("2", "acr-pull").unwrap().trust.clear());
    let error = lab.mint_error(&partner()).await;
    assert_eq!((error.reason, error.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
    for part in [PARTNER_ROLE, WORKER, "NoPermission", "trust policy"] {
        assert!(error.message.contains(part), "{part} in {}", error.message);
    }

    lab.cloud.world(|world| world.role_mut("1", WORKER).unwrap().policy = Policy::default());
    let error = lab.mint_error(&partner()).await;
    assert_eq!(error.reason, Reason::TrustPolicyDenies);
    assert!(error.message.contains("sts:AssumeRole"), "{}", error.message);
}

#[tokio::test]
async fn a_clock_skew_is_reported_in_minutes_for_every_action() {
    let personal = RegistryKey { edition: Edition::Personal, ..near() };
    for (minutes, text) in [(20, "20 minutes behind"), (-20, "20 minutes ahead of")] {
        for (key, action) in
            [(near(), MINT), (near(), LIST), (partner(), "AssumeRole"), (personal.clone(), MINT)]
        {
            let lab = Lab::start().await;
            let now = lab.now();
            lab.cloud.set_clock_skew(minutes * 60);
            let error = match action {
                LIST => lab.domains_at(&key, now).await.unwrap_err(),
                _ => lab.mint_at(&key, now).await.unwrap_err(),
            };
            assert_eq!((error.reason, error.retry), (Reason::ClockSkew, Retry::Rarely), "{action}");
            for part in [text, action, "InvalidTimeStamp.Expired", "synchronise the node's clock"] {
                assert!(error.message.contains(part), "{part} in {}", error.message);
            }
            // A corrected clock needs no restart.
            lab.cloud.set_clock_skew(0);
            assert!(lab.mint(&key).await.is_ok(), "{action}");
        }
    }
}
