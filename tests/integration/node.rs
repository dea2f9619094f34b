//! A real node: Pods that run, or are refused, by what the controller wrote.

mod admission;
mod cached;
mod chart;
mod credential_provider;
mod documented;
mod explain;
mod in_pod;
mod installed;
mod moving;
mod pulls;
mod rotation;
mod stuck;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use acr_lab::cloud::Cloud;
use acr_lab::controller::ControllerOptions;
use acr_lab::node::Node;
use acr_lab::plane::{Options, Plane, ReusedPlane};
use acr_lab::registry::{Registry, Verdict};
use k8s_openapi::api::core::v1::{ContainerStateWaiting, Event, Pod};
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::harness::{Lab, PATIENCE, install};

/// The name that the registry has in the cloud's own network.
pub const HOST: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
pub const REPOSITORY: &str = "team/app";

/// The login that the documented component is supposed to have left.
pub const LEGACY: (&str, &str) = ("legacy", "legacy-token");

/// The login of the cluster's administrator, for images that are needed before any binding.
pub const PLATFORM: (&str, &str) = ("platform", "platform-token");

/// Nodes at once: each takes as much of the machine as several other tests.
static TURNS: Semaphore = Semaphore::const_new(1);

/// A node, and a registry that counts the passwords it was shown.
pub struct Site {
    pub node: Node,
    pub registry: Registry,
    shown: Arc<AtomicUsize>,
    cloud: Arc<OnceLock<Cloud>>,
    _turn: SemaphorePermit<'static>,
}

/// A site with a cloud and a controller.
pub struct Cluster {
    // The node ends before its control plane.
    pub site: Site,
    pub lab: Lab,
}

pub fn image() -> String {
    format!("{HOST}/{REPOSITORY}:latest")
}

/// Waits for this test's turn, and starts a control plane that runs Pods. It is not used again: a node leaves more than
/// objects.
pub async fn plane() -> (Plane, SemaphorePermit<'static>) {
    plane_with(Options::default()).await
}

/// Does so with further options.
pub async fn plane_with(options: Options) -> (Plane, SemaphorePermit<'static>) {
    let turn = TURNS.acquire().await.unwrap();
    (Plane::start(options.with_node()).await.unwrap(), turn)
}

impl Site {
    /// Starts a registry and a node. The registry accepts the tokens of a cloud that is given later.
    pub async fn start(plane: &Plane, turn: SemaphorePermit<'static>) -> Self {
        Self::start_with(plane, turn, &[]).await
    }

    /// Does so with further flags of the kubelet.
    pub async fn start_with(plane: &Plane, turn: SemaphorePermit<'static>, flags: &[String]) -> Self {
        let (shown, cloud): (Arc<AtomicUsize>, Arc<OnceLock<Cloud>>) = Default::default();
        let (count, judged_by) = (shown.clone(), cloud.clone());
        let judge = Arc::new(move |user: &str, token: &str| {
            count.fetch_add(1, Ordering::Relaxed);
            let cloud = judged_by.get();
            let known = [LEGACY, PLATFORM].contains(&(user, token));
            if known || cloud.is_some_and(|c| c.token_may_pull(user, token, "cri-demo0001")) {
                Verdict::MayPull
            } else if cloud.is_some_and(|c| c.token_valid(user, token, "cri-demo0001")) {
                Verdict::Authenticated
            } else {
                Verdict::Rejected
            }
        });
        let registry = Registry::judged("cri-demo0001", judge).await.unwrap().named(&[HOST]);
        let node = Node::start_with(plane, &registry, flags).await.unwrap();
        registry.push_program(REPOSITORY, &node.pod_program()).await.unwrap();
        Self { node, registry, shown, cloud, _turn: turn }
    }

    pub fn accept_tokens_of(&self, cloud: &Cloud) {
        assert!(self.cloud.set(cloud.clone()).is_ok(), "there is one cloud");
    }

    /// Returns how many passwords the registry was shown: one a pull.
    pub fn pulls(&self) -> usize {
        self.shown.load(Ordering::Relaxed)
    }
}

impl Cluster {
    pub async fn start() -> Self {
        Self::start_with(&[], |options| options).await
    }

    /// Starts a cluster with further manifests and changed controller options.
    pub async fn start_with(
        files: &[&str],
        change: impl FnOnce(ControllerOptions) -> ControllerOptions,
    ) -> Self {
        let (plane, turn) = plane().await;
        install(&plane, &[]).await.unwrap();
        for file in files {
            plane.apply_file(crate::harness::root().join(file)).await.unwrap();
        }
        let site = Site::start(&plane, turn).await;
        // A machine that is busy with Pods must not cost the lease.
        let lab =
            Lab::start_on(ReusedPlane::from(plane), |_, options| change(options).arg("--lease-duration=2m"))
                .await;
        site.accept_tokens_of(&lab.cloud);
        Self { site, lab }
    }

    /// Creates a Pod that pulls its image if the node lacks it.
    pub async fn create_pod(&self, namespace: &str, name: &str) {
        create_pod(&self.lab.namespaced(namespace), name, "IfNotPresent").await;
    }

    /// Waits until a Pod runs.
    pub async fn until_running(&self, namespace: &str, name: &str) {
        until_running(&self.lab.namespaced(namespace), name, &self.site.node).await;
    }

    /// Waits until a Pod's image is refused, and returns the message.
    pub async fn until_refused(&self, namespace: &str, name: &str) -> String {
        let pods: Api<Pod> = self.lab.namespaced(namespace);
        let mut found = None;
        self.lab
            .until(&format!("{namespace}/{name} is refused"), async || {
                let pod = pods.get(name).await.unwrap();
                assert_ne!(phase(&pod), "Running", "{namespace}/{name} has no right to run");
                found = waiting(&pod).filter(|w| w.reason.as_deref() == Some("ErrImagePull"));
                found.is_some()
            })
            .await;
        found.unwrap().message.unwrap()
    }
}

pub async fn create_pod(pods: &Api<Pod>, name: &str, policy: &str) {
    let object = json!({ "metadata": { "name": name }, "spec": pod_spec(policy) });
    pods.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

pub fn pod_spec(policy: &str) -> Value {
    json!({
        "containers": [{ "name": "app", "image": image(), "imagePullPolicy": policy }],
        // It ends at once when it is asked to.
        "terminationGracePeriodSeconds": 1,
    })
}

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Returns why the container of a Pod waits.
pub fn waiting(pod: &Pod) -> Option<ContainerStateWaiting> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.first()?.state.as_ref()?.waiting.clone()
}

pub async fn until_running(pods: &Api<Pod>, name: &str, node: &Node) {
    let end = Instant::now() + PATIENCE;
    loop {
        let pod = pods.get(name).await.unwrap();
        if phase(&pod) == "Running" {
            return;
        }
        let log = || node.kubelet().log_tail(20);
        assert!(Instant::now() < end, "{name} does not run: {:?}\n{}", pod.status, log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the messages of pulls that failed in a namespace, of Pods that are gone as well.
pub async fn failed_pulls(events: &Api<Event>) -> Vec<String> {
    let all = events.list(&ListParams::default().fields("reason=Failed")).await.unwrap();
    all.items.into_iter().filter_map(|event| event.message).collect()
}

/// Creates a Pod each second that pulls its image in any case.
pub struct PodEachSecond {
    done: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<usize>,
    pods: Api<Pod>,
    events: Api<Event>,
}

impl PodEachSecond {
    pub fn start(client: &kube::Client, namespace: &str) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let (done, made) = (Arc::<AtomicBool>::default(), pods.clone());
        let stop = done.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                ticks.tick().await;
                create_pod(&made, &format!("pod-{count}"), "Always").await;
                count += 1;
            }
            count
        });
        Self { done, task, pods, events: Api::namespaced(client.clone(), namespace) }
    }

    /// Ends the creation. Each Pod must run, and none of their pulls may have been refused.
    pub async fn all_ran(self, node: &Node) {
        self.done.store(true, Ordering::Relaxed);
        let count = self.task.await.unwrap();
        for number in 0..count {
            until_running(&self.pods, &format!("pod-{number}"), node).await;
        }
        assert_eq!(failed_pulls(&self.events).await, Vec::<String>::new(), "of {count} Pods");
        assert!(count >= 5, "only {count} Pods");
    }
}
