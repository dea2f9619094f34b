//! A cluster whose controller runs in Pods of its own image, as a user installs it: nothing of it is a process that the
//! test started.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use acr_credential_binding::api::AcrCredentialBinding;
use acr_lab::canary;
use acr_lab::certificates::Authority;
use acr_lab::cloud::Cloud;
use acr_lab::front::HttpsFront;
use acr_lab::image::{self, Image, own_architecture};
use acr_lab::node;
use acr_lab::plane::{Options, Plane};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, ListParams, LogParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{HOST, PLATFORM, Site, phase, plane_with};
use crate::harness::{cloud_of, root};
use crate::image::with_glibc;

/// Long enough for a node that pulls and starts several Pods, one after the other, beside other tests.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

const REPOSITORY: &str = "platform/acr-credential-controller";

/// The Secret with the platform's own login, by which the controller's image is pulled.
pub const LOGIN: &str = "platform-registry";

/// The ConfigMap with the authority that signed the cloud's certificates, and its file in the controller's container.
pub const AUTHORITY: &str = "cloud-authority";
pub const AUTHORITY_FILE: &str = "/etc/acr/ca.crt";

/// The label by which the controller's Pods are found, in any installation.
pub const OURS: (&str, &str) = ("app.kubernetes.io/name", "acr-credential-controller");

pub struct Installed {
    // The node ends before its control plane.
    pub site: Site,
    pub client: Client,
    pub plane: Plane,
    pub cloud: Cloud,
    /// The controller's image, in the node's words.
    pub image: String,
    /// The namespace of the controller.
    pub namespace: &'static str,
    authority: Authority,
    _front: HttpsFront,
}

/// Returns whether a test of a node with the controller's image can run, and records its name if so.
pub async fn usable(test: &str) -> bool {
    image::usable().await.unwrap() && node::usable(test).unwrap()
}

/// Returns the image of the tests' own programs; all tests share it.
async fn controller_image() -> &'static Image {
    static IMAGE: OnceCell<Image> = OnceCell::const_new();
    let build = || async {
        let folder = tempfile::tempdir().unwrap();
        Image::build(&with_glibc(folder.path()), &[own_architecture()]).await.unwrap()
    };
    IMAGE.get_or_init(build).await
}

impl Installed {
    /// Starts a cluster whose cloud and registry the Pods reach by their real names. Nothing is installed yet.
    pub async fn bare(namespace: &'static str, options: Options) -> Self {
        let image = controller_image().await;
        let (plane, turn) = plane_with(options).await;
        let mut site = Site::start(&plane, turn).await;
        let pushed = image.push(&site.registry, REPOSITORY).await.unwrap();
        let (_, digest) = pushed.split_once('@').unwrap();
        let cloud = cloud_of(&plane).await;
        site.accept_tokens_of(&cloud);
        let authority = Authority::new().unwrap();
        let front = HttpsFront::start(&cloud, &authority).await.unwrap();
        site.node.serve_cloud(&cloud, &front).await.unwrap();
        let image = format!("{HOST}/{REPOSITORY}@{digest}");
        Self { site, client: plane.client(), plane, cloud, image, namespace, authority, _front: front }
    }

    /// Creates what only this cluster needs: the login of the registry that has the controller's image, and the
    /// authority of the cloud.
    pub async fn prepare_namespace(&self) {
        let auth = json!({ "username": PLATFORM.0, "password": PLATFORM.1 });
        let login = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": LOGIN, "namespace": self.namespace },
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": json!({ "auths": { HOST: auth } }).to_string() },
        });
        let authority = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": AUTHORITY, "namespace": self.namespace },
            "data": { "ca.crt": self.authority.pem() },
        });
        let both = json!({ "apiVersion": "v1", "kind": "List", "items": [login, authority] });
        self.plane.apply(&both.to_string()).await.unwrap();
    }

    /// Installs the plain manifests, with the image and what only this cluster needs, and waits until both replicas
    /// are ready.
    pub async fn by_manifests(options: Options, further: &[&str], args: &[&str]) -> Self {
        let cluster = Self::bare(crate::harness::NAMESPACE, options).await;
        crate::harness::install(&cluster.plane, &[]).await.unwrap();
        for file in further {
            cluster.plane.apply_file(root().join(file)).await.unwrap();
        }
        cluster.prepare_namespace().await;
        cluster.plane.apply(&cluster.deployment(args)).await.unwrap();
        cluster.until_available("acr-credential-controller", 2).await;
        cluster
    }

    /// Returns the plain manifest of the Deployment, changed for this cluster as a user would change it.
    fn deployment(&self, args: &[&str]) -> String {
        let text = std::fs::read_to_string(root().join("deploy/controller.yaml")).unwrap();
        let mut items: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let deployment = items.iter_mut().find(|item| item["kind"] == "Deployment").unwrap();
        let pod = &mut deployment["spec"]["template"]["spec"];
        pod["imagePullSecrets"] = json!([{ "name": LOGIN }]);
        pod["volumes"] = json!([{ "name": "authority", "configMap": { "name": AUTHORITY } }]);
        let container = &mut pod["containers"][0];
        container["image"] = json!(self.image);
        let folder = Path::new(AUTHORITY_FILE).parent().unwrap();
        container["volumeMounts"] = json!([{ "name": "authority", "mountPath": folder }]);
        let flags = container["args"].as_array_mut().unwrap();
        flags.push(json!(format!("--ca-bundle={AUTHORITY_FILE}")));
        flags.extend(args.iter().map(|arg| json!(arg)));
        json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
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

    /// Returns the controller's Pods.
    pub async fn pods(&self) -> Vec<Pod> {
        let ours = ListParams::default().labels(&format!("{}={}", OURS.0, OURS.1));
        self.namespaced::<Pod>(self.namespace).list(&ours).await.unwrap().items
    }

    /// Waits until so many replicas of a Deployment in the controller's namespace are available, all of its newest
    /// form.
    pub async fn until_available(&self, deployment: &str, replicas: i32) {
        let api = self.namespaced::<k8s_openapi::api::apps::v1::Deployment>(self.namespace);
        self.until(&format!("{deployment} has {replicas} replicas"), async || {
            let found = api.get(deployment).await.unwrap();
            let status = found.status.unwrap_or_default();
            status.observed_generation == found.metadata.generation
                && status.available_replicas == Some(replicas)
                && status.updated_replicas == Some(replicas)
                && status.replicas == Some(replicas)
        })
        .await;
    }

    pub async fn create_namespace(&self, name: &str) {
        self.plane.kubectl_ok(&["create", "namespace", name]).await.unwrap();
        self.until(&format!("{name}/default exists"), async || {
            self.namespaced::<ServiceAccount>(name).get_opt("default").await.unwrap().is_some()
        })
        .await;
    }

    /// Applies a binding as a user's tool would.
    pub async fn bind(&self, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": "acrcredential.dev/v1alpha1",
            "kind": "AcrCredentialBinding",
            "metadata": { "name": name },
            "spec": spec,
        });
        let params = PatchParams::apply("user").force();
        self.bindings().patch(name, &params, &Patch::Apply(&object)).await.unwrap();
    }

    /// Waits until a condition of a binding, of its newest generation, has a status and a reason.
    pub async fn until_condition(&self, binding: &str, kind: &str, status: &str, reason: &str) {
        self.until(&format!("{binding} is {kind}={status} {reason}"), async || {
            let object = self.bindings().get(binding).await.unwrap();
            let found = object.status.unwrap_or_default();
            found.observed_generation == object.metadata.generation
                && found
                    .conditions
                    .iter()
                    .any(|c| c.type_ == kind && c.status == status && c.reason == reason)
        })
        .await;
    }

    /// Waits until a condition is true. What the controller and its Pods say is in the message otherwise.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds().await {
            if Instant::now() >= end {
                panic!("still waiting: {what}\n{}", self.described().await);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub async fn described(&self) -> String {
        let mut text = String::new();
        for pod in self.pods().await {
            let status = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
            let _ = writeln!(text, "{} {} {status:?}\n{}", pod.name_any(), phase(&pod), self.log(&pod).await);
        }
        let events = ["get", "events", "--namespace", self.namespace];
        text + &self.plane.kubectl_ok(&events).await.unwrap_or_default()
    }

    /// Returns what a Pod of the controller logged.
    pub async fn log(&self, pod: &Pod) -> String {
        let api = self.namespaced::<Pod>(self.namespace);
        api.logs(&pod.name_any(), &LogParams::default()).await.unwrap_or_else(|error| error.to_string())
    }

    /// Asserts that no Pod of the controller logged a secret.
    pub async fn assert_secrecy(&self) {
        for pod in self.pods().await {
            let name = format!("controller-{}.log", pod.name_any());
            std::fs::write(self.plane.dir().join(name), self.log(&pod).await).unwrap();
        }
        let leaked = canary::leaked(&self.plane, &self.cloud).unwrap();
        assert!(leaked.is_none(), "a log holds a secret: {leaked:?}");
    }
}
