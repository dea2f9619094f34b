//! The webhook's certificates: its own, and those of cert-manager.

use std::path::Path;

use acr_lab::certificates::Authority;
use acr_lab::plane::free_port;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::replicas::Replicas;
use super::{
    NAME, Stream, asking, configuration, configurations, created, grant, plane, start, until_asked,
    until_served_by_webhook,
};
use crate::harness::{Lab, NAMESPACE, SECRET};

/// Returns the number of authorities in the configuration.
async fn trusted(lab: &Lab) -> usize {
    let configured = configuration(lab).await.and_then(|c| c.webhooks).unwrap_or_default();
    let bundle =
        configured.first().and_then(|w| w.client_config.ca_bundle.clone()).unwrap_or(ByteString(vec![]));
    String::from_utf8(bundle.0).unwrap().matches("BEGIN CERTIFICATE").count()
}

async fn certificates(lab: &Lab) -> Value {
    let secret = lab.namespaced::<Secret>(NAMESPACE).get(NAME).await.unwrap();
    serde_json::from_slice(&secret.data.unwrap()["certificates.json"].0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_their_authority_change_without_a_refusal() {
    let lab = start(|options| options.arg("--webhook-lifetimes=30s,9s,3s")).await;
    lab.create_namespace("rotating").await;
    lab.bind("rotating", asking(&["rotating"], "Fail", 15)).await;
    until_served_by_webhook(&lab, "rotating").await;
    until_asked(&lab, "rotating").await;
    let stream = Stream::start(&lab, "rotating");
    let first = certificates(&lab).await;
    lab.until("a certificate is renewed", async || {
        certificates(&lab).await["leaf"]["certificate"] != first["leaf"]["certificate"]
    })
    .await;
    lab.until("two authorities are trusted", async || trusted(&lab).await == 2).await;
    let both = certificates(&lab).await;
    assert_eq!(both["authorities"].as_array().unwrap().len(), 2);
    lab.until("the new authority signs", async || certificates(&lab).await["leaf"]["authority"] == 2).await;
    lab.until("the old authority is gone", async || {
        trusted(&lab).await == 1 && certificates(&lab).await["authorities"][0]["id"] == 2
    })
    .await;
    stream.end_without_a_refusal().await;
    let log = lab.controller.log();
    assert!(!log.contains("PRIVATE KEY"), "a key is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_secret_is_reported_and_the_last_valid_certificate_stays() {
    // No certificate is due by its own time: with these lifetimes that is after 24 s.
    let lab = start(|options| options.arg("--webhook-lifetimes=3600s,36s,2s")).await;
    lab.create_namespace("broken").await;
    lab.bind("broken", asking(&["broken"], "Fail", 15)).await;
    until_asked(&lab, "broken").await;
    until_served_by_webhook(&lab, "broken").await;
    let secrets = lab.namespaced::<Secret>(NAMESPACE);
    let patch = json!({ "stringData": { "certificates.json": "{\"leaf\": \"canary\"" } });
    secrets.patch(NAME, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    lab.until("the log says the cure", async || {
        lab.controller.log().contains("delete the Secret, and the controller creates it again")
    })
    .await;
    assert!(!lab.controller.log().contains("canary"));
    assert_eq!(created(&lab.client, "broken", "still").await.unwrap(), [SECRET]);
    let configured = configuration(&lab).await.unwrap().webhooks;
    // It cannot be renewed, and while it is valid everything else works.
    lab.until("the certificate is due", async || lab.controller.log().contains("cannot be renewed")).await;
    configurations(&lab).delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until("the configuration is back", async || {
        configuration(&lab).await.is_some_and(|now| now.webhooks == configured)
    })
    .await;
    until_asked(&lab, "broken").await;
    secrets.delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until("the Secret is whole again", async || {
        secrets.get_opt(NAME).await.unwrap().is_some_and(|s| {
            s.data.is_some_and(|d| serde_json::from_slice::<Value>(&d["certificates.json"].0).is_ok())
        })
    })
    .await;
    assert_eq!(created(&lab.client, "broken", "after").await.unwrap(), [SECRET]);
    assert_eq!(
        configuration(&lab).await.unwrap().webhooks,
        configured,
        "the trusted authorities did not change"
    );
}

/// Swaps files as the kubelet does: a new folder, and a link that is replaced at once.
fn project(mount: &Path, authority: &Authority, number: usize) {
    let version = mount.join(format!("..version-{number}"));
    std::fs::create_dir(&version).unwrap();
    authority.write_server(&version, &["127.0.0.1"]).unwrap();
    let fresh = mount.join("..data_tmp");
    std::os::unix::fs::symlink(version.file_name().unwrap(), &fresh).unwrap();
    std::fs::rename(&fresh, mount.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        let link = mount.join(file);
        if !link.is_symlink() {
            std::os::unix::fs::symlink(Path::new("..data").join(file), link).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_cert_manager_are_read_as_the_kubelet_swaps_them() {
    let plane = plane().await;
    grant(&plane).await;
    let mount = plane.dir().join("certificates");
    std::fs::create_dir(&mount).unwrap();
    let authority = Authority::new().unwrap();
    project(&mount, &authority, 1);
    let flag = format!("--webhook-cert-dir={}", mount.display());
    let lab = Lab::start_on(plane, |_, options| options.webhook(free_port().unwrap(), None).arg(flag)).await;
    lab.create_namespace("files").await;
    lab.bind("files", asking(&["files"], "Fail", 15)).await;
    until_served_by_webhook(&lab, "files").await;
    until_asked(&lab, "files").await;
    let secret = lab.namespaced::<Secret>(NAMESPACE).get_opt(NAME).await.unwrap();
    assert!(secret.is_none(), "no certificates of its own are made");
    let bundle = async || {
        let webhooks = configuration(&lab).await.unwrap().webhooks.unwrap();
        String::from_utf8(webhooks[0].client_config.ca_bundle.clone().unwrap().0).unwrap()
    };
    assert_eq!(bundle().await, authority.pem());

    let stream = Stream::start(&lab, "files");
    assert!(lab.controller.log().contains("webhook certificate loaded"));
    project(&mount, &authority, 2);
    lab.until("the renewed certificate is taken", async || {
        lab.controller.log().contains("webhook certificate renewed")
    })
    .await;
    // Half a swap, and a key that does not belong to the certificate: reported once, and the last valid one
    // stays.
    let broken = mount.join("..version-3");
    std::fs::create_dir(&broken).unwrap();
    authority.write_server(&broken, &["127.0.0.1"]).unwrap();
    std::fs::copy(mount.join("..version-1/tls.key"), broken.join("tls.key")).unwrap();
    std::os::unix::fs::symlink("..version-3", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    lab.until("the mismatch is reported", async || {
        let log = lab.controller.log();
        log.contains(
            "a private key that does not match the certificate; mount a Secret of type kubernetes.io/tls",
        )
    })
    .await;
    // A Secret of another form has no authority.
    std::fs::remove_file(broken.join("ca.crt")).unwrap();
    lab.until("the missing file is reported", async || {
        lab.controller
            .log()
            .contains("mount a Secret of type kubernetes.io/tls with ca.crt as cert-manager makes it")
    })
    .await;
    // Once a whole Secret is mounted, its certificate is used.
    let renewals = || lab.controller.log().matches("webhook certificate renewed").count();
    let before = renewals();
    std::fs::remove_file(mount.join("..data")).unwrap();
    project(&mount, &authority, 4);
    lab.until("the mounted certificate is taken", async || renewals() > before).await;
    stream.end_without_a_refusal().await;
}

/// cert-manager creates a new authority, and each replica's kubelet delivers it at its own time.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_changes_for_one_replica_after_the_other_without_a_refusal() {
    let mounts = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let authorities = [(); 3].map(|()| Authority::new().unwrap());
    mounts.iter().for_each(|mount| project(mount.path(), &authorities[0], 0));
    let replicas = Replicas::start(|number, options| {
        let flag = format!("--webhook-cert-dir={}", mounts[number].path().display());
        // A certificate of another authority is served after 6 s, and the previous one trusted for 12 s more.
        options.arg(flag).arg("--webhook-lifetimes=3600s,360s,3s")
    })
    .await;
    let Replicas { lab, second, servers, .. } = &replicas;
    lab.create_namespace("files").await;
    lab.bind("files", asking(&["files"], "Fail", 15)).await;
    until_served_by_webhook(lab, "files").await;
    until_asked(lab, "files").await;
    let bundle = async || {
        let webhooks = configuration(lab).await.unwrap().webhooks.unwrap();
        String::from_utf8(webhooks[0].client_config.ca_bundle.clone().unwrap().0).unwrap()
    };
    let stream = Stream::start(lab, "files");
    let watch = tokio::spawn(watch_trust(configurations(lab), *servers));
    // First the replica that does not hold the lease, then the one that does.
    for (version, order) in [(1, [1, 0]), (2, [0, 1])] {
        let (before, authority) = (&authorities[version - 1], &authorities[version]);
        let of = |number: usize| [&lab.controller, second][number];
        let noticed = |number: usize| of(number).log().matches("webhook authority changed").count();
        for number in order {
            project(mounts[number].path(), authority, version);
            lab.until("the files are noticed", async || noticed(number) == version).await;
            // The other kubelet takes its time.
            let begun = lab.mark();
            lab.until("a while", async || lab.plane.audit().since(begun).unwrap().len() > 150).await;
        }
        let both = before.pem().to_owned() + authority.pem();
        lab.until("both are trusted", async || bundle().await == both).await;
        for number in [0, 1] {
            let shown = || of(number).log().matches("of the new authority in use").count();
            lab.until("its certificate is shown", async || shown() == version).await;
        }
        lab.until("the previous one is no longer trusted", async || bundle().await == authority.pem()).await;
    }
    stream.end_without_a_refusal().await;
    assert!(!watch.is_finished(), "{:?}", watch.await);
    watch.abort();
}

/// Watches an API server that reconnects for each request: one that keeps its connections would not check a
/// certificate for long. It ends with the first replica that is not trusted.
async fn watch_trust(
    configurations: Api<MutatingWebhookConfiguration>,
    servers: [std::net::SocketAddr; 2],
) -> String {
    let bundle = async || {
        let webhooks = configurations.get(NAME).await.unwrap().webhooks.unwrap();
        webhooks[0].client_config.ca_bundle.clone().unwrap().0
    };
    loop {
        for server in servers {
            let before = bundle().await;
            let roots = reqwest::Certificate::from_pem_bundle(&before).unwrap();
            let client = reqwest::Client::builder().no_proxy().tls_certs_only(roots).build().unwrap();
            let answer = client.get(format!("https://{server}/")).send().await;
            if let Err(error) = answer
                && bundle().await == before
            {
                return format!("{server}: {error:?}");
            }
        }
    }
}
