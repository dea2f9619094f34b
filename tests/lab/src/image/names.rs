//! The cloud under its real names, for a client that has nothing but a resolver: a name server, and an address
//! where the cloud listens on the port of HTTPS.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
};

use crate::process::{Scratch, lock};

/// The domain of every API of the cloud.
const ZONE: &str = ".aliyuncs.com";

/// The search list and the options that the kubelet gives to a Pod.
const SEARCH: &str =
    "search acr-credential-system.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";

/// How many addresses of loopback are tried: another process may use one.
const ATTEMPTS: usize = 20;

/// A name server and the cloud's address; both end when this is dropped. Needs the right to the ports 53 and
/// 443.
pub struct CloudNames {
    dir: Scratch,
    asked: Arc<Mutex<Vec<String>>>,
    tasks: [JoinHandle<()>; 2],
}

impl CloudNames {
    /// Starts a name server that answers each name of the cloud's APIs with an address, where connections are
    /// passed on to `front`.
    pub async fn start(front: SocketAddr) -> anyhow::Result<CloudNames> {
        let mut attempt = 1;
        let (address, server, listener) = loop {
            let address = Ipv4Addr::new(127, fastrand::u8(1..=254), fastrand::u8(..), fastrand::u8(1..=254));
            match (UdpSocket::bind((address, 53)).await, TcpListener::bind((address, 443)).await) {
                (Ok(server), Ok(listener)) => break (address, server, listener),
                (Err(error), _) | (_, Err(error)) if attempt == ATTEMPTS => {
                    return Err(error).context("no address of loopback with the ports 53 and 443");
                }
                _ => attempt += 1,
            }
        };
        let dir = Scratch::new("acr-lab-names-")?;
        std::fs::write(dir.path().join("resolv.conf"), format!("nameserver {address}\n{SEARCH}"))?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let names = tokio::spawn(serve(server, address, Arc::clone(&asked)));
        let passing = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, front));
            }
        });
        Ok(CloudNames { dir, asked, tasks: [names, passing] })
    }

    /// Returns a file as the kubelet writes it to a Pod's `/etc/resolv.conf`.
    pub fn resolv_conf(&self) -> PathBuf {
        self.dir.path().join("resolv.conf")
    }

    /// Returns the names that were asked for and exist.
    pub fn resolved(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}

impl Drop for CloudNames {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(server: UdpSocket, address: Ipv4Addr, asked: Arc<Mutex<Vec<String>>>) {
    let mut buffer = [0; 512];
    while let Ok((length, client)) = server.recv_from(&mut buffer).await {
        let Some((name, reply)) = buffer.get(..length).and_then(|query| answer(query, address)) else {
            continue;
        };
        if name.ends_with(ZONE) {
            lock(&asked).push(name);
        }
        // A client that is gone needs no answer.
        let _ = server.send_to(&reply, client).await;
    }
}

async fn pass(mut client: TcpStream, front: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(front).await else { return };
    // An error is an end that left.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

/// Returns the name that a query asks for, and the reply in the form of RFC 1035.
fn answer(query: &[u8], address: Ipv4Addr) -> Option<(String, Vec<u8>)> {
    const HEADER: usize = 12;
    let (mut at, mut labels) = (HEADER, Vec::new());
    loop {
        let length = usize::from(*query.get(at)?);
        let label = query.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
    let name = labels.join(".");
    let kind = query.get(at..at + 2)?;
    let exists = name.ends_with(ZONE);
    // An existing name has no other kind of address than the first.
    let found = exists && kind == [0, 1];
    let mut reply = query.get(..2)?.to_vec();
    // A reply with recursion, and the code NXDOMAIN for a name that does not exist.
    reply.extend([0x81, if exists { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
    reply.extend(query.get(HEADER..at + 4)?);
    if found {
        // The name by reference, an address of the Internet, valid for a second.
        reply.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend(address.octets());
    }
    Some((name, reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u8) -> Vec<u8> {
        let mut query = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, kind, 0, 1]);
        query
    }

    #[test]
    fn a_name_of_the_cloud_has_one_address_and_another_name_does_not_exist() {
        let address = Ipv4Addr::new(127, 1, 2, 3);
        let (name, reply) = answer(&query("cr.cn-hangzhou.aliyuncs.com", 1), address).unwrap();
        assert_eq!(name, "cr.cn-hangzhou.aliyuncs.com");
        assert_eq!((&reply[..2], reply[3] & 15, reply[7]), (&[7, 8][..], 0, 1));
        assert_eq!(reply[reply.len() - 4..], [127, 1, 2, 3]);
        let (_, reply) = answer(&query("cr.cn-hangzhou.aliyuncs.com", 28), address).unwrap();
        assert_eq!((reply[3] & 15, reply[7]), (0, 0), "no address of the sixth version");
        let (_, reply) = answer(&query("cr.cn-hangzhou.aliyuncs.com.cluster.local", 1), address).unwrap();
        assert_eq!((reply[3] & 15, reply[7]), (3, 0));
        assert_eq!(answer(&[7, 8, 1], address), None);
    }
}
