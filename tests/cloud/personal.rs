//! The Personal Edition: one token for all registries of an account in a region.

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::Retry;
use acr_credential_binding::model::identity::CredentialSource;
use acr_credential_binding::model::{Edition, RegistryKey};
use acr_lab::cloud::FaultKind;
use acr_lab::cloud::world::{MissingPersonal, Policy};
use secrecy::ExposeSecret;

use crate::lab::{Lab, PARTNER_ROLE, WORKER, identity};

const MINT: &str = "Personal:GetAuthorizationToken";

/// Personal Edition instances created after this day accept fixed passwords only.
const LIMIT: &str = "2024-09-08";

fn personal(region: &str, assume: Option<&str>) -> RegistryKey {
    RegistryKey {
        edition: Edition::Personal,
        region: region.into(),
        identity: identity(CredentialSource::ControllerIdentity, assume),
    }
}

fn near() -> RegistryKey {
    personal("cn-hangzhou", None)
}

#[tokio::test]
async fn a_token_is_valid_for_one_account_and_region_only() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| {
        world.accounts.get_mut("1").unwrap().personal.insert("cn-beijing".to_owned());
    });
    let all = [("1", "cn-hangzhou"), ("1", "cn-beijing"), ("2", "cn-hangzhou")];
    for (key, place, host) in [
        (near(), all[0], "cr-vpc.cn-hangzhou.aliyuncs.com"),
        (personal("cn-beijing", None), all[1], "cr.cn-beijing.aliyuncs.com"),
        (personal("cn-hangzhou", Some(PARTNER_ROLE)), all[2], "cr-vpc.cn-hangzhou.aliyuncs.com"),
    ] {
        let now = lab.now();
        let credential = lab.mint_at(&key, now).await.unwrap();
        let (user, token) = (&credential.username, credential.token.expose_secret());
        for (account, region) in all {
            let may_pull = lab.cloud.personal_token_may_pull(user, token, account, region);
            assert_eq!(may_pull, (account, region) == place, "{key} in {account} {region}");
        }
        for instance in ["cri-demo0001", "cri-demo0002", "cri-demo0003"] {
            assert!(!lab.cloud.token_valid(user, token, instance), "{key} {instance}");
        }
        assert_eq!(credential.minted_at, now);
        assert_eq!(&*credential.origin.endpoint, host);
        let call = lab.cloud.calls().pop().unwrap();
        assert_eq!((call.action.as_str(), call.host.as_str(), call.instance), (MINT, host, None));
    }
}

#[tokio::test]
async fn host_names_need_no_call() {
    let lab = Lab::start().await;
    assert_eq!(
        lab.domains(&near()).await.unwrap(),
        [
            "registry.cn-hangzhou.aliyuncs.com",
            "registry-internal.cn-hangzhou.aliyuncs.com",
            "registry-vpc.cn-hangzhou.aliyuncs.com",
        ]
    );
    assert_eq!(lab.domains(&personal("ap-southeast-1", None)).await.unwrap().len(), 5);
    assert_eq!(lab.cloud.calls(), []);
}

#[tokio::test]
async fn an_account_without_a_registry_gets_a_message_with_the_editions_limit() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.accounts.get_mut("1").unwrap().personal.clear());
    for (status, code, reason) in [
        (403, "NoPrivilege", Reason::AccessDenied),
        (403, "NoPermission", Reason::AccessDenied),
        (403, "Forbidden.RAM", Reason::AccessDenied),
        (404, "INSTANCE_NOT_EXIST", Reason::InstanceNotFound),
        (404, "USER_NOT_EXIST", Reason::InstanceNotFound),
        (404, "InvalidApi.NotFound", Reason::InstanceNotFound),
        (400, "Brand.New", Reason::InstanceNotFound),
        (401, "UNAUTHORIZED", Reason::InstanceNotFound),
        (200, "USER_NOT_EXIST", Reason::InstanceNotFound),
    ] {
        let refusal = MissingPersonal::Refusal { status, code: code.to_owned() };
        lab.cloud.world(|world| world.unconfirmed.missing_personal = refusal);
        let error = lab.mint_error(&near()).await;
        assert_eq!((error.reason, error.retry), (reason, Retry::Rarely), "{code}");
        for part in [LIMIT, code, "Personal Edition", "cn-hangzhou", WORKER, "fixed user name and password"] {
            assert!(error.message.contains(part), "{part} in {}", error.message);
        }
        // An entry of this edition does not have this field.
        assert!(!error.message.contains("instanceId"), "{}", error.message);
        assert!(error.request_id.is_some(), "{code}");
    }
    // Nothing in this reply shows that no registry accepts the token.
    lab.cloud.world(|world| world.unconfirmed.missing_personal = MissingPersonal::UselessToken);
    let credential = lab.mint(&near()).await.unwrap();
    let (user, token) = (&credential.username, credential.token.expose_secret());
    assert!(!lab.cloud.personal_token_valid(user, token, "1", "cn-hangzhou"));

    lab.cloud.world(|world| {
        world.accounts.get_mut("1").unwrap().personal.insert("cn-hangzhou".to_owned());
    });
    assert!(lab.mint(&near()).await.is_ok());
}

#[tokio::test]
async fn an_error_reply_with_lower_case_fields_is_parsed() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.role_mut("1", WORKER).unwrap().policy = Policy::default());
    let error = lab.mint_error(&near()).await;
    assert_eq!((error.reason, error.retry), (Reason::AccessDenied, Retry::Rarely));
    let parts =
        ["cr:GetAuthorizationToken", WORKER, "ImplicitDeny by AccountLevelIdentityBasedPolicy", LIMIT];
    for part in parts {
        assert!(error.message.contains(part), "{part} in {}", error.message);
    }
    assert!(error.request_id.is_some());
    let error = lab.mint_error(&personal("cn-atlantis", None)).await;
    assert_eq!(error.reason, Reason::InstanceNotFound);
    assert!(error.message.ends_with("check regionId"), "{}", error.message);
}

#[tokio::test]
async fn a_broken_reply_is_unexpected_and_does_not_affect_the_next_call() {
    let lab = Lab::start().await;
    for (kind, expected) in [
        (FaultKind::MalformedJson, "not documented"),
        (FaultKind::Html, "not documented"),
        (FaultKind::Truncated, "truncated reply"),
        (FaultKind::HugeBody(8 << 20), "exceeds the size limit"),
        (FaultKind::MissingFields, "no field data"),
        (FaultKind::ExpireTimePast, "already expired"),
    ] {
        lab.fault(MINT, kind.clone(), Some(1));
        let error = lab.mint_error(&near()).await;
        assert_eq!((error.reason, error.retry), (Reason::UnexpectedReply, Retry::Soon), "{kind:?}");
        assert!(error.message.contains(expected), "{kind:?}: {}", error.message);
        assert!(lab.mint(&near()).await.is_ok(), "{kind:?}");
    }
    lab.fault(MINT, FaultKind::ExpireTimeString, Some(1));
    assert!(lab.mint(&near()).await.is_ok());
}

#[tokio::test]
async fn a_transient_error_does_not_mean_a_missing_registry() {
    let lab = Lab::start().await;
    for (status, code, reason) in [
        (500, "SystemError", Reason::CloudFailing),
        (502, "BadGateway", Reason::CloudFailing),
        (429, "TooManyRequests", Reason::Throttled),
        (400, "Throttling.User", Reason::Throttled),
        (400, "SignatureNonceUsed", Reason::UnexpectedReply),
    ] {
        lab.code(MINT, status, code);
        let error = lab.mint_error(&near()).await;
        assert_eq!((error.reason, error.retry), (reason, Retry::Soon), "{code}");
        assert!(!error.message.contains(LIMIT), "{}", error.message);
    }
}
