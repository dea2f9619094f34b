//! etcd is restored from a copy, so that versions are set back.

use std::time::{Duration, Instant};

use acr_lab::process::Signal;
use serde_json::json;

use crate::harness::{DOMAIN, Lab, PATIENCE, SECRET, spec};

/// Writes after the copy. The revision of the restored etcd stays behind them for long, unless it is bumped.
const WRITES: usize = 300;

/// The revision stays behind: the API server says so by its next bookmark, once a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_etcd_is_followed_without_a_restart() {
    follow(0).await;
}

/// The revision is bumped beyond all that was lost, as the guide of Kubernetes recommends.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_etcd_whose_revision_was_bumped_is_followed_without_a_restart() {
    follow(4 * WRITES).await;
}

/// Restores etcd, where all is older than what the controller knows, and waits until the controller follows.
async fn follow(bumped: usize) {
    // Longer than a machine under load takes to start the API server again: who loses the lease starts again.
    let lab = Lab::start_with(|options| options.arg("--lease-duration=300s")).await;
    lab.create_namespace("restored").await;
    lab.bind("restored", spec(&["restored"])).await;
    lab.until_ready_is("restored", "True", "Succeeded").await;
    lab.until_settled().await;
    // The copy has an account that the controller has not observed, and its binding as it is now.
    lab.controller.signal(Signal::STOP).unwrap();
    lab.create_account("restored", "kept", &[]).await;
    lab.plane.copy_etcd().unwrap();
    lab.controller.signal(Signal::CONT).unwrap();
    lab.until_attached("restored", "kept").await;
    lab.refresh("restored", "1").await;
    let mut wider = spec(&["restored"]);
    wider["serviceAccounts"] = json!({ "names": ["*", "lost"] });
    lab.bind("restored", wider).await;
    lab.until_ready_is("restored", "True", "Succeeded").await;
    lab.until_settled().await;
    for number in 0..WRITES {
        lab.put_secret("default", "noise", json!({ "n": number.to_string() })).await;
    }
    let token = lab.token("restored", DOMAIN).await.unwrap();
    let pid = lab.controller.pid();
    lab.plane.restore_etcd(bumped).await.unwrap();
    let end = Instant::now() + PATIENCE * 6;
    while lab.pull_secrets("restored", "kept").await != [SECRET]
        || lab.token("restored", DOMAIN).await.unwrap() != token
    {
        assert!(Instant::now() < end, "not followed\n{}", lab.controller.log_tail(40));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The binding is known as it was restored, and can be reported on.
    lab.create_account("restored", "new", &[]).await;
    lab.until_attached("restored", "new").await;
    lab.refresh("restored", "2").await;
    lab.until_ready_is("restored", "True", "Succeeded").await;
    assert!(lab.controller.is_running() && lab.controller.pid() == pid, "{}", lab.controller.log_tail(20));
}
