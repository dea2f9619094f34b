//! From the documented component to this controller, and on to a binding of one's own, by the documentation's own steps, while
//! an image is pulled all the time.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acr_lab::cloud::Cloud;
use acr_lab::docs::commands;
use acr_lab::plane::{Options, Plane, ReusedPlane};
use acr_lab::registry::{Registry, Verdict, usable};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::documentation::shell;
use crate::harness::{Lab, SECRET};

const NAME: &str = "acr-configuration";
const IMAGE: &str = "team/app";

/// The fewest pulls that say something, however quickly a test ends.
const FEWEST: usize = 5;

/// Pulls an image each second, with the current content of a namespace's Secret.
pub struct Pulling {
    done: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(usize, Vec<String>)>,
}

impl Pulling {
    pub fn start(registry: &Arc<Registry>, secrets: Api<Secret>, image: &'static str) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (registry, stop) = (registry.clone(), done.clone());
        let task = tokio::spawn(async move {
            let (mut pulls, mut failed) = (0, Vec::new());
            while pulls < FEWEST || !stop.load(Ordering::Relaxed) {
                let pulled = match secrets.get(SECRET).await {
                    Ok(now) => {
                        let config = now.data.unwrap()[".dockerconfigjson"].0.clone();
                        registry.pull(&config, image).await.map(drop).map_err(|error| error.to_string())
                    }
                    Err(error) => Err(error.to_string()),
                };
                failed.extend(pulled.err());
                pulls += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            (pulls, failed)
        });
        Self { done, task }
    }

    /// Ends the pulls, none of which may have failed.
    pub async fn never_failed(self) {
        self.done.store(true, Ordering::Relaxed);
        let (pulls, failed) = self.task.await.unwrap();
        assert!(failed.is_empty(), "{} of {pulls} pulls failed: {failed:?}", failed.len());
    }
}

/// Creates the leftovers of the documented component: its Secret, the entry, its Deployment, and the
/// ConfigMap.
pub async fn leave_behind(plane: &Plane, domain: &str) -> Secret {
    let client = plane.client();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    let auths = json!({ "auths": { domain: { "auth": "bGVnYWN5OmxlZ2FjeS10b2tlbg==" } } });
    let secret = json!({
        "metadata": { "name": SECRET },
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": auths.to_string() },
    });
    let secret =
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let entry = json!({ "imagePullSecrets": [{ "name": SECRET }] });
    accounts.patch("default", &PatchParams::default(), &Patch::Merge(&entry)).await.unwrap();
    let labels = json!({ "app": "aliyun-acr-credential-helper" });
    let deployment = json!({
        "metadata": { "name": "aliyun-acr-credential-helper" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
        },
    });
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment).unwrap()).await.unwrap();
    let info = format!("- instanceId: cri-demo0001\n  regionId: cn-hangzhou\n  domains: {domain}\n");
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": NAME, "namespace": "kube-system" },
        "data": { "acr-registry-info": info, "watch-namespace": "default", "service-account": "default" },
    });
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client, "kube-system");
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    secret
}

/// Follows the documented steps to this controller. The registry learns from `begun` of a cloud before its tokens come.
pub async fn moved(plane: impl Into<ReusedPlane>, begun: impl Fn(&Lab)) -> Lab {
    let plane = plane.into();
    let mut lab: Option<Lab> = None;
    let mut plane = Some(plane);
    for step in commands("docs/migrate.md", "Move").unwrap() {
        let args: Vec<&str> = step.strip_prefix("kubectl ").unwrap().split(' ').collect();
        match (&lab, args.last()) {
            // The lab has no node: the process is started as the Deployment would.
            (None, Some(&"deploy/controller.yaml")) => {
                let started = Lab::start_on_installed(plane.take().unwrap()).await;
                begun(&started);
                lab = Some(started);
            }
            (None, _) => drop(plane.as_ref().unwrap().kubectl_ok(&args).await.unwrap()),
            (Some(lab), _) => {
                lab.until_ready_is(NAME, "True", "Succeeded").await;
                let shown = lab.plane.kubectl_ok(&args).await.unwrap();
                assert!(shown.contains(NAME) && shown.contains("True"), "{shown}");
            }
        }
    }
    lab.expect("the page starts the controller")
}

/// Follows the documented steps to a binding of one's own, and checks that nothing is written to any namespace.
pub async fn graduate(lab: &Lab) {
    let mark = lab.mark();
    let converted = async || {
        let binding = lab.bindings().get(NAME).await.unwrap();
        binding.metadata.labels.is_some_and(|labels| labels.contains_key("acrcredential.dev/converted"))
    };
    let graduating = commands("docs/migrate.md", "Leave the ConfigMap").unwrap();
    let wait = graduating.iter().find(|line| line.starts_with("kubectl wait")).unwrap();
    let early = shell(&lab.plane, &wait.replace("--timeout=60s", "--timeout=1s"));
    assert!(early.is_err_and(|error| error.contains("timed out")), "the wait is not reported yet");
    let mut kept = String::new();
    for line in &graduating {
        assert!(!line.contains("delete") || !converted().await, "the steps before waited for that");
        let printed = shell(&lab.plane, line).unwrap();
        if printed.contains("kind: AcrCredentialBinding") {
            kept = printed;
        }
    }
    for cluster in ["status:", "uid:", "finalizers:", "generation:"] {
        assert!(!kept.contains(cluster), "{cluster} is not for Git: {kept}");
    }
    let generation = lab.bindings().get(NAME).await.unwrap().metadata.generation;
    lab.plane.apply(&kept).await.unwrap();
    assert_eq!(lab.bindings().get(NAME).await.unwrap().metadata.generation, generation, "{kept}");
    lab.until_settled().await;
    assert!(lab.bindings().get_opt(NAME).await.unwrap().is_some());
    let writes = lab.requests(mark).writes().filter(|e| !e.namespace.is_empty());
    assert_eq!(writes.counts(), Default::default(), "nothing is written to any namespace");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_steps_move_and_graduate_without_one_failed_pull() {
    if !usable().unwrap() {
        return;
    }
    // The registry accepts the cloud's tokens, and the password that the documented component is supposed to
    // have.
    let cloud: Arc<OnceLock<Cloud>> = Arc::default();
    let judged_by = cloud.clone();
    let judge = Arc::new(move |user: &str, token: &str| {
        let minted = judged_by.get().is_some_and(|cloud| cloud.token_may_pull(user, token, "cri-demo0001"));
        if minted || (user, token) == ("legacy", "legacy-token") {
            Verdict::MayPull
        } else {
            Verdict::Rejected
        }
    });
    let registry = Arc::new(Registry::judged("cri-demo0001", judge).await.unwrap());
    registry.push(IMAGE).await.unwrap();
    let plane = Plane::start(Options::default()).await.unwrap();
    let theirs = leave_behind(&plane, &registry.domain()).await;

    let pulling = Pulling::start(&registry, Api::namespaced(plane.client(), "default"), IMAGE);

    let lab = moved(plane, |lab| cloud.set(lab.cloud.clone()).unwrap()).await;
    let ours = lab.secret("default").await.unwrap();
    assert_eq!(ours.metadata.uid, theirs.metadata.uid, "taken over in place");
    assert_eq!(lab.pull_secrets("default", "default").await, [SECRET]);
    assert_ne!(lab.token("default", &registry.domain()).await.as_deref(), Some("legacy-token"));

    lab.until_settled().await;
    graduate(&lab).await;

    pulling.never_failed().await;
}
