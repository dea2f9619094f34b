//! Several servers behind one address, as a Service has them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{io::copy_bidirectional, net::TcpStream};

use crate::listen::Listening;

/// Leads each connection to the next server that takes it; it ends, with its connections, when dropped.
pub struct Balancer {
    listening: Listening,
}

impl Balancer {
    /// Starts one on a port of its own, before servers that need not run yet.
    pub async fn start(servers: Vec<SocketAddr>) -> anyhow::Result<Balancer> {
        let turn = Arc::new(AtomicUsize::new(0));
        let servers: Arc<[SocketAddr]> = servers.into();
        let listening = Listening::start(move |mut stream| {
            let (servers, turn) = (Arc::clone(&servers), Arc::clone(&turn));
            async move {
                let first = turn.fetch_add(1, Ordering::Relaxed);
                for server in servers.iter().cycle().skip(first % servers.len()).take(servers.len()) {
                    let Ok(mut upstream) = TcpStream::connect(server).await else { continue };
                    let _ = upstream.set_nodelay(true);
                    // An error is a side that left.
                    let _ = copy_bidirectional(&mut stream, &mut upstream).await;
                    return;
                }
            }
        })
        .await?;
        Ok(Balancer { listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }
}
