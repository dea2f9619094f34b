//! The cluster's DNS: names of Services, and names of the cloud and its registries. It asks no other resolver, so that
//! nothing of the lab depends on the machine's network.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use anyhow::Context;
use hickory_proto::{
    op::{Message, MessageType, Metadata, ResponseCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use tokio::{net::UdpSocket, task::JoinHandle};

use crate::process::lock;

/// The port of DNS.
const PORT: u16 = 53;

/// The domain of the cluster's Services.
pub(super) const DOMAIN: &str = "cluster.local";

/// How long a client may keep an answer, in seconds: an object may be another one right after.
const TTL: u32 = 0;

/// Names outside the cluster and their addresses.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<BTreeMap<String, Ipv4Addr>>>);

/// A running resolver; it ends when dropped.
pub(super) struct Resolver {
    answering: JoinHandle<()>,
}

impl Names {
    pub(super) fn add(&self, names: impl IntoIterator<Item = String>, address: Ipv4Addr) {
        lock(&self.0).extend(names.into_iter().map(|name| (name, address)));
    }

    /// Returns them as the content of a hosts file.
    pub(super) fn hosts(&self) -> String {
        let own = "127.0.0.1 localhost\n".to_owned();
        own + &lock(&self.0).iter().map(|(name, address)| format!("{address} {name}\n")).collect::<String>()
    }

    fn address(&self, name: &str) -> Option<Ipv4Addr> {
        lock(&self.0).get(name).copied()
    }
}

impl Resolver {
    /// Starts a resolver at an address.
    pub(super) async fn start(at: Ipv4Addr, client: Client, names: Names) -> anyhow::Result<Resolver> {
        let address = SocketAddr::from((at, PORT));
        let socket =
            Arc::new(UdpSocket::bind(address).await.with_context(|| format!("cannot listen on {address}"))?);
        let answering = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            // A failed receive concerns one datagram; the client asks again.
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
                let Ok(query) = Message::from_vec(&buffer[..length]) else { continue };
                let (socket, client, names) = (Arc::clone(&socket), client.clone(), names.clone());
                tokio::spawn(async move {
                    if let Ok(reply) = answer(query, &client, &names).await.to_vec() {
                        let _ = socket.send_to(&reply, from).await;
                    }
                });
            }
        });
        Ok(Resolver { answering })
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

async fn answer(query: Message, client: &Client, names: &Names) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&query.metadata);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.authoritative = true;
    reply.metadata.recursion_available = true;
    for question in &query.queries {
        let name = question.name().to_lowercase().to_ascii();
        match find(name.trim_end_matches('.'), client, names).await {
            // A name that has only another type of address exists; otherwise clients would try no further.
            Ok(Some(address)) => {
                if question.query_type() == RecordType::A {
                    let data = RData::A(A(address));
                    reply.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
                }
            }
            Ok(None) => reply.metadata.response_code = ResponseCode::NXDomain,
            Err(_) => reply.metadata.response_code = ResponseCode::ServFail,
        }
    }
    reply.add_queries(query.queries);
    reply
}

async fn find(name: &str, client: &Client, names: &Names) -> kube::Result<Option<Ipv4Addr>> {
    let Some((service, namespace)) = service(name) else { return Ok(names.address(name)) };
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = services.get_opt(service).await?;
    Ok(found.and_then(|service| service.spec?.cluster_ip?.parse().ok()))
}

/// Returns the name and the namespace of a Service from `name.namespace.svc.cluster.local`.
fn service(name: &str) -> Option<(&str, &str)> {
    let (service, namespace) = name.strip_suffix(DOMAIN)?.strip_suffix(".svc.")?.split_once('.')?;
    (!namespace.contains('.')).then_some((service, namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_of_two_labels_is_a_service() {
        assert_eq!(service("kubernetes.default.svc.cluster.local"), Some(("kubernetes", "default")));
        for other in ["a.b.c.svc.cluster.local", "default.svc.cluster.local", "a.b.svc.example.com", "a.b"] {
            assert_eq!(service(other), None, "{other}");
        }
    }

    #[test]
    fn a_hosts_file_has_each_name() {
        let names = Names::default();
        names.add(["b.example.com".to_owned(), "a.example.com".to_owned()], Ipv4Addr::new(198, 18, 0, 4));
        let expected = "127.0.0.1 localhost\n198.18.0.4 a.example.com\n198.18.0.4 b.example.com\n";
        assert_eq!(names.hosts(), expected);
        assert_eq!(names.address("a.example.com"), Some(Ipv4Addr::new(198, 18, 0, 4)));
    }
}
