//! What the proxy does to single requests, and the answers that it makes up.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use tokio::sync::{oneshot, watch};

use super::{Reply, Write};
use crate::plane::request::{Request, Target};

/// Seconds that an answer of 429 asks a client to wait, unless the fault says otherwise.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request never reaches the API server, and is answered with this status.
    Answer(u16),
    /// The same, and the answer asks to wait for these seconds.
    RetryAfter(u16, u32),
    /// The request is executed, but the connection closes instead of the answer.
    DropReply,
    /// The request is executed, but answered with this status, as behind a gateway that gave up.
    AnswerLate(u16),
    /// The request reaches the API server after this time.
    Delay(Duration),
    /// A watch begins and ends with the event that its version is too old: 410 Gone.
    Expired,
    /// A list is answered as it was when [`keep_lists`](super::FaultProxy::keep_lists) was called, or at its
    /// first request after that.
    OldList,
}

/// Resolves when the armed write was answered.
pub struct Fired(pub(super) oneshot::Receiver<Write>);

impl Fired {
    /// Waits for the write. Needs a deadline: the write may never come.
    pub async fn wait(self) -> anyhow::Result<Write> {
        use anyhow::Context;
        self.0.await.context("the proxy is gone, or was disarmed")
    }

    /// Returns the write, if it was answered by now.
    pub fn now(&mut self) -> Option<Write> {
        self.0.try_recv().ok()
    }
}

/// Requests that are held until this is dropped, and then go on to the API server.
pub struct Held {
    pub(super) _release: watch::Sender<()>,
    pub(super) waiting: watch::Receiver<usize>,
}

impl Held {
    /// Returns how many requests were caught.
    pub fn caught(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Waits until this many requests are held.
    pub async fn until_caught(&mut self, count: usize) -> anyhow::Result<()> {
        use anyhow::Context;
        self.waiting.wait_for(|caught| *caught >= count).await.context("the proxy is gone")?;
        Ok(())
    }
}

/// A hold on requests, for as long as its guard exists.
#[derive(Clone)]
pub(super) struct Hold {
    pub(super) target: Target,
    pub(super) released: watch::Receiver<()>,
    pub(super) waiting: watch::Sender<usize>,
}

impl Hold {
    pub(super) fn catches(&self, asked: &Request) -> bool {
        self.released.has_changed().is_ok() && self.target.matches(asked)
    }
}

/// Watches that deliver nothing, though they stay open, until this is dropped.
pub struct Frozen {
    pub(super) id: u64,
    pub(super) all: watch::Sender<Vec<(u64, Target)>>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.all.send_modify(|all| all.retain(|(id, _)| *id != self.id));
    }
}

/// Returns an answer that is complete already.
pub(super) fn full(parts: hyper::http::response::Parts, body: Bytes) -> Reply {
    Response::from_parts(parts, Full::new(body).map_err(|never| match never {}).boxed_unsync())
}

/// Returns a refusal in the API server's own form.
pub(super) fn refusal(status: u16, retry_after: Option<u32>) -> anyhow::Result<Reply> {
    let retry_after = retry_after.or((status == 429).then_some(RETRY_AFTER_SECONDS));
    let mut body = failure(status);
    if let Some(seconds) = retry_after {
        body["details"] = serde_json::json!({ "retryAfterSeconds": seconds });
    }
    answer(StatusCode::from_u16(status)?, retry_after, body.to_string())
}

/// Returns a watch that has the one event that its version is too old.
pub(super) fn expired() -> anyhow::Result<Reply> {
    let event = serde_json::json!({ "type": "ERROR", "object": failure(410) });
    answer(StatusCode::OK, None, format!("{event}\n"))
}

/// Returns an answer of JSON.
pub(super) fn answer(
    status: StatusCode,
    retry_after: Option<u32>,
    body: impl Into<Bytes>,
) -> anyhow::Result<Reply> {
    let mut response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        response = response.header(RETRY_AFTER, seconds.to_string());
    }
    let (parts, ()) = response.body(())?.into_parts();
    Ok(full(parts, body.into()))
}

fn failure(status: u16) -> serde_json::Value {
    let reason = match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    // The API server's own words, by which a client knows it.
    let message = if status == 401 { "Unauthorized" } else { "a fault of the lab" };
    serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": status,
    })
}
