//! The parameters of our MutatingAdmissionPolicy.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::{MAP, PATIENCE, POLICY, enabled, lab, named};
use crate::harness::{Lab, NAMESPACE, SECRET, root, spec};

const NONE: &str = "excludedNamespaces: ^$\nnamespaceLabels: none";
const EVERY_ACCOUNT: &str = "serviceAccounts: ^.*$\nserviceAccountLabels: none";

#[tokio::test(flavor = "multi_thread")]
async fn missing_empty_or_invalid_parameters_refuse_no_request() {
    let lab = lab().await;
    lab.create_namespace("strict").await;
    lab.create_namespace("bystander").await;
    let mut strict = enabled(spec(&["strict"]));
    strict["webhook"]["failurePolicy"] = json!("Fail");
    lab.bind("strict", strict).await;
    lab.until_admission_is("strict", "True", "failurePolicy Fail changes nothing").await;
    lab.until_settled().await;
    lab.controller.terminate(PATIENCE).await.unwrap();
    let any = async |namespace: &str| lab.created(namespace, json!({ "generateName": "a-" }), &["x"]).await;
    let seen = async |what: &str, served: bool| {
        let expected: &[&str] = if served { &["x", SECRET] } else { &["x"] };
        lab.until(what, async || any("strict").await == expected).await;
        for namespace in ["bystander", "kube-system"] {
            assert_eq!(any(namespace).await, ["x"], "{what}: {namespace}");
        }
    };
    seen("the API server goes on alone while the controller is down", true).await;
    let invalid = json!({ "a": "(\n[\n)\n*\n+", "b": "",
        "c": format!("format: 2\nnamespaces: ^.*$\n{NONE}\nserviceAccounts: (\nserviceAccountLabels: none"),
        "d": "\n\n: \n: : \n", "e": "((((",
        "no-format": format!("namespaces: ^.*$\n{NONE}\n{EVERY_ACCOUNT}"),
        "other-format": format!("format: 1\nnamespaces: ^.*$\n{NONE}\n{EVERY_ACCOUNT}"),
        "missing-field": format!("format: 2\nnamespaces: ^.*$\nnamespaceLabels: none\n{EVERY_ACCOUNT}"),
        // An earlier version wrote five lines without names.
        "positional": "^.*$\n^$\n==in\n^.*$\n==in",
    });
    lab.set_parameters(invalid).await;
    seen("an invalid key does not affect others", true).await;
    lab.set_parameters(json!({ "strict": null })).await;
    seen("only invalid keys", false).await;
    let maps = lab.namespaced::<ConfigMap>(NAMESPACE);
    maps.patch(MAP, &PatchParams::default(), &Patch::Merge(&json!({ "data": null }))).await.unwrap();
    seen("an empty ConfigMap", false).await;
    maps.delete(MAP, &DeleteParams::default()).await.unwrap();
    seen("no ConfigMap", false).await;
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until("the controller makes it again", async || any("strict").await == ["x", SECRET]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parameters_are_restored_and_written_only_when_they_change() {
    let lab = lab().await;
    lab.create_namespace("kept").await;
    assert!(lab.parameters().await.is_none(), "no binding enables it");
    lab.bind_and_serve("kept", spec(&["kept"])).await;
    lab.until_ready_is("kept", "True", "Succeeded").await;
    lab.until_settled().await;
    let parameters = lab.parameters().await.unwrap();
    let kept = parameters.data.clone().unwrap();
    assert_eq!(
        kept["kept"],
        "format: 2\nnamespaces: ^kept$\nexcludedNamespaces: ^kube\\-.*$\nnamespaceLabels: none\n\
         serviceAccounts: ^.*$\nserviceAccountLabels: none"
    );
    let is_kept = async || lab.parameters().await.is_some_and(|map| map.data.as_ref() == Some(&kept));

    let mark = lab.mark();
    tokio::time::sleep(Duration::from_secs(5)).await;
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
    assert_eq!(lab.requests(mark).writes().counts(), Default::default(), "at rest and across a restart");
    assert_eq!(lab.parameters().await.unwrap().resource_version(), parameters.resource_version());

    let everything = format!("format: 2\nnamespaces: ^.*$\n{NONE}\n{EVERY_ACCOUNT}");
    lab.set_parameters(json!({ "kept": everything, "more": "x" })).await;
    lab.until("a hand edit is repaired", is_kept).await;
    lab.namespaced::<ConfigMap>(NAMESPACE).delete(MAP, &DeleteParams::default()).await.unwrap();
    lab.until("a deletion is repaired", is_kept).await;
    lab.bind("kept", spec(&["kept"])).await;
    lab.until("no binding enables it any more", async || {
        lab.parameters().await.is_some_and(|map| map.data.unwrap_or_default().is_empty())
    })
    .await;
    lab.until("the condition is removed", async || {
        lab.condition("kept", "AdmissionConfigured").await.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_parameters_are_within_the_cost_limit_of_the_api_server() {
    let lab = Lab::start().await;
    // As shipped, an expression that exceeds the cost limit is ignored. Here it refuses the request.
    let strict = std::fs::read_to_string(root().join(POLICY)).unwrap();
    lab.plane.apply(&strict.replace("failurePolicy: Ignore", "failurePolicy: Fail")).await.unwrap();
    let namespace = "n".repeat(63);
    lab.create_namespace(&namespace).await;
    for i in 0..24 {
        let accounts: Vec<String> = (0..256).map(|j| format!("account-{i:02}-{j:03}-*-of-many")).collect();
        let mut big = enabled(spec(&["*"]));
        big["serviceAccounts"] = json!({ "names": accounts });
        lab.bind(&format!("big-{i:02}"), big).await;
    }
    lab.until_admission_is("big-23", "False", "exceed what the API server evaluates").await;
    lab.until_admission_is("big-00", "True", "").await;
    lab.until("the parameters are written", async || {
        let parameters = lab.parameters().await.and_then(|map| map.data).unwrap_or_default();
        parameters.len() > 5 && parameters.len() < 24 && parameters.contains_key("big-00")
    })
    .await;
    lab.until_settled().await;
    // Nothing matches, so all of it is evaluated, for the longest names.
    assert_eq!(lab.created(&namespace, named(&"a".repeat(253)), &["x"]).await, ["x"]);
    let parameters = lab.parameters().await.unwrap().data.unwrap();
    let last = parameters.keys().last().unwrap().trim_start_matches("big-").to_owned();
    assert_eq!(
        lab.created(&namespace, named(&format!("account-{last}-255-is-of-many")), &[]).await,
        [SECRET]
    );
    let left_out = "account-23-255-is-of-many";
    lab.create_account(&namespace, left_out, &[]).await;
    lab.until_attached(&namespace, left_out).await;
    // The cure.
    lab.until_admission_is("big-23", "False", "write them shorter, with globs").await;
    let mut short = enabled(spec(&["*"]));
    short["serviceAccounts"] = json!({ "names": ["account-23-*"] });
    lab.bind("big-23", short).await;
    lab.until_admission_is("big-23", "True", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_writer_that_reverts_the_parameters_is_reported_and_left_alone() {
    let lab = lab().await;
    lab.create_namespace("fought").await;
    lab.bind_and_serve("fought", spec(&["fought"])).await;
    lab.until_settled().await;
    let mark = lab.mark();
    let has_data =
        async || lab.parameters().await.is_some_and(|map| map.data.is_some_and(|data| !data.is_empty()));
    lab.until("the other writer is reported", async || {
        if has_data().await {
            lab.set_parameters(json!({ "fought": null })).await;
        }
        let said = lab.condition("fought", "AdmissionConfigured").await;
        said.is_some_and(|(status, _, message)| {
            status == "False" && message.contains("it is left alone for a while: stop that writer")
        })
    })
    .await;
    let writes = async || lab.requests(mark).of("configmaps").writes().len();
    // Ten repairs are allowed, then there are two in each try.
    assert!((10..=16).contains(&writes().await), "{}", writes().await);
    // The other writer stops now.
    lab.until_admission_is("fought", "True", "MutatingAdmissionPolicy").await;
    assert_eq!(lab.created("fought", named("new"), &[]).await, [SECRET]);
    assert!(writes().await <= 20, "{}", writes().await);
}
