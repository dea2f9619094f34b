//! Many objects, and large ones.

use std::time::{Duration, Instant};

use futures::FutureExt;
use serde_json::{Map, Value, json};

use super::Row;
use crate::{
    bench::{
        CONTROLLER, NAMESPACE,
        call::Call,
        group::{create_account, create_namespace},
        scout::BINDINGS,
        spans::seconds,
    },
    neighbours::{
        report::Found,
        stage::{Stage, add_instances, instance_id, registries},
    },
};

pub(super) const ROWS: [Row; 3] = [
    Row::new("key-pairs", "128 Secrets with key pairs, until their watches are renewed", |stage| {
        key_pairs(stage).boxed_local()
    })
    .arranged(|setup| add_instances(&mut setup.world, "2", KEYS)),
    Row::new(
        "large-labels",
        "120 accounts with 635 KB of labels in a namespace without a binding; the controller restarts in all phases",
        |stage| large_labels(stage).boxed_local(),
    )
    .restarting(),
    Row::new("crowd", "10,000 accounts created in one namespace", |stage| crowd(stage).boxed_local())
        .arranged(|setup| add_instances(&mut setup.world, "1", 1)),
];

/// Secrets with key pairs.
const KEYS: usize = 128;

/// Registries of one binding at most.
const REGISTRIES: usize = 64;

/// Longer than any watch.
const RENEWAL: Duration = Duration::from_secs(150);

/// Accounts with large labels, and the size of each one's labels.
const LABELLED: usize = 120;
const LABELS_BYTES: usize = 635_000;

/// Accounts of the crowd.
const CROWD: usize = 10_000;

/// The longest wait for the end of a neighbour's own work.
const PATIENCE: Duration = Duration::from_secs(400);

async fn key_pairs(stage: &Stage) -> anyhow::Result<Found> {
    let name = |number: usize| format!("key-{number}");
    let names: Vec<String> = (0..KEYS).map(name).collect();
    let rights = json!({ "apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": { "name": "more-keys", "namespace": NAMESPACE },
            "rules": [{
                "apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get", "list", "watch"],
            }],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": "more-keys", "namespace": NAMESPACE },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "more-keys" },
            "subjects": [{ "kind": "ServiceAccount", "name": CONTROLLER, "namespace": NAMESPACE }],
        },
    ] });
    stage.plane.apply(&rights.to_string()).await?;
    let key =
        stage.cloud.world(|world| world.user_mut("2", "partner-puller").map(|user| user.keys[0].clone()));
    let key = key.ok_or_else(|| anyhow::anyhow!("the cloud has no user with a key"))?;
    let secret = |name: &String| {
        let data = json!({ "accessKeyId": key.id, "accessKeySecret": key.secret });
        let object = json!({ "metadata": { "name": name }, "stringData": data });
        Call::create(format!("/api/v1/namespaces/{NAMESPACE}/secrets"), &object)
    };
    stage.send(names.iter().map(secret).collect()).await?;
    let bindings = KEYS / REGISTRIES;
    let namespaces: Vec<String> = (0..bindings).map(|number| format!("keys-{number}")).collect();
    stage.create_namespaces(&namespaces).await?;
    for (number, namespace) in namespaces.iter().enumerate() {
        let entries = (0..REGISTRIES).map(|entry| number * REGISTRIES + entry);
        let entries = entries.map(|entry| {
            json!({ "instanceId": instance_id(entry), "accessKeySecretRef": { "name": name(entry) } })
        });
        stage.bind(namespace, entries.collect(), &[namespace]).await?;
    }
    let mut ready = 0;
    for namespace in &namespaces {
        ready += usize::from(stage.until_ready(namespace, "True").await.is_ok());
    }
    stage.scene.in_place();
    stage.scene.at_least(RENEWAL).await;
    stage.scene.until_over().await;
    for namespace in &namespaces {
        Call::delete(format!("{BINDINGS}/{namespace}")).send(&stage.client()).await?;
    }
    let found =
        Found::note(format!("{ready} of {bindings} bindings with {REGISTRIES} key pairs each were ready"));
    Ok(found.unless(ready == bindings, "the bindings with the key pairs were not ready"))
}

/// Returns labels of about this size, with long keys and values.
fn labels(bytes: usize) -> Value {
    let (part, value) = ("x".repeat(62), "v".repeat(63));
    let mut labels = Map::new();
    let mut size = 0;
    while size < bytes {
        let key = format!("{part}.{part}.{part}/{:063}", labels.len());
        size += key.len() + value.len();
        labels.insert(key, value.clone().into());
    }
    labels.into()
}

async fn large_labels(stage: &Stage) -> anyhow::Result<Found> {
    create_namespace("labels").send(&stage.client()).await?;
    let labels = labels(LABELS_BYTES);
    stage.scene.in_place();
    let busy = stage.scene.busy();
    // In parts, so that the requests are not all in memory at once.
    for part in 0..LABELLED / 20 {
        let account = |number: usize| {
            let name = format!("large-{part}-{number}");
            let object = json!({ "metadata": { "name": name, "labels": labels } });
            Call::create("/api/v1/namespaces/labels/serviceaccounts", &object)
        };
        stage.send((0..20).map(account).collect()).await?;
    }
    let before = stage.keeper.peak_rss_kib() / 1024;
    stage.keeper.restart().await?;
    let ready = stage.keeper.until_ready(Duration::from_secs(120)).await;
    drop(busy);
    stage.scene.until_over().await;
    let all = Call::delete("/api/v1/namespaces/labels".to_owned());
    all.send(&stage.client()).await?;
    let state =
        if ready { "it was ready again after the restart" } else { "it was not ready again after 120 s" };
    Ok(Found::note(format!("peak before the restart: {before} MiB; {state}")))
}

async fn crowd(stage: &Stage) -> anyhow::Result<Found> {
    stage.create_namespaces(&["crowd".to_owned()]).await?;
    stage.bind("crowd", registries([0]), &["crowd"]).await?;
    let mark = stage.plane.audit().mark()?;
    let busy = stage.scene.busy();
    stage.scene.in_place();
    let started = Instant::now();
    stage
        .send((0..CROWD).map(|number| create_account("crowd", &format!("app-{number:05}"))).collect())
        .await?;
    let created = started.elapsed();
    let (mut bound, mut mark) = (0, mark);
    while bound < CROWD && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (events, next) = stage.plane.audit().read(mark)?;
        mark = next;
        let ours = events.by_service_account(NAMESPACE, CONTROLLER).of("serviceaccounts");
        bound += ours.iter().filter(|event| event.namespace == "crowd" && event.code < 300).count();
    }
    let served = started.elapsed();
    drop(busy);
    stage.scene.until_over().await;
    let found =
        Found::note(format!("created within {}, served within {}", seconds(created), seconds(served)));
    Ok(found.unless(bound >= CROWD, format!("{bound} of {CROWD} had their entry")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn labels_have_their_size() {
        let text = super::labels(635_000).to_string();
        assert!((635_000..700_000).contains(&text.len()), "{}", text.len());
    }
}
