//! A process that goes on without one of its tasks would look ready and do nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use acr_lab::cloud::{Fault as CloudFault, FaultKind};
use acr_lab::plane::Target;

use crate::harness::{DOMAIN, Lab, PATIENCE, root, spec};

/// A task that fails must end the process within this time.
const AT_MOST: Duration = Duration::from_secs(5);

/// Returns the names of all tasks, as the source gives them.
fn tasks() -> BTreeSet<String> {
    let name = regex::Regex::new(r#"spawn\(\s*&?(?:mut )?(?:tasks|work),\s*"([^"]+)""#).unwrap();
    let mut names = BTreeSet::new();
    let mut folders = vec![root().join("src/controller")];
    let mut files = vec![root().join("src/controller.rs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                // The simulation's tasks are tests.
                true if path.ends_with("simulation") => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    for file in files.iter().filter(|file| !file.ends_with("tasks.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        names.extend(name.captures_iter(&text).map(|found| found[1].to_owned()));
    }
    names
}

/// While a write is under way, each task in turn panics.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_any_task_ends_the_process_while_it_works() {
    let names = tasks();
    assert!(names.len() >= 12 && names.contains("the namespace loop"), "{names:?}");
    let folder = tempfile::tempdir().unwrap();
    let order = folder.path().join("panic");
    let (lab, proxy) = Lab::proxied_with(|options| {
        options.arg("--replace-stuck-pods").env("ACR_PANIC_FILE", &order).arg("--lease-duration=3s")
    })
    .await;
    lab.plane.apply_file(root().join("deploy/stuck-pods.yaml")).await.unwrap();
    lab.create_namespace("panics").await;
    lab.bind("panics", spec(&["panics"])).await;
    lab.until_served("panics", DOMAIN).await;
    // This task runs only with a flag that no controller of this test has.
    let without: BTreeSet<String> = ["the webhook".to_owned()].into();
    for (number, name) in names.difference(&without).enumerate() {
        lab.until("the controller leads", async || {
            lab.controller.metric("leader_election_master_status", &[]).await.is_ok_and(|leads| leads == 1.0)
        })
        .await;
        lab.until(&format!("the task {name:?} runs"), async || {
            lab.controller.log().contains(&format!("task begun name=\"{name}\""))
        })
        .await;
        let account = format!("in-flight-{number}");
        let mut held = proxy.hold(Target::new("patch", "serviceaccounts").named(&account));
        lab.create_account("panics", &account, &[]).await;
        held.until_caught(1).await.unwrap();
        std::fs::write(&order, name).unwrap();
        let status = lab.controller.wait(AT_MOST).await.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert!(!status.success(), "{name}: {status}");
        std::fs::remove_file(&order).unwrap();
        drop(held);
        lab.controller.restart().unwrap();
        lab.controller.until_ready(Duration::from_secs(20)).await.unwrap();
        lab.until_attached("panics", &account).await;
    }
}

/// Otherwise its registry would stay under way, and its tokens would run out.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_an_attempt_to_mint_ends_the_process_and_the_next_one_mints() {
    let folder = tempfile::tempdir().unwrap();
    let order = folder.path().join("panic");
    let (lab, _proxy) =
        Lab::proxied_with(|options| options.env("ACR_PANIC_FILE", &order).arg("--lease-duration=3s")).await;
    lab.cloud.fault(CloudFault {
        action: "GetAuthorizationToken".to_owned(),
        instance: None,
        kind: FaultKind::Slow(2 * PATIENCE),
        times: Some(1),
    });
    lab.create_namespace("panics").await;
    lab.bind("panics", spec(&["panics"])).await;
    lab.until("the attempt is under way", async || {
        lab.controller.log().contains("task begun name=\"an attempt to mint\"")
    })
    .await;
    std::fs::write(&order, "an attempt to mint").unwrap();
    let status = lab.controller.wait(PATIENCE).await.unwrap();
    assert!(!status.success(), "{status}");
    std::fs::remove_file(&order).unwrap();
    lab.controller.restart().unwrap();
    lab.until_served("panics", DOMAIN).await;
}
