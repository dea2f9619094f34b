//! A proxy before the API server, for faults at exactly one request.
//!
//! It takes plain HTTP/1.1, so that a kubeconfig needs no certificate, and passes the bearer token on: the
//! API server sees the same user as without it. Watches stream through.

mod fault;
mod serve;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{Response, Uri, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client as HttpClient,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tower::BoxError;

pub use self::fault::{Fault, Fired, Frozen, Held};
use self::{
    fault::Hold,
    serve::{Armed, Shared},
};
use super::{
    Plane,
    access::{self, Admin, Credential, Server},
    request::{Request, Target},
};
use crate::process::lock;

type Reply = Response<UnsyncBoxBody<Bytes, BoxError>>;
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
            frozen: watch::Sender::default(),
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
        let server = Server { url: &self.url, name: None, authority: None };
        access::write_kubeconfig(&path, &server, name, &Credential::Token(&token))?;
        Ok(path)
    }

    /// Returns the writes that the API server answered so far.
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.shared.state).writes.clone()
    }

    /// Counts the requests that matched so far, reads and watches included.
    pub fn asked(&self, target: &Target) -> usize {
        let state = lock(&self.shared.state);
        state.asked.iter().filter(|(request, _)| target.matches(request)).map(|(_, count)| count).sum()
    }

    /// Counts writes from 1 again.
    pub fn forget_writes(&self) {
        lock(&self.shared.state).writes.clear();
    }

    /// Runs a callback when the n-th write was answered, before its answer is passed on: the moment for
    /// another writer's change. Writes are serialized until then.
    pub fn after_write(&self, number: usize, callback: impl FnOnce() + Send + 'static) -> Fired {
        self.arm(Target::any(), number, Box::new(callback), false)
    }

    /// Works as [`FaultProxy::after_write`], and blocks later writes until [`FaultProxy::unblock_writes`].
    /// With a callback that kills the client, exactly n of its writes took effect. Arm it before the client
    /// starts, or while it rests.
    pub fn crash_after_write(&self, number: usize, kill: impl FnOnce() + Send + 'static) -> Fired {
        self.arm(Target::any(), number, Box::new(kill), true)
    }

    /// Works as [`FaultProxy::crash_after_write`], and counts the writes that match only.
    pub fn crash_after(&self, target: Target, number: usize, kill: impl FnOnce() + Send + 'static) -> Fired {
        self.arm(target, number, Box::new(kill), true)
    }

    fn arm(&self, target: Target, number: usize, callback: Callback, blocks_writes: bool) -> Fired {
        let (fired, waits) = oneshot::channel();
        lock(&self.shared.state).armed = Some(Armed { target, number, callback, blocks_writes, fired });
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

    /// Freezes the watches that match, those that are open and those to come, until the guard is dropped:
    /// they stay open, and deliver nothing. What they held back is then delivered.
    pub fn freeze(&self, target: Target) -> Frozen {
        let id = {
            let mut state = lock(&self.shared.state);
            state.freezes += 1;
            state.freezes
        };
        self.shared.frozen.send_modify(|all| all.push((id, target)));
        Frozen { id, all: self.shared.frozen.clone() }
    }

    /// Keeps the first answer to each list from now on, for [`Fault::OldList`].
    pub fn keep_lists(&self) {
        lock(&self.shared.state).lists = Some(Default::default());
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
