//! Cures of a missing or unusable identity of the controller.

use std::time::Duration;

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::{CloudSettings, TokenMode};
use acr_credential_binding::model::RegistryKey;
use acr_credential_binding::model::identity::CredentialSource;
use acr_lab::cloud::FaultKind;
use acr_lab::message::after;
use k8s_openapi::jiff::SignedDuration;

use super::{Cure, Trial, follow};
use crate::lab::{PARTNER_ROLE, WORKER, identity, near, near_as, partner, user_pair};
use crate::oidc::{Issuer, rrsa};

fn nothing(_: &mut Trial) {}

fn put_addon_token(trial: &mut Trial) {
    let text = trial.lab.cloud.addon_token(Duration::from_secs(3600));
    trial.lab.cluster.edit(|credentials| credentials.addon_token = Some(text));
}

fn as_managed_role(trial: &mut Trial) {
    trial.restart(|settings| settings.token_mode = TokenMode::ManagedRole);
    put_addon_token(trial);
}

/// Restarts the controller with the mode that follows `--token-mode` in the message.
fn with_mode_of(trial: &mut Trial, message: &str, words: &str) {
    let mode = after(message, words).split(|c: char| !c.is_alphanumeric()).next().unwrap();
    assert_eq!(mode, "workerRole");
    trial.restart(|settings| settings.token_mode = TokenMode::WorkerRole);
}

/// Enables RRSA, and gives the entry its two fields.
fn use_rrsa(trial: &mut Trial, _: &str) {
    Issuer::enabled_in(&trial.lab);
    trial.key.identity.source = rrsa();
}

/// Puts an AccessKey into a Secret, and names it in the entry.
fn use_key(trial: &mut Trial, _: &str) {
    let pair = user_pair(&trial.lab.cloud, "1", "puller");
    trial.lab.cluster.edit(|credentials| credentials.pairs.insert("pair".to_owned(), pair));
    trial.key.identity.source = CredentialSource::AccessKey { secret: "pair".into() };
}

#[tokio::test]
async fn an_unusable_addon_token_is_replaced_as_the_error_says() {
    let reason = Reason::AddonTokenInvalid;
    let broken = |trial: &mut Trial| {
        trial.lab.cluster.edit(|credentials| credentials.addon_token = Some("no JSON".to_owned()));
    };
    let cures = [
        Cure {
            reason,
            words: "authorise the role AliyunCSManagedAcrRole again in the ACK console",
            fault: broken,
            follow: |trial, _| put_addon_token(trial),
        },
        Cure { reason, words: "or use RRSA", fault: broken, follow: use_rrsa },
        Cure {
            reason,
            words: "has expired (check the node's clock)",
            fault: |trial| trial.clock = SignedDuration::from_hours(2),
            follow: |trial, _| trial.clock = SignedDuration::ZERO,
        },
    ];
    follow(near, as_managed_role, &cures).await;
}

#[tokio::test]
async fn a_missing_identity_is_given_as_the_error_says() {
    let reason = Reason::NoIdentity;
    let no_token = |trial: &mut Trial| {
        trial.lab.cluster.edit(|credentials| credentials.addon_token = None);
    };
    let cures = [
        Cure {
            reason,
            words: "authorise the role AliyunCSManagedAcrRole for ACK",
            fault: no_token,
            follow: |trial, _| put_addon_token(trial),
        },
        Cure { reason, words: "or use RRSA or --token-mode workerRole", fault: no_token, follow: use_rrsa },
        Cure {
            reason,
            words: "or use RRSA or --token-mode workerRole",
            fault: no_token,
            follow: |trial, message| with_mode_of(trial, message, "or --token-mode "),
        },
    ];
    follow(near, as_managed_role, &cures).await;

    let no_role = |trial: &mut Trial| trial.lab.cloud.world(|world| world.node.role = None);
    let cures = [
        Cure {
            reason,
            words: "grant the node a RAM role (worker role)",
            fault: no_role,
            follow: |trial, _| {
                trial.lab.cloud.world(|world| world.node.role = Some(WORKER.to_owned()));
            },
        },
        Cure {
            reason,
            words: "run on an ECS node whose metadata service is reachable",
            fault: |trial| trial.lab.fault("*", FaultKind::Html, None),
            follow: |trial, _| trial.lab.cloud.clear_faults(),
        },
        Cure {
            reason,
            words: "returns a key that has already expired (check the node's clock)",
            fault: |trial| trial.clock = SignedDuration::from_hours(7),
            follow: |trial, _| trial.clock = SignedDuration::ZERO,
        },
    ];
    follow(near, nothing, &cures).await;
}

fn without_metadata(settings: &mut CloudSettings) {
    settings.environment.metadata_disabled = true;
}

/// Outside ACK, the environment often turns the metadata service off: then a role of the node would not help.
#[tokio::test]
async fn an_identity_is_given_without_the_metadata_service_as_the_error_says() {
    let reason = Reason::NoIdentity;
    let fault = |trial: &mut Trial| trial.restart(without_metadata);
    let cures = [
        Cure { reason, words: "use RRSA (rrsaRoleARN)", fault, follow: use_rrsa },
        Cure { reason, words: "name an AccessKey with accessKeySecretRef", fault, follow: use_key },
        Cure {
            reason,
            words: "unset ALIBABA_CLOUD_ECS_METADATA_DISABLED to use the node's RAM role",
            fault,
            follow: |trial, _| trial.restart(|_| {}),
        },
    ];
    follow(near, nothing, &cures).await;
}

fn partner_by_rrsa() -> RegistryKey {
    near_as("cri-demo0003", identity(rrsa(), Some(PARTNER_ROLE)))
}

#[tokio::test]
async fn the_managed_role_is_replaced_for_another_account_as_the_error_says() {
    for rrsa in [true, false] {
        let mut trial = Trial::start(partner()).await;
        as_managed_role(&mut trial);
        let error = trial.refresh().await.expect_err("another account");
        assert_eq!(error.reason, Reason::TrustPolicyDenies);
        let words = "for another account use RRSA (rrsaRoleARN) or --token-mode workerRole";
        after(&error.message, words);
        if rrsa {
            Issuer::enabled_in(&trial.lab);
            trial.key = partner_by_rrsa();
        } else {
            with_mode_of(&mut trial, &error.message, "(rrsaRoleARN) or --token-mode ");
        }
        trial.refresh().await.unwrap_or_else(|error| panic!("{rrsa}: {error:?}"));
    }
}
