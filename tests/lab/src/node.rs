//! A real node: kubelet, kube-proxy, containerd and runc in namespaces of their own, on one machine with the control
//! plane.
//!
//! ```text
//! this machine                              | the node's namespaces
//! API server, webhook calls  198.18.n.1     |  198.18.n.2  kubelet, containerd, kube-proxy
//! DNS                        198.18.n.1 ----+----          Pods 198.18.n+1.0/24
//! registries, cloud          198.18.n.3 …   |
//! ```
//!
//! Guarantees: a Pod reaches Services, and the API server reaches the Pods behind them. A registry is reached on 443
//! by its real names, and its authority is trusted for these names only. Nothing is left when the node is dropped:
//! processes, mounts, interfaces, cgroups. If this process is killed, all but empty cgroups end with it, and those are
//! removed by the next node that starts. Nodes that run at once do not meet.
//!
//! Caveats: it needs root and Linux, and what [`missing`] names. A name that is neither of a Service, nor of a registry
//! or cloud that it knows, is not resolved. Images are fetched for the machine's own architecture only.

mod cgroups;
mod config;
mod network;
mod packages;
mod programs;
mod resolver;
mod sandbox;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::{core::v1, discovery::v1::EndpointSlice};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use tokio::net::TcpStream;

pub use self::{
    packages::{missing, usable},
    programs::Programs,
};
use self::{
    resolver::{Names, Resolver},
    sandbox::Sandbox,
};
use crate::{
    cloud::Cloud,
    front::HttpsFront,
    listen::Listening,
    plane::{Plane, until},
    process::Child,
    registry::{Registry, Served},
};

/// Long enough for a machine that compiles at the same time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The API server's port on this machine's end of the pair.
const API_SERVER: u16 = 6443;

/// The address of the ECS metadata service on every machine of the cloud.
const METADATA: &str = "100.100.100.200";

/// A running node; it ends with its Pods when dropped.
pub struct Node {
    // Fields drop in this order: the namespaces last.
    kubelet: Child,
    proxy: Child,
    containerd: Child,
    registries: Vec<Served>,
    forwards: Vec<Listening>,
    _resolver: Resolver,
    names: Names,
    name: String,
    client: Client,
    programs: Programs,
    /// How many addresses of this machine's end are in use.
    addresses: u8,
    sandbox: Sandbox,
}

impl Node {
    /// Starts a node of a plane that was started for one, and returns when Pods can be scheduled on it. It reaches the
    /// registry by the registry's names.
    ///
    /// The connections between the node and this process belong to the runtime that calls this.
    pub async fn start(plane: &Plane, registry: &Registry) -> anyhow::Result<Node> {
        Node::start_with(plane, registry, &[]).await
    }

    /// Starts a node whose kubelet has further flags, such as those of a credential provider.
    pub async fn start_with(plane: &Plane, registry: &Registry, flags: &[String]) -> anyhow::Result<Node> {
        packages::require()?;
        ensure!(plane.is_for_a_node(), "the plane was started without Options::with_node");
        let binaries = plane.binaries().clone();
        let programs = tokio::task::spawn_blocking(move || Programs::find(&binaries)).await??;
        let sandbox = Sandbox::start().await?;
        let subnet = sandbox.pair().subnet();
        let name = format!("node-{}", subnet.number());
        let client = plane.client();

        let gateway = subnet.host(0);
        let forwards = vec![forward((gateway, API_SERVER).into(), loopback(plane.api_server_port())).await?];
        let names = Names::default();
        let resolver = Resolver::start(gateway, client.clone(), names.clone()).await?;
        publish_api_server(&client, gateway).await?;

        let containerd = containerd(&sandbox, &programs).await?;
        let kubelet = kubelet(&sandbox, &programs, plane, &name, flags)?;
        let proxy = proxy(&sandbox, &programs, plane, &name)?;
        let mut node = Node {
            kubelet,
            proxy,
            containerd,
            registries: Vec::new(),
            forwards,
            _resolver: resolver,
            names,
            name,
            client,
            programs,
            addresses: 1,
            sandbox,
        };
        node.trust(registry).await?;
        node.until_ready().await?;
        Ok(node)
    }

    /// Lets the node reach a further registry by the registry's names, and trust its certificate for them.
    pub async fn trust(&mut self, registry: &Registry) -> anyhow::Result<()> {
        ensure!(!registry.names().is_empty(), "the registry has no names");
        let address = self.next_address()?;
        let realm = format!("tokens-{}.aliyuncs.com", self.addresses);
        self.registries.push(registry.serve_at(address.into(), &realm).await?);
        let authority = self.sandbox.dir().join(format!("registry-{}.crt", self.addresses));
        fs::write(&authority, registry.ca_pem())?;
        // containerd goes to the realm with the trust that it has in the registry.
        for name in registry.names() {
            let dir = self.sandbox.dir().join("certs.d").join(name);
            fs::create_dir_all(&dir)?;
            fs::write(dir.join("hosts.toml"), config::trust(name, &authority))?;
        }
        self.add_names(registry.names().iter().cloned().chain([realm]), address)
    }

    /// Lets Pods reach a cloud: its APIs by HTTPS under their real names, with certificates of the front's authority,
    /// and the ECS metadata service at its real address.
    pub async fn serve_cloud(&mut self, cloud: &Cloud, front: &HttpsFront) -> anyhow::Result<()> {
        let address = self.next_address()?;
        let plain = cloud.address().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let plain = loopback(plain.context("the cloud has no port")?);
        self.forwards.push(forward((address, 443).into(), front.address()).await?);
        self.forwards.push(forward((address, 80).into(), plain).await?);
        let regions: Vec<String> = cloud.world(|world| world.regions.keys().cloned().collect());
        let hosts = regions.iter().flat_map(|region| {
            ["cr", "cr-vpc", "sts", "sts-vpc"].map(|product| format!("{product}.{region}.aliyuncs.com"))
        });
        self.add_names(hosts.chain(["sts.aliyuncs.com".to_owned()]), address)?;
        let rules = format!(
            "table ip acr-lab {{\nchain metadata {{\ntype nat hook prerouting priority -110\n\
             ip daddr {METADATA} tcp dport 80 dnat to {address}\n}}\n}}\n"
        );
        let file = self.sandbox.dir().join("metadata.nft");
        fs::write(&file, rules)?;
        let nft = self.sandbox.program("nft".as_ref(), &self.programs).arg("-f").arg(file);
        self.sandbox.run(nft).await.map(drop)
    }

    fn next_address(&mut self) -> anyhow::Result<Ipv4Addr> {
        let address = self.sandbox.pair().add(self.addresses)?;
        self.addresses += 1;
        Ok(address)
    }

    fn add_names(&self, names: impl IntoIterator<Item = String>, address: Ipv4Addr) -> anyhow::Result<()> {
        self.names.add(names, address);
        // In place: the file is mounted.
        Ok(fs::write(self.sandbox.dir().join("hosts"), self.names.hosts())?)
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        let nodes: Api<v1::Node> = Api::all(self.client.clone());
        let ready = await_condition(nodes, &self.name, |node: Option<&v1::Node>| node.is_some_and(is_ready));
        let ended = async {
            loop {
                for child in [&self.containerd, &self.kubelet, &self.proxy] {
                    if let Some(status) = child.exit_status() {
                        return format!("{} ended with {status}:\n{}", child.name(), child.log_tail(30));
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            found = tokio::time::timeout(PATIENCE, ready) => match found {
                Ok(found) => Ok(found.map(drop)?),
                Err(_) => bail!("the node is not ready after {PATIENCE:?}:\n{}", self.kubelet.log_tail(30)),
            },
            message = ended => bail!("{message}"),
        }
    }

    /// Returns its name in the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its address in the cluster.
    pub fn address(&self) -> Ipv4Addr {
        self.sandbox.pair().subnet().node()
    }

    /// Returns this machine's address on the node's network, at which Pods reach what listens there.
    pub fn gateway(&self) -> Ipv4Addr {
        self.sandbox.pair().subnet().host(0)
    }

    /// Returns the program that [`Registry::push_program`] takes for a Pod of a test: it waits to be stopped,
    /// answers HTTP at a port, or connects to a host and a port, whichever it gets as arguments.
    pub fn pod_program(&self) -> PathBuf {
        self.programs.pod()
    }

    /// Returns the kubelet's process, for its log.
    pub fn kubelet(&self) -> &Child {
        &self.kubelet
    }

    /// Returns containerd's process, for its log.
    pub fn containerd(&self) -> &Child {
        &self.containerd
    }

    /// Returns the process with which everything of the node ends.
    pub fn namespaces(&self) -> &Child {
        self.sandbox.holder()
    }

    /// Returns the directories of its cgroups.
    pub fn groups(&self) -> Vec<PathBuf> {
        self.sandbox.groups()
    }

    /// Returns the name of this machine's end of its pair of interfaces.
    pub fn interface(&self) -> String {
        self.sandbox.pair().subnet().interface()
    }

    /// Removes an image from the node, as a full disk would do it.
    pub async fn remove_image(&self, image: &str) -> anyhow::Result<()> {
        let ctr = self.ctr().args(["images", "rm", image]);
        self.sandbox.run(ctr).await.map(drop)
    }

    fn ctr(&self) -> crate::process::Program {
        ctr(&self.sandbox, &self.programs)
    }
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Passes connections on, byte by byte.
async fn forward(from: SocketAddr, to: SocketAddr) -> anyhow::Result<Listening> {
    Listening::start_at(from, move |mut stream| async move {
        // Either side may leave at any time.
        if let Ok(mut server) = TcpStream::connect(to).await {
            let _ = server.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
        }
    })
    .await
}

/// Writes where Pods reach the API server, behind the Service `kubernetes`. The API server does so by itself only with
/// an address of its own.
async fn publish_api_server(client: &Client, gateway: Ipv4Addr) -> anyhow::Result<()> {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "labels": { "kubernetes.io/service-name": "kubernetes" },
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [gateway.to_string()], "conditions": { "ready": true } }],
        "ports": [{ "name": "https", "port": API_SERVER, "protocol": "TCP" }],
    });
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    slices.patch("kubernetes", &PatchParams::apply("lab").force(), &Patch::Apply(&slice)).await?;
    Ok(())
}

async fn containerd(sandbox: &Sandbox, programs: &Programs) -> anyhow::Result<Child> {
    let dir = sandbox.dir();
    fs::create_dir_all(dir.join("certs.d"))?;
    fs::create_dir_all(dir.join("cni"))?;
    fs::write(dir.join("cni/lab.conflist"), config::network(sandbox.pair().subnet()).to_string())?;
    let file = dir.join("containerd.toml");
    fs::write(&file, config::containerd(dir, programs))?;
    let child = sandbox
        .program(&programs.program("containerd"), programs)
        .args(["--log-level=warn", "--config"])
        .arg(file)
        .start()?;
    until(&child, || async {
        let version = ctr(sandbox, programs).arg("version");
        sandbox.run(version).await.is_ok()
    })
    .await?;
    let import = ctr(sandbox, programs).args(["images", "import"]).arg(programs.pause_archive());
    sandbox.run(import).await?;
    Ok(child)
}

fn ctr(sandbox: &Sandbox, programs: &Programs) -> crate::process::Program {
    let program = sandbox.program(&programs.program("ctr"), programs);
    program.args(["--address", config::CONTAINERD, "--namespace", "k8s.io"])
}

fn kubelet(
    sandbox: &Sandbox,
    programs: &Programs,
    plane: &Plane,
    name: &str,
    flags: &[String],
) -> anyhow::Result<Child> {
    let subnet = sandbox.pair().subnet();
    let server = format!("https://{}:{API_SERVER}", subnet.host(0));
    let kubeconfig = plane.kubeconfig_at(&server, &format!("system:node:{name}"), "system:nodes")?;
    let file = sandbox.dir().join("kubelet.json");
    fs::write(&file, config::kubelet(sandbox.dir(), subnet, &plane.dir().join("ca.crt")).to_string())?;
    sandbox
        .program(&plane.binaries().path("kubelet"), programs)
        .arg(format!("--config={}", file.display()))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--hostname-override={name}"))
        .arg(format!("--node-ip={}", subnet.node()))
        .args(flags)
        .start()
}

fn proxy(sandbox: &Sandbox, programs: &Programs, plane: &Plane, name: &str) -> anyhow::Result<Child> {
    let subnet = sandbox.pair().subnet();
    let server = format!("https://{}:{API_SERVER}", subnet.host(0));
    let kubeconfig = plane.kubeconfig_at(&server, "system:kube-proxy", "lab")?;
    let file = sandbox.dir().join("kube-proxy.json");
    fs::write(&file, config::proxy(&kubeconfig, name, subnet).to_string())?;
    sandbox
        .program(&plane.binaries().path("kube-proxy"), programs)
        .arg(format!("--config={}", file.display()))
        .start()
}

fn is_ready(node: &v1::Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let tainted =
        node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).is_some_and(|taints| !taints.is_empty());
    !tainted && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
