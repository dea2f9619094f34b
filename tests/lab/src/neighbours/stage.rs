//! What a row runs on: a control plane, a cloud, and a controller under its memory limit.

use std::{path::Path, sync::Arc, time::Duration};

use acr_lab::{
    cgroup::MemoryCgroup,
    cloud::{Cloud, CloudConfig, World},
    controller::ControllerOptions,
    plane::{Options, Plane, free_port},
};
use anyhow::{Context, bail};
use kube::Client;
use serde_json::{Value, json};

use super::{keeper::Keeper, rows::Row, scene::Scene};
pub(super) use crate::bench::registries::{add_instances, instance_id, registries};
use crate::bench::{
    CONTROLLER, NAMESPACE, SECRET,
    call::{Call, send_all},
    group::create_namespace,
    scout::BINDINGS,
    setup::MANIFESTS,
    transport::{Kind, Transport},
};

/// The namespace and the account of everyone who is neither an administrator nor the controller. The API
/// server has limits from which administrators are exempt.
const TENANTS: &str = "tenants";

/// How often to ask the API server for a state.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// The longest wait for a state.
const PATIENCE: Duration = Duration::from_secs(120);

/// The options of a row, before anything starts.
pub(super) struct Setup {
    /// The control plane's.
    pub(super) plane: Options,
    /// The content of the cloud.
    pub(super) world: World,
    /// Further flags of the controller.
    pub(super) flags: Vec<&'static str>,
    /// Whether the webhook serves the victim, with `failurePolicy: Fail`.
    pub(super) webhook: bool,
    /// Whether another writer annotates each of the victim's accounts as soon as it exists.
    pub(super) annotated: bool,
}

/// Everything that a row needs.
pub(super) struct Stage {
    // Fields drop in this order: clients before their servers.
    admin: Transport,
    tenant: Transport,
    /// The controller.
    pub(super) keeper: Keeper,
    /// The cloud.
    pub(super) cloud: Cloud,
    /// The control plane.
    pub(super) plane: Plane,
    /// The controller's memory limit.
    pub(super) cgroup: Arc<MemoryCgroup>,
    /// The progress of the fault.
    pub(super) scene: Scene,
    /// The port of the controller's webhook.
    pub(super) webhook_port: u16,
    /// Whether the webhook serves the victim.
    pub(super) webhook: bool,
    /// Whether another writer annotates each of the victim's accounts.
    pub(super) annotated: bool,
}

impl Stage {
    /// Starts and installs everything.
    pub(super) async fn set_up(row: &Row, binary: &Path, cgroup: Arc<MemoryCgroup>) -> anyhow::Result<Stage> {
        let mut setup = Setup {
            plane: Options::default(),
            world: CloudConfig::demo().world,
            flags: Vec::new(),
            webhook: false,
            annotated: false,
        };
        (row.arrange)(&mut setup);
        let mut plane_options = setup.plane;
        if setup.webhook {
            plane_options = plane_options.without_mutating_policies();
        }
        let plane = Plane::start(plane_options).await?;
        let cloud = Cloud::start(CloudConfig { world: setup.world, port: 0 }).await?;
        plane.enable_rrsa(&cloud).await?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for manifest in MANIFESTS {
            let applied = plane.apply_file(root.join(manifest)).await;
            applied.with_context(|| format!("{manifest} was not applied"))?;
        }
        if setup.webhook {
            plane.grant_webhook(root.join("deploy/webhook.yaml")).await?;
        }
        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await?;
        let webhook_port = free_port()?;
        let mut options =
            ControllerOptions::new(binary, kubeconfig, cloud.address()).within(Arc::clone(&cgroup));
        if setup.webhook {
            options = options.webhook(webhook_port, None);
        }
        for flag in setup.flags {
            options = options.arg(flag);
        }
        let keeper = Keeper::start(options).await?;
        let admin = Transport::open(plane.kubeconfig(), Kind::Http2(4)).await?;
        let tenant = tenant(&plane).await?;
        let (webhook, annotated) = (setup.webhook, setup.annotated);
        let scene = Scene::default();
        Ok(Stage { admin, tenant, keeper, cloud, plane, cgroup, scene, webhook_port, webhook, annotated })
    }

    /// Returns an administrator's client.
    pub(super) fn client(&self) -> Client {
        self.admin.client(0)
    }

    /// Returns a client that the API server's limits apply to; in turn, by number.
    pub(super) fn tenant(&self, number: usize) -> Client {
        self.tenant.client(number)
    }

    /// Sends requests 16 at a time, as an administrator.
    pub(super) async fn send(&self, calls: Vec<Call>) -> anyhow::Result<()> {
        send_all(&self.admin, calls).await?;
        Ok(())
    }

    /// Creates namespaces, and waits until the cluster has created their account.
    pub(super) async fn create_namespaces(&self, names: &[String]) -> anyhow::Result<()> {
        self.send(names.iter().map(|name| create_namespace(name)).collect()).await?;
        for name in names {
            let path = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
            self.until(&format!("{name} has its account"), &path, |_| true).await?;
        }
        Ok(())
    }

    /// Creates a binding for all accounts of some namespaces.
    pub(super) async fn bind(
        &self,
        name: &str,
        registries: Value,
        namespaces: &[&str],
    ) -> anyhow::Result<()> {
        binding(name, registries, json!({ "names": namespaces })).send(&self.client()).await?;
        Ok(())
    }

    /// Returns an object, or `None` if it does not exist.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let request = hyper::Request::get(path).body(Vec::new())?;
        match self.client().request::<Value>(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{path} was not read")),
        }
    }

    /// Returns our Secret in a namespace.
    pub(super) async fn secret(&self, namespace: &str) -> anyhow::Result<Option<Value>> {
        self.get(&format!("/api/v1/namespaces/{namespace}/secrets/{SECRET}")).await
    }

    /// Waits until an object exists as wanted, and returns it.
    pub(super) async fn until(
        &self,
        what: &str,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let found = async {
            loop {
                if let Some(object) = self.get(path).await?
                    && wanted(&object)
                {
                    return anyhow::Ok(object);
                }
                tokio::time::sleep(POLL_EVERY).await;
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => bail!("not within {PATIENCE:?}: {what}"),
        }
    }

    /// Waits until a binding's `Ready` has this status.
    pub(super) async fn until_ready(&self, binding: &str, status: &str) -> anyhow::Result<Value> {
        let path = format!("{BINDINGS}/{binding}");
        self.until(&format!("{binding} is Ready={status}"), &path, |object| ready(object) == Some(status))
            .await
    }
}

/// Returns the status of a binding's `Ready`, if it describes the binding's generation.
fn ready(binding: &Value) -> Option<&str> {
    if binding["status"]["observedGeneration"] != binding["metadata"]["generation"] {
        return None;
    }
    let conditions = binding["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready")?["status"].as_str()
}

/// Returns a request for a binding of some registries, for all accounts of the selected namespaces.
pub(super) fn binding(name: &str, registries: Value, namespaces: Value) -> Call {
    let object = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": name },
        "spec": {
            "registries": registries,
            "watchNamespaces": namespaces,
            "serviceAccounts": { "names": ["*"] },
        },
    });
    Call::create(BINDINGS, &object)
}

/// Creates an account with all rights that is not an administrator to the API server's limits.
async fn tenant(plane: &Plane) -> anyhow::Result<Transport> {
    let manifest = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": TENANTS } },
        { "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": TENANTS, "namespace": TENANTS } },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": TENANTS },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "kind": "ServiceAccount", "name": TENANTS, "namespace": TENANTS }],
        },
    ] });
    plane.apply(&manifest.to_string()).await?;
    let kubeconfig = plane.service_account_kubeconfig(TENANTS, TENANTS).await?;
    Transport::open(&kubeconfig, Kind::Http2(4)).await
}
