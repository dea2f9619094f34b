//! Credentials that are shown to the registry before they replace valid ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acr_lab::controller::Controller;
use acr_lab::message::{after, between};
use acr_lab::registry::{Registry, Verdict, usable};
use serde_json::json;

use crate::harness::{Lab, spec};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// A controller, and a registry that accepts every password, or none.
struct Trial {
    lab: Lab,
    registry: Registry,
    accepts: Arc<AtomicBool>,
    asked: Arc<AtomicBool>,
    _ca: tempfile::TempDir,
}

impl Trial {
    /// Starts a trial, or returns `None` if the packages of the registry are missing.
    async fn start(flags: &[&str], allow_realm: bool) -> Option<Self> {
        if !usable().unwrap() {
            return None;
        }
        let (accepts, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (judged_by, seen) = (accepts.clone(), asked.clone());
        let judge = Arc::new(move |_: &str, _: &str| {
            seen.store(true, Ordering::Relaxed);
            if judged_by.load(Ordering::Relaxed) { Verdict::MayPull } else { Verdict::Rejected }
        });
        let registry = Registry::judged("cri-demo0001", judge).await.unwrap();
        let ca = tempfile::tempdir().unwrap();
        let bundle = ca.path().join("ca.pem");
        std::fs::write(&bundle, registry.ca_pem()).unwrap();
        let realm = format!("--registry-auth-host={}", registry.realm_host());
        let lab = Lab::start_with(|mut options| {
            options = options.arg(format!("--ca-bundle={}", bundle.display()));
            if allow_realm {
                options = options.arg(realm);
            }
            flags.iter().fold(options, |options, flag| options.arg(*flag))
        })
        .await;
        lab.create_namespace("shown").await;
        Some(Self { lab, registry, accepts, asked, _ca: ca })
    }

    async fn bind(&self) {
        let mut spec = spec(&["shown"]);
        spec["registries"] = json!([{ "instanceId": "cri-demo0001", "domains": [self.registry.domain()] }]);
        self.lab.bind("shown", spec).await;
    }

    async fn token(&self) -> Option<String> {
        self.lab.token("shown", &self.registry.domain()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_enforce_a_rejected_token_does_not_replace_the_last_valid_one() {
    let Some(trial) = Trial::start(&["--verify-credentials=enforce"], true).await else { return };
    trial.bind().await;
    trial.lab.until_ready_is("shown", "True", "Succeeded").await;
    assert!(trial.asked.load(Ordering::Relaxed), "the registry saw the first token");
    let good = trial.token().await.unwrap();

    trial.accepts.store(false, Ordering::Relaxed);
    trial.lab.annotate("shown", "acrcredential.dev/refresh-at", "one").await;
    let message = trial.lab.until_ready_says("shown", "True", "RefreshFailing", "CredentialRejected").await;
    assert!(message.contains("does not accept the new credential"), "{message}");
    assert_eq!(trial.token().await.unwrap(), good);
    after(
        &message,
        "check that the domain belongs to this instance, and that this identity may pull from it",
    );

    trial.accepts.store(true, Ordering::Relaxed);
    trial.lab.annotate("shown", "acrcredential.dev/refresh-at", "two").await;
    trial.lab.until_ready_is("shown", "True", "Succeeded").await;
    trial.lab.until("the next one replaces it", async || trial.token().await.unwrap() != good).await;

    // The other half of the cure: a domain of another instance makes room for those of this one.
    trial.accepts.store(false, Ordering::Relaxed);
    trial.lab.annotate("shown", "acrcredential.dev/refresh-at", "three").await;
    trial.lab.until_ready_says("shown", "True", "RefreshFailing", "CredentialRejected").await;
    trial.lab.bind("shown", spec(&["shown"])).await;
    trial.lab.annotate("shown", "acrcredential.dev/refresh-at", "four").await;
    trial.lab.until_ready_is("shown", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_warn_a_rejection_is_reported_and_the_token_is_used() {
    let Some(trial) = Trial::start(&["--verify-credentials=warn"], true).await else { return };
    trial.accepts.store(false, Ordering::Relaxed);
    trial.bind().await;
    trial.lab.until_ready_is("shown", "True", "Succeeded").await;
    assert!(trial.token().await.is_some());
    let status = trial.lab.bindings().get("shown").await.unwrap().status.unwrap();
    let message = &status.registries[0].conditions[0].message;
    assert!(message.contains(&format!("{} does not accept it", trial.registry.domain())), "{message}");
}

/// The domains of an entry may belong to several hosts; one that accepts decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_does_not_count_if_another_domain_accepts() {
    if !usable().unwrap() {
        return;
    }
    let [good, bad] = [Verdict::MayPull, Verdict::Rejected].map(|verdict| async move {
        Registry::judged("cri-demo0001", Arc::new(move |_: &str, _: &str| verdict)).await
    });
    let (good, bad) = (good.await.unwrap(), bad.await.unwrap());
    let ca = tempfile::tempdir().unwrap();
    let bundle = ca.path().join("ca.pem");
    std::fs::write(&bundle, format!("{}\n{}", good.ca_pem(), bad.ca_pem())).unwrap();
    let lab = Lab::start_with(|options| {
        options
            .arg("--verify-credentials=enforce")
            .arg(format!("--ca-bundle={}", bundle.display()))
            .arg(format!("--registry-auth-host={}", good.realm_host()))
            .arg(format!("--registry-auth-host={}", bad.realm_host()))
    })
    .await;
    lab.create_namespace("both").await;
    let mut spec = spec(&["both"]);
    spec["registries"] = json!([{ "instanceId": "cri-demo0001", "domains": [bad.domain(), good.domain()] }]);
    lab.bind("both", spec).await;
    lab.until_ready_is("both", "True", "Succeeded").await;
}

/// A registry that wants the credential sent elsewhere does not get it, which is not a rejection.
#[tokio::test(flavor = "multi_thread")]
async fn a_realm_that_is_not_allowed_gets_no_credential_and_does_not_reject() {
    let Some(mut trial) = Trial::start(&["--verify-credentials=enforce"], false).await else { return };
    trial.accepts.store(false, Ordering::Relaxed);
    trial.bind().await;
    trial.lab.until_ready_is("shown", "True", "Succeeded").await;
    assert!(trial.token().await.is_some());
    assert!(!trial.asked.load(Ordering::Relaxed));
    // The host of the log, once it is allowed, gets the credential.
    let log = trial.lab.controller.log();
    after(&log, "which is not allowed; allow that host if it belongs to the registry");
    let host = between(&log, "requests the credential for ", ", which");
    let options = trial.lab.controller.options().clone().arg(format!("--registry-auth-host={host}"));
    trial.lab.controller.terminate(PATIENCE).await.unwrap();
    trial.lab.controller = Controller::start_ready(options, PATIENCE).await.unwrap();
    trial.lab.annotate("shown", "acrcredential.dev/refresh-at", "allowed").await;
    trial.lab.until_ready_says("shown", "True", "RefreshFailing", "CredentialRejected").await;
    assert!(trial.asked.load(Ordering::Relaxed));
}

/// The VPC domain of an instance may be linked to no VPC, and its public one out of reach.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_registry_does_not_reject() {
    let lab = Lab::start_with(|options| options.arg("--verify-credentials=enforce")).await;
    lab.create_namespace("unreachable").await;
    let mut spec = spec(&["unreachable"]);
    spec["registries"] = json!([{ "instanceId": "cri-demo0001", "domains": ["127.0.0.1:1", "registry.invalid", "*.example.com"] }]);
    lab.bind("unreachable", spec).await;
    lab.until_ready_is("unreachable", "True", "Succeeded").await;
    lab.until_served("unreachable", "127.0.0.1:1").await;
}
