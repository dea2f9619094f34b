//! A forwarder before an API server that counts what a client reads. It does not look into TLS.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

use crate::{listen::Listening, plane::Plane};

/// The forwarder; it ends, with its connections, when dropped.
pub struct Meter {
    read: Arc<AtomicU64>,
    kubeconfig: PathBuf,
    _listening: Listening,
}

impl Meter {
    /// Starts it before a plane's API server, with a copy of a kubeconfig of that plane which leads through it.
    pub async fn start(plane: &Plane, kubeconfig: &Path) -> anyhow::Result<Meter> {
        let server: SocketAddr = plane.url().trim_start_matches("https://").trim_end_matches('/').parse()?;
        let read = Arc::new(AtomicU64::new(0));
        let listening = Listening::start({
            let read = Arc::clone(&read);
            move |client| {
                let read = Arc::clone(&read);
                async move {
                    // A client whose server is not reached sees its connection closed.
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        forward(from_client, to_server, None),
                        forward(from_server, to_client, Some(&read))
                    );
                }
            }
        })
        .await?;
        let text = tokio::fs::read_to_string(kubeconfig).await.context("the kubeconfig cannot be read")?;
        let copy = kubeconfig.with_extension("metered");
        tokio::fs::write(&copy, text.replace(plane.url(), &format!("https://{}", listening.address())))
            .await?;
        Ok(Meter { read, kubeconfig: copy, _listening: listening })
    }

    /// Returns the kubeconfig that leads through it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns the bytes that the server has sent since the last call.
    pub fn take(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }
}

/// Forwards one direction until it ends.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counter: Option<&AtomicU64>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Some(counter) = counter {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
        if to.write_all(buffer.get(..count).unwrap_or_default()).await.is_err() {
            break;
        }
    }
    // The other side may have left already.
    let _ = to.shutdown().await;
}
