//! Registries that hang or fail.

use std::time::{Duration, Instant};

use acr_lab::cloud::{Fault, FaultKind};
use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::Row;
use crate::{
    bench::{
        CONTROLLER, NAMESPACE,
        scout::{self, BINDINGS},
        spans::{Spans, seconds},
    },
    neighbours::{
        report::Found,
        stage::{Stage, add_instances, instance_id, registries},
    },
};

pub(super) const ROWS: [Row; 2] = [
    Row::new(
        "hanging-registries",
        "a binding on one namespace with 63 registries whose host hangs",
        |stage| hanging(stage).boxed_local(),
    )
    .arranged(|setup| add_instances(&mut setup.world, "1", REGISTRIES)),
    Row::new("failing-siblings", "a registry whose 63 siblings in its binding fail", |stage| {
        siblings(stage).boxed_local()
    })
    .arranged(|setup| add_instances(&mut setup.world, "1", REGISTRIES)),
];

/// Registries of a binding; the first is healthy.
const REGISTRIES: usize = 64;

/// Long enough for a minute's counts.
const MINUTE: Duration = Duration::from_secs(60);

/// Writes of the status and of the cache in a minute that say something new.
const MOST_WRITES: usize = 4;

/// The longest wait for a fresh token.
const PATIENCE: Duration = Duration::from_secs(60);

fn break_all_but_the_first(stage: &Stage, kind: &FaultKind) {
    for number in 1..REGISTRIES {
        stage.cloud.fault(Fault {
            action: "*".to_owned(),
            instance: Some(instance_id(number)),
            kind: kind.clone(),
            times: None,
        });
    }
}

async fn hanging(stage: &Stage) -> anyhow::Result<Found> {
    break_all_but_the_first(stage, &FaultKind::Hang);
    stage.create_namespaces(&["hanging".to_owned()]).await?;
    stage.bind("hanging", registries(1..REGISTRIES), &["hanging"]).await?;
    // The first wave of calls is given up meanwhile.
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.scene.in_place();
    let mark = stage.plane.audit().mark()?;
    stage.scene.at_least(MINUTE).await;
    let events = stage.plane.audit().since(mark)?.by_service_account(NAMESPACE, CONTROLLER).writes();
    let status = events.of("acrcredentialbindings/status").filter(|event| event.name == "hanging").len();
    let cache = events.of("secrets").filter(|event| event.namespace == NAMESPACE).len();
    stage.scene.until_over().await;
    stage.cloud.clear_faults();
    let note = format!("in a minute, {status} writes of its status and {cache} of the token cache");
    Ok(Found::note(note.clone()).unless(status + cache <= MOST_WRITES, note))
}

async fn siblings(stage: &Stage) -> anyhow::Result<Found> {
    stage.create_namespaces(&["siblings".to_owned()]).await?;
    stage.bind("siblings", registries(0..REGISTRIES), &["siblings"]).await?;
    stage.until_ready("siblings", "True").await?;
    let denied = FaultKind::Status {
        status: 500,
        code: "InternalError".to_owned(),
        message: "a fault of the lab".to_owned(),
    };
    break_all_but_the_first(stage, &denied);
    stage.scene.in_place();
    let (mut spans, mut late) = (Spans::default(), 0);
    while !stage.scene.is_over() {
        match fresh(stage).await? {
            Some(span) => spans.push(span),
            None => late += 1,
        }
    }
    stage.cloud.clear_faults();
    let slowest = spans.percentile(100);
    let note =
        format!("the healthy one was fresh {} times, the slowest after {}", spans.len(), seconds(slowest));
    let patience = PATIENCE.as_secs();
    Ok(Found::note(note)
        .unless(late == 0, format!("the healthy one was {late} times not fresh within {patience} s")))
}

/// Asks for fresh tokens, and measures until the healthy registry has one.
async fn fresh(stage: &Stage) -> anyhow::Result<Option<Duration>> {
    let before = first_token(stage).await?;
    let asked = Instant::now();
    scout::refresh("siblings", &now()).send(&stage.client()).await?;
    while asked.elapsed() < PATIENCE {
        if first_token(stage).await? != before {
            let took = asked.elapsed();
            // Two requests in the same second are one.
            tokio::time::sleep(Duration::from_secs(2)).await;
            return Ok(Some(took));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}

/// Returns the expiry of the healthy registry's token as the binding reports it.
async fn first_token(stage: &Stage) -> anyhow::Result<Value> {
    let binding = stage.get(&format!("{BINDINGS}/siblings")).await?.unwrap_or_default();
    let entries = binding["status"]["registries"].as_array().cloned().unwrap_or_default();
    let first = entries.into_iter().find(|entry| entry["registry"] == instance_id(0).as_str());
    Ok(first.map(|entry| entry["refreshedAt"].clone()).unwrap_or_default())
}

#[allow(clippy::disallowed_methods, reason = "the refresh annotation's value is a time")]
fn now() -> String {
    Timestamp::now().to_string()
}
