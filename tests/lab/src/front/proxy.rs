//! An HTTP CONNECT proxy that leads every host to one address.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::TcpStream,
};

use crate::{listen::Listening, process::lock};

/// The target of `HTTPS_PROXY`, so that real host names lead to the lab; it ends, with its tunnels, when
/// dropped.
pub struct ConnectProxy {
    shared: Arc<Shared>,
    listening: Listening,
}

struct Shared {
    target: SocketAddr,
    hosts: Mutex<Vec<String>>,
    unresolvable: Mutex<BTreeSet<String>>,
}

impl ConnectProxy {
    /// Starts a proxy that connects port 443 of every host to `target`.
    pub async fn start(target: SocketAddr) -> anyhow::Result<ConnectProxy> {
        let shared = Arc::new(Shared { target, hosts: Mutex::default(), unresolvable: Mutex::default() });
        let listening = Listening::start({
            let shared = Arc::clone(&shared);
            move |stream| {
                let shared = Arc::clone(&shared);
                async move {
                    // An error is a side that left.
                    let _ = shared.serve(stream).await;
                }
            }
        })
        .await?;
        Ok(ConnectProxy { shared, listening })
    }

    /// Returns the value for `HTTPS_PROXY`: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address())
    }

    /// Returns the hosts requested so far, in order, one entry a connection, refused ones included. A request
    /// that does not belong on an HTTPS proxy is recorded as its whole first line.
    pub fn hosts(&self) -> Vec<String> {
        lock(&self.shared.hosts).clone()
    }

    /// Refuses this host with 502 from now on, as a proxy does for an unknown name.
    pub fn unresolvable(&self, host: &str) {
        lock(&self.shared.unresolvable).insert(host.to_owned());
    }

    /// Leads the host to the target again.
    pub fn resolvable(&self, host: &str) {
        lock(&self.shared.unresolvable).remove(host);
    }
}

impl Shared {
    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        // The buffer stays in front of the socket, so that the bytes after the head are not lost.
        let mut client = BufReader::new(stream);
        let mut first = String::new();
        if client.read_line(&mut first).await? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while client.read_line(&mut header).await? > 2 {
            header.clear();
        }
        let Some(address) = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
            lock(&self.hosts).push(first.trim_end().to_owned());
            return refuse(&mut client, "405 Method Not Allowed").await;
        };
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        lock(&self.hosts).push(host.to_owned());
        if port != "443" {
            return refuse(&mut client, "403 Forbidden").await;
        }
        if lock(&self.unresolvable).contains(host) {
            return refuse(&mut client, "502 Bad Gateway").await;
        }
        let Ok(mut target) = TcpStream::connect(self.target).await else {
            return refuse(&mut client, "502 Bad Gateway").await;
        };
        target.set_nodelay(true)?;
        client.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
        copy_bidirectional(&mut client, &mut target).await?;
        Ok(())
    }
}

async fn refuse(client: &mut BufReader<TcpStream>, status: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).await?;
    client.shutdown().await
}
