//! TLS in front of the simulated cloud, under the cloud's real host names.
//!
//! ```text
//! product -> [proxy]: CONNECT host:443 -> [HttpsFront]: TLS for that host -> cloud: plain HTTP, same `Host`
//! ```
//!
//! So a product with `HTTPS_PROXY` and the front's authority talks to the simulator as it talks to Alibaba
//! Cloud. A [`Balancer`] plays a Service: several servers behind one address.

mod balancer;
mod proxy;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use http_body_util::{Either, Empty};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::LOCATION,
    http::uri::{Authority as Address, Scheme},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};

pub use self::{balancer::Balancer, proxy::ConnectProxy};
use crate::{certificates::Authority, cloud::Cloud, listen::Listening, process::lock, tls};

type Reply = Response<Either<Incoming, Empty<Bytes>>>;

/// The cloud over HTTPS; it ends, with its connections, when dropped.
///
/// Guarantees: the cloud receives each request as the client sent it, `Host` included. Responses that the
/// cloud breaks off or delays arrive broken off or late.
pub struct HttpsFront {
    shared: Arc<Shared>,
    listening: Listening,
}

struct Shared {
    upstream: HttpClient<HttpConnector, Incoming>,
    cloud: Address,
    redirects: Mutex<Vec<(String, String)>>,
}

impl HttpsFront {
    /// Starts a front that shows certificates of this authority for any host that a client requests.
    pub async fn start(cloud: &Cloud, authority: &Authority) -> anyhow::Result<HttpsFront> {
        let cloud =
            cloud.address().parse::<Uri>()?.into_parts().authority.context("the cloud has no address")?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let upstream = HttpClient::builder(TokioExecutor::new()).build(connector);
        let shared = Arc::new(Shared { upstream, cloud, redirects: Mutex::default() });
        let acceptor = tls::acceptor(authority)?;
        let listening = Listening::start({
            let shared = Arc::clone(&shared);
            move |stream| {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                async move {
                    // A client that does not trust the authority leaves here.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer = service_fn(move |request| Arc::clone(&shared).answer(request));
                    // An error is an injected fault, or a client that left.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                }
            }
        })
        .await?;
        Ok(HttpsFront { shared, listening })
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Answers an action (`AssumeRole`) or a path (`/latest/api/token`) with 302 to `location` from now on.
    /// The cloud does not receive such requests.
    pub fn redirect(&self, what: &str, location: &str) {
        lock(&self.shared.redirects).push((what.to_owned(), location.to_owned()));
    }

    /// Ends all redirects.
    pub fn clear_redirects(&self) {
        lock(&self.shared.redirects).clear();
    }
}

impl Shared {
    /// Answers a request. An error closes the connection without a response.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> anyhow::Result<Reply> {
        if let Some(location) = self.redirected(&request) {
            let reply = Response::builder().status(StatusCode::FOUND).header(LOCATION, location);
            return Ok(reply.body(Either::Right(Empty::new()))?);
        }
        let (mut parts, body) = request.into_parts();
        let mut uri = parts.uri.into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.cloud.clone());
        parts.uri = Uri::from_parts(uri)?;
        let response = self.upstream.request(Request::from_parts(parts, body)).await?;
        Ok(response.map(Either::Left))
    }

    fn redirected(&self, request: &Request<Incoming>) -> Option<String> {
        let asked = [action(request), Some(request.uri().path())];
        let redirects = lock(&self.redirects);
        let found = redirects.iter().find(|(what, _)| asked.contains(&Some(what.as_str())));
        found.map(|(_, location)| location.clone())
    }
}

/// Reads the action, which one style of signing puts in a header and the other in the query.
fn action(request: &Request<Incoming>) -> Option<&str> {
    let header = request.headers().get("x-acs-action").and_then(|value| value.to_str().ok());
    let query = || request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("Action="));
    header.or_else(query)
}
