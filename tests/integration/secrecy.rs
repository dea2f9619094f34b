//! No credential, token, key or Secret byte in anything that is printed.

use acr_lab::cloud::{Fault, FaultKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::harness::{Lab, spec};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_printed_holds_a_secret() {
    // Everything of ours and of the HTTP stack, at the loudest level.
    let lab = Lab::start_with(|options| options.log_level("trace")).await;
    lab.create_namespace("loud").await;
    let mut three = spec(&["loud"]);
    three["registries"] = json!([
        { "instanceId": "cri-demo0001" },
        { "instanceId": "cri-demo0003", "assumeRoleARN": "acs:ram::2:role/acr-pull" },
        { "instanceId": "cri-nosuch" },
    ]);
    lab.bind("loud", three).await;
    lab.until_ready_is("loud", "False", "InstanceNotFound").await;
    for kind in [
        FaultKind::MalformedJson,
        FaultKind::Html,
        FaultKind::Truncated,
        FaultKind::MissingFields,
        FaultKind::NotSuccess { code: "Unknown".to_owned() },
        FaultKind::Status { status: 500, code: "InternalError".to_owned(), message: "oops".to_owned() },
    ] {
        lab.cloud.fault(Fault {
            action: "GetAuthorizationToken".to_owned(),
            instance: None,
            kind,
            times: None,
        });
        let calls = lab.cloud.count("GetAuthorizationToken");
        lab.annotate("loud", "acrcredential.dev/refresh-at", &calls.to_string()).await;
        lab.until("the cloud was asked", async || lab.cloud.count("GetAuthorizationToken") > calls + 1).await;
        lab.cloud.clear_faults();
    }
    lab.delete_secret("loud").await;
    lab.until("the Secret is back", async || lab.secret("loud").await.is_some()).await;
    lab.until_settled().await;
    let (log, metrics) = (lab.controller.log(), lab.controller.metrics().await.unwrap());
    let objects =
        lab.plane.kubectl_ok(&["get", "acb,events,serviceaccounts", "-A", "-o", "yaml"]).await.unwrap();
    let annotations = lab.secret("loud").await.unwrap().metadata.annotations.unwrap();
    let printed = format!("{log}\n{metrics}\n{objects}\n{annotations:?}");
    let secrets = lab.cloud.secrets();
    assert!(secrets.len() > 5 && log.len() > 10_000, "there was something to find");
    for secret in secrets {
        for form in [secret.clone(), STANDARD.encode(&secret)] {
            let at = printed.find(&form);
            assert!(
                at.is_none(),
                "a secret was printed: …{}…",
                &printed[at.unwrap_or_default().saturating_sub(200)..at.unwrap_or_default()]
            );
        }
    }
}
