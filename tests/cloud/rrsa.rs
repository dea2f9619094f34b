//! RRSA: a token of the cluster for a session of a role, and on from there.

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
use crate::tap::Tap;

const WITH_TOKEN: &str = "AssumeRoleWithOIDC";

fn direct() -> RegistryKey {
    near_as("cri-demo0001", identity(rrsa(), None))
}

fn onward() -> RegistryKey {
    near_as("cri-demo0003", identity(rrsa(), Some(PARTNER_ROLE)))
}

#[tokio::test]
async fn a_token_of_the_cluster_mints_with_and_without_a_second_role() {
    for (key, instance, name, actions) in [
        (direct(), "cri-demo0001", "rrsa:acr-rrsa", &[WITH_TOKEN, MINT][..]),
        (onward(), "cri-demo0003", "rrsa:acr-rrsa → acr-pull", &[WITH_TOKEN, "AssumeRole", MINT]),
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
        // Neither the node nor any other identity of the controller's is asked for.
        assert_eq!(calls.len(), actions.len(), "{calls:?}");
    }
}

#[tokio::test]
async fn the_token_travels_in_the_body_and_in_no_address() {
    let mut tap = Tap::default();
    let lab = Lab::start_with(|_, settings| tap = Tap::on(settings)).await;
    Issuer::enabled_in(&lab);
    lab.mint(&onward()).await.unwrap();
    let token = lab.cluster.put(|things| things.oidc_token.clone()).unwrap();
    let (addresses, sent) = (tap.addresses(), tap.text());
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    let beginning = "POST /?Action=AssumeRoleWithOIDC&Format=JSON&SignatureNonce=";
    assert!(addresses[0].starts_with(beginning), "{addresses:?}");
    assert!(sent.contains(&format!("OIDCToken={token}")));
    for secret in lab.cloud.secrets().iter().chain([&token]) {
        assert!(!addresses.iter().any(|address| address.contains(secret)), "{addresses:?}");
    }
}

#[tokio::test]
async fn one_session_by_the_token_serves_every_chain_that_goes_on_from_it() {
    let lab = Lab::start().await;
    Issuer::enabled_in(&lab);
    lab.cloud.world(|world| {
        let account = world.accounts.get_mut("2").unwrap();
        account.roles.insert("other".to_owned(), account.roles["acr-pull"].clone());
    });
    let other = near_as("cri-demo0003", identity(rrsa(), Some("acs:ram::2:role/other")));
    let keys = [onward(), other, direct()];
    let minted = join_all(keys.iter().cycle().take(12).map(|key| lab.mint(key))).await;
    assert!(minted.iter().all(Result::is_ok), "{minted:?}");
    for (action, count) in [(WITH_TOKEN, 1), ("AssumeRole", 2), (MINT, 12)] {
        assert_eq!(lab.cloud.count(action), count, "{action}");
    }
}

#[tokio::test]
async fn a_session_lasts_as_long_as_was_asked_for_and_so_does_what_is_minted_with_it() {
    let lab = Lab::start().await;
    Issuer::enabled_in(&lab);
    lab.cloud.world(|world| world.role_mut("1", "acr-rrsa").unwrap().max_session_duration = 7200);
    lab.cloud.world(|world| world.role_mut("2", "acr-pull").unwrap().max_session_duration = 7200);
    for mut key in [direct(), onward()] {
        for seconds in [900, 7200] {
            key.identity.session_seconds = seconds;
            let credential = lab.mint(&key).await.unwrap();
            let life = credential.expires_at.duration_since(credential.minted_at).as_secs();
            assert!((i64::from(seconds) - 60..=i64::from(seconds) + 1).contains(&life), "{key}: {life}");
        }
    }
    // The first link of a longer chain has the usual length, whatever the last one's is.
    assert_eq!((lab.cloud.count(WITH_TOKEN), lab.cloud.count("AssumeRole")), (3, 2));
}

#[tokio::test]
async fn a_session_is_renewed_with_the_token_of_then() {
    let lab = Lab::start().await;
    let issuer = Issuer::enabled_in(&lab);
    lab.mint(&direct()).await.unwrap();
    // By then the first token has ended.
    lab.cloud.set_clock_skew(2 * 3600);
    assert_eq!(lab.refused(&direct()).await.reason, Reason::OIDCTokenRejected);
    issuer.renew(&lab);
    let credential = lab.mint(&direct()).await.unwrap();
    assert!(credential.expires_at > lab.now() + SignedDuration::from_mins(59));
}

/// What is wrong, and what the refusal says about it.
struct Case {
    name: &'static str,
    spoil: fn(&Lab, &Issuer),
    reason: Reason,
    says: &'static [&'static str],
}

const REJECTED: [Case; 11] = [
    Case {
        name: "the token has expired",
        spoil: |lab, issuer| issuer.renew_with(lab, &json!({"exp": lab.cloud.now() / 1000 - 1})),
        reason: Reason::OIDCTokenRejected,
        says: &["the OIDC token has expired", "OIDCToken.Expired", "check the node's clock"],
    },
    Case {
        name: "the token is for another audience",
        spoil: |lab, issuer| issuer.renew_with(lab, &json!({"aud": ["kubernetes"]})),
        reason: Reason::OIDCTokenRejected,
        says: &["another audience", "AudienceNotMatch", "sts.aliyuncs.com"],
    },
    Case {
        name: "the token is of another issuer",
        spoil: |lab, issuer| issuer.renew_with(lab, &json!({"iss": "https://oidc.example.com/other"})),
        reason: Reason::OIDCTokenRejected,
        says: &["another cluster", "IssuerNotMatch", "rrsaOIDCProviderRoleARN"],
    },
    Case {
        name: "the token is signed with an unknown key",
        spoil: |lab, _| Issuer::new().renew(lab),
        reason: Reason::OIDCTokenRejected,
        says: &["a key that the provider does not know", "InvalidSignature", "enable RRSA anew"],
    },
    Case {
        name: "the token is none",
        spoil: |lab, _| lab.cluster.put(|things| things.oidc_token = Some("never-a-token".to_owned())),
        reason: Reason::OIDCTokenRejected,
        says: &["the OIDC token is not accepted", "OIDCToken.Invalid", "RRSA is enabled"],
    },
    Case {
        name: "the provider is not registered",
        spoil: |lab, _| lab.cloud.world(|world| world.accounts.get_mut("1").unwrap().oidc_providers.clear()),
        reason: Reason::OIDCTokenRejected,
        says: &["the OIDC provider", "is not registered", "enable RRSA", "rrsaOIDCProviderRoleARN"],
    },
    Case {
        name: "the role trusts another account of the cluster",
        spoil: |lab, issuer| issuer.renew_with(lab, &json!({"sub": "system:serviceaccount:default:default"})),
        reason: Reason::TrustPolicyDenies,
        says: &["may not be assumed with this token", "trust policy", "Federated", "oidc:sub", SUBJECT],
    },
    Case {
        name: "the role trusts no provider",
        spoil: |lab, _| lab.cloud.world(|world| world.role_mut("1", "acr-rrsa").unwrap().oidc_trust.clear()),
        reason: Reason::TrustPolicyDenies,
        says: &["may not be assumed with this token", "Federated", "oidc:aud sts.aliyuncs.com"],
    },
    Case {
        name: "the role does not exist",
        spoil: |lab, _| {
            lab.cloud.world(|world| drop(world.accounts.get_mut("1").unwrap().roles.remove("acr-rrsa")))
        },
        reason: Reason::TrustPolicyDenies,
        says: &["does not exist", "EntityNotExist.Role", "correct rrsaRoleARN"],
    },
    Case {
        name: "the session is too long",
        spoil: |lab, _| {
            lab.cloud.world(|world| world.role_mut("1", "acr-rrsa").unwrap().max_session_duration = 1800)
        },
        reason: Reason::SessionTooLong,
        says: &["expireDuration", "at most 1800 s", "MaxSessionDuration"],
    },
    Case {
        name: "there is no ServiceAccount",
        spoil: |lab, _| lab.cluster.put(|things| things.oidc_token = None),
        reason: Reason::ServiceAccountNotFound,
        says: &["ServiceAccount"],
    },
];

#[tokio::test]
async fn what_is_rejected_says_why_and_how_to_mend_it_and_heals_when_it_is_mended() {
    for Case { name, spoil, reason, says } in REJECTED {
        for key in [direct(), onward()] {
            let lab = Lab::start().await;
            let issuer = Issuer::enabled_in(&lab);
            let sound = lab.cloud.world(|world| world.clone());
            spoil(&lab, &issuer);
            let token = lab.cluster.put(|things| things.oidc_token.clone());
            let failure = lab.refused(&key).await;
            assert_eq!(failure.reason, reason, "{name}: {failure}");
            let by_cloud = reason != Reason::ServiceAccountNotFound;
            assert_eq!(failure.retry == Retry::Rarely, by_cloud, "{name}");
            assert_eq!(lab.cloud.calls().len(), usize::from(by_cloud), "{name}");
            for part in says {
                assert!(failure.message.contains(part), "{name}: {part} in {}", failure.message);
            }
            if let Some(token) = token {
                assert!(!format!("{failure:?}").contains(&token), "{name}: {}", failure.message);
            }
            assert_eq!(lab.refused(&key).await.message, failure.message, "{name}: the same words");

            lab.cloud.world(|world| *world = sound);
            issuer.renew(&lab);
            let minted = lab.mint(&key).await;
            assert!(minted.is_ok(), "{name}: {minted:?}");
        }
    }
}

#[tokio::test]
async fn a_second_role_that_denies_is_told_to_trust_the_first() {
    type Spoil = fn(&mut World);
    let spoils: [(Spoil, &str); 2] = [
        (|world| world.role_mut("2", "acr-pull").unwrap().trust.clear(), "in the role's trust policy"),
        (
            |world| world.role_mut("1", "acr-rrsa").unwrap().policy = Policy::allowing(&["cr:*"]),
            "sts:AssumeRole on the role in a RAM policy",
        ),
    ];
    for (spoil, cure) in spoils {
        let lab = Lab::start().await;
        Issuer::enabled_in(&lab);
        let sound = lab.cloud.world(|world| world.clone());
        lab.cloud.world(spoil);
        let failure = lab.refused(&onward()).await;
        assert_eq!((failure.reason, failure.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
        for part in [PARTNER_ROLE, "the role acs:ram::1:role/acr-rrsa", cure] {
            assert!(failure.message.contains(part), "{part} in {}", failure.message);
        }
        // That is the cure of another identity.
        assert!(!failure.message.contains("workerRole"), "{}", failure.message);
        lab.cloud.world(|world| *world = sound);
        assert!(lab.mint(&onward()).await.is_ok());
        assert_eq!(lab.cloud.count(WITH_TOKEN), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_session_is_unexpected_and_leaves_the_next_ask_unharmed() {
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
        let failure = lab.refused(&direct()).await;
        assert_eq!((failure.reason, failure.retry), (Reason::UnexpectedReply, Retry::Soon), "{kind:?}");
        assert!(failure.message.contains(SUBJECT), "{}", failure.message);
    }
    lab.fault(WITH_TOKEN, FaultKind::Throttle { retry_after_ms: None }, Some(1));
    assert_eq!(lab.refused(&direct()).await.reason, Reason::Throttled);
    assert!(lab.mint(&direct()).await.is_ok());
}
