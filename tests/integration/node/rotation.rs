//! Tokens that are renewed while Pods start.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use acr_lab::node::usable;

use super::{Cluster, HOST, PodEachSecond};
use crate::harness::spec;

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_of_one_each_second_is_refused_across_three_rotations() {
    if !usable("no_pod_of_one_each_second_is_refused_across_three_rotations").unwrap() {
        return;
    }
    let cluster = Cluster::start().await;
    let lab = &cluster.lab;
    lab.cloud.world(|world| world.lifetimes.registry_token_cap = Some(Duration::from_secs(12)));
    lab.create_namespace("busy").await;
    lab.bind("busy", spec(&["busy"])).await;
    lab.until_ready_is("busy", "True", "Succeeded").await;
    let starting = PodEachSecond::start(&lab.client, "busy");
    let (mut tokens, end) = (BTreeSet::new(), Instant::now() + Duration::from_secs(120));
    while tokens.len() < 4 {
        tokens.extend(lab.auths("busy").await.unwrap().remove(HOST));
        assert!(Instant::now() < end, "only {} tokens", tokens.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    starting.all_ran(&cluster.site.node).await;
    // Each Pod pulled for itself, and the first tokens have expired by now.
    let expired = tokens.iter().filter(|(user, token)| !lab.cloud.token_valid(user, token, "cri-demo0001"));
    assert!(expired.count() >= 2);
}
