//! The controller's own identity: what each token mode finds, and keeps to.

use std::time::Duration;

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::{KeyPair, Retry, Settings, TokenMode};
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
    lab.cluster.put(|things| things.addon_token = Some(text));
}

/// Mints, and tells by which identity.
async fn identity_of(lab: &Lab) -> String {
    lab.mint(&near()).await.unwrap().origin.identity.into()
}

fn environment_key(cloud: &Cloud, settings: &mut Settings) {
    let (id, secret) = user_pair(cloud, "1", "puller");
    let (id, secret) = (id.into(), SecretString::from(secret));
    settings.environment.key_pair = Some(KeyPair { id, secret, token: None });
}

fn environment_role(settings: &mut Settings) {
    let (role, provider) = (Arn::role(ROLE).unwrap(), Arn::oidc_provider(PROVIDER).unwrap());
    settings.environment.rrsa = Some((role, provider));
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
async fn auto_takes_what_was_set_on_purpose_before_what_is_found() {
    const WAYS: [(&str, &str); 5] = [
        ("environment", "user/puller"),
        ("environment-rrsa", "role/acr-rrsa"),
        ("registered-cluster", "user/retired"),
        ("managed-role", "role/AliyunCSManagedAcrRole"),
        ("worker-role", "role/KubernetesWorkerRole-demo"),
    ];
    // Of the five ways, those before the present one are missing and all after it are there.
    for (missing, (name, who)) in WAYS.into_iter().enumerate() {
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
        lab.cluster.put(|things| things.registered_cluster = (missing < 3).then_some(retired));
        if missing < 4 {
            put_addon_token(&lab);
        }
        for (key, chain) in [(near(), name.to_owned()), (partner(), format!("{name} → acr-pull"))] {
            let credential = lab.mint(&key).await.unwrap();
            assert_eq!(&*credential.origin.identity, chain);
            assert_eq!(credential.origin.key_id, None, "{chain}");
        }
        let calls = lab.cloud.calls();
        let asked = calls.iter().find(|call| call.product == "cr").unwrap();
        assert_eq!(asked.identity, who);
        let assumed = calls.iter().find(|call| call.action == "AssumeRole").unwrap();
        assert_eq!(assumed.identity, who);
    }
}

#[tokio::test]
async fn a_way_that_was_found_is_kept_for_as_long_as_it_works() {
    let lab = lab_in(TokenMode::Auto).await;
    assert_eq!(identity_of(&lab).await, "worker-role");
    // Ways that come before it appear.
    put_addon_token(&lab);
    let pair = user_pair(&lab.cloud, "1", "puller");
    lab.cluster.put(|things| things.registered_cluster = Some(pair));
    for hours in [0, 2, 5, 7] {
        lab.cloud.set_clock_skew(hours * 3600);
        assert_eq!(identity_of(&lab).await, "worker-role", "after {hours} hours");
    }
    // A metadata service that answers nonsense is no absence of the role.
    lab.cloud.set_clock_skew(20 * 3600);
    lab.fault("IMDS:credentials", FaultKind::Html, Some(1));
    let failure = lab.refused(&near()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::NoIdentity, Retry::Soon));
    assert_eq!(identity_of(&lab).await, "worker-role");
    // Once it is gone, the next one is found; and is kept in its turn.
    lab.cloud.set_clock_skew(40 * 3600);
    let role = lab.cloud.world(|world| world.node.role.take());
    assert_eq!(identity_of(&lab).await, "registered-cluster");
    lab.cloud.world(|world| world.node.role = role);
    assert_eq!(identity_of(&lab).await, "registered-cluster");
    lab.cluster.put(|things| things.registered_cluster = None);
    put_addon_token(&lab);
    assert_eq!(identity_of(&lab).await, "managed-role");
}

#[tokio::test]
async fn an_api_server_that_is_away_is_not_taken_for_the_absence_of_what_it_holds() {
    let lab = lab_in(TokenMode::Auto).await;
    lab.cluster.put(|things| things.away = true);
    let failure = lab.refused(&near()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::Unreachable, Retry::Soon));
    assert_eq!(lab.cloud.calls(), []);
    put_addon_token(&lab);
    lab.cluster.put(|things| things.away = false);
    assert_eq!(identity_of(&lab).await, "managed-role");
    // What was found in the cluster is not replaced by the node's role either.
    lab.cluster.put(|things| things.away = true);
    assert_eq!(lab.refused(&near()).await.reason, Reason::Unreachable);
    assert_eq!(lab.cloud.count("IMDS:role"), 0);
}

#[tokio::test]
async fn what_needs_no_api_server_works_without_one() {
    for (mode, name) in [(TokenMode::WorkerRole, "worker-role"), (TokenMode::Auto, "environment")] {
        let lab = Lab::start_with(|cloud, settings| {
            settings.token_mode = mode;
            environment_key(cloud, settings);
        })
        .await;
        lab.cluster.put(|things| things.away = true);
        assert_eq!(identity_of(&lab).await, name);
    }
    let lab = lab_in(TokenMode::Auto).await;
    assert_eq!(identity_of(&lab).await, "worker-role");
    lab.cluster.put(|things| things.away = true);
    assert_eq!(identity_of(&lab).await, "worker-role", "found before");
}

/// Addon tokens of no use, and what is said of them.
fn useless_tokens(lab: &Lab) -> [(String, &'static str, Retry); 4] {
    let ended = lab.cloud.addon_token(Duration::ZERO);
    let mut torn: serde_json::Value = serde_json::from_str(&lab.cloud.addon_token(HOUR)).unwrap();
    torn["keyring"] = "0123456789abcdef".into();
    let role = lab.cloud.world(|world| world.accounts.get_mut("1").unwrap().roles.remove(MANAGED).unwrap());
    let refused = lab.cloud.addon_token(HOUR);
    lab.cloud.world(|world| world.accounts.get_mut("1").unwrap().roles.insert(MANAGED.to_owned(), role));
    [
        ("no JSON".to_owned(), "is no JSON object", Retry::Rarely),
        (ended, "has ended already", Retry::Soon),
        (torn.to_string(), "(field access.key.", Retry::Rarely),
        (refused, "ACK cannot assume the role (EntityNotExist.Role)", Retry::Rarely),
    ]
}

#[tokio::test]
async fn an_addon_token_of_no_use_is_told_where_nothing_else_is_asked_for_and_a_new_one_heals() {
    let lab = lab_in(TokenMode::ManagedRole).await;
    for (text, says, retry) in useless_tokens(&lab) {
        lab.cluster.put(|things| things.addon_token = Some(text));
        for key in [near(), partner()] {
            let failure = lab.refused(&key).await;
            assert_eq!((failure.reason, failure.retry), (Reason::AddonTokenInvalid, retry), "{says}");
            for part in [says, MANAGED, "RRSA"] {
                assert!(failure.message.contains(part), "{part} in {}", failure.message);
            }
        }
        put_addon_token(&lab);
        assert_eq!(identity_of(&lab).await, "managed-role");
    }
    for absent in [None, Some(String::new())] {
        lab.cluster.put(|things| things.addon_token = absent);
        let failure = lab.refused(&near()).await;
        assert_eq!((failure.reason, failure.retry), (Reason::NoIdentity, Retry::Rarely));
        assert!(failure.message.contains("workerRole"), "{}", failure.message);
    }
    assert_eq!(lab.cloud.count("IMDS:role"), 0);
}

#[tokio::test]
async fn an_addon_token_of_no_use_is_passed_over_where_the_node_has_a_role() {
    let lab = lab_in(TokenMode::ManagedRole).await;
    for n in 0..useless_tokens(&lab).len() {
        let lab = lab_in(TokenMode::Auto).await;
        let (text, says, _) = useless_tokens(&lab)[n].clone();
        lab.cluster.put(|things| things.addon_token = Some(text));
        assert_eq!(identity_of(&lab).await, "worker-role", "{says}");
        // A good one is used as soon as it is there.
        put_addon_token(&lab);
        assert_eq!(identity_of(&lab).await, "managed-role", "after {says}");
    }
    // One that ends while the controller runs is used to its end, and passed over from then on.
    let lab = lab_in(TokenMode::Auto).await;
    put_addon_token(&lab);
    for (minutes, name) in [(0, "managed-role"), (59, "managed-role"), (61, "worker-role")] {
        lab.cloud.set_clock_skew(minutes * 60);
        assert_eq!(identity_of(&lab).await, name, "after {minutes} minutes");
    }
    put_addon_token(&lab);
    assert_eq!(identity_of(&lab).await, "managed-role");
}

/// The managed role was authorised only after the worker role, which every node has, was found and denied.
#[tokio::test]
async fn a_way_that_is_denied_is_left_for_one_that_opened_since() {
    let lab = lab_in(TokenMode::Auto).await;
    assert_eq!(identity_of(&lab).await, "worker-role");
    put_addon_token(&lab);
    let denied =
        FaultKind::Status { status: 403, code: "NoPrivilege".to_owned(), message: "denied".to_owned() };
    lab.fault("GetAuthorizationToken", denied, Some(1));
    assert_eq!(lab.refused(&near()).await.reason, Reason::AccessDenied);
    assert_eq!(identity_of(&lab).await, "managed-role");
}

#[tokio::test]
async fn without_any_use_the_first_way_is_told_but_what_heals_by_itself_is_tried_soon() {
    let lab = lab_in(TokenMode::Auto).await;
    lab.cluster.put(|things| things.addon_token = Some("no JSON".to_owned()));
    let role = lab.cloud.world(|world| world.node.role.take());
    let failure = lab.refused(&near()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::AddonTokenInvalid, Retry::Rarely));
    lab.cloud.world(|world| world.node.role = role);
    lab.fault("IMDS:role", FaultKind::Html, Some(1));
    let failure = lab.refused(&near()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::AddonTokenInvalid, Retry::Soon));
    assert_eq!(identity_of(&lab).await, "worker-role");
}

#[tokio::test]
async fn the_managed_role_for_another_account_is_told_the_ways_that_serve_it() {
    for mode in [TokenMode::ManagedRole, TokenMode::Auto] {
        let lab = lab_in(mode).await;
        put_addon_token(&lab);
        let failure = lab.refused(&partner()).await;
        assert_eq!((failure.reason, failure.retry), (Reason::TrustPolicyDenies, Retry::Rarely));
        for part in [PARTNER_ROLE, "the managed role", "RRSA", "rrsaRoleARN", "--token-mode workerRole"] {
            assert!(failure.message.contains(part), "{mode:?}: {part} in {}", failure.message);
        }
    }
    let lab = lab_in(TokenMode::WorkerRole).await;
    lab.cloud.world(|world| world.role_mut("2", "acr-pull").unwrap().trust.clear());
    let failure = lab.refused(&partner()).await;
    assert_eq!(failure.reason, Reason::TrustPolicyDenies);
    assert!(!failure.message.contains("RRSA"), "{}", failure.message);
}

#[tokio::test]
async fn a_worker_role_that_vanishes_is_missed_when_its_key_ends_and_found_when_it_is_back() {
    for mode in [TokenMode::WorkerRole, TokenMode::Auto] {
        let lab = lab_in(mode).await;
        assert_eq!(identity_of(&lab).await, "worker-role");
        let role = lab.cloud.world(|world| world.node.role.take());
        lab.cloud.set_clock_skew(5 * 3600);
        assert_eq!(identity_of(&lab).await, "worker-role", "the key is good for six hours");
        lab.cloud.set_clock_skew(6 * 3600 + 1);
        let failure = lab.refused(&near()).await;
        assert_eq!((failure.reason, failure.retry), (Reason::NoIdentity, Retry::Rarely));
        assert!(failure.message.contains("grant the node a RAM role"), "{}", failure.message);
        lab.cloud.world(|world| world.node.role = role);
        assert_eq!(identity_of(&lab).await, "worker-role");
    }
}

#[tokio::test]
async fn metadata_that_is_disabled_is_asked_only_by_the_mode_that_names_it() {
    let disabled = |mode| {
        Lab::start_with(move |_, settings| {
            settings.token_mode = mode;
            settings.environment.metadata_disabled = true;
        })
    };
    let lab = disabled(TokenMode::Auto).await;
    let failure = lab.refused(&near()).await;
    assert_eq!((failure.reason, failure.retry), (Reason::NoIdentity, Retry::Rarely));
    for part in ["rrsaRoleARN", "accessKeySecretRef"] {
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
    }
    assert_eq!(lab.cloud.calls(), []);
    assert_eq!(identity_of(&disabled(TokenMode::WorkerRole).await).await, "worker-role");
}
