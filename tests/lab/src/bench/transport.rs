//! The bench's connections to the API server: the fastest known, so that the floor is a true floor.

use std::path::Path;

use anyhow::Context;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt},
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::{BoxError, ServiceBuilder};

/// A way to send requests.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// As many connections as there are requests at a time.
    Http1,
    /// This many connections, each with many requests at a time.
    Http2(usize),
}

impl Kind {
    /// The candidates for the floor's transport.
    pub(super) const ALL: [Kind; 3] = [Kind::Http1, Kind::Http2(1), Kind::Http2(4)];

    /// Returns the transport's name for readers.
    pub(super) fn name(self) -> String {
        match self {
            Kind::Http1 => "HTTP/1.1 with nodelay".to_owned(),
            Kind::Http2(1) => "HTTP/2 with nodelay on one connection".to_owned(),
            Kind::Http2(connections) => format!("HTTP/2 with nodelay on {connections} connections"),
        }
    }
}

/// Clients of one kind, to be used in turn.
#[derive(Clone)]
pub(crate) struct Transport {
    /// The kind of the connections.
    pub(crate) kind: Kind,
    clients: Vec<Client>,
}

impl Transport {
    /// Opens the connections. A client that gets many requests before its first response would open one
    /// connection for each, with HTTP/2 too. So each client has one request behind it when this returns.
    pub(crate) async fn open(kubeconfig: &Path, kind: Kind) -> anyhow::Result<Transport> {
        let config = read(kubeconfig).await?;
        let connections = match kind {
            Kind::Http1 => 1,
            Kind::Http2(connections) => connections,
        };
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            let client = client(&config, kind)?;
            client.apiserver_version().await.context("the API server does not answer the bench")?;
            clients.push(client);
        }
        Ok(Transport { kind, clients })
    }

    /// Returns the client for a worker.
    pub(crate) fn client(&self, worker: usize) -> Client {
        self.clients[worker % self.clients.len()].clone()
    }
}

async fn read(kubeconfig: &Path) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

fn client(config: &Config, kind: Kind) -> anyhow::Result<Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_only();
    let connector = match kind {
        Kind::Http1 => tls.enable_http1().wrap_connector(tcp),
        Kind::Http2(_) => tls.enable_http2().wrap_connector(tcp),
    };
    let http: HttpClient<_, Body> =
        HttpClient::builder(TokioExecutor::new()).http2_only(matches!(kind, Kind::Http2(_))).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
