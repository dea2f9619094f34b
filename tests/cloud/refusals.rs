//! What the cloud refuses, breaks or withholds, and what is made of it.

use std::time::{Duration, Instant};

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::Retry;
use acr_credential_binding::model::{Edition, RegistryKey};
use acr_lab::cloud::FaultKind;
use acr_lab::cloud::world::{ForeignInstance, MissingInstance, Policy};

use crate::lab::{LIST, Lab, MINT, PARTNER_ROLE, WORKER, client, key, near, partner};

#[tokio::test]
async fn a_throttled_call_says_how_long_to_wait() {
    let lab = Lab::start().await;
    for (hint, retry) in [(Some(1500), Retry::After(Duration::from_millis(1500))), (None, Retry::Soon)] {
        for action in [MINT, "AssumeRole"] {
            lab.fault(action, FaultKind::Throttle { retry_after_ms: hint }, Some(1));
            let failure = lab.refused(&partner()).await;
            assert_eq!((failure.reason, failure.retry), (Reason::Throttled, retry), "{action}");
            assert!(failure.request_id.is_some(), "{action}");
            // So that the next round has to assume the role again.
            lab.cloud.set_clock_skew(3600);
        }
        lab.cloud.set_clock_skew(0);
    }
    assert!(lab.mint(&partner()).await.is_ok());
}

#[tokio::test]
async fn what_the_cloud_refuses_becomes_a_reason() {
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
        let failure = lab.refused(&near()).await;
        assert_eq!((failure.reason, failure.retry), (reason, retry), "{code}");
        for part in [MINT, "cr-vpc.cn-hangzhou.aliyuncs.com", WORKER, code] {
            assert!(failure.message.contains(part), "{part} in {}", failure.message);
        }
        lab.code(MINT, status, code);
        assert_eq!(lab.refused(&near()).await.message, failure.message, "the same cause, the same words");
    }
    lab.fault(LIST, FaultKind::NotSuccess { code: "NoPrivilege".to_owned() }, Some(1));
    assert_eq!(lab.domains(&near()).await.unwrap_err().reason, Reason::AccessDenied);
}

#[tokio::test]
async fn what_is_no_answer_is_unexpected_and_leaves_the_next_call_unharmed() {
    let lab = Lab::start().await;
    for (kind, says) in [
        (FaultKind::MalformedJson, "not documented"),
        (FaultKind::Html, "not documented"),
        (FaultKind::Truncated, "breaks its answer off"),
        (FaultKind::HugeBody(8 << 20), "larger than any real one"),
        (FaultKind::MissingFields, "without"),
        (FaultKind::ExpireTimePast, "already"),
    ] {
        for action in [MINT, "AssumeRole"] {
            lab.fault(action, kind.clone(), Some(1));
            let failure = lab.refused(&partner()).await;
            assert_eq!((failure.reason, failure.retry), (Reason::UnexpectedReply, Retry::Soon), "{kind:?}");
            assert!(failure.message.contains(says), "{action} {kind:?}: {}", failure.message);
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
async fn a_host_that_hangs_or_refuses_is_unreachable_within_the_deadline() {
    let lab = Lab::start().await;
    lab.fault(MINT, FaultKind::Hang, Some(1));
    let began = Instant::now();
    let failure = lab.refused(&near()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::Unreachable, Retry::Soon));
    assert!(
        failure.message.starts_with("cr-vpc.cn-hangzhou.aliyuncs.com does not answer"),
        "{}",
        failure.message
    );
    assert!((9..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = client(&lab.cloud, &closed.to_string()).mint(&near(), lab.now()).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Unreachable);
    assert!(failure.message.contains("cr-vpc.cn-hangzhou.aliyuncs.com refuses"), "{}", failure.message);
    assert!(!failure.message.contains(&closed.port().to_string()), "{}", failure.message);
}

#[tokio::test]
async fn an_instance_that_is_not_there_is_told_in_both_forms() {
    let lab = Lab::start().await;
    for form in [MissingInstance::Status(404), MissingInstance::NotSuccess] {
        lab.cloud.world(|world| world.unconfirmed.missing_instance = form);
        for key in [
            key("cri-none", "cn-hangzhou", None),
            key("cri-demo0001", "cn-beijing", None),
            key("cri-demo0003", "cn-hangzhou", None),
        ] {
            let failure = lab.refused(&key).await;
            assert_eq!(
                (failure.reason, failure.retry),
                (Reason::InstanceNotFound, Retry::Rarely),
                "{form:?} {key}"
            );
            assert!(failure.message.contains(&key.to_string()), "{}", failure.message);
            assert!(failure.message.ends_with("check instanceId and regionId"), "{}", failure.message);
        }
    }
    let failure = lab.refused(&key("cri-demo0001", "cn-atlantis", None)).await;
    assert_eq!(failure.reason, Reason::InstanceNotFound);
    assert!(failure.message.ends_with("check regionId"), "{}", failure.message);
    lab.cloud.world(|world| world.unconfirmed.foreign_instance = ForeignInstance::NoPrivilege);
    assert_eq!(lab.refused(&key("cri-demo0003", "cn-hangzhou", None)).await.reason, Reason::AccessDenied);
}

#[tokio::test]
async fn a_denied_action_names_the_right_and_who_lacks_it() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.role_mut("1", WORKER).unwrap().policy = Policy::allowing(&["cr:Get*"]));
    assert!(lab.mint(&near()).await.is_ok());
    let failure = lab.domains(&near()).await.unwrap_err();
    assert_eq!((failure.reason, failure.retry), (Reason::AccessDenied, Retry::Rarely));
    for part in ["cr:ListInstanceEndpoint", WORKER, "ImplicitDeny", "RAM policy"] {
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
    }
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_says_which_end_is_at_fault() {
    let lab = Lab::start().await;
    let unknown = lab.refused(&key("cri-demo0003", "cn-hangzhou", Some("acs:ram::2:role/none"))).await;
    assert_eq!((unknown.reason, unknown.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
    assert!(unknown.message.starts_with("acs:ram::2:role/none does not exist"), "{}", unknown.message);

    let mut long = partner();
    long.identity.session_seconds = 43_200;
    let failure = lab.refused(&long).await;
    assert_eq!((failure.reason, failure.retry), (Reason::SessionTooLong, Retry::Rarely));
    assert!(failure.message.contains("at most 3600 s"), "{}", failure.message);

    lab.cloud.world(|world| world.role_mut("2", "acr-pull").unwrap().trust.clear());
    let failure = lab.refused(&partner()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
    for part in [PARTNER_ROLE, WORKER, "NoPermission", "trust policy"] {
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
    }

    lab.cloud.world(|world| world.role_mut("1", WORKER).unwrap().policy = Policy::default());
    let failure = lab.refused(&partner()).await;
    assert_eq!(failure.reason, Reason::TrustPolicyDenies);
    assert!(failure.message.contains("sts:AssumeRole"), "{}", failure.message);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_how_much_whichever_host_is_asked() {
    let personal = RegistryKey { edition: Edition::Personal, ..near() };
    for (minutes, text) in [(20, "20 minutes behind"), (-20, "20 minutes ahead of")] {
        for (key, action) in
            [(near(), MINT), (near(), LIST), (partner(), "AssumeRole"), (personal.clone(), MINT)]
        {
            let lab = Lab::start().await;
            let now = lab.now();
            lab.cloud.set_clock_skew(minutes * 60);
            let failure = match action {
                LIST => lab.domains_at(&key, now).await.unwrap_err(),
                _ => lab.mint_at(&key, now).await.unwrap_err(),
            };
            assert_eq!((failure.reason, failure.retry), (Reason::ClockSkew, Retry::Rarely), "{action}");
            for part in [text, action, "InvalidTimeStamp.Expired", "synchronise the node's clock"] {
                assert!(failure.message.contains(part), "{part} in {}", failure.message);
            }
            // A clock that is put right needs no restart.
            lab.cloud.set_clock_skew(0);
            assert!(lab.mint(&key).await.is_ok(), "{action}");
        }
    }
}
