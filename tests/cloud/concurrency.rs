//! Many registries at once.

use std::time::Duration;

use acr_credential_binding::api::Reason;
use acr_credential_binding::model::RegistryKey;
use acr_lab::cloud::{Fault, FaultKind};
use futures::future::join_all;
use secrecy::ExposeSecret;

use crate::lab::{LIST, Lab, MINT, PARTNER_ROLE, key};

/// Creates `count` equal instances of the partner.
fn instances(lab: &Lab, count: usize) -> Vec<String> {
    let names: Vec<_> = (0..count).map(|n| format!("cri-crowd{n:04}")).collect();
    lab.cloud.world(|world| {
        for name in &names {
            let copy = world.instances["cri-demo0003"].clone();
            world.instances.insert(name.clone(), copy);
        }
    });
    names
}

/// Creates `count` equal roles of the partner, and returns their ARNs.
fn roles(lab: &Lab, count: usize) -> Vec<String> {
    lab.cloud.world(|world| {
        let roles = &mut world.accounts.get_mut("2").unwrap().roles;
        let copy = roles["acr-pull"].clone();
        let names = (0..count).map(|n| format!("crowd-{n}"));
        names
            .map(|name| {
                roles.insert(name.clone(), copy.clone());
                format!("acs:ram::2:role/{name}")
            })
            .collect()
    })
}

fn with_role(role: &str, instance: &str) -> RegistryKey {
    key(instance, "cn-hangzhou", Some(role))
}

#[tokio::test]
async fn a_registry_that_hangs_does_not_delay_others_with_the_same_identity() {
    let lab = Lab::start().await;
    let instances = instances(&lab, 64);
    let hangs = Fault {
        action: "*".to_owned(),
        instance: Some(instances[0].clone()),
        kind: FaultKind::Hang,
        times: None,
    };
    lab.cloud.fault(hangs);
    let keys: Vec<_> = instances.iter().map(|instance| with_role(PARTNER_ROLE, instance)).collect();
    let others = async {
        let minted = tokio::time::timeout(
            Duration::from_secs(8),
            join_all(keys[1..].iter().map(|key| async { (lab.mint(key).await, lab.domains(key).await) })),
        );
        minted.await.expect("all others within the timeout of the one that hangs")
    };
    // The registry that hangs is called first.
    let (hung, others) = futures::join!(lab.mint(&keys[0]), others);
    assert_eq!(hung.unwrap_err().reason, Reason::Unreachable);
    for ((credential, domains), instance) in others.iter().zip(&instances[1..]) {
        let credential = credential.as_ref().unwrap();
        let (user, token) = (&credential.username, credential.token.expose_secret());
        assert!(lab.cloud.token_may_pull(user, token, instance), "{instance}");
        assert!(domains.is_ok(), "{instance}: {domains:?}");
    }
    for (action, count) in [(MINT, 64), (LIST, 63), ("AssumeRole", 1), ("IMDS:credentials", 1)] {
        assert_eq!(lab.cloud.count(action), count, "{action}");
    }
}

#[tokio::test]
async fn fifty_registries_with_five_identities_use_five_sessions_and_one_call_each() {
    let lab = Lab::start().await;
    let (roles, instances) = (roles(&lab, 5), instances(&lab, 10));
    let keys: Vec<_> = instances
        .iter()
        .flat_map(|instance| roles.iter().map(move |role| with_role(role, instance)))
        .collect();
    for round in 1..=2 {
        let minted = join_all(keys.iter().map(|key| lab.mint(key))).await;
        assert!(minted.iter().all(Result::is_ok), "{minted:?}");
        for (action, count) in [(MINT, 50 * round), ("AssumeRole", 5), ("IMDS:credentials", 1)] {
            assert_eq!(lab.cloud.count(action), count, "{action} in round {round}");
        }
    }
    // Each identity signs with its own session.
    for role in &roles {
        let name = format!("role/{}", role.rsplit('/').next().unwrap());
        let calls = lab.cloud.calls();
        let signed = calls.iter().filter(|call| call.action == MINT && call.identity == name);
        assert_eq!(signed.count(), 20, "{name}");
    }
}

#[tokio::test]
async fn concurrent_callers_share_a_failed_session_and_later_ones_open_a_new_one() {
    let lab = Lab::start().await;
    let keys: Vec<_> = instances(&lab, 10).iter().map(|instance| with_role(PARTNER_ROLE, instance)).collect();
    lab.fault("AssumeRole", FaultKind::Throttle { retry_after_ms: None }, Some(1));
    let outcomes = join_all(keys.iter().map(|key| lab.mint(key))).await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().reason, Reason::Throttled);
    }
    assert_eq!((lab.cloud.count("AssumeRole"), lab.cloud.count(MINT)), (1, 0));
    let minted = join_all(keys.iter().map(|key| lab.mint(key))).await;
    assert!(minted.iter().all(Result::is_ok), "{minted:?}");
    assert_eq!((lab.cloud.count("AssumeRole"), lab.cloud.count(MINT)), (2, 10));
}
