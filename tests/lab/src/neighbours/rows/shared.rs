//! Faults that hit everyone: what counts is a bare client under the same fault, and the time to recover.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use acr_lab::cloud::{Fault, FaultKind};
use anyhow::{Context, bail};
use futures::FutureExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    Row,
    writes::{hang, hanging_namespace, release},
};
use crate::{
    bench::{call::Call, group::create_account, group::create_namespace},
    neighbours::{
        report::Found,
        stage::Stage,
        victim::{self, Victim},
    },
};

pub(super) const ROWS: [Row; 3] = [
    Row::new("full-etcd", "etcd is full", |stage| full_etcd(stage).boxed_local()),
    Row::new(
        "in-flight-limit",
        "the API server is at its limit of requests in flight, and answers 429",
        |stage| in_flight(stage).boxed_local(),
    )
    .arranged(|setup| {
        setup.plane.extra_api_server_args.push(format!("--max-mutating-requests-inflight={IN_FLIGHT}"));
    }),
    Row::new("throttled-account", "the cloud throttles the account", |stage| throttled(stage).boxed_local()),
];

/// The API server's limit of writes in flight.
const IN_FLIGHT: usize = 64;

/// How long the cloud throttles.
const THROTTLED: Duration = Duration::from_secs(30);

/// The longest wait for a fault to have its effect.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sets or clears the alarm that etcd raises when its quota is used up. It refuses all writes meanwhile.
async fn alarm(stage: &Stage, action: &str) -> anyhow::Result<()> {
    let (http, url) = (reqwest::Client::builder().no_proxy().build()?, stage.plane.etcd_url());
    let post = async |path: &str, body: Value| {
        let answer = http.post(format!("{url}/v3/maintenance/{path}")).json(&body).send().await?;
        anyhow::Ok(answer.error_for_status()?.json::<Value>().await?)
    };
    let member = post("status", json!({})).await?["header"]["member_id"].clone();
    let alarm = json!({ "action": action, "memberID": member, "alarm": "NOSPACE" });
    post("alarm", alarm).await.with_context(|| format!("etcd did not {action} its alarm"))?;
    Ok(())
}

async fn full_etcd(stage: &Stage) -> anyhow::Result<Found> {
    alarm(stage, "ACTIVATE").await?;
    until_refused(stage).await?;
    stage.scene.in_place();
    stage.scene.until_over().await;
    alarm(stage, "DEACTIVATE").await?;
    let recovery = Victim::recovery(stage, Instant::now()).await?;
    Ok(Found { recovery: Some(recovery), ..Found::default() })
}

/// Waits until a bare write is refused.
async fn until_refused(stage: &Stage) -> anyhow::Result<()> {
    let started = Instant::now();
    for number in 0.. {
        let call = create_account("default", &format!("probe-{number}"));
        let answer = tokio::time::timeout(PATIENCE, call.send(&stage.tenant(number))).await;
        if matches!(answer, Ok(Err(_))) {
            break;
        }
        if started.elapsed() > PATIENCE {
            bail!("no write was refused within {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn in_flight(stage: &Stage) -> anyhow::Result<Found> {
    hanging_namespace("busy").send(&stage.client()).await?;
    create_namespace("other").send(&stage.client()).await?;
    let (_hook, asked) = hang(stage, "CREATE", "configmaps").await?;
    let mut holding = JoinSet::new();
    for worker in 0..IN_FLIGHT + 16 {
        let client = stage.tenant(worker);
        holding.spawn(async move {
            for number in 0.. {
                let object = json!({ "metadata": { "name": format!("held-{worker}-{number}") } });
                let call = Call::create("/api/v1/namespaces/busy/configmaps", &object);
                // It ends by the webhook's time limit, or is refused at once.
                let _ = call.send(&client).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    let started = Instant::now();
    while asked.load(Ordering::SeqCst) < IN_FLIGHT - 8 {
        if started.elapsed() > PATIENCE {
            bail!("only {} writes are held", asked.load(Ordering::SeqCst));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until_refused(stage).await?;
    stage.scene.in_place();
    stage.scene.until_over().await;
    holding.abort_all();
    while holding.join_next().await.is_some() {}
    release(stage).await?;
    let recovery = Victim::recovery(stage, Instant::now()).await?;
    Ok(Found { recovery: Some(recovery), ..Found::default() })
}

async fn throttled(stage: &Stage) -> anyhow::Result<Found> {
    let throttle = FaultKind::Throttle { retry_after_ms: None };
    let fault = Fault { action: "*".to_owned(), instance: None, kind: throttle, times: None };
    let id = stage.cloud.fault(fault);
    let version = async || {
        let secret = stage.secret(&victim::namespace(0)).await?.unwrap_or_default();
        anyhow::Ok(secret["metadata"]["resourceVersion"].clone())
    };
    let before = version().await?;
    let calls = stage.cloud.calls().len();
    stage.scene.in_place();
    stage.scene.at_least(THROTTLED).await;
    let asked = stage.cloud.calls().len() - calls;
    stage.cloud.clear_fault(id);
    let end = Instant::now();
    let bare = async {
        while stage.cloud.bare_call().await? != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(end.elapsed())
    };
    let bare = bare.await?;
    while version().await? == before && end.elapsed() < victim::NEVER {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let recovered = end.elapsed();
    stage.scene.until_over().await;
    let note = format!("{asked} calls in {} s of throttling", THROTTLED.as_secs());
    let found = Found { recovery: Some((bare, recovered)), ..Found::note(note) };
    let never = format!("no fresh token within {} s of the end", victim::NEVER.as_secs());
    Ok(found.unless(recovered < victim::NEVER, never))
}
