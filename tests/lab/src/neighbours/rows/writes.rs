//! Writes that hang, and writes that are refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use acr_lab::hook::{AdmissionHook, Verdict};
use anyhow::bail;
use futures::FutureExt;
use serde_json::{Value, json};

use super::{Row, names};
use crate::{
    bench::{
        call::Call,
        group::{create_account, create_namespace},
    },
    neighbours::{
        report::Found,
        stage::{Stage, add_instances, registries},
        victim,
    },
};

pub(super) const ROWS: [Row; 3] = [
    Row::new("hung-2x81", "2 namespaces × 81 accounts whose writes hang", |stage| hung(stage, 2, 81).boxed_local())
        .arranged(|setup| add_instances(&mut setup.world, "1", 1)),
    Row::new("hung-60x2", "60 namespaces × 2 accounts whose writes hang", |stage| hung(stage, 60, 2).boxed_local())
        .arranged(|setup| add_instances(&mut setup.world, "1", 1)),
    Row::new(
        "refused-account",
        "one account that a policy always refuses, in each namespace of the victim; others annotate all accounts",
        |stage| refused(stage).boxed_local(),
    )
    .arranged(|setup| setup.annotated = true),
];

/// Long enough for some waves of retries: a write is given up after 10 s.
const RETRIES: Duration = Duration::from_secs(45);

/// The label of the namespaces whose writes hang.
const HANGS: &str = "hangs";

/// The paths of the API server's own extension points.
pub(super) const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const POLICY_BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

/// Starts a webhook that never answers, for one kind of request in labelled namespaces. Returns it with the
/// number of its requests.
pub(super) async fn hang(
    stage: &Stage,
    operation: &str,
    resource: &str,
) -> anyhow::Result<(AdmissionHook, Arc<AtomicUsize>)> {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let hook = AdmissionHook::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Verdict::NoAnswer
    })
    .await?;
    let configuration = json!({
        "metadata": { "name": HANGS },
        "webhooks": [{
            "name": "hangs.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 30,
            "failurePolicy": "Fail",
            "clientConfig": hook.client_config(),
            "namespaceSelector": { "matchLabels": { HANGS: "true" } },
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": [resource],
            }],
        }],
    });
    Call::create(WEBHOOKS, &configuration).send(&stage.client()).await?;
    Ok((hook, asked))
}

/// Returns a request for a namespace whose writes hang.
pub(super) fn hanging_namespace(name: &str) -> Call {
    Call::create("/api/v1/namespaces", &json!({ "metadata": { "name": name, "labels": { HANGS: "true" } } }))
}

/// Ends the webhook that never answers.
pub(super) async fn release(stage: &Stage) -> anyhow::Result<()> {
    Call::delete(format!("{WEBHOOKS}/{HANGS}")).send(&stage.client()).await?;
    Ok(())
}

async fn hung(stage: &Stage, namespaces: usize, accounts: usize) -> anyhow::Result<Found> {
    let names = names("hung", namespaces);
    stage.send(names.iter().map(|name| hanging_namespace(name)).collect()).await?;
    let accounts = names.iter().flat_map(|namespace| {
        (1..accounts).map(move |number| create_account(namespace, &format!("app-{number}")))
    });
    let accounts: Vec<Call> = accounts.collect();
    let all = accounts.len() + namespaces;
    stage.send(accounts).await?;
    let (_hook, asked) = hang(stage, "UPDATE", "serviceaccounts").await?;
    until_in_force(stage, &format!("{}/serviceaccounts/default", names[0]), &asked).await?;
    asked.store(0, Ordering::SeqCst);
    stage.bind("hung", registries([0]), &["hung-*"]).await?;
    // Those that are asked about at once are limited by the controller, and that is the point.
    while asked.load(Ordering::SeqCst) < all.min(16) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.scene.in_place();
    stage.scene.at_least(RETRIES).await;
    stage.scene.until_over().await;
    let note = format!("{} writes hung", asked.load(Ordering::SeqCst));
    release(stage).await?;
    Ok(Found::note(note))
}

/// Waits until a write of an account hangs: the API server observes a new webhook a moment later.
async fn until_in_force(stage: &Stage, account: &str, asked: &AtomicUsize) -> anyhow::Result<()> {
    let path = format!("/api/v1/namespaces/{account}");
    for number in 0..100 {
        let patch = json!({ "metadata": { "annotations": { "example.com/number": number.to_string() } } });
        let call = Call::merge(&path, &patch);
        // The first that hangs has no answer, and is given up.
        let _ = tokio::time::timeout(Duration::from_millis(300), call.send(&stage.client())).await;
        if asked.load(Ordering::SeqCst) > 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the API server never called the webhook")
}

async fn refused(stage: &Stage) -> anyhow::Result<Found> {
    let policy = json!({
        "metadata": { "name": "refuses" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["serviceaccounts"],
            }] },
            "validations": [{
                "expression": "object.metadata.name != 'refused' || !has(object.imagePullSecrets)",
                "message": "this account has no pull secrets",
            }],
        },
    });
    let binding = json!({
        "metadata": { "name": "refuses" },
        "spec": { "policyName": "refuses", "validationActions": ["Deny"] },
    });
    let client = stage.client();
    Call::create(POLICIES, &policy).send(&client).await?;
    Call::create(POLICY_BINDINGS, &binding).send(&client).await?;
    create_namespace("refusing").send(&client).await?;
    create_account("refusing", "refused").send(&client).await?;
    for number in 0.. {
        let patch: Value = json!({ "imagePullSecrets": [{ "name": format!("number-{number}") }] });
        let call = Call::merge("/api/v1/namespaces/refusing/serviceaccounts/refused", &patch);
        match call.send(&client).await {
            Err(_) => break,
            Ok(_) if number == 200 => bail!("the policy was never enforced"),
            Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    let accounts =
        (0..victim::NAMESPACES).map(|number| create_account(&victim::namespace(number), "refused"));
    stage.send(accounts.collect()).await?;
    stage.scene.in_place();
    stage.scene.until_over().await;
    Call::delete(format!("{POLICY_BINDINGS}/refuses")).send(&client).await?;
    Call::delete(format!("{POLICIES}/refuses")).send(&client).await?;
    Ok(Found::default())
}
