//! The sockets of the controller's process.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use acr_credential_binding::args::acr_credential_controller;
use acr_lab::controller::Controller;
use acr_lab::plane::free_port;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Lab, NAMESPACE, root, spec};

/// The TCP sockets of a process: local ports that listen, and the peers of open connections by local port.
#[derive(Debug, Default)]
struct Sockets {
    listening: BTreeSet<u16>,
    connected: Vec<(u16, SocketAddr)>,
}

impl Sockets {
    fn of(controller: &Controller) -> Self {
        let process = format!("/proc/{}", controller.pid());
        let descriptors = std::fs::read_dir(format!("{process}/fd")).unwrap();
        let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let inodes: BTreeSet<String> = targets
            .filter_map(|target| {
                Some(target.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
            })
            .collect();
        let mut sockets = Self::default();
        let table = std::fs::read_to_string(format!("{process}/net/tcp")).unwrap();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, peer) = (address(fields[1]), address(fields[2]));
            match fields[3] {
                _ if !inodes.contains(fields[9]) => {}
                "0A" => drop(sockets.listening.insert(local.port())),
                _ => sockets.connected.push((local.port(), peer)),
            }
        }
        sockets
    }

    /// Counts the connections to a port.
    fn to(&self, port: u16) -> usize {
        self.connected.iter().filter(|(local, _)| *local == port).count()
    }

    /// Returns the ports that the process connects to.
    fn opened(&self) -> BTreeSet<u16> {
        let opened = self.connected.iter().filter(|(local, _)| !self.listening.contains(local));
        opened.map(|(_, peer)| peer.port()).collect()
    }
}

/// Reads an address as `/proc/net/tcp` writes it: the address as one number of the machine, then the port.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let ip = u32::from_str_radix(ip, 16).unwrap().to_ne_bytes();
    (ip, u16::from_str_radix(port, 16).unwrap()).into()
}

fn port_of(address: &str) -> u16 {
    address.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap()
}

fn ports(of: &[NetworkPolicyPort]) -> impl Iterator<Item = (String, i32)> {
    let number = |port: &NetworkPolicyPort| match port.port {
        Some(IntOrString::Int(number)) => number,
        ref other => panic!("{other:?} is not a number"),
    };
    of.iter().map(move |port| (port.protocol.clone().unwrap(), number(port)))
}

/// Returns the ports of the Pods that the policy opens, and each port with the addresses that it lets them reach.
fn rules(policy: NetworkPolicy) -> (BTreeSet<i32>, BTreeSet<(String, i32, String)>) {
    let spec = policy.spec.unwrap();
    assert_eq!(spec.policy_types.unwrap(), ["Ingress", "Egress"]);
    let ingress = spec.ingress.unwrap().into_iter().flat_map(|rule| rule.ports.unwrap());
    let opened = ports(&ingress.collect::<Vec<_>>()).map(|(_, port)| port).collect();
    let mut reached = BTreeSet::new();
    for rule in spec.egress.unwrap() {
        let peers = rule.to.unwrap_or_default().into_iter().map(|peer| peer.ip_block.unwrap().cidr);
        let peers: Vec<String> = peers.collect();
        for (protocol, port) in ports(&rule.ports.unwrap()) {
            let peers = if peers.is_empty() { "any".to_owned() } else { peers.join(" ") };
            reached.insert((protocol, port, peers));
        }
    }
    (opened, reached)
}

/// Returns the port in the default of a flag.
fn default_port(flag: &str) -> i32 {
    let command = acr_credential_controller::command();
    let flag = command.get_arguments().find(|argument| argument.get_long() == Some(flag)).unwrap();
    port_of(flag.get_default_values()[0].to_str().unwrap()).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_policy_allows_the_sockets_that_are_used_and_no_others() {
    let webhook = free_port().unwrap();
    let lab = Lab::start_with(|options| options.webhook(webhook, None)).await;
    for file in ["deploy/network-policy.yaml", "deploy/controller.yaml", "deploy/webhook.yaml"] {
        lab.plane.apply_file(root().join(file)).await.unwrap();
    }
    let policies: Api<NetworkPolicy> = Api::namespaced(lab.client.clone(), NAMESPACE);
    let policy = policies.get("acr-credential-controller").await.unwrap();
    let selected = policy.spec.as_ref().unwrap().pod_selector.as_ref().unwrap().match_labels.clone();
    let (opened, reached) = rules(policy);

    // It selects the Pods of the Deployment, and opens the ports of its containers, of the Service and of the flags.
    let deployments: Api<Deployment> = Api::namespaced(lab.client.clone(), NAMESPACE);
    let template = deployments.get("acr-credential-controller").await.unwrap().spec.template;
    assert_eq!(template.metadata.unwrap().labels, selected);
    let containers = template.spec.unwrap().containers;
    let named = containers.into_iter().flat_map(|container| container.ports.unwrap_or_default());
    assert_eq!(named.map(|port| port.container_port).collect::<BTreeSet<_>>(), opened);
    let flags = ["listen-address", "webhook-address"].map(default_port);
    assert_eq!(BTreeSet::from(flags), opened);
    let services: Api<Service> = Api::namespaced(lab.client.clone(), NAMESPACE);
    let service = services.get("acr-credential-webhook").await.unwrap().spec.unwrap();
    assert_eq!(service.ports.unwrap()[0].target_port, Some(IntOrString::Int(flags[1])));

    // The process listens on as many ports, and connects to the API server and the cloud alone.
    lab.create_namespace("reached").await;
    lab.bind("reached", spec(&["reached"])).await;
    lab.until_ready_is("reached", "True", "Succeeded").await;
    let admin = port_of(&lab.controller.address());
    let sockets = Sockets::of(&lab.controller);
    assert_eq!(sockets.listening, BTreeSet::from([admin, webhook]));
    let allowed = BTreeSet::from([port_of(lab.plane.url()), port_of(&lab.cloud.address())]);
    assert!(
        sockets.opened().is_subset(&allowed) && sockets.opened().contains(&port_of(lab.plane.url())),
        "{sockets:?}"
    );
    let tcp = |port, peers: &str| ("TCP".to_owned(), port, peers.to_owned());
    let expected = BTreeSet::from([
        ("UDP".to_owned(), 53, "any".to_owned()),
        tcp(53, "any"),
        tcp(443, "any"),
        tcp(6443, "any"),
        tcp(443, "0.0.0.0/0 ::/0"),
        tcp(80, "100.100.100.200/32"),
    ]);
    assert_eq!(reached, expected);
}

/// The probes of the kubelet are answered, and neither memory nor open connections grow with what a peer opens.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_connections_to_the_admin_port_leave_few_open() {
    let lab = Lab::start().await;
    let admin = lab.controller.address();
    let mut peers = Vec::new();
    for _ in 0..300 {
        let mut half = TcpStream::connect(&admin).await.unwrap();
        // A server that closed it already needs no head.
        let _ = half.write_all(&[&b"GET /readyz HTTP/1.1\r\nx: "[..], &[b'a'; 16_000]].concat()).await;
        peers.push(half);
    }
    assert_eq!(lab.controller.ready().await.unwrap(), None);
    for turn in 0..4_000 {
        let mut small = TcpStream::connect(&admin).await.unwrap();
        let _ = small.write_all(b"GET").await;
        peers.push(small);
        if turn % 1_000 == 0 {
            assert_eq!(lab.controller.ready().await.unwrap(), None);
        }
    }
    assert!(lab.controller.alive().await.unwrap());
    lab.until("all but a few are closed", async || Sockets::of(&lab.controller).to(port_of(&admin)) <= 40)
        .await;
    let peak = lab.controller.peak_rss_kib().unwrap();
    assert!(peak < 64 * 1024, "{peak} KiB");
}
