//! How the proxy answers one request.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    StatusCode, Uri,
    body::{Bytes, Frame, Incoming},
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
    http::uri::{Authority, Scheme},
};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client as HttpClient, connect::HttpConnector};
use tokio::sync::{oneshot, watch};
use tower::BoxError;

use super::{
    Callback, Reply, Write,
    fault::{self, Fault, Hold},
};
use crate::{
    plane::request::{Request, Target},
    process::lock,
};

pub(super) struct Shared {
    pub(super) upstream: HttpClient<HttpsConnector<HttpConnector>, Incoming>,
    pub(super) server: Authority,
    pub(super) state: Mutex<State>,
    /// Locked for the length of a write while one is armed, so that no other follows write n.
    pub(super) one_write: tokio::sync::Mutex<()>,
    pub(super) writes_blocked: AtomicBool,
    pub(super) cut: watch::Sender<()>,
    /// The watches that deliver nothing.
    pub(super) frozen: watch::Sender<Vec<(u64, Target)>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) writes: Vec<Write>,
    pub(super) asked: HashMap<Request, usize>,
    pub(super) armed: Option<Armed>,
    pub(super) faults: Vec<(Target, Fault, usize)>,
    pub(super) holds: Vec<Hold>,
    /// The first answer to each list; `None` where lists are not kept.
    pub(super) lists: Option<BTreeMap<String, Bytes>>,
    pub(super) freezes: u64,
}

pub(super) struct Armed {
    pub(super) target: Target,
    pub(super) number: usize,
    pub(super) callback: Callback,
    pub(super) blocks_writes: bool,
    pub(super) fired: oneshot::Sender<Write>,
}

impl Armed {
    /// Returns whether the last of these writes is the armed one, or one after it.
    fn fires(&self, writes: &[Write]) -> bool {
        let hits = |write: &&Write| self.target.matches(&write.request);
        writes.last().as_ref().is_some_and(hits) && writes.iter().filter(hits).count() >= self.number
    }
}

impl Shared {
    /// Answers a request. An error closes the connection without an answer.
    pub(super) async fn answer(self: Arc<Self>, request: hyper::Request<Incoming>) -> anyhow::Result<Reply> {
        let asked = Request::parse(request.method(), request.uri());
        let hold = {
            let mut state = lock(&self.state);
            *state.asked.entry(asked.clone()).or_default() += 1;
            state.holds.retain(|hold| hold.released.has_changed().is_ok());
            state.holds.iter().find(|hold| hold.catches(&asked)).cloned()
        };
        if let Some(mut hold) = hold {
            hold.waiting.send_modify(|count| *count += 1);
            // The other end is dropped to release.
            while hold.released.changed().await.is_ok() {}
        }
        let key = list_key(request.uri());
        let fault = self.next_fault(&asked);
        match fault {
            Some(Fault::Answer(status)) => return fault::refusal(status, None),
            Some(Fault::RetryAfter(status, seconds)) => return fault::refusal(status, Some(seconds)),
            Some(Fault::Expired) => return fault::expired(),
            Some(Fault::OldList) => {
                let old = lock(&self.state).lists.as_ref().and_then(|lists| lists.get(&key)).cloned();
                if let Some(old) = old {
                    return fault::answer(StatusCode::OK, None, old);
                }
            }
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::DropReply | Fault::AnswerLate(_)) | None => {}
        }
        let response = if asked.is_write() {
            self.write(asked, request).await?
        } else if asked.verb == "list" && lock(&self.state).lists.is_some() {
            self.keep(key, self.forward(request).await?).await?
        } else if asked.verb == "watch" {
            self.stream(asked, self.forward(request).await?)
        } else {
            self.forward(request).await?
        };
        match fault {
            Some(Fault::DropReply) => anyhow::bail!("this reply is dropped"),
            Some(Fault::AnswerLate(status)) => fault::refusal(status, None),
            _ => Ok(response),
        }
    }

    async fn write(&self, asked: Request, request: hyper::Request<Incoming>) -> anyhow::Result<Reply> {
        let armed = lock(&self.state).armed.is_some();
        let one_by_one = if armed { Some(self.one_write.lock().await) } else { None };
        anyhow::ensure!(!self.writes_blocked.load(Ordering::SeqCst), "the client counts as dead");
        let (parts, body) = self.forward(request).await?.into_parts();
        // An answered request is answered completely.
        let body = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        let fires = {
            let mut state = lock(&self.state);
            let number = state.writes.len() + 1;
            let write = Write { number, request: asked, status: parts.status.as_u16() };
            state.writes.push(write.clone());
            let State { writes, armed, .. } = &mut *state;
            let fires = armed.take_if(|armed| armed.fires(writes));
            if fires.as_ref().is_some_and(|armed| armed.blocks_writes) {
                self.writes_blocked.store(true, Ordering::SeqCst);
            }
            fires.map(|armed| (armed, write))
        };
        if let Some((armed, write)) = fires {
            // It may wait for a process to die.
            tokio::task::spawn_blocking(armed.callback).await?;
            let _ = armed.fired.send(write);
        }
        drop(one_by_one);
        Ok(fault::full(parts, body))
    }

    /// Keeps the first good answer to a list.
    async fn keep(&self, key: String, reply: Reply) -> anyhow::Result<Reply> {
        let (parts, body) = reply.into_parts();
        let body = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        if parts.status.is_success()
            && let Some(lists) = &mut lock(&self.state).lists
        {
            lists.entry(key).or_insert_with(|| body.clone());
        }
        Ok(fault::full(parts, body))
    }

    /// Delivers a watch, except while it is frozen.
    fn stream(&self, asked: Request, reply: Reply) -> Reply {
        let frozen = self.frozen.subscribe();
        reply.map(|body| {
            let frames = stream::unfold((body, frozen, asked), |(mut body, mut frozen, asked)| async move {
                let frame: Result<Frame<Bytes>, BoxError> = body.frame().await?;
                let thawed = |all: &Vec<(u64, Target)>| !all.iter().any(|(_, target)| target.matches(&asked));
                // An error means that the proxy is gone, and this with it.
                let _ = frozen.wait_for(thawed).await;
                Some((frame, (body, frozen, asked)))
            });
            StreamBody::new(frames).boxed_unsync()
        })
    }

    async fn forward(&self, request: hyper::Request<Incoming>) -> anyhow::Result<Reply> {
        let (mut parts, body) = request.into_parts();
        let mut uri = parts.uri.into_parts();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(self.server.clone());
        parts.uri = Uri::from_parts(uri)?;
        // These headers belong to this connection, not to the one to the API server.
        for header in [HOST, CONNECTION, TRANSFER_ENCODING] {
            parts.headers.remove(header);
        }
        let response = self.upstream.request(hyper::Request::from_parts(parts, body)).await?;
        let mut response = response.map(|body| body.map_err(BoxError::from).boxed_unsync());
        *response.version_mut() = hyper::Version::HTTP_11;
        Ok(response)
    }

    fn next_fault(&self, asked: &Request) -> Option<Fault> {
        let mut state = lock(&self.state);
        let (_, fault, left) =
            state.faults.iter_mut().find(|(target, _, left)| *left > 0 && target.matches(asked))?;
        *left -= 1;
        Some(*fault)
    }
}

/// Returns what makes two lists the same question: neither a version nor a page.
fn list_key(uri: &Uri) -> String {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut asked: Vec<&str> = pairs
        .filter(|pair| !pair.starts_with("resourceVersion") && !pair.starts_with("limit="))
        .filter(|pair| !pair.is_empty())
        .collect();
    asked.sort_unstable();
    format!("{}?{}", uri.path(), asked.join("&"))
}
