//! AccessKey pairs in Secrets: alone, and as the first link of a chain.

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::Retry;
use acr_credential_binding::model::RegistryKey;
use acr_credential_binding::model::identity::CredentialSource;
use acr_lab::cloud::world::{AccessKey, KeyStatus};
use secrecy::ExposeSecret;

use crate::lab::{Lab, MINT, PARTNER_ROLE, identity, near_as, user_pair};

const PULLER: &str = "LTAI-demo-partner-puller";
const HOPPER: &str = "LTAI-demo-partner-hopper";

fn direct() -> RegistryKey {
    near_as("cri-demo0003", identity(CredentialSource::AccessKey { secret: "partner".into() }, None))
}

fn onward() -> RegistryKey {
    near_as(
        "cri-demo0003",
        identity(CredentialSource::AccessKey { secret: "hopper".into() }, Some(PARTNER_ROLE)),
    )
}

/// The demonstration, with either user's pair in a Secret of its own.
async fn lab() -> Lab {
    let lab = Lab::start().await;
    for (secret, user) in [("partner", "partner-puller"), ("hopper", "partner-hopper")] {
        let pair = user_pair(&lab.cloud, "2", user);
        lab.cluster.put(|things| things.pairs.insert(secret.to_owned(), pair));
    }
    lab
}

#[tokio::test]
async fn a_pair_mints_alone_and_by_a_role_and_is_named() {
    for (key, name, id, actions) in [
        (direct(), "access-key:partner", PULLER, &[MINT][..]),
        (onward(), "access-key:hopper → acr-pull", HOPPER, &["AssumeRole", MINT]),
    ] {
        let lab = lab().await;
        let credential = lab.mint(&key).await.unwrap();
        let (user, token) = (&credential.username, credential.token.expose_secret());
        assert!(lab.cloud.token_may_pull(user, token, "cri-demo0003"), "{key}");
        let origin = credential.origin;
        assert_eq!((&*origin.identity, origin.key_id.as_deref()), (name, Some(id)));
        assert!(lab.domains(&key).await.is_ok());
        assert_eq!(lab.actions()[..actions.len()], *actions);
        // Neither the node nor any other identity of the controller's is asked for.
        assert_eq!(lab.cloud.calls().len(), actions.len() + 1);
    }
}

/// What is wrong, and what the refusal says about it. Of `secret` and `user`, either is spoiled.
struct Case {
    name: &'static str,
    spoil: fn(&Lab, &str, &str),
    reason: Reason,
    says: &'static [&'static str],
}

fn change_pair(lab: &Lab, secret: &str, change: impl FnOnce(&mut (String, String))) {
    lab.cluster.put(|things| change(things.pairs.get_mut(secret).unwrap()));
}

const REFUSED: [Case; 4] = [
    Case {
        name: "the key is unknown",
        spoil: |lab, secret, _| change_pair(lab, secret, |pair| pair.0 = "LTAI-demo-deleted".to_owned()),
        reason: Reason::KeyInvalid,
        says: &["the AccessKey is not known", "InvalidAccessKeyId.NotFound", "not deleted"],
    },
    Case {
        name: "the key is disabled",
        spoil: |lab, _, user| {
            lab.cloud.world(|world| {
                world.user_mut("2", user).unwrap().keys[0].status = KeyStatus::Inactive;
            });
        },
        reason: Reason::KeyInactive,
        says: &["the AccessKey is disabled", "InvalidAccessKeyId.Inactive", "enable or replace it"],
    },
    Case {
        name: "the secret is another one",
        spoil: |lab, secret, _| change_pair(lab, secret, |pair| pair.1 = "not-its-secret".to_owned()),
        reason: Reason::KeyInvalid,
        says: &["secret does not fit its id", "SignatureDoesNotMatch", "check the pair"],
    },
    Case {
        name: "there is no Secret",
        spoil: |lab, secret, _| drop(lab.cluster.put(|things| things.pairs.remove(secret))),
        reason: Reason::SecretNotFound,
        says: &["no such Secret"],
    },
];

#[tokio::test]
async fn a_pair_that_is_refused_says_which_and_why_and_a_mended_one_is_used_at_the_next_ask() {
    for Case { name, spoil, reason, says } in REFUSED {
        for (key, secret, user) in
            [(direct(), "partner", "partner-puller"), (onward(), "hopper", "partner-hopper")]
        {
            let lab = lab().await;
            let sound = lab.cloud.world(|world| world.clone());
            let pair = user_pair(&lab.cloud, "2", user);
            spoil(&lab, secret, user);
            let failure = lab.refused(&key).await;
            assert_eq!((failure.reason, failure.retry), (reason, Retry::Rarely), "{name}");
            for part in says {
                assert!(failure.message.contains(part), "{name}: {part} in {}", failure.message);
            }
            assert!(!format!("{failure:?}").contains("not-its-secret"), "{}", failure.message);
            let asked = reason != Reason::SecretNotFound;
            assert_eq!(lab.cloud.calls().len(), usize::from(asked), "{name}");
            let whose = format!("the AccessKey of the Secret {secret}");
            assert!(!asked || failure.message.contains(&whose), "{}", failure.message);
            assert_eq!(lab.refused(&key).await.message, failure.message, "{name}: the same words");

            lab.cloud.world(|world| *world = sound);
            lab.cluster.put(|things| things.pairs.insert(secret.to_owned(), pair));
            let minted = lab.mint(&key).await;
            assert!(minted.is_ok(), "{name}: {minted:?}");
        }
    }
}

#[tokio::test]
async fn a_rotated_pair_is_used_at_the_next_ask_even_behind_a_session_that_still_lives() {
    for (key, secret, user, first) in
        [(direct(), "partner", "partner-puller", PULLER), (onward(), "hopper", "partner-hopper", HOPPER)]
    {
        let lab = lab().await;
        let by = async || lab.mint(&key).await.unwrap().origin.key_id.unwrap();
        assert_eq!(&*by().await, first);
        lab.cloud.world(|world| {
            let keys = &mut world.user_mut("2", user).unwrap().keys;
            let (id, secret) = ("LTAI-demo-rotated".to_owned(), "the-rotated-secret".to_owned());
            keys.push(AccessKey { id, secret, status: KeyStatus::Active });
        });
        assert_eq!(&*by().await, first, "until the Secret says otherwise");
        let pair = ("LTAI-demo-rotated".to_owned(), "the-rotated-secret".to_owned());
        lab.cluster.put(|things| things.pairs.insert(secret.to_owned(), pair));
        assert_eq!(&*by().await, "LTAI-demo-rotated");
        // As at the end of any rotation: the old key goes, and nothing hangs on it.
        lab.cloud.world(|world| drop(world.user_mut("2", user).unwrap().keys.remove(0)));
        assert_eq!(&*by().await, "LTAI-demo-rotated");
        let sessions = if key.identity.assume.is_some() { 2 } else { 0 };
        assert_eq!(lab.cloud.count("AssumeRole"), sessions);
    }
}

#[tokio::test]
async fn a_user_without_the_right_is_told_which() {
    let lab = lab().await;
    lab.cloud.world(|world| world.user_mut("2", "partner-puller").unwrap().policy.allow.clear());
    let failure = lab.refused(&direct()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::AccessDenied, Retry::Rarely));
    for part in ["cr:GetAuthorizationToken", "the AccessKey of the Secret partner"] {
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
    }
    lab.cloud.world(|world| world.user_mut("2", "partner-hopper").unwrap().policy.allow.clear());
    let failure = lab.refused(&onward()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
    for part in ["sts:AssumeRole", "the AccessKey of the Secret hopper"] {
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
    }
}
