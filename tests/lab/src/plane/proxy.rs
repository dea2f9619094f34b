//! A proxy before the API server, for faults at exactly one request.
//!
//! It takes plain HTTP/1.1, so that a kubeconfig needs no certificate, and passes the bearer token on: the
//! API server sees the same user as without it. Watches stream through.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING},
    http::uri::{Authority, Scheme},
    server::conn::http1,
    service::service_fn,
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::{
    Plane,
    access::{self, Admin, Credential, Server},
    request::{Request, Target},
};
use crate::process::lock;

type Reply = Response<Either<Incoming, Full<Bytes>>>;
type Callback = Box<dyn FnOnce() + Send>;

/// The proxy; it ends, with its connections, when dropped.
pub struct FaultProxy {
    shared: Arc<Shared>,
    url: String,
    dir: PathBuf,
    admin: Admin,
    accepting: JoinHandle<()>,
}

/// A write that the API server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its number in the order of answers, from 1.
    pub number: usize,
    /// The request.
    pub request: Request,
    /// The API server's answer.
    pub status: u16,
}

/// The fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request never reaches the API server, and is answered with this status.
    Answer(u16),
    /// The request is executed, but the connection closes instead of the answer.
    DropReply,
}

/// Resolves when the armed write was answered.
pub struct Fired(oneshot::Receiver<Write>);

impl Fired {
    /// Waits for the write. Needs a deadline: the write may never come.
    pub async fn wait(self) -> anyhow::Result<Write> {
        self.0.await.context("the proxy is gone, or was disarmed")
    }

    /// Returns the write, if it was answered by now.
    pub fn now(&mut self) -> Option<Write> {
        self.0.try_recv().ok()
    }
}

/// Requests that are held until this is dropped, and then go on to the API server.
pub struct Held {
    _release: watch::Sender<()>,
    waiting: watch::Receiver<usize>,
}

impl Held {
    /// Returns how many requests are held.
    pub fn caught(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Waits until this many requests are held.
    pub async fn until_caught(&mut self, count: usize) -> anyhow::Result<()> {
        self.waiting.wait_for(|caught| *caught >= count).await.context("the proxy is gone")?;
        Ok(())
    }
}

struct Shared {
    upstream: HttpClient<HttpsConnector<HttpConnector>, Incoming>,
    server: Authority,
    state: Mutex<State>,
    /// Locked for the length of a write while one is armed, so that no other follows write n.
    one_write: tokio::sync::Mutex<()>,
    writes_blocked: AtomicBool,
    cut: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    writes: Vec<Write>,
    armed: Option<Armed>,
    faults: Vec<(Target, Fault, usize)>,
    holds: Vec<Hold>,
}

struct Armed {
    number: usize,
    callback: Callback,
    blocks_writes: bool,
    fired: oneshot::Sender<Write>,
}

#[derive(Clone)]
struct Hold {
    target: Target,
    released: watch::Receiver<()>,
    waiting: watch::Sender<usize>,
}

impl FaultProxy {
    /// Starts a proxy before a plane's API server.
    pub async fn start(plane: &Plane) -> anyhow::Result<FaultProxy> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server =
            plane.url().parse::<Uri>()?.into_parts().authority.context("the plane has no address")?;
        let connector = access::connector(&plane.admin.anonymous())?;
        let shared = Arc::new(Shared {
            upstream: HttpClient::builder(TokioExecutor::new()).build(connector),
            server,
            state: Mutex::default(),
            one_write: tokio::sync::Mutex::default(),
            writes_blocked: AtomicBool::new(false),
            cut: watch::Sender::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(FaultProxy { shared, url, dir: plane.dir().to_owned(), admin: plane.admin.clone(), accepting })
    }

    /// Returns the proxy's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes a kubeconfig that leads a ServiceAccount through the proxy.
    pub async fn kubeconfig_for(&self, namespace: &str, name: &str) -> anyhow::Result<PathBuf> {
        let token = access::token(self.admin.client(), namespace, name).await?;
        let path = access::kubeconfig_path(&self.dir, &format!("{namespace}.{name}.proxy"));
        let server = Server { url: &self.url, authority: None };
        access::write_kubeconfig(&path, &server, name, &Credential::Token(&token))?;
        Ok(path)
    }

    /// Returns the writes that the API server answered so far.
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.shared.state).writes.clone()
    }

    /// Counts writes from 1 again.
    pub fn forget_writes(&self) {
        lock(&self.shared.state).writes.clear();
    }

    /// Runs a callback when the n-th write was answered, before its answer is passed on: the moment for
    /// another writer's change. Writes are serialized until then.
    pub fn after_write(&self, number: usize, callback: impl FnOnce() + Send + 'static) -> Fired {
        self.arm(number, Box::new(callback), false)
    }

    /// Works as [`FaultProxy::after_write`], and blocks later writes until [`FaultProxy::unblock_writes`].
    /// With a callback that kills the client, exactly n of its writes took effect. Arm it before the client
    /// starts, or while it rests.
    pub fn crash_after_write(&self, number: usize, kill: impl FnOnce() + Send + 'static) -> Fired {
        self.arm(number, Box::new(kill), true)
    }

    fn arm(&self, number: usize, callback: Callback, blocks_writes: bool) -> Fired {
        let (fired, waits) = oneshot::channel();
        lock(&self.shared.state).armed = Some(Armed { number, callback, blocks_writes, fired });
        Fired(waits)
    }

    /// Lets writes through again after a crash.
    pub fn unblock_writes(&self) {
        self.shared.writes_blocked.store(false, Ordering::SeqCst);
    }

    /// Injects a fault into the next requests that match. The first fault that matches counts.
    pub fn inject(&self, target: Target, fault: Fault, times: usize) {
        lock(&self.shared.state).faults.push((target, fault, times));
    }

    /// Counts the faults that are still pending.
    pub fn pending(&self) -> usize {
        lock(&self.shared.state).faults.iter().map(|(_, _, left)| *left).sum()
    }

    /// Holds the requests that match until the guard is dropped: a black hole.
    pub fn hold(&self, target: Target) -> Held {
        let (release, released) = watch::channel(());
        let (count, waiting) = watch::channel(0);
        lock(&self.shared.state).holds.push(Hold { target, released, waiting: count });
        Held { _release: release, waiting }
    }

    /// Closes all connections, watches included. New ones are accepted.
    pub fn cut(&self) {
        self.shared.cut.send_replace(());
    }

    /// Disarms once no write is in progress. Returns whether something was armed: if not, the write came, and
    /// its callback has run or has ended the client.
    pub async fn disarm(&self) -> bool {
        let _none_under_way = self.shared.one_write.lock().await;
        lock(&self.shared.state).armed.take().is_some()
    }

    /// Removes faults and armed writes, and unblocks writes. A hold ends with its guard.
    pub fn clear(&self) {
        let mut state = lock(&self.shared.state);
        state.faults.clear();
        state.armed = None;
        drop(state);
        self.unblock_writes();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // A failed accept means that the machine has run out of file descriptors; the client tries again.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&shared)));
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut cut = shared.cut.subscribe();
    // Nagle's algorithm would add its delay to each measurement through the proxy.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| Arc::clone(&shared).answer(request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        // An error is an injected fault, or a client that left.
        _ = connection => {}
        _ = cut.changed() => {}
    }
}

impl Shared {
    /// Answers a request. An error closes the connection without an answer.
    async fn answer(self: Arc<Self>, request: hyper::Request<Incoming>) -> anyhow::Result<Reply> {
        let asked = Request::parse(request.method(), request.uri());
        let hold = lock(&self.state).holds.iter().find(|hold| hold.catches(&asked)).cloned();
        if let Some(mut hold) = hold {
            hold.waiting.send_modify(|count| *count += 1);
            // The other end is dropped to release.
            while hold.released.changed().await.is_ok() {}
        }
        let fault = self.next_fault(&asked);
        if let Some(Fault::Answer(status)) = fault {
            return refusal(status);
        }
        let response =
            if asked.is_write() { self.write(asked, request).await? } else { self.forward(request).await? };
        anyhow::ensure!(fault != Some(Fault::DropReply), "this reply is dropped");
        Ok(response)
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
            let fires = state.armed.take_if(|armed| armed.number <= number);
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
        Ok(Response::from_parts(parts, Either::Right(Full::new(body))))
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
        let mut response = response.map(Either::Left);
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

impl Hold {
    fn catches(&self, asked: &Request) -> bool {
        self.released.has_changed().is_ok() && self.target.matches(asked)
    }
}

/// Returns a refusal in the API server's own form.
fn refusal(status: u16) -> anyhow::Result<Reply> {
    let reason = match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": if status == 401 { "Unauthorized" } else { "a fault of the lab" }, "reason": reason, "code": status,
    });
    let mut response =
        Response::builder().status(StatusCode::from_u16(status)?).header(CONTENT_TYPE, "application/json");
    if status == 429 {
        response = response.header(RETRY_AFTER, "1");
    }
    Ok(response.body(Either::Right(Full::new(Bytes::from(body.to_string()))))?)
}
