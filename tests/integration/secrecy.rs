//! No credential, token, key or Secret byte in any output.

use std::time::Duration;

use acr_lab::cloud::{Fault, FaultKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::harness::{Lab, NAMESPACE, spec};

#[tokio::test(flavor = "multi_thread")]
async fn no_output_holds_a_secret() {
    // Everything of ours and of the HTTP stack, at the most verbose level.
    let lab = Lab::start_with(|options| options.log_level("trace")).await;
    lab.create_namespace("loud").await;
    lab.create_account("kube-system", "aliyun-acr-credential-helper", &[]).await;
    let (id, secret) = lab.key_of("2", "partner-puller");
    let data = json!({ "accessKeyId": id, "accessKeySecret": secret });
    lab.put_secret(NAMESPACE, "acr-access-key", data).await;
    let token = lab.cloud.addon_token(Duration::from_secs(3600));
    let data = json!({ "addon.token.config": token });
    lab.put_secret("kube-system", "addon.aliyuncsmanagedacrrole.token", data).await;
    let mut all = spec(&["loud"]);
    all["registries"] = json!([
        { "instanceId": "cri-demo0001" },
        { "instanceId": "cri-demo0003", "assumeRoleARN": "acs:ram::2:role/acr-pull", "domains": ["role.example.com"] },
        { "instanceId": "cri-demo0003", "accessKeySecretRef": { "name": "acr-access-key" }, "domains": ["key.example.com"] },
        {
            "instanceId": "cri-demo0001",
            "rrsaRoleARN": "acs:ram::1:role/acr-rrsa",
            "rrsaOIDCProviderRoleARN": "acs:ram::1:oidc-provider/ack-rrsa-demo",
            "domains": ["oidc.example.com"],
        },
        { "regionId": "cn-hangzhou" },
        { "instanceId": "cri-nosuch" },
    ]);
    lab.bind("loud", all).await;
    // The managed role is refused another account's role, and the last instance does not exist.
    lab.until_ready_says("loud", "False", "TrustPolicyDenies", "issued for 4 of 6 registries").await;
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
    let explained = |format| {
        let flags = ["explain", "sa/default", "-n", "loud", "-o", format];
        let (code, out, err) = crate::rights::acr(lab.plane.kubeconfig(), &flags);
        assert_eq!(code, Some(0), "{out}{err}");
        out + &err
    };
    let explained = ["text", "json", "yaml"].map(explained).concat();
    let printed = format!("{log}\n{metrics}\n{objects}\n{annotations:?}\n{explained}");
    let secrets = lab.cloud.secrets();
    assert!(secrets.len() > 5 && log.len() > 10_000, "the cloud issued secrets");
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
