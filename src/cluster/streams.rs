//! Spreads requests over connections, so that each carries a bounded number of streams.
//!
//! An API server accepts 100 streams on a connection of HTTP/2, and the client queues further ones in their order. One
//! that never ends would then keep those behind it waiting. A watch is a stream for as long as it lasts.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::Service;

/// Streams of one connection at the same time.
pub const STREAMS: usize = 64;

/// The number of streams of a client. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StreamCount(Arc<AtomicUsize>);

impl StreamCount {
    /// Returns the number of streams in use.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A client of as many connections as its streams need. `C` is the client of one connection.
pub struct StreamPool<C> {
    connections: Arc<Connections<C>>,
    /// Creates the client of another connection.
    create: Arc<dyn Fn() -> C + Send + Sync>,
}

impl<C> Clone for StreamPool<C> {
    fn clone(&self) -> Self {
        Self { connections: self.connections.clone(), create: self.create.clone() }
    }
}

struct Connections<C> {
    open: Mutex<Vec<Connection<C>>>,
    count: StreamCount,
}

struct Connection<C> {
    client: C,
    streams: usize,
}

impl<C> StreamPool<C> {
    /// Returns a pool without connections, whose streams are counted.
    pub fn new(create: impl Fn() -> C + Send + Sync + 'static, count: StreamCount) -> Self {
        let connections = Arc::new(Connections { open: Mutex::default(), count });
        Self { connections, create: Arc::new(create) }
    }
}

impl<C> Connections<C> {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection<C>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a stream on the first connection that has room.
    fn begin<T>(
        self: &Arc<Self>,
        create: impl FnOnce() -> C,
        send: impl FnOnce(&mut C) -> T,
    ) -> (T, Stream<C>) {
        let mut connections = self.lock();
        let with_room = connections.iter().position(|connection| connection.streams < STREAMS);
        let at = with_room.unwrap_or_else(|| {
            connections.push(Connection { client: create(), streams: 0 });
            connections.len() - 1
        });
        let connection = &mut connections[at];
        connection.streams += 1;
        self.count.0.fetch_add(1, Ordering::Relaxed);
        (send(&mut connection.client), Stream { at, connections: self.clone() })
    }
}

/// A stream of a connection, until this is dropped.
struct Stream<C> {
    at: usize,
    connections: Arc<Connections<C>>,
}

impl<C> Drop for Stream<C> {
    fn drop(&mut self) {
        let mut connections = self.connections.lock();
        connections[self.at].streams -= 1;
        self.connections.count.0.fetch_sub(1, Ordering::Relaxed);
        // The first ones are filled first, so that the last ones become idle and are closed.
        while connections.len() > 1 && connections.last().is_some_and(|last| last.streams == 0) {
            connections.pop();
        }
    }
}

impl<C, R, B> Service<Request<R>> for StreamPool<C>
where
    C: Service<Request<R>, Response = Response<B>, Future: Send + 'static> + Send + 'static,
    C::Error: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<StreamBody<C, B>>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Response, C::Error>>;

    // A client of hyper is always ready: it waits while it answers.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let (answer, stream) = self.connections.begin(&*self.create, |client| client.call(request));
        answer
            .map(|answer| answer.map(|answer| answer.map(|body| StreamBody { body, _stream: stream })))
            .boxed()
    }
}

/// The body of an answer. The stream ends with it.
pub struct StreamBody<C, B> {
    body: B,
    _stream: Stream<C>,
}

impl<C, B: Body + Unpin> Body for StreamBody<C, B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::BoxFuture;
    use http::{Request, Response};
    use tower::util::ServiceFn;
    use tower::{Service, service_fn};

    use super::{STREAMS, StreamCount, StreamPool};

    type Answer = BoxFuture<'static, Result<Response<usize>, std::convert::Infallible>>;
    type Connection = Box<dyn FnMut(Request<()>) -> Answer + Send>;

    /// Returns a pool whose connections answer with their number, and the number of those that were made.
    fn pool() -> (StreamPool<ServiceFn<Connection>>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let create = move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let answer =
                move |_: Request<()>| -> Answer { Box::pin(async move { Ok(Response::new(number)) }) };
            service_fn(Box::new(answer) as Connection)
        };
        (StreamPool::new(create, StreamCount::default()), made)
    }

    #[tokio::test]
    async fn another_connection_is_made_when_the_first_is_full_and_closed_when_it_is_idle() {
        let (mut pool, made) = pool();
        let mut open = Vec::new();
        for _ in 0..=STREAMS {
            open.push(pool.call(Request::new(())).await.unwrap().into_body());
        }
        let of = |number: usize| open.iter().filter(|body| body.body == number).count();
        assert_eq!((of(0), of(1)), (STREAMS, 1));
        // A body that ends makes room on its connection.
        drop(open.remove(0));
        assert_eq!(pool.call(Request::new(())).await.unwrap().into_body().body, 0);
        drop(open.pop());
        assert_eq!(pool.connections.lock().len(), 1, "the idle one is closed");
        open.push(pool.call(Request::new(())).await.unwrap().into_body());
        open.push(pool.call(Request::new(())).await.unwrap().into_body());
        assert_eq!(made.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_ends_its_stream() {
        let (mut pool, _) = pool();
        let given_up = pool.call(Request::new(()));
        assert_eq!(pool.connections.lock()[0].streams, 1);
        assert_eq!(pool.connections.count.get(), 1);
        drop(given_up);
        assert_eq!(pool.connections.lock()[0].streams, 0);
        assert_eq!(pool.connections.count.get(), 0);
    }
}
