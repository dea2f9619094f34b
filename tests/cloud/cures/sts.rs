//! Cures of roles that cannot be assumed, and of OIDC tokens that are rejected.

use acr_credential_binding::api::Reason;
use acr_credential_binding::model::RegistryKey;
use acr_credential_binding::model::identity::{Arn, CredentialSource};
use acr_lab::cloud::FaultKind;
use acr_lab::cloud::world::{OidcProvider, OidcTrust, Role};
use acr_lab::message::{after, between};
use k8s_openapi::jiff::SignedDuration;
use serde_json::json;

use super::{Cure, Trial, follow, role_of};
use crate::lab::{PARTNER_ROLE, WORKER, identity, near_as, partner};
use crate::oidc::{Issuer, PROVIDER, ROLE, rrsa};

fn by_token() -> RegistryKey {
    near_as("cri-demo0001", identity(rrsa(), None))
}

fn enable(trial: &mut Trial) {
    Issuer::enabled_in(&trial.lab);
}

fn nothing(_: &mut Trial) {}

/// Makes the role of the message, with the rights of another.
fn create_role(trial: &mut Trial, message: &str) {
    let (account, name) = role_of(message);
    trial.lab.cloud.world(|world| {
        let roles = &mut world.accounts.get_mut(&account).unwrap().roles;
        let like = roles.values().next().unwrap().clone();
        let trust = [format!("acs:ram::1:role/{WORKER}")].into();
        roles.insert(name, Role { trust, ..like });
    });
}

fn assume(trial: &mut Trial, arn: &str) {
    trial.key.identity.assume = Some(Arn::role(arn).unwrap());
}

#[tokio::test]
async fn a_role_is_created_or_its_name_corrected_as_the_error_says() {
    let reason = Reason::TrustPolicyDenies;
    let words = "create the role or correct assumeRoleARN";
    let fault = |trial: &mut Trial| assume(trial, "acs:ram::2:role/acr-pul");
    let cures = [
        Cure { reason, words, fault, follow: create_role },
        Cure { reason, words, fault, follow: |trial, _| assume(trial, PARTNER_ROLE) },
    ];
    follow(partner, nothing, &cures).await;
    let cures = [
        Cure {
            reason,
            words: "create the role or correct rrsaRoleARN",
            fault: |trial| name_role(trial, "acs:ram::1:role/acr-rsa"),
            follow: |trial, _| name_role(trial, ROLE),
        },
        Cure {
            reason,
            words: "create the role or correct rrsaRoleARN",
            fault: |trial| name_role(trial, "acs:ram::1:role/acr-rsa"),
            follow: |trial, message| {
                let (account, name) = role_of(message);
                trial.lab.cloud.world(|world| {
                    let roles = &mut world.accounts.get_mut(&account).unwrap().roles;
                    let like = roles["acr-rrsa"].clone();
                    roles.insert(name, like);
                });
            },
        },
    ];
    follow(by_token, enable, &cures).await;
}

fn name_role(trial: &mut Trial, role: &str) {
    let provider = Arn::oidc_provider(PROVIDER).unwrap();
    trial.key.identity.source = CredentialSource::Rrsa { role: Arn::role(role).unwrap(), provider };
}

fn name_provider(trial: &mut Trial, provider: &str) {
    let provider = Arn::oidc_provider(provider).unwrap();
    trial.key.identity.source = CredentialSource::Rrsa { role: Arn::role(ROLE).unwrap(), provider };
}

#[tokio::test]
async fn a_denied_role_is_granted_in_the_policy_that_the_error_names() {
    let reason = Reason::TrustPolicyDenies;
    let distrust = |trial: &mut Trial| {
        trial.lab.cloud.world(|world| world.role_mut("2", "acr-pull").unwrap().trust.clear());
    };
    let forbid = |trial: &mut Trial| {
        trial.lab.cloud.world(|world| {
            world.role_mut("1", WORKER).unwrap().policy.allow.remove("sts:AssumeRole");
        });
    };
    let cures = [
        Cure {
            reason,
            words: "in the role's trust policy",
            fault: distrust,
            follow: |trial, message| {
                let (account, name) = role_of(message);
                let caller = between(message, "name the worker role ", " in the role's trust policy");
                let caller = format!("acs:ram::1:role/{caller}");
                trial.lab.cloud.world(|world| {
                    world.role_mut(&account, &name).unwrap().trust.insert(caller);
                });
            },
        },
        Cure {
            reason,
            words: "sts:AssumeRole on the role in a RAM policy",
            fault: forbid,
            follow: |trial, message| {
                let said = between(message, "; allow the worker role ", " on the role");
                let (caller, action) = said.split_once(' ').unwrap();
                trial.lab.cloud.world(|world| {
                    world.role_mut("1", caller).unwrap().policy.allow.insert(action.to_owned());
                });
            },
        },
        Cure {
            reason: Reason::UnexpectedReply,
            words: "the returned session has already expired, check the node's clock",
            fault: |trial| {
                trial.clock = SignedDuration::from_mins(10);
                trial.lab.cloud.world(|world| {
                    world.lifetimes.session_cap = Some(std::time::Duration::from_secs(300));
                });
            },
            follow: |trial, _| trial.clock = SignedDuration::ZERO,
        },
    ];
    follow(partner, nothing, &cures).await;
}

/// Writes the statement of the message into the trust policy of its role.
fn trust_token(trial: &mut Trial, message: &str) {
    let (account, name) = role_of(message);
    let audience = between(message, "with oidc:aud ", " ").to_owned();
    let subject = after(message, "ServiceAccount: the OIDC token of ").to_owned();
    let conditions = [("oidc:aud", audience), ("oidc:sub", subject)];
    let string_equals = conditions.map(|(key, value)| (key.to_owned(), [value].into())).into();
    trial.lab.cloud.world(|world| {
        let role = world.role_mut(&account, &name).unwrap();
        role.oidc_trust = vec![OidcTrust { federated: PROVIDER.to_owned(), string_equals }];
    });
}

#[tokio::test]
async fn a_role_trusts_the_token_once_the_statement_of_the_error_is_in_its_policy() {
    let words = "in the role's trust policy, allow the provider as Federated principal";
    let reason = Reason::TrustPolicyDenies;
    let none = |trial: &mut Trial| {
        trial.lab.cloud.world(|world| world.role_mut("1", "acr-rrsa").unwrap().oidc_trust.clear());
    };
    let other = |trial: &mut Trial| {
        trial.lab.cloud.world(|world| {
            let trust = &mut world.role_mut("1", "acr-rrsa").unwrap().oidc_trust[0];
            trust
                .string_equals
                .insert("oidc:sub".to_owned(), ["system:serviceaccount:default:x".to_owned()].into());
        });
    };
    let cures = [
        Cure { reason, words, fault: none, follow: trust_token },
        Cure { reason, words, fault: other, follow: trust_token },
    ];
    follow(by_token, enable, &cures).await;
}

fn provider_mut(trial: &mut Trial, change: impl FnOnce(&mut OidcProvider)) {
    trial.lab.cloud.world(|world| {
        let account = world.accounts.get_mut("1").unwrap();
        change(account.oidc_providers.get_mut("ack-rrsa-demo").unwrap());
    });
}

/// Enables RRSA, keeping the tokens' issuer; the ServiceAccount has a token for another audience.
fn enable_for_another_audience(trial: &mut Trial) {
    Issuer::enabled_in(&trial.lab).renew_with(&trial.lab, &json!({ "aud": ["kubernetes"] }));
}

#[tokio::test]
async fn a_rejected_token_is_corrected_as_the_error_says() {
    let reason = Reason::OIDCTokenRejected;
    let cures = [
        Cure {
            reason,
            words: "enable RRSA for this cluster",
            fault: |trial| {
                trial.lab.cloud.world(|world| world.accounts.get_mut("1").unwrap().oidc_providers.clear());
            },
            follow: |trial, _| enable(trial),
        },
        Cure {
            reason,
            words: "copy rrsaOIDCProviderRoleARN from the RRSA page",
            fault: |trial| name_provider(trial, "acs:ram::1:oidc-provider/ack-rrsa-dem"),
            follow: |trial, _| name_provider(trial, PROVIDER),
        },
        Cure {
            reason,
            words: "check the node's clock, and that the token's file is renewed",
            // The node issued the token by a clock that is two hours behind.
            fault: |trial| trial.lab.cloud.set_clock_skew(2 * 3600),
            follow: |trial, _| trial.lab.cloud.set_clock_skew(0),
        },
        Cure {
            reason,
            words: "check the node's clock, and that the token's file is renewed",
            fault: |trial| trial.lab.cloud.set_clock_skew(2 * 3600),
            follow: |trial, _| enable(trial),
        },
        Cure {
            reason,
            words: "register sts.aliyuncs.com as a client ID of the provider",
            fault: |trial| provider_mut(trial, |provider| provider.client_ids = ["other".to_owned()].into()),
            follow: |trial, message| {
                let audience = between(message, "register ", " as a client ID").to_owned();
                provider_mut(trial, |provider| drop(provider.client_ids.insert(audience)));
            },
        },
        Cure {
            reason,
            words: "project the token for that audience",
            fault: enable_for_another_audience,
            follow: |trial, message| {
                let audience = between(message, "register ", " as a client ID");
                Issuer::enabled_in(&trial.lab).renew_with(&trial.lab, &json!({ "aud": [audience] }));
            },
        },
        Cure {
            reason,
            words: "set rrsaOIDCProviderRoleARN to the provider of this cluster",
            fault: |trial| {
                name_another_clusters_provider(trial, |provider| provider.issuer.push_str("/other"));
            },
            follow: |trial, _| name_provider(trial, PROVIDER),
        },
        Cure {
            reason,
            words: "set rrsaOIDCProviderRoleARN to the provider of this cluster, or enable RRSA again",
            fault: |trial| {
                let jwks = acr_lab::cloud::OidcIssuer::new().unwrap().jwks();
                name_another_clusters_provider(trial, |provider| provider.jwks = jwks);
            },
            follow: |trial, _| name_provider(trial, PROVIDER),
        },
        Cure {
            reason,
            words: "or enable RRSA again after the cluster's keys changed",
            fault: |trial| Issuer::new().renew(&trial.lab),
            follow: |trial, _| enable(trial),
        },
        Cure {
            reason,
            words: "check that the cloud can reach the provider's issuer URL",
            fault: |trial| {
                // The simulator fetches no keys: the refusal ends with its cause.
                let code = "AuthenticationFail.OIDCToken.IssuerConfigurationBroken".to_owned();
                let kind = FaultKind::Status { status: 401, code, message: "m".to_owned() };
                trial.lab.fault("AssumeRoleWithOIDC", kind, None);
            },
            follow: |trial, _| trial.lab.cloud.clear_faults(),
        },
        Cure {
            reason,
            words: "check that RRSA is enabled for this cluster",
            fault: |trial| {
                let token = Some("never-a-token".to_owned());
                trial.lab.cluster.edit(|credentials| credentials.oidc_token = token);
            },
            follow: |trial, _| enable(trial),
        },
    ];
    follow(by_token, enable, &cures).await;
}

/// Makes the entry name a provider that differs from the cluster's, which stays registered.
fn name_another_clusters_provider(trial: &mut Trial, change: impl FnOnce(&mut OidcProvider)) {
    trial.lab.cloud.world(|world| {
        let providers = &mut world.accounts.get_mut("1").unwrap().oidc_providers;
        let mut other = providers["ack-rrsa-demo"].clone();
        change(&mut other);
        providers.insert("ack-rrsa-other".to_owned(), other);
    });
    name_provider(trial, "acs:ram::1:oidc-provider/ack-rrsa-other");
}

#[tokio::test]
async fn a_session_is_shortened_or_the_role_allows_it_as_the_error_says() {
    let reason = Reason::SessionTooLong;
    let words = "shorten it, or raise the role's MaxSessionDuration";
    let fault = |trial: &mut Trial| trial.key.identity.session_seconds = 7200;
    let shorten = |trial: &mut Trial, message: &str| {
        let most = between(message, "which allows at most ", " s").parse().unwrap();
        trial.key.identity.session_seconds = most;
    };
    let raise = |trial: &mut Trial, message: &str| {
        let (account, name) = role_of(between(message, "expireDuration is out of range for ", ", which"));
        trial.lab.cloud.world(|world| {
            world.role_mut(&account, &name).unwrap().max_session_duration = 7200;
        });
    };
    let cures =
        [Cure { reason, words, fault, follow: shorten }, Cure { reason, words, fault, follow: raise }];
    follow(partner, nothing, &cures).await;
}
