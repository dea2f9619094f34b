//! A loopback listener whose connections end with it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Accepts connections on a port of its own until it is dropped, which ends them all.
pub(crate) struct Listening {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Listening {
    /// Listens on a free loopback port, and serves each connection as a task of its own.
    pub(crate) async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> anyhow::Result<Listening>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Listening::start_at((Ipv4Addr::LOCALHOST, 0).into(), serve).await
    }

    /// Listens on an address, as [`Listening::start`].
    pub(crate) async fn start_at<F>(
        address: SocketAddr,
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> anyhow::Result<Listening>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            // The listener ends with this task, and so do the connections' tasks.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    // A failed accept means that the machine has run out of file descriptors; the client
                    // tries again.
                    Ok((stream, _)) = listener.accept() => {
                        // A socket that does not take the option is only slower.
                        let _ = stream.set_nodelay(true);
                        connections.spawn(serve(stream));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Listening { address, accepting })
    }

    /// Returns the address on which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
