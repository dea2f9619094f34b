//! An image that is on the node already: which Pods may use it, and when it is pulled again.

use acr_lab::node::usable;

use super::{Cluster, HOST};
use crate::harness::spec;

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_image_needs_a_credential_and_is_pulled_again_only_for_another_secret() {
    if !usable("a_cached_image_needs_a_credential_and_is_pulled_again_only_for_another_secret").unwrap() {
        return;
    }
    let cluster = Cluster::start().await;
    let lab = &cluster.lab;
    for namespace in ["covered", "other"] {
        lab.create_namespace(namespace).await;
    }
    lab.bind("covered", spec(&["covered"])).await;
    lab.until_ready_is("covered", "True", "Succeeded").await;
    cluster.create_pod("covered", "first").await;
    cluster.until_running("covered", "first").await;
    let pulls = cluster.site.pulls();
    assert!(pulls > 0, "the registry saw the credential");

    cluster.create_pod("other", "without").await;
    cluster.until_refused("other", "without").await;
    assert_eq!(cluster.site.pulls(), pulls, "without a credential none is shown");

    // Renewed in place: the kubelet trusts the same Secret, and does not ask the registry.
    let first = lab.token("covered", HOST).await.unwrap();
    lab.refresh("covered", "renewed").await;
    lab.until("the token is another", async || lab.token("covered", HOST).await.unwrap() != first).await;
    cluster.create_pod("covered", "renewed").await;
    cluster.until_running("covered", "renewed").await;
    assert_eq!(cluster.site.pulls(), pulls, "no new pull for a renewed Secret");

    // Deleted and created again, with another token: to the kubelet another credential, which the registry judges.
    let before = lab.secret("covered").await.unwrap();
    lab.delete_secret("covered").await;
    lab.until("the Secret is another", async || {
        lab.secret("covered").await.is_some_and(|now| now.metadata.uid != before.metadata.uid)
    })
    .await;
    lab.refresh("covered", "again").await;
    cluster.create_pod("covered", "again").await;
    cluster.until_running("covered", "again").await;
    assert!(cluster.site.pulls() > pulls, "a new pull for a new Secret");
}
