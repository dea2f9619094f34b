//! The right to write, which comes with the lease. Each write checks it when it is sent.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request};
use tokio::sync::Notify;
use tower::{BoxError, Layer, Service};

/// Reason why a write was not sent, or was abandoned.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this replica does not hold the lease, so it writes nothing")]
pub struct LeaseNotHeld;

/// The right of this process to write. Clones share one claim.
///
/// # Guarantees
/// - No write is sent without a claim, and none continues after its end. So a late connection or a process that was
///   suspended sends nothing.
/// - Once closed, writes in flight finish and new ones never start: the process is about to exit.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<ClaimInner>);

#[derive(Debug, Default)]
struct ClaimInner {
    state: Mutex<ClaimState>,
    idle: Notify,
}

#[derive(Debug, Default)]
struct ClaimState {
    end: Option<Instant>,
    closed: bool,
    in_flight: usize,
}

impl Claim {
    fn state(&self) -> MutexGuard<'_, ClaimState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets until when writing is allowed; `None` forbids it.
    pub fn set(&self, end: Option<Instant>) {
        self.state().end = end;
    }

    /// Returns until when writing is allowed, if it is allowed now.
    fn end(&self) -> Option<Instant> {
        self.state().end.filter(|end| Instant::now() < *end)
    }

    /// Starts no new writes, and waits until those in flight have finished.
    pub async fn close(&self) {
        loop {
            let idle = self.0.idle.notified();
            {
                let mut state = self.state();
                state.closed = true;
                if state.in_flight == 0 {
                    return;
                }
            }
            idle.await;
        }
    }

    /// Starts a write. Returns until when it may continue, or `None` if the claim is closed.
    fn begin(&self) -> Result<Option<(Instant, InFlightWrite<'_>)>, LeaseNotHeld> {
        let mut state = self.state();
        let end = state.end.filter(|end| Instant::now() < *end).ok_or(LeaseNotHeld)?;
        if state.closed {
            return Ok(None);
        }
        state.in_flight += 1;
        Ok(Some((end, InFlightWrite(self))))
    }

    /// Awaits the answer to a write for as long as writing is allowed.
    async fn allow<T>(self, answer: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
        let Some((mut end, _under_way)) = self.begin()? else { return std::future::pending().await };
        tokio::pin!(answer);
        loop {
            tokio::select! {
                // The clock has priority: a process that was suspended must not send a pending write.
                biased;
                () = tokio::time::sleep_until(end.into()) => match self.end() {
                    Some(later) => end = later,
                    None => return Err(LeaseNotHeld.into()),
                },
                answer = &mut answer => return answer,
            }
        }
    }
}

/// A write in flight, until this is dropped.
struct InFlightWrite<'a>(&'a Claim);

impl Drop for InFlightWrite<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
        self.0.0.idle.notify_waiters();
    }
}

/// Adds a claim to a client.
#[derive(Clone, Debug)]
pub struct ClaimLayer(pub Claim);

impl<S> Layer<S> for ClaimLayer {
    type Service = ClaimService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClaimService { inner, claim: self.0.clone() }
    }
}

/// A client that writes only under a claim.
#[derive(Clone, Debug)]
pub struct ClaimService<S> {
    inner: S,
    claim: Claim,
}

impl<S, B> Service<Request<B>> for ClaimService<S>
where
    S: Service<Request<B>, Future: Send + 'static, Response: Send + 'static, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let writes = writes(request.method(), request.uri().path(), request.uri().query());
        // A client sends nothing before its answer is first polled.
        let answer = self.inner.call(request).map(|answer| answer.map_err(Into::into));
        match writes {
            true => self.claim.clone().allow(answer).boxed(),
            false => answer.boxed(),
        }
    }
}

/// Returns whether a request changes anything. Reviews of this controller's own rights and dry runs do not, and a
/// standby sends them too.
fn writes(method: &Method, path: &str, query: Option<&str>) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    let reviews = path.contains("/apis/authorization.k8s.io/") && path.contains("/selfsubject");
    let dry_run = query.is_some_and(|query| query.split('&').any(|pair| pair == "dryRun=All"));
    !(reads || reviews || dry_run)
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::{Duration, Instant};

    use http::{Method, Request};
    use tower::{BoxError, Layer, Service, service_fn};

    use super::{Claim, ClaimLayer, LeaseNotHeld, writes};

    fn ends_in(seconds: u64) -> Option<Instant> {
        Some(tokio::time::Instant::now().into_std() + Duration::from_secs(seconds))
    }

    #[test]
    fn reads_are_distinguished_from_writes() {
        for (method, path, query, expected) in [
            (Method::GET, "/api/v1/secrets", None, false),
            (Method::PATCH, "/api/v1/namespaces/a/secrets/s", Some("fieldManager=m&force=true"), true),
            (Method::PATCH, "/api/v1/namespaces/a/secrets/s", Some("dryRun=All&fieldManager=m"), false),
            (Method::PATCH, "/api/v1/namespaces/a/secrets/s", Some("fieldManager=dryRun=All2"), true),
            (Method::DELETE, "/api/v1/namespaces/a/secrets/s", Some(""), true),
            (Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", None, false),
            (Method::POST, "/api/v1/namespaces/selfsubject/events", None, true),
            (Method::POST, "/api/v1/namespaces/a/serviceaccounts/b/token", None, true),
            (Method::PUT, "/apis/acrcredential.dev/v1alpha1/acrcredentialbindings/b/status", None, true),
        ] {
            assert_eq!(writes(&method, path, query), expected, "{method} {path} {query:?}");
        }
    }

    async fn send(claim: &Claim, method: Method, sent: impl Future<Output = ()> + Send + 'static) -> bool {
        let sent = std::sync::Mutex::new(Some(sent));
        let inner = service_fn(move |_: Request<()>| {
            let sent = sent.lock().unwrap().take().unwrap();
            async move {
                sent.await;
                Ok::<_, BoxError>(())
            }
        });
        let request = Request::builder().method(method).uri("/api/v1/x").body(()).unwrap();
        match ClaimLayer(claim.clone()).layer(inner).call(request).await {
            Ok(()) => true,
            Err(error) => {
                assert!(error.is::<LeaseNotHeld>(), "{error}");
                false
            }
        }
    }

    #[tokio::test]
    async fn without_a_claim_nothing_is_written_and_everything_is_read() {
        let claim = Claim::default();
        assert!(!send(&claim, Method::PATCH, async { panic!("it was sent") }).await);
        assert!(send(&claim, Method::GET, ready(())).await);
        claim.set(ends_in(10));
        assert!(send(&claim, Method::PATCH, ready(())).await);
        claim.set(Some(Instant::now()));
        assert!(!send(&claim, Method::PATCH, async { panic!("it was sent") }).await);
    }

    #[tokio::test]
    async fn a_write_that_waits_for_a_connection_is_abandoned_when_the_claim_ends() {
        let claim = Claim::default();
        let end = ends_in(0).map(|now| now + Duration::from_millis(50));
        claim.set(end);
        assert!(!send(&claim, Method::PATCH, std::future::pending()).await);
        assert!(Instant::now() >= end.unwrap());
        // A write continues if the claim was renewed meanwhile.
        claim.set(ends_in(0).map(|now| now + Duration::from_millis(50)));
        let slow = tokio::time::sleep(Duration::from_millis(150));
        let (sent, ()) = tokio::join!(send(&claim, Method::PATCH, slow), async { claim.set(ends_in(60)) });
        assert!(sent);
    }

    #[tokio::test]
    async fn a_closed_claim_finishes_writes_in_flight_and_starts_none() {
        let claim = Claim::default();
        claim.set(ends_in(60));
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let first = tokio::spawn({
            let claim = claim.clone();
            async move { send(&claim, Method::PATCH, async { drop(released.await) }).await }
        });
        tokio::task::yield_now().await;
        let mut closing = Box::pin(claim.close());
        assert!(futures::poll!(&mut closing).is_pending(), "a write is under way");
        let mut second = Box::pin(send(&claim, Method::PATCH, async { panic!("it was sent") }));
        assert!(futures::poll!(&mut second).is_pending(), "a new one waits");
        release.send(()).unwrap();
        assert!(first.await.unwrap());
        closing.await;
    }
}
