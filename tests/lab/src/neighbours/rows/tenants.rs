//! What any tenant can do with the rights of a namespace's administrator.

use std::time::{Duration, Instant};

use acr_lab::plane::Mark;
use futures::{FutureExt, future::try_join_all};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::{Row, names};
use crate::{
    bench::{CONTROLLER, NAMESPACE, SECRET, call::Call, group::create_namespace, scout, spans::seconds},
    neighbours::{
        report::Found,
        stage::{Setup, Stage, add_instances, binding, registries},
    },
};

pub(super) const ROWS: [Row; 6] = [
    Row::new("immutable", "a tenant sets `immutable: true` on our Secret", |stage| {
        immutable(stage).boxed_local()
    })
    .arranged(one_instance),
    Row::new("flips", "a tenant empties `imagePullSecrets` 50 times a second", |stage| {
        flips(stage).boxed_local()
    })
    .arranged(one_instance),
    Row::new("peer", "another controller rewrites the list as often as we do", |stage| {
        peer(stage).boxed_local()
    })
    .arranged(one_instance),
    Row::new("flapping-labels", "labels of namespaces and accounts that change 50 times a second", |stage| {
        flapping(stage).boxed_local()
    })
    .arranged(one_instance),
    Row::new("churn", "namespaces that are deleted and made a hundred times", |stage| {
        churn(stage).boxed_local()
    })
    .arranged(one_instance),
    Row::new("terminating", "a namespace that never ends terminating", |stage| {
        terminating(stage).boxed_local()
    })
    .arranged(one_instance),
];

/// The time between two of 50 changes a second.
const BEAT: Duration = Duration::from_millis(20);

/// Long enough for retries to show.
const RETRIES: Duration = Duration::from_secs(30);

/// The longest wait for a step of a neighbour. One that is not served in time goes on.
const PATIENCE: Duration = Duration::from_secs(30);

fn one_instance(setup: &mut Setup) {
    add_instances(&mut setup.world, "1", 1);
}

/// Creates a namespace with a binding of its own, and waits until it is served.
async fn served(stage: &Stage, name: &str) -> anyhow::Result<()> {
    stage.create_namespaces(&[name.to_owned()]).await?;
    stage.bind(name, registries([0]), &[name]).await?;
    stage.until_ready(name, "True").await?;
    Ok(())
}

/// Counts the controller's writes of tenants' objects in namespaces with a prefix.
fn writes(stage: &Stage, since: Mark, prefix: &str) -> anyhow::Result<usize> {
    let events = stage.plane.audit().since(since)?.by_service_account(NAMESPACE, CONTROLLER).writes();
    Ok(events.iter().filter(|event| event.namespace.starts_with(prefix)).count())
}

fn account(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/serviceaccounts/default")
}

async fn immutable(stage: &Stage) -> anyhow::Result<Found> {
    served(stage, "sealed").await?;
    let path = format!("/api/v1/namespaces/sealed/secrets/{SECRET}");
    Call::merge(&path, &json!({ "immutable": true })).send(&stage.tenant(0)).await?;
    let before = stage.secret("sealed").await?.unwrap_or_default();
    stage.scene.in_place();
    scout::refresh("sealed", &now()).send(&stage.client()).await?;
    let asked = Instant::now();
    let mut fresh = None;
    while fresh.is_none() && asked.elapsed() < PATIENCE {
        let secret = stage.secret("sealed").await?.unwrap_or_default();
        if !secret["data"].is_null() && secret["data"] != before["data"] {
            fresh = Some(asked.elapsed());
        }
        tokio::time::sleep(BEAT).await;
    }
    stage.scene.until_over().await;
    let patience = PATIENCE.as_secs();
    let note = fresh.map(|after| format!("its own Secret had a fresh token after {}", seconds(after)));
    let found = Found::note(note.unwrap_or_default());
    Ok(found.unless(fresh.is_some(), format!("its own Secret had no fresh token within {patience} s")))
}

/// Does something 50 times a second until the observation has ended.
async fn often(
    stage: &Stage,
    mut act: impl AsyncFnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0;
    while !stage.scene.is_over() {
        beat.tick().await;
        act(count).await?;
        count += 1;
    }
    Ok(count)
}

async fn flips(stage: &Stage) -> anyhow::Result<Found> {
    served(stage, "flips").await?;
    let mark = stage.plane.audit().mark()?;
    stage.scene.in_place();
    let count = often(stage, async |number| {
        let patch = json!({ "imagePullSecrets": [{ "name": format!("theirs-{number}") }] });
        Call::merge(&account("flips"), &patch).send(&stage.tenant(1)).await.map(drop)
    });
    let count = count.await?;
    Ok(Found::note(format!("{count} flips were answered by {} writes", writes(stage, mark, "flips")?)))
}

async fn peer(stage: &Stage) -> anyhow::Result<Found> {
    served(stage, "peer").await?;
    let mark = stage.plane.audit().mark()?;
    stage.scene.in_place();
    let mut rewritten = 0;
    let each = often(stage, async |_| {
        let object = stage.get(&account("peer")).await?.unwrap_or_default();
        let entries = object["imagePullSecrets"].as_array().cloned().unwrap_or_default();
        if entries.iter().any(|entry: &Value| entry["name"] == SECRET) {
            let patch = json!({ "imagePullSecrets": [{ "name": "theirs" }] });
            Call::merge(&account("peer"), &patch).send(&stage.tenant(1)).await?;
            rewritten += 1;
        }
        Ok(())
    });
    each.await?;
    Ok(Found::note(format!("it rewrote {rewritten} times, we wrote {} times", writes(stage, mark, "peer")?)))
}

async fn flapping(stage: &Stage) -> anyhow::Result<Found> {
    let names = names("flapping", 5);
    stage.create_namespaces(&names).await?;
    let selected = json!({ "selector": { "matchLabels": { "flapping": "on" } } });
    binding("flapping", registries([0]), selected).send(&stage.client()).await?;
    let mark = stage.plane.audit().mark()?;
    stage.scene.in_place();
    let count = often(stage, async |number| {
        let name = &names[number % names.len()];
        let on = if (number / names.len()).is_multiple_of(2) { "on" } else { "off" };
        let label = json!({ "metadata": { "labels": { "flapping": on } } });
        Call::merge(&format!("/api/v1/namespaces/{name}"), &label).send(&stage.tenant(1)).await?;
        // A label that no binding selects.
        let label = json!({ "metadata": { "labels": { "example.com/build": number.to_string() } } });
        Call::merge(&account(name), &label).send(&stage.tenant(2)).await.map(drop)
    });
    let count = count.await?;
    Ok(Found::note(format!(
        "{count} changes of each were answered by {} writes",
        writes(stage, mark, "flapping")?
    )))
}

async fn churn(stage: &Stage) -> anyhow::Result<Found> {
    stage.bind("churn", registries([0]), &["churn-*"]).await?;
    let busy = stage.scene.busy();
    stage.scene.in_place();
    let started = Instant::now();
    let names = names("churn", 10);
    let served = try_join_all(names.iter().map(|name| again_and_again(stage, name))).await?;
    drop(busy);
    let took = started.elapsed();
    stage.scene.until_over().await;
    let served: usize = served.into_iter().sum();
    let found =
        Found::note(format!("100 namespaces within {}, of which {served} were served", seconds(took)));
    Ok(found.unless(served == 100, format!("only {served} of 100 namespaces were served")))
}

/// Makes and deletes one namespace ten times. Returns how often it was served.
async fn again_and_again(stage: &Stage, name: &str) -> anyhow::Result<usize> {
    let path = format!("/api/v1/namespaces/{name}");
    let mut served = 0;
    for _ in 0..10 {
        create_namespace(name).send(&stage.tenant(1)).await?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if stage.secret(name).await?.is_some() {
                served += 1;
                break;
            }
            tokio::time::sleep(BEAT).await;
        }
        Call::delete(path.clone()).send(&stage.tenant(1)).await?;
        while stage.get(&path).await?.is_some() {
            tokio::time::sleep(BEAT).await;
        }
    }
    Ok(served)
}

async fn terminating(stage: &Stage) -> anyhow::Result<Found> {
    served(stage, "ending").await?;
    let kept = json!({ "metadata": { "name": "kept", "finalizers": ["example.com/kept"] } });
    Call::create("/api/v1/namespaces/ending/configmaps", &kept).send(&stage.client()).await?;
    Call::delete("/api/v1/namespaces/ending".to_owned()).send(&stage.tenant(1)).await?;
    let path = "/api/v1/namespaces/ending";
    stage.until("it terminates", path, |object| object["status"]["phase"] == "Terminating").await?;
    let mark = stage.plane.audit().mark()?;
    stage.scene.in_place();
    stage.scene.at_least(RETRIES).await;
    let written = writes(stage, mark, "ending")?;
    stage.scene.until_over().await;
    let free = json!({ "metadata": { "finalizers": null } });
    Call::merge("/api/v1/namespaces/ending/configmaps/kept", &free).send(&stage.client()).await?;
    Ok(Found::note(format!("{written} writes in it in {} s", RETRIES.as_secs())))
}

#[allow(clippy::disallowed_methods, reason = "the refresh annotation's value is a time")]
fn now() -> String {
    Timestamp::now().to_string()
}
