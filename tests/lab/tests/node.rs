//! The real node, by the Pods that run on it and by what it leaves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, in its helpers too")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use acr_lab::{
    certificates::Authority,
    cloud::{Cloud, CloudConfig},
    front::HttpsFront,
    node::{Node, usable},
    plane::{Options, Plane},
    process::{Program, Scratch, Signal},
    registry::{Registry, Verdict},
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client,
    api::{LogParams, PostParams},
};
use serde_json::{Value, json};

const HOST: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const HELPER_DIR: &str = "ACR_LAB_HELPER_DIR";

/// How long a condition may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to poll a condition.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// A node on a plane of its own, with an image that the Secret `pull` opens.
struct Site {
    node: Node,
    _registry: Registry,
    plane: Plane,
}

impl Site {
    async fn start() -> Site {
        let plane = Plane::start(Options::default().with_node()).await.unwrap();
        Site::on(plane).await
    }

    async fn on(plane: Plane) -> Site {
        let judge = |user: &str, password: &str| match (user, password) {
            ("puller", "right:one") => Verdict::MayPull,
            _ => Verdict::Rejected,
        };
        let registry = Registry::judged("cri-demo0001", Arc::new(judge)).await.unwrap().named(&[HOST]);
        let node = Node::start(&plane, &registry).await.unwrap();
        registry.push_program("team/app", &node.pod_program()).await.unwrap();
        let auths = json!({ "auths": { HOST: { "username": "puller", "password": "right:one" } } });
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "pull", "namespace": "default" },
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": auths.to_string() },
        });
        plane.apply(&secret.to_string()).await.unwrap();
        Site { node, _registry: registry, plane }
    }

    fn client(&self) -> Client {
        self.plane.client()
    }

    async fn create(&self, name: &str, arguments: &[&str]) {
        let pod = json!({ "metadata": { "name": name, "labels": { "app": name } }, "spec": spec(arguments) });
        let pods: Api<Pod> = Api::namespaced(self.client(), "default");
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    async fn until_phase(&self, name: &str, phase: &str) {
        let pods: Api<Pod> = Api::namespaced(self.client(), "default");
        let end = Instant::now() + PATIENCE;
        loop {
            let status = pods.get(name).await.unwrap().status.unwrap_or_default();
            if status.phase.as_deref() == Some(phase) {
                return;
            }
            let logs =
                || format!("{}\n{}", self.node.kubelet().log_tail(20), self.node.containerd().log_tail(10));
            assert!(Instant::now() < end, "{name} is not {phase}: {status:?}\n{}", logs());
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Runs a Pod to its end, and returns what it said.
    async fn said(&self, name: &str, arguments: &[&str]) -> String {
        self.create(name, arguments).await;
        self.until_phase(name, "Succeeded").await;
        let pods: Api<Pod> = Api::namespaced(self.client(), "default");
        pods.logs(name, &LogParams::default()).await.unwrap()
    }
}

fn spec(arguments: &[&str]) -> Value {
    json!({
        "containers": [{ "name": "app", "image": format!("{HOST}/team/app:latest"), "args": arguments }],
        "restartPolicy": "Never",
        "imagePullSecrets": [{ "name": "pull" }],
        "terminationGracePeriodSeconds": 1,
    })
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(POLL_EVERY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_and_the_api_server_reach_services_and_pods_reach_the_cloud() {
    if !usable("pods_and_the_api_server_reach_services_and_pods_reach_the_cloud").unwrap() {
        return;
    }
    let mut site = Site::start().await;
    site.create("server", &["8080"]).await;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "server", "namespace": "default" },
        "spec": { "clusterIP": "10.0.0.77", "selector": { "app": "server" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
    });
    site.plane.apply(&service.to_string()).await.unwrap();
    site.until_phase("server", "Running").await;
    let reached = site.said("api-server", &["kubernetes.default", "443"]).await;
    assert_eq!(reached, "kubernetes.default is reached at 10.0.0.1\n");
    let reached = site.said("by-service", &["server", "80"]).await;
    assert_eq!(reached, "server is reached at 10.0.0.77\n");

    // The API server goes to the Pod behind the Service, as it does for a webhook.
    let path = "/api/v1/namespaces/default/services/server/proxy/";
    assert_eq!(site.plane.kubectl_ok(&["get", "--raw", path]).await.unwrap(), "ok\n");

    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let front = HttpsFront::start(&cloud, &Authority::new().unwrap()).await.unwrap();
    site.node.serve_cloud(&cloud, &front).await.unwrap();
    let host = "cr-vpc.cn-hangzhou.aliyuncs.com";
    let reached = site.said("cloud", &[host, "443"]).await;
    assert!(reached.starts_with(&format!("{host} is reached at 198.1")), "{reached}");
    let reached = site.said("metadata", &["100.100.100.200", "80"]).await;
    assert_eq!(reached, "100.100.100.200 is reached at 100.100.100.200\n");
    // Nothing else has a name, or is answered by another resolver.
    site.create("nowhere", &["example.com", "443"]).await;
    site.until_phase("nowhere", "Failed").await;
    let pods: Api<Pod> = Api::namespaced(site.client(), "default");
    let said = pods.logs("nowhere", &LogParams::default()).await.unwrap();
    assert!(said.starts_with("example.com is not resolved"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_runs_only_with_the_right_password() {
    if !usable("an_image_runs_only_with_the_right_password").unwrap() {
        return;
    }
    let site = Site::start().await;
    let secrets: Api<Secret> = Api::namespaced(site.client(), "default");
    secrets.delete("pull", &Default::default()).await.unwrap();
    site.create("without", &[]).await;
    let pods: Api<Pod> = Api::namespaced(site.client(), "default");
    let end = Instant::now() + PATIENCE;
    let message = loop {
        let pod = pods.get("without").await.unwrap();
        let status = pod.status.and_then(|status| status.container_statuses?.into_iter().next());
        let waiting = status.and_then(|status| status.state?.waiting);
        if let Some(found) = waiting.filter(|waiting| waiting.reason.as_deref() == Some("ErrImagePull")) {
            break found.message.unwrap();
        }
        assert!(Instant::now() < end, "the image is not refused");
        tokio::time::sleep(POLL_EVERY).await;
    };
    assert!(message.contains("insufficient_scope: authorization failed"), "{message}");
}

fn left_groups(of: u32) -> Vec<PathBuf> {
    let Ok(mounts) = fs::read_dir("/sys/fs/cgroup") else { return Vec::new() };
    let mut dirs = vec![PathBuf::from("/sys/fs/cgroup")];
    dirs.extend(mounts.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
    let inside = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    let prefix = format!("acr-lab-node-{of}-");
    let all = inside.map(|entry| entry.path());
    all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
        .collect()
}

fn interface(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name)
}

/// Runs in the process that the test below starts and kills.
async fn be_killed(dir: &Path) {
    let site = Site::start().await;
    site.create("app", &[]).await;
    site.until_phase("app", "Running").await;
    let said = format!("{} {}", site.node.interface(), site.node.namespaces().pid());
    fs::write(dir.join("said.new"), said).unwrap();
    fs::rename(dir.join("said.new"), dir.join("said")).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_do_not_meet_and_nothing_is_left_of_one_that_ends_or_is_killed() {
    if let Some(dir) = env::var_os(HELPER_DIR).map(PathBuf::from) {
        return be_killed(&dir).await;
    }
    if !usable("nodes_do_not_meet_and_nothing_is_left_of_one_that_ends_or_is_killed").unwrap() {
        return;
    }
    let dir = Scratch::new("acr-lab-test-").unwrap();
    let helper = Program::new(env::current_exe().unwrap(), dir.path().join("helper.log"))
        .args(["--exact", "nodes_do_not_meet_and_nothing_is_left_of_one_that_ends_or_is_killed"])
        .env(HELPER_DIR, dir.path())
        .start()
        .unwrap();
    let site = Site::start().await;
    let said = dir.path().join("said");
    until("the other process has a node with a Pod", || {
        assert!(helper.is_running(), "{}", helper.log_tail(30));
        said.exists()
    });
    let said = fs::read_to_string(said).unwrap();
    let (other, holder) = said.split_once(' ').unwrap();
    assert_ne!(site.node.interface(), other, "two at once");
    assert!(interface(other).exists() && interface(&site.node.interface()).exists());
    let groups = left_groups(helper.pid());
    assert!(!groups.is_empty());
    let holder = PathBuf::from(format!("/proc/{holder}"));
    assert!(holder.exists());

    // Only the other process: its group and its watchdog are not touched.
    helper.signal(Signal::KILL).unwrap();
    until("the killed node's interface goes", || !interface(other).exists());
    until("its namespaces end", || !holder.exists() || state(&holder) == Some('Z'));
    let procs = |group: &PathBuf| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    until("its processes end", || groups.iter().all(|group| procs(group).is_empty()));
    // The other one is not touched.
    site.create("still", &[]).await;
    site.until_phase("still", "Running").await;

    let (name, own) = (site.node.interface(), site.node.groups());
    assert!(own.iter().all(|group| group.exists()));
    let Site { node, plane, _registry } = site;
    drop(node);
    assert!(!interface(&name).exists() && !own.iter().any(|group| group.exists()), "all is gone by now");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("acr-lab-node"), "{mounts}");
    // A process that is dead, but that its parent has not heard of, has its number still.
    helper.wait(PATIENCE).await.unwrap();
    let next = Site::on(plane).await;
    assert_eq!(left_groups(helper.pid()), Vec::<PathBuf>::new(), "the next start sweeps");
    drop(next);
}

fn state(process: &Path) -> Option<char> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
