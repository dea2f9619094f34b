//! Connections that say little or nothing, and come back when they are closed.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::FutureExt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

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

/// The time from the end of a connection to the next one.
const PAUSE: Duration = Duration::from_secs(1);

/// Connections that are opened again whenever they are closed; they end when this is dropped.
#[derive(Default)]
struct Intruders {
    tasks: JoinSet<()>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    open: AtomicUsize,
}

impl Intruders {
    /// Keeps one connection open, as far as the other side lets it.
    fn keep<S, F>(&mut self, connect: impl Fn() -> F + Send + 'static)
    where
        S: AsyncRead + Unpin + Send,
        F: Future<Output = std::io::Result<S>> + Send,
    {
        let counts = Arc::clone(&self.counts);
        self.tasks.spawn(async move {
            loop {
                if let Ok(Ok(mut stream)) = tokio::time::timeout(PATIENCE, connect()).await {
                    counts.opened.fetch_add(1, Ordering::SeqCst);
                    counts.open.fetch_add(1, Ordering::SeqCst);
                    let mut answer = [0; 1024];
                    while matches!(stream.read(&mut answer).await, Ok(1..)) {}
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }

    /// Waits until each had its first connection, or was refused it.
    async fn until_there(&self) {
        let started = Instant::now();
        while self.counts.opened.load(Ordering::SeqCst) < self.tasks.len() && started.elapsed() < 2 * PATIENCE
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn found(&self) -> Found {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let (opened, open) = (count(&self.counts.opened), count(&self.counts.open));
        Found::note(format!("{opened} were accepted in all, {open} were open at the end"))
    }
}

/// Opens a connection and sends the beginning of a request.
async fn half(address: String, bytes: usize) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!("GET /metrics HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(bytes));
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

async fn admin(stage: &Stage) -> anyhow::Result<Found> {
    let mut intruders = Intruders::default();
    for number in 0..LARGE + SMALL {
        let bytes = if number < LARGE { HEAD_BYTES } else { 10 };
        let address = stage.keeper.admin_address();
        intruders.keep(move || half(address.clone(), bytes));
        // Some at a time, so that the backlog of the port is not what refuses them.
        if number.is_multiple_of(100) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    intruders.until_there().await;
    stage.scene.in_place();
    stage.scene.until_over().await;
    Ok(intruders.found())
}

async fn webhook(stage: &Stage) -> anyhow::Result<Found> {
    let (connector, port) = (connector(stage).await?, stage.webhook_port);
    let mut intruders = Intruders::default();
    for _ in 0..IDLE {
        let connector = connector.clone();
        intruders.keep(move || {
            let connector = connector.clone();
            async move {
                let address = IpAddr::from([127, 0, 0, 1]);
                let stream = TcpStream::connect((address, port)).await?;
                connector.connect(ServerName::IpAddress(address.into()), stream).await
            }
        });
    }
    intruders.until_there().await;
    stage.scene.in_place();
    stage.scene.until_over().await;
    Ok(intruders.found())
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
