//! Several servers behind one address, as a Service has them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{io::copy_bidirectional, net::TcpStream};

use crate::{listen::Listening, process::lock};

/// Leads each connection to the next server; it ends, with its connections, when dropped.
///
/// Like kube-proxy it does not know a server's health: a connection to a server that does not accept it is
/// lost, for as long as that server is listed.
pub struct Balancer {
    listening: Listening,
    servers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    /// Starts a balancer on a port of its own; the servers need not run yet.
    pub async fn start(servers: Vec<SocketAddr>) -> anyhow::Result<Balancer> {
        let turn = Arc::new(AtomicUsize::new(0));
        let servers = Arc::new(Mutex::new(servers));
        let known = Arc::clone(&servers);
        let listening = Listening::start(move |mut stream| {
            let (servers, turn) = (Arc::clone(&known), Arc::clone(&turn));
            async move {
                let next = {
                    let servers = lock(&servers);
                    let turn = turn.fetch_add(1, Ordering::Relaxed).checked_rem(servers.len());
                    turn.map(|turn| servers[turn])
                };
                let Some(server) = next else { return };
                let Ok(mut upstream) = TcpStream::connect(server).await else { return };
                let _ = upstream.set_nodelay(true);
                // An error is a side that left.
                let _ = copy_bidirectional(&mut stream, &mut upstream).await;
            }
        })
        .await?;
        Ok(Balancer { listening, servers })
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Sends no new connection to this server; open ones stay.
    pub fn leave(&self, server: SocketAddr) {
        lock(&self.servers).retain(|known| *known != server);
    }

    /// Sends new connections to this server, too.
    pub fn join(&self, server: SocketAddr) {
        lock(&self.servers).push(server);
    }
}
