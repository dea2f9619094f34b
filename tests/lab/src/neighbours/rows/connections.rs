//! Connections that say little or nothing.

use std::{net::IpAddr, sync::Arc, time::Duration};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{FutureExt, future::join_all};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Row;
use crate::neighbours::{report::Found, stage::Stage};

pub(super) const ROWS: [Row; 2] = [
    Row::new(
        "admin-connections",
        "300 connections to the admin port with half a head of 390 KB, and 4,000 small ones",
        |stage| admin(stage).boxed_local(),
    ),
    Row::new("webhook-connections", "128 idle TLS connections to the webhook, under `Fail`", |stage| {
        webhook(stage).boxed_local()
    })
    .arranged(|setup| setup.webhook = true),
];

const LARGE: usize = 300;
const SMALL: usize = 4_000;
const HEAD_BYTES: usize = 390_000;
const IDLE: usize = 128;

/// The longest time for a connection and what it sends. A server may refuse either.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a connection and sends the beginning of a request.
async fn half(address: &str, bytes: usize) -> Option<TcpStream> {
    let begun = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET /metrics HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(bytes));
        stream.write_all(head.as_bytes()).await?;
        std::io::Result::Ok(stream)
    };
    tokio::time::timeout(PATIENCE, begun).await.ok()?.ok()
}

/// Returns whether the other side has left a connection open. It has sent nothing, unless it answered.
async fn is_open(stream: &mut (impl AsyncReadExt + Unpin)) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match tokio::time::timeout(Duration::from_millis(1), stream.read(&mut buffer)).await {
            Err(_) => return true,
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return false,
        }
    }
}

async fn count_open<S: AsyncReadExt + Unpin>(streams: impl IntoIterator<Item = S>) -> usize {
    let open =
        join_all(streams.into_iter().map(|mut stream| async move { is_open(&mut stream).await })).await;
    open.into_iter().filter(|open| *open).count()
}

async fn admin(stage: &Stage) -> anyhow::Result<Found> {
    let address = stage.keeper.admin_address();
    let mut streams: Vec<TcpStream> = Vec::new();
    // Some at a time, so that the backlog of the port is not what refuses them.
    for batch in 0..(LARGE + SMALL) / 100 {
        let bytes = if batch < LARGE / 100 { HEAD_BYTES } else { 10 };
        let opened = join_all((0..100).map(|_| half(&address, bytes))).await;
        streams.extend(opened.into_iter().flatten());
    }
    let opened = streams.len();
    stage.scene.in_place();
    stage.scene.until_over().await;
    let open = count_open(streams).await;
    Ok(Found::note(format!("{opened} of {} were accepted, {open} were open at the end", LARGE + SMALL)))
}

async fn webhook(stage: &Stage) -> anyhow::Result<Found> {
    let connector = connector(stage).await?;
    let opened = join_all((0..IDLE).map(|_| idle(&connector, stage.webhook_port))).await;
    let streams: Vec<_> = opened.into_iter().flatten().collect();
    let opened = streams.len();
    stage.scene.in_place();
    stage.scene.until_over().await;
    let open = count_open(streams).await;
    Ok(Found::note(format!("{opened} of {IDLE} were accepted, {open} were open at the end")))
}

async fn idle(connector: &TlsConnector, port: u16) -> Option<TlsStream<TcpStream>> {
    let address = IpAddr::from([127, 0, 0, 1]);
    let connected = async {
        let stream = TcpStream::connect((address, port)).await?;
        connector.connect(ServerName::IpAddress(address.into()), stream).await
    };
    tokio::time::timeout(PATIENCE, connected).await.ok()?.ok()
}

/// Returns a connector that trusts the webhook, as the API server does.
async fn connector(stage: &Stage) -> anyhow::Result<TlsConnector> {
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/acr-credential-webhook";
    let object = stage.get(path).await?.context("the webhook is not registered")?;
    let bundle = object["webhooks"][0]["clientConfig"]["caBundle"].as_str().context("no caBundle")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&STANDARD.decode(bundle)?) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
