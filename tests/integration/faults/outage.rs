//! The control plane itself stops: etcd, and the API server without a word.

use std::time::Duration;

use acr_lab::trial::{Rig, State};

use super::{assert_nothing_leaked, rig};
use crate::harness::{SECRET, spec};

async fn until_is(rig: &Rig, tag: &str, wanted: &State) {
    let mut difference = String::new();
    let same = rig
        .until("all is as without an outage", Duration::from_secs(60), async || {
            // The API server may still be on its way.
            let Ok(now) = rig.observe(tag).await else { return Ok(false) };
            difference = now.difference(wanted);
            Ok(difference.is_empty())
        })
        .await;
    same.unwrap_or_else(|error| panic!("{difference}\n{error:#}"));
}

async fn fill(rig: &Rig, tag: &str) {
    rig.create_namespace(&format!("{tag}-a")).await.unwrap();
    rig.create_account(&format!("{tag}-a"), "builder", &["mine"]).await.unwrap();
    rig.bind(tag, spec(&[&format!("{tag}-a")])).await.unwrap();
}

async fn until_filled(rig: &Rig, tag: &str) {
    rig.until("it is filled", Duration::from_secs(60), async || rig.is_ready(tag).await).await.unwrap();
    rig.until_quiet().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_stops_and_an_api_server_that_stalls_change_no_end() {
    let rig = rig(2, &[]).await;
    fill(&rig, "calm").await;
    until_filled(&rig, "calm").await;
    let calm = rig.observe("calm").await.unwrap();
    let mints = rig.cloud.count("GetAuthorizationToken");

    // etcd goes in the middle of a fill, for longer than the lease.
    fill(&rig, "etcd").await;
    rig.plane.kill_etcd();
    rig.until("the lease is lost", Duration::from_secs(60), async || {
        Ok(rig.replicas.iter().any(|replica| !replica.is_running()) || rig.leads().await.is_none())
    })
    .await
    .unwrap();
    rig.plane.restart_etcd().await.unwrap();
    until_is(&rig, "etcd", &calm).await;

    // The API server says nothing any more, and keeps its connections.
    fill(&rig, "stall").await;
    rig.plane.pause_api_server().unwrap();
    rig.until("the lease is lost", Duration::from_secs(60), async || {
        Ok(rig.replicas.iter().any(|replica| !replica.is_running()) || rig.leads().await.is_none())
    })
    .await
    .unwrap();
    rig.plane.resume_api_server().unwrap();
    until_is(&rig, "stall", &calm).await;

    // It goes, and comes back.
    fill(&rig, "kill").await;
    rig.plane.restart_api_server().await.unwrap();
    until_is(&rig, "kill", &calm).await;
    rig.leader().await.unwrap();
    rig.until_quiet().await.unwrap();
    for tag in ["calm", "etcd", "stall", "kill"] {
        let now = rig.observe(tag).await.unwrap();
        assert!(now == calm, "{}", now.difference(&calm));
        assert_eq!(rig.entries(&format!("{tag}-a"), "builder").await.unwrap(), ["mine", SECRET]);
    }
    // One token serves all, unless a process died between its mint and the cache.
    let minted = rig.cloud.count("GetAuthorizationToken") - mints;
    assert!(minted <= 3, "{minted} more tokens");
    assert_nothing_leaked(&rig);
}
