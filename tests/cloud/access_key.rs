//! AccessKey pairs in Secrets, alone and as the first link of a chain.

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::Retry;
use acr_credential_binding::model::RegistryKey;
use acr_credential_binding::model::identity::CredentialSource;
use acr_lab::cloud::world::{AccessKey, KeyStatus};
use secrecy::ExposeSecret;

use crate::lab::{Lab, MINT, PARTNER_ROLE, identity, near_as, user_pair};

const PULLER: &str = "LTAI-demo-partner-puller";
const ROLE_USER: &str = "LTAI-demo-partner-hopper";

fn direct() -> RegistryKey {
    near_as("cri-demo0003", identity(CredentialSource::AccessKey { secret: "partner".into() }, None))
}

fn with_role() -> RegistryKey {
    near_as(
        "cri-demo0003",
        identity(CredentialSource::AccessKey { secret: "hopper".into() }, Some(PARTNER_ROLE)),
    )
}

/// Starts the demonstration with the pairs of two users in Secrets.
async fn lab() -> Lab {
    let lab = Lab::start().await;
    for (secret, user) in [("partner", "partner-puller"), ("hopper", "partner-hopper")] {
        let pair = user_pair(&lab.cloud, "2", user);
        lab.cluster.edit(|credentials| credentials.pairs.insert(secret.to_owned(), pair));
    }
    lab
}

#[tokio::test]
async fn a_pair_mints_directly_and_through_a_role() {
    for (key, name, id, actions) in [
        (direct(), "access-key:partner", PULLER, &[MINT][..]),
        (with_role(), "access-key:hopper → acr-pull", ROLE_USER, &["AssumeRole", MINT]),
    ] {
        let lab = lab().await;
        let credential = lab.mint(&key).await.unwrap();
        let (user, token) = (&credential.username, credential.token.expose_secret());
        assert!(lab.cloud.token_may_pull(user, token, "cri-demo0003"), "{key}");
        let origin = credential.origin;
        assert_eq!((&*origin.identity, origin.key_id.as_deref()), (name, Some(id)));
        assert!(lab.domains(&key).await.is_ok());
        assert_eq!(lab.actions()[..actions.len()], *actions);
        // Neither the node's nor any other identity of the controller is used.
        assert_eq!(lab.cloud.calls().len(), actions.len() + 1);
    }
}

/// A broken pair and the error that it leads to. `break_pair` gets the Secret's name and the user.
struct Case {
    name: &'static str,
    break_pair: fn(&Lab, &str, &str),
    reason: Reason,
    message: &'static [&'static str],
}

fn change_pair(lab: &Lab, secret: &str, change: impl FnOnce(&mut (String, String))) {
    lab.cluster.edit(|credentials| change(credentials.pairs.get_mut(secret).unwrap()));
}

const REJECTED: [Case; 4] = [
    Case {
        name: "the key is unknown",
        break_pair: |lab, secret, _| change_pair(lab, secret, |pair| pair.0 = "LTAI-demo-deleted".to_owned()),
        reason: Reason::KeyInvalid,
        message: &["the AccessKey does not exist", "InvalidAccessKeyId.NotFound", "not deleted"],
    },
    Case {
        name: "the key is disabled",
        break_pair: |lab, _, user| {
            lab.cloud.world(|world| {
                world.user_mut("2", user).unwrap().keys[0].status = KeyStatus::Inactive;
            });
        },
        reason: Reason::KeyInactive,
        message: &["the AccessKey is disabled", "InvalidAccessKeyId.Inactive", "enable or replace it"],
    },
    Case {
        name: "the secret is another one",
        break_pair: |lab, secret, _| change_pair(lab, secret, |pair| pair.1 = "not-its-secret".to_owned()),
        reason: Reason::KeyInvalid,
        message: &["secret does not match its ID", "SignatureDoesNotMatch", "check the pair"],
    },
    Case {
        name: "there is no Secret",
        break_pair: |lab, secret, _| drop(lab.cluster.edit(|credentials| credentials.pairs.remove(secret))),
        reason: Reason::SecretNotFound,
        message: &["no such Secret"],
    },
];

#[tokio::test]
async fn a_rejected_pair_is_reported_and_a_corrected_one_is_used_at_the_next_call() {
    for Case { name, break_pair, reason, message } in REJECTED {
        for (key, secret, user) in
            [(direct(), "partner", "partner-puller"), (with_role(), "hopper", "partner-hopper")]
        {
            let lab = lab().await;
            let intact = lab.cloud.world(|world| world.clone());
            let pair = user_pair(&lab.cloud, "2", user);
            break_pair(&lab, secret, user);
            let error = lab.mint_error(&key).await;
            assert_eq!((error.reason, error.retry), (reason, Retry::Rarely), "{name}");
            for part in message {
                assert!(error.message.contains(part), "{name}: {part} in {}", error.message);
            }
            assert!(!format!("{error:?}").contains("not-its-secret"), "{}", error.message);
            let called = reason != Reason::SecretNotFound;
            assert_eq!(lab.cloud.calls().len(), usize::from(called), "{name}");
            let holder = format!("the AccessKey of the Secret {secret}");
            assert!(!called || error.message.contains(&holder), "{}", error.message);
            assert_eq!(lab.mint_error(&key).await.message, error.message, "{name}: the same message");

            lab.cloud.world(|world| *world = intact);
            lab.cluster.edit(|credentials| credentials.pairs.insert(secret.to_owned(), pair));
            let minted = lab.mint(&key).await;
            assert!(minted.is_ok(), "{name}: {minted:?}");
        }
    }
}

#[tokio::test]
async fn a_rotated_pair_is_used_at_the_next_call_even_behind_a_valid_session() {
    for (key, secret, user, first) in [
        (direct(), "partner", "partner-puller", PULLER),
        (with_role(), "hopper", "partner-hopper", ROLE_USER),
    ] {
        let lab = lab().await;
        let key_id = async || lab.mint(&key).await.unwrap().origin.key_id.unwrap();
        assert_eq!(&*key_id().await, first);
        lab.cloud.world(|world| {
            let keys = &mut world.user_mut("2", user).unwrap().keys;
            let (id, secret) = ("LTAI-demo-rotated".to_owned(), "the-rotated-secret".to_owned());
            keys.push(AccessKey { id, secret, status: KeyStatus::Active });
        });
        assert_eq!(&*key_id().await, first, "until the Secret changes");
        let pair = ("LTAI-demo-rotated".to_owned(), "the-rotated-secret".to_owned());
        lab.cluster.edit(|credentials| credentials.pairs.insert(secret.to_owned(), pair));
        assert_eq!(&*key_id().await, "LTAI-demo-rotated");
        // The rotation ends with the deletion of the old key, which is no longer in use.
        lab.cloud.world(|world| drop(world.user_mut("2", user).unwrap().keys.remove(0)));
        assert_eq!(&*key_id().await, "LTAI-demo-rotated");
        let sessions = if key.identity.assume.is_some() { 2 } else { 0 };
        assert_eq!(lab.cloud.count("AssumeRole"), sessions);
    }
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let lab = lab().await;
    lab.cloud.world(|world| world.user_mut("2", "partner-puller").unwrap().policy.allow.clear());
    let error = lab.mint_error(&direct()).await;
    assert_eq!((error.reason, error.retry), (Reason::AccessDenied, Retry::Rarely));
    for part in ["cr:GetAuthorizationToken", "the AccessKey of the Secret partner"] {
        assert!(error.message.contains(part), "{part} in {}", error.message);
    }
    lab.cloud.world(|world| world.user_mut("2", "partner-hopper").unwrap().policy.allow.clear());
    let error = lab.mint_error(&with_role()).await;
    assert_eq!((error.reason, error.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
    for part in ["sts:AssumeRole", "the AccessKey of the Secret hopper"] {
        assert!(error.message.contains(part), "{part} in {}", error.message);
    }
}
