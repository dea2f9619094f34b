//! The HTTP side: reads requests, lets the gateway answer under the lock, and delivers, faults included.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use futures::{StreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::clock::{Clock, http_date};
use super::fault::FaultKind;
use super::gateway::{self, Answer, State};
use super::reply::Reply;
use super::request::Request;

/// Size of one chunk of a huge body.
const CHUNK: usize = 64 * 1024;

/// What the connections share with the [`Cloud`](super::Cloud).
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    state: Mutex<State>,
    /// Closes when the last `Cloud` is dropped.
    closing: watch::Receiver<()>,
}

impl Shared {
    pub(super) fn new(state: State, closing: watch::Receiver<()>) -> Self {
        Self { clock: Clock::default(), state: Mutex::new(state), closing }
    }

    /// Locks the state, even after a test's closure panicked while it held the lock. It is plain data, and
    /// the next test of the same cloud must not fail for that.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn closed(&self) {
        let mut closing = self.closing.clone();
        while closing.changed().await.is_ok() {}
    }
}

/// Serves until the last `Cloud` is dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new().fallback(handle).with_state(Arc::clone(&shared));
    // Nagle's algorithm would add delays that the real cloud does not have. A socket that does not take the
    // option is only slower.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { shared.closed().await });
    // axum's server returns no error: it continues after a failed accept.
    drop(served.await);
}

async fn handle(extract::State(shared): extract::State<Arc<Shared>>, request: extract::Request) -> Response {
    let Some(request) = Request::read(request).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let now = shared.clock.now();
    let answer = gateway::answer(&request, &mut shared.state(), now);
    // A client may compare clocks by `Date`, so it is the cloud's, not the machine's.
    let date = http_date(now);
    let mut response = deliver(answer, &shared).await;
    if let Ok(date) = date.parse() {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

async fn deliver(answer: Answer, shared: &Shared) -> Response {
    match answer.fault {
        Some(FaultKind::Hang) => {
            shared.closed().await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Some(FaultKind::Slow(wait)) => {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shared.closed() => {}
            }
            whole(answer.reply)
        }
        Some(FaultKind::Truncated) => truncated(answer.reply),
        Some(FaultKind::HugeBody(bytes)) => with_body(&answer.reply, huge(bytes)),
        _ => whole(answer.reply),
    }
}

fn whole(mut reply: Reply) -> Response {
    let body = std::mem::take(&mut reply.body);
    with_body(&reply, Body::from(body))
}

fn with_body(reply: &Reply, body: Body) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(header::CONTENT_TYPE, reply.content_type)], body).into_response();
    for (name, value) in &reply.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Announces the whole body and sends half of it.
fn truncated(mut reply: Reply) -> Response {
    let body = std::mem::take(&mut reply.body);
    let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
    let broken = stream::once(async {
        // The pause lets hyper send what it holds; an immediate error would drop the head too.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("an injected fault"))
    });
    let stream = stream::iter([Ok(half)]).chain(broken);
    let mut response = with_body(&reply, Body::from_stream(stream));
    response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
    response
}

/// Returns a JSON object with one string of this many bytes, never held in memory as a whole.
fn huge(bytes: usize) -> Body {
    let chunks = (0..bytes.div_ceil(CHUNK)).map(move |index| CHUNK.min(bytes - index * CHUNK));
    let middle = stream::iter(chunks).map(|length| Bytes::from(vec![b'a'; length]));
    let edge = |text: &'static str| stream::iter([Bytes::from_static(text.as_bytes())]);
    Body::from_stream(edge("{\"RequestId\":\"").chain(middle).chain(edge("\"}")).map(Ok::<_, Infallible>))
}
