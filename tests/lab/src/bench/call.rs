//! Bare requests, prepared in advance and sent 16 at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use hyper::{Method, Request, header::CONTENT_TYPE};
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;

use super::transport::Transport;

/// Number of requests in flight at once.
const AT_A_TIME: usize = 16;

/// A request, ready to be sent.
pub(crate) struct Call {
    method: Method,
    path: String,
    content_type: &'static str,
    body: Vec<u8>,
}

/// The parts of a response that are read.
#[derive(Deserialize, Clone)]
pub(super) struct Answer {
    metadata: Metadata,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    resource_version: String,
}

impl Call {
    /// Returns a create request: a POST to a collection.
    pub(crate) fn create(path: impl Into<String>, body: &Value) -> Call {
        Call::new(Method::POST, path.into(), "application/json", body)
    }

    /// Returns a server-side apply request without force.
    pub(crate) fn apply(path: &str, body: &Value) -> Call {
        Call::new(Method::PATCH, format!("{path}?fieldManager=bench"), "application/apply-patch+yaml", body)
    }

    /// Returns a merge patch request.
    pub(crate) fn merge(path: &str, body: &Value) -> Call {
        let path = format!("{path}?fieldManager=bench");
        Call::new(Method::PATCH, path, "application/merge-patch+json", body)
    }

    /// Returns a delete request.
    pub(crate) fn delete(path: String) -> Call {
        Call { method: Method::DELETE, path, content_type: "application/json", body: Vec::new() }
    }

    fn new(method: Method, path: String, content_type: &'static str, body: &Value) -> Call {
        Call { method, path, content_type, body: body.to_string().into_bytes() }
    }

    /// Sends the request, and returns the object's new resource version.
    pub(crate) async fn send(&self, client: &Client) -> anyhow::Result<String> {
        let request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(CONTENT_TYPE, self.content_type)
            .body(self.body.clone())?;
        let answer: Answer =
            client.request(request).await.with_context(|| format!("{} {} failed", self.method, self.path))?;
        Ok(answer.metadata.resource_version)
    }
}

/// Sends all requests, 16 at a time. Returns the duration and each object's new resource version.
pub(crate) async fn send_all(
    transport: &Transport,
    calls: Vec<Call>,
) -> anyhow::Result<(Duration, Vec<String>)> {
    let count = calls.len();
    let (calls, next) = (Arc::new(calls), Arc::new(AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    let started = Instant::now();
    for worker in 0..AT_A_TIME {
        let (calls, next, client) = (Arc::clone(&calls), Arc::clone(&next), transport.client(worker));
        workers.spawn(async move {
            let mut versions = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(call) = calls.get(index) else { return anyhow::Ok(versions) };
                versions.push((index, call.send(&client).await?));
            }
        });
    }
    let mut done = Vec::with_capacity(workers.len());
    while let Some(worker) = workers.join_next().await {
        done.push(worker??);
    }
    let took = started.elapsed();
    let mut versions = vec![String::new(); count];
    for (index, version) in done.into_iter().flatten() {
        versions[index] = version;
    }
    Ok((took, versions))
}
