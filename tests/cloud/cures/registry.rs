//! Cures of errors of Container Registry and of keys that sign.

use acr_credential_binding::api::Reason;
use acr_credential_binding::model::identity::CredentialSource;
use acr_credential_binding::model::{Edition, RegistryKey};
use acr_lab::cloud::FaultKind;
use acr_lab::cloud::world::{AccessKey, KeyStatus, MissingPersonal, Policy};
use acr_lab::message::{after, between};
use k8s_openapi::jiff::SignedDuration;

use super::{Cure, Trial, follow};
use crate::lab::{MINT, WORKER, identity, near, near_as, user_pair};

const PULLER: &str = "partner-puller";

fn personal() -> RegistryKey {
    RegistryKey {
        edition: Edition::Personal,
        ..near_as("", identity(CredentialSource::ControllerIdentity, None))
    }
}

fn by_key() -> RegistryKey {
    near_as("cri-demo0003", identity(CredentialSource::AccessKey { secret: "pair".into() }, None))
}

fn put_pair(trial: &mut Trial) {
    let pair = user_pair(&trial.lab.cloud, "2", PULLER);
    trial.lab.cluster.edit(|credentials| credentials.pairs.insert("pair".to_owned(), pair));
}

fn nothing(_: &mut Trial) {}

fn fresh_key() -> AccessKey {
    let (id, secret) = ("LTAI-demo-fresh".to_owned(), "the-fresh-secret".to_owned());
    AccessKey { id, secret, status: KeyStatus::Active }
}

fn deny(trial: &mut Trial) {
    trial.lab.cloud.world(|world| world.role_mut("1", WORKER).unwrap().policy = Policy::default());
}

/// Allows the action of the message to the identity of the message.
fn allow(trial: &mut Trial, message: &str) {
    let permission = between(message, "permission ", " is missing").to_owned();
    let role = between(message, " as the worker role ", ":").to_owned();
    trial.lab.cloud.world(|world| {
        world.role_mut("1", &role).unwrap().policy.allow.insert(permission);
    });
}

/// Allows the two actions of a refresh, one after the other, as each error names one.
#[tokio::test]
async fn a_missing_permission_is_allowed_as_the_error_says() {
    let words = "allow it in a RAM policy of that identity";
    let fault = |trial: &mut Trial| {
        deny(trial);
        trial.lab.cloud.world(|world| {
            world.role_mut("1", WORKER).unwrap().policy.allow.insert("cr:ListInstanceEndpoint".to_owned());
        });
    };
    let listing = |trial: &mut Trial| {
        deny(trial);
        trial.lab.cloud.world(|world| {
            world.role_mut("1", WORKER).unwrap().policy.allow.insert("cr:GetAuthorizationToken".to_owned());
        });
    };
    let reason = Reason::AccessDenied;
    let cures =
        [Cure { reason, words, fault, follow: allow }, Cure { reason, words, fault: listing, follow: allow }];
    follow(near, nothing, &cures).await;
    follow(personal, nothing, &[Cure { reason, words, fault: deny, follow: allow }]).await;
}

#[tokio::test]
async fn a_missing_personal_registry_is_corrected_or_replaced_as_the_error_says() {
    let missing = |trial: &mut Trial| {
        trial.lab.cloud.world(|world| {
            world.accounts.get_mut("1").unwrap().personal.clear();
            let refusal = MissingPersonal::Refusal { status: 404, code: "INSTANCE_NOT_EXIST".to_owned() };
            world.unconfirmed.missing_personal = refusal;
        });
    };
    let elsewhere = |trial: &mut Trial| {
        trial.key.region = "cn-beijing".into();
        trial.lab.cloud.world(|world| {
            let refusal = MissingPersonal::Refusal { status: 404, code: "INSTANCE_NOT_EXIST".to_owned() };
            world.unconfirmed.missing_personal = refusal;
        });
    };
    let reason = Reason::InstanceNotFound;
    let words = "check regionId, and that the account has a registry in that region";
    let register = |trial: &mut Trial, message: &str| {
        let region = between(message, "Personal Edition registry in ", " ").to_owned();
        trial.lab.cloud.world(|world| world.accounts.get_mut("1").unwrap().personal.insert(region));
    };
    let cures = [
        Cure { reason, words, fault: missing, follow: register },
        Cure { reason, words, fault: elsewhere, follow: |trial, _| trial.key.region = "cn-hangzhou".into() },
        // An instance of the new kind looks to this API as if there were none.
        Cure {
            reason,
            words: "or the Enterprise Edition",
            fault: missing,
            follow: |trial, _| trial.key = near(),
        },
    ];
    follow(personal, nothing, &cures).await;
}

#[tokio::test]
async fn an_unknown_instance_is_corrected_as_the_error_says() {
    let cures = [
        Cure {
            reason: Reason::InstanceNotFound,
            words: "check instanceId and regionId",
            fault: |trial| trial.key.edition = Edition::Enterprise("cri-demo0099".into()),
            follow: |trial, _| trial.key.edition = Edition::Enterprise("cri-demo0001".into()),
        },
        Cure {
            reason: Reason::InstanceNotFound,
            words: "check instanceId and regionId",
            fault: |trial| trial.key.region = "cn-beijing".into(),
            follow: |trial, _| trial.key.region = "cn-hangzhou".into(),
        },
        Cure {
            reason: Reason::InstanceNotFound,
            words: "check regionId",
            fault: |trial| trial.key.region = "cn-atlantis".into(),
            follow: |trial, _| trial.key.region = "cn-hangzhou".into(),
        },
        Cure {
            reason: Reason::NoDomains,
            words: "enable its VPC or public endpoint",
            fault: |trial| enable_endpoints(trial, false),
            follow: |trial, _| enable_endpoints(trial, true),
        },
    ];
    follow(near, nothing, &cures).await;
}

fn enable_endpoints(trial: &mut Trial, enable: bool) {
    trial.lab.cloud.world(|world| {
        let endpoints = &mut world.instances.get_mut("cri-demo0001").unwrap().endpoints;
        endpoints.iter_mut().for_each(|endpoint| endpoint.enable = enable);
    });
}

/// Sets the node's clock by as many minutes as the error says.
fn set_clock(trial: &mut Trial, message: &str) {
    let (minutes, side) =
        between(message, "the node's clock is ", " the cloud's").split_once(" minutes ").unwrap();
    let off = SignedDuration::from_mins(minutes.parse().unwrap());
    if side == "behind" { trial.clock += off } else { trial.clock -= off }
}

#[tokio::test]
async fn a_wrong_clock_is_set_by_the_minutes_of_the_error() {
    let reason = Reason::ClockSkew;
    let words = "synchronise the node's clock";
    let ahead = |trial: &mut Trial| trial.clock = SignedDuration::from_mins(40);
    let behind = |trial: &mut Trial| trial.clock = SignedDuration::from_mins(-25);
    let cures = [
        Cure { reason, words, fault: ahead, follow: set_clock },
        Cure { reason, words, fault: behind, follow: set_clock },
    ];
    follow(near, nothing, &cures).await;
    // Less wrong than the cloud checks, and more than a short token is valid for.
    let expired = Cure {
        reason: Reason::UnexpectedReply,
        words: "the returned token has already expired, check the node's clock",
        fault: |trial| {
            trial.clock = SignedDuration::from_mins(10);
            trial.lab.cloud.world(|world| {
                world.lifetimes.registry_token_cap = Some(std::time::Duration::from_secs(300));
            });
        },
        follow: |trial, _| trial.clock = SignedDuration::ZERO,
    };
    follow(near, nothing, &[expired]).await;
}

#[tokio::test]
async fn a_rejected_key_is_restored_corrected_enabled_or_replaced_as_the_error_says() {
    let disable = |trial: &mut Trial| {
        trial
            .lab
            .cloud
            .world(|world| world.user_mut("2", PULLER).unwrap().keys[0].status = KeyStatus::Inactive);
    };
    let cures = [
        Cure {
            reason: Reason::KeyInvalid,
            words: "check that it was not deleted",
            fault: |trial| trial.lab.cloud.world(|world| world.user_mut("2", PULLER).unwrap().keys.clear()),
            follow: |trial, _| {
                let fresh = fresh_key();
                trial.lab.cloud.world(|world| world.user_mut("2", PULLER).unwrap().keys.push(fresh));
                put_pair(trial);
            },
        },
        Cure {
            reason: Reason::KeyInvalid,
            words: "check the pair, and check for a proxy that changes requests",
            fault: |trial| {
                trial.lab.cluster.edit(|stored| stored.pairs.get_mut("pair").unwrap().1.push('x'));
            },
            follow: |trial, _| put_pair(trial),
        },
        Cure {
            reason: Reason::KeyInactive,
            words: "enable or replace it",
            fault: disable,
            follow: |trial, _| {
                trial.lab.cloud.world(|world| {
                    world.user_mut("2", PULLER).unwrap().keys[0].status = KeyStatus::Active;
                });
            },
        },
        Cure {
            reason: Reason::KeyInactive,
            words: "enable or replace it",
            fault: disable,
            follow: |trial, _| {
                let fresh = fresh_key();
                trial.lab.cloud.world(|world| world.user_mut("2", PULLER).unwrap().keys.insert(0, fresh));
                put_pair(trial);
            },
        },
        Cure {
            reason: Reason::Unreachable,
            words: "check regionId and the configured credentials",
            fault: |trial| {
                trial.lab.cluster.edit(|stored| stored.pairs.get_mut("pair").unwrap().0.push('\n'));
            },
            follow: |trial, _| put_pair(trial),
        },
    ];
    follow(by_key, put_pair, &cures).await;
}

/// The errors that go by themselves: the next attempt has none. Each is injected once.
#[tokio::test]
async fn what_the_error_calls_automatic_goes_at_the_next_attempt() {
    for (status, code, reason, words) in [
        (
            400,
            "InvalidSecurityToken.Expired",
            Reason::UnexpectedReply,
            "a new session is requested automatically",
        ),
        (404, "InvalidAccessKeyId.NotFound", Reason::KeyInvalid, "a new session is requested automatically"),
        (
            400,
            "SignatureNonceUsed",
            Reason::UnexpectedReply,
            "if this persists, check for a proxy that repeats requests",
        ),
        (400, "Throttling.User", Reason::Throttled, "retrying automatically"),
        (500, "InternalError", Reason::CloudFailing, "retrying automatically"),
        (400, "Brand.New", Reason::UnexpectedReply, "if this persists, look up the code"),
    ] {
        let trial = Trial::start(near()).await;
        trial.lab.code(MINT, status, code);
        let error = trial.refresh().await.expect_err(words);
        assert_eq!(error.reason, reason, "{code}");
        after(&error.message, words);
        trial.refresh().await.unwrap_or_else(|error| panic!("{code}: {error:?}"));
    }
}

/// A fault that lasts as long as its cause: a caller that uses up the quota, a proxy, a wrong clock.
#[tokio::test]
async fn what_persists_goes_with_the_cause_that_the_error_names() {
    let refusal =
        |code: &str| FaultKind::Status { status: 400, code: code.to_owned(), message: "m".to_owned() };
    for (kind, reason, words) in [
        (
            FaultKind::Throttle { retry_after_ms: None },
            Reason::Throttled,
            "if this persists, raise the account's quota or reduce other callers",
        ),
        (
            refusal("SignatureNonceUsed"),
            Reason::UnexpectedReply,
            "if this persists, check for a proxy that repeats requests",
        ),
        (
            refusal("InvalidSecurityToken.Expired"),
            Reason::UnexpectedReply,
            "if this persists, check the node's clock",
        ),
        (
            FaultKind::Html,
            Reason::UnexpectedReply,
            "if this persists, look up the code, and check for a proxy that answers instead of the cloud",
        ),
        (
            FaultKind::Truncated,
            Reason::UnexpectedReply,
            "if this persists, check for a proxy that answers instead of the cloud",
        ),
    ] {
        let trial = Trial::start(near()).await;
        trial.lab.fault(MINT, kind, None);
        for _ in 0..2 {
            let error = trial.refresh().await.expect_err(words);
            assert_eq!(error.reason, reason, "{words}");
            after(&error.message, words);
        }
        trial.lab.cloud.clear_faults();
        trial.refresh().await.unwrap_or_else(|error| panic!("{words}: {error:?}"));
    }
}
