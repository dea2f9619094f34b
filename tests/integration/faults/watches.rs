//! Watches that are frozen, too old, or show the past.

use std::time::Duration;

use acr_lab::plane::{Fault, FaultProxy, Frozen, Target};
use kube::api::DeleteParams;

use crate::harness::{DOMAIN, Lab, PATIENCE, spec};

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
        lab.controller.metric("leader_election_master_status", &[]).await.is_ok_and(|leads| leads == 1.0)
    })
    .await;
    frozen.into()
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
