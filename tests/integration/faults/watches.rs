//! Watches that are frozen, too old, or show the past.

use std::time::Duration;

use acr_lab::plane::{Fault, FaultProxy, Target};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::harness::{DOMAIN, Lab, SECRET, spec};

/// What the controller watches in all namespaces.
const WATCHED: [&str; 4] = ["namespaces", "serviceaccounts", "secrets", "acrcredentialbindings"];

/// Makes each watch begin with a new list, and waits for these lists.
async fn list_again(lab: &Lab, proxy: &FaultProxy) {
    let lists = |proxy: &FaultProxy| WATCHED.map(|resource| proxy.asked(&Target::new("list", resource)));
    let before = lists(proxy);
    for resource in WATCHED {
        proxy.inject(Target::new("watch", resource), Fault::Expired, 1);
    }
    proxy.cut();
    lab.until("all is listed again", async || {
        lists(proxy).iter().zip(before).all(|(now, before)| *now > before)
    })
    .await;
}

/// Rotation comes by a timer, so a watch that is open and silent does not delay it.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_watch_delays_no_rotation() {
    let (lab, proxy) = Lab::proxied().await;
    lab.cloud.world(|world| world.lifetimes.registry_token_cap = Some(Duration::from_secs(8)));
    lab.create_namespace("frozen").await;
    lab.bind("frozen", spec(&["frozen"])).await;
    lab.until_ready_is("frozen", "True", "Succeeded").await;
    let frozen = proxy.freeze(Target::watches());
    let (mut tokens, mut expired) = (std::collections::BTreeSet::new(), 0);
    lab.until("three more tokens came in time", async || {
        let (user, token) = lab.auths("frozen").await.unwrap().remove(DOMAIN).unwrap();
        expired += usize::from(!lab.cloud.token_valid(&user, &token, "cri-demo0001"));
        tokens.insert(token);
        tokens.len() >= 4
    })
    .await;
    assert_eq!(expired, 0, "the Secret held an expired token");
    // What happened meanwhile is unknown, until the watch shows it.
    lab.create_account("frozen", "unseen", &[]).await;
    let mark = proxy.asked(&Target::new("patch", "secrets").in_namespace("frozen"));
    lab.until("one more token came", async || {
        proxy.asked(&Target::new("patch", "secrets").in_namespace("frozen")) > mark
    })
    .await;
    assert!(lab.pull_secrets("frozen", "unseen").await.is_empty());
    drop(frozen);
    lab.until_attached("frozen", "unseen").await;
}

/// By an event in the stream, as the API server sends it, and by a refused request, as a gateway may.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_too_old_gives_a_new_list_and_no_write() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("old").await;
    lab.create_account("old", "builder", &["mine"]).await;
    lab.bind("old", spec(&["old"])).await;
    lab.until_ready_is("old", "True", "Succeeded").await;
    lab.until_settled().await;
    proxy.forget_writes();
    let calls = lab.cloud.calls().len();
    list_again(&lab, &proxy).await;
    lab.until_settled().await;
    for resource in WATCHED {
        proxy.inject(Target::new("watch", resource), Fault::Answer(410), 1);
    }
    proxy.cut();
    lab.until("each watch was refused", async || proxy.pending() == 0).await;
    lab.until_settled().await;
    assert!(proxy.writes().is_empty(), "{:?}", proxy.writes());
    assert_eq!(lab.cloud.calls().len(), calls);
    // It sees again: what comes, what goes, and what changes.
    lab.create_account("old", "late", &[]).await;
    lab.until_attached("old", "late").await;
    lab.delete_secret("old").await;
    lab.until_served("old", DOMAIN).await;
}

/// What was ours is gone, and its user made another of the same name. An API server that lags, or answers from a
/// backup, shows the old one as still to be removed.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_list_removes_nothing_that_came_after_it() {
    // Without the grace, in which nothing is removed that no status names any more.
    let (lab, proxy) = Lab::proxied_with(|options| options.arg("--withdrawal-grace=0s")).await;
    lab.create_namespace("again").await;
    lab.create_namespace("covered").await;
    lab.create_account("again", "builder", &["mine"]).await;
    lab.bind("again", spec(&["again", "covered"])).await;
    lab.until_ready_is("again", "True", "Succeeded").await;
    lab.until_settled().await;
    proxy.keep_lists();
    list_again(&lab, &proxy).await;
    lab.until_settled().await;

    lab.bind("again", spec(&["covered"])).await;
    lab.until("the namespace is withdrawn", async || {
        lab.secret("again").await.is_none() && lab.pull_secrets("again", "builder").await == ["mine"]
    })
    .await;
    lab.until_ready_is("again", "True", "Succeeded").await;
    // A restart must not find the binding as it was, but only the tenant's objects.
    let accounts = lab.namespaced::<ServiceAccount>("again");
    accounts.delete("builder", &DeleteParams::default()).await.unwrap();
    lab.create_account("again", "builder", &["theirs"]).await;
    let theirs = serde_json::from_value(json!({
        "metadata": { "name": SECRET, "labels": { "app": "theirs" } }, "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
    }))
    .unwrap();
    let secrets = lab.namespaced::<Secret>("again");
    let theirs = secrets.create(&PostParams::default(), &theirs).await.unwrap();
    lab.until_settled().await;

    let (deletes, patches) = (
        Target::new("delete", "secrets").in_namespace("again"),
        Target::new("patch", "serviceaccounts").in_namespace("again"),
    );
    let before = proxy.asked(&deletes) + proxy.asked(&patches);
    proxy.forget_writes();
    lab.controller.kill();
    let frozen = proxy.freeze(Target::watches());
    for resource in ["secrets", "serviceaccounts"] {
        // Only those across all namespaces: key pairs are listed too.
        proxy.inject(Target::new("list", resource).in_namespace(""), Fault::OldList, 1);
    }
    lab.controller.restart().unwrap();
    lab.controller.until_ready(Duration::from_secs(20)).await.unwrap();
    lab.until("the controller tries to remove what it believes in", async || {
        proxy.asked(&deletes) + proxy.asked(&patches) > before
    })
    .await;
    lab.until_settled().await;
    let untouched = async || {
        let now = secrets.get(SECRET).await.unwrap();
        assert_eq!(now.metadata.resource_version, theirs.metadata.resource_version);
        assert_eq!(lab.pull_secrets("again", "builder").await, ["theirs"]);
    };
    untouched().await;
    drop(frozen);
    lab.until_settled().await;
    untouched().await;
    let touched = |write: &&acr_lab::plane::Write| write.status < 300 && write.request.namespace == "again";
    assert_eq!(proxy.writes().iter().filter(touched).count(), 0, "{:?}", proxy.writes());
}
