//! The Personal Edition: one token for all that an account has in a region.

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::Retry;
use acr_credential_binding::model::identity::CredentialSource;
use acr_credential_binding::model::{Edition, RegistryKey};
use acr_lab::cloud::FaultKind;
use acr_lab::cloud::world::{MissingPersonal, Policy};
use secrecy::ExposeSecret;

use crate::lab::{Lab, PARTNER_ROLE, WORKER, identity};

const MINT: &str = "Personal:GetAuthorizationToken";

/// After this day the Personal Edition's new instances take fixed passwords only.
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
async fn a_token_is_good_for_the_account_and_the_region_and_nothing_else() {
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
            let opens = lab.cloud.personal_token_may_pull(user, token, account, region);
            assert_eq!(opens, (account, region) == place, "{key} in {account} {region}");
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
async fn host_names_are_known_without_a_call() {
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
async fn an_account_without_such_a_registry_is_told_from_which_day_on_there_are_none() {
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
        let code_there = MissingPersonal::Refusal { status, code: code.to_owned() };
        lab.cloud.world(|world| world.unconfirmed.missing_personal = code_there);
        let failure = lab.refused(&near()).await;
        assert_eq!((failure.reason, failure.retry), (reason, Retry::Rarely), "{code}");
        for part in [LIMIT, code, "Personal Edition", "cn-hangzhou", WORKER, "fixed user name and password"] {
            assert!(failure.message.contains(part), "{part} in {}", failure.message);
        }
        // There is no such field in an entry of this edition.
        assert!(!failure.message.contains("instanceId"), "{}", failure.message);
        assert!(failure.request_id.is_some(), "{code}");
    }
    // Nothing in this answer tells that no registry will take it.
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
async fn a_refusal_of_this_api_is_read_though_it_is_spelt_in_lower_case() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.role_mut("1", WORKER).unwrap().policy = Policy::default());
    let failure = lab.refused(&near()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::AccessDenied, Retry::Rarely));
    let parts =
        ["cr:GetAuthorizationToken", WORKER, "ImplicitDeny by AccountLevelIdentityBasedPolicy", LIMIT];
    for part in parts {
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
    }
    assert!(failure.request_id.is_some());
    let failure = lab.refused(&personal("cn-atlantis", None)).await;
    assert_eq!(failure.reason, Reason::InstanceNotFound);
    assert!(failure.message.ends_with("check regionId"), "{}", failure.message);
}

#[tokio::test]
async fn what_is_no_answer_is_unexpected_and_leaves_the_next_ask_unharmed() {
    let lab = Lab::start().await;
    for (kind, says) in [
        (FaultKind::MalformedJson, "not documented"),
        (FaultKind::Html, "not documented"),
        (FaultKind::Truncated, "breaks its answer off"),
        (FaultKind::HugeBody(8 << 20), "larger than any real one"),
        (FaultKind::MissingFields, "without data"),
        (FaultKind::ExpireTimePast, "expired already"),
    ] {
        lab.fault(MINT, kind.clone(), Some(1));
        let failure = lab.refused(&near()).await;
        assert_eq!((failure.reason, failure.retry), (Reason::UnexpectedReply, Retry::Soon), "{kind:?}");
        assert!(failure.message.contains(says), "{kind:?}: {}", failure.message);
        assert!(lab.mint(&near()).await.is_ok(), "{kind:?}");
    }
    lab.fault(MINT, FaultKind::ExpireTimeString, Some(1));
    assert!(lab.mint(&near()).await.is_ok());
}

#[tokio::test]
async fn what_passes_by_itself_is_no_missing_registry() {
    let lab = Lab::start().await;
    for (status, code, reason) in [
        (500, "SystemError", Reason::CloudFailing),
        (502, "BadGateway", Reason::CloudFailing),
        (429, "TooManyRequests", Reason::Throttled),
        (400, "Throttling.User", Reason::Throttled),
        (400, "SignatureNonceUsed", Reason::UnexpectedReply),
    ] {
        lab.code(MINT, status, code);
        let failure = lab.refused(&near()).await;
        assert_eq!((failure.reason, failure.retry), (reason, Retry::Soon), "{code}");
        assert!(!failure.message.contains(LIMIT), "{}", failure.message);
    }
}
