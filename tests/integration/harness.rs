//! One control plane, one cloud and one controller a test, and helpers to describe them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use acr_credential_binding::api::AcrCredentialBinding;
use acr_lab::canary;
use acr_lab::certificates::Authority;
use acr_lab::cloud::{Cloud, CloudConfig};
use acr_lab::controller::{Controller, ControllerOptions};
use acr_lab::front::{ConnectProxy, HttpsFront};
use acr_lab::plane::{AuditEvents, FaultProxy, Mark, Options, Plane, ReusedPlane};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

pub const SECRET: &str = "acr-credential-secret-aggregation";
pub const NAMESPACE: &str = "acr-credential-system";
pub const CONTROLLER: &str = "acr-credential-controller";
pub const DOMAIN: &str = "demo-registry.cn-hangzhou.cr.aliyuncs.com";

/// The longest wait before a test fails. A successful test never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// All that is ours and the clients' own, at the most verbose level: every test searches it for secrets. The
/// layers below log each frame; one test of its own searches these as well.
pub const LOG_LEVEL: &str = "trace,h2=info,hyper=info,hyper_util=info,rustls=info,mio=info,want=info";

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub struct Lab {
    pub controller: Controller,
    pub cloud: Cloud,
    pub plane: ReusedPlane,
    pub client: Client,
}

const FILES: [&str; 4] =
    ["crds/acrcredentialbindings.yaml", "deploy/namespace.yaml", "deploy/rbac.yaml", "deploy/policies.yaml"];

/// Installs the CRD, the rights and the policies, but for some files.
pub async fn install(plane: &Plane, left_out: &[&str]) -> anyhow::Result<()> {
    for file in FILES.iter().filter(|file| !left_out.contains(file)) {
        plane.apply_file(root().join(file)).await?;
    }
    let crd = "crd/acrcredentialbindings.acrcredential.dev";
    plane.kubectl_ok(&["wait", "--for=condition=Established", crd, "--timeout=20s"]).await?;
    Ok(())
}

/// Starts a control plane with the CRD, the rights and the policies, and no controller yet.
pub async fn installed_without(left_out: &[&str], options: Options) -> ReusedPlane {
    let install = async |plane: &Plane| install(plane, left_out).await;
    ReusedPlane::start(&left_out.join(" "), options, install).await.unwrap()
}

pub fn options(kubeconfig: PathBuf, cloud: &Cloud) -> ControllerOptions {
    ControllerOptions::new(env!("CARGO_BIN_EXE_acr-credential-controller"), kubeconfig, cloud.address())
        .log_level(LOG_LEVEL)
}

/// Starts a cloud that has the cluster's OIDC provider registered, as a cluster with RRSA enabled has.
pub async fn cloud_of(plane: &Plane) -> Cloud {
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    plane.enable_rrsa(&cloud).await.unwrap();
    cloud
}

impl Lab {
    /// Starts everything, with the controller ready.
    pub async fn start() -> Self {
        Self::start_with(|options| options).await
    }

    /// Starts everything, with changed controller options.
    pub async fn start_with(change: impl FnOnce(ControllerOptions) -> ControllerOptions) -> Self {
        Self::start_with_world(|_, options| change(options)).await
    }

    /// Starts everything, with controller options derived from the cloud's content.
    pub async fn start_with_world(
        change: impl FnOnce(&Cloud, ControllerOptions) -> ControllerOptions,
    ) -> Self {
        Self::start_on(installed_without(&[], Options::default()).await, change).await
    }

    /// Starts a cloud and a controller on a plane that has everything installed, and waits until it is ready.
    pub async fn start_on_installed(plane: impl Into<ReusedPlane>) -> Self {
        Self::start_on(plane, |_, options| options).await
    }

    /// Starts everything, with the cloud behind HTTPS and a proxy, by certificates that only a CA bundle
    /// verifies.
    pub async fn start_behind_a_proxy() -> (Self, HttpsFront, ConnectProxy) {
        let plane = installed_without(&[], Options::default()).await;
        let cloud = cloud_of(&plane).await;
        let authority = Authority::new().unwrap();
        let front = HttpsFront::start(&cloud, &authority).await.unwrap();
        let proxy = ConnectProxy::start(front.address()).await.unwrap();
        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap();
        let bundle = kubeconfig.with_file_name("cloud-ca.pem");
        std::fs::write(&bundle, authority.pem()).unwrap();
        let options = options(kubeconfig, &cloud).by_https(&proxy.url(), &bundle);
        let controller = Controller::start_ready(options, PATIENCE).await.unwrap();
        (Self { client: plane.client(), plane, cloud, controller }, front, proxy)
    }

    /// Starts everything but some files of the installation.
    pub async fn start_without(left_out: &[&str], options: Options) -> Self {
        Self::start_on(installed_without(left_out, options).await, |_, options| options).await
    }

    /// Starts everything, with a proxy between the controller and the API server.
    pub async fn proxied() -> (Self, Arc<FaultProxy>) {
        Self::proxied_with(|options| options).await
    }

    /// Starts everything, with a proxy before the API server and changed controller options.
    pub async fn proxied_with(
        change: impl FnOnce(ControllerOptions) -> ControllerOptions,
    ) -> (Self, Arc<FaultProxy>) {
        let plane = installed_without(&[], Options::default()).await;
        let cloud = cloud_of(&plane).await;
        let proxy = FaultProxy::start(&plane).await.unwrap();
        let kubeconfig = proxy.kubeconfig_for(NAMESPACE, CONTROLLER).await.unwrap();
        let options = change(options(kubeconfig, &cloud));
        let controller = Controller::start_ready(options, PATIENCE).await.unwrap();
        (Self { client: plane.client(), plane, cloud, controller }, Arc::new(proxy))
    }

    /// Starts a cloud and a controller with changed options, on a plane that has everything installed.
    pub async fn start_on(
        plane: impl Into<ReusedPlane>,
        change: impl FnOnce(&Cloud, ControllerOptions) -> ControllerOptions,
    ) -> Self {
        let plane = plane.into();
        let cloud = cloud_of(&plane).await;
        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap();
        let options = change(&cloud, options(kubeconfig, &cloud));
        let controller = Controller::start_ready(options, PATIENCE).await.unwrap();
        Self { client: plane.client(), plane, cloud, controller }
    }

    pub fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn bindings(&self) -> Api<AcrCredentialBinding> {
        Api::all(self.client.clone())
    }

    /// Applies a binding as a user's tool would.
    pub async fn bind(&self, name: &str, spec: Value) -> AcrCredentialBinding {
        self.try_bind(name, spec).await.unwrap()
    }

    pub async fn try_bind(&self, name: &str, spec: Value) -> kube::Result<AcrCredentialBinding> {
        let object = json!({
            "apiVersion": "acrcredential.dev/v1alpha1",
            "kind": "AcrCredentialBinding",
            "metadata": { "name": name },
            "spec": spec,
        });
        self.bindings().patch(name, &PatchParams::apply("user").force(), &Patch::Apply(&object)).await
    }

    pub async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.bindings().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Requests fresh credentials, and waits until they are reported.
    pub async fn refresh(&self, binding: &str, request: &str) {
        self.annotate(binding, "acrcredential.dev/refresh-at", request).await;
        self.until("the refresh is reported", async || {
            let status = self.bindings().get(binding).await.unwrap().status.unwrap();
            status.last_handled_refresh_at.as_deref() == Some(request)
        })
        .await;
    }

    pub async fn create_namespace(&self, name: &str) {
        self.create_namespace_with(name, json!({})).await;
    }

    pub async fn create_namespace_with(&self, name: &str, labels: Value) {
        let object =
            serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap();
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        self.until(&format!("{name}/default exists"), async || {
            self.namespaced::<ServiceAccount>(name).get_opt("default").await.unwrap().is_some()
        })
        .await;
    }

    pub async fn create_account(&self, namespace: &str, name: &str, secrets: &[&str]) {
        let secrets: Vec<Value> = secrets.iter().map(|s| json!({ "name": s })).collect();
        let object = json!({ "metadata": { "name": name }, "imagePullSecrets": secrets });
        let object = serde_json::from_value(object).unwrap();
        self.namespaced::<ServiceAccount>(namespace).create(&PostParams::default(), &object).await.unwrap();
    }

    pub async fn pull_secrets(&self, namespace: &str, account: &str) -> Vec<String> {
        let account = self.namespaced::<ServiceAccount>(namespace).get(account).await.unwrap();
        account.image_pull_secrets.unwrap_or_default().into_iter().map(|s| s.name).collect()
    }

    pub async fn secret(&self, namespace: &str) -> Option<Secret> {
        self.namespaced::<Secret>(namespace).get_opt(SECRET).await.unwrap()
    }

    /// Returns the `auths` of the Secret in a namespace: domain → (user, token). `None` without a Secret.
    pub async fn auths(&self, namespace: &str) -> Option<BTreeMap<String, (String, String)>> {
        let secret = self.secret(namespace).await?;
        Some(auths(&secret))
    }

    /// Returns the token for a domain, if there is one.
    pub async fn token(&self, namespace: &str, domain: &str) -> Option<String> {
        self.auths(namespace).await?.remove(domain).map(|(_, token)| token)
    }

    /// Returns the bytes of our Secret as a kubelet would use them.
    pub async fn docker_config(&self, namespace: &str) -> Vec<u8> {
        let data = self.secret(namespace).await.and_then(|secret| secret.data).unwrap();
        data[".dockerconfigjson"].0.clone()
    }

    /// Creates or replaces a Secret of another writer.
    pub async fn put_secret(&self, namespace: &str, name: &str, data: Value) {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "namespace": namespace },
            "stringData": data,
        });
        let params = PatchParams::apply("user").force();
        self.namespaced::<Secret>(namespace).patch(name, &params, &Patch::Apply(&object)).await.unwrap();
    }

    /// Gives a user of the cloud a second AccessKey, which [`Self::key_of`] names from then on.
    pub fn give_second_key(&self, account: &str, user: &str) {
        self.cloud.world(|world| {
            let keys = &mut world.user_mut(account, user).unwrap().keys;
            let mut second = keys[0].clone();
            second.id.push_str("-second");
            second.secret.push_str("-second");
            keys.insert(0, second);
        });
    }

    /// Returns the AccessKeyId and AccessKeySecret of a user of the cloud.
    pub fn key_of(&self, account: &str, user: &str) -> (String, String) {
        self.cloud.world(|world| {
            let key = &world.user_mut(account, user).unwrap().keys[0];
            (key.id.clone(), key.secret.clone())
        })
    }

    pub async fn delete_secret(&self, namespace: &str) {
        self.namespaced::<Secret>(namespace).delete(SECRET, &DeleteParams::default()).await.unwrap();
    }

    pub async fn put_config_map(&self, data: Value) {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "acr-configuration", "namespace": "kube-system" },
            "data": data,
        });
        let maps = self.namespaced::<ConfigMap>("kube-system");
        maps.patch("acr-configuration", &PatchParams::apply("user").force(), &Patch::Apply(&object))
            .await
            .unwrap();
    }

    /// Returns status, reason and message of a condition, if its status describes the binding's current
    /// generation.
    pub async fn condition(&self, binding: &str, kind: &str) -> Option<(String, String, String)> {
        let object = self.bindings().get_opt(binding).await.unwrap()?;
        let status = object.status.clone()?;
        if status.observed_generation != object.metadata.generation {
            return None;
        }
        let found = status.conditions.into_iter().find(|c| c.type_ == kind)?;
        Some((found.status, found.reason, found.message))
    }

    /// Waits until a binding's `Ready` has a status and a reason.
    pub async fn until_ready_is(&self, binding: &str, status: &str, reason: &str) -> String {
        self.until_ready_says(binding, status, reason, "").await
    }

    /// Waits until a binding's `Ready` has a status, a reason and these words. A status is written while
    /// other work is still in progress, so its counts must be awaited as well.
    pub async fn until_ready_says(&self, binding: &str, status: &str, reason: &str, words: &str) -> String {
        let mut last = None;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            last = self.condition(binding, "Ready").await;
            if let Some((s, r, message)) = &last
                && s == status
                && r == reason
                && message.contains(words)
            {
                return message.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "{binding} never became Ready={status} {reason} {words:?}; it is {last:?}\n{}",
            self.controller.log_tail(40)
        );
    }

    /// Waits until a namespace's Secret has a token for a domain.
    pub async fn until_served(&self, namespace: &str, domain: &str) {
        self.until(&format!("{namespace} has a token for {domain}"), async || {
            self.token(namespace, domain).await.is_some()
        })
        .await;
    }

    /// Waits until the only entry of a ServiceAccount is ours.
    pub async fn until_attached(&self, namespace: &str, account: &str) {
        self.until(&format!("{namespace}/{account} has our entry and no other"), async || {
            self.pull_secrets(namespace, account).await == [SECRET]
        })
        .await;
    }

    /// Waits until the admission policies are enforced, for which the API server takes a moment.
    pub async fn until_policies_enforced(&self) {
        self.until("the policies are enforced", async || {
            self.controller.metrics().await.unwrap().contains("acr_admission_policies_enforced 1")
        })
        .await;
    }

    /// Waits until a condition is true.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < end, "still waiting: {what}\n{}", self.controller_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn controller_tail(&self) -> String {
        self.controller.log_tail(40)
    }

    /// Waits until the controller has written nothing for a while.
    pub async fn until_settled(&self) {
        let (mut since, end) = (Instant::now(), Instant::now() + PATIENCE);
        // Only what is new is read: the log of a plane has thousands of lines.
        let mut mark = self.mark();
        while since.elapsed() < Duration::from_millis(3_500) {
            assert!(Instant::now() < end, "the controller never came to rest\n{}", self.controller_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
            let (events, next) = self.plane.audit().read(mark).unwrap();
            mark = next;
            if !own(&events).writes().is_empty() {
                since = Instant::now();
            }
        }
    }

    /// Returns the reconciled namespaces from the controller's log, one for each reconciliation.
    pub fn reconciled(&self) -> Vec<String> {
        let log = self.controller.log();
        let looks = log.lines().filter(|line| line.contains("reconciling"));
        looks
            .filter_map(|line| line.split("namespace=").nth(1))
            .map(|n| n.split(' ').next().unwrap().to_owned())
            .collect()
    }

    pub fn mark(&self) -> Mark {
        self.plane.audit().mark().unwrap()
    }

    /// Returns the controller's requests since a mark, of all its replicas. The Lease is excluded: it is
    /// renewed by the clock.
    pub fn requests(&self, since: Mark) -> AuditEvents {
        own(&self.plane.audit().since(since).unwrap())
    }
}

fn own(events: &AuditEvents) -> AuditEvents {
    events.by_service_account(NAMESPACE, CONTROLLER).without("leases")
}

/// Every test is also a test of secrecy: no controller of its plane logged a secret of its cloud.
impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let leaked = canary::leaked(&self.plane, &self.cloud).unwrap();
            assert!(leaked.is_none(), "a log holds a secret: {leaked:?}");
        }
    }
}

pub fn auths(secret: &Secret) -> BTreeMap<String, (String, String)> {
    let data = secret.data.as_ref().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), [".dockerconfigjson"], "{}", secret.name_any());
    let config: Value = serde_json::from_slice(&data[".dockerconfigjson"].0).unwrap();
    let entry = |(domain, auth): (&String, &Value)| {
        let text = |key: &str| auth[key].as_str().unwrap().to_owned();
        let (user, token) = (text("username"), text("password"));
        assert_eq!(text("auth"), STANDARD.encode(format!("{user}:{token}")));
        (domain.clone(), (user, token))
    };
    config["auths"].as_object().unwrap().iter().map(entry).collect()
}

/// Returns the spec of a binding with one registry of the demo world, for every ServiceAccount of some
/// namespaces.
pub fn spec(namespaces: &[&str]) -> Value {
    json!({
        "registries": [{ "instanceId": "cri-demo0001" }],
        "watchNamespaces": { "names": namespaces },
        "serviceAccounts": { "names": ["*"] },
    })
}
