//! A crash after each write of each job, with two replicas: the end is that of a run without a crash.

use acr_lab::plane::Target;
use acr_lab::trial::{Job, NAMESPACE};

use super::{assert_nothing_leaked, rig};
use crate::harness::{DOMAIN, Lab, SECRET, spec};

/// Runs jobs one after the other. Each must crash at least so often.
async fn jobs(flags: &[&str], jobs: &[(Job, usize)]) {
    let rig = rig(2, flags).await;
    for (job, least) in jobs {
        let crashes = job.crash_after_each_write(&rig).await.unwrap_or_else(|error| panic!("{error:#}"));
        println!("{job:?}: {crashes} crashes");
        assert!(crashes >= *least, "{job:?} crashed only {crashes} times");
    }
    assert_nothing_leaked(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_write_of_a_first_fill_or_a_refresh_changes_no_end() {
    // A finalizer, two Secrets, four accounts, the token cache and a status; two Secrets, the cache, a status.
    jobs(&[], &[(Job::Fill, 6), (Job::Refresh, 3)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_write_of_a_narrowing_or_an_adoption_changes_no_end() {
    jobs(&[], &[(Job::Narrowing, 2), (Job::Adoption, 1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_write_of_a_conversion_or_a_graduation_changes_no_end() {
    jobs(&["--config-map-grace=0s"], &[(Job::Conversion, 5), (Job::Graduation, 1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_write_of_a_takeover_changes_no_end() {
    jobs(&["--config-map-grace=0s"], &[(Job::Takeover, 5)]).await;
}

/// Only a process that dies knows the token: at most one more is minted.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_mint_and_the_first_write_costs_one_mint() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("minted").await;
    let mut held = proxy.hold(Target::resource("secrets").written());
    lab.bind("minted", spec(&["minted"])).await;
    held.until_caught(1).await.unwrap();
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), 1);
    lab.controller.kill();
    proxy.cut();
    drop(held);
    assert!(lab.secret("minted").await.is_none(), "nothing was written yet");
    lab.controller.restart().unwrap();
    lab.until_served("minted", DOMAIN).await;
    lab.until_ready_is("minted", "True", "Succeeded").await;
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), 2);
    assert!(proxy.asked(&Target::resource("secrets").in_namespace(NAMESPACE).written()) >= 1);
}

/// Found by a random schedule: without its Secret, nothing but the status shows whose entry it is.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_an_entry_is_taken_out_although_a_user_deleted_the_secret_meanwhile() {
    let (lab, proxy) = Lab::proxied().await;
    for namespace in ["stays", "leaves"] {
        lab.create_namespace(namespace).await;
    }
    lab.create_account("leaves", "builder", &["mine"]).await;
    lab.bind("narrowed", spec(&["stays", "leaves"])).await;
    lab.until_ready_is("narrowed", "True", "Succeeded").await;
    lab.until("both accounts have their entries", async || {
        lab.pull_secrets("leaves", "builder").await == ["mine", SECRET]
            && lab.pull_secrets("leaves", "default").await == [SECRET]
    })
    .await;
    lab.until_settled().await;
    let mut held = proxy.hold(Target::new("patch", "serviceaccounts").in_namespace("leaves"));
    lab.bind("narrowed", spec(&["stays"])).await;
    held.until_caught(2).await.unwrap();
    lab.controller.kill();
    proxy.cut();
    lab.delete_secret("leaves").await;
    lab.controller.restart().unwrap();
    drop(held);
    lab.until("the entries are taken out", async || {
        lab.pull_secrets("leaves", "builder").await == ["mine"]
            && lab.pull_secrets("leaves", "default").await.is_empty()
    })
    .await;
    lab.until_ready_is("narrowed", "True", "Succeeded").await;
    assert!(lab.secret("leaves").await.is_none());
}
