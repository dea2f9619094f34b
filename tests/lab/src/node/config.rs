//! The configuration of a node's programs.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    network::Subnet,
    programs::{PAUSE_IMAGE, Programs},
    resolver::DOMAIN,
};

/// Where containerd serves, in the node's own `/run`.
pub(super) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// Returns containerd's configuration. A JSON string is one of TOML, too.
pub(super) fn containerd(dir: &Path, programs: &Programs) -> String {
    let text = |path: &Path| json!(path.display().to_string());
    let (plugins, networks) = (text(&programs.cni_plugins()), text(&dir.join("cni")));
    let (certificates, runc) = (text(&dir.join("certs.d")), text(&programs.program("runc")));
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
# The first would write to /opt; the machine's kernel may lack what the others need.
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  # In a container, root may not lower it.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {plugins}
    conf_dir = {networks}
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = {certificates}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = {runc}
"#
    )
}

/// Returns the network of Pods: each one is joined to the node by a pair of its own.
pub(super) fn network(subnet: Subnet) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "lab",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni",
                "ranges": [[{ "subnet": subnet.pods() }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

/// Returns the kubelet's configuration. `authority` signs the certificate of the API server that calls it.
pub(super) fn kubelet(dir: &Path, subnet: Subnet, authority: &Path) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": false },
            "x509": { "clientCAFile": authority.display().to_string() },
        },
        "authorization": { "mode": "AlwaysAllow" },
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "clusterDNS": [subnet.host(0).to_string()],
        "clusterDomain": DOMAIN,
        "resolvConf": dir.join("resolv.conf").display().to_string(),
        "volumePluginDir": "/var/lib/kubelet/plugins",
        // Both versions of cgroups, within any limits that are set above.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        // A machine that is almost full is not the node's business.
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%" },
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": false,
        "maxPods": 250,
        // Limits for a cluster that shares a registry would measure themselves here.
        "serializeImagePulls": false,
        "registryPullQPS": 0,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
    })
}

/// Returns kube-proxy's configuration.
pub(super) fn proxy(kubeconfig: &Path, name: &str, subnet: Subnet) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": kubeconfig.display().to_string() },
        "hostnameOverride": name,
        "clusterCIDR": subnet.pods(),
        "nftables": { "minSyncPeriod": "10ms" },
        // These are settings of the whole machine.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpCloseWaitTimeout": "0s",
            "tcpEstablishedTimeout": "0s",
        },
    })
}

/// Returns containerd's trust in a registry that is reached by a name.
pub(super) fn trust(name: &str, authority: &Path) -> String {
    let authority = json!(authority.display().to_string());
    format!(
        "server = \"https://{name}\"\nca = {authority}\n[host.\"https://{name}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = {authority}\n"
    )
}
