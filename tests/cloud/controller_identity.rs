//! The controller's own identity: selection in each token mode.

use std::time::Duration;

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::{AccessKeyPair, CloudSettings, Retry, RrsaRole, TokenMode};
use acr_credential_binding::model::identity::Arn;
use acr_lab::cloud::{Cloud, FaultKind};
use secrecy::{ExposeSecret, SecretString};

use crate::lab::{Lab, PARTNER_ROLE, key, near, partner, user_pair};
use crate::oidc::{Issuer, PROVIDER, ROLE};

const MANAGED: &str = "AliyunCSManagedAcrRole";
const HOUR: Duration = Duration::from_secs(3600);

async fn lab_in(mode: TokenMode) -> Lab {
    Lab::start_with(|_, settings| settings.token_mode = mode).await
}

fn put_addon_token(lab: &Lab) {
    let text = lab.cloud.addon_token(HOUR);
    lab.cluster.edit(|credentials| credentials.addon_token = Some(text));
}

/// Mints, and returns the identity that was used.
async fn identity_of(lab: &Lab) -> String {
    lab.mint(&near()).await.unwrap().origin.identity.into()
}

fn environment_key(cloud: &Cloud, settings: &mut CloudSettings) {
    let (id, secret) = user_pair(cloud, "1", "puller");
    let (id, secret) = (id.into(), SecretString::from(secret));
    settings.environment.key_pair = Some(AccessKeyPair { id, secret, token: None });
}

fn environment_role(settings: &mut CloudSettings) {
    let (role, provider) = (Arn::role(ROLE).unwrap(), Arn::oidc_provider(PROVIDER).unwrap());
    settings.environment.rrsa = Some(RrsaRole { role, provider });
}

#[tokio::test]
async fn the_managed_role_mints_for_its_own_account() {
    let lab = lab_in(TokenMode::ManagedRole).await;
    put_addon_token(&lab);
    for (key, instance) in
        [(near(), "cri-demo0001"), (key("cri-demo0002", "cn-beijing", None), "cri-demo0002")]
    {
        let credential = lab.mint(&key).await.unwrap();
        let (user, token) = (&credential.username, credential.token.expose_secret());
        assert!(lab.cloud.token_may_pull(user, token, instance), "{key}");
        assert_eq!(&*credential.origin.identity, "managed-role");
        assert_eq!(lab.cloud.calls().last().unwrap().identity, format!("role/{MANAGED}"));
    }
    assert!(lab.domains(&near()).await.is_ok());
    assert_eq!(lab.cloud.count("IMDS:role"), 0);
}

#[tokio::test]
async fn auto_prefers_configured_identities_to_default_ones() {
    const KINDS: [(&str, &str); 5] = [
        ("environment", "user/puller"),
        ("environment-rrsa", "role/acr-rrsa"),
        ("registered-cluster", "user/retired"),
        ("managed-role", "role/AliyunCSManagedAcrRole"),
        ("worker-role", "role/KubernetesWorkerRole-demo"),
    ];
    // The kinds before the current one are missing, and all after it are available.
    for (missing, (name, who)) in KINDS.into_iter().enumerate() {
        let lab = Lab::start_with(|cloud, settings| {
            if missing < 1 {
                environment_key(cloud, settings);
            }
            if missing < 2 {
                environment_role(settings);
            }
        })
        .await;
        Issuer::enabled_in(&lab);
        lab.cloud.world(|world| {
            let all = world.role("1", "acr-rrsa").unwrap().policy.clone();
            let retired = world.user_mut("1", "retired").unwrap();
            retired.keys[0].status = acr_lab::cloud::world::KeyStatus::Active;
            retired.policy = all.clone();
            world.user_mut("1", "puller").unwrap().policy = all.clone();
            world.role_mut("1", MANAGED).unwrap().policy = all;
            world.role_mut("2", "acr-pull").unwrap().trust.insert("acs:ram::1:root".to_owned());
        });
        let retired = user_pair(&lab.cloud, "1", "retired");
        lab.cluster.edit(|credentials| credentials.registered_cluster = (missing < 3).then_some(retired));
        if missing < 4 {
            put_addon_token(&lab);
        }
        for (key, chain) in [(near(), name.to_owned()), (partner(), format!("{name} → acr-pull"))] {
            let credential = lab.mint(&key).await.unwrap();
            assert_eq!(&*credential.origin.identity, chain);
            assert_eq!(credential.origin.key_id, None, "{chain}");
        }
        let calls = lab.cloud.calls();
        let minted = calls.iter().find(|call| call.product == "cr").unwrap();
        assert_eq!(minted.identity, who);
        let assumed = calls.iter().find(|call| call.action == "AssumeRole").unwrap();
        assert_eq!(assumed.identity, who);
    }
}

#[tokio::test]
async fn an_identity_is_kept_as_long_as_it_works() {
    let lab = lab_in(TokenMode::Auto).await;
    assert_eq!(identity_of(&lab).await, "worker-role");
    // Identities that come before it appear.
    put_addon_token(&lab);
    let pair = user_pair(&lab.cloud, "1", "puller");
    lab.cluster.edit(|credentials| credentials.registered_cluster = Some(pair));
    for hours in [0, 2, 5, 7] {
        lab.cloud.set_clock_skew(hours * 3600);
        assert_eq!(identity_of(&lab).await, "worker-role", "after {hours} hours");
    }
    // A malformed reply of the metadata service does not mean that the role is gone.
    lab.cloud.set_clock_skew(20 * 3600);
    lab.fault("IMDS:credentials", FaultKind::Html, Some(1));
    let error = lab.mint_error(&near()).await;
    assert_eq!((error.reason, error.retry), (Reason::NoIdentity, Retry::Soon));
    assert_eq!(identity_of(&lab).await, "worker-role");
    // Once it is gone, the next identity is used, and is kept in turn.
    lab.cloud.set_clock_skew(40 * 3600);
    let role = lab.cloud.world(|world| world.node.role.take());
    assert_eq!(identity_of(&lab).await, "registered-cluster");
    lab.cloud.world(|world| world.node.role = role);
    assert_eq!(identity_of(&lab).await, "registered-cluster");
    lab.cluster.edit(|credentials| credentials.registered_cluster = None);
    put_addon_token(&lab);
    assert_eq!(identity_of(&lab).await, "managed-role");
}

#[tokio::test]
async fn an_unreachable_api_server_does_not_mean_that_its_credentials_are_absent() {
    let lab = lab_in(TokenMode::Auto).await;
    lab.cluster.edit(|credentials| credentials.unreachable = true);
    let error = lab.mint_error(&near()).await;
    assert_eq!((error.reason, error.retry), (Reason::Unreachable, Retry::Soon));
    assert_eq!(lab.cloud.calls(), []);
    put_addon_token(&lab);
    lab.cluster.edit(|credentials| credentials.unreachable = false);
    assert_eq!(identity_of(&lab).await, "managed-role");
    // An identity from the cluster is not replaced by the node's role either.
    lab.cluster.edit(|credentials| credentials.unreachable = true);
    assert_eq!(lab.mint_error(&near()).await.reason, Reason::Unreachable);
    assert_eq!(lab.cloud.count("IMDS:role"), 0);
}

#[tokio::test]
async fn identities_outside_the_cluster_work_without_the_api_server() {
    for (mode, name) in [(TokenMode::WorkerRole, "worker-role"), (TokenMode::Auto, "environment")] {
        let lab = Lab::start_with(|cloud, settings| {
            settings.token_mode = mode;
            environment_key(cloud, settings);
        })
        .await;
        lab.cluster.edit(|credentials| credentials.unreachable = true);
        assert_eq!(identity_of(&lab).await, name);
    }
    let lab = lab_in(TokenMode::Auto).await;
    assert_eq!(identity_of(&lab).await, "worker-role");
    lab.cluster.edit(|credentials| credentials.unreachable = true);
    assert_eq!(identity_of(&lab).await, "worker-role", "already in use");
}

/// Returns addon tokens that cannot be used, with their errors.
fn unusable_tokens(lab: &Lab) -> [(String, &'static str, Retry); 4] {
    let expired = lab.cloud.addon_token(Duration::ZERO);
    let mut wrong_key: serde_json::Value = serde_json::from_str(&lab.cloud.addon_token(HOUR)).unwrap();
    wrong_key["keyring"] = "0123456789abcdef".into();
    let role = lab.cloud.world(|world| world.accounts.get_mut("1").unwrap().roles.remove(MANAGED).unwrap());
    let denied_role = lab.cloud.addon_token(HOUR);
    lab.cloud.world(|world| world.accounts.get_mut("1").unwrap().roles.insert(MANAGED.to_owned(), role));
    [
        ("no JSON".to_owned(), "is not a JSON object", Retry::Rarely),
        (expired, "has expired", Retry::Soon),
        (wrong_key.to_string(), "(field access.key.", Retry::Rarely),
        (denied_role, "ACK cannot assume the role (EntityNotExist.Role)", Retry::Rarely),
    ]
}

#[tokio::test]
async fn in_managed_role_mode_an_unusable_addon_token_is_reported_until_a_new_one_arrives() {
    let lab = lab_in(TokenMode::ManagedRole).await;
    for (text, expected, retry) in unusable_tokens(&lab) {
        lab.cluster.edit(|credentials| credentials.addon_token = Some(text));
        for key in [near(), partner()] {
            let error = lab.mint_error(&key).await;
            assert_eq!((error.reason, error.retry), (Reason::AddonTokenInvalid, retry), "{expected}");
            for part in [expected, MANAGED, "RRSA"] {
                assert!(error.message.contains(part), "{part} in {}", error.message);
            }
        }
        put_addon_token(&lab);
        assert_eq!(identity_of(&lab).await, "managed-role");
    }
    for absent in [None, Some(String::new())] {
        lab.cluster.edit(|credentials| credentials.addon_token = absent);
        let error = lab.mint_error(&near()).await;
        assert_eq!((error.reason, error.retry), (Reason::NoIdentity, Retry::Rarely));
        assert!(error.message.contains("workerRole"), "{}", error.message);
    }
    assert_eq!(lab.cloud.count("IMDS:role"), 0);
}

#[tokio::test]
async fn in_auto_mode_an_unusable_addon_token_is_skipped_if_the_node_has_a_role() {
    let lab = lab_in(TokenMode::ManagedRole).await;
    for n in 0..unusable_tokens(&lab).len() {
        let lab = lab_in(TokenMode::Auto).await;
        let (text, expected, _) = unusable_tokens(&lab)[n].clone();
        lab.cluster.edit(|credentials| credentials.addon_token = Some(text));
        assert_eq!(identity_of(&lab).await, "worker-role", "{expected}");
        // A valid one is used as soon as it exists.
        put_addon_token(&lab);
        assert_eq!(identity_of(&lab).await, "managed-role", "after {expected}");
    }
    // One that expires while the controller runs is used until then, and skipped afterwards.
    let lab = lab_in(TokenMode::Auto).await;
    put_addon_token(&lab);
    for (minutes, name) in [(0, "managed-role"), (59, "managed-role"), (61, "worker-role")] {
        lab.cloud.set_clock_skew(minutes * 60);
        assert_eq!(identity_of(&lab).await, name, "after {minutes} minutes");
    }
    put_addon_token(&lab);
    assert_eq!(identity_of(&lab).await, "managed-role");
}

/// The managed role is authorised only after the worker role, which every node has, was selected and denied.
#[tokio::test]
async fn a_denied_identity_is_replaced_by_one_that_became_available() {
    let lab = lab_in(TokenMode::Auto).await;
    assert_eq!(identity_of(&lab).await, "worker-role");
    put_addon_token(&lab);
    let denied =
        FaultKind::Status { status: 403, code: "NoPrivilege".to_owned(), message: "denied".to_owned() };
    lab.fault("GetAuthorizationToken", denied, Some(1));
    assert_eq!(lab.mint_error(&near()).await.reason, Reason::AccessDenied);
    assert_eq!(identity_of(&lab).await, "managed-role");
}

#[tokio::test]
async fn without_a_usable_identity_the_first_error_is_reported_and_a_transient_one_sets_the_retry() {
    let lab = lab_in(TokenMode::Auto).await;
    lab.cluster.edit(|credentials| credentials.addon_token = Some("no JSON".to_owned()));
    let role = lab.cloud.world(|world| world.node.role.take());
    let error = lab.mint_error(&near()).await;
    assert_eq!((error.reason, error.retry), (Reason::AddonTokenInvalid, Retry::Rarely));
    lab.cloud.world(|world| world.node.role = role);
    lab.fault("IMDS:role", FaultKind::Html, Some(1));
    let error = lab.mint_error(&near()).await;
    assert_eq!((error.reason, error.retry), (Reason::AddonTokenInvalid, Retry::Soon));
    assert_eq!(identity_of(&lab).await, "worker-role");
}

#[tokio::test]
async fn the_managed_role_in_another_account_leads_to_a_message_with_alternatives() {
    for mode in [TokenMode::ManagedRole, TokenMode::Auto] {
        let lab = lab_in(mode).await;
        put_addon_token(&lab);
        let error = lab.mint_error(&partner()).await;
        assert_eq!((error.reason, error.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
        for part in [PARTNER_ROLE, "the managed role", "RRSA", "rrsaRoleARN", "--token-mode workerRole"] {
            assert!(error.message.contains(part), "{mode:?}: {part} in {}", error.message);
        }
    }
    let lab = lab_in(TokenMode::WorkerRole).await;
    lab.cloud.world(|world| world.role_mut("2", "acr-pull").unwrap().trust.clear());
    let error = lab.mint_error(&partner()).await;
    assert_eq!(error.reason, Reason::TrustPolicyDenies);
    assert!(!error.message.contains("RRSA"), "{}", error.message);
}

#[tokio::test]
async fn a_removed_worker_role_is_reported_when_its_key_expires_and_used_when_it_returns() {
    for mode in [TokenMode::WorkerRole, TokenMode::Auto] {
        let lab = lab_in(mode).await;
        assert_eq!(identity_of(&lab).await, "worker-role");
        let role = lab.cloud.world(|world| world.node.role.take());
        lab.cloud.set_clock_skew(5 * 3600);
        assert_eq!(identity_of(&lab).await, "worker-role", "the key is valid for six hours");
        lab.cloud.set_clock_skew(6 * 3600 + 1);
        let error = lab.mint_error(&near()).await;
        assert_eq!((error.reason, error.retry), (Reason::NoIdentity, Retry::Rarely));
        assert!(error.message.contains("grant the node a RAM role"), "{}", error.message);
        lab.cloud.world(|world| world.node.role = role);
        assert_eq!(identity_of(&lab).await, "worker-role");
    }
}

#[tokio::test]
async fn disabled_metadata_is_used_only_in_worker_role_mode() {
    let disabled = |mode| {
        Lab::start_with(move |_, settings| {
            settings.token_mode = mode;
            settings.environment.metadata_disabled = true;
        })
    };
    let lab = disabled(TokenMode::Auto).await;
    let error = lab.mint_error(&near()).await;
    assert_eq!((error.reason, error.retry), (Reason::NoIdentity, Retry::Rarely));
    for part in ["rrsaRoleARN", "accessKeySecretRef"] {
        assert!(error.message.contains(part), "{part} in {}", error.message);
    }
    assert_eq!(lab.cloud.calls(), []);
    assert_eq!(identity_of(&disabled(TokenMode::WorkerRole).await).await, "worker-role");
}
