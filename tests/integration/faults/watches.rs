//! Watches that are frozen, too old, or show the past.

use std::time::Duration;

use acr_lab::plane::{Fault, FaultProxy, Frozen, Target};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::harness::{DOMAIN, Lab, NAMESPACE, PATIENCE, SECRET, spec};

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

/// Starts the controller again, whose lists of these resources are old and whose watches say nothing, as long as the
/// result is kept. It leads when this returns.
async fn restart_in_the_past(lab: &Lab, proxy: &FaultProxy, resources: &[&str]) -> Vec<Frozen> {
    // The lease is given back, and its watch goes on: how long another one takes does not matter.
    lab.controller.terminate(PATIENCE).await.unwrap();
    let frozen = WATCHED.map(|resource| proxy.freeze(Target::new("watch", resource)));
    for resource in resources {
        // Only those across all namespaces: key pairs are listed too.
        proxy.inject(Target::new("list", resource).in_namespace(""), Fault::OldList, 1);
    }
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until("the lists were old", async || proxy.pending() == 0).await;
    lab.until("the controller leads", async || {
        lab.controller.metric("acr_leader", &[]).await.is_ok_and(|leads| leads == 1.0)
    })
    .await;
    frozen.into()
}

/// What was ours is gone, and its user made another of the same name. An API server that lags, or answers from a
/// backup, shows the old one as still to be removed.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_list_removes_nothing_that_came_after_it() {
    // Without the grace, in which nothing is removed that no status names any more.
    let (lab, proxy) = Lab::proxied_with(|options| options.arg("--withdrawal-grace=0s")).await;
    for namespace in ["again", "reborn", "covered"] {
        lab.create_namespace(namespace).await;
    }
    lab.create_account("again", "builder", &["mine"]).await;
    lab.bind("again", spec(&["again", "reborn", "covered"])).await;
    lab.until_ready_says("again", "True", "Succeeded", "3 namespaces").await;
    lab.until_settled().await;
    proxy.keep_lists();
    list_again(&lab, &proxy).await;
    lab.until_settled().await;

    lab.bind("again", spec(&["covered"])).await;
    lab.until("the namespaces are withdrawn", async || {
        lab.secret("again").await.is_none()
            && lab.secret("reborn").await.is_none()
            && lab.pull_secrets("again", "builder").await == ["mine"]
    })
    .await;
    // A restart must not find the binding as it was, but only the tenants' objects.
    lab.until_ready_says("again", "True", "Succeeded", "1 namespace").await;
    let accounts = lab.namespaced::<ServiceAccount>("again");
    accounts.delete("builder", &DeleteParams::default()).await.unwrap();
    lab.create_account("again", "builder", &["theirs"]).await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    namespaces.delete("reborn", &DeleteParams::default()).await.unwrap();
    lab.until("the namespace is gone", async || namespaces.get_opt("reborn").await.unwrap().is_none()).await;
    lab.create_namespace("reborn").await;
    let mut theirs = Vec::new();
    for namespace in ["again", "reborn"] {
        let secret = serde_json::from_value(json!({
            "metadata": { "name": SECRET, "labels": { "app": "theirs" } }, "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
        }))
        .unwrap();
        let created =
            lab.namespaced::<Secret>(namespace).create(&PostParams::default(), &secret).await.unwrap();
        theirs.push((namespace, created.metadata.resource_version));
    }
    lab.until_settled().await;

    let deletes = |namespace: &str| proxy.asked(&Target::new("delete", "secrets").in_namespace(namespace));
    let before = [deletes("again"), deletes("reborn")];
    proxy.forget_writes();
    let frozen = restart_in_the_past(&lab, &proxy, &["secrets", "serviceaccounts"]).await;
    lab.until("the controller tries to remove what it believes in", async || {
        deletes("again") > before[0] && deletes("reborn") > before[1]
    })
    .await;
    lab.until_settled().await;
    let untouched = async || {
        for (namespace, version) in &theirs {
            assert_eq!(lab.secret(namespace).await.unwrap().metadata.resource_version, *version);
        }
        assert_eq!(lab.pull_secrets("again", "builder").await, ["theirs"]);
    };
    untouched().await;
    drop(frozen);
    lab.until_settled().await;
    untouched().await;
    let touched = |write: &&acr_lab::plane::Write| write.status < 300 && write.request.namespace != NAMESPACE;
    let touched: Vec<_> = proxy.writes().iter().filter(touched).map(|write| write.request.clone()).collect();
    let in_tenants = touched.iter().filter(|request| request.resource != "acrcredentialbindings");
    assert_eq!(in_tenants.count(), 0, "{touched:?}");
}

/// A binding is deleted and made again under its name, for another namespace. The old list shows the first one.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_list_of_bindings_changes_nothing_of_the_one_that_came_after_it() {
    let (lab, proxy) = Lab::proxied_with(|options| options.arg("--withdrawal-grace=0s")).await;
    for namespace in ["before", "after"] {
        lab.create_namespace(namespace).await;
    }
    lab.bind("again", spec(&["before"])).await;
    lab.until_ready_is("again", "True", "Succeeded").await;
    lab.until_settled().await;
    proxy.keep_lists();
    list_again(&lab, &proxy).await;
    lab.until_settled().await;
    lab.bindings().delete("again", &DeleteParams::default()).await.unwrap();
    lab.until("the first one is gone", async || lab.bindings().get_opt("again").await.unwrap().is_none())
        .await;
    lab.bind("again", spec(&["after"])).await;
    lab.until_ready_is("again", "True", "Succeeded").await;
    lab.until_settled().await;
    let second = lab.bindings().get("again").await.unwrap();
    let token = lab.token("after", DOMAIN).await.unwrap();

    let frozen = restart_in_the_past(&lab, &proxy, &["acrcredentialbindings"]).await;
    lab.until("the controller works for the first one", async || lab.secret("before").await.is_some()).await;
    lab.until_settled().await;
    let now = lab.bindings().get("again").await.unwrap();
    assert_eq!(now.metadata.resource_version, second.metadata.resource_version, "{:?}", now.status);
    drop(frozen);
    lab.until("what was made for the first one is gone", async || lab.secret("before").await.is_none()).await;
    lab.until_ready_is("again", "True", "Succeeded").await;
    lab.until_attached("after", "default").await;
    assert_eq!(lab.token("after", DOMAIN).await.unwrap(), token, "what is good is not minted again");
}
