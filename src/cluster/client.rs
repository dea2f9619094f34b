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
use super::deadline::DeadlineLayer;
use super::streams::{StreamCount, StreamPool};

/// Longest time from the beginning of a connection to the end of its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Reason why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig or the mounted ServiceAccount is invalid.
    #[error("the client configuration of the API server is invalid")]
    Config(#[source] Box<kube::Error>),
    /// `tls-server-name` is not a valid host name.
    #[error("tls-server-name {0:?} is not a valid host name")]
    ServerName(String),
}

/// Adds a User-Agent that names the replica, for the API server's audit log.
pub fn set_user_agent(config: &mut Config, replica: &str) {
    let agent = format!(concat!("acr-credential-controller/", env!("CARGO_PKG_VERSION"), " ({})"), replica);
    if let Ok(agent) = HeaderValue::try_from(agent) {
        config.headers.push((USER_AGENT, agent));
    }
}

/// Creates a client with its own connection, and more of them while it has more than 64 streams.
///
/// kube's default stack speaks HTTP/1.1 with Nagle's algorithm on, and repeats a refused request up to 15 times. This
/// one speaks HTTP/2 if the server does, sends at once, and detects a dead peer by ping. It repeats nothing: the
/// caller decides that, with a deadline. It uses no proxy, because `HTTPS_PROXY` is meant for the cloud.
///
/// # Errors
/// [`ClientError`].
pub fn connect(config: &Config) -> Result<Client, ClientError> {
    build(config, None, None, StreamCount::default())
}

/// Creates a client as [`connect`] does, whose requests fail if the answer is not there within a time; a watch must only begin.
///
/// # Errors
/// [`ClientError`].
pub fn connect_within(config: &Config, limit: Duration) -> Result<Client, ClientError> {
    build(config, None, Some(limit), StreamCount::default())
}

/// Creates a client as [`connect`] does, whose streams are counted.
///
/// # Errors
/// [`ClientError`].
pub fn connect_counted(config: &Config, streams: &StreamCount) -> Result<Client, ClientError> {
    build(config, None, None, streams.clone())
}

/// Creates a client as [`connect`] does, which writes only under a claim.
///
/// # Errors
/// [`ClientError`].
pub fn connect_under(config: &Config, claim: &Claim) -> Result<Client, ClientError> {
    build(config, Some(ClaimLayer(claim.clone())), None, StreamCount::default())
}

fn build(
    config: &Config,
    claim: Option<ClaimLayer>,
    limit: Option<Duration>,
    streams: StreamCount,
) -> Result<Client, ClientError> {
    let boxed = |e: kube::Error| ClientError::Config(Box::new(e));
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(Duration::from_secs(5)));
    // TCP keepalive detects a dead peer within a minute on HTTP/1.1, which has no ping.
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
    // The peer behind a load balancer may never answer the handshake, and a watch has no deadline of its own.
    let connector = MapFuture::new(connector, |connection| {
        Box::pin(async move {
            let late = |_| BoxError::from("the connection and its TLS handshake took too long");
            tokio::time::timeout(HANDSHAKE, connection).await.map_err(late)?
        })
    });
    let create = move || -> HttpClient<_, Body> {
        HttpClient::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(Duration::from_secs(10))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_keep_alive_while_idle(true)
            .http2_adaptive_window(false)
            .build(connector.clone())
    };
    let http = StreamPool::new(create, streams);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(boxed)?)
        .layer(config.extra_headers_layer().map_err(boxed)?)
        // Innermost, because the layers before it may take their time.
        .option_layer(claim)
        .layer(DeadlineLayer(limit))
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::Config;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::{HANDSHAKE, connect, connect_within};

    /// The head of an answer comes at once, and its body never ends.
    #[tokio::test]
    async fn an_answer_that_stops_in_its_body_ends_and_a_watch_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        let client = connect_within(&config, Duration::from_millis(300)).unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let count = stream.read(&mut request).await.unwrap();
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab").await.unwrap();
                    if String::from_utf8_lossy(&request[..count]).contains("watch=true") {
                        tokio::time::sleep(Duration::from_millis(600)).await;
                        stream.write_all(b"cd").await.unwrap();
                    }
                    let _ = stream.read(&mut request).await;
                });
            }
        });
        let get = |path: &str| client.request_text(http::Request::get(path).body(Vec::new()).unwrap());
        let answer = tokio::time::timeout(HANDSHAKE, get("/version")).await.expect("it ends by itself");
        assert!(super::super::error::describe(&answer.unwrap_err()).contains("timed out"));
        assert_eq!(get("/api/v1/pods?watch=true").await.unwrap(), "abcd");
    }

    /// The API server hangs, and the load balancer before it does not. Paused time advances to the next deadline.
    #[tokio::test(start_paused = true)]
    async fn an_unanswered_handshake_ends() {
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
