//! The command lines of the control plane's programs.

use std::{net::TcpListener, path::Path, time::Duration};

use anyhow::bail;
use tokio::net::TcpStream;

use super::{Options, binaries::Binaries};
use crate::process::{Child, Program};

/// Long enough for a machine that compiles at the same time.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(120);

/// How often to check whether a program is up: nothing can be awaited before it listens.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// The controllers of kube-controller-manager that run: those that create and remove the objects that the
/// product reads or writes. The token controller is one of them. It would fill a Secret of type
/// service-account-token, which the product's policies must not allow.
const CONTROLLERS: [&str; 8] = [
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
];

/// What kube-controller-manager runs besides where Pods run: without the last of them, a node keeps the taint that it
/// begins with.
const NODE_CONTROLLERS: [&str; 8] = [
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "job-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "node-lifecycle-controller",
];

/// What the programs share.
pub(super) struct Setup<'a> {
    pub(super) binaries: &'a Binaries,
    pub(super) dir: &'a Path,
    pub(super) options: &'a Options,
}

/// Returns a loopback port that is free now. Another process may take it before its user does: start again
/// then.
///
/// It is below the ports that a kernel gives to outgoing connections by default. Otherwise a client that
/// retries while a server is down could get the server's own port, and keep it from coming back.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        // The kernel's choice serves as the random draw.
        let drawn = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let port = 20_000 + drawn % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on loopback")
}

impl Setup<'_> {
    /// Starts etcd without fsync: its data need not outlive the machine's next crash.
    pub(super) async fn etcd(&self, port: u16) -> anyhow::Result<Child> {
        let url = format!("http://127.0.0.1:{port}");
        let child = Program::new(self.binaries.path("etcd"), self.dir.join("etcd.log"))
            .arg(format!("--data-dir={}", self.dir.join("etcd").display()))
            .arg(format!("--listen-client-urls={url}"))
            .arg(format!("--advertise-client-urls={url}"))
            .arg("--listen-peer-urls=http://127.0.0.1:0")
            .arg("--unsafe-no-fsync")
            .arg("--quota-backend-bytes=4294967296")
            .arg("--log-level=warn")
            .args(&self.options.extra_etcd_args)
            .start()?;
        // An API server that finds no etcd at first retries only a second later.
        until(&child, || async move { TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await?;
        Ok(child)
    }

    /// Starts kube-apiserver with RBAC and an audit log, without waiting for it to be ready.
    pub(super) fn api_server(&self, port: u16, etcd_port: u16) -> anyhow::Result<Child> {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let issuer = &self.options.service_account_issuer;
        let mut program =
            Program::new(self.binaries.path("kube-apiserver"), self.dir.join("kube-apiserver.log"))
                // A fifth of its start's cost is garbage collection of a heap that only grows then.
                .env("GOGC", "400")
                .arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"))
                // Without the second flag it needs an interface with a route to the outside.
                .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
                .arg(format!("--secure-port={port}"))
                // A loopback address is refused for the endpoints of the Service `kubernetes`.
                .arg("--endpoint-reconciler-type=none")
                .arg("--service-cluster-ip-range=10.0.0.0/24")
                .arg(format!("--cert-dir={}", file("")))
                .arg(format!("--tls-cert-file={}", file("server.crt")))
                .arg(format!("--tls-private-key-file={}", file("server.key")))
                .arg(format!("--client-ca-file={}", file("ca.crt")))
                .arg(format!("--service-account-issuer={issuer}"))
                .arg(format!("--service-account-key-file={}", file("service-account.pub")))
                .arg(format!("--service-account-signing-key-file={}", file("service-account.key")))
                .arg(format!("--authorization-mode={}", if self.options.node { "Node,RBAC" } else { "RBAC" }))
                .arg(format!("--audit-policy-file={}", file("audit-policy.yaml")))
                .arg(format!("--audit-log-path={}", file("audit.log")))
                // Written before the reply is sent, so that a test need not wait for it; never rotated, so
                // that a mark stays valid.
                .args(["--audit-log-mode=blocking", "--audit-log-maxsize=100000"])
                // Fair queuing would make one client's speed depend on the others'.
                .arg("--enable-priority-and-fairness=false")
                .args(["--max-requests-inflight=4000", "--max-mutating-requests-inflight=4000"])
                .arg("--profiling=false");
        let mut plugins = self.options.admission_plugins.clone();
        if self.options.node {
            plugins.push("NodeRestriction".to_owned());
            program = program
                .arg(format!("--kubelet-client-certificate={}", file("kubelet-client.crt")))
                .arg(format!("--kubelet-client-key={}", file("kubelet-client.key")))
                .arg("--kubelet-preferred-address-types=InternalIP")
                // It runs beside the node and not on it, where no kube-proxy leads it to a Service's address.
                .arg("--enable-aggregator-routing=true");
        }
        if !plugins.is_empty() {
            let plugins = plugins.join(",");
            program = program.arg(format!("--enable-admission-plugins={plugins}"));
        }
        program.args(&self.options.extra_api_server_args).start()
    }

    /// Starts kube-scheduler without leader election.
    pub(super) fn scheduler(&self) -> anyhow::Result<Child> {
        let kubeconfig = self.dir.join("kube-scheduler.kubeconfig");
        Program::new(self.binaries.path("kube-scheduler"), self.dir.join("kube-scheduler.log"))
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args(["--leader-elect=false", "--secure-port=0"])
            .args(["--kube-api-qps=2000", "--kube-api-burst=4000"])
            .start()
    }

    /// Starts kube-controller-manager without leader election and with short intervals.
    pub(super) fn controller_manager(&self) -> anyhow::Result<Child> {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let log = self.dir.join("kube-controller-manager.log");
        let more = self.options.controllers.iter().map(String::as_str);
        let of_node = NODE_CONTROLLERS.into_iter().filter(|_| self.options.node);
        let controllers: Vec<&str> = CONTROLLERS.into_iter().chain(of_node).chain(more).collect();
        Program::new(self.binaries.path("kube-controller-manager"), log)
            .arg(format!("--kubeconfig={}", file("kube-controller-manager.kubeconfig")))
            .arg(format!("--controllers={}", controllers.join(",")))
            .arg(format!("--service-account-private-key-file={}", file("service-account.key")))
            .arg(format!("--root-ca-file={}", file("ca.crt")))
            .args(["--leader-elect=false", "--secure-port=0"])
            .arg(format!("--use-service-account-credentials={}", self.options.controllers_as_themselves))
            .args(["--kube-api-qps=2000", "--kube-api-burst=4000"])
            .args(["--concurrent-namespace-syncs=50", "--concurrent-resource-quota-syncs=10"])
            .start()
    }
}

/// Waits until `ready` returns true; fails early, with the log, when the program ends.
pub(crate) async fn until<F: Future<Output = bool>>(
    child: &Child,
    ready: impl Fn() -> F,
) -> anyhow::Result<()> {
    let wait = async {
        loop {
            if let Some(status) = child.exit_status() {
                bail!("{} ended with {status}:\n{}", child.name(), child.log_tail(20));
            }
            if ready().await {
                return Ok(());
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    };
    match tokio::time::timeout(START_TIMEOUT, wait).await {
        Ok(ended) => ended,
        Err(_) => bail!("{} is not up after {START_TIMEOUT:?}:\n{}", child.name(), child.log_tail(20)),
    }
}
