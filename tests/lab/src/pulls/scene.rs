//! One cluster with a node, and what the measurement does in it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use acr_lab::{
    cloud::{Cloud, CloudConfig},
    controller::{Controller, ControllerOptions},
    node::{Node, missing},
    plane::{Options, Plane},
    registry::{Registry, Verdict},
};
use anyhow::{bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, ServiceAccount};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::{Value, json};

use super::image;
use crate::bench::{CONTROLLER, NAMESPACE, SECRET, setup::MANIFESTS};

pub(super) const HOST: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often to look.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Pods that start at the same time.
const AT_ONCE: usize = 10;

pub(super) struct Scene {
    // Fields drop in this order: clients before their servers.
    node: Node,
    controller: Controller,
    _registry: Registry,
    shown: Arc<AtomicUsize>,
    client: Client,
    _cloud: Cloud,
    plane: Plane,
}

impl Scene {
    pub(super) async fn start(binary: PathBuf) -> anyhow::Result<Scene> {
        if let Some(missing) = missing() {
            bail!("{missing}");
        }
        let plane = Plane::start(Options::default().with_node()).await?;
        let cloud = Cloud::start(CloudConfig::demo()).await?;
        for manifest in MANIFESTS {
            plane.apply_file(root().join(manifest)).await?;
        }
        let shown = Arc::new(AtomicUsize::new(0));
        let (count, judge) = (Arc::clone(&shown), cloud.clone());
        let judge = move |user: &str, token: &str| {
            count.fetch_add(1, Ordering::Relaxed);
            if judge.token_may_pull(user, token, "cri-demo0001") {
                Verdict::MayPull
            } else {
                Verdict::Rejected
            }
        };
        let registry = Registry::judged("cri-demo0001", Arc::new(judge)).await?.named(&[HOST]);
        let node = Node::start(&plane, &registry).await?;
        registry.push_program("team/app", &node.pod_program()).await?;
        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await?;
        // A machine that is busy with Pods must not cost the lease.
        let options = ControllerOptions::new(binary, kubeconfig, cloud.address()).arg("--lease-duration=2m");
        let controller = Controller::start_ready(options, PATIENCE).await?;
        let client = plane.client();
        Ok(Scene { node, controller, _registry: registry, shown, client, _cloud: cloud, plane })
    }

    /// Returns how many logins the registry has judged.
    pub(super) fn shown(&self) -> usize {
        self.shown.load(Ordering::Relaxed)
    }

    fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn until(
        &self,
        what: &str,
        mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !holds().await? {
            let logs = || format!("{}\n{}", self.controller.log_tail(10), self.node.kubelet().log_tail(10));
            ensure!(Instant::now() < end, "still waiting: {what}\n{}", logs());
            tokio::time::sleep(POLL_EVERY).await;
        }
        Ok(())
    }

    pub(super) async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let object = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        namespaces.create(&PostParams::default(), &object).await?;
        let accounts: Api<ServiceAccount> = self.namespaced(name);
        self.until("a namespace has its ServiceAccount", async || {
            Ok(accounts.get_opt("default").await?.is_some())
        })
        .await
    }

    pub(super) async fn bind(&self, name: &str, namespaces: &[&str], admission: bool) -> anyhow::Result<()> {
        self.apply(&binding(name, namespaces, admission)).await?;
        let condition = if admission { "AdmissionConfigured" } else { "Ready" };
        let (wait, object) = (format!("--for=condition={condition}"), format!("acrcredentialbinding/{name}"));
        self.plane.kubectl_ok(&["wait", &wait, &object, "--timeout=60s"]).await.map(drop)
    }

    /// Waits until a namespace can pull, and returns the content of its Secret.
    pub(super) async fn until_served(&self, namespace: &str) -> anyhow::Result<Vec<u8>> {
        let accounts: Api<ServiceAccount> = self.namespaced(namespace);
        self.until("the ServiceAccount has its entry", async || {
            let found = accounts.get("default").await?.image_pull_secrets.unwrap_or_default();
            Ok(found.iter().any(|entry| entry.name == SECRET))
        })
        .await?;
        let mut found = Vec::new();
        self.until("the Secret exists", async || {
            found = self.content(namespace).await?;
            Ok(!found.is_empty())
        })
        .await?;
        Ok(found)
    }

    async fn content(&self, namespace: &str) -> anyhow::Result<Vec<u8>> {
        let found = self.namespaced::<Secret>(namespace).get_opt(SECRET).await?;
        let data = found.and_then(|secret| secret.data?.remove(".dockerconfigjson"));
        Ok(data.map(|bytes| bytes.0).unwrap_or_default())
    }

    pub(super) async fn create_secret(
        &self,
        namespace: &str,
        name: &str,
        content: &[u8],
    ) -> anyhow::Result<()> {
        let object = json!({
            "metadata": { "name": name },
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": String::from_utf8_lossy(content) },
        });
        let secrets: Api<Secret> = self.namespaced(namespace);
        secrets.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    /// Creates a Pod, waits until it runs, removes it, and returns how long it took to run.
    pub(super) async fn time_to_run(
        &self,
        namespace: &str,
        name: &str,
        spec: &Value,
    ) -> anyhow::Result<Duration> {
        let took = self.run(namespace, name, spec).await?;
        let pods: Api<Pod> = self.namespaced(namespace);
        pods.delete(name, &DeleteParams::default()).await?;
        self.until("the Pod is gone", async || Ok(pods.get_opt(name).await?.is_none())).await?;
        Ok(took)
    }

    async fn run(&self, namespace: &str, name: &str, spec: &Value) -> anyhow::Result<Duration> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let object = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec }))?;
        let started = Instant::now();
        pods.create(&PostParams::default(), &object).await?;
        self.until(&format!("{namespace}/{name} runs"), async || {
            let phase = pods.get(name).await?.status.and_then(|status| status.phase);
            Ok(phase.as_deref() == Some("Running"))
        })
        .await?;
        Ok(started.elapsed())
    }

    /// Runs a Pod in each namespace, some at a time, and returns how long all took.
    pub(super) async fn run_in_each(&self, namespaces: &[String], name: &str) -> anyhow::Result<Duration> {
        let (started, spec) = (Instant::now(), pod_spec("IfNotPresent"));
        let runs = stream::iter(namespaces).map(|namespace| self.run(namespace, name, &spec));
        runs.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        Ok(started.elapsed())
    }

    /// Asks for another token, and waits until each namespace has it.
    pub(super) async fn rotate(&self, name: &str, namespaces: &[String]) -> anyhow::Result<Duration> {
        let mut before = Vec::new();
        for namespace in namespaces {
            before.push(self.content(namespace).await?);
        }
        let started = Instant::now();
        let annotation = "acrcredential.dev/refresh-at=now";
        self.plane.kubectl_ok(&["annotate", "acrcredentialbinding", name, annotation]).await?;
        for (namespace, old) in namespaces.iter().zip(&before) {
            self.until("the Secret is renewed", async || Ok(self.content(namespace).await? != *old)).await?;
        }
        Ok(started.elapsed())
    }

    pub(super) async fn unbind(&self, name: &str, namespaces: &[String]) -> anyhow::Result<()> {
        self.remove(namespaces, std::slice::from_ref(&name.to_owned())).await
    }

    /// Removes namespaces and bindings, and waits until their Pods are gone.
    pub(super) async fn remove(&self, namespaces: &[String], bindings: &[String]) -> anyhow::Result<()> {
        let delete = |kind: &'static str, names: &[String]| {
            let names = names.iter().map(String::as_str);
            let args: Vec<String> =
                ["delete", kind, "--timeout=180s"].into_iter().chain(names).map(str::to_owned).collect();
            args
        };
        for args in [delete("acrcredentialbinding", bindings), delete("namespace", namespaces)] {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            self.plane.kubectl_ok(&args).await?;
        }
        Ok(())
    }

    pub(super) async fn install_admission(&self) -> anyhow::Result<()> {
        self.plane.apply_file(root().join("deploy/admission.yaml")).await.map(drop)
    }

    pub(super) async fn apply(&self, object: &Value) -> anyhow::Result<()> {
        self.plane.apply(&object.to_string()).await.map(drop)
    }

    /// Waits for the Pod of an application, and returns whether it was created with the entry.
    pub(super) async fn has_entry(&self, namespace: &str) -> anyhow::Result<bool> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let mut found = None;
        self.until("the Deployment has its Pod", async || {
            found = pods.list(&ListParams::default()).await?.items.into_iter().next();
            Ok(found.is_some())
        })
        .await?;
        let entries = found.and_then(|pod| pod.spec?.image_pull_secrets).unwrap_or_default();
        Ok(entries.iter().any(|entry| entry.name == SECRET))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns a binding of the demo's first registry for all ServiceAccounts of some namespaces.
pub(super) fn binding(name: &str, namespaces: &[&str], admission: bool) -> Value {
    json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": name },
        "spec": {
            "registries": [{ "instanceId": "cri-demo0001" }],
            "watchNamespaces": { "names": namespaces },
            "serviceAccounts": { "names": ["*"] },
            "webhook": { "enable": admission },
        },
    })
}

pub(super) fn pod_spec(policy: &str) -> Value {
    json!({
        "containers": [{ "name": "app", "image": image(), "imagePullPolicy": policy }],
        "terminationGracePeriodSeconds": 1,
    })
}
