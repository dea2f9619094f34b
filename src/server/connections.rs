//! Connections of a server, within bounds that one peer cannot spend for another.
//!
//! ```text
//! accept ─ a slot, or that of the connection that is idle the longest ─ handshake ─ requests
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Longest time for which a stopped server answers requests in flight.
const DRAIN: Duration = Duration::from_secs(2);

/// Bytes that a request may send before they are read. Most requests are shorter.
const STREAM: u32 = 16 * 1024;

/// Bytes that all requests of a connection may send before they are read: more than those of a few that wait.
const CONNECTION: u32 = 256 * 1024;

/// Time without a frame after which an HTTP/2 peer is asked whether it still exists, and the time of its answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// Bounds of the connections of a server.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Most connections at a time.
    pub connections: usize,
    /// Longest time from the accept to the end of the first request's head, the handshake included.
    pub first_request: Duration,
    /// Longest time between two requests. Clients close their idle connections earlier than this.
    pub idle: Duration,
}

/// The use of one connection.
#[derive(Clone, Copy, Debug)]
struct Activity {
    /// Requests that are not answered yet.
    in_flight: usize,
    /// Whether a request was answered.
    answered: bool,
    /// Time since which nothing is in flight.
    since: Instant,
}

/// A connection that is open.
struct OpenConnection {
    activity: watch::Sender<Activity>,
    close: CancellationToken,
}

/// The connections that are open.
struct OpenConnections {
    slots: Arc<Semaphore>,
    open: Mutex<BTreeMap<u64, Arc<OpenConnection>>>,
    /// Notified when a connection becomes idle.
    idle: Notify,
}

/// The slot of a connection. Dropping it frees the slot.
struct ConnectionSlot {
    id: u64,
    connection: Arc<OpenConnection>,
    all: Arc<OpenConnections>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.all.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        self.permit.take();
    }
}

impl OpenConnections {
    /// Waits for a slot. Where all are taken, the connection that is idle the longest is closed, first of all one that
    /// never completed a request. Busy ones are never closed.
    async fn slot(self: &Arc<Self>, id: u64) -> Option<ConnectionSlot> {
        let permit = loop {
            // Created before the check, so that no later change is missed.
            let idle = self.idle.notified();
            if let Ok(permit) = self.slots.clone().try_acquire_owned() {
                break permit;
            }
            self.close_longest_idle();
            tokio::select! {
                permit = self.slots.clone().acquire_owned() => break permit.ok()?,
                () = idle => {}
            }
        };
        let activity = Activity { in_flight: 0, answered: false, since: Instant::now() };
        let (activity, close) = (watch::Sender::new(activity), CancellationToken::new());
        let connection = Arc::new(OpenConnection { activity, close });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, connection.clone());
        Some(ConnectionSlot { id, connection, all: self.clone(), permit: Some(permit) })
    }

    fn close_longest_idle(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = open.iter().filter_map(|(id, connection)| {
            let activity = *connection.activity.borrow();
            (activity.in_flight == 0).then_some((activity.answered, activity.since, *id))
        });
        let Some((.., id)) = idle.min() else { return };
        if let Some(connection) = open.remove(&id) {
            debug!("idle connection closed for another one");
            connection.close.cancel();
        }
    }
}

/// A request in flight. Dropping it ends the request.
struct InFlight {
    connection: Arc<OpenConnection>,
    all: Arc<OpenConnections>,
}

impl InFlight {
    fn begin(connection: Arc<OpenConnection>, all: Arc<OpenConnections>) -> Self {
        connection.activity.send_modify(|activity| activity.in_flight += 1);
        Self { connection, all }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.connection.activity.send_modify(|activity| {
            activity.in_flight = activity.in_flight.saturating_sub(1);
            activity.answered = true;
            activity.since = Instant::now();
        });
        self.all.idle.notify_waiters();
    }
}

/// Serves until it is stopped, then answers requests in flight for at most `DRAIN`. Without an acceptor, it serves
/// without TLS.
pub async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    let all = Arc::new(OpenConnections {
        slots: Arc::new(Semaphore::new(limits.connections)),
        open: Mutex::default(),
        idle: Notify::new(),
    });
    let mut tasks = JoinSet::new();
    for id in 0.. {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            stream = accept(&listener) => stream,
        };
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = all.slot(id) => slot,
        };
        let Some(slot) = slot else { break };
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = connection(stream, acceptor, router, &slot, stop) => {}
                () = slot.connection.close.cancelled() => {}
                () = expired(&slot.connection.activity, limits) => debug!("idle connection closed"),
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    drop(listener);
    let rest = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, rest).await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The process has no file descriptor left; closing connections frees some.
            Err(error) => {
                debug!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Waits until a connection was idle for longer than it may be.
async fn expired(activity: &watch::Sender<Activity>, limits: ConnectionLimits) {
    let mut changes = activity.subscribe();
    loop {
        let now = *changes.borrow_and_update();
        let limit = if now.answered { limits.idle } else { limits.first_request };
        let deadline = (now.in_flight == 0).then(|| now.since + limit);
        tokio::select! {
            // The sender is held by the caller.
            _ = changes.changed() => {}
            () = async { match deadline { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => return,
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    slot: &ConnectionSlot,
    stop: CancellationToken,
) {
    // Without the option the socket is only slower.
    let _ = stream.set_nodelay(true);
    let (connection, all) = (slot.connection.clone(), slot.all.clone());
    let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let in_flight = InFlight::begin(connection.clone(), all.clone());
        async move {
            let reply = next.run(request).await;
            drop(in_flight);
            reply
        }
    }));
    match acceptor {
        None => requests(stream, router, stop).await,
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => requests(stream, router, stop).await,
            Err(error) => debug!(%error, "TLS handshake failed"),
        },
    }
}

async fn requests(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stop: CancellationToken,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).max_buf_size(4 * STREAM as usize);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(100).max_header_list_size(STREAM);
    http2.keep_alive_interval(PING.0).keep_alive_timeout(PING.1);
    http2.initial_connection_window_size(CONNECTION).initial_stream_window_size(STREAM);
    let served = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(router));
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "connection failed");
    }
}

#[cfg(test)]
mod tests;
