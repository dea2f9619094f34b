//! The bench's watch: reads only what it needs, on a connection and a task of its own.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use futures::TryStreamExt;
use hyper::Request;
use kube::{Client, api::WatchEvent};
use serde::Deserialize;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinHandle,
};

use super::SECRET;

/// An observed state of an object, with its time.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    /// The object's namespace.
    pub(crate) namespace: String,
    /// The object's name.
    pub(crate) name: String,
    /// The object's generation.
    pub(super) generation: i64,
    /// The object's resource version.
    pub(super) version: String,
    /// Whether the object exists.
    pub(crate) exists: bool,
    /// Whether it is a ServiceAccount with our entry.
    pub(crate) bound: bool,
    /// Whether it is a binding that is ready as it is now.
    pub(super) ready: bool,
    /// When the event was read.
    pub(crate) at: Instant,
}

/// A watch on one resource in all namespaces, from the moment of its opening.
pub(crate) struct Watch {
    /// The resource's API path.
    path: &'static str,
    sightings: UnboundedReceiver<anyhow::Result<Observation>>,
    task: JoinHandle<()>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Slim {
    metadata: Metadata,
    #[serde(default)]
    image_pull_secrets: Vec<Named>,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Clone)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    generation: i64,
    resource_version: String,
}

#[derive(Deserialize, Clone)]
struct Named {
    #[serde(default)]
    name: String,
}

impl Watch {
    /// Opens a watch. `query` narrows it down with a field selector, or is empty.
    pub(crate) async fn open(client: Client, path: &'static str, query: &str) -> anyhow::Result<Watch> {
        let list = Request::get(format!("{path}?limit=1")).body(Vec::new())?;
        let version = client.request::<Slim>(list).await?.metadata.resource_version;
        // An hour is longer than any run. The API server closes a watch that cannot keep up, on a busy machine: it is
        // continued, so that no event is missed. What ends otherwise fails the run.
        let uri = format!("{path}?watch=1&timeoutSeconds=3600{query}");
        let (sender, sightings) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut version = version;
            let ended = loop {
                let request = match Request::get(format!("{uri}&resourceVersion={version}")).body(Vec::new())
                {
                    Ok(request) => request,
                    Err(error) => break anyhow!(error),
                };
                if let Err(error) = watch(client.clone(), request, &sender, &mut version).await {
                    break error;
                }
                if sender.is_closed() {
                    return;
                }
            };
            let _ = sender.send(Err(ended.context(format!("the watch on {path} ended"))));
        });
        Ok(Watch { path, sightings, task })
    }

    /// Returns the next observation.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Observation> {
        self.sightings.recv().await.with_context(|| format!("the watch on {} is over", self.path))?
    }

    /// Returns the next observation that `wanted` accepts.
    pub(super) async fn find(
        &mut self,
        wanted: impl Fn(&Observation) -> bool,
    ) -> anyhow::Result<Observation> {
        loop {
            let observation = self.next().await?;
            if wanted(&observation) {
                return Ok(observation);
            }
        }
    }

    /// Takes what was observed so far, without waiting for more.
    pub(super) fn drain(&mut self) -> anyhow::Result<Vec<Observation>> {
        std::iter::from_fn(|| self.sightings.try_recv().ok()).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(
    client: Client,
    request: Request<Vec<u8>>,
    sender: &UnboundedSender<anyhow::Result<Observation>>,
    last: &mut String,
) -> anyhow::Result<()> {
    let mut events = Box::pin(client.request_events::<Slim>(request).await?);
    while let Some(event) = events.try_next().await? {
        let at = Instant::now();
        let (object, exists) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
            WatchEvent::Deleted(object) => (object, false),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => bail!("{}", status.message),
        };
        let bound = object.image_pull_secrets.iter().any(|entry| entry.name == SECRET);
        let Metadata { namespace, name, generation, resource_version: version } = object.metadata;
        last.clone_from(&version);
        let holds = |condition: &Condition| condition.kind == "Ready" && condition.status == "True";
        let ready =
            object.status.observed_generation == generation && object.status.conditions.iter().any(holds);
        let seen = Observation { namespace, name, generation, version, exists, bound, ready, at };
        if sender.send(Ok(seen)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the time from one moment to another, or `None` if the other came first.
pub(crate) fn from_to(from: Instant, to: Instant) -> Duration {
    to.saturating_duration_since(from)
}
