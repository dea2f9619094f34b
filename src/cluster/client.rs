//! The connection to the API server.

use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::util::MapFuture;
use tower::{BoxError, ServiceBuilder};

use super::claim::{Claim, ClaimLayer};

/// From the beginning of a connection to the end of its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why no client could be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig or the mounted ServiceAccount says something that cannot be used.
    #[error("the configuration of the API server's client cannot be used")]
    Config(#[source] Box<kube::Error>),
    /// `tls-server-name` is no host name.
    #[error("tls-server-name {0:?} is no host name")]
    ServerName(String),
}

/// Has every request say which replica sent it, for the API server's audit log.
pub fn set_user_agent(config: &mut Config, replica: &str) {
    let agent = format!(concat!("acr-credential-controller/", env!("CARGO_PKG_VERSION"), " ({})"), replica);
    if let Ok(agent) = HeaderValue::try_from(agent) {
        config.headers.push((USER_AGENT, agent));
    }
}

/// A client with one connection of its own.
///
/// kube's default stack speaks HTTP/1.1 with Nagle's algorithm on, and sends a refused request again up to 15
/// times on its own. This one speaks HTTP/2 where the server does, sends at once, notices a dead peer by ping,
/// and repeats nothing: whoever calls decides that, with a deadline. It uses no proxy: the one that `HTTPS_PROXY`
/// names is for the cloud, while the API server is at hand.
///
/// # Errors
/// [`ClientError`], with the part that cannot be used.
pub fn connect(config: &Config) -> Result<Client, ClientError> {
    build(config, None)
}

/// As [`connect`], for a client that writes only under a claim.
///
/// # Errors
/// [`ClientError`], with the part that cannot be used.
pub fn connect_under(config: &Config, claim: &Claim) -> Result<Client, ClientError> {
    build(config, Some(ClaimLayer(claim.clone())))
}

fn build(config: &Config, claim: Option<ClaimLayer>) -> Result<Client, ClientError> {
    let boxed = |e: kube::Error| ClientError::Config(Box::new(e));
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(Duration::from_secs(5)));
    // A dead peer is noticed within a minute, also where HTTP/2 is not spoken, and no ping tells.
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(10)));
    tcp.set_keepalive_retries(Some(3));
    let tls = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config().map_err(boxed)?)
        .https_or_http();
    let tls = match &config.tls_server_name {
        Some(name) => {
            let parsed = name.clone().try_into().map_err(|_| ClientError::ServerName(name.clone()))?;
            tls.with_server_name_resolver(FixedServerNameResolver::new(parsed))
        }
        None => tls,
    };
    let connector = tls.enable_http1().enable_http2().wrap_connector(tcp);
    // Behind a balancer there may be nobody to answer the handshake, and a watch has no deadline of its own.
    let connector = MapFuture::new(connector, |connection| {
        Box::pin(async move {
            let late = |_| BoxError::from("the connection and its TLS handshake took too long");
            tokio::time::timeout(HANDSHAKE, connection).await.map_err(late)?
        })
    });
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(Duration::from_secs(10))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .http2_keep_alive_while_idle(true)
        .http2_adaptive_window(false)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(boxed)?)
        .layer(config.extra_headers_layer().map_err(boxed)?)
        // Innermost: whatever stands before it may take its time.
        .option_layer(claim)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::Config;
    use tokio::net::TcpListener;

    use super::{HANDSHAKE, connect};

    /// As an API server that hangs, behind a balancer that does not. The clock leaps to the next deadline whenever all
    /// wait.
    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_nobody_answers_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = Config::new(format!("https://{address}").parse().unwrap());
        config.accept_invalid_certs = true;
        let client = connect(&config).unwrap();
        let asked = client.request_text(http::Request::get("/version").body(Vec::new()).unwrap());
        let answer = tokio::time::timeout(HANDSHAKE + Duration::from_secs(1), asked).await;
        let error = answer.expect("it ends by itself").unwrap_err();
        assert!(super::super::error::describe(&error).contains("took too long"), "{error:?}");
    }
}
