//! A control plane, a cloud, and replicas of the controller behind a proxy.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::observe::State;
use crate::{
    cloud::{Cloud, CloudConfig},
    controller::{Controller, ControllerOptions},
    plane::{FaultProxy, Options, Plane},
    process::lock,
};
use tokio::task::JoinHandle;

/// The namespace that the controller runs in.
pub const NAMESPACE: &str = "acr-credential-system";

/// The ServiceAccount that the controller runs as.
pub const CONTROLLER: &str = "acr-credential-controller";

/// The name that the product's Secret has in every namespace.
pub const SECRET: &str = "acr-credential-secret-aggregation";

/// The ConfigMap of the documented component, and the binding that is made from it.
pub(super) const CONFIG_MAP: &str = "acr-configuration";

/// The manifests to install.
const MANIFESTS: [&str; 4] =
    ["crds/acrcredentialbindings.yaml", "deploy/namespace.yaml", "deploy/rbac.yaml", "deploy/policies.yaml"];

/// The longest wait before a trial fails. A trial that succeeds never waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is checked.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Without a write for so long, all is done: a status follows its cause within a fifth of it.
const QUIET: Duration = Duration::from_millis(1_200);

/// Everything that a trial needs.
pub struct Rig {
    /// The replicas, which reach the API server through the proxy. One that ends is started again, as by a
    /// kubelet, unless it is to stay [down](Rig::keep_down).
    pub replicas: Arc<Vec<Controller>>,
    /// The proxy.
    pub proxy: Arc<FaultProxy>,
    /// The cloud.
    pub cloud: Cloud,
    /// The control plane.
    pub plane: Plane,
    client: Client,
    down: Arc<Mutex<BTreeSet<usize>>>,
    kubelet: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

impl Rig {
    /// Installs the product on a new plane, and starts a replica of each of these builds. All of them are ready when
    /// this returns.
    pub async fn start(
        options: Options,
        builds: &[&Path],
        change: impl Fn(ControllerOptions) -> ControllerOptions,
    ) -> anyhow::Result<Rig> {
        let plane = Plane::start(options).await?;
        for manifest in MANIFESTS {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(manifest);
            plane.apply_file(path).await.with_context(|| format!("{manifest} was not applied"))?;
        }
        let crd = "crd/acrcredentialbindings.acrcredential.dev";
        plane.kubectl_ok(&["wait", "--for=condition=Established", crd, "--timeout=20s"]).await?;
        let cloud = Cloud::start(CloudConfig::demo()).await?;
        plane.enable_rrsa(&cloud).await?;
        let proxy = Arc::new(FaultProxy::start(&plane).await?);
        let kubeconfig = proxy.kubeconfig_for(NAMESPACE, CONTROLLER).await?;
        let mut started = Vec::new();
        for (number, build) in builds.iter().enumerate() {
            let options = ControllerOptions::new(*build, &kubeconfig, cloud.address());
            let options = change(options.pod(&format!("controller-{number}")));
            started.push(Controller::start_ready(options, PATIENCE).await?);
        }
        let (replicas, down) = (Arc::new(started), Arc::default());
        let kubelet = tokio::spawn(restart_ended(Arc::clone(&replicas), Arc::clone(&down)));
        Ok(Rig { replicas, proxy, cloud, client: plane.client(), plane, down, kubelet })
    }

    /// Leaves a replica down once it ends, until it is [started again](Rig::start_again).
    pub fn keep_down(&self, replica: usize) {
        lock(&self.down).insert(replica);
    }

    /// Has a replica started again, if it has ended.
    pub fn start_again(&self, replica: usize) {
        lock(&self.down).remove(&replica);
    }

    /// Returns a client with all rights that does not pass through the proxy.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns the API of bindings, untyped: the lab shares no code with the product.
    pub fn bindings(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("acrcredential.dev", "v1alpha1", "AcrCredentialBinding");
        Api::all_with(self.client(), &ApiResource::from_gvk_with_plural(&kind, "acrcredentialbindings"))
    }

    /// Returns the Secrets of a namespace.
    pub fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client(), namespace)
    }

    /// Returns the ServiceAccounts of a namespace.
    pub fn accounts(&self, namespace: &str) -> Api<ServiceAccount> {
        Api::namespaced(self.client(), namespace)
    }

    /// Creates a namespace, unless it exists, and waits for its first ServiceAccount.
    pub async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client());
        let object = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        unless(409, namespaces.create(&PostParams::default(), &object).await)?;
        self.until("the namespace has its account", PATIENCE, async || {
            Ok(self.accounts(name).get_opt("default").await?.is_some())
        })
        .await
    }

    /// Deletes a namespace with all that is in it, without waiting for that.
    pub async fn delete_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client());
        unless(404, namespaces.delete(name, &DeleteParams::default()).await.map(drop))
    }

    /// Creates a ServiceAccount with entries of its own, unless it exists.
    pub async fn create_account(&self, namespace: &str, name: &str, entries: &[&str]) -> anyhow::Result<()> {
        let entries: Vec<Value> = entries.iter().map(|entry| json!({ "name": entry })).collect();
        let object = json!({ "metadata": { "name": name }, "imagePullSecrets": entries });
        let object = serde_json::from_value(object)?;
        unless(409, self.accounts(namespace).create(&PostParams::default(), &object).await.map(drop))
    }

    /// Returns the names in a ServiceAccount's list; none where it does not exist.
    pub async fn entries(&self, namespace: &str, account: &str) -> anyhow::Result<Vec<String>> {
        let account = self.accounts(namespace).get_opt(account).await?;
        let list = account.and_then(|account| account.image_pull_secrets).unwrap_or_default();
        Ok(list.into_iter().map(|entry| entry.name).collect())
    }

    /// Applies a binding as a user's tool does.
    pub async fn bind(&self, name: &str, spec: Value) -> anyhow::Result<()> {
        let object = json!({
            "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding",
            "metadata": { "name": name }, "spec": spec,
        });
        self.bindings().patch(name, &PatchParams::apply("user").force(), &Patch::Apply(&object)).await?;
        Ok(())
    }

    /// Sets an annotation of a binding.
    pub async fn annotate(&self, binding: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.bindings().patch(binding, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// Deletes a binding, without waiting for its withdrawal.
    pub async fn unbind(&self, name: &str) -> anyhow::Result<()> {
        unless(404, self.bindings().delete(name, &DeleteParams::default()).await.map(drop))
    }

    /// Applies the ConfigMap of the documented component.
    pub async fn put_config_map(&self, data: Value, annotations: Value) -> anyhow::Result<()> {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": CONFIG_MAP, "namespace": "kube-system", "annotations": annotations },
            "data": data,
        });
        let maps: Api<ConfigMap> = Api::namespaced(self.client(), "kube-system");
        maps.patch(CONFIG_MAP, &PatchParams::apply("user").force(), &Patch::Apply(&object)).await?;
        Ok(())
    }

    /// Deletes the ConfigMap.
    pub async fn delete_config_map(&self) -> anyhow::Result<()> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client(), "kube-system");
        unless(404, maps.delete(CONFIG_MAP, &DeleteParams::default()).await.map(drop))
    }

    /// Returns whether a binding reports `Ready=True` for its current spec.
    pub async fn is_ready(&self, binding: &str) -> anyhow::Result<bool> {
        let Some(object) = self.bindings().get_opt(binding).await? else { return Ok(false) };
        let status = &object.data["status"];
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(status["observedGeneration"].as_i64() == object.metadata.generation
            && conditions.iter().any(|is| is["type"] == "Ready" && is["status"] == "True"))
    }

    /// Returns what the namespaces and bindings of one run hold now: those whose name begins with `tag`.
    pub async fn observe(&self, tag: &str) -> anyhow::Result<State> {
        State::observe(self, tag).await
    }

    /// Returns the number of the replica that leads.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        let mut leader = None;
        self.until("a replica leads", PATIENCE, async || {
            leader = self.leads().await;
            Ok(leader.is_some())
        })
        .await?;
        leader.context("no replica leads")
    }

    /// Returns the number of the replica that leads now, if one does.
    pub async fn leads(&self) -> Option<usize> {
        for (number, replica) in self.replicas.iter().enumerate() {
            if replica.is_running()
                && replica.metric("leader_election_master_status", &[]).await.is_ok_and(|leads| leads == 1.0)
            {
                return Some(number);
            }
        }
        None
    }

    /// Waits until a condition is true.
    pub async fn until(
        &self,
        what: &str,
        patience: Duration,
        mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        while !holds().await? {
            if Instant::now() > end {
                let logs: Vec<String> = self.replicas.iter().map(|replica| replica.log_tail(30)).collect();
                bail!("still waiting after {patience:?}: {what}\n{}", logs.join("\n---\n"));
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
        Ok(())
    }

    /// Waits until no replica has written for a while.
    pub async fn until_quiet(&self) -> anyhow::Result<()> {
        let (mut seen, mut since) = (self.proxy.writes().len(), Instant::now());
        self.until("the controller comes to rest", PATIENCE, async || {
            let now = self.proxy.writes().len();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            Ok(since.elapsed() >= QUIET)
        })
        .await
    }
}

/// Starts each replica again that ended, except those that are to stay down.
async fn restart_ended(replicas: Arc<Vec<Controller>>, down: Arc<Mutex<BTreeSet<usize>>>) {
    loop {
        tokio::time::sleep(5 * POLL_EVERY).await;
        for (number, replica) in replicas.iter().enumerate() {
            let stays_down = lock(&down).contains(&number);
            if !stays_down && !replica.is_running() {
                // A program that does not start is reported by the next wait for it.
                let _ = replica.restart();
            }
        }
    }
}

/// Passes over the refusal of one status.
pub(super) fn unless<T>(status: u16, result: kube::Result<T>) -> anyhow::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(refused)) if refused.code == status => Ok(()),
        Err(error) => Err(error.into()),
    }
}
