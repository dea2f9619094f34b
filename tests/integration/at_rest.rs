//! Rest: a settled cluster costs nothing, and an event costs its own namespace only.

use std::time::Duration;

use acr_lab::plane::Mark;

use crate::harness::{DOMAIN, Lab, SECRET, spec};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_and_across_a_restart_there_are_no_writes_and_no_cloud_calls() {
    let lab = Lab::start().await;
    for i in 0..20 {
        lab.create_namespace(&format!("rest-{i}")).await;
    }
    lab.put_config_map(serde_json::json!({
        "watch-namespace": "default",
        "acr-registry-info": "- instanceId: cri-demo0001\n  domains: map.example.com\n",
    }))
    .await;
    lab.bind("rest", spec(&["rest-*"])).await;
    lab.until_ready_is("rest", "True", "Succeeded").await;
    lab.until_ready_is("acr-configuration", "True", "Succeeded").await;
    lab.until_settled().await;
    let token = lab.token("rest-7", DOMAIN).await.unwrap();

    let mark = lab.mark();
    lab.cloud.clear_calls();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(lab.requests(mark).writes().counts(), Default::default());

    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
    // The review of its own rights and the dry run of the policies change nothing.
    let written = lab.requests(mark).writes().filter(|e| e.resource != "selfsubjectaccessreviews");
    assert_eq!(written.counts(), Default::default());
    assert_eq!(lab.cloud.calls().iter().map(|c| c.action.as_str()).collect::<Vec<_>>(), Vec::<&str>::new());
    assert_eq!(lab.token("rest-7", DOMAIN).await.unwrap(), token);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_costs_its_own_namespace_and_nothing_else() {
    let lab = Lab::start().await;
    for i in 0..40 {
        lab.create_namespace(&format!("many-{i}")).await;
    }
    lab.bind("many", spec(&["many-*"])).await;
    lab.until_ready_is("many", "True", "Succeeded").await;
    lab.until_settled().await;
    let (mark, looked) = (lab.mark(), lab.reconciled());
    lab.create_account("many-3", "late", &[]).await;
    lab.until("the account is attached", async || lab.pull_secrets("many-3", "late").await == [SECRET]).await;
    lab.until_settled().await;
    let requests = lab.requests(mark).filter(|e| e.verb != "watch");
    let status = requests.of("acrcredentialbindings/status").len();
    assert_eq!(requests.of("serviceaccounts").len(), 1, "{:?}", requests.counts());
    assert_eq!(requests.len(), 1 + status, "{:?}", requests.counts());
    let looked: Vec<String> = lab.reconciled().split_off(looked.len());
    assert!(!looked.is_empty() && looked.iter().all(|n| n == "many-3"), "{looked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filling_a_namespace_takes_one_write_an_object() {
    let lab = Lab::start().await;
    for i in 0..10 {
        lab.create_namespace(&format!("fill-{i}")).await;
        lab.create_account(&format!("fill-{i}"), "builder", &[]).await;
    }
    let mark = lab.mark();
    lab.bind("fill", spec(&["fill-*"])).await;
    lab.until_ready_is("fill", "True", "Succeeded").await;
    let counts = lab.requests(mark).filter(|e| e.namespace.starts_with("fill-")).counts();
    assert_eq!(counts.values().sum::<usize>(), 30, "{counts:?}");
    assert!(lab.mark() > Mark::default());
}
