//! A deadline of a whole answer: of its head and of its body. A watch goes on after its head.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::timeout::error::Elapsed;
use tower::{BoxError, Layer, Service};

/// Limits the time of each request; without a time it changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer(pub Option<Duration>);

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, limit: self.0 }
    }
}

/// A service whose answers have a deadline.
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    limit: Option<Duration>,
}

impl<S, Q, B> Service<Request<Q>> for Deadline<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<DeadlineBody<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let is_watch = query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1");
        let end = self.limit.and_then(|limit| Instant::now().checked_add(limit));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = match end {
                Some(end) => timeout_at(end, answer).await.map_err(|_| Elapsed::new())?,
                None => answer.await,
            };
            let end = end.filter(|_| !is_watch).map(|end| Box::pin(sleep_until(end)));
            Ok(answer.map_err(Into::into)?.map(|body| DeadlineBody { body: Box::pin(body), end }))
        })
    }
}

/// A body that must end in time.
#[derive(Debug)]
pub struct DeadlineBody<B> {
    body: Pin<Box<B>>,
    end: Option<Pin<Box<Sleep>>>,
}

impl<B> Body for DeadlineBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.get_mut();
        if this.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Some(Err(Elapsed::new().into())));
        }
        this.body.as_mut().poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
