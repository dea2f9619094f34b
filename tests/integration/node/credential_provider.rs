//! The kubelet's own credentials: Pods that pull with no Secret and no entry.

use std::path::Path;
use std::time::Duration;

use acr_lab::certificates::Authority;
use acr_lab::cloud::world::OidcTrust;
use acr_lab::cloud::{Cloud, CloudConfig};
use acr_lab::docs::commands;
use acr_lab::front::HttpsFront;
use acr_lab::node::usable;
use k8s_openapi::api::core::v1::{Event, Pod, Secret, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::{HOST, LEGACY, Site, phase, plane_with, pod_spec, until_running, waiting};
use crate::documentation::shell;
use crate::explain::explain;
use crate::harness::{PATIENCE, root};

const TEST: &str = "pods_of_a_role_pull_with_no_secret_and_no_entry_once_kubelets_may_ask_for_their_tokens";

/// What a kubelet logs that may not request tokens for the cloud.
const REFUSAL: &str = "is not authorized to request tokens for audience";

/// The annotation that gives a ServiceAccount a role.
const ROLE: &str = "pod-identity.alibabacloud.com/role-name";

/// The role of Pods of `team/app`.
const POD_ROLE: &str = "acr-rrsa";

/// Writes what a node needs, from the files of `deploy/kubelet`, and returns the kubelet's flags.
fn configure(folder: &Path, authority: &Authority) -> Vec<String> {
    let shipped = |name: &str| std::fs::read_to_string(root().join("deploy/kubelet").join(name)).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let registries = shipped("acr-credential-provider.yaml")
        .replace("cri-abc123", "cri-demo0001")
        .replace("acs:ram::123456789012:oidc-provider/ack-rrsa-c1", "acs:ram::1:oidc-provider/ack-rrsa-demo");
    let registries = write("registries.yaml", &registries);
    let bundle = write("authority.pem", authority.pem());
    let plugin = shipped("credential-provider-config.yaml")
        .replace("/etc/kubernetes/acr-credential-provider.yaml", &registries);
    let plugin =
        write("plugin.yaml", &format!("{plugin}  env:\n  - {{name: ACR_CA_BUNDLE, value: {bundle}}}\n"));
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let program = env!("CARGO_BIN_EXE_acr-credential-provider");
    std::os::unix::fs::symlink(program, bin.join("acr-credential-provider")).unwrap();
    vec![
        format!("--image-credential-provider-config={plugin}"),
        format!("--image-credential-provider-bin-dir={}", bin.display()),
    ]
}

/// Lets Pods of `team/app` assume the role.
async fn trust(plane: &acr_lab::plane::Plane, cloud: &Cloud) {
    plane.enable_rrsa(cloud).await.unwrap();
    let subject = ("oidc:sub".to_owned(), ["system:serviceaccount:team:app".to_owned()].into());
    let federated = "acs:ram::1:oidc-provider/ack-rrsa-demo".to_owned();
    cloud.world(|world| {
        let role = world.role_mut("1", POD_ROLE).unwrap();
        role.oidc_trust = vec![OidcTrust { federated, string_equals: [subject].into() }];
    });
}

async fn create_account(client: &Client, name: &str, role: Option<&str>) {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "team");
    let annotations = role.map(|role| json!({ ROLE: role }));
    let object = json!({ "metadata": { "name": name, "annotations": annotations } });
    accounts.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// Creates a Pod that pulls in any case.
async fn create_pod(pods: &Api<Pod>, name: &str, account: &str, secrets: &Value) -> String {
    let mut spec = pod_spec("Always");
    spec["serviceAccountName"] = json!(account);
    spec["imagePullSecrets"] = secrets.clone();
    let object = json!({ "metadata": { "name": name }, "spec": spec });
    let made = pods.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    made.uid().unwrap()
}

/// Waits until a Pod's pull was refused, and returns the messages of its events.
async fn until_refused(client: &Client, pods: &Api<Pod>, name: &str) -> String {
    let events: Api<Event> = Api::namespaced(client.clone(), "team");
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let pod = pods.get(name).await.unwrap();
        assert_ne!(phase(&pod), "Running", "{name} has no right to run");
        let why = waiting(&pod)
            .filter(|w| matches!(w.reason.as_deref(), Some("ErrImagePull" | "ImagePullBackOff")));
        if let Some(why) = why {
            let of_pod = ListParams::default().fields(&format!("involvedObject.name={name}"));
            let events = events.list(&of_pod).await.unwrap().items.into_iter();
            let said: Vec<String> = events.filter_map(|event| event.message).chain(why.message).collect();
            return said.join("\n");
        }
        assert!(std::time::Instant::now() < end, "{name} is neither refused nor runs: {:?}", pod.status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_role_pull_with_no_secret_and_no_entry_once_kubelets_may_ask_for_their_tokens() {
    if !usable(TEST).unwrap() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (plane, turn) = plane_with(Default::default()).await;
    let authority = Authority::new().unwrap();
    let flags = configure(folder.path(), &authority);
    let mut site = Site::start_with(&plane, turn, &flags).await;
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let front = HttpsFront::start(&cloud, &authority).await.unwrap();
    site.node.serve_cloud(&cloud, &front).await.unwrap();
    site.accept_tokens_of(&cloud);
    trust(&plane, &cloud).await;
    let client = plane.client();
    plane.kubectl_ok(&["create", "namespace", "team"]).await.unwrap();
    for (name, role) in [("app", Some(POD_ROLE)), ("other", Some(POD_ROLE)), ("plain", None)] {
        create_account(&client, name, role).await;
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), "team");
    let none = Value::Null;

    // The API server gives kubelets no token for this audience yet.
    let early = create_pod(&pods, "early", "app", &none).await;
    let said = until_refused(&client, &pods, "early").await;
    assert!(said.contains("insufficient_scope"), "{said}");
    // Only the kubelet's log says why, and the page quotes it.
    let log = site.node.kubelet().log_tail(400);
    assert!(log.contains(REFUSAL), "{log}");
    let page = std::fs::read_to_string(root().join("docs/credential-provider.md")).unwrap();
    assert!(page.contains(REFUSAL));
    let (found, verdict) = explain(plane.kubeconfig(), "team", &["pod/early"]);
    assert_eq!(found, "ACR825", "{verdict:#}");
    assert_eq!(cloud.count("AssumeRoleWithOIDC"), 0);

    shell(&plane, verdict["command"].as_str().unwrap()).unwrap();
    assert_eq!(explain(plane.kubeconfig(), "team", &["pod/early"]).0, "ACR802", "the right is there now");
    for line in commands("docs/credential-provider.md", "Install on a node").unwrap() {
        shell(&plane, &line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    create_pod(&pods, "next", "app", &none).await;
    until_running(&pods, "next", &site.node).await;
    // The one that was refused runs at its next try, and is the same Pod.
    until_running(&pods, "early", &site.node).await;
    assert_eq!(pods.get("early").await.unwrap().uid().unwrap(), early);
    // The kubelet keeps one answer for both, and for each further Pod of this ServiceAccount.
    assert_eq!((cloud.count("AssumeRoleWithOIDC"), cloud.count("GetAuthorizationToken")), (1, 1));

    // Another ServiceAccount is not the role's, though it names it. One without a role uses its Pod's own Secret.
    create_pod(&pods, "foreign", "other", &none).await;
    until_refused(&client, &pods, "foreign").await;
    assert_eq!((cloud.count("AssumeRoleWithOIDC"), cloud.count("GetAuthorizationToken")), (2, 1));
    let (user, password) = LEGACY;
    plane
        .kubectl_ok(&[
            "create",
            "secret",
            "docker-registry",
            "mine",
            "--namespace=team",
            &format!("--docker-server={HOST}"),
            &format!("--docker-username={user}"),
            &format!("--docker-password={password}"),
        ])
        .await
        .unwrap();
    create_pod(&pods, "own", "plain", &json!([{ "name": "mine" }])).await;
    until_running(&pods, "own", &site.node).await;

    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "team");
    let accounts = accounts.list(&ListParams::default()).await.unwrap().items;
    assert!(accounts.iter().all(|account| account.image_pull_secrets.is_none()));
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "team");
    let secrets = secrets.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(secrets.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["mine"]);
    // Neither the kubelet's log nor a message has a token of the cloud.
    let log = site.node.kubelet().log_tail(100_000);
    for secret in cloud.secrets() {
        assert!(!log.contains(&secret), "a secret in the kubelet's log");
    }
}
