//! RRSA: a session of a role for a token of the cluster, alone and as the first link of a chain.

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::Retry;
use acr_credential_binding::model::RegistryKey;
use acr_lab::cloud::FaultKind;
use acr_lab::cloud::world::{Policy, World};
use futures::future::join_all;
use k8s_openapi::jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::lab::{Lab, MINT, PARTNER_ROLE, identity, near_as};
use crate::oidc::{Issuer, SUBJECT, rrsa};
use crate::wire_capture::WireCapture;

const WITH_TOKEN: &str = "AssumeRoleWithOIDC";

fn direct() -> RegistryKey {
    near_as("cri-demo0001", identity(rrsa(), None))
}

fn with_second_role() -> RegistryKey {
    near_as("cri-demo0003", identity(rrsa(), Some(PARTNER_ROLE)))
}

#[tokio::test]
async fn an_oidc_token_mints_with_and_without_a_second_role() {
    for (key, instance, name, actions) in [
        (direct(), "cri-demo0001", "rrsa:acr-rrsa", &[WITH_TOKEN, MINT][..]),
        (with_second_role(), "cri-demo0003", "rrsa:acr-rrsa → acr-pull", &[WITH_TOKEN, "AssumeRole", MINT]),
    ] {
        let lab = Lab::start().await;
        Issuer::enabled_in(&lab);
        let credential = lab.mint(&key).await.unwrap();
        assert!(
            lab.cloud.token_may_pull(&credential.username, credential.token.expose_secret(), instance),
            "{key}"
        );
        assert_eq!((&*credential.origin.identity, &credential.origin.key_id), (name, &None));
        assert_eq!(lab.actions(), actions);
        let calls = lab.cloud.calls();
        assert_eq!(calls[0].host, "sts-vpc.cn-hangzhou.aliyuncs.com");
        assert_eq!((calls[0].account.as_str(), calls[0].identity.as_str()), ("1", "role/acr-rrsa"));
        // Neither the node's nor any other identity of the controller is used.
        assert_eq!(calls.len(), actions.len(), "{calls:?}");
    }
}

#[tokio::test]
async fn the_token_is_sent_in_the_body_and_not_in_the_url() {
    let mut capture = WireCapture::default();
    let lab = Lab::start_with(|_, settings| capture = WireCapture::on(settings)).await;
    Issuer::enabled_in(&lab);
    lab.mint(&with_second_role()).await.unwrap();
    let token = lab.cluster.edit(|credentials| credentials.oidc_token.clone()).unwrap();
    let (urls, sent) = (capture.urls(), capture.text());
    assert_eq!(urls.len(), 3, "{urls:?}");
    let beginning = "POST /?Action=AssumeRoleWithOIDC&Format=JSON&SignatureNonce=";
    assert!(urls[0].starts_with(beginning), "{urls:?}");
    assert!(sent.contains(&format!("OIDCToken={token}")));
    for secret in lab.cloud.secrets().iter().chain([&token]) {
        assert!(!urls.iter().any(|url| url.contains(secret)), "{urls:?}");
    }
}

#[tokio::test]
async fn chains_with_the_same_first_role_share_its_session() {
    let lab = Lab::start().await;
    Issuer::enabled_in(&lab);
    lab.cloud.world(|world| {
        let account = world.accounts.get_mut("2").unwrap();
        account.roles.insert("other".to_owned(), account.roles["acr-pull"].clone());
    });
    let other = near_as("cri-demo0003", identity(rrsa(), Some("acs:ram::2:role/other")));
    let keys = [with_second_role(), other, direct()];
    let minted = join_all(keys.iter().cycle().take(12).map(|key| lab.mint(key))).await;
    assert!(minted.iter().all(Result::is_ok), "{minted:?}");
    for (action, count) in [(WITH_TOKEN, 1), ("AssumeRole", 2), (MINT, 12)] {
        assert_eq!(lab.cloud.count(action), count, "{action}");
    }
}

#[tokio::test]
async fn a_session_and_its_credentials_have_the_configured_duration() {
    let lab = Lab::start().await;
    Issuer::enabled_in(&lab);
    lab.cloud.world(|world| world.role_mut("1", "acr-rrsa").unwrap().max_session_duration = 7200);
    lab.cloud.world(|world| world.role_mut("2", "acr-pull").unwrap().max_session_duration = 7200);
    for mut key in [direct(), with_second_role()] {
        for seconds in [900, 7200] {
            key.identity.session_seconds = seconds;
            let credential = lab.mint(&key).await.unwrap();
            let life = credential.expires_at.duration_since(credential.minted_at).as_secs();
            assert!((i64::from(seconds) - 60..=i64::from(seconds) + 1).contains(&life), "{key}: {life}");
        }
    }
    // The first link of a longer chain has the default duration, independent of the last one's.
    assert_eq!((lab.cloud.count(WITH_TOKEN), lab.cloud.count("AssumeRole")), (3, 2));
}

#[tokio::test]
async fn a_session_is_renewed_with_the_current_token() {
    let lab = Lab::start().await;
    let issuer = Issuer::enabled_in(&lab);
    lab.mint(&direct()).await.unwrap();
    // The first token has expired by then.
    lab.cloud.set_clock_skew(2 * 3600);
    assert_eq!(lab.mint_error(&direct()).await.reason, Reason::OIDCTokenRejected);
    issuer.renew(&lab);
    let credential = lab.mint(&direct()).await.unwrap();
    assert!(credential.expires_at > lab.now() + SignedDuration::from_mins(59));
}

/// A broken configuration and the error that it leads to.
struct Case {
    name: &'static str,
    break_setup: fn(&Lab, &Issuer),
    reason: Reason,
    message: &'static [&'static str],
}

const REJECTED: [Case; 11] = [
    Case {
        name: "the token has expired",
        break_setup: |lab, issuer| issuer.renew_with(lab, &json!({"exp": lab.cloud.now() / 1000 - 1})),
        reason: Reason::OIDCTokenRejected,
        message: &["the OIDC token has expired", "OIDCToken.Expired", "check the node's clock"],
    },
    Case {
        name: "the token is for another audience",
        break_setup: |lab, issuer| issuer.renew_with(lab, &json!({"aud": ["kubernetes"]})),
        reason: Reason::OIDCTokenRejected,
        message: &["another audience", "AudienceNotMatch", "sts.aliyuncs.com"],
    },
    Case {
        name: "the token has another issuer",
        break_setup: |lab, issuer| issuer.renew_with(lab, &json!({"iss": "https://oidc.example.com/other"})),
        reason: Reason::OIDCTokenRejected,
        message: &["another cluster", "IssuerNotMatch", "rrsaOIDCProviderRoleARN"],
    },
    Case {
        name: "the token is signed with an unknown key",
        break_setup: |lab, _| Issuer::new().renew(lab),
        reason: Reason::OIDCTokenRejected,
        message: &["a key that the provider does not know", "InvalidSignature", "enable RRSA again"],
    },
    Case {
        name: "the token is malformed",
        break_setup: |lab, _| {
            lab.cluster.edit(|credentials| credentials.oidc_token = Some("never-a-token".to_owned()))
        },
        reason: Reason::OIDCTokenRejected,
        message: &["the OIDC token is not accepted", "OIDCToken.Invalid", "RRSA is enabled"],
    },
    Case {
        name: "the provider is not registered",
        break_setup: |lab, _| {
            lab.cloud.world(|world| world.accounts.get_mut("1").unwrap().oidc_providers.clear())
        },
        reason: Reason::OIDCTokenRejected,
        message: &["the OIDC provider", "is not registered", "enable RRSA", "rrsaOIDCProviderRoleARN"],
    },
    Case {
        name: "the role trusts another account of the cluster",
        break_setup: |lab, issuer| {
            issuer.renew_with(lab, &json!({"sub": "system:serviceaccount:default:default"}))
        },
        reason: Reason::TrustPolicyDenies,
        message: &[
            "cannot be assumed with this OIDC token",
            "trust policy",
            "Federated",
            "oidc:sub",
            SUBJECT,
        ],
    },
    Case {
        name: "the role trusts no provider",
        break_setup: |lab, _| {
            lab.cloud.world(|world| world.role_mut("1", "acr-rrsa").unwrap().oidc_trust.clear())
        },
        reason: Reason::TrustPolicyDenies,
        message: &["cannot be assumed with this OIDC token", "Federated", "oidc:aud sts.aliyuncs.com"],
    },
    Case {
        name: "the role does not exist",
        break_setup: |lab, _| {
            lab.cloud.world(|world| drop(world.accounts.get_mut("1").unwrap().roles.remove("acr-rrsa")))
        },
        reason: Reason::TrustPolicyDenies,
        message: &["does not exist", "EntityNotExist.Role", "correct rrsaRoleARN"],
    },
    Case {
        name: "the session is too long",
        break_setup: |lab, _| {
            lab.cloud.world(|world| world.role_mut("1", "acr-rrsa").unwrap().max_session_duration = 1800)
        },
        reason: Reason::SessionTooLong,
        message: &["expireDuration", "at most 1800 s", "MaxSessionDuration"],
    },
    Case {
        name: "there is no ServiceAccount",
        break_setup: |lab, _| lab.cluster.edit(|credentials| credentials.oidc_token = None),
        reason: Reason::ServiceAccountNotFound,
        message: &["ServiceAccount"],
    },
];

#[tokio::test]
async fn a_rejected_token_is_reported_with_its_remedy_and_recovers_when_it_is_fixed() {
    for Case { name, break_setup, reason, message } in REJECTED {
        for key in [direct(), with_second_role()] {
            let lab = Lab::start().await;
            let issuer = Issuer::enabled_in(&lab);
            let intact = lab.cloud.world(|world| world.clone());
            break_setup(&lab, &issuer);
            let token = lab.cluster.edit(|credentials| credentials.oidc_token.clone());
            let error = lab.mint_error(&key).await;
            assert_eq!(error.reason, reason, "{name}: {error}");
            let by_cloud = reason != Reason::ServiceAccountNotFound;
            assert_eq!(error.retry == Retry::Rarely, by_cloud, "{name}");
            assert_eq!(lab.cloud.calls().len(), usize::from(by_cloud), "{name}");
            for part in message {
                assert!(error.message.contains(part), "{name}: {part} in {}", error.message);
            }
            if let Some(token) = token {
                assert!(!format!("{error:?}").contains(&token), "{name}: {}", error.message);
            }
            assert_eq!(lab.mint_error(&key).await.message, error.message, "{name}: the same message");

            lab.cloud.world(|world| *world = intact);
            issuer.renew(&lab);
            let minted = lab.mint(&key).await;
            assert!(minted.is_ok(), "{name}: {minted:?}");
        }
    }
}

#[tokio::test]
async fn a_second_role_that_denies_names_the_first_role_in_its_remedy() {
    type Spoil = fn(&mut World);
    let break_setups: [(Spoil, &str); 2] = [
        (|world| world.role_mut("2", "acr-pull").unwrap().trust.clear(), "in the role's trust policy"),
        (
            |world| world.role_mut("1", "acr-rrsa").unwrap().policy = Policy::allowing(&["cr:*"]),
            "sts:AssumeRole on the role in a RAM policy",
        ),
    ];
    for (break_setup, remedy) in break_setups {
        let lab = Lab::start().await;
        Issuer::enabled_in(&lab);
        let intact = lab.cloud.world(|world| world.clone());
        lab.cloud.world(break_setup);
        let error = lab.mint_error(&with_second_role()).await;
        assert_eq!((error.reason, error.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
        for part in [PARTNER_ROLE, "the role acs:ram::1:role/acr-rrsa", remedy] {
            assert!(error.message.contains(part), "{part} in {}", error.message);
        }
        // That is the remedy for another identity.
        assert!(!error.message.contains("workerRole"), "{}", error.message);
        lab.cloud.world(|world| *world = intact);
        assert!(lab.mint(&with_second_role()).await.is_ok());
        assert_eq!(lab.cloud.count(WITH_TOKEN), 1);
    }
}

#[tokio::test]
async fn a_broken_reply_is_unexpected_and_does_not_affect_the_next_call() {
    let lab = Lab::start().await;
    Issuer::enabled_in(&lab);
    for kind in [
        FaultKind::MalformedJson,
        FaultKind::Html,
        FaultKind::Truncated,
        FaultKind::MissingFields,
        FaultKind::ExpireTimePast,
    ] {
        lab.fault(WITH_TOKEN, kind.clone(), Some(1));
        let error = lab.mint_error(&direct()).await;
        assert_eq!((error.reason, error.retry), (Reason::UnexpectedReply, Retry::Soon), "{kind:?}");
        assert!(error.message.contains(SUBJECT), "{}", error.message);
    }
    lab.fault(WITH_TOKEN, FaultKind::Throttle { retry_after_ms: None }, Some(1));
    assert_eq!(lab.mint_error(&direct()).await.reason, Reason::Throttled);
    assert!(lab.mint(&direct()).await.is_ok());
}
