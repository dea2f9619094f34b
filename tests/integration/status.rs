//! `kubectl acr status`, `refresh`, `suspend` and `resume` beside a running controller.

use acr_lab::cloud::{Fault, FaultKind};
use acr_lab::docs::commands;
use acr_lab::message::after;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::documentation::shell;
use crate::harness::{DOMAIN, Lab, spec};
use crate::rights::{account, acr};

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_is_shown_refreshed_suspended_and_resumed_by_the_commands_of_the_page() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.bind("team-a", spec(&["shop"])).await;
    let mut printed = Vec::new();
    let run = |line: &str| shell(&lab.plane, line).unwrap_or_else(|error| panic!("{line}: {error}"));
    for line in commands("docs/kubectl-acr.md", "Status").unwrap() {
        printed.push(run(&line));
    }
    assert!(printed[1].starts_with("team-a: ready\n"), "{}", printed[1]);
    let json: Value = serde_json::from_str(&printed[2]).unwrap();
    assert_eq!(json["bindings"][0]["namespaces"], json!({ "matched": 1, "ready": 1 }));

    let [refresh, suspend, resume] =
        commands("docs/kubectl-acr.md", "Refresh, suspend and resume").unwrap().try_into().unwrap();
    let token = lab.token("shop", DOMAIN).await.unwrap();
    printed.push(run(&refresh));
    assert!(printed.last().unwrap().contains("\nteam-a: ready\n"), "{printed:?}");
    lab.until("the new token is in the Secret", async || lab.token("shop", DOMAIN).await.unwrap() != token)
        .await;
    printed.push(run(&suspend));
    lab.until_ready_is("team-a", "False", "Suspended").await;
    printed.push(run("kubectl acr status team-a"));
    assert!(printed.last().unwrap().starts_with("team-a: not ready, Suspended\n"), "{printed:?}");
    printed.push(run(&resume));
    lab.until_ready_is("team-a", "True", "Succeeded").await;

    // A refresh that fails differs from one that succeeds.
    let kind =
        FaultKind::Status { status: 403, code: "NoPrivilege".to_owned(), message: "denied".to_owned() };
    lab.cloud.fault(Fault { action: "GetAuthorizationToken".to_owned(), instance: None, kind, times: None });
    let admin = lab.plane.kubeconfig();
    let (code, out, err) = acr(admin, &["refresh", "team-a", "--wait"]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    assert!(out.contains("\nteam-a: ready, RefreshFailing\n") && out.contains("AccessDenied"), "{out}");
    printed.push(out);
    lab.cloud.clear_faults();

    let reader = account(&lab.plane, "reader", &["status.yaml"]).await;
    for words in [&["status"][..], &["status", "team-a", "--wait=Ready"]] {
        let (code, out, err) = acr(&reader, words);
        assert!(code == Some(0) && out.starts_with("team-a: ready"), "{out}{err}");
    }
    let (code, _, err) = acr(&reader, &["suspend", "team-a"]);
    assert!(code == Some(2) && err.contains("the binding team-a cannot be changed: "), "{err}");
    let stranger = account(&lab.plane, "stranger", &[]).await;
    let (code, _, err) = acr(&stranger, &["status"]);
    assert!(
        code == Some(2) && err.contains("the bindings cannot be read: ") && err.contains("forbidden"),
        "{err}"
    );
    let (code, _, err) = acr(&stranger, &["status", "--watch"]);
    assert!(
        code == Some(2) && err.contains("ask for the right to list and watch acrcredentialbindings"),
        "{err}"
    );

    let secrets = lab.cloud.secrets();
    assert!(secrets.len() > 2, "the cloud issued secrets");
    for form in secrets.iter().flat_map(|secret| [secret.clone(), STANDARD.encode(secret)]) {
        assert!(!printed.iter().any(|text| text.contains(&form)), "{printed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_of_the_config_map_is_suspended_once_it_was_made_ones_own_as_the_error_says() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    let data = json!({
        "watch-namespace": "shop", "service-account": "default",
        "acr-registry-info": "- instanceId: cri-demo0001\n  regionId: cn-hangzhou\n",
    });
    lab.put_config_map(data).await;
    lab.until_ready_is("acr-configuration", "True", "Succeeded").await;
    let admin = lab.plane.kubeconfig();
    let mut cure = String::new();
    for verb in ["suspend", "resume"] {
        let (code, out, err) = acr(admin, &[verb, "acr-configuration"]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(
            err.contains("is made from the ConfigMap kube-system/acr-configuration, which would undo"),
            "{err}"
        );
        after(&err, "first make it your own by ").trim().clone_into(&mut cure);
    }
    shell(&lab.plane, &cure).unwrap();
    lab.until("it is suspended", async || acr(admin, &["suspend", "acr-configuration"]).0 == Some(0)).await;
    lab.until_ready_is("acr-configuration", "False", "Suspended").await;
    assert!(lab.token("shop", DOMAIN).await.is_some(), "what it wrote is kept");
}
